//! The data directory, and the lock that keeps a second process out of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::trouble::Trouble;

mod moved;

pub use moved::Moved;

/// A data directory that this process holds: `lock` in it is locked until the value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataDirectory {
    folder: PathBuf,
    lock: File,
}

impl DataDirectory {
    /// Makes the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be made or written; when another process holds it: then the text names that process; or when its data was moved.
    pub fn take(folder: &Path) -> Result<DataDirectory, Trouble> {
        let taken = DataDirectory::take_marked(folder)?;
        match Moved::of(folder)? {
            Some(moved) => Err(moved.refusal(folder)),
            None => Ok(taken),
        }
    }

    /// The same, though its data may have been moved: for whoever moves it.
    ///
    /// # Errors
    /// As [`DataDirectory::take`].
    pub fn take_marked(folder: &Path) -> Result<DataDirectory, Trouble> {
        let shown = folder.display();
        fs::create_dir_all(folder).map_err(|error| {
            Trouble::new(format!("cannot make the data directory {shown} ({error}): name another with --data, or set its rights"))
        })?;
        let mut lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(folder.join("lock")).map_err(
            |error| {
                Trouble::new(format!(
                    "cannot write in the data directory {shown} ({error}): set its rights, or name another with --data"
                ))
            },
        )?;
        match lock.try_lock() {
            Ok(()) => {
                let mut taken = DataDirectory { folder: folder.to_owned(), lock };
                // What the last holder wrote is no longer true.
                taken.write("")?;
                Ok(taken)
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Who holds it is a courtesy; that somebody does is certain.
                let holder = match lock.read_to_string(&mut text) {
                    Ok(_) => told(&text),
                    Err(_) => None,
                };
                let holder = holder.map_or_else(
                    || "another process, which is just starting".to_owned(),
                    |(address, process)| format!("the server at http://{address} (process {process})"),
                );
                Err(Trouble::new(format!(
                    "the data directory {shown} is held by {holder}: use that one, stop it first, or name another directory with --data"
                )))
            }
            Err(TryLockError::Error(error)) => Err(Trouble::new(format!(
                "cannot lock {shown}/lock ({error}): this file system has no locks, name a directory on a local disk with --data"
            ))),
        }
    }

    /// Tells whoever comes next where the server listens, and which process it is.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn announce(&mut self, address: SocketAddr) -> Result<(), Trouble> {
        self.write(&format!("{address} {}\n", std::process::id()))
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        store(&self.folder)
    }

    fn write(&mut self, text: &str) -> Result<(), Trouble> {
        let written = self
            .lock
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.lock.set_len(0))
            .and_then(|()| self.lock.write_all(text.as_bytes()));
        written.map_err(|error| {
            let shown = self.folder.display();
            Trouble::new(format!(
                "cannot write {shown}/lock ({error}): make room on the disk, or name another directory with --data"
            ))
        })
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // The lock goes with the file's handle; an old text in a file without a lock misleads nobody but a reader.
        if let Err(trouble) = self.write("") {
            tracing::debug!(%trouble, "the lock file keeps its text");
        }
    }
}

/// The store's file in a data directory.
pub fn store(folder: &Path) -> PathBuf {
    folder.join("alpes.db")
}

/// Who holds a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A server that listens.
    Server {
        /// Where.
        address: SocketAddr,
        /// Its process.
        process: u32,
    },
    /// A process that does not listen yet.
    Starting,
    /// Nobody.
    Nobody {
        /// The process that held it last and could not say goodbye: it was killed, or the machine went down.
        died: Option<u32>,
    },
}

/// Who holds a data directory, if anybody does. Nothing is changed.
///
/// # Errors
/// When its lock file is there but cannot be read.
pub fn holder(folder: &Path) -> Result<Holder, Trouble> {
    let path = folder.join("lock");
    let unreadable = |error: std::io::Error| {
        Trouble::new(format!("cannot read {} ({error}): set its rights, or name another directory with --data", path.display()))
    };
    let mut lock = match File::open(&path) {
        Ok(lock) => lock,
        // What leads there may be missing, or be no directory.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Holder::Nobody { died: None });
        }
        Err(error) => return Err(unreadable(error)),
    };
    let free = match lock.try_lock_shared() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(unreadable(error)),
    };
    let mut text = String::new();
    lock.read_to_string(&mut text).map_err(unreadable)?;
    Ok(match (free, told(&text)) {
        (true, died) => Holder::Nobody { died: died.map(|(_, process)| process) },
        (false, None) => Holder::Starting,
        (false, Some((address, process))) => Holder::Server { address: reachable(address), process },
    })
}

/// Whoever listens on all addresses of this machine can be reached on its own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let own = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(own, address.port())
}

/// What a lock file tells: the address and the process.
fn told(text: &str) -> Option<(SocketAddr, u32)> {
    let (address, process) = text.trim().split_once(' ')?;
    Some((address.parse().ok()?, process.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_names_its_holder_or_says_nothing() {
        assert_eq!(told("127.0.0.1:8000 4242\n"), Some((SocketAddr::from(([127, 0, 0, 1], 8000)), 4242)));
        for text in ["", "\n", "127.0.0.1:8000", "localhost 12", "127.0.0.1:8000 me"] {
            assert_eq!(told(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_directory_is_held_once_and_free_again_when_its_holder_is_gone() {
        let folder = std::env::temp_dir().join(format!("alpes-lock-{}", std::process::id()));
        let mut first = DataDirectory::take(&folder).unwrap();
        let starting = DataDirectory::take(&folder).unwrap_err().to_string();
        assert!(starting.contains("just starting"), "{starting}");
        first.announce(SocketAddr::from(([127, 0, 0, 1], 8123))).unwrap();
        let running = DataDirectory::take(&folder).unwrap_err().to_string();
        assert!(running.contains("http://127.0.0.1:8123"), "{running}");
        assert!(running.contains(&format!("process {}", std::process::id())), "{running}");
        assert!(running.contains("--data"), "{running}");
        let address = SocketAddr::from(([127, 0, 0, 1], 8123));
        assert_eq!(super::holder(&folder), Ok(Holder::Server { address, process: std::process::id() }));
        drop(first);
        assert_eq!(super::holder(&folder), Ok(Holder::Nobody { died: None }));
        assert_eq!(super::holder(&folder.join("nowhere")), Ok(Holder::Nobody { died: None }));
        assert_eq!(fs::read_to_string(folder.join("lock")).unwrap(), "");
        fs::write(folder.join("lock"), "127.0.0.1:8123 42\n").unwrap();
        assert_eq!(super::holder(&folder), Ok(Holder::Nobody { died: Some(42) }), "it was killed");
        drop(DataDirectory::take(&folder).unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = std::env::temp_dir().join(format!("alpes-file-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        let trouble = DataDirectory::take(&file.join("data")).unwrap_err().to_string();
        assert!(trouble.contains(&file.display().to_string()) && trouble.contains("--data"), "{trouble}");
        fs::remove_file(file).unwrap();
    }
}
