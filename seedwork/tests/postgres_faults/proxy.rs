//! Between a store and its server: lets bytes through, holds them back, or cuts the cable.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Default)]
struct State {
    /// Answers are thrown away.
    mute: bool,
    /// What is sent waits here.
    hold: bool,
    /// What is sent waits from this text on.
    hold_after: Option<&'static str>,
    held: bool,
    open: Vec<TcpStream>,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// See the module's text.
pub struct Proxy {
    /// The URL of the database by way of it.
    pub url: String,
    shared: Shared,
}

impl Proxy {
    pub fn before(url: &str) -> Proxy {
        let (user, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{user}@{}/{database}", listener.local_addr().unwrap());
        let shared = Shared::default();
        let (server, state) = (server.to_owned(), shared.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                    state.0.lock().unwrap().open.push(stream.try_clone().unwrap());
                }
                let (answers, asks) = ((server.try_clone().unwrap(), client.try_clone().unwrap()), (client, server));
                let (up, down) = (state.clone(), state.clone());
                std::thread::spawn(move || carry(asks.0, asks.1, &up, true));
                std::thread::spawn(move || carry(answers.0, answers.1, &down, false));
            }
        });
        Proxy { url, shared }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
    }

    /// From now on, answers go nowhere.
    pub fn mute(&self) {
        self.change(|state| state.mute = true);
    }

    /// Ends all connections, and lets new ones through.
    pub fn cut(&self) {
        self.change(|state| {
            state.mute = false;
            for stream in state.open.drain(..) {
                // It may be closed already.
                let _closed = stream.shutdown(Shutdown::Both);
            }
        });
    }

    /// Holds back what is sent.
    pub fn hold(&self) {
        self.change(|state| state.hold = true);
    }

    /// Lets through what is sent before this text, and holds back the rest.
    pub fn hold_after(&self, text: &'static str) {
        self.change(|state| state.hold_after = Some(text));
    }

    /// Returns when something is held back.
    pub fn wait_for_bytes(&self) {
        let state = self.shared.0.lock().unwrap();
        drop(self.shared.1.wait_while(state, |state| !state.held).unwrap());
    }

    /// Lets through what was held back.
    pub fn release(&self) {
        self.change(|state| {
            state.hold = false;
            state.hold_after = None;
        });
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, shared: &Shared, asks: bool) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut bytes = &buffer[..count];
        let mut state = shared.0.lock().unwrap();
        if !asks && state.mute {
            continue;
        }
        if asks {
            let found = state.hold_after.and_then(|text| bytes.windows(text.len()).position(|part| part == text.as_bytes()));
            if let Some(place) = found {
                // The message begins five bytes before its text: its kind and its length.
                let (before, rest) = bytes.split_at(place - 5);
                if to.write_all(before).is_err() {
                    break;
                }
                bytes = rest;
                state.hold = true;
            }
            if state.hold {
                state.held = true;
                shared.1.notify_all();
                state = shared.1.wait_while(state, |state| state.hold).unwrap();
            }
        }
        drop(state);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Both);
}
