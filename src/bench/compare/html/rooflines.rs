//! Rooflines: a chart for each report on the same axes, its roofs drawn full and the others' faint, a marker for each
//! kernel.

use indexmap::IndexSet;
use maud::{Markup, html};

use crate::bench::compare::Comparison;
use crate::bench::compare::roofline::{Ceiling, Dot, Roofline};
use crate::bench::compare::text::number;
use crate::page::scale::{LogScale, tick};
use crate::page::svg::{WIDTH, frame, label, line, marker, polyline, px, series};
use crate::text::shortened;

/// What the charts show.
pub const KEY: &str = "The operations that each kernel executes for a byte it has to move, and their rate, on all \
threads. The slope is the memory's measured rate, a flat roof the measured peak of a number format. Grey: the other \
reports' highest roof. A kernel above the slope finds its operands in a cache; one above the flat roof leaves out \
work, in a report that does not tell how much.";

const HEIGHT: f64 = 300.0;
const LEFT: f64 = 38.0;
const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 34.0;
/// The width of a letter, about.
const LETTER: f64 = 6.6;

/// The axes that all charts share.
struct Axes {
    x: LogScale,
    y: LogScale,
}

impl Axes {
    fn point(&self, intensity: f64, rate: f64) -> (f64, f64) {
        (self.x.at(intensity), self.y.at(rate))
    }

    /// Where the slope of a memory's rate enters the chart, from the left or from below.
    fn start(&self, memory: f64) -> f64 {
        self.holds(self.y.low() / memory)
    }

    /// The value within the chart that is next to `intensity`.
    fn holds(&self, intensity: f64) -> f64 {
        intensity.clamp(self.x.low(), self.x.high())
    }
}

/// The kinds of kernels, in the order of their markers.
fn kinds(comparison: &Comparison) -> IndexSet<&str> {
    let dots = comparison.rooflines.iter().flat_map(|roofline| &roofline.dots);
    dots.map(|dot| kind(&dot.op)).collect()
}

fn kind(op: &str) -> &str {
    op.split('/').next().unwrap_or(op)
}

/// The markers of the kinds of kernels.
pub fn legend(comparison: &Comparison) -> Markup {
    html! {
        ul.legend {
            @for (index, kind) in kinds(comparison).iter().enumerate() {
                li {
                    svg.key viewBox="-7 -7 14 14" aria-hidden="true" { (marker(index, (0.0, 0.0), "", "")) }
                    (shortened(kind, 40))
                }
            }
        }
    }
}

/// A chart for each report that has kernels to show.
pub fn figures(comparison: &Comparison) -> Vec<Markup> {
    let (axes, kinds) = (axes(comparison), kinds(comparison));
    let rooflines = comparison.rooflines.iter().enumerate();
    let drawable = rooflines.filter(|(_, roofline)| !roofline.dots.is_empty());
    drawable.map(|(index, _)| figure(comparison, index, &axes, &kinds)).collect()
}

fn figure(comparison: &Comparison, index: usize, axes: &Axes, kinds: &IndexSet<&str>) -> Markup {
    let (report, roofline) = (&comparison.reports[index], &comparison.rooflines[index]);
    let others = comparison.rooflines.iter().enumerate().filter(|(other, _)| *other != index);
    let drawing = html! {
        (grid(axes))
        @for (_, other) in others {
            @for roof in other.roofs().iter().take(1) { (line_of(axes, other, roof, "other")) }
        }
        g class=(series(index)) {
            @for roof in roofline.roofs() { (line_of(axes, roofline, roof, "roof")) }
            (labels(axes, roofline))
            @for dot in &roofline.dots {
                @let shape = kinds.get_index_of(kind(&dot.op)).unwrap_or_default();
                (marker(shape, axes.point(dot.intensity, dot.rate), "dot", &tooltip(dot)))
            }
        }
    };
    html! {
        figcaption class=(series(index)) {
            span.chip { (report.letter) } (report.label) " " span.unit { "×" (roofline.threads) }
        }
        (frame(&format!("Roofline of {}, {}", report.letter, report.label), HEIGHT, &drawing))
    }
}

