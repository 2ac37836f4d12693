//! Rust, taken apart far enough to see which paths it names: comments and literals out, tests out, `use` trees spelled out.
//!
//! It is no parser. It reads what rustc accepts, and for what rustc does not accept it returns something and does not panic.

use std::ops::Range;

/// A file of Rust.
#[derive(Clone, Debug)]
pub struct Source {
    /// The text, with spaces for comments and for what stands in literals; lines and columns stay.
    pub code: String,
    /// [`Source::code`] with spaces for every `#[cfg(test)]` item too.
    pub shipped: String,
    /// The string literals outside of `#[cfg(test)]` items, as written.
    pub literals: Vec<Named<String>>,
    /// How many lines are not blank and not in a `#[cfg(test)]` item. Comments count.
    pub length: usize,
}

/// Something, and the line where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// What.
    pub what: T,
    /// From 1.
    pub line: usize,
}

impl Source {
    /// Takes a text apart.
    pub fn read(text: &str) -> Source {
        let (code, strings) = blank_literals(text);
        let tests = test_items(&code);
        let in_tests = |at: usize| tests.iter().any(|range| range.contains(&at));
        let shipped = blanked(&code, &tests);
        let literals = strings
            .into_iter()
            .filter(|range| !in_tests(range.start))
            .filter_map(|range| Some(Named { line: line_of(text, range.start), what: text.get(range)?.to_owned() }))
            .collect();
        let length = blanked(text, &tests).lines().filter(|line| !line.trim().is_empty()).count();
        Source { code, shipped, literals, length }
    }

    /// The paths that the shipped code names, `use` trees spelled out: `a::b`, `a::*`. A single word counts only in a `use`.
    pub fn paths(&self) -> Vec<Named<Vec<String>>> {
        let tokens = tokens(&self.shipped);
        let mut paths = Vec::new();
        let mut at = 0;
        while let Some((token, position)) = tokens.get(at) {
            let line = line_of(&self.shipped, *position);
            match token {
                Token::Word("use") => at = use_tree(&tokens, at + 1, &mut Vec::new(), line, &mut paths),
                Token::Word(first) => {
                    let mut path = vec![(*first).to_owned()];
                    at += 1;
                    while let (Some((Token::Path, _)), Some((Token::Word(next), _))) = (tokens.get(at), tokens.get(at + 1)) {
                        path.push((*next).to_owned());
                        at += 2;
                    }
                    if path.len() > 1 {
                        paths.push(Named { what: path, line });
                    }
                }
                Token::Path | Token::Sign(_) => at += 1,
            }
        }
        paths
    }

    /// The words (identifiers and keywords) of the shipped code.
    pub fn words(&self) -> Vec<Named<String>> {
        let of = |(token, position)| match token {
            Token::Word(word) => Some(Named { what: str::to_owned(word), line: line_of(&self.shipped, position) }),
            Token::Path | Token::Sign(_) => None,
        };
        tokens(&self.shipped).into_iter().filter_map(of).collect()
    }

    /// Where the code, tests included, has this text once all blanks are out of both; the lines, from 1.
    pub fn lines_with(&self, wanted: &str) -> Vec<usize> {
        let (mut squeezed, mut places) = (String::new(), Vec::new());
        for (at, c) in self.code.char_indices().filter(|(_, c)| !c.is_whitespace()) {
            squeezed.push(c);
            places.extend(std::iter::repeat_n(at, c.len_utf8()));
        }
        squeezed.match_indices(wanted).filter_map(|(at, _)| places.get(at)).map(|at| line_of(&self.code, *at)).collect()
    }
}

/// The line of a place in a text, from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// The text with spaces for these ranges; line ends stay.
fn blanked(text: &str, ranges: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        for byte in bytes.get_mut(range.clone()).into_iter().flatten().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
    }
    // Ranges end between characters, so this changes nothing.
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The text without comments and literals, and where the contents of its string literals stand.
fn blank_literals(text: &str) -> (String, Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let (mut blanks, mut strings) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let end = match byte {
            b'/' if rest.starts_with(b"//") => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with(b"/*") => at + block_comment(rest),
            b'"' => {
                let end = at + string(rest);
                strings.push(at + 1..end.saturating_sub(1).max(at + 1));
                end
            }
            b'\'' => match char_literal(text, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            byte if is_word(*byte) => {
                let word = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
                let raw = matches!(&rest[..word], b"r" | b"br" | b"cr").then(|| raw_string(&rest[word..])).flatten();
                let Some((hashes, length)) = raw else {
                    at += word;
                    continue;
                };
                let end = at + word + length;
                let contents = at + word + hashes + 1;
                strings.push(contents..end.saturating_sub(hashes + 1).max(contents));
                end
            }
            _ => {
                at += 1;
                continue;
            }
        };
        blanks.push(at..end);
        at = end;
    }
    (blanked(text, &blanks), strings)
}

