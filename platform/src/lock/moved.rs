//! The mark of a data directory whose rows were moved to another deployment, or are on their way there: whatever happened here afterwards
//! would not be there.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::trouble::Trouble;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The number of the move, by which the databases know it again.
    pub id: i64,
    /// Where to, in words, without a password.
    pub to: String,
    /// Whether everything is there.
    pub done: bool,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("moved")
}

impl Moved {
    /// The mark of a data directory, if it has one.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn of(folder: &Path) -> Result<Option<Moved>, Trouble> {
        let path = path(folder);
        let unreadable = |why: String| {
            Trouble::new(format!("cannot read {}, which says where this directory's data was moved ({why})", path.display()))
        };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| unreadable(error.to_string())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Marks a data directory; returns when the mark is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    #[cfg(feature = "distributed")]
    pub fn mark(&self, folder: &Path) -> Result<(), Trouble> {
        use std::io::Write as _;
        let (path, new) = (path(folder), folder.join("moved.new"));
        let written = serde_json::to_vec(self).map_err(std::io::Error::from).and_then(|text| {
            let mut file = fs::File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            fs::File::open(folder)?.sync_all()
        });
        written.map_err(|error| Trouble::new(format!("cannot write {} ({error}): make room on the disk", path.display())))
    }

    /// What has become of the directory, and what to do.
    pub fn told(&self, folder: &Path) -> (String, String) {
        let (shown, to, mark) = (folder.display(), &self.to, path(folder));
        let mark = mark.display();
        if self.done {
            let to_do = format!(
                "use the services there. What happened here now would not be there; to go on here all the same, with the data as it was \
                 before the move, delete {mark}"
            );
            (format!("the data of {shown} was moved to {to}"), to_do)
        } else {
            let to_do = format!(
                "run the same `alpes move` again, which ends it. To give the move up and go on here, delete {mark}; then make the \
                 databases anew before another move"
            );
            (format!("the data of {shown} is being moved to {to}, and the move was broken off"), to_do)
        }
    }

    /// The same as a refusal to use it.
    pub fn refusal(&self, folder: &Path) -> Trouble {
        let (what, to_do) = self.told(folder);
        Trouble::new(format!("{what}: {to_do}"))
    }
}
