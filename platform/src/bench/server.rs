//! A server of one's own: a process, in a data directory that is deleted afterwards unless it is to be kept.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::machine::Gauge;
use crate::trouble::Trouble;

/// A server to drive.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its counters.
    pub gauge: Gauge,
    /// Held: dropping it ends the server.
    _own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    child: Child,
    /// Deleted when it has ended.
    folder: Option<PathBuf>,
    /// Held, so that the server may go on writing there.
    _says: BufReader<ChildStdout>,
}

impl Server {
    /// Starts this very binary in a directory, which is deleted afterwards unless it is kept, and waits until it listens.
    ///
    /// # Errors
    /// When it does not start; what it said itself stands on the standard error.
    pub fn start(folder: &Path, kept: bool, workers: Option<u16>, told: bool) -> Result<Server, Trouble> {
        let binary =
            std::env::current_exe().map_err(|error| Trouble::new(format!("cannot find this program's own file: {error}")))?;
        let mut command = Command::new(binary);
        command.args(["serve", "--port", "0", "--data"]).arg(folder);
        if let Some(workers) = workers {
            command.arg("--workers").arg(workers.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        if told {
            // Nobody reads it here; what it costs is mostly that it is written at all.
            command.args(["--log-level", "warn,http=info", "--log-format", "json"]).stderr(Stdio::null());
        }
        let mut child = command.spawn().map_err(|error| Trouble::new(format!("cannot start a server: {error}")))?;
        let Some(out) = child.stdout.take() else { return Err(Trouble::new("the server has no standard output")) };
        let mut says = BufReader::new(out);
        let address = listening(&mut says);
        let gauge = Gauge::new(Some(child.id()), folder);
        let own = Own { child, folder: (!kept).then(|| folder.to_owned()), _says: says };
        // From here on `own` stops the server and deletes its directory if it is to, however this ends.
        let address = address?;
        Ok(Server { address, gauge, _own: Some(own) })
    }

    /// One that somebody else has started, by its URL.
    ///
    /// # Errors
    /// When the URL is none of the kind `http://host:port`, or the host is not known.
    pub fn at(url: &str) -> Result<Server, Trouble> {
        let wrong = |why: &str| Trouble::new(format!("--url {url}: {why}; it has the form http://127.0.0.1:8000"));
        let place = url.strip_prefix("http://").ok_or_else(|| wrong("only http is spoken"))?.trim_end_matches('/');
        let address = place
            .to_socket_addrs()
            .map_err(|error| wrong(&error.to_string()))?
            .next()
            .ok_or_else(|| wrong("the host has no address"))?;
        Ok(Server { address, gauge: Gauge::new(None, Path::new(".")), _own: None })
    }
}

/// Reads what the server says until it tells where it listens.
fn listening(says: &mut impl BufRead) -> Result<SocketAddr, Trouble> {
    let mut line = String::new();
    loop {
        line.clear();
        match says.read_line(&mut line) {
            Ok(0) => return Err(Trouble::new("the server has ended instead of listening")),
            Ok(_) => {}
            Err(error) => return Err(Trouble::new(format!("cannot hear the server: {error}"))),
        }
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        if let Some(address) = address {
            return Ok(address);
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!(%error, process = self.child.id(), "the server could not be ended");
        }
        if let Some(folder) = &self.folder
            && let Err(error) = fs::remove_dir_all(folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %folder.display(), "the data of the server could not be deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_heard_when_it_tells_where_it_listens() {
        let mut says = "Alpes\nlistens on http://127.0.0.1:4711 now\nand more\n".as_bytes();
        assert_eq!(listening(&mut says).unwrap(), SocketAddr::from(([127, 0, 0, 1], 4711)));
        assert!(listening(&mut "nothing\n".as_bytes()).unwrap_err().to_string().contains("ended"));
    }

    #[test]
    fn a_url_is_read_or_refused_with_its_form() {
        assert_eq!(Server::at("http://127.0.0.1:8000/").unwrap().address, SocketAddr::from(([127, 0, 0, 1], 8000)));
        for url in ["127.0.0.1:8000", "https://127.0.0.1:8000", "http://127.0.0.1"] {
            assert!(Server::at(url).unwrap_err().to_string().contains("http://127.0.0.1:8000"), "{url}");
        }
    }
}
