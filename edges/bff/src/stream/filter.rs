//! Which events a subscriber wants.

use std::borrow::Cow;

use seedwork::message::{Role, partition_key};
use serde::Deserialize;
use wire::values::check_id;

use crate::problem::Problem;

/// The parameters of the stream.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    r#type: Option<String>,
    tenant: Option<String>,
    key: Option<String>,
    pub after: Option<String>,
    pub follow: Option<String>,
}

impl Parameters {
    /// Whether it goes on when it has reached the present.
    pub fn follows(&self) -> Result<bool, Problem> {
        match self.follow.as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Problem::malformed("query-invalid", "follow is true or false").at("follow")),
        }
    }
}

/// What all must hold; what is not asked is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    kinds: Vec<&'static str>,
    tenant: Option<String>,
    key: Option<String>,
}

/// What a filter asks of a message; it can be read off its JSON.
#[derive(Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(borrow, rename = "subject")]
    pub key: Cow<'a, str>,
    #[serde(borrow, default)]
    pub tenant: Option<Cow<'a, str>>,
}

/// The `type` of every event that is said.
fn kinds() -> impl Iterator<Item = &'static str> {
    wire::TABLES.iter().flat_map(|table| table.iter()).filter(|entry| entry.role == Role::Event).map(|entry| entry.kind)
}

impl Filter {
    pub fn of(parameters: &Parameters) -> Result<Filter, Problem> {
        let mut filter = Filter::default();
        for wanted in parameters.r#type.iter().flat_map(|list| list.split(',')) {
            let before = filter.kinds.len();
            match wanted.strip_suffix('*') {
                Some(start) => filter.kinds.extend(kinds().filter(|kind| kind.starts_with(start))),
                None => filter.kinds.extend(kinds().filter(|kind| *kind == wanted)),
            }
            if filter.kinds.len() == before {
                let shown: String = wanted.chars().take(80).collect();
                let known: Vec<&str> = kinds().collect();
                let why = format!(
                    "there is no type of event {shown:?}; a list of types has commas between them, one that ends with * stands for all \
                     that begin so. There are {}",
                    known.join(", ")
                );
                return Err(Problem::malformed("query-invalid", why).at("type"));
            }
        }
        if let Some(key) = &parameters.key {
            let wrong = |error| Problem::malformed("query-invalid", error).at("key");
            key.split('~').try_for_each(|part| check_id(part).map_err(wrong))?;
            filter.key = Some(key.clone());
        }
        if let Some(tenant) = &parameters.tenant {
            check_id(tenant).map_err(|error| Problem::malformed("query-invalid", error).at("tenant"))?;
            filter.tenant = Some(tenant.clone());
        }
        Ok(filter)
    }

    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        self.kinds.is_empty() && self.tenant.is_none() && self.key.is_none()
    }

    /// Whether it lets this through. A key is also wanted by its first part: a partner's enrolments are the partner's.
    pub fn passes(&self, asked: &Asked<'_>) -> bool {
        let Asked { kind, key, tenant } = asked;
        (self.kinds.is_empty() || self.kinds.contains(&&**kind))
            && self.tenant.as_deref().is_none_or(|wanted| tenant.as_deref() == Some(wanted))
            && self.key.as_deref().is_none_or(|wanted| key == wanted || partition_key(key) == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(kinds: Option<&str>, tenant: Option<&str>, key: Option<&str>) -> Result<Filter, Problem> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Filter::of(&Parameters { r#type: text(kinds), tenant: text(tenant), key: text(key), after: None, follow: None })
    }

    fn passes(filter: &Filter, kind: &str, key: &str, tenant: Option<&str>) -> bool {
        filter.passes(&Asked { kind: kind.into(), key: key.into(), tenant: tenant.map(Cow::from) })
    }

    #[test]
    fn a_filter_asks_for_type_tenant_and_key() {
        let open = filter(None, None, None).unwrap();
        assert!(open.is_open() && passes(&open, "anything", "c-1", None));
        let by_type = filter(Some("campaign.activated.v1,partner.*"), None, None).unwrap();
        for (kind, wanted) in [("campaign.activated.v1", true), ("partner.banned.v1", true), ("campaign.paused.v1", false)] {
            assert_eq!(passes(&by_type, kind, "c-1", None), wanted, "{kind}");
        }
        let by_key = filter(None, None, Some("p-1")).unwrap();
        for (key, wanted) in [("p-1", true), ("p-1~c-1", true), ("p-11", false), ("c-1~p-1", false)] {
            assert_eq!(passes(&by_key, "x", key, None), wanted, "{key}");
        }
        assert!(passes(&filter(None, None, Some("p-1~c-1")).unwrap(), "x", "p-1~c-1", None));
        let by_tenant = filter(None, Some("t-1"), None).unwrap();
        assert!(
            passes(&by_tenant, "x", "k", Some("t-1"))
                && !passes(&by_tenant, "x", "k", Some("t-2"))
                && !passes(&by_tenant, "x", "k", None)
        );
    }

    #[test]
    fn what_nothing_can_match_is_told() {
        for (kinds, tenant, key) in [
            (Some("campaign.activate.v1"), None, None),
            (Some("nothing.*"), None, None),
            (Some(""), None, None),
            (Some("campaign.activated.v1,"), None, None),
            (None, Some(""), None),
            (None, None, Some("a b")),
            (None, None, Some("~")),
        ] {
            assert!(filter(kinds, tenant, key).is_err(), "{kinds:?} {tenant:?} {key:?}");
        }
    }
}
