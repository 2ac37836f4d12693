//! Where in the log of all streams somebody is: the id of an event.
//!
//! Events come from several streams, one for each partition, and no number orders them all. An id therefore names the last place taken
//! of each: `1764150000000.campaign/0:12.partner/0:5.tracking/0:9` is an epoch, then stream after stream with its position in it; where
//! a stream is in another epoch, that stands before it.

use seedwork::store::{Partition, Place};

/// The longest id that is read, in characters: room for three contexts with 256 partitions.
const ID_MAX: usize = 16 << 10;

/// A place in each of these partitions; before the first row where it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places(pub Vec<Option<Place>>);

impl Places {
    /// Before everything.
    pub fn beginning(partitions: &[Partition]) -> Places {
        Places(vec![None; partitions.len()])
    }

    pub fn of(&self, partition: usize) -> Option<Place> {
        self.0.get(partition).copied().flatten()
    }

    /// Goes on to a place, unless it is beyond it already. Whether it went.
    pub fn advance(&mut self, partition: usize, to: Place) -> bool {
        match self.0.get_mut(partition) {
            Some(place) if *place < Some(to) => {
                *place = Some(to);
                true
            }
            _ => false,
        }
    }

    /// Writes it as an id.
    pub fn write(&self, partitions: &[Partition], into: &mut String) {
        let mut epoch = None;
        for (partition, place) in partitions.iter().zip(&self.0) {
            let Some(place) = place else { continue };
            // Without the formatting machinery: every event has an id, with a part for each stream.
            let mut digits = itoa::Buffer::new();
            if epoch.is_some() {
                into.push('.');
            }
            if epoch != Some(place.epoch) {
                into.push_str(digits.format(place.epoch));
                into.push('.');
            }
            into.push_str(&partition.context);
            into.push('/');
            into.push_str(digits.format(partition.number));
            into.push(':');
            into.push_str(digits.format(place.position));
            epoch = Some(place.epoch);
        }
        if epoch.is_none() {
            into.push('0');
        }
    }

    /// Reads an id; `0` is the beginning. Why it is none, in words.
    pub fn parse(text: &str, partitions: &[Partition]) -> Result<Places, String> {
        let mut places = Places::beginning(partitions);
        if text == "0" {
            return Ok(places);
        }
        if text.is_empty() || text.len() > ID_MAX {
            return Err(format!("an id has 1 to {ID_MAX} characters"));
        }
        let mut epoch: Option<u64> = None;
        let mut any = false;
        for part in text.split('.') {
            let Some((name, position)) = part.split_once(':') else {
                epoch = Some(
                    number(part).ok_or_else(|| format!("{} is neither an epoch nor a stream with its position", shown(part)))?,
                );
                continue;
            };
            let position = number(position).ok_or_else(|| format!("{} is no position", shown(position)))?;
            let epoch = epoch.ok_or("no epoch stands before its first stream")?;
            let index = partitions.iter().position(|partition| {
                name.rsplit_once('/')
                    .is_some_and(|(context, number)| context == &*partition.context && number == partition.number.to_string())
            });
            let index = index.ok_or_else(|| format!("it names a stream {} that this server has not", shown(name)))?;
            if let Some(place) = places.0.get_mut(index)
                && place.replace(Place { epoch, position }).is_some()
            {
                return Err(format!("it names the stream {} twice", shown(name)));
            }
            any = true;
        }
        if any { Ok(places) } else { Err("it names no stream".to_owned()) }
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && i64::try_from(*number).is_ok())
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions() -> Vec<Partition> {
        ["campaign", "partner", "tracking"].map(|name| Partition { context: name.into(), number: 0 }).into()
    }

    #[test]
    fn an_id_names_a_place_in_every_stream_and_is_read_back() {
        let place = |epoch, position| Some(Place { epoch, position });
        for (places, id) in [
            (vec![place(7, 12), place(7, 0), place(7, 9)], "7.campaign/0:12.partner/0:0.tracking/0:9"),
            (vec![place(7, 12), place(8, 1), place(8, 2)], "7.campaign/0:12.8.partner/0:1.tracking/0:2"),
            (vec![None, place(8, 1), None], "8.partner/0:1"),
            (vec![None; 3], "0"),
        ] {
            let places = Places(places);
            let mut written = String::new();
            places.write(&partitions(), &mut written);
            assert_eq!(written, id);
            assert_eq!(Places::parse(id, &partitions()), Ok(places));
        }
    }

    #[test]
    fn what_is_no_id_is_told_why() {
        for (text, why) in [
            ("", "1 to 16384"),
            (&"9".repeat(20_000), "1 to 16384"),
            ("7", "names no stream"),
            ("campaign/0:1", "no epoch"),
            ("x.campaign/0:1", "neither"),
            ("7.campaign/0:", "no position"),
            ("7.campaign/0:-1", "no position"),
            ("7.campaign/0:99999999999999999999", "no position"),
            ("7.campaign/0:1.campaign/0:2", "twice"),
            ("7.flights/0:1", "has not"),
            ("7.campaign/00:1", "has not"),
            ("7.campaign/1:1", "has not"),
            ("7..campaign/0:1", "neither"),
            ("ñ", "neither"),
        ] {
            let told = Places::parse(text, &partitions()).unwrap_err();
            assert!(told.contains(why), "{text:.20}: {told}");
        }
    }

    #[test]
    fn a_place_never_goes_back() {
        let mut places = Places::beginning(&partitions());
        let place = |epoch, position| Place { epoch, position };
        assert!(places.advance(0, place(7, 5)));
        assert!(!places.advance(0, place(7, 5)) && !places.advance(0, place(6, 9)) && !places.advance(9, place(8, 1)));
        assert!(places.advance(0, place(8, 1)));
        assert_eq!(places.of(0), Some(place(8, 1)));
    }
}
