//! Rates as horizontal bars, each group's reports below each other; a whisker is the 95% interval of the median.

use indexmap::IndexMap;
use itertools::Itertools;
use maud::{Markup, html};

use crate::bench::compare::Comparison;
use crate::bench::compare::rows::{Cell, Row};
use crate::bench::compare::tables::{layers, variant};
use crate::bench::compare::text::number;
use crate::page::svg::{frame, label, line, px, series};
use crate::text::shortened;

/// What the charts of kernels show.
pub const KERNELS_KEY: &str = "The fastest of each report for every kernel and shape, with number format, instruction \
set and threads. Longer is faster, except where the unit is a time. The thin line at a bar's end is the 95% interval \
of the median.";

/// What the charts of training show.
pub const TRAINING_KEY: &str =
    "Images per second, through an outer epoch and through the prediction of ten labels. Longer is faster.";

const BAR: f64 = 17.0;
const HEADING: f64 = 22.0;
const GAP: f64 = 9.0;
/// Where bars begin, and how long the longest is; the value follows it.
const START: f64 = 116.0;
const LENGTH: f64 = 196.0;

struct Bar {
    /// The report's index.
    report: usize,
    letter: String,
    /// What the bar is a variant of: number format, instruction set, threads.
    variant: String,
    value: f64,
    /// The interval's ends.
    ends: Option<(f64, f64)>,
}

/// Bars that stand together under a heading.
type Groups = IndexMap<String, Vec<Bar>>;

/// A figure for each kind of kernel and unit, a group for each op and shape.
pub fn kernels(comparison: &Comparison) -> Vec<Markup> {
    let mut figures: IndexMap<(&str, &str), Groups> = IndexMap::new();
    for row in &comparison.best {
        let (kind, variety) = row.op.split_once('/').unwrap_or((&row.op, ""));
        let heading = [variety, &row.shape].into_iter().filter(|part| !part.is_empty()).join(" · ");
        let group = figures.entry((kind, row.unit)).or_default().entry(heading).or_default();
        group.extend(bars(comparison, row));
    }
    figures.iter().map(|((kind, unit), groups)| figure(kind, unit, groups)).collect()
}

fn bars<'a>(comparison: &'a Comparison, row: &'a Row) -> impl Iterator<Item = Bar> + 'a {
    let bar = |(report, cell): (usize, &'a Option<Cell>)| {
        let cell = cell.as_ref()?;
        Some(Bar {
            report,
            letter: comparison.reports[report].letter.clone(),
            variant: in_format(&row.dtype, variant(cell)),
            value: cell.rate,
            ends: Some(cell.rates(row.unit)),
        })
    };
    row.cells.iter().enumerate().filter_map(bar)
}

/// The number format in front of a variant, unless the name of its instruction set has it: room is short.
fn in_format(dtype: &str, variant: String) -> String {
    if variant.contains(dtype) { variant } else { format!("{dtype} {variant}") }
}

/// A figure for outer epochs and one for prediction, a group for each task.
pub fn training(comparison: &Comparison) -> Vec<Markup> {
    let (mut epochs, mut predictions) = (Groups::new(), Groups::new());
    for row in &comparison.training {
        let task = format!("{} · {} images · layers {}", row.training.dataset, row.training.samples, layers(row));
        let bar = |value| {
            let report = comparison.reports.iter().position(|report| report.letter == row.report).unwrap_or_default();
            let variant = in_format(&row.training.dtype, format!("{} ×{}", row.training.isa, row.training.threads));
            Bar { report, letter: row.report.clone(), variant, value, ends: None }
        };
        epochs.entry(task.clone()).or_default().push(bar(row.training.samples_per_second));
        predictions.entry(task).or_default().push(bar(row.training.predictions_per_second));
    }
    let figures = [("outer epoch", epochs), ("prediction", predictions)];
    figures
        .iter()
        .filter(|(_, groups)| !groups.is_empty())
        .map(|(kind, groups)| figure(kind, "images/s", groups))
        .collect()
}

fn figure(kind: &str, unit: &str, groups: &Groups) -> Markup {
    let bars = groups.values().flatten();
    let longest = bars.map(|bar| bar.ends.map_or(bar.value, |(_, high)| high)).fold(0.0, f64::max);
    let mut height = 0.0;
    let mut place = |bars: &[Bar]| {
        let top = height;
        height += HEADING + bars.len() as f64 * BAR + GAP;
        top
    };
    let tops: Vec<f64> = groups.values().map(|bars| place(bars)).collect();
    let drawing = html! {
        @for ((heading, bars), top) in groups.iter().zip(tops) {
            (label(0.0, top + 14.0, "heading", &shortened(heading, 52)))
            @for (index, bar) in bars.iter().enumerate() {
                (drawn(bar, top + HEADING + index as f64 * BAR, longest, unit, heading))
            }
        }
    };
    let kind = shortened(kind, 40);
    html! {
        figcaption { (kind) " " span.unit { (unit) } }
        (frame(&format!("{kind}, {unit}"), height, &drawing))
    }
}

/// The value in the six characters that there is room for.
fn short(value: f64) -> String {
    match value {
        1e12.. => format!("{value:.0e}"),
        1e9.. => format!("{}G", number(value / 1e9)),
        1e6.. => format!("{}M", number(value / 1e6)),
        1e5.. => format!("{}k", number(value / 1e3)),
        _ => number(value),
    }
}

fn drawn(bar: &Bar, y: f64, longest: f64, unit: &str, heading: &str) -> Markup {
    let scaled = |value: f64| if longest > 0.0 { LENGTH * value / longest } else { 0.0 };
    let (length, middle) = (scaled(bar.value), y + BAR / 2.0);
    let ends = bar.ends.map(|(low, high)| (START + scaled(low), START + scaled(high)));
    let value = number(bar.value);
    let tooltip = format!("{}: {} {heading}, {value} {unit}", bar.letter, bar.variant);
    let tooltip =
        bar.ends.map_or(tooltip.clone(), |(low, high)| format!("{tooltip} ({} to {})", number(low), number(high)));
    let end = ends.map_or(START + length, |(_, high)| high.max(START + length));
    html! {
        g class=(series(bar.report)) {
            title { (tooltip) }
            (label(0.0, middle + 4.0, "letter", &bar.letter))
            (label(START - 6.0, middle + 4.0, "variant end", &shortened(&bar.variant, 17)))
            rect x=(px(START)) y=(px(y + 2.5)) width=(px(length.max(1.0))) height=(px(BAR - 5.0)) rx="2" class="bar" {}
            @if let Some((low, high)) = ends { (line((low, middle), (high, middle), "whisker")) }
            (label(end + 6.0, middle + 4.0, "value", &short(bar.value)))
        }
    }
}
