//! A comparison as one page (`crate::page`).
//!
//! A report is told by its letter, a kernel by its marker, never by colour alone. Under each chart stands the table of
//! its numbers.

mod bars;
mod rooflines;
mod scaling;

use maud::{Markup, html};

use super::tables::{self, KEY, Table};
use super::{Comparison, Heading};
use crate::page;
use crate::page::svg::series;

/// The whole page.
pub fn page(comparison: &Comparison) -> String {
    let letters: Vec<&str> = comparison.reports.iter().map(|report| &*report.letter).collect();
    let title = format!("Reports {} compared", letters.join(", "));
    page::document(&title, "ffwd benchmark reports", &sections(comparison), "compare")
}

fn sections(comparison: &Comparison) -> Markup {
    let reports_legend = || legend(&comparison.reports);
    let charts = [
        Charts {
            title: "Rates",
            key: bars::KERNELS_KEY,
            legend: reports_legend(),
            layout: "columns",
            figures: bars::kernels(comparison),
            numbers: tables::best(comparison),
        },
        Charts {
            title: "Roofline",
            key: rooflines::KEY,
            legend: rooflines::legend(comparison),
            layout: "rows",
            figures: rooflines::figures(comparison),
            numbers: tables::rooflines(comparison),
        },
        Charts {
            title: "Scaling",
            key: scaling::KEY,
            legend: reports_legend(),
            layout: "rows",
            figures: scaling::figures(comparison),
            numbers: tables::scaling(comparison),
        },
        Charts {
            title: "Training",
            key: bars::TRAINING_KEY,
            legend: reports_legend(),
            layout: "columns",
            figures: bars::training(comparison),
            numbers: tables::training(comparison),
        },
    ];
    html! {
        (reports(comparison))
        @for charts in charts.iter().filter(|charts| !charts.numbers.rows.is_empty()) { (charts.section()) }
        (numbers(comparison))
    }
}

/// A section of charts with the table of their numbers.
struct Charts {
    title: &'static str,
    /// How to read them.
    key: &'static str,
    legend: Markup,
    /// The class that places figures.
    layout: &'static str,
    figures: Vec<Markup>,
    numbers: Table,
}

impl Charts {
    fn section(&self) -> Markup {
        html! {
            section {
                h2 { (self.title) }
                p.key { (self.key) }
                (self.legend)
                div class=(self.layout) { @for figure in &self.figures { figure { (figure) } } }
                details { summary { "Numbers" } (table(&self.numbers)) }
            }
        }
    }
}

/// The machines, and what stands between them.
fn reports(comparison: &Comparison) -> Markup {
    html! {
        section {
            ol.cards {
                @for (index, report) in comparison.reports.iter().enumerate() {
                    li class=(series(index)) {
                        span.chip { (report.letter) }
                        div {
                            p.name { (report.label) }
                            p.file { (report.path) }
                        }
                    }
                }
            }
            @for verdict in &comparison.verdicts { p.verdict { (verdict.words()) } }
            @if !comparison.notes.is_empty() {
                div.notes {
                    h2 { "What is not comparable" }
                    ul {
                        @for note in &comparison.notes { li { strong { (note.report) } span { (note.text) } } }
                    }
                }
            }
            details { summary { "Machines and builds" } (table(&tables::reports(comparison))) }
        }
    }
}

/// The reports' letters, colours and markers.
fn legend(reports: &[Heading]) -> Markup {
    html! {
        ul.legend {
            @for (index, report) in reports.iter().enumerate() {
                li class=(series(index)) { span.chip { (report.letter) } (report.label) }
            }
        }
    }
}

/// The tables that belong to no chart.
fn numbers(comparison: &Comparison) -> Markup {
    let tables = [tables::kernels(comparison), tables::peaks(comparison)];
    html! {
        section {
            h2 { "All numbers" }
            p.key { (KEY) }
            @for numbers in tables.iter().filter(|table| !table.rows.is_empty()) {
                h3 { (numbers.title) }
                (table(numbers))
            }
        }
    }
}

/// A table in a box of its own, which scrolls where the screen is narrower.
fn table(table: &Table) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(table.title) {
            table {
                thead {
                    tr { @for column in &table.columns { th.number[column.numeric] scope="col" { (column.head) } } }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (column, text) in table.columns.iter().zip(row) {
                                td.number[column.numeric] { (text) }
                            }
                        }
                    }
                }
            }
        }
    }
}
