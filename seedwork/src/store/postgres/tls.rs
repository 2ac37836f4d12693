//! TLS to a PostgreSQL server, as a URL asks for it with `sslmode` and `sslrootcert`.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::*;

/// Takes what a URL says of TLS out of it, for the crate's parser knows neither; what stays is a URL for it.
pub(super) fn split(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut root) = (None, None);
    let Some((place, query)) = url.split_once('?') else { return (url.to_owned(), mode, root) };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => root = Some(percent_decode_str(value).decode_utf8_lossy().into_owned()),
            _ => rest.push(pair),
        }
    }
    let url = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    (url, mode, root)
}

/// Sets how a connection is to be made; what makes it encrypted, if it is to be.
///
/// # Errors
/// When the mode is not known, or the file of certificates is missing, cannot be read or holds none; the text says what to write.
pub(super) fn configure(config: &mut Config, mode: Option<&str>, root: Option<&str>) -> StoreResult<Option<MakeRustlsConnect>> {
    let wrong = |why: String| Err(StoreError(why));
    let (mode, verifier) = match (mode, root) {
        (None | Some("disable"), None) => {
            config.ssl_mode(SslMode::Disable);
            return Ok(None);
        }
        (Some("require"), None) => (SslMode::Require, None),
        (Some("verify-full"), Some(path)) => (SslMode::Require, Some(path)),
        (Some("verify-full"), None) => {
            return wrong(
                "sslmode=verify-full: name the file of the authority that signed the server's certificate (PEM), \
                 as in sslmode=verify-full&sslrootcert=/etc/alpes/root.crt"
                    .to_owned(),
            );
        }
        (None | Some("disable" | "require"), Some(_)) => {
            return wrong("sslrootcert is only looked at with sslmode=verify-full: write that, or leave it out".to_owned());
        }
        (Some(other), _) => {
            return wrong(format!(
                "sslmode={other} is not known: write disable, require (encrypted, whoever the server is) or verify-full (its certificate \
                 and name are checked)"
            ));
        }
    };
    config.ssl_mode(mode);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| StoreError(format!("TLS cannot be set up: {error}")))?;
    let client = match verifier {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Whoever(provider))),
    };
    Ok(Some(MakeRustlsConnect::new(client.with_no_client_auth())))
}

fn roots(path: &str) -> StoreResult<RootCertStore> {
    let unreadable = |why: String| StoreError(format!("sslrootcert={path} cannot be used: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there is no certificate in it (PEM is expected)".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate, as `sslmode=require` means: nobody reads along, but who the server is stays open. That it holds the
/// certificate's key is checked all the same: a login that is bound to the channel rests on that.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Address::parse(url).map(|address| address.shown).expect_err("it is refused").0
    }

    #[test]
    fn what_a_url_says_of_tls_is_taken_out_of_it() {
        let url = "postgres://u:p@h/d?sslrootcert=/a%20b/root.crt&connect_timeout=3&sslmode=verify-full";
        let (rest, mode, root) = split(url);
        assert_eq!(rest, "postgres://u:p@h/d?connect_timeout=3");
        assert_eq!((mode.as_deref(), root.as_deref()), (Some("verify-full"), Some("/a b/root.crt")));
        assert_eq!(split("postgres://h/d?sslmode=require").0, "postgres://h/d");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        assert!(refused("postgres://u@h/d?sslmode=verify-full").contains("sslrootcert=/"));
        assert!(refused("postgres://u@h/d?sslmode=verify-ca").contains("verify-full"));
        assert!(refused("postgres://u@h/d?sslrootcert=/x").contains("sslmode=verify-full"));
        assert!(refused("postgres://u@h/d?sslmode=verify-full&sslrootcert=/nowhere/x.crt").contains("/nowhere/x.crt"));
        assert!(Address::parse("postgres://u@h/d").expect("no TLS is asked for").tls.is_none());
        assert!(Address::parse("postgres://u@h/d?sslmode=require").expect("any server will do").tls.is_some());
    }
}
