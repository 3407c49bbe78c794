//! The pictures of a run: the loss curve, four training images, the confusion matrix; images in a grid (`grid`) and
//! how goodness is distributed (`goodness`), for `fast-train show`.
//!
//! Relies on `plotters` with its SVG backend, and on `png` for the images in it; drawing into a string cannot fail.

mod goodness;
mod grid;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ffwd::train::EpochReport;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use goodness::{BINS, Distributions, Histograms, goodness};
pub use grid::{Grid, Tile};

const FONT: &str = "sans-serif";

/// An image with its label, as the data set's files call it.
pub struct Sample<'a> {
    pub image: &'a [u8],
    pub label: usize,
}

/// FinalLoss and each layer's loss over the outer epochs, where they are finite.
pub fn loss(epochs: &[EpochReport]) -> String {
    let values = epochs.iter().flat_map(|report| report.layer_loss.iter().copied().chain([report.final_loss]));
    // The axis has an end, whatever the losses; far beyond 32-bit floats it could not be divided.
    let far = f64::from(f32::MAX);
    let (least, most) = values
        .filter(|value| value.is_finite())
        .fold((0.0, 0.1), |(least, most): (f64, f64), value| (least.min(value), most.max(value)));
    let (bottom, top) = (least.max(-far) * 1.05, most.min(far) * 1.05);
    draw((720, 440), |area| {
        let x = 1..epochs.len().max(2);
        let mut chart = ChartBuilder::on(area)
            .caption("Loss over training", (FONT, 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(52)
            .build_cartesian_2d(x, bottom..top)?;
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

/// Images of `rows` x `cols` bytes side by side, the label above each.
pub fn samples(samples: &[Sample<'_>], (rows, cols): (usize, usize)) -> String {
    const SIDE: usize = 168;
    const TITLE: usize = 30;
    const LEAST: f64 = 3.0;
    let left = |index: usize| index * (SIDE + 12) + 6;
    let width = samples.len().max(1) * (SIDE + 12);
    let mut svg = draw((width as u32, (SIDE + TITLE + 12) as u32), |area| {
        (0..).zip(samples).try_for_each(|(index, sample)| {
            area.draw(&Text::new(format!("Label: {}", sample.label), (left(index) as i32, 8), (FONT, 16)))
        })
    });
    let end = svg.rfind("</svg>").expect("the end of the picture");
    let scale = SIDE as f64 / rows.max(cols) as f64;
    // Pixels in a row without a shape are still to be seen.
    let [width, height] = [cols, rows].map(|size| (size as f64 * scale).max(LEAST));
    let images: String = samples
        .iter()
        .enumerate()
        .map(|(index, sample)| {
            let (x, png) = (left(index), STANDARD.encode(png(sample.image, (rows, cols))));
            format!(
                "<image x=\"{x}\" y=\"{TITLE}\" width=\"{width:.2}\" height=\"{height:.2}\" \
                 preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
                 href=\"data:image/png;base64,{png}\"/>\n"
            )
        })
        .collect();
    svg.insert_str(end, &images);
    svg
}

/// An image of `rows` x `cols` bytes, black to white, as PNG.
fn png(image: &[u8], size: (usize, usize)) -> Vec<u8> {
    png_of(png::ColorType::Grayscale, image, size)
}

/// An image of `rows` x `cols` pixels as PNG.
fn png_of(colours: png::ColorType, image: &[u8], (rows, cols): (usize, usize)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, cols as u32, rows as u32);
    encoder.set_color(colours);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(image));
    written.expect("a buffer takes an image of its size");
    bytes
}

/// How often each true label (row) was predicted as each label (column), the first of which is `label_base`.
pub fn confusion(counts: &[Vec<usize>], label_base: u8) -> String {
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
            let called = (label + usize::from(label_base)).to_string();
            area.draw(&Text::new(called.clone(), (offset, MARGIN - 14), centred(14)))?;
            area.draw(&Text::new(called, (MARGIN - 12, offset), centred(14)))?;
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
                comm_seconds: None,
                seconds: 1.0,
                validation_accuracy: None,
                goodness: None,
                readout_loss: None,
                pair_accuracy: None,
            };
            assert!(loss(&[report]).ends_with("</svg>\n"));
        }
    }

    /// The image that an element of a picture embeds.
    fn embedded(element: &str) -> (usize, usize, Vec<u8>) {
        let data = element.split_once("base64,").unwrap().1.split('"').next().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(STANDARD.decode(data).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.height as usize, info.width as usize, pixels)
    }

    #[test]
    fn samples_hold_the_images_as_they_are_within_their_cells() {
        for (rows, cols) in [(1, 1), (28, 28), (1, 784), (57, 3), (500, 400)] {
            let images: Vec<Vec<u8>> =
                (0..4).map(|seed| (0..rows * cols).map(|i| (i + seed) as u8).collect()).collect();
            let shown: Vec<Sample<'_>> = (5..).zip(&images).map(|(label, image)| Sample { image, label }).collect();
            let svg = samples(&shown, (rows, cols));
            let elements: Vec<&str> = svg.split("<image ").skip(1).collect();
            assert_eq!(elements.len(), 4);
            assert!(svg.ends_with("</svg>\n") && svg.contains("Label: 8"));
            for (element, image) in elements.iter().zip(&images) {
                assert_eq!(embedded(element), (rows, cols, image.clone()));
                for name in [" width=\"", " height=\""] {
                    let size: f64 = element.split_once(name).unwrap().1.split('"').next().unwrap().parse().unwrap();
                    assert!((3.0..=168.0).contains(&size), "{rows} x {cols}: {size}");
                }
            }
        }
    }

    #[test]
    fn a_confusion_calls_labels_as_the_files_do() {
        let svg = confusion(&[vec![70, 0], vec![0, 80]], 5);
        assert!(svg.contains(">\n5\n<") && svg.contains(">\n6\n<"), "{svg}");
    }
}