fn tooltip(dot: &Dot) -> String {
    let percent = dot.percent.map_or_else(String::new, |percent| format!(", {}% of the roof", number(percent)));
    format!("{} {} {} {}: {} GFLOP/s{percent}", dot.op, dot.shape, dot.dtype, dot.isa, number(dot.rate))
}

fn axes(comparison: &Comparison) -> Axes {
    let all = || comparison.rooflines.iter();
    let dots = || all().flat_map(|roofline| &roofline.dots);
    let ridges = all().flat_map(|roofline| {
        roofline.roofs().into_iter().zip(roofline.memory).map(|(roof, memory)| roof.rate / memory)
    });
    let ceilings = all().flat_map(|roofline| roofline.roofs().into_iter().map(|roof| roof.rate));
    Axes {
        x: LogScale::holding(dots().map(|dot| dot.intensity).chain(ridges), 1.8, (LEFT, RIGHT)),
        y: LogScale::holding(dots().map(|dot| dot.rate).chain(ceilings), 1.8, (BOTTOM, TOP)),
    }
}

fn grid(axes: &Axes) -> Markup {
    html! {
        @for value in axes.x.ticks() {
            @let x = axes.x.at(value);
            (line((x, TOP), (x, BOTTOM), "grid"))
            (label(x, BOTTOM + 14.0, "tick middle", &tick(value)))
        }
        @for value in axes.y.ticks() {
            @let y = axes.y.at(value);
            (line((LEFT, y), (RIGHT, y), "grid"))
            (label(LEFT - 5.0, y + 4.0, "tick end", &tick(value)))
        }
        (label(RIGHT, HEIGHT - 4.0, "axis end", "FLOP/byte"))
        (label(0.0, HEIGHT - 4.0, "axis", "↑ GFLOP/s"))
    }
}

/// The rates of the flat roofs and of the slope.
fn labels(axes: &Axes, roofline: &Roofline) -> Markup {
    let roofs = roofline.roofs();
    html! {
        @for roof in &roofs { (roof_label(axes, roofline, roof)) }
        @if let (Some(memory), Some(roof)) = (roofline.memory, roofs.last()) { (slope_label(axes, memory, roof.rate)) }
    }
}

/// The rate of a flat roof, left of where it begins and of the kernels there.
fn roof_label(axes: &Axes, roofline: &Roofline, roof: &Ceiling) -> Markup {
    let text =
        format!("{} {} {}", roof.dtype, shortened(roof.isa.as_deref().unwrap_or_default(), 16), number(roof.rate));
    let (ridge, y) = (axes.holds(roof.rate / roofline.memory.unwrap_or(f64::INFINITY)), axes.y.at(roof.rate));
    let dots = roofline.dots.iter().map(|dot| axes.point(dot.intensity, dot.rate));
    let near = dots.filter(|dot| (dot.1 - y).abs() < 12.0).map(|dot| dot.0 - 2.0);
    let end = near.fold(axes.x.at(ridge), f64::min) - 7.0;
    label(end.max(LEFT + LETTER * text.chars().count() as f64), y + 3.0, "over end", &text)
}

/// The memory's rate, below the slope as far as the lowest roof.
fn slope_label(axes: &Axes, memory: f64, roof: f64) -> Markup {
    let (start, ridge) = (axes.start(memory), axes.holds(roof / memory));
    let (from, to) = (axes.point(start, memory * start), axes.point(ridge, memory * ridge));
    let angle = (to.1 - from.1).atan2(to.0 - from.0).to_degrees();
    let (x, y) = (px((from.0 + to.0) / 2.0), px((from.1 + to.1) / 2.0));
    let turned = format!("translate({x},{y}) rotate({})", px(angle));
    html! { text transform=(turned) y="14" class="over middle" { (number(memory)) " GB/s" } }
}

/// The line of one roof: up the memory's slope, then flat; flat throughout where the memory's rate is not known.
fn line_of(axes: &Axes, roofline: &Roofline, roof: &Ceiling, class: &str) -> Markup {
    let memory = roofline.memory.unwrap_or(f64::INFINITY);
    let (start, ridge) = (axes.start(memory), axes.holds(roof.rate / memory));
    let points = [start, ridge, axes.x.high()].map(|x| axes.point(x, (memory * x).min(roof.rate)));
    polyline(&points, class)
}
