//! Every story of `walks`, told over HTTP to processes over PostgreSQL and Pulsar. They share one deployment.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use seedwork::store::postgres::Readers;
use seedwork::view::Read;
use serde_json::Value;
use walks::http::{Answer, Deployment, Scene};
use walks::stories;

use crate::support::Stack;

macro_rules! over_http {
    ($($file:ident: $($story:ident),*;)*) => {$(
        mod $file {
            use super::*;

            $(#[test]
            fn $story() {
                let Some(processes) = Processes::find() else { return };
                stories::$file::$story(|| Scene::new(&processes));
            })*
        }
    )*};
}

walks::each_story!(over_http);

/// It pauses what the others need.
#[test]
fn a_draft_belongs_to_its_registration_and_a_cancel_undoes_it() {
    let Some(processes) = Processes::start() else { return };
    walks::drafts::a_draft_belongs_to_its_registration_and_a_cancel_undoes_it(&*processes);
}

/// A running stack, and what reads its databases.
pub struct Processes {
    pub stack: Stack,
    stores: Vec<(&'static str, Readers)>,
}

impl Processes {
    /// New ones, of which nobody else knows. None, said loudly, when there are no servers.
    pub fn start() -> Option<Arc<Processes>> {
        let stack = Stack::find()?.all();
        let stores = bff::CONTEXTS.into_iter().map(|context| (context, Readers::new(&stack.database(context)).expect("a URL")));
        Some(Arc::new(Processes { stores: stores.collect(), stack }))
    }

    /// Those that other stories are told to at this time, or new ones. None, said loudly, when there are no servers.
    fn find() -> Option<Arc<Processes>> {
        static SHARED: Mutex<Weak<Processes>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Processes::start()?;
        *shared = Arc::downgrade(&started);
        Some(started)
    }
}

impl Deployment for Processes {
    fn send(&self, method: &str, path: &str, headers: &[(&'static str, String)], wait: u32, body: &Value) -> Answer {
        let told = self.stack.send(method, path, headers, wait, body);
        Answer { status: told.status, json: told.json }
    }

    fn stores(&self) -> Vec<(Vec<&'static str>, &dyn Read)> {
        self.stores.iter().map(|(context, store)| (vec![*context], store as &dyn Read)).collect()
    }
}
