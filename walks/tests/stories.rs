//! Every story in a world that is stepped by hand, in both of its shapes.

use walks::{distributed, embedded, stories};

macro_rules! in_a_world {
    ($($file:ident: $($story:ident),*;)*) => {$(
        mod $file {
            use super::*;

            $(#[test]
            fn $story() {
                stories::$file::$story(|| embedded(1));
                stories::$file::$story(|| distributed(1));
            })*
        }
    )*};
}

walks::each_story!(in_a_world);

/// What the list has forgotten nobody would tell.
#[test]
fn every_story_is_on_the_list() {
    let listed = include_str!("../src/stories.rs");
    for file in [include_str!("../src/stories/lifecycle.rs"), include_str!("../src/stories/seed_004.rs")] {
        for story in file.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split('<').next()) {
            assert!(
                listed.contains(&format!(" {story},")) || listed.contains(&format!(" {story};")),
                "{story} is not on the list"
            );
        }
    }
}
