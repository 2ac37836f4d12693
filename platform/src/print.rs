//! What is printed for people: aligned tables, colours where there is a terminal, times of this place; and JSON for programs.
//!
//! Colours are left out when the output is no terminal or `NO_COLOR` is set; `anstream` sees to that.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::trouble::Trouble;

/// One line on the standard output, whether or not anybody still reads it.
pub fn line(text: &str) {
    let _unread = writeln!(anstream::stdout(), "{text}");
}

/// A text on the standard output, as it is.
pub fn text(text: &str) {
    let _unread = write!(anstream::stdout(), "{text}");
}

/// One line on the standard error: for people, beside what they asked for.
pub fn note(text: &str) {
    let _unread = writeln!(anstream::stderr(), "alpes: {}", harmless(text));
}

/// A value as JSON, indented.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Trouble> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Trouble::new(format!("cannot write JSON: {error}")))?;
    line(&text);
    Ok(())
}

/// What other people wrote may hold characters that move the cursor or change colours of a terminal: they are shown, not sent.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A text and its style.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    fn new(text: impl AsRef<str>, style: Style) -> Cell {
        Cell { text: harmless(text.as_ref()), style, right: false }
    }

    /// As it is.
    pub fn plain(text: impl AsRef<str>) -> Cell {
        Cell::new(text, Style::new())
    }

    /// Bold.
    pub fn strong(text: impl AsRef<str>) -> Cell {
        Cell::new(text, Style::new().bold())
    }
}

/// Columns that stand below each other.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With these heads.
    pub fn new(heads: &[&str]) -> Table {
        let head = Style::new().fg_color(Some(AnsiColor::BrightBlack.into()));
        Table { rows: vec![heads.iter().map(|text| Cell::new(text, head)).collect()] }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it.
    pub fn print(&self) {
        text(&self.to_string());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let blanks = " ".repeat(width - cell.text.chars().count());
                let (style, gap) = (cell.style, if place == 0 { "" } else { "  " });
                let last = place + 1 == row.len();
                match (cell.right, last) {
                    (true, _) => write!(f, "{gap}{blanks}{style}{}{style:#}", cell.text)?,
                    (false, true) => write!(f, "{gap}{style}{}{style:#}", cell.text)?,
                    (false, false) => write!(f, "{gap}{style}{}{style:#}{blanks}", cell.text)?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_trails() {
        let mut table = Table::new(&["A", "LONG", "C"]);
        table.row([Cell::plain("ñandú"), Cell::strong("x"), Cell::plain("1")]);
        let plain = anstream::adapter::strip_str(&table.to_string()).to_string();
        assert_eq!(plain, "A      LONG  C\nñandú  x     1\n");
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        let mut table = Table::new(&["A"]);
        table.row([Cell::plain("a\u{1b}[2Jb\nc")]);
        assert!(table.to_string().ends_with("a\u{fffd}[2Jb\u{fffd}c\n"), "{table}");
    }
}
