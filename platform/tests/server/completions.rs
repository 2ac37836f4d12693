//! What `alpes completions` prints completes commands and flags in a shell; `alpes man` writes a page for each command.

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

#[test]
fn every_command_has_its_manual_page() {
    let folder = Folder::new();
    let pages = folder.path().join("man1");
    let shown = pages.to_str().expect("UTF-8");
    run(folder.path(), &["man", shown], |_| {}).fails(1, &[shown, "a directory that is there"]);
    fs::create_dir(&pages).expect("a directory");
    assert_eq!(run(folder.path(), &["man", shown], |_| {}).status, Some(0));
    let page = fs::read_to_string(pages.join("alpes-dead-letters-replay.1")).expect("a page for each command");
    for words in [".TH", "replay", "dry\\-run"] {
        assert!(page.contains(words), "{words} is missing: {page}");
    }
    assert!(fs::read_to_string(pages.join("alpes.1")).expect("a page").contains("5 a watched saga"));
}
