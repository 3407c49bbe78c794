//! A comparison as Markdown, aligned so that it reads well in a terminal too.

use super::Comparison;
use super::tables::{self, Column, KEY, Table};

/// The whole comparison.
pub fn page(comparison: &Comparison) -> String {
    let letters: Vec<&str> = comparison.reports.iter().map(|report| &*report.letter).collect();
    let mut page = format!("# Reports {} compared\n\n", letters.join(", "));
    for verdict in &comparison.verdicts {
        page.push_str(&format!("{}\n\n", escaped(&verdict.words())));
    }
    page.push_str(&format!("{KEY}\n"));
    let best = tables::best(comparison);
    if !best.rows.is_empty() {
        push(&mut page, &best);
    }
    push(&mut page, &tables::reports(comparison));
    if !comparison.notes.is_empty() {
        page.push_str("\n## What is not comparable\n\n");
    }
    for note in &comparison.notes {
        page.push_str(&format!("- {}: {}\n", note.report, escaped(&note.text)));
    }
    let tables = [tables::peaks, tables::kernels, tables::scaling, tables::training];
    for table in tables.map(|table| table(comparison)).iter().filter(|table| !table.rows.is_empty()) {
        push(&mut page, table);
    }
    page
}

fn push(page: &mut String, table: &Table) {
    let heads = table.columns.iter().map(|column| escaped(&column.head)).collect();
    let rows = table.rows.iter().map(|row| row.iter().map(|text| escaped(text)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    page.push_str(&format!("\n## {}\n\n", table.title));
    for (index, line) in lines.iter().enumerate() {
        push_line(
            page,
            line.iter().zip(&table.columns).zip(&widths).map(|((text, column), &width)| padded(text, column, width)),
        );
        if index == 0 {
            push_line(page, table.columns.iter().zip(&widths).map(|(column, &width)| rule(column, width)));
        }
    }
}

fn push_line(page: &mut String, cells: impl Iterator<Item = String>) {
    for cell in cells {
        page.push_str(&format!("| {cell} "));
    }
    page.push_str("|\n");
}

fn padded(text: &str, column: &Column, width: usize) -> String {
    if column.numeric { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn rule(column: &Column, width: usize) -> String {
    let dashes = "-".repeat(width - 1);
    if column.numeric { format!("{dashes}:") } else { format!("{dashes}-") }
}

/// `text` with a backslash before whatever Markdown would take for a table, link, emphasis, code or HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if "\\`*_[]<>|&".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escaped("a|b <script> [x](y) `c`"), "a\\|b \\<script\\> \\[x\\](y) \\`c\\`");
    }
}
