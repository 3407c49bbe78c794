//! A batch: the input rows of one layer, as a backend is given them.
//!
//! Letters: `n` samples in the batch, `v` variants of each sample, `k` inputs. Rows are ordered by sample, then by
//! variant: row `s * v + variant`. In training `v` = 2, positive before negative ([`polarity`]); in prediction `v` is
//! the number of labels tried.

use crate::labels::Label;
use crate::pixels::{Image, Pixels};
use crate::recipe::Polarity;

/// Variants of a training sample: one positive row and one negative.
pub const TRAINING_VARIANTS: usize = 2;

/// The polarity of row `row` of a training batch.
#[inline(always)]
pub fn polarity(row: usize) -> Polarity {
    if row.is_multiple_of(TRAINING_VARIANTS) { Polarity::Positive } else { Polarity::Negative }
}

/// The input rows of a layer.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Layer 1: images, each with `v` labels overlaid in turn.
    Images(Images<'a>),
    /// A later layer: what the layer before it put out.
    Activations(Activations<'a>),
}

/// `n` images of `k` bytes and the labels to overlay on them, or samples of floats and the labels before them.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// All images of the data set, `k` bytes each, or all samples.
    pub pixels: Pixels<'a>,
    /// Inputs of the layer: bytes of one image, or classes and floats of a sample.
    pub k: usize,
    /// Which images, in which order: `n` indices.
    pub samples: &'a [u32],
    /// Pixels that the overlay replaces, or inputs before the floats; `classes` <= `k`.
    pub classes: usize,
    /// What is written into them.
    pub overlay: Overlay<'a>,
}

/// The labels of a batch of images.
#[derive(Clone, Copy)]
pub enum Overlay<'a> {
    /// `v` lists of `n` labels below `classes`, aligned with the samples.
    Labels(&'a [Vec<u8>]),
    /// The neutral label on every image; `v` is 1.
    Neutral,
}

/// `n * v` rows of `k` activations, row-major.
#[derive(Clone, Copy)]
pub struct Activations<'a> {
    /// `n * v * k` floats.
    pub rows: &'a [f32],
    /// Floats of one row.
    pub k: usize,
    /// Rows of one sample.
    pub variants: usize,
}

impl Images<'_> {
    /// Rows of one sample, `v`.
    pub fn variants(&self) -> usize {
        match self.overlay {
            Overlay::Labels(labels) => labels.len(),
            Overlay::Neutral => 1,
        }
    }

    /// The image of sample `s`, or its floats.
    ///
    /// # Panics
    ///
    /// There is no sample `s`, or its image lies outside `pixels`.
    pub fn image(&self, s: usize) -> Image<'_> {
        self.pixels.image(self.samples[s] as usize, self.k)
    }

    /// The label of variant `variant` of sample `s`.
    ///
    /// # Panics
    ///
    /// There is no list of labels for that variant, or no label in it for that sample.
    pub fn label(&self, s: usize, variant: usize) -> Label {
        match self.overlay {
            Overlay::Labels(labels) => Label::Class(labels[variant][s]),
            Overlay::Neutral => Label::Neutral,
        }
    }

    fn assert_shapes(&self) {
        let Images { pixels, k, samples, classes, overlay } = *self;
        assert!(k > 0 && pixels.fits(k, classes), "images: k {k}, classes {classes}");
        let count = pixels.count(k);
        assert!(samples.iter().all(|&s| (s as usize) < count), "sample indices below {count}");
        if let Overlay::Labels(labels) = overlay {
            assert!(!labels.is_empty(), "at least one list of labels");
            for list in labels {
                assert_eq!(list.len(), samples.len(), "one label for each sample");
                assert!(list.iter().all(|&label| usize::from(label) < classes), "labels below {classes}");
            }
        }
    }
}

impl Input<'_> {
    /// Checks that the shapes fit together; a backend calls this once, at its entrance.
    ///
    /// # Panics
    ///
    /// On any shape that does not fit: a programmer's error.
    pub fn assert_shapes(&self) {
        match self {
            Self::Images(images) => images.assert_shapes(),
            Self::Activations(Activations { rows, k, variants }) => {
                assert!(*k > 0 && *variants > 0, "activations: k {k}, variants {variants}");
                assert!(rows.len().is_multiple_of(k * variants), "rows are whole samples");
            }
        }
    }

    /// Samples in the batch, `n`.
    pub fn samples(&self) -> usize {
        match self {
            Self::Images(images) => images.samples.len(),
            Self::Activations(Activations { rows, k, variants }) => rows.len() / (k * variants),
        }
    }

    /// Rows of one sample, `v`.
    pub fn variants(&self) -> usize {
        match self {
            Self::Images(images) => images.variants(),
            Self::Activations(activations) => activations.variants,
        }
    }

    /// Rows of the batch, `n * v`.
    pub fn rows(&self) -> usize {
        self.samples() * self.variants()
    }

    /// Inputs of the layer, `k`.
    pub fn k(&self) -> usize {
        match self {
            Self::Images(images) => images.k,
            Self::Activations(activations) => activations.k,
        }
    }
}
