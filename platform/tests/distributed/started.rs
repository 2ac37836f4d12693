//! Services that are started before what they need, and services that are told something that is not so.
#![expect(clippy::disallowed_methods, reason = "what stands between a service and a server has threads of its own")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::{Stack, campaign, free_port, until};

/// From now on whoever connects to this port reaches the other one, as long as the process lives.
fn open(port: u16, to: u16) {
    open_but(port, to, |_| false);
}

/// As [`open`], but until that is true whoever connects is cut off when it has said something.
fn open_when(port: u16, to: u16, through: Arc<AtomicBool>) {
    open_but(port, to, move |one| {
        let shut = !through.load(Ordering::SeqCst);
        if shut {
            // Whether it has said something or gone, it is cut off.
            let _said = one.read(&mut [0; 8]);
        }
        shut
    });
}

/// As [`open`], but for those with whom this is done.
fn open_but(port: u16, to: u16, mut done: impl FnMut(&mut TcpStream) -> bool + Send + 'static) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    std::thread::spawn(move || {
        for one in listener.incoming() {
            let Ok(mut one) = one else { continue };
            if done(&mut one) {
                continue;
            }
            let Ok(other) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            for (from, into) in [(one.try_clone(), other.try_clone()), (Ok(other), Ok(one))] {
                let (Ok(mut from), Ok(mut into)) = (from, into) else { continue };
                std::thread::spawn(move || {
                    // Whoever ends it ends both ways.
                    let _ended = std::io::copy(&mut from, &mut into);
                    let _closed = into.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
}

/// A service that lives, is not ready, and says why.
fn waits(stack: &Stack, service: &str, why: &str) {
    until("it lives", || (stack.get_at(service, "/healthz").status == 200).then_some(()));
    until("it says why it is not ready", || {
        let told = stack.get_at(service, "/readyz");
        assert_eq!((told.status, &told.json["code"]), (503, &json!("starting")), "{told:?}");
        told.json["detail"].as_str().is_some_and(|text| text.contains(why)).then_some(())
    });
    assert_eq!(stack.get_at(service, "/health").status, 200);
    assert_eq!(stack.get_at(service, "/v1/campaigns").json["code"], "starting");
}

#[test]
fn services_that_start_before_the_broker_go_on_when_it_comes() {
    let port = free_port();
    let Some(mut stack) = Stack::find().map(|stack| stack.between(None, Some(port))) else { return };
    for service in ["campaign", "bff"] {
        stack.launch(service);
    }
    for service in ["campaign", "bff"] {
        waits(&stack, service, "no broker can be reached");
    }
    open(port, stack.server_ports()[1]);
    for service in ["campaign", "bff"] {
        until("it is ready", || (stack.get_at(service, "/readyz").status == 200).then_some(()));
    }
    let told = stack.post("/v1/campaigns", 0, &campaign("c-1", "b-1", 1));
    assert_eq!(told.status, 202, "{told:?}");
    until("it is there", || (stack.get("/v1/campaigns/c-1").status == 200).then_some(()));
    ["campaign", "bff"].into_iter().for_each(|service| stack.stop(service));
}

#[test]
fn services_that_are_cut_off_while_they_greet_the_broker_wait_and_go_on_when_it_listens() {
    let port = free_port();
    let Some(mut stack) = Stack::find().map(|stack| stack.between(None, Some(port))) else { return };
    let through = Arc::new(AtomicBool::new(false));
    open_when(port, stack.server_ports()[1], through.clone());
    for service in ["campaign", "bff"] {
        stack.launch(service);
    }
    for service in ["campaign", "bff"] {
        waits(&stack, service, "cut the connection off during the greeting");
    }
    through.store(true, Ordering::SeqCst);
    for service in ["campaign", "bff"] {
        until("it is ready", || (stack.get_at(service, "/readyz").status == 200).then_some(()));
        stack.stop(service);
    }
}

#[test]
fn a_service_that_starts_before_its_database_goes_on_when_it_comes_and_stops_when_it_is_told_to_before() {
    let port = free_port();
    let Some(mut stack) = Stack::find().map(|stack| stack.between(Some(port), None)) else { return };
    stack.launch("campaign");
    waits(&stack, "campaign", "the database of campaign cannot be used");
    stack.stop("campaign");
    stack.launch("campaign");
    waits(&stack, "campaign", "cannot connect to PostgreSQL");
    open(port, stack.server_ports()[0]);
    until("it is ready", || (stack.get_at("campaign", "/readyz").status == 200).then_some(()));
    let held = || stack.get_at("campaign", "/v1/subscriptions").json["items"].as_array().map_or(0, Vec::len);
    until("it holds its partitions", || (held() > 0).then_some(()));
}

/// What PostgreSQL says to whoever asks for a database that is not there.
fn unknown_database(one: &mut TcpStream) {
    let fields = b"SFATAL\0VFATAL\0C3D000\0Mdatabase does not exist\0\0";
    let length = u32::try_from(fields.len() + 4).expect("it is short").to_be_bytes();
    let said = one.read(&mut [0; 1024]).and_then(|_| one.write_all(&[b"E", &length[..], fields].concat()));
    said.expect("a client that connects says what it wants, and hears the answer");
}

#[test]
fn what_looks_like_a_mistake_once_and_is_none_the_next_time_does_not_end_a_service() {
    let port = free_port();
    let Some(mut stack) = Stack::find().map(|stack| stack.between(Some(port), None)) else { return };
    let told = Arc::new(AtomicBool::new(false));
    let refused = told.clone();
    open_but(port, stack.server_ports()[0], move |one| {
        let first = !refused.swap(true, Ordering::SeqCst);
        if first {
            unknown_database(one);
        }
        first
    });
    stack.launch("campaign");
    until("it is ready", || (stack.get_at("campaign", "/readyz").status == 200).then_some(()));
    assert!(told.load(Ordering::SeqCst), "it was told so once");
    stack.stop("campaign");
}

#[test]
fn what_is_a_mistake_ends_the_service_with_a_line_that_says_what_to_do() {
    let Some(mut stack) = Stack::find() else { return };
    stack.namespace = Some("there_is_none".to_owned());
    for service in ["campaign", "bff"] {
        let (well, said) = Stack::ends(stack.command(service, &stack.database("{context}"), 0));
        assert!(!well && said.contains("knows no namespace") && said.contains("create it"), "{service}: {said}");
    }
    stack.namespace = None;
    let (well, said) = Stack::ends(stack.command("campaign", &stack.database("nobody"), 0));
    assert!(!well && said.contains("createdb"), "{said}");
}
