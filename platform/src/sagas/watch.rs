//! A saga, followed until it ends.

use super::show::Whole;
use crate::client::{Client, part, pause, understood};
use crate::print::{self, Cell, Table};
use crate::trouble::{Exit, Trouble};

/// Prints what happens until it has ended. As JSON, one line for each change of it, the last one whole as it ended.
///
/// # Errors
/// When the server goes away, or the saga ended otherwise than completed.
pub(super) fn watch(client: &Client, id: &str, json: bool) -> Result<(), Trouble> {
    let path = format!("/v1/sagas/{}", part(id));
    let (mut told, mut last, mut stuck) = (0, String::new(), false);
    loop {
        let body = client.get(&path)?;
        let saga: Whole = understood(&body)?;
        if json {
            if body != last {
                print::line(&body);
                last = body;
            }
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
        pause();
    }
}
