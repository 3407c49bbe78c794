//! A batch of the built-in digits in the order of training, drawn in memory: no file is read.

use std::sync::OnceLock;

use super::{CLASSES, PIXELS, SAMPLES, SIDE, Size};
use crate::batch::{Images, Overlay};
use crate::data::digits;
use crate::kd_order;

/// n digits; they outlive every workload, so that a prepared step may refer to them.
pub(super) struct Digits {
    /// n x 784 bytes, as drawn.
    pub pixels: Vec<u8>,
    /// Each digit's label, as drawn.
    pub drawn: Vec<u8>,
    /// Samples by label pair, those alike side by side.
    samples: Vec<u32>,
    /// The labels of positive and negative rows, in the order of `samples`.
    labels: [Vec<u8>; 2],
}

impl Digits {
    /// [`SAMPLES`] digits, or a tenth; drawn at the first call.
    pub fn of(size: Size) -> &'static Self {
        static DIGITS: [OnceLock<Digits>; 2] = [const { OnceLock::new() }; 2];
        DIGITS[usize::from(size == Size::Quick)].get_or_init(|| Self::draw(size.rows(SAMPLES)))
    }

    fn draw(n: usize) -> Self {
        let (pixels, drawn) = digits::draw(0..n);
        let places = kd_order::places(pixels.chunks_exact(PIXELS), SIDE, SIDE);
        let positive = |s: u32| drawn[s as usize];
        // Each of the nine wrong labels equally often.
        let negative = |s: u32| (positive(s) + 1 + (s % 9) as u8) % CLASSES as u8;
        let mut samples: Vec<u32> = (0..n as u32).collect();
        samples.sort_by_key(|&s| (positive(s), negative(s), places[s as usize]));
        let labels = [samples.iter().map(|&s| positive(s)).collect(), samples.iter().map(|&s| negative(s)).collect()];
        Self { pixels, drawn, samples, labels }
    }

    /// The batch of a training step.
    pub fn images(&'static self) -> Images<'static> {
        Images {
            pixels: (&self.pixels).into(),
            k: PIXELS,
            samples: &self.samples,
            classes: CLASSES,
            overlay: Overlay::Labels(&self.labels),
        }
    }
}