/// How long the block comment is that begins here; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// How long the string literal is that begins here.
fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The number of `#` and the length of the raw string whose prefix ends here, if it is one (and no raw identifier).
fn raw_string(rest: &[u8]) -> Option<(usize, usize)> {
    let hashes = rest.iter().position(|byte| *byte != b'#')?;
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let close = |at: &usize| rest[*at] == b'"' && rest[*at + 1..].iter().take_while(|byte| **byte == b'#').count() >= hashes;
    let end = (hashes + 1..rest.len()).find(close).map_or(rest.len(), |at| at + 1 + hashes);
    Some((hashes, end))
}

/// Where the character literal ends whose quote stands at `at`; `None` when it is a lifetime.
fn char_literal(text: &str, at: usize) -> Option<usize> {
    let after = text.get(at + 1..)?;
    let first = after.chars().next()?;
    if first == '\\' {
        // The escaped character may itself be a quote.
        let escaped = after.char_indices().nth(2)?.0;
        return after.get(escaped..)?.find('\'').map(|quote| at + 1 + escaped + quote + 1);
    }
    let quote = at + 1 + first.len_utf8();
    (text.as_bytes().get(quote) == Some(&b'\'')).then_some(quote + 1)
}

/// Where the items stand that only tests see, from their attribute to their end.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    while let Some(at) = code.get(from..).and_then(|rest| rest.find("#[")).map(|at| from + at) {
        let end = at + 1 + matching(&code[at + 1..]);
        from = end;
        if is_cfg_test(&code[at..end]) {
            let item = end + item_length(&code[end..]);
            items.push(at..item);
            from = item;
        }
    }
    if let Some(at) = code.find("#![").filter(|at| is_cfg_test(&code[*at..*at + 2 + matching(&code[*at + 2..])])) {
        items.push(at..code.len());
    }
    items
}

fn is_cfg_test(attribute: &str) -> bool {
    let squeezed: String = attribute.chars().filter(|c| !c.is_whitespace()).collect();
    let names_test = squeezed.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "test");
    squeezed.trim_start_matches(['#', '!', '[']).starts_with("cfg(") && names_test && !squeezed.contains("not(test")
}

/// How long the bracketed text is that begins here with `(`, `[` or `{`.
fn matching(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    rest.len()
}

/// How long the item is that begins here: to its `;`, or to the end of its braces.
fn item_length(rest: &str) -> usize {
    let mut at = 0;
    while let Some(byte) = rest.as_bytes().get(at) {
        match byte {
            b';' => return at + 1,
            b'{' => {
                let end = at + matching(&rest[at..]);
                let blanks = rest[end..].len() - rest[end..].trim_start().len();
                // A `use` tree has its `;` behind its braces.
                return if rest[end + blanks..].starts_with(';') { end + blanks + 1 } else { end };
            }
            b'(' | b'[' => at += matching(&rest[at..]),
            _ => at += 1,
        }
    }
    rest.len()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// An identifier, a keyword or a number.
    Word(&'a str),
    /// `::`
    Path,
    /// Any other sign.
    Sign(u8),
}

/// The tokens of blanked code, each with its place.
fn tokens(code: &str) -> Vec<(Token<'_>, usize)> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if is_word(*byte) {
            let length = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
            tokens.push((Token::Word(&code[at..at + length]), at));
            at += length;
        } else if rest.starts_with(b"::") {
            tokens.push((Token::Path, at));
            at += 2;
        } else {
            tokens.push((Token::Sign(*byte), at));
            at += 1;
        }
    }
    tokens
}

