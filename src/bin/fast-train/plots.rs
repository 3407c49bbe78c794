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

/// FinalLoss and each layer's loss over the outer epochs.
pub fn loss(epochs: &[EpochReport]) -> String {
    let values = || epochs.iter().flat_map(|report| report.layer_loss.iter().copied().chain([report.final_loss]));
    let top = values().fold(0.1, f64::max) * 1.05;
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
            let points = epochs.iter().map(move |report| (report.epoch, report.layer_loss[layer]));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(1)))?
                .label(format!("layer {}", layer + 1))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
        }
        chart
            .draw_series(LineSeries::new(epochs.iter().map(|r| (r.epoch, r.final_loss)), BLACK.stroke_width(2)))?
            .label("FinalLoss")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(2)));
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK.mix(0.3)).draw()
    })
}

/// Images of `rows` x `cols` bytes side by side, the label above each.
pub fn samples(samples: &[Sample<'_>], (rows, cols): (usize, usize)) -> String {
    const SIDE: usize = 168;
    const TITLE: usize = 30;
    let width = samples.len().max(1) * (SIDE + 12);
    let cell = (SIDE / rows.max(cols)).max(1);
    draw((width as u32, (SIDE + TITLE + 12) as u32), |area| {
        for (index, sample) in samples.iter().enumerate() {
            let left = (index * (SIDE + 12) + 6) as i32;
            area.draw(&Text::new(format!("Label: {}", sample.label), (left, 8), (FONT, 16)))?;
            for (pixel, &value) in sample.image.iter().enumerate() {
                let at = (left + (pixel % cols * cell) as i32, (TITLE + pixel / cols * cell) as i32);
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
