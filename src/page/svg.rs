//! Pieces of SVG: the frame of a chart, numbers, lines, markers.

use itertools::Itertools;
use maud::{Markup, html};

/// The width of every chart, in units that are about a pixel on a phone.
pub const WIDTH: f64 = 380.0;

/// The number of colours in the style sheet.
const COLOURS: usize = 8;

/// The class that colours what stands at `index` of a series: a report, a run, a layer.
pub fn series(index: usize) -> String {
    format!("series s{}", index % COLOURS)
}

/// A coordinate or length.
pub fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// A chart of `height`. `title` is what a screen reader says of it.
pub fn frame(title: &str, height: f64, content: &Markup) -> Markup {
    html! {
        svg role="img" aria-label=(title) viewBox=(format!("0 0 {WIDTH} {}", px(height))) {
            title { (title) }
            (content)
        }
    }
}

/// Text at (`x`, `y`), with the class that styles and aligns it.
pub fn label(x: f64, y: f64, class: &str, text: &str) -> Markup {
    html! { text x=(px(x)) y=(px(y)) class=(class) { (text) } }
}

/// A straight line.
pub fn line((x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) -> Markup {
    html! { line x1=(px(x1)) y1=(px(y1)) x2=(px(x2)) y2=(px(y2)) class=(class) {} }
}

/// A line through `points`.
pub fn polyline(points: &[(f64, f64)], class: &str) -> Markup {
    html! { polyline points=(coordinates(points)) class=(class) {} }
}

/// The area within `points`.
pub fn polygon(points: &[(f64, f64)], class: &str) -> Markup {
    html! { polygon points=(coordinates(points)) class=(class) {} }
}

fn coordinates(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).join(" ")
}

/// The least distance of names below each other.
const NAME: f64 = 14.0;

/// How high the names of lines stand that end at `ends`: near these, clear of each other, and above `bottom`.
pub fn names(ends: &[f64], bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ends.len()).collect();
    order.sort_by(|&a, &b| ends[a].total_cmp(&ends[b]));
    let mut names = ends.to_vec();
    let mut free = f64::NEG_INFINITY;
    for index in order {
        names[index] = ends[index].max(free);
        free = names[index] + NAME;
    }
    let over = names.iter().copied().fold(0.0, f64::max) - bottom;
    names.iter().map(|name| name - over.max(0.0)).collect()
}

/// The marker of number `kind` at (`x`, `y`), with `title` as its tooltip. Seven outlines, then the same hollow, then
/// again.
pub fn marker(kind: usize, (x, y): (f64, f64), class: &str, title: &str) -> Markup {
    // Of about equal area; each within a circle of radius 6.
    const OUTLINES: [&str; 7] = [
        "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z",
        "M-4,-4h8v8h-8z",
        "M0,-5.5L5.2,3.8H-5.2z",
        "M0,-5.7L5.7,0L0,5.7L-5.7,0z",
        "M0,5.5L5.2,-3.8H-5.2z",
        "M-1.7,-5.2h3.4v3.5h3.5v3.4h-3.5v3.5h-3.4v-3.5h-3.5v-3.4h3.5z",
        "M0,-5.6L4.9,-2.8V2.8L0,5.6L-4.9,2.8V-2.8z",
    ];
    let fill = if (kind / OUTLINES.len()).is_multiple_of(2) { "solid" } else { "hollow" };
    html! {
        path d=(OUTLINES[kind % OUTLINES.len()]) transform=(format!("translate({},{})", px(x), px(y)))
            class=(format!("marker {fill} {class}")) {
            @if !title.is_empty() { title { (title) } }
        }
    }
}
