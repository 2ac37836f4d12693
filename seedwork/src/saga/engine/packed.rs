//! How the children of a saga's rows are stored: a letter each, so a fan-out over a thousand is two kilobytes.
//!
//! A row is written as `steps|undos|tries`: one letter per child and direction, and of the children that took more than one attempt
//! `index:steps:undos`, joined by commas. An undo part without a letter means that none was sent.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use super::{Child, Progress};

fn letter(progress: Progress) -> char {
    match progress {
        Progress::Unsent => '-',
        Progress::Sent => 's',
        Progress::Done => 'd',
        Progress::Refused => 'r',
        Progress::Dead => 'x',
        Progress::Resolved => 'o',
    }
}

fn progress(letter: char) -> Option<Progress> {
    Some(match letter {
        '-' => Progress::Unsent,
        's' => Progress::Sent,
        'd' => Progress::Done,
        'r' => Progress::Refused,
        'x' => Progress::Dead,
        'o' => Progress::Resolved,
        _ => return None,
    })
}

/// The attempts that a letter alone stands for.
fn usual(progress: Progress) -> u16 {
    u16::from(progress != Progress::Unsent)
}

fn pack(children: &[Child]) -> String {
    let mut text = String::with_capacity(2 * children.len() + 2);
    text.extend(children.iter().map(|child| letter(child.step)));
    text.push('|');
    if children.iter().any(|child| child.undo != Progress::Unsent) {
        text.extend(children.iter().map(|child| letter(child.undo)));
    }
    text.push('|');
    let odd = |child: &Child| child.step_attempt != usual(child.step) || child.undo_attempt != usual(child.undo);
    for (place, (index, child)) in children.iter().enumerate().filter(|(_, child)| odd(child)).enumerate() {
        let comma = if place > 0 { "," } else { "" };
        text.push_str(&format!("{comma}{index}:{}:{}", child.step_attempt, child.undo_attempt));
    }
    text
}

fn unpack(text: &str) -> Option<Vec<Child>> {
    let mut parts = text.split('|');
    let (steps, undos, tries) = (parts.next()?, parts.next()?, parts.next()?);
    let mut children = Vec::with_capacity(steps.len());
    let mut undos = undos.chars();
    for step in steps.chars() {
        let step = progress(step)?;
        let undo = undos.next().map_or(Some(Progress::Unsent), progress)?;
        children.push(Child { step, step_attempt: usual(step), undo, undo_attempt: usual(undo) });
    }
    for entry in tries.split(',').filter(|entry| !entry.is_empty()) {
        let mut numbers = entry.split(':');
        let child: &mut Child = children.get_mut(numbers.next()?.parse::<usize>().ok()?)?;
        child.step_attempt = numbers.next()?.parse().ok()?;
        child.undo_attempt = numbers.next()?.parse().ok()?;
    }
    Some(children)
}

pub fn serialize<S: Serializer>(rows: &[Vec<Child>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rows.iter().map(|row| pack(row)))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<Child>>, D::Error> {
    let rows = Vec::<String>::deserialize(deserializer)?;
    rows.iter().map(|row| unpack(row).ok_or_else(|| D::Error::custom(format!("{row:?} is not a saga's row")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_children_is_read_back_as_it_was() {
        use Progress::*;
        let child = |step, step_attempt, undo, undo_attempt| Child { step, step_attempt, undo, undo_attempt };
        for row in [
            vec![],
            vec![child(Done, 1, Unsent, 0); 3],
            vec![child(Sent, 4, Unsent, 0), child(Refused, 1, Unsent, 0), child(Dead, 1, Sent, 2), child(Resolved, 2, Done, 1)],
        ] {
            assert_eq!(unpack(&pack(&row)), Some(row));
        }
        assert_eq!(unpack("q||"), None);
        assert_eq!(unpack("d||7:1:1"), None, "an attempt of a child that is not there");
    }
}
