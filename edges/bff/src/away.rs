//! An edge without a store: commands are its own, and whatever reads is asked of the service that keeps it.
//!
//! A query of one context goes to that context's service as it came. What every context has (sagas, dead letters, subscriptions, streams,
//! operators' decisions, commands by id) is asked of one after the other: a thing of the first that knows it, a list context by context, so
//! that a page may be short and still have a `next`. With `?context=` only that one is asked.
//!
//! A service has replicas, and each of them the partitions whose leases it got: what is about a partition that another one holds is sent on to
//! that one ([`replicas`]).

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::{Here, Home, Shared};

mod each;
mod replicas;
mod services;

pub(crate) use replicas::{AGAIN, Asked, ask_holder, is_sent_on, unheld};
pub use replicas::{Find, Replicas};
pub use services::Services;

/// The contexts, in the order in which they are asked.
pub const CONTEXTS: [&str; 3] = ["campaign", "partner", "tracking"];

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// It is answered by whoever is asked.
    Anyones,
    /// A command: whoever is asked sends it on its way.
    Command,
    /// A query of this context.
    Of(&'static str),
    /// Every context has some.
    Each,
}

/// What the first parts of a path say. Spanish paths come percent-encoded or in ASCII.
pub(crate) fn whose(method: &Method, path: &str) -> Whose {
    let mut parts = path.trim_start_matches('/').split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let context = match (first, second) {
        ("v1", Some("campaigns" | "brands")) => "campaign",
        ("v1", Some("partners" | "enrolments")) => "partner",
        ("v1", Some("events" | "blocks")) => "tracking",
        ("v1", Some("sagas" | "dead-letters" | "waiting" | "subscriptions" | "streams" | "operations" | "commands")) => {
            return Whose::Each;
        }
        ("registrar-campaign" | "registrar-partner" | "registrar-evento", _) => return Whose::Command,
        // They change something, whatever the method says.
        ("eliminar-campaign" | "eliminar-partner" | "eliminar-evento", _) => return Whose::Command,
        ("obtener-campaigns" | "campaigns", _) => "campaign",
        ("obtener-partners" | "partners", _) => "partner",
        ("obtener-eventos" | "eventos", _) => "tracking",
        (first, _) if first.starts_with("campa") && first.ends_with("-query") => "campaign",
        (first, _) if first.starts_with("campa") => return Whose::Command,
        _ => return Whose::Anyones,
    };
    if method == Method::GET || method == Method::HEAD { Whose::Of(context) } else { Whose::Command }
}

/// Sends on what is kept elsewhere.
pub(crate) async fn elsewhere(State(edge): State<Shared>, request: Request, next: Next) -> Response {
    let whose = whose(request.method(), request.uri().path());
    match (&edge.home, whose) {
        (Home::Here(Here { only: Some(only), .. }), Whose::Of(context)) if context != *only => {
            let why = format!("this is the service of {only}; {context} has one of its own, and the bff asks the right one");
            Problem::new(StatusCode::MISDIRECTED_REQUEST, "other-context", why).into_response()
        }
        (Home::Here(Here { replicas: Some(_), .. }), Whose::Each) => {
            replicas::answer(&edge, request, next).await.unwrap_or_else(IntoResponse::into_response)
        }
        (Home::Here(_), _) | (Home::Away(..), Whose::Anyones | Whose::Command) => next.run(request).await,
        (Home::Away(services, _), Whose::Of(context)) => {
            services.forward(context, request).await.unwrap_or_else(IntoResponse::into_response)
        }
        (Home::Away(services, _), Whose::Each) => each::ask(services, request).await.unwrap_or_else(IntoResponse::into_response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_somebodys_and_a_command_is_never_sent_on() {
        for path in crate::paths() {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let whose = whose(&method, &path);
                assert!(!matches!(whose, Whose::Of(_)), "{method} {path} is {whose:?}");
            }
            let read = whose(&Method::GET, &path);
            let own = ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/stream", "/health"];
            if matches!(read, Whose::Anyones) {
                assert!(
                    own.contains(&path.as_str()) || path.starts_with("/docs") || path.starts_with("/problems"),
                    "{path} is nobody's"
                );
            }
        }
    }

    #[test]
    fn paths_lead_to_the_context_that_keeps_what_they_name() {
        for (method, path, expected) in [
            (Method::GET, "/v1/campaigns/c-1", Whose::Of("campaign")),
            (Method::GET, "/v1/brands/b-1/accounts/USD", Whose::Of("campaign")),
            (Method::PUT, "/v1/brands/b-1/accounts/USD", Whose::Command),
            (Method::HEAD, "/v1/enrolments", Whose::Of("partner")),
            (Method::GET, "/obtener-eventos", Whose::Of("tracking")),
            (Method::GET, "/eliminar-evento/e-1", Whose::Command),
            (Method::GET, "/campa%C3%B1a-query/c-1", Whose::Of("campaign")),
            (Method::POST, "/campana-comando", Whose::Command),
            (Method::POST, "/v1/sagas/s/retry", Whose::Each),
            (Method::GET, "/v1/commands/c", Whose::Each),
            (Method::GET, "/metrics", Whose::Anyones),
        ] {
            assert_eq!(whose(&method, path), expected, "{method} {path}");
        }
    }
}
