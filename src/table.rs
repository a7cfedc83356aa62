//! Aligned columns of text. Pure; it refuses to know what the cells mean.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: &str = "  ";
/// Headings and rules.
pub const FAINT: Style = Style::new().dimmed();
/// What matters most.
pub const STRONG: Style = Style::new().bold();
/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Worth a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// Text in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// One column: its heading lines, and a cell for each row.
#[derive(Clone, Debug, Default)]
pub struct Column {
    heads: Vec<String>,
    cells: Vec<String>,
    align_right: bool,
}

impl Column {
    /// Text, aligned left.
    pub fn text(head: &str, cells: Vec<String>) -> Self {
        Self { heads: vec![head.to_owned()], cells, align_right: false }
    }

    /// Numbers, aligned right.
    pub fn numbers(heads: &[&str], cells: Vec<String>) -> Self {
        Self { heads: heads.iter().map(|head| (*head).to_owned()).collect(), cells, align_right: true }
    }

    fn width(&self) -> usize {
        self.heads.iter().chain(&self.cells).map(|text| text.width()).max().unwrap_or(0)
    }

    fn pad(&self, text: &str, width: usize) -> String {
        let blanks = " ".repeat(width.saturating_sub(text.width()));
        if self.align_right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
    }
}

/// Columns that belong together, under a common title (which may be empty).
#[derive(Clone, Debug, Default)]
pub struct Group {
    title: String,
    columns: Vec<Column>,
    widths: Vec<usize>,
}

impl Group {
    /// A group.
    pub fn new(title: &str, columns: Vec<Column>) -> Self {
        let mut widths: Vec<usize> = columns.iter().map(Column::width).collect();
        let missing = title.width().saturating_sub(total(&widths));
        if let Some(first) = widths.first_mut() {
            *first += missing;
        }
        Self { title: title.to_owned(), columns, widths }
    }

    fn width(&self) -> usize {
        total(&self.widths)
    }

    /// The title, and a rule over the rest of the group.
    fn title_line(&self) -> String {
        let rest = self.width() - self.title.width();
        match (self.title.is_empty(), rest) {
            (true, _) => " ".repeat(rest),
            (false, 0) => self.title.clone(),
            (false, rest) => format!("{} {}", self.title, "─".repeat(rest - 1)),
        }
    }

    fn line(&self, text_of: impl Fn(&Column) -> &str) -> String {
        let cells = self.columns.iter().zip(&self.widths).map(|(column, width)| column.pad(text_of(column), *width));
        cells.collect::<Vec<_>>().join(GAP)
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1)
}

/// Draws the groups side by side, `label` (which names the rows) first. Where they do not fit `max_columns`, the rest
/// goes below, with the label again. The last row is emphasised where `total_row` says that it sums up the others.
pub fn draw(label: &Column, groups: &[Group], max_columns: Option<usize>, total_row: bool) -> String {
    let label = Group::new("", vec![label.clone()]);
    let mut text = String::new();
    let mut rest = groups;
    while !rest.is_empty() {
        let mut used = label.width();
        let fitting = rest.iter().take_while(|group| {
            used += GAP.len() + group.width();
            max_columns.is_none_or(|columns| used <= columns)
        });
        let (block, below) = rest.split_at(fitting.count().max(1));
        if !text.is_empty() {
            text.push('\n');
        }
        let parts: Vec<&Group> = std::iter::once(&label).chain(block).collect();
        draw_block(&mut text, &parts, total_row);
        rest = below;
    }
    text
}

fn draw_block(text: &mut String, groups: &[&Group], total_row: bool) {
    let mut add = |style: Style, parts: Vec<String>| {
        let line = parts.join(GAP);
        let line = line.trim_end();
        // Columns whose further heading is empty everywhere need no line for it.
        if line.is_empty() {
            return;
        }
        // A line without style carries no codes at all.
        let line = if style.is_plain() { line.to_owned() } else { paint(style, line) };
        text.push_str(&line);
        text.push('\n');
    };
    let columns = || groups.iter().flat_map(|group| &group.columns);
    if groups.iter().any(|group| !group.title.is_empty()) {
        add(FAINT, groups.iter().map(|group| group.title_line()).collect());
    }
    for index in 0..columns().map(|column| column.heads.len()).max().unwrap_or(0) {
        add(FAINT, lines_of(groups, |column| &column.heads, index));
    }
    let rows = columns().map(|column| column.cells.len()).max().unwrap_or(0);
    for index in 0..rows {
        let style = if total_row && index + 1 == rows { STRONG } else { Style::new() };
        add(style, lines_of(groups, |column| &column.cells, index));
    }
}

/// Line `index` of each group: of the headings, or of the cells.
fn lines_of(groups: &[&Group], texts: impl Fn(&Column) -> &Vec<String>, index: usize) -> Vec<String> {
    groups.iter().map(|group| group.line(|column| texts(column).get(index).map_or("", String::as_str))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn plain(max_columns: Option<usize>) -> String {
        let label = Column::text("node", cells(&["a", "longer", "all"]));
        let groups = [
            Group::new("", vec![Column::numbers(&["sent"], cells(&["1", "1,234", "1,235"]))]),
            Group::new("a long title", vec![Column::numbers(&["p50", "ms"], cells(&["1.0", "—", "1.0"]))]),
        ];
        anstream::adapter::strip_str(&draw(&label, &groups, max_columns, true)).to_string()
    }

    #[test]
    fn columns_are_aligned_under_their_headings() {
        let expected = "
               a long title
node     sent           p50
                         ms
a           1           1.0
longer  1,234             —
all     1,235           1.0
";
        assert_eq!(plain(None), expected[1..]);
        assert_eq!(plain(Some(27)), expected[1..]);
    }

    #[test]
    fn what_does_not_fit_goes_below() {
        let expected = "
node     sent
a           1
longer  1,234
all     1,235

        a long title
node             p50
                  ms
a                1.0
longer             —
all              1.0
";
        assert_eq!(plain(Some(26)), expected[1..]);
        assert_eq!(plain(Some(1)), expected[1..]);
    }
}
