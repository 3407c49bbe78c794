//! The pictures of a run, as SVG: the loss curve, four training images, the confusion matrix.
//!
//! Relies on `plotters` with its SVG backend; drawing into a string cannot fail.

use ffwd::train::EpochReport;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const FONT: &str = "sans-serif";

/// An image with its label.
pub struct Sample<'a> {
    pub image: &'a [u8],
    pub label: u8,
}

/// FinalLoss and each layer's loss over the outer epochs, where they are finite.
pub fn loss(epochs: &[EpochReport]) -> String {
    let values = epochs.iter().flat_map(|report| report.layer_loss.iter().copied().chain([report.final_loss]));
    // The axis has an end, whatever the losses; far beyond 32-bit floats it could not be divided.
    let top = values.filter(|value| value.is_finite()).fold(0.1, f64::max).min(f64::from(f32::MAX)) * 1.05;
    draw((720, 440), |area| {
        let x = 1..epochs.len().max(2);
        let mut chart = ChartBuilder::on(area)
            .caption("Loss over training", (FONT, 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(52)
            .build_cartesian_2d(x, 0.0..top)?;
        chart.configure_mesh().x_desc("outer epoch").y_desc("loss").light_line_style(WHITE).draw()?;
        let layers = epochs.first().map_or(0, |report| report.layer_loss.len());
        for layer in 0..layers {
            // Steps of the golden section keep the hues of any number of layers apart.
            let color = HSLColor((0.6 + 0.618 * layer as f64).fract(), 0.8, 0.45).to_rgba();
            let points = points(epochs, move |report| report.layer_loss[layer]);
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(1)))?
                .label(format!("layer {}", layer + 1))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
        }
        chart
            .draw_series(LineSeries::new(points(epochs, |report| report.final_loss), BLACK.stroke_width(2)))?
            .label("FinalLoss")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(2)));
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK.mix(0.3)).draw()
    })
}

/// The epochs and their values as points, without those that are not finite.
fn points(epochs: &[EpochReport], value: impl Fn(&EpochReport) -> f64) -> impl Iterator<Item = (usize, f64)> {
    epochs.iter().map(move |report| (report.epoch, value(report))).filter(|(_, value)| value.is_finite())
}

/// Images of `rows` x `cols` bytes side by side, the label above each. Of a large image every so many-th pixel is
/// shown.
pub fn samples(samples: &[Sample<'_>], (rows, cols): (usize, usize)) -> String {
    const SIDE: usize = 168;
    const TITLE: usize = 30;
    // Three dots for each pixel shown, at least, and a file of moderate size.
    const SHOWN: usize = SIDE / 3;
    let width = samples.len().max(1) * (SIDE + 12);
    let step = rows.max(cols).div_ceil(SHOWN);
    let cell = SIDE / rows.max(cols).div_ceil(step);
    let shown = move || (0..rows).step_by(step).flat_map(move |row| (0..cols).step_by(step).map(move |col| (row, col)));
    draw((width as u32, (SIDE + TITLE + 12) as u32), |area| {
        for (index, sample) in samples.iter().enumerate() {
            let left = (index * (SIDE + 12) + 6) as i32;
            area.draw(&Text::new(format!("Label: {}", sample.label), (left, 8), (FONT, 16)))?;
            for (row, col) in shown() {
                let value = sample.image[row * cols + col];
                let at = (left + (col / step * cell) as i32, (TITLE + row / step * cell) as i32);
                let to = (at.0 + cell as i32, at.1 + cell as i32);
                area.draw(&Rectangle::new([at, to], RGBColor(value, value, value).filled()))?;
            }
        }
        Ok(())
    })
}

/// How often each true label (row) was predicted as each label (column).
pub fn confusion(counts: &[Vec<usize>]) -> String {
    const CELL: i32 = 46;
    const MARGIN: i32 = 60;
    let side = (counts.len() as i32 * CELL + MARGIN + 20) as u32;
    draw((side, side), |area| {
        let centred = |size: i32| (FONT, size).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Center));
        let middle = MARGIN + counts.len() as i32 * CELL / 2;
        area.draw(&Text::new("predicted", (middle, 16), centred(16)))?;
        area.draw(&Text::new("true", (22, middle), centred(16)))?;
        for (label, row) in counts.iter().enumerate() {
            let offset = MARGIN + label as i32 * CELL + CELL / 2;
            area.draw(&Text::new(label.to_string(), (offset, MARGIN - 14), centred(14)))?;
            area.draw(&Text::new(label.to_string(), (MARGIN - 12, offset), centred(14)))?;
            let total = row.iter().sum::<usize>().max(1);
            for (predicted, &count) in row.iter().enumerate() {
                let at = (MARGIN + predicted as i32 * CELL, MARGIN + label as i32 * CELL);
                let color = if predicted == label { GREEN } else { RED };
                // The square root keeps rare confusions visible.
                let shade = color.mix(0.7 * (count as f64 / total as f64).sqrt());
                area.draw(&Rectangle::new([at, (at.0 + CELL - 1, at.1 + CELL - 1)], shade.filled()))?;
                area.draw(&Text::new(count.to_string(), (at.0 + CELL / 2, at.1 + CELL / 2), centred(13)))?;
            }
        }
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawing = Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

/// The SVG text of what `paint` draws on white.
fn draw(size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Drawing) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).and_then(|()| paint(&area)).and_then(|()| area.present()).expect("a string takes any text");
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_that_are_not_finite_are_left_out() {
        for value in [f64::NAN, f64::INFINITY, 1e300, 0.5] {
            let report = EpochReport {
                epoch: 1,
                final_loss: value,
                layer_loss: vec![0.7],
                active: vec![0.5],
                step_loss: vec![],
                seconds: 1.0,
                validation_accuracy: None,
                readout_loss: None,
                pair_accuracy: None,
            };
            assert!(loss(&[report]).ends_with("</svg>\n"));
        }
    }

    #[test]
    fn an_image_of_any_size_stays_within_its_cell() {
        for (rows, cols) in [(1, 1), (28, 28), (1, 784), (57, 3), (500, 400)] {
            let image = vec![200; rows * cols];
            let svg = samples(&[Sample { image: &image, label: 3 }], (rows, cols));
            let far_edge = |position: &str, size: &str| -> Vec<u32> {
                let number = |rectangle: &str, name: &str| -> u32 {
                    let text = rectangle.split_once(&format!(" {name}=\"")).unwrap().1;
                    text.split('"').next().unwrap().parse().unwrap()
                };
                let pixels = svg.split("<rect").skip(2);
                pixels.map(|rectangle| number(rectangle, position) + number(rectangle, size)).collect()
            };
            let (right, bottom) = (far_edge("x", "width"), far_edge("y", "height"));
            assert!(!right.is_empty() && right.len() <= 56 * 56);
            assert!(right.iter().all(|&x| x <= 180) && bottom.iter().all(|&y| y <= 210), "{rows} x {cols}");
        }
    }
}
