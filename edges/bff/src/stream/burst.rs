//! Bursts: events as subscribers read them, many in one piece of memory that all of them share.

use std::ops::Range;

use axum::body::Bytes;
use seedwork::message::Packet;
use seedwork::store::{Partition, Place};

use super::filter::Asked;
use super::place::Places;

/// Bytes of frames in one burst, unless its last frame goes beyond.
const BYTES: usize = 64 << 10;
/// Frames that a burst has room for before it must grow.
const FRAMES: usize = 128;

/// Frames that are handed on together.
#[derive(Debug)]
pub(super) struct Burst {
    /// Where the log was before the first of them, and after the last.
    pub before: Places,
    pub after: Places,
    pub frames: Vec<Frame>,
    pub bytes: Bytes,
    /// What filters ask of the frames.
    asked: String,
}

/// An event as a subscriber reads it: where it stands, which bytes of its burst it is, and where what a filter asks of it is written.
#[derive(Debug)]
pub(super) struct Frame {
    pub partition: usize,
    pub place: Place,
    pub bytes: Range<usize>,
    kind: Range<usize>,
    key: Range<usize>,
    tenant: Option<Range<usize>>,
}

impl Burst {
    /// Bytes of memory that it holds.
    pub fn weight(&self) -> usize {
        let places = size_of_val(&*self.before.0) + size_of_val(&*self.after.0);
        size_of::<Burst>() + places + self.bytes.len() + size_of_val(&*self.frames) + self.asked.len()
    }

    /// What a filter asks of one of its frames.
    pub fn asked(&self, frame: &Frame) -> Asked<'_> {
        let text = |range: &Range<usize>| self.asked.get(range.clone()).unwrap_or_default().into();
        Asked { kind: text(&frame.kind), key: text(&frame.key), tenant: frame.tenant.as_ref().map(text) }
    }
}

/// Bursts that are being made, frame after frame. Whoever adds a frame copies it, and hands on nothing that others must let go of.
#[derive(Debug, Default)]
pub(super) struct Making {
    full: Vec<Burst>,
    open: Option<Open>,
    /// Of all frames.
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    before: Places,
    frames: Vec<Frame>,
    text: String,
    asked: String,
}

impl Open {
    fn close(mut self, after: Places) -> Burst {
        // A quiet burst holds one event, and may lie in the ring for hours beside thousands like it.
        self.text.shrink_to_fit();
        self.frames.shrink_to_fit();
        self.asked.shrink_to_fit();
        Burst { before: self.before, after, frames: self.frames, bytes: self.text.into(), asked: self.asked }
    }
}

impl Making {
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes of all frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the event at a place of this partition; `places` are those before it, and go on to it.
    pub fn add(&mut self, partition: usize, place: Place, packet: &Packet, places: &mut Places, partitions: &[Partition]) {
        let open = self.open.get_or_insert_with(|| Open {
            before: places.clone(),
            frames: Vec::with_capacity(FRAMES),
            text: String::with_capacity(BYTES + BYTES / 8),
            asked: String::with_capacity(FRAMES * 64),
        });
        places.advance(partition, place);
        let start = open.text.len();
        match std::str::from_utf8(packet.raw()) {
            Ok(raw) => write_frame(places, partitions, raw, &mut open.text),
            Err(_) => write_frame(places, partitions, &String::from_utf8_lossy(packet.raw()), &mut open.text),
        }
        self.bytes += open.text.len() - start;
        let mut ask = |text: &str| {
            open.asked.push_str(text);
            open.asked.len() - text.len()..open.asked.len()
        };
        let envelope = &packet.envelope;
        let (kind, key, tenant) = (ask(&envelope.kind), ask(&envelope.key), envelope.tenant.as_deref().map(ask));
        open.frames.push(Frame { partition, place, bytes: start..open.text.len(), kind, key, tenant });
        if open.text.len() >= BYTES {
            let open = self.open.take();
            self.full.extend(open.map(|open| open.close(places.clone())));
        }
    }

    /// Those that have been made, up to these places.
    pub fn finish(self, places: &Places) -> Vec<Burst> {
        let mut bursts = self.full;
        bursts.extend(self.open.map(|open| open.close(places.clone())));
        bursts
    }
}

/// An event, as the specification of server-sent events wants it (WHATWG HTML §9.2).
pub(super) fn write_frame(places: &Places, partitions: &[Partition], raw: &str, into: &mut String) {
    into.push_str("id: ");
    places.write(partitions, into);
    let mut line = |line: &str| {
        into.push_str("\ndata: ");
        into.push_str(line);
    };
    // JSON that we have written is one line, which is seen at once; whatever else it is stays one event.
    match raw.bytes().fold(false, |found, byte| found | (byte == b'\n') | (byte == b'\r')) {
        false => line(raw),
        true => raw.split(['\n', '\r']).for_each(line),
    }
    into.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seedwork::message::Envelope;

    use super::*;

    fn packet(key: &str, tenant: Option<&str>, profile: usize) -> Packet {
        let asked = Envelope::asked("partner/0/7/1", "partner", "local", 1);
        let envelope = Envelope { kind: "partner.banned.v1".into(), key: key.into(), tenant: tenant.map(Arc::from), ..asked };
        Packet::encode(envelope, "PartnerBanned", format!("{{\"profile\":\"{}\"}}", "x".repeat(profile)).as_bytes()).unwrap()
    }

    #[test]
    fn bursts_follow_on_each_other_and_their_frames_are_their_bytes() {
        let partitions = vec![Partition { context: "partner".into(), number: 0 }];
        let mut places = Places(vec![Some(Place { epoch: 7, position: 0 })]);
        let mut making = Making::default();
        let events: Vec<Packet> =
            (1..=9).map(|number| packet(&format!("p-{number}"), (number % 2 == 0).then_some("t-1"), 20_000)).collect();
        for (packet, position) in events.iter().zip(1..) {
            making.add(0, Place { epoch: 7, position }, packet, &mut places, &partitions);
        }
        let bytes = making.bytes();
        let bursts = making.finish(&places);
        // Four of 20 kB go beyond 64 KiB.
        assert_eq!(bursts.iter().map(|burst| burst.frames.len()).collect::<Vec<_>>(), [4, 4, 1]);
        assert_eq!(bursts.iter().map(|burst| burst.bytes.len()).sum::<usize>(), bytes);
        assert_eq!((&bursts[0].before.0[0], &bursts[2].after), (&Some(Place { epoch: 7, position: 0 }), &places));
        for pair in bursts.windows(2) {
            assert_eq!(pair[0].after, pair[1].before);
        }
        let mut left = events.iter();
        for burst in &bursts {
            for frame in &burst.frames {
                let packet = left.next().unwrap();
                let expected =
                    format!("id: 7.partner/0:{}\ndata: {}\n\n", frame.place.position, str::from_utf8(packet.raw()).unwrap());
                assert_eq!(burst.bytes[frame.bytes.clone()], *expected.as_bytes());
                let envelope = &packet.envelope;
                let asked = burst.asked(frame);
                let expected = (&*envelope.kind, &*envelope.key, envelope.tenant.as_deref());
                assert_eq!((&*asked.kind, &*asked.key, asked.tenant.as_deref()), expected);
            }
        }
    }

    #[test]
    fn an_event_of_several_lines_stays_one_event() {
        let mut text = String::new();
        write_frame(&Places(vec![None]), &[], "{\n\"a\":\r1}", &mut text);
        assert_eq!(text, "id: 0\ndata: {\ndata: \"a\":\ndata: 1}\n\n");
    }
}
