//! Every story of `walks`, told over HTTP to one process with its store in a directory: what `alpes serve` is by default. They share it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use seedwork::store::sqlite::Readers;
use seedwork::view::Read;
use serde_json::Value;
use walks::http::{Answer, Deployment, Scene};
use walks::stories;

use crate::support::{Client, Folder, Server, alpes};

macro_rules! over_http {
    ($($file:ident: $($story:ident),*;)*) => {$(
        mod $file {
            use super::*;

            $(#[test]
            fn $story() {
                let process = Process::find();
                stories::$file::$story(|| Scene::new(&process));
            })*
        }
    )*};
}

walks::each_story!(over_http);

/// It pauses what the others need.
#[test]
fn a_draft_belongs_to_its_registration_and_a_cancel_undoes_it() {
    walks::drafts::a_draft_belongs_to_its_registration_and_a_cancel_undoes_it(&Process::start());
}

/// How long what names something unknown waits for it here: stories are told how that ends.
const NOT_YET: &str = "5s";

/// A running server, and what reads its store.
struct Process {
    server: Server,
    store: Readers,
    _folder: Folder,
}

impl Process {
    /// The one that other stories are told to at this time, or a new one.
    fn find() -> Arc<Process> {
        static SHARED: Mutex<Weak<Process>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Process::start());
        *shared = Arc::downgrade(&started);
        started
    }

    fn start() -> Process {
        let folder = Folder::new();
        let mut command = alpes(&folder.data());
        command.args(["--not-yet", NOT_YET]);
        let server = Server::listening(command, &folder);
        Process { server, store: Readers::new(&folder.store()), _folder: folder }
    }
}

impl Deployment for Process {
    fn send(&self, method: &str, path: &str, headers: &[(&'static str, String)], wait: u32, body: &Value) -> Answer {
        let mut lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        if wait > 0 {
            lines.push_str(&format!("prefer: wait={wait}\r\n"));
        }
        lines.push_str("connection: close\r\n");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        match Client::open(self.server.address).and_then(|mut client| client.ask(method, path, &lines, &body)) {
            Ok(told) => Answer { status: told.status, json: told.body },
            Err(error) => Answer { status: 0, json: error.to_string().into() },
        }
    }

    fn stores(&self) -> Vec<(Vec<&'static str>, &dyn Read)> {
        vec![(bff::CONTEXTS.to_vec(), &self.store)]
    }
}
