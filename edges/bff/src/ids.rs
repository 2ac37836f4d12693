//! Time, ids and hashes: what the edge mints, and what it derives so that a request that is sent again means the same.

use std::sync::{Mutex, PoisonError};

use seedwork::clock::{Chance, Clock};
use sha2::{Digest, Sha256};

/// The clock and the chance of the edge, shared by all requests.
pub(crate) struct Ids(Mutex<(Box<dyn Clock>, Chance)>);

impl Ids {
    pub fn new(clock: Box<dyn Clock>, chance: Chance) -> Ids {
        Ids(Mutex::new((clock, chance)))
    }

    /// Microseconds since 1970.
    pub fn now(&self) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.now()
    }

    /// A UUID version 7.
    pub fn fresh(&self) -> String {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = shared.0.now();
        shared.1.uuid_v7(now).to_string()
    }
}

/// The nth id that a request with this idempotency key has minted: a UUID version 8 (RFC 9562 §5.8) made of SHA-256.
pub(crate) fn derived(key: &str, nth: u32) -> String {
    let digest =
        Sha256::new().chain_update(b"alpes id\0").chain_update(nth.to_be_bytes()).chain_update(key.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// The hash of a body as it was sent: SHA-256, in hexadecimal digits.
pub(crate) fn hash(body: &[u8]) -> Box<str> {
    hex(&Sha256::digest(body)).into()
}

/// What tells one version of a document from another: an entity tag (RFC 9110 §8.8.3), made of its bytes.
pub(crate) fn tag(document: &[u8]) -> String {
    let digest = Sha256::digest(document);
    format!("\"{}\"", hex(digest.get(..12).unwrap_or_default()))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-4, the example "abc".
        assert_eq!(&*hash(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(tag(b"abc"), "\"ba7816bf8f01cfea414140de\"");
    }

    #[test]
    fn a_derived_id_is_a_uuid_that_key_and_number_decide() {
        let id = derived("key", 1);
        assert_eq!(id, derived("key", 1));
        assert_ne!(id, derived("key", 2));
        assert_ne!(id, derived("kez", 1));
        let uuid: uuid::Uuid = id.parse().unwrap();
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
    }
}
