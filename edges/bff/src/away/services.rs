//! The services of the contexts, over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONNECTION, ETAG, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Whose, whose};
use crate::Document;
use crate::problem::Problem;

/// How long a service may take until the head of its answer is there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to be connected: what is down is told soon.
const CONNECTING: Duration = Duration::from_secs(2);
/// The largest answer that is read here instead of being handed on, in bytes.
pub(crate) const READ_MAX: usize = 8 << 20;

/// Where the services of the contexts are.
#[derive(Clone, Debug)]
pub struct Services {
    client: Client<HttpConnector, Body>,
    at: BTreeMap<&'static str, Authority>,
}

impl Services {
    /// Each context and the address of its service, `host:port`: one replica's or, better, one that leads to any of them.
    ///
    /// # Errors
    /// The context whose address is none.
    pub fn new(addresses: impl IntoIterator<Item = (&'static str, String)>) -> Result<Services, &'static str> {
        let at = addresses.into_iter().map(|(context, address)| Ok((context, address.parse().map_err(|_| context)?)));
        let at = at.collect::<Result<BTreeMap<&'static str, Authority>, &'static str>>()?;
        Ok(Services { client: client(), at })
    }

    /// Sends a request on as it came, and the answer back.
    ///
    /// # Errors
    /// 503 when the service cannot be reached or does not answer in time.
    pub(crate) async fn forward(&self, context: &'static str, request: Request) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        parts.uri = self.uri(context, parts.uri.path_and_query().cloned())?;
        end_to_end(&mut parts.headers);
        let answer = tokio::time::timeout(PATIENCE, self.client.request(Request::from_parts(parts, body))).await;
        match answer {
            Ok(Ok(answer)) => {
                let mut answer = answer.map(Body::new);
                end_to_end(answer.headers_mut());
                Ok(answer)
            }
            Ok(Err(error)) => {
                tracing::warn!(context, %error, "a service cannot be reached");
                Err(away(context))
            }
            Err(_) => {
                tracing::warn!(context, "a service does not answer");
                Err(away(context))
            }
        }
    }

    /// Asks a service, and reads its whole answer.
    ///
    /// # Errors
    /// As [`Services::forward`].
    pub(crate) async fn ask(
        &self,
        context: &'static str,
        method: Method,
        to: PathAndQuery,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, Problem> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri(context, Some(to))?;
        *request.headers_mut() = headers;
        let (parts, body) = self.forward(context, request).await?.into_parts();
        match tokio::time::timeout(PATIENCE, Limited::new(body, READ_MAX).collect()).await {
            Ok(Ok(body)) => Ok(Response::from_parts(parts, body.to_bytes())),
            Ok(Err(error)) => {
                tracing::warn!(context, %error, "the answer of a service broke off");
                Err(away(context))
            }
            Err(_) => Err(away(context)),
        }
    }

    /// What is found at a path now; none when it cannot be had.
    pub(crate) async fn document(&self, path: &str) -> Option<Document> {
        let Whose::Of(context) = whose(&Method::GET, path) else { return None };
        let answer = self.ask(context, Method::GET, path.parse().ok()?, HeaderMap::new(), Bytes::new()).await.ok()?;
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let version = tag.and_then(|tag| tag.trim_matches('"').parse().ok());
        let found = answer.status() == StatusCode::OK;
        version.filter(|_| found).map(|version| Document { version, value: answer.into_body().to_vec() })
    }

    fn uri(&self, context: &'static str, to: Option<PathAndQuery>) -> Result<Uri, Problem> {
        let authority = self.at.get(context).cloned().ok_or_else(|| away(context))?;
        let to = to.unwrap_or(PathAndQuery::from_static("/"));
        Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(to).build().map_err(|_| away(context))
    }
}

/// What speaks HTTP to other processes.
pub(crate) fn client() -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECTING));
    // A service may go and come back elsewhere: what has been idle longer is not trusted.
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Takes out what is said of one connection, and not of the message (RFC 9110 §7.6.1).
pub(crate) fn end_to_end(headers: &mut HeaderMap) {
    for hop in [CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(hop);
    }
}

fn away(context: &str) -> Problem {
    Problem::unavailable("service-away", format!("the service of {context} cannot be reached at the moment; the rest goes on"))
}