/// Spells out the tree of a `use` from the token `at`; returns the token after it.
fn use_tree(
    tokens: &[(Token<'_>, usize)],
    mut at: usize,
    prefix: &mut Vec<String>,
    line: usize,
    paths: &mut Vec<Named<Vec<String>>>,
) -> usize {
    let depth = prefix.len();
    let mut closed = false;
    while let Some((token, _)) = tokens.get(at) {
        match token {
            Token::Word("as") => at += 2,
            Token::Word("self") if !prefix.is_empty() => at += 1,
            Token::Word(word) => {
                prefix.push((*word).to_owned());
                at += 1;
            }
            Token::Sign(b'*') => {
                prefix.push("*".to_owned());
                at += 1;
            }
            Token::Path => at += 1,
            Token::Sign(b'{') => {
                at += 1;
                while !matches!(tokens.get(at), None | Some((Token::Sign(b'}'), _))) {
                    let before = at;
                    at = use_tree(tokens, at, prefix, line, paths);
                    if matches!(tokens.get(at), Some((Token::Sign(b','), _))) || at == before {
                        at += 1;
                    }
                }
                at += 1;
                closed = true;
            }
            Token::Sign(_) => break,
        }
    }
    if !closed && !prefix.is_empty() {
        paths.push(Named { what: prefix.clone(), line });
    }
    prefix.truncate(depth);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::read(text).paths().into_iter().map(|path| path.what.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = Source::read(
            r####"//! a::b
/* c::d /* e::f */ g::h */ let lifetime: &'a str = "i::j \" k::l"; // m::n
let raw = r#"o::p " q::r"#; let c = '"'; let d = '\''; let r#type = b"s::t"; let e = 'é';
let f = x::y;"####,
        );
        assert_eq!(source.paths(), [Named { what: vec!["x".to_owned(), "y".to_owned()], line: 4 }]);
        let literals: Vec<_> = source.literals.iter().map(|literal| (literal.what.as_str(), literal.line)).collect();
        assert_eq!(literals, [("i::j \\\" k::l", 2), ("o::p \" q::r", 3), ("s::t", 3)]);
    }

    #[test]
    fn use_trees_are_spelled_out() {
        assert_eq!(
            paths(
                "pub(crate) use a::{self, b::{C as D, *}, e::F,}; use g; use ::h::i as j;\nfn k() { l::m::<N>::o(); p::<q::R>() }"
            ),
            ["a", "a::b::C", "a::b::*", "a::e::F", "g", "h::i", "l::m", "q::R"]
        );
    }

    #[test]
    fn what_only_tests_see_is_not_shipped() {
        let source = Source::read(
            "use a::b;\n#[cfg(test)]\nuse c::{d, e};\n#[cfg(not(test))]\nuse f::g;\n\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests {\n    fn t() { if h::i() { } }\n}\nuse j::k;\n",
        );
        let names: Vec<_> = source.paths().into_iter().map(|path| path.what.join("::")).collect();
        assert_eq!(names, ["a::b", "f::g", "j::k"]);
        assert_eq!(source.length, 4);
        assert_eq!(Source::read("#![cfg(test)]\nuse a::b;\n").paths(), []);
        assert_eq!(paths("#[cfg(feature = \"test\")]\nuse a::b;"), ["a::b"], "a feature's name is a literal");
    }

    #[test]
    fn a_text_is_found_however_it_is_broken_over_lines() {
        let source = Source::read("#![deny(\n    clippy::x,\n)]\n// todo!()\nlet s = \"dbg!()\"; todo ! ();\n");
        assert_eq!(source.lines_with("#![deny(clippy::x"), [1]);
        assert_eq!(source.lines_with("todo!("), [5]);
        assert_eq!(source.lines_with("dbg!("), [0; 0]);
    }

    #[test]
    fn broken_rust_makes_it_return_something() {
        for text in [
            "\"",
            "r#\"",
            "/*",
            "'",
            "'\\",
            "use a::{b",
            "use {",
            "#[cfg(test)]",
            "#[",
            "use a::{b};}",
            "b'",
            "#![",
            "use a::{;}",
            "é'é",
        ] {
            let source = Source::read(text);
            assert_eq!(source.code.len(), text.len(), "{text}");
            let _ = (source.paths(), source.words(), source.lines_with("x"));
        }
    }
}
