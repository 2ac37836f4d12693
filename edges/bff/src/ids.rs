//! Time, ids and hashes: what the edge mints, and what it derives so that a request that is sent again means the same.

use std::sync::{Mutex, PoisonError};

use seedwork::clock::{Chance, Clock};
use seedwork::message::Expected;
use sha2::{Digest, Sha256};

use crate::asked::Asked;

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

    /// The monotonic clock.
    pub fn monotonic(&self) -> std::time::Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.monotonic()
    }

    /// A W3C trace context that begins here: both its ids are of chance.
    pub fn trace(&self) -> String {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Neither may be all zeros.
        let mut bits = || shared.1.bits() | 1;
        format!("00-{:016x}{:016x}-{:016x}-01", bits(), bits(), bits())
    }

    /// A UUID version 7.
    pub fn fresh(&self) -> String {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = shared.0.now();
        shared.1.uuid_v7(now).to_string()
    }

    /// The one id that a request mints: derived from its idempotency key if it has one, so that sent again it means the same.
    pub fn minted(&self, asked: &Asked) -> String {
        asked.key.as_deref().map_or_else(|| self.fresh(), |key| derived(key, 1))
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

/// The hash of a request as it was sent: SHA-256 of its body, and of the versions that it is about if it says so, in hexadecimal digits.
pub(crate) fn hash(body: &[u8], expected: Option<&Expected>) -> Box<str> {
    let mut digest = Sha256::new_with_prefix(body);
    if let Some(expected) = expected {
        digest.update(format!("\0if-match {expected}"));
    }
    hex(&digest.finalize()).into()
}

/// A place in a list as clients keep it: opaque, and told from one that somebody made up.
pub(crate) fn seal(place: &str) -> String {
    hex(&mark(place)) + &hex(place.as_bytes())
}

/// Reads what [`seal`] wrote; none when it was not that.
pub(crate) fn unseal(cursor: &str) -> Option<String> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = cursor.as_bytes().chunks(2).map(digits).collect::<Option<Vec<u8>>>()?;
    let place = String::from_utf8(bytes.get(4..)?.to_vec()).ok()?;
    (seal(&place) == cursor).then_some(place)
}

/// Nothing is secret in it: whoever computes it has only named a place of which a list may be read.
fn mark(place: &str) -> [u8; 4] {
    let digest = Sha256::new().chain_update(b"alpes cursor\0").chain_update(place.as_bytes()).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
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
        assert_eq!(&*hash(b"abc", None), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_cursor_is_read_back_and_a_forged_one_is_none() {
        for place in ["", "p-1~c-1", "17.ñ"] {
            assert_eq!(unseal(&seal(place)).as_deref(), Some(place));
        }
        let good = seal("p-1");
        let other = seal("p-2");
        for forged in
            ["", "p-1", "zz", "0", &good[..8], &good[1..], &good.to_uppercase(), &format!("{}{}", &good[..8], &other[8..])]
        {
            assert_eq!(unseal(forged), None, "{forged}");
        }
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
