//! TLS to a PostgreSQL server, as a URL asks for it with `sslmode` and `sslrootcert`.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
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

/// Whom a server's certificate has to come from.
enum Authorities<'a> {
    /// Those in a file.
    File(&'a str),
    /// Those that this system trusts.
    System,
}

/// Sets how a connection is to be made; what makes it encrypted, if it is to be. The modes mean what they mean to PostgreSQL's own clients.
///
/// # Errors
/// When the mode is not known, or certificates are missing, cannot be read or are none; the text says what to write.
pub(super) fn configure(config: &mut Config, mode: Option<&str>, root: Option<&str>) -> StoreResult<Option<MakeRustlsConnect>> {
    let wrong = |why: String| Err(StoreError(why));
    let (authorities, named) = match (mode, root) {
        (None | Some("disable"), None) => {
            config.ssl_mode(SslMode::Disable);
            return Ok(None);
        }
        (Some("require"), None) => (None, false),
        (None | Some("verify-full"), Some("system")) => (Some(Authorities::System), true),
        (Some("verify-full"), Some(path)) => (Some(Authorities::File(path)), true),
        // PostgreSQL's own clients then read a file in the user's home. Whom a service trusts may not hang on whose home it runs in, and
        // the system's authorities in its place would let in whom those clients keep out.
        (Some("verify-full"), None) => {
            return wrong(
                "sslmode=verify-full has to be told whose signature counts: name the file of your own authority (PEM), as in \
                 sslmode=verify-full&sslrootcert=/etc/alpes/root.crt, or write sslrootcert=system for those that this system trusts (no \
                 root.crt is looked for in ~/.postgresql)"
                    .to_owned(),
            );
        }
        // Anybody can have a certificate of an authority that the system trusts, for a name of their own.
        (Some("require" | "verify-ca"), Some("system")) | (Some("verify-ca"), None) => {
            return wrong(
                "sslmode=verify-ca checks no name, so the system's certificates prove nothing: name the file of your own authority \
                 (PEM), as in sslmode=verify-ca&sslrootcert=/etc/alpes/root.crt, or write sslmode=verify-full&sslrootcert=system"
                    .to_owned(),
            );
        }
        (Some("require" | "verify-ca"), Some(path)) => (Some(Authorities::File(path)), false),
        (None | Some("disable"), Some(_)) => {
            return wrong(
                "sslrootcert is only looked at where a certificate is checked: write sslmode=verify-full or verify-ca too, or leave it out"
                    .to_owned(),
            );
        }
        (Some(other), _) => {
            return wrong(format!(
                "sslmode={other} is not known: write disable, require (encrypted, whoever the server is), verify-ca (its certificate is \
                 checked) or verify-full (certificate and name are)"
            ));
        }
    };
    config.ssl_mode(SslMode::Require);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| StoreError(format!("TLS cannot be set up: {error}")))?;
    let roots = match authorities {
        None => None,
        Some(Authorities::File(path)) => Some(in_file(path)?),
        Some(Authorities::System) => Some(of_system()?),
    };
    let client = match roots {
        Some(roots) if named => builder.with_root_certificates(roots),
        roots => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { provider, roots })),
    };
    Ok(Some(MakeRustlsConnect::new(client.with_no_client_auth())))
}

fn in_file(path: &str) -> StoreResult<RootCertStore> {
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

fn of_system() -> StoreResult<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system has one or the other that nobody can read, and whoever uses it does without.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(StoreError(format!(
            "this system trusts no certificates{why}: install its ca-certificates, or name the file of the authority that signed the \
             server's, as in sslmode=verify-full&sslrootcert=/etc/alpes/root.crt"
        )));
    }
    Ok(roots)
}

/// Takes a server of any name: with `sslmode=verify-ca` one whose certificate comes from these authorities, with `require` any, so that
/// nobody reads along but who the server is stays open. That it holds the certificate's key is checked all the same: a login that is bound
/// to the channel rests on that.
#[derive(Debug)]
struct AnyName {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let certificate = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, between, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
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
        for weak in ["?sslmode=verify-ca", "?sslmode=verify-ca&sslrootcert=system", "?sslmode=require&sslrootcert=system"] {
            assert!(refused(&format!("postgres://u@h/d{weak}")).contains("sslrootcert=/"), "{weak}");
        }
        let whom = refused("postgres://u@h/d?sslmode=verify-full");
        assert!(
            whom.contains("sslrootcert=system") && whom.contains("sslrootcert=/") && whom.contains("~/.postgresql"),
            "{whom}"
        );
        assert!(refused("postgres://u@h/d?sslmode=prefer").contains("verify-full"));
        assert!(refused("postgres://u@h/d?sslrootcert=/x").contains("sslmode=verify-full"));
        assert!(refused("postgres://u@h/d?sslmode=verify-full&sslrootcert=/nowhere/x.crt").contains("/nowhere/x.crt"));
        assert!(Address::parse("postgres://u@h/d").expect("no TLS is asked for").tls.is_none());
        assert!(Address::parse("postgres://u@h/d?sslmode=require").expect("any server will do").tls.is_some());
    }
}
