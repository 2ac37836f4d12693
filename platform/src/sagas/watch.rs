//! A saga, followed until it ends: the server is asked for it once, and again only to answer when it has moved.

use std::time::Duration;

use super::show::Whole;
use crate::client::{Client, part, pause, understood};
use crate::print::{self, Cell, Table};
use crate::settings::Settings;
use crate::trouble::{Exit, Trouble};

/// How long the server waits for a move before it says that there was none, and is asked again.
const WAIT: Duration = Duration::from_secs(20);
/// Between two attempts to reach a server that has gone away, at first and at most …
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// … and how long it may be away.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Prints what happens until it has ended. As JSON, one line for each change of it that was seen, the last one whole as it ended.
///
/// A server that goes away may come back: what it has told already is not told again.
///
/// # Errors
/// When the server was not there at first or does not come back, or the saga ended otherwise than completed.
pub(super) fn watch(mut client: Client, settings: &Settings, id: &str, json: bool) -> Result<(), Trouble> {
    let path = format!("/v1/sagas/{}", part(id));
    let (mut told, mut tag, mut stuck) = (0, None::<String>, false);
    let (mut away, mut again) = (Duration::ZERO, AGAIN.0);
    loop {
        let seen = match client.changed(&path, tag.as_deref(), WAIT) {
            Ok(seen) => seen,
            Err(trouble) if tag.is_some() && trouble.status() == Exit::NoServer && away < AWAY_MAX => {
                if away.is_zero() {
                    print::note(&format!("{trouble}; it is tried again for {} seconds", AWAY_MAX.as_secs()));
                }
                pause(again);
                away += again;
                again = (again * 2).min(AGAIN.1);
                client.look_again(settings)?;
                continue;
            }
            Err(trouble) => return Err(trouble),
        };
        (away, again) = (Duration::ZERO, AGAIN.0);
        let Some((body, version)) = seen else { continue };
        tag = Some(version);
        let saga: Whole = understood(&body)?;
        if json {
            print::line(&body);
        } else {
            for line in saga.log.iter().skip(told) {
                let mut one = Table::wide(&[23, 4, 12]);
                one.row(line.cells());
                one.print();
            }
        }
        told = saga.log.len();
        let status = &*saga.summary.status;
        if saga.summary.has_ended() {
            if !json {
                let mut end = Table::default();
                end.row([Cell::strong(id), saga.summary.status()]);
                end.print();
            }
            let completed = status == "completed" && saga.summary.exceptions.is_empty();
            return if completed { Ok(()) } else { Err(Trouble::silent(Exit::OtherEnd)) };
        }
        if status == "stuck" && !stuck {
            print::note(&format!("saga {id} is stuck and waits for an operator; `alpes sagas show {id}` says where"));
        }
        stuck = status == "stuck";
    }
}
