//! The layer-step contract: what any backend must do for one layer and one batch.
//!
//! A [`Backend`] *prepares* a batch once (packing, ordering, norms) and then takes many inner steps on it. A step returns the
//! loss and the gradient as a function of the prepared batch and the layer's parameters. A backend may remember earlier
//! steps to save work; that changes a later step by rounding at most, and preparing again starts afresh. The optimiser lives
//! elsewhere (`crate::optimizer`).
//!
//! Letters: `n` samples in the batch, `v` variants of each sample, `k` inputs, `u` units. Rows are ordered by sample,
//! then by variant: row `s * v + variant`. In training `v` = 2 and the variants are
//! `TRAINING_VARIANTS`, positive before negative; in prediction `v` is the number of labels tried.

use crate::isa::Isa;
pub use crate::objective::Objective;

/// The input rows of a layer.
pub enum Input<'a> {
    /// Layer 1: images, each with `v` labels overlaid in turn.
    Images(Images<'a>),
    /// A later layer: what the layer before it put out.
    Activations(Activations),
}

/// `n` images of `k` bytes and the labels to overlay on them.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// All images of the data set, `k` bytes each.
    pub pixels: &'a [u8],
    /// Bytes of one image.
    pub k: usize,
    /// Which images, in which order: `n` indices.
    pub samples: &'a [u32],
    /// Pixels that the overlay replaces, `classes` <= `k`.
    pub classes: usize,
    /// `v` lists of `n` labels below `classes`, aligned with `samples`.
    pub labels: &'a [Vec<u8>],
}

/// `n * v` rows of `k` activations, row-major.
pub struct Activations {
    /// `n * v * k` floats.
    pub rows: Vec<f32>,
    /// Floats of one row.
    pub k: usize,
    /// Rows of one sample.
    pub variants: usize,
}

impl Input<'_> {
    /// Checks that the shapes fit together; a backend calls this once, at its entrance.
    ///
    /// # Panics
    ///
    /// On any shape that does not fit: a programmer's error.
    pub fn assert_shapes(&self) {
        match self {
            Self::Images(images) => {
                let Images { pixels, k, samples, classes, labels } = *images;
                assert!(k > 0 && classes <= k && !labels.is_empty(), "images: k {k}, classes {classes}");
                assert!(pixels.len().is_multiple_of(k), "pixels are whole images");
                let count = pixels.len() / k;
                assert!(samples.iter().all(|&s| (s as usize) < count), "sample indices below {count}");
                for list in labels {
                    assert_eq!(list.len(), samples.len(), "one label for each sample");
                    assert!(list.iter().all(|&label| usize::from(label) < classes), "labels below {classes}");
                }
            }
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
            Self::Images(images) => images.labels.len(),
            Self::Activations(activations) => activations.variants,
        }
    }

    /// Inputs of the layer, `k`.
    pub fn k(&self) -> usize {
        match self {
            Self::Images(images) => images.k,
            Self::Activations(activations) => activations.k,
        }
    }
}

/// The trainable numbers of one layer; a gradient has the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Inputs, `k`.
    pub k: usize,
    /// Units, `u`.
    pub u: usize,
    /// Weights, `k` x `u`, row-major.
    pub kernel: Vec<f32>,
    /// One bias for each unit; empty in a layer without bias.
    pub bias: Vec<f32>,
}

impl Parameters {
    /// All zeros, with or without bias.
    pub fn zeros(k: usize, u: usize, use_bias: bool) -> Self {
        Self { k, u, kernel: vec![0.0; k * u], bias: vec![0.0; if use_bias { u } else { 0 }] }
    }
}

/// A batch prepared for one layer.
pub trait LayerStep: Send {
    /// The batch's mean loss under `parameters`, and its gradient, written over `gradient`.
    ///
    /// The batch has the two training variants and at least one sample. The loss is the mean over all `2n` rows.
    fn gradient(&mut self, parameters: &Parameters, objective: &Objective, gradient: &mut Parameters) -> f64;

    /// Runs the batch through the layer.
    ///
    /// Where asked for, writes the rows of activations `h` ((n * v) x u, row-major) and each row's goodness (n * v).
    /// Returns how many activations are above zero.
    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64;
}

/// One way of computing layer steps.
pub trait Backend: Send + Sync {
    /// The name `--backend` takes.
    fn name(&self) -> &'static str;

    /// The number format of its products.
    fn precision(&self) -> &'static str;

    /// The instruction set the optimiser runs on, and the backend's own kernels.
    fn isa(&self) -> Isa;

    /// What chose the instruction set of its products: [`Backend::isa`], or a library's own detection.
    fn products(&self) -> &'static str {
        self.isa().name()
    }

    /// Prepares a batch for a layer of `units` units. Takes the input by value: a later layer's rows are large, and a
    /// backend that packs them gives the memory back.
    fn prepare<'a>(&self, input: Input<'a>, units: usize) -> Box<dyn LayerStep + 'a>;
}
