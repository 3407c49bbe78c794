//! The charts of the page: curves over epochs or seconds, quantiles of goodness over epochs, histograms of goodness.

use ffwd::page::scale::{LinearScale, tick};
use ffwd::page::svg::{WIDTH, frame, label, line, marker, names, polygon, polyline};
use ffwd::text::shortened;
use ffwd::train::LayerGoodness;
use maud::{Markup, html};

use crate::plots::{BINS, Histograms};

const HEIGHT: f64 = 230.0;
const LEFT: f64 = 44.0;
/// Room for names at the ends of lines.
const RIGHT: f64 = WIDTH - 70.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 34.0;
/// More points of a line are not to be told apart.
const POINTS: usize = 300;
/// More names do not fit beside a chart; a line then shows its own under the pointer alone.
const NAMES: usize = 13;
/// Longer names do not fit beside it.
const CHARACTERS: usize = 9;

/// What stands at an axis of epochs, which are whole numbers.
pub const EPOCHS: &str = "outer epoch";

/// The classes that colour positive and negative rows.
const POSITIVE: &str = "series s4";
const NEGATIVE: &str = "series s0";

/// A line of a chart.
pub struct Curve {
    /// The class that colours it.
    pub class: String,
    /// What stands at its end.
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// What stands at the axes of a chart.
pub struct Axes<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    pub x: &'a str,
}

/// Curves on common axes; nothing where none of them has a point.
pub fn curves(axes: &Axes<'_>, curves: &[Curve]) -> Option<Markup> {
    let curves: Vec<(&Curve, Vec<(f64, f64)>)> =
        curves.iter().map(|curve| (curve, thinned(&curve.points))).filter(|(_, points)| !points.is_empty()).collect();
    let points = || curves.iter().flat_map(|(_, points)| points);
    points().next()?;
    let x = LinearScale::holding(points().map(|point| point.0), (LEFT, RIGHT));
    let y = LinearScale::holding(points().map(|point| point.1), (BOTTOM, TOP));
    let drawn: Vec<(&Curve, Vec<(f64, f64)>)> = curves
        .iter()
        .map(|(curve, points)| (*curve, points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect()))
        .collect();
    let ends: Vec<(f64, f64)> = drawn.iter().filter_map(|(_, points)| points.last().copied()).collect();
    let heights = names(&ends.iter().map(|end| end.1).collect::<Vec<_>>(), BOTTOM);
    Some(html! {
        figcaption { (axes.title) " " span.unit { (axes.unit) } }
        (frame(&format!("{}, {}", axes.title, axes.unit), HEIGHT, &html! {
            (grid(&x, &y, axes.x))
            @for (((curve, points), end), height) in drawn.iter().zip(&ends).zip(heights) {
                g class=(curve.class) {
                    title { (curve.name) }
                    (polyline(points, "curve"))
                    @if points.len() == 1 { (marker(0, *end, "dot", "")) }
                    @if drawn.len() <= NAMES { (name(*end, height, &curve.name)) }
                }
            }
        }))
    })
}

/// A name beside the end of a line.
fn name(end: (f64, f64), height: f64, text: &str) -> Markup {
    html! {
        (line((end.0 + 2.0, end.1), (RIGHT + 8.0, height), "leader"))
        (label(RIGHT + 10.0, height + 4.0, "letter", &shortened(text, CHARACTERS)))
    }
}

/// The finite ones of `points`, of which every so many stay, and the last.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<_> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let step = finite.len().div_ceil(POINTS).max(1);
    let last = finite.last().copied().filter(|_| !(finite.len().saturating_sub(1)).is_multiple_of(step));
    finite.into_iter().step_by(step).chain(last).collect()
}

fn grid(x: &LinearScale, y: &LinearScale, name: &str) -> Markup {
    html! {
        @for value in x.ticks().into_iter().filter(|value| name != EPOCHS || value.fract() == 0.0) {
            (label(x.at(value), BOTTOM + 16.0, "tick middle", &tick(value)))
        }
        @for value in y.ticks() {
            (line((LEFT, y.at(value)), (RIGHT, y.at(value)), "grid"))
            (label(LEFT - 6.0, y.at(value) + 4.0, "tick end", &tick(value)))
        }
        (label(RIGHT, HEIGHT - 4.0, "axis end", name))
    }
}

