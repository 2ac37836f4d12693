//! What `alpes completions` prints completes commands and flags in a shell.

use std::fs;
use std::process::Command;

use super::support::{Folder, run};

#[test]
fn bash_completes_a_command_and_a_flag() {
    let folder = Folder::new();
    let script = run(folder.path(), &["completions", "bash"], |_| {});
    assert_eq!(script.status, Some(0), "{script:?}");
    let file = folder.path().join("alpes.bash");
    fs::write(&file, &script.out).expect("a file");
    let completed = |words: &str, place: usize| {
        let asked = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD={place}; _alpes alpes \"${{COMP_WORDS[{place}]}}\" \
             \"${{COMP_WORDS[{place} - 1]}}\"; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &asked]).output().expect("bash can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(completed("alpes doc", 1), "doctor");
    assert_eq!(completed("alpes sagas wat", 2), "watch");
    assert_eq!(completed("alpes serve --trust", 2), "--trust-network");
}

#[test]
fn every_shell_has_its_script() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(folder.path(), &["completions", shell], |_| {});
        assert!(script.status == Some(0) && script.out.contains("doctor"), "{shell}: {script:?}");
    }
}
