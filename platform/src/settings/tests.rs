//! The table holds together.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_default_is_a_value_of_its_setting() {
    for setting in TABLE {
        assert_eq!(setting.check(setting.default), Ok(()), "{}", setting.key);
    }
}

#[test]
fn no_two_settings_share_a_flag_or_a_variable() {
    let flags: BTreeSet<String> = TABLE.iter().map(Setting::flag).collect();
    let variables: BTreeSet<String> = TABLE.iter().map(Setting::variable).collect();
    assert_eq!((flags.len(), variables.len()), (TABLE.len(), TABLE.len()));
    assert!(!variables.contains("ALPES_CONFIG") && !flags.contains("config") && !flags.contains("json"), "these are taken");
}

#[test]
fn keys_are_plain_and_no_section_is_a_setting_too() {
    for setting in TABLE {
        assert!(setting.key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.'), "{}", setting.key);
        assert!(!setting.help.ends_with('.'), "{}", setting.key);
        let section = format!("{}.", setting.key);
        assert!(!TABLE.iter().any(|other| other.key.starts_with(&section)), "{}", setting.key);
    }
}
