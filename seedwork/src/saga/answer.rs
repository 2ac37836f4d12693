//! How an answer is written: flat, so that the record of its topic's schema is exactly what is there.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Answer, Operator, Outcome};
use crate::command::{Class, Refusal};

#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    outcome: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Why>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
}

#[derive(Serialize, Deserialize)]
struct Why {
    code: Cow<'static, str>,
    class: Class,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<Cow<'static, str>>,
    message: String,
    /// JSON as text: a schema cannot say what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<String>,
}

impl From<Answer> for Written {
    fn from(answer: Answer) -> Written {
        let (outcome, refusal) = match answer.outcome {
            Outcome::Done => ("done", None),
            Outcome::Dead => ("dead", None),
            Outcome::Refused(Refusal { code, class, field, message, details }) => {
                let details = (!details.is_null()).then(|| details.to_string());
                ("refused", Some(Why { code, class, field, message, details }))
            }
        };
        Written { outcome: outcome.into(), refusal, operator: answer.operator }
    }
}

impl TryFrom<Written> for Answer {
    type Error = String;

    fn try_from(written: Written) -> Result<Answer, String> {
        let outcome = match (&*written.outcome, written.refusal) {
            ("done", _) => Outcome::Done,
            ("dead", _) => Outcome::Dead,
            ("refused", Some(Why { code, class, field, message, details })) => {
                let details = details.map_or(Ok(serde_json::Value::Null), |details| serde_json::from_str(&details));
                let details = details.map_err(|error| format!("the refusal's details are not JSON: {error}"))?;
                Outcome::Refused(Refusal { code, class, field, message, details })
            }
            ("refused", None) => return Err("refused, and it does not say why".to_owned()),
            (other, _) => return Err(format!("{other:?} is no outcome: done, refused or dead")),
        };
        Ok(Answer { outcome, operator: written.operator })
    }
}
