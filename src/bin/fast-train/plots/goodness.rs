//! How the goodness of positive and negative rows is distributed in each layer.

use plotters::prelude::*;

use super::{FONT, draw};

/// Bins of a histogram.
pub const BINS: usize = 60;

/// The goodness of rows in each layer.
pub struct Distributions {
    pub positive: Vec<Vec<f32>>,
    pub negative: Vec<Vec<f32>>,
    /// Where the loss has one.
    pub thresholds: Vec<Option<f64>>,
}

/// Histograms of one layer.
pub struct Histograms {
    /// The least and the largest goodness that is counted.
    pub range: (f64, f64),
    /// How many rows lie in each bin of the range.
    pub negative: [usize; BINS],
    pub positive: [usize; BINS],
    pub threshold: Option<f64>,
}

impl Histograms {
    /// The most that one bin counts; no less than 1.
    pub fn top(&self) -> usize {
        self.negative.iter().chain(&self.positive).copied().max().unwrap_or(1).max(1)
    }

    /// Where the bin of this number begins.
    pub fn edge(&self, bin: usize) -> f64 {
        self.range.0 + (self.range.1 - self.range.0) * bin as f64 / BINS as f64
    }
}

impl Distributions {
    /// The histograms of each layer.
    pub fn histograms(&self) -> impl Iterator<Item = Histograms> + '_ {
        let layers = self.positive.iter().zip(&self.negative).zip(&self.thresholds);
        layers.map(|((positive, negative), &threshold)| {
            let at_threshold: Vec<f32> = threshold.iter().map(|&value| value as f32).collect();
            let range = range(&[positive, negative, &at_threshold]);
            let [negative, positive] = [negative, positive].map(|values| histogram(values, range));
            Histograms { range, negative, positive, threshold }
        })
    }
}

/// Histograms of the goodness of positive and negative rows, one below the other for each layer, with the threshold of
/// each layer where the loss has one.
pub fn goodness(distributions: &Distributions) -> String {
    const HEIGHT: u32 = 240;
    let layers = distributions.positive.len();
    draw((720, HEIGHT * layers as u32), |area| {
        let parts = area.split_evenly((layers, 1));
        for (layer, (part, histograms)) in parts.iter().zip(distributions.histograms()).enumerate() {
            let (range, top) = (histograms.range, histograms.top() as f64 * 1.05);
            let mut chart = ChartBuilder::on(part)
                .caption(format!("Goodness in layer {}", layer + 1), (FONT, 18))
                .margin(10)
                .x_label_area_size(36)
                .y_label_area_size(52)
                .build_cartesian_2d(range.0..range.1, 0.0..top)?;
            chart.configure_mesh().x_desc("goodness").y_desc("images").light_line_style(WHITE).draw()?;
            let kinds = [
                ("negative: a wrong label", RGBColor(33, 102, 172), &histograms.negative),
                ("positive: the true label", RGBColor(178, 24, 43), &histograms.positive),
            ];
            for (name, colour, counts) in kinds {
                let edge = |bin| histograms.edge(bin);
                chart
                    .draw_series(counts.iter().enumerate().map(|(bin, &count)| {
                        Rectangle::new([(edge(bin), 0.0), (edge(bin + 1), count as f64)], colour.mix(0.55).filled())
                    }))?
                    .label(name)
                    .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.mix(0.55).filled()));
            }
            if let Some(threshold) = histograms.threshold {
                chart
                    .draw_series(LineSeries::new([(threshold, 0.0), (threshold, top)], BLACK.stroke_width(2)))?
                    .label("threshold")
                    .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], BLACK.stroke_width(2)));
            }
            chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
        }
        Ok(())
    })
}

/// From the least to the largest of all values, which are no single point.
fn range(values: &[&[f32]]) -> (f64, f64) {
    let finite =
        values.iter().flat_map(|values| values.iter()).map(|&value| f64::from(value)).filter(|v| v.is_finite());
    let (least, most) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
    match (least < most, least.is_finite()) {
        (true, _) => (least, most),
        (false, true) => (least - 0.5, least + 0.5),
        (false, false) => (0.0, 1.0),
    }
}

/// How many values lie in each bin of a range.
fn histogram(values: &[f32], (least, most): (f64, f64)) -> [usize; BINS] {
    let mut counts = [0; BINS];
    for value in values.iter().map(|&value| f64::from(value)).filter(|value| value.is_finite()) {
        let bin = ((value - least) / (most - least) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_every_finite_value() {
        let values = [0.0, 1.0, 0.5, f32::NAN, 0.999];
        let counts = histogram(&values, range(&[&values]));
        assert_eq!((counts.iter().sum::<usize>(), counts[0], counts[30], counts[BINS - 1]), (4, 1, 1, 2));
    }

    #[test]
    fn values_that_are_alike_or_missing_are_drawn_as_well() {
        for values in [vec![], vec![3.0; 4], vec![f32::NAN]] {
            let (positive, negative) = (vec![values.clone()], vec![values]);
            let distributions = Distributions { positive, negative, thresholds: vec![Some(1.0)] };
            assert!(goodness(&distributions).ends_with("</svg>\n"));
        }
    }
}
