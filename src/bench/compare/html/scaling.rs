//! Scaling curves: speed-up by threads, a chart for each step, a line for each report and instruction set.

use indexmap::IndexMap;
use maud::{Markup, html};

use crate::bench::compare::Comparison;
use crate::bench::compare::text::number;
use crate::page::scale::{LogScale, tick};
use crate::page::svg::{WIDTH, frame, label, line, marker, names, polyline, series};
use crate::text::shortened;

/// What the charts show.
pub const KEY: &str =
    "The time of one inner step on one thread by its time on more. Dashed: twice the threads, half the time.";

const HEIGHT: f64 = 260.0;
const LEFT: f64 = 30.0;
/// Room for the names at the ends of lines.
const RIGHT: f64 = WIDTH - 86.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 34.0;

/// Of one report on one instruction set: threads and speed-up.
type Curves<'a> = IndexMap<(usize, &'a str), Vec<(f64, f64)>>;

/// A chart for each op, shape and number format.
pub fn figures(comparison: &Comparison) -> Vec<Markup> {
    let mut charts: IndexMap<(&str, &str, &str), Curves<'_>> = IndexMap::new();
    for row in &comparison.scaling {
        for (report, cell) in row.cells.iter().enumerate() {
            let Some((cell, speedup)) = cell.as_ref().and_then(|cell| Some((cell, cell.speedup?))) else { continue };
            let curves = charts.entry((&row.op, &row.shape, &row.dtype)).or_default();
            let curve = curves.entry((report, cell.isa.as_deref().unwrap_or_default())).or_default();
            curve.push((cell.threads as f64, speedup));
        }
    }
    charts
        .iter()
        .map(|((op, shape, dtype), curves)| figure(comparison, &format!("{op} · {shape} · {dtype}"), curves))
        .collect()
}

fn figure(comparison: &Comparison, title: &str, curves: &Curves<'_>) -> Markup {
    let points = || curves.values().flatten();
    let threads = points().map(|(threads, _)| *threads).fold(1.0, f64::max);
    let x = LogScale::holding([1.0, threads].into_iter(), 1.0, (LEFT + 8.0, RIGHT));
    let y = LogScale::holding(points().map(|(_, speedup)| *speedup).chain([1.0, threads]), 1.06, (BOTTOM, TOP));
    let last =
        |curve: &Vec<(f64, f64)>| curve.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |last| last.1);
    let ends: Vec<f64> = curves.values().map(|curve| y.at(last(curve))).collect();
    let names = names(&ends, BOTTOM);
    let drawing = html! {
        (grid(&x, &y))
        (line((x.at(1.0), y.at(1.0)), (x.at(threads), y.at(threads)), "ideal"))
        @for ((&(report, isa), curve), name) in curves.iter().zip(names) {
            g class=(series(report)) { (drawn(&comparison.reports[report].letter, report, isa, curve, name, (&x, &y))) }
        }
    };
    html! {
        figcaption { (shortened(title, 52)) }
        (frame(&format!("Speed-up by threads, {title}"), HEIGHT, &drawing))
    }
}

fn drawn(
    letter: &str,
    report: usize,
    isa: &str,
    curve: &[(f64, f64)],
    name: f64,
    (x, y): (&LogScale, &LogScale),
) -> Markup {
    let mut points: Vec<(f64, f64)> = curve.iter().map(|(threads, speedup)| (x.at(*threads), y.at(*speedup))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let end = points.last().copied().unwrap_or_default();
    html! {
        (polyline(&points, "curve"))
        @for (threads, speedup) in curve {
            @let tooltip = format!("{letter} {isa}: {} times as fast on {threads} threads", number(*speedup));
            (marker(report, (x.at(*threads), y.at(*speedup)), "dot", &tooltip))
        }
        (line((end.0 + 7.0, end.1), (RIGHT + 16.0, name), "leader"))
        (label(RIGHT + 18.0, name + 4.0, "letter", letter))
        (label(RIGHT + 32.0, name + 4.0, "variant", &shortened(isa, 9)))
    }
}

fn grid(x: &LogScale, y: &LogScale) -> Markup {
    html! {
        @for value in x.powers_of_two() {
            (label(x.at(value), BOTTOM + 16.0, "tick middle", &tick(value)))
        }
        @for value in y.powers_of_two() {
            (line((LEFT, y.at(value)), (RIGHT, y.at(value)), "grid"))
            (label(LEFT - 5.0, y.at(value) + 4.0, "tick end", &tick(value)))
        }
        (label(RIGHT, HEIGHT - 4.0, "axis end", "threads"))
        (label(0.0, HEIGHT - 4.0, "axis", "↑ speed-up"))
    }
}
