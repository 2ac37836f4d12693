//! The house is in order: rooms, walls, lengths. `cargo run -p xtask -- tidy` says the same.

#[test]
fn every_file_is_where_it_belongs_and_knows_only_what_it_may() {
    let findings = xtask::tidy(&xtask::workspace_root()).unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}", lines.join("\n"));
}
