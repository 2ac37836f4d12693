//! What is printed for people: aligned tables, colours where there is a terminal, times of this place; and JSON for programs.
//!
//! Colours are left out when the output is no terminal or `NO_COLOR` is set; `anstream` sees to that.

use std::fmt;
use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::trouble::{Exit, Trouble};

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

/// Asks whoever sits at the terminal whether this shall be done.
///
/// # Errors
/// When nobody sits there.
pub fn agreed(what: &str) -> Result<bool, Trouble> {
    let nobody = || Trouble::new(format!("{what} Nobody is there to be asked: add --yes")).exit(Exit::Usage);
    if !std::io::stdin().is_terminal() {
        return Err(nobody());
    }
    let _unread = write!(anstream::stderr(), "{} Go on? [y/N] ", harmless(what));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|_| nobody())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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

/// Items of the server as a JSON list, each as it came and on a line of its own.
pub fn items(items: &[Box<RawValue>]) {
    let lines: Vec<String> = items.iter().map(|item| format!("\n  {}", item.get())).collect();
    line(&if lines.is_empty() { "[]".to_owned() } else { format!("[{}\n]", lines.join(",")) });
}

/// A time of the server (RFC 3339), to the second, where this machine is.
pub fn time(text: &str) -> String {
    here(text, "%Y-%m-%d %H:%M:%S")
}

/// The same, to the millisecond.
pub fn moment(text: &str) -> String {
    here(text, "%Y-%m-%d %H:%M:%S.%3f")
}

fn here(text: &str, form: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime(form).to_string(),
        Err(_) => text.to_owned(),
    }
}

/// What other people wrote may hold characters that move the cursor or change colours of a terminal: they are shown, not sent.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How a text looks, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As it is.
    Plain,
    /// What the eye should find.
    Strong,
    /// What it may pass over.
    Quiet,
    /// All is well.
    Good,
    /// It is under way.
    Busy,
    /// Worth a look.
    Warn,
    /// Somebody has to do something.
    Bad,
}

impl Look {
    fn style(self) -> Style {
        let coloured = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Look::Plain => Style::new(),
            Look::Strong => Style::new().bold(),
            Look::Quiet => coloured(AnsiColor::BrightBlack),
            Look::Good => coloured(AnsiColor::Green),
            Look::Busy => coloured(AnsiColor::Cyan),
            Look::Warn => coloured(AnsiColor::Yellow),
            Look::Bad => coloured(AnsiColor::Red).bold(),
        }
    }
}

/// A text, and how it looks.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    look: Look,
    right: bool,
}

impl Cell {
    /// With this look.
    pub fn of(text: impl AsRef<str>, look: Look) -> Cell {
        Cell { text: harmless(text.as_ref()), look, right: false }
    }

    /// As it is.
    pub fn plain(text: impl AsRef<str>) -> Cell {
        Cell::of(text, Look::Plain)
    }

    /// What the eye should find.
    pub fn strong(text: impl AsRef<str>) -> Cell {
        Cell::of(text, Look::Strong)
    }

    /// What the eye may pass over.
    pub fn quiet(text: impl AsRef<str>) -> Cell {
        Cell::of(text, Look::Quiet)
    }

    /// The same, at the right edge of its column.
    #[must_use]
    pub fn right(self) -> Cell {
        Cell { right: true, ..self }
    }
}

/// Columns that stand below each other.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
    heads: usize,
    widths: Vec<usize>,
}

impl Table {
    /// With these heads.
    pub fn new(heads: &[&str]) -> Table {
        Table { rows: vec![heads.iter().map(Cell::quiet).collect()], heads: 1, widths: Vec::new() }
    }

    /// Without heads, its columns at least so wide: for rows that are printed one by one.
    pub fn wide(widths: &[usize]) -> Table {
        Table { rows: Vec::new(), heads: 0, widths: widths.to_vec() }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it.
    pub fn print(&self) {
        text(&self.to_string());
    }

    /// Prints it, or says this where it has no rows.
    pub fn print_or(&self, empty: &str) {
        if self.rows.len() > self.heads { self.print() } else { line(empty) }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let least = self.widths.get(column).copied().unwrap_or(0);
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0).max(least)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            // Blanks are written only before a cell that follows, so that nothing trails.
            let mut owed = 0;
            for (cell, width) in row.iter().zip(&widths) {
                let blanks = width - cell.text.chars().count();
                let (before, after) = if cell.right { (blanks, 0) } else { (0, blanks) };
                if !cell.text.is_empty() {
                    let style = cell.look.style();
                    write!(f, "{:1$}{style}{2}{style:#}", "", owed + before, cell.text)?;
                    owed = 0;
                } else {
                    owed += before;
                }
                owed += after + 2;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(table: &Table) -> String {
        anstream::adapter::strip_str(&table.to_string()).to_string()
    }

    #[test]
    fn columns_stand_below_each_other_and_nothing_trails() {
        let mut table = Table::new(&["A", "LONG", "N", "C"]);
        table.row([Cell::plain("ñandú"), Cell::strong("x"), Cell::plain("12").right(), Cell::plain("1")]);
        table.row([Cell::plain(""), Cell::quiet("xy"), Cell::plain("3").right(), Cell::plain("")]);
        assert_eq!(plain(&table), "A      LONG  N   C\nñandú  x     12  1\n       xy     3\n");
        let mut row = Table::wide(&[3]);
        row.row([Cell::plain("a"), Cell::plain("b")]);
        assert_eq!(plain(&row), "a    b\n");
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        let mut table = Table::wide(&[]);
        table.row([Cell::plain("a\u{1b}[2Jb\nc")]);
        assert_eq!(plain(&table), "a\u{fffd}[2Jb\u{fffd}c\n");
    }

    #[test]
    fn a_time_reads_as_one_and_what_is_none_stays_as_it_is() {
        let told = moment("2026-11-24T13:19:45.257454Z");
        assert!(told.ends_with(":45.257") && told.len() == 23, "{told}");
        assert_eq!(time("2026-11-24T13:19:45.257454Z").len(), 19);
        assert_eq!(time("yesterday"), "yesterday");
    }
}
