//! Connections: accepted, spoken to in HTTP/1.1, and brought to an end without a request lost.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::Service;

use crate::patient::Patient;

/// How long the head of a request may take to come, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// The largest head of a request that is read at all, in bytes, and about what is buffered of an answer. Below it [`crate::HEADERS_MAX`] and
/// [`crate::TARGET_MAX`] are answered as problems; beyond it, beyond 100 headers and beyond 64 KiB of path and query, hyper says 431 or 414
/// without a body.
const HEAD_MAX_BYTES: usize = 128 << 10;
/// What is said to one connection too many, whatever it asks.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 108\r\n\r\n{\"type\":\"/problems/busy\",\"title\":\"Busy\",\"status\":503,\"code\":\"busy\",\"detail\":\"too many connections are open\"}";
/// Connections that may wait to be accepted; the system may allow fewer. One that finds no place is tried again by its client's system, later
/// each time, up to half a minute.
const BACKLOG: u32 = 4096;
/// Connections too many of which it is waited, for a moment, until their client has read that.
const TURNED_AWAY_MAX: usize = 256;
/// How long.
const TURNED_AWAY: Duration = Duration::from_secs(1);
/// How long requests that are under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// A socket that listens, and where.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    at_most: usize,
    /// Its address, with the port that it was given.
    pub address: SocketAddr,
}

impl Listening {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken, or is none of this machine.
    pub async fn on(address: SocketAddr) -> io::Result<Listening> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A port that was in use a moment ago may be taken again; elsewhere this would let two programs share one.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Listening::over(socket.listen(BACKLOG)?)
    }

    /// Takes a socket that listens already.
    ///
    /// # Errors
    /// When it has no address.
    pub fn over(listener: TcpListener) -> io::Result<Listening> {
        let address = listener.local_addr()?;
        Ok(Listening { listener, at_most: Semaphore::MAX_PERMITS, address })
    }

    /// Serves so many connections at the same time; one more is answered 503 and closed.
    #[must_use]
    pub fn at_most(self, connections: usize) -> Listening {
        Listening { at_most: connections, ..self }
    }
}

/// Serves until `shutdown` is there; then takes no more connections, lets each finish the request that it is in (ten seconds at most),
/// and returns. The owner must still run while this does.
pub async fn serve(listening: Listening, router: Router, shutdown: impl Future<Output = ()>) {
    let Listening { listener, at_most, .. } = listening;
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let (stop, stopping) = watch::channel(());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_MAX_BYTES);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            // One of the receivers is this function's own.
            Ok((socket, _)) if stop.receiver_count() > at_most => turn_away(socket, &turned_away),
            Ok((socket, _)) => {
                tokio::spawn(connection(http.clone(), socket, router.clone(), stopping.clone()));
            }
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                // Mostly too many open files: those that are open must end first.
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop((listener, stopping));
    stop.send_replace(());
    if tokio::time::timeout(GRACE, stop.closed()).await.is_err() {
        tracing::warn!(connections = stop.receiver_count(), "requests that took too long are cut off");
    }
}

/// Says to one connection too many that it is one. A socket that is closed with something unread in it is reset, and what was said on it may be
/// lost; so what comes is thrown away for a moment, as long as there are not too many of these either.
fn turn_away(socket: TcpStream, places: &Arc<Semaphore>) {
    // What does not fit into the socket's buffer is lost with it: nobody waits to say it.
    let _said = socket.try_write(FULL);
    let Ok(place) = places.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        let mut socket = socket;
        let until_it_goes = async {
            if socket.shutdown().await.is_ok() {
                while socket.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
            }
        };
        let _in_time = tokio::time::timeout(TURNED_AWAY, until_it_goes).await;
        drop(place);
    });
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn connection(http: http1::Builder, socket: TcpStream, router: Router, mut stopping: watch::Receiver<()>) {
    if let Err(error) = socket.set_nodelay(true) {
        // It has been closed already; the next read says so.
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    let service = service_fn(move |request: Request<Incoming>| answer(router.clone(), request));
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(Patient::new(socket)), service));
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
    }
    log(connection.await);
}

fn answer(mut router: Router, request: Request<Incoming>) -> impl Future<Output = Result<Response, Infallible>> {
    Service::call(&mut router, request.map(Body::new))
}

/// A client that goes, or says what is no HTTP, is its own affair.
fn log(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
