//! Why an encrypted broker does not let a client in: what passes by itself is told from what somebody has to mend.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pulsar::message::proto::ServerError;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use seedwork::broker::pulsar::{Pulsar, Settings};

use crate::fake::Fake;

/// An encrypted broker under the name `localhost`, and the certificate of the authority that vouches for it, as a file holds it.
fn encrypted() -> (Fake, Vec<u8>) {
    let folder = std::env::temp_dir().join(format!("alpes-pulsar-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let lines = [
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ours.key -out ours.crt -days 2 -subj /CN=ours -batch",
        "openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost -batch",
        "echo subjectAltName=DNS:localhost >names",
        "openssl x509 -req -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial -days 2 -extfile names -out server.crt",
    ];
    let made = Command::new("sh").args(["-ec", &lines.join("\n")]).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = CertificateDer::from_pem_file(folder.join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let authority = std::fs::read(folder.join("ours.crt")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    (Fake::encrypted(Arc::new(config)), authority)
}

#[test]
fn an_encrypted_broker_that_cuts_off_is_waited_for_and_one_that_refuses_or_is_not_trusted_is_not() {
    let (fake, authority) = encrypted();
    let settings = |url: &str, trusted: bool| Settings {
        partitions: 2,
        patience: Duration::from_secs(2),
        certificates: trusted.then(|| authority.clone()),
        ..Settings::new(url, "one")
    };
    let ours = settings(&fake.url, true);
    assert_eq!(Pulsar::check(&ours), Ok(()));
    // The crate's own greeting and the one that asks why; then the broker is there again between the two.
    for (cut, says) in [(2, "cut the connection off during the greeting"), (1, "took no connection a moment ago")] {
        fake.fault(|faults| faults.cut_greeting = cut);
        let trouble = Pulsar::check(&ours).unwrap_err();
        assert!(trouble.passes && trouble.text.contains(says) && !trouble.text.contains('\n'), "{trouble:?}");
        assert_eq!(Pulsar::check(&ours), Ok(()), "and then it is over");
    }
    for (refused, passes) in [(ServerError::AuthenticationError, false), (ServerError::ServiceNotReady, true)] {
        fake.fault(|faults| faults.refuse_greeting = Some(refused));
        let trouble = Pulsar::check(&ours).unwrap_err();
        assert!(trouble.passes == passes && trouble.text.contains("so it is"), "the broker's own words: {trouble:?}");
    }
    fake.fault(|faults| faults.refuse_greeting = None);

    // Nobody vouches for it here; it has another name; it speaks no TLS, or is spoken to without.
    let plain = Fake::start();
    let elsewhere = fake.url.replace("localhost", "127.0.0.1");
    for (url, trusted) in [(&fake.url, false), (&elsewhere, true)] {
        let trouble = Pulsar::check(&settings(url, trusted)).unwrap_err();
        assert!(!trouble.passes && trouble.text.contains("there is no TLS"), "{url}: {trouble:?}");
        assert!(trouble.text.contains("trusted here and names this host") && !trouble.text.contains('\n'), "{url}: {trouble:?}");
    }
    for url in [fake.url.replace("+ssl", ""), plain.url.replace("pulsar://127.0.0.1", "pulsar+ssl://localhost")] {
        let trouble = Pulsar::check(&settings(&url, true)).unwrap_err();
        assert!(trouble.text.contains("pulsar+ssl://") && !trouble.text.contains('\n'), "{url}: {trouble:?}");
    }
}
