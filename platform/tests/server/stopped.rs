//! Told to stop: what has begun is finished, and nothing is lost.

use super::load::{Load, prepare, verify};
use super::support::{Folder, Server, ask, signal};

#[test]
fn a_server_under_load_stops_when_told_and_loses_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    prepare(server.address);
    let load = Load::start(server.address, 8, "stop");
    load.reach(100);
    let ended = server.stop();
    let asked = load.finish();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.error);
    assert_eq!(ended.error, "", "it stops without a word");
    assert_eq!(std::fs::read_to_string(folder.data().join("lock")).expect("the lock file is kept"), "", "nobody holds it");
    verify(Server::start(&folder).address, &asked);
}

#[test]
fn an_idle_server_stops_at_once_on_ctrl_c_too() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    // A connection that stays open and says nothing does not hold it up.
    let _idle = std::net::TcpStream::connect(server.address).expect("it listens");
    assert_eq!(ask(server.address, "GET", "/v1/campaigns", "").status, 200);
    signal("INT", server.process());
    let ended = server.ended();
    assert_eq!((ended.status.code(), ended.error.as_str()), (Some(0), ""));
}
