//! Why a broker does not let a client in. The crate has one text for a connection that was cut off, a certificate that is not trusted and
//! a token that is refused; of these the first passes by itself. So whoever was turned away greets the broker once more, and hears.

use std::io;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use pulsar::message::proto::{self, BaseCommand, ServerError, base_command::Type};
use pulsar::message::{Codec, Message};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::codec::Framed;

use super::settings::{Settings, Trouble};

/// The protocol that the crate speaks.
const PROTOCOL: i32 = 12;

/// Greets the broker as the crate does, and says what came of it.
pub(super) async fn heard(settings: &Settings) -> Trouble {
    let url = &settings.url;
    match tokio::time::timeout(settings.patience, greet(settings)).await {
        // It came back meanwhile.
        Ok(Ok(())) => Trouble::passes(format!("the broker at {url} took no connection a moment ago")),
        Ok(Err(trouble)) => trouble,
        Err(_) => Trouble::passes(format!("the broker at {url} does not answer")),
    }
}

async fn greet(settings: &Settings) -> Result<(), Trouble> {
    let url = &settings.url;
    let (encrypted, place) = match url.split_once("://") {
        Some((scheme, place)) => (scheme == "pulsar+ssl", place.trim_end_matches('/')),
        None => (false, url.as_str()),
    };
    let (host, port) = match place.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?))) {
        Some(parts) => parts,
        None => (place, if encrypted { 6651 } else { 6650 }),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let away = |error: io::Error| Trouble::passes(format!("no broker can be reached at {url}: {error}"));
    let stream = TcpStream::connect((host, port)).await.map_err(away)?;
    if !encrypted {
        return exchange(settings, stream).await;
    }
    let wrong = |why: String| Trouble::stays(format!("there is no TLS with the broker at {url}: {why}"));
    let name = ServerName::try_from(host.to_owned()).map_err(|error| wrong(error.to_string()))?;
    let client = client(settings).map_err(wrong)?;
    match TlsConnector::from(Arc::new(client)).connect(name, stream).await {
        Ok(stream) => exchange(settings, stream).await,
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => Err(wrong(format!(
            "{error}: does it speak TLS at this port, with a certificate that is trusted here and names this host?"
        ))),
        Err(error) => Err(cut(settings, &error.to_string())),
    }
}

/// Trusts whom the crate trusts.
fn client(settings: &Settings) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in CertificateDer::pem_slice_iter(settings.certificates.as_deref().unwrap_or_default()) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange(settings: &Settings, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Trouble> {
    let (method, data) = settings.token.as_ref().map(|token| ("token".to_owned(), token.clone().into_bytes())).unzip();
    let connect = Some(proto::CommandConnect {
        auth_method_name: method,
        auth_data: data,
        client_version: proto::client_version(),
        protocol_version: Some(PROTOCOL),
        ..proto::CommandConnect::default()
    });
    let command = BaseCommand { r#type: Type::Connect as i32, connect, ..BaseCommand::default() };
    let mut framed = Framed::new(stream, Codec);
    framed.send(Message { command, payload: None }).await.map_err(|error| cut(settings, &error.to_string()))?;
    let url = &settings.url;
    match framed.next().await {
        Some(Ok(Message { command: BaseCommand { connected: Some(_), .. }, .. })) => Ok(()),
        Some(Ok(Message { command: BaseCommand { error: Some(no), .. }, .. })) => {
            let stays = [ServerError::AuthenticationError, ServerError::AuthorizationError, ServerError::UnsupportedVersionError]
                .iter()
                .any(|error| *error as i32 == no.error);
            Err(if stays {
                Trouble::stays(format!("the broker at {url} refuses the connection: {}: is the token right?", no.message))
            } else {
                Trouble::passes(format!("the broker at {url} takes no connection now: {}", no.message))
            })
        }
        Some(Ok(_)) => Err(Trouble::stays(format!("what answers at {url} does not greet as a Pulsar broker does"))),
        Some(Err(error)) => Err(cut(settings, &error.to_string())),
        None => Err(cut(settings, "it said nothing")),
    }
}

/// A broker that starts or stops does that; so does what is no broker, which cannot be told from here.
fn cut(settings: &Settings, why: &str) -> Trouble {
    Trouble::passes(format!(
        "the broker at {} cut the connection off during the greeting ({why}); if that does not end: is it a Pulsar broker, and does it \
         speak TLS there (pulsar+ssl://) or not (pulsar://)?",
        settings.url
    ))
}
