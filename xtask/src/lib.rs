//! The wall, as a test: who may know what, and the rules of the house.
//!
//! [`tidy`] reads the sources as text and says what is out of place. [`rooms`] holds the table of which file may name which other,
//! [`manifests`] which crate may depend on which, [`house`] the rules for every file; [`source`] takes Rust apart far enough for that.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub mod house;
pub mod manifests;
pub mod rooms;
pub mod source;

/// Something out of place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the workspace, with `/`.
    pub path: String,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, message } = self;
        if *line == 0 { write!(f, "{path}: {message}") } else { write!(f, "{path}:{line}: {message}") }
    }
}

/// The texts of a workspace by their paths from its root, with `/`.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Path → text.
    pub files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads what git knows or would add below `root`; without a git repository there, all files but those of hidden folders and
    /// `target`. What is not UTF-8 text is left out.
    ///
    /// # Errors
    /// When a folder or file cannot be read, or git fails.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let paths = if root.join(".git").exists() { listed_by_git(root)? } else { walked(root)? };
        let mut tree = Tree::default();
        for path in paths {
            match std::fs::read(root.join(&path)) {
                Ok(bytes) => {
                    if let Ok(text) = String::from_utf8(bytes) {
                        tree.files.insert(path, text);
                    }
                }
                // Deleted, but git has not been told yet; or a link to nowhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
            }
        }
        Ok(tree)
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn listed_by_git(root: &Path) -> io::Result<Vec<String>> {
    let output =
        Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| io::Error::other("git ls-files: a path is not UTF-8"))?;
    Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn walked(root: &Path) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let path = folder.join(&name);
            if entry.file_type()?.is_dir() {
                let hidden = name.to_string_lossy().starts_with('.');
                if !hidden && name != "target" {
                    folders.push(path);
                }
            } else {
                paths.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(paths)
}

/// The root of this workspace: the folder above this crate's.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Everything out of place below `root`, in the order of paths and lines.
///
/// # Errors
/// When the sources cannot be read; see [`Tree::read`].
pub fn tidy(root: &Path) -> io::Result<Vec<Finding>> {
    Ok(check(&Tree::read(root)?))
}

/// Everything out of place in these texts, in the order of paths and lines.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = manifests::check(tree);
    findings.extend(rooms::check(tree));
    findings.extend(house::check(tree));
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
pub(crate) mod made_up {
    //! Made-up workspaces.
    use super::{Finding, Tree};

    /// A tree of these files.
    pub fn tree(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// Asserts that there is exactly one finding, in this file and line, and that it says this.
    #[track_caller]
    pub fn assert_one(findings: &[Finding], path: &str, line: usize, says: &str) {
        match findings {
            [one] => {
                assert_eq!((one.path.as_str(), one.line), (path, line), "{one}");
                assert!(one.message.contains(says), "{one}");
            }
            _ => panic!("one finding was expected: {findings:#?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own that is gone when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, path: &str, bytes: &[u8]) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // A folder that stays behind in the system's temporary files fails no test.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_workspace_on_disk_is_read_without_its_build_and_its_binaries() {
        let folder = Folder::new("walked");
        folder.write("wire/src/lib.rs", b"fn main() {}\n");
        folder.write("target/debug/build/out.rs", b"no doc\n");
        folder.write(".git-of-another/x.rs", b"no doc\n");
        folder.write("golden/data.sqlite", &[0xff, 0xfe, 0x00]);
        let findings = tidy(&folder.0).unwrap();
        made_up::assert_one(&findings, "wire/src/lib.rs", 1, "`//!`");
        assert_eq!(findings[0].to_string().split(": ").next(), Some("wire/src/lib.rs:1"));
    }

    #[test]
    fn in_a_repository_what_git_ignores_is_left_out_and_what_it_would_add_is_read() {
        let folder = Folder::new("git");
        let status = Command::new("git").args(["init", "--quiet"]).current_dir(&folder.0).status().unwrap();
        assert!(status.success());
        folder.write(".gitignore", b"/out\n");
        folder.write("out/a.rs", b"no doc\n");
        folder.write("new.rs", b"no doc\n");
        let tree = Tree::read(&folder.0).unwrap();
        assert_eq!(tree.files.keys().collect::<Vec<_>>(), [".gitignore", "new.rs"]);
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        assert!(tidy(Path::new("no/such/folder")).is_err());
    }

    #[test]
    fn the_root_of_the_workspace_is_where_its_manifest_is() {
        assert!(std::fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap().contains("[workspace]"));
    }
}