/// The goodness of one layer over epochs: the median of positive and of negative rows, and the bands in which half and
/// nine tenths of them lie.
pub fn goodness_over_epochs(layer: usize, looks: &[(usize, &LayerGoodness)], threshold: Option<f64>) -> Markup {
    let values = looks.iter().flat_map(|(_, look)| look.positive.iter().chain(&look.negative)).copied();
    let x = LinearScale::holding(looks.iter().map(|(epoch, _)| *epoch as f64), (LEFT, RIGHT));
    let y = LinearScale::holding(values.chain(threshold), (BOTTOM, TOP));
    let at = |epoch: usize, value: f64| (x.at(epoch as f64), y.at(value));
    let of = |kind: usize, look: &LayerGoodness| [look.negative, look.positive][kind];
    let path = |kind: usize, quantile: usize| -> Vec<(f64, f64)> {
        looks.iter().map(|(epoch, look)| at(*epoch, of(kind, look)[quantile])).collect()
    };
    let band = |kind: usize, (low, high): (usize, usize)| -> Vec<(f64, f64)> {
        path(kind, low).into_iter().chain(path(kind, high).into_iter().rev()).collect()
    };
    let medians = [0, 1].map(|kind| path(kind, 2));
    let ends: Vec<(f64, f64)> = medians.iter().filter_map(|points| points.last().copied()).collect();
    let at_threshold = threshold.map(|threshold| y.at(threshold));
    let heights: Vec<f64> = ends.iter().map(|end| end.1).chain(at_threshold).collect();
    let heights = names(&heights, BOTTOM);
    let title = format!("Layer {layer}: goodness over training");
    html! {
        figcaption { (title) }
        (frame(&title, HEIGHT, &html! {
            (grid(&x, &y, EPOCHS))
            @for (kind, class) in [NEGATIVE, POSITIVE].into_iter().enumerate() {
                g class=(class) {
                    (polygon(&band(kind, (0, 4)), "band"))
                    (polygon(&band(kind, (1, 3)), "band"))
                    (polyline(&medians[kind], "curve"))
                    @if let ([point], true) = (&medians[kind][..], looks.len() == 1) { (marker(0, *point, "dot", "")) }
                    (name(ends[kind], heights[kind], ["negative", "positive"][kind]))
                }
            }
            @if let (Some(at), Some(height)) = (at_threshold, heights.get(2)) {
                (threshold_line((LEFT, at), (RIGHT, at), *height))
            }
        }))
    }
}

/// The threshold over the whole width of a chart, with its name.
fn threshold_line(start: (f64, f64), end: (f64, f64), height: f64) -> Markup {
    html! {
        (line(start, end, "ideal"))
        (line((end.0 + 2.0, end.1), (RIGHT + 8.0, height), "leader"))
        (label(RIGHT + 10.0, height + 4.0, "variant", "threshold"))
    }
}

/// How many test images have which goodness in one layer.
pub fn histograms(layer: usize, histograms: &Histograms) -> Markup {
    let x = LinearScale::exactly(histograms.range, (LEFT, RIGHT));
    let y = LinearScale::holding([0.0, histograms.top() as f64].into_iter(), (BOTTOM, TOP));
    let outline = |counts: &[usize; BINS]| -> Vec<(f64, f64)> {
        let steps = counts
            .iter()
            .enumerate()
            .flat_map(|(bin, &count)| [bin, bin + 1].map(|edge| (x.at(histograms.edge(edge)), y.at(count as f64))));
        [(x.at(histograms.edge(0)), BOTTOM)]
            .into_iter()
            .chain(steps)
            .chain([(x.at(histograms.edge(BINS)), BOTTOM)])
            .collect()
    };
    let title = format!("Layer {layer}: goodness of test images");
    html! {
        figcaption { (title) " " span.unit { "images" } }
        (frame(&title, HEIGHT, &html! {
            (grid(&x, &y, "goodness"))
            @for (class, name, counts, at) in [
                (NEGATIVE, "negative", &histograms.negative, TOP + 16.0),
                (POSITIVE, "positive", &histograms.positive, TOP + 32.0),
            ] {
                g class=(class) {
                    (polygon(&outline(counts), "band outlined"))
                    (label(RIGHT + 10.0, at, "letter", name))
                }
            }
            @if let Some(threshold) = histograms.threshold {
                (line((x.at(threshold), TOP), (x.at(threshold), BOTTOM), "ideal"))
                (label(RIGHT + 10.0, TOP + 48.0, "variant", "threshold"))
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_points_keep_the_ends() {
        for count in [1, 2, 299, 300, 301, 1000, 3001] {
            let points: Vec<_> = (0..count).map(|i| (f64::from(i), 1.0)).collect();
            let thin = thinned(&points);
            assert!(thin.len() <= POINTS + 1 && thin.first() == points.first() && thin.last() == points.last());
        }
        assert!(thinned(&[(1.0, f64::NAN)]).is_empty() && thinned(&[]).is_empty());
    }

    #[test]
    fn curves_without_a_finite_value_are_no_chart() {
        let axes = Axes { title: "Loss", unit: "", x: EPOCHS };
        let curve = |value| Curve { class: "series s0".into(), name: "A".into(), points: vec![(1.0, value)] };
        assert!(curves(&axes, &[curve(f64::NAN)]).is_none());
        let drawn = curves(&axes, &[curve(f64::NAN), curve(0.5)]).unwrap().into_string();
        assert_eq!(drawn.matches("<polyline").count(), 1);
    }
}
