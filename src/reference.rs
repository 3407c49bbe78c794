//! The reference backend: every quantity of the algorithm as a matrix of its own, products by `matrixmultiply`.
//!
//! It is the readable form of a layer step and the oracle the fused kernels are tested against. It keeps the normalised
//! input and Z of the whole batch in memory and shares nothing between positive and negative. `matrixmultiply` finds
//! its instruction set by itself; `FFWD_ISA` reaches the optimiser only.

use matrixmultiply::sgemm;
use rayon::prelude::*;

use crate::backend::{Backend, LayerBackend, Use};
use crate::batch::{Images, Input, TRAINING_VARIANTS};
use crate::dropout::Dropout;
use crate::isa::Isa;
use crate::parameters::Parameters;
use crate::ranks::Share;
use crate::recipe::{Polarity, Recipe, squared_norm};

/// Batch rows of one product call: enough work (512 rows x 784 x 500) to make handing it to a thread cheap. Products
/// are cut by rows of their result and never along the reduction, so the result does not depend on the number of
/// threads.
const BLOCK_ROWS: usize = 512;

/// Inputs of one gradient product call: 784 of them make 13 blocks, enough for the threads of a desktop to share.
const BLOCK_INPUTS: usize = 64;

/// The backend; the optimiser of its layers runs on `isa`.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    isa: Isa,
}

impl Reference {
    /// The backend, with the optimiser on `isa`.
    pub fn new(isa: Isa) -> Self {
        Self { isa }
    }
}

impl Backend for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn precision(&self) -> &'static str {
        "f32"
    }

    fn computes_shares(&self) -> bool {
        false
    }

    fn part_samples(&self, samples: usize, _: usize, _: Use) -> usize {
        samples.max(1)
    }

    fn isa(&self) -> Isa {
        self.isa
    }

    fn products(&self) -> &'static str {
        "matrixmultiply"
    }

    fn layer(&self, recipe: &Recipe, k: usize, u: usize) -> Box<dyn LayerBackend> {
        Box::new(ReferenceLayer { recipe: *recipe, k, u, variants: 1, dropout: None, x: Vec::new(), z: Vec::new() })
    }
}

/// One layer and the batch it was given last.
struct ReferenceLayer {
    recipe: Recipe,
    k: usize,
    u: usize,
    /// Rows of one sample.
    variants: usize,
    /// What gradients leave out.
    dropout: Option<Dropout>,
    /// Normalised input, rows x k.
    x: Vec<f32>,
    /// Rows x u: Z, then h, then dZ.
    z: Vec<f32>,
}

impl ReferenceLayer {
    /// `h = max(x W + b, 0)`, over `z`.
    fn activate(&mut self, parameters: &Parameters) {
        let (k, u) = (self.k, self.u);
        parameters.assert_shape(k, u);
        self.z.par_chunks_mut(BLOCK_ROWS * u).zip(self.x.par_chunks(BLOCK_ROWS * k)).for_each(|(z, x)| {
            product(z.len() / u, k, u, (x, k, 1), &parameters.kernel, z);
            for row in z.chunks_exact_mut(u) {
                row.iter_mut().zip(&parameters.bias).for_each(|(z, b)| *z += b);
                row.iter_mut().for_each(|z| *z = z.max(0.0));
            }
        });
    }

    /// Leaves activations out of `z`.
    fn leave_out(&mut self, dropout: &Dropout) {
        let (u, variants) = (self.u, self.variants);
        self.z.par_chunks_exact_mut(u).enumerate().for_each(|(row, h)| {
            let mask = dropout.of_sample(row / variants);
            h.iter_mut().enumerate().for_each(|(unit, h)| *h *= mask.of(unit));
        });
    }

    /// `dZ = coefficient * h`, over `z`, for each row; returns the sum of their losses.
    fn differentiate(&mut self) -> f64 {
        let u = self.u;
        let loss = self.recipe.loss_of_rows(u, self.z.len() / u).with_dropout(self.dropout);
        let losses: Vec<f64> = self
            .z
            .par_chunks_exact_mut(TRAINING_VARIANTS * u)
            .flat_map_iter(|pair| {
                let squares = |h: &[f32]| h.iter().map(|h| h * h).sum::<f32>();
                let sums = [squares(&pair[..u]), squares(&pair[u..])];
                let rows = match loss.is_of_pairs() {
                    true => loss.pair(sums),
                    false => [loss.row(sums[0], Polarity::Positive), loss.row(sums[1], Polarity::Negative)],
                };
                for (h, row) in pair.chunks_exact_mut(u).zip(rows) {
                    h.iter_mut().for_each(|h| *h *= row.coefficient);
                }
                rows.map(|row| row.loss)
            })
            .collect();
        losses.iter().sum()
    }
}

/// The rows of layer 1: every label overlaid on every image, (n * v) x k.
fn overlaid(images: &Images<'_>, recipe: &Recipe, x: &mut [f32]) {
    let variants = images.variants();
    x.par_chunks_exact_mut(images.k).enumerate().for_each(|(row, x)| {
        let (s, variant) = (row / variants, row % variants);
        recipe.labels.overlay(images.image(s), images.label(s, variant), images.classes, x);
    });
}

impl LayerBackend for ReferenceLayer {
    /// # Panics
    ///
    /// Other ranks have the rest of the batch: its sums are not those of parts.
    fn begin_share(&mut self, input: &Input<'_>, _: Use, share: &Share) {
        input.assert_shapes();
        assert_eq!(share.ranks().count(), 1, "the reference backend computes in one process");
        assert_eq!(input.k(), self.k, "a batch of the layer's inputs");
        let (k, recipe) = (self.k, self.recipe);
        self.variants = input.variants();
        self.x.resize(input.rows() * k, 0.0);
        match input {
            Input::Images(images) => overlaid(images, &recipe, &mut self.x),
            Input::Activations(activations) => self.x.copy_from_slice(activations.rows),
        }
        self.x.par_chunks_exact_mut(k).for_each(|row| {
            let scale = recipe.normalisation.scale(squared_norm(row), k);
            row.iter_mut().for_each(|x| *x *= scale);
        });
        self.z.resize(input.rows() * self.u, 0.0);
    }

    fn gradient(&mut self, parameters: &Parameters, gradient: &mut Parameters, outputs: Option<&mut [f32]>) -> f64 {
        assert_eq!(self.variants, TRAINING_VARIANTS, "a gradient needs positive and negative rows");
        let (k, u, rows) = (self.k, self.u, self.z.len() / self.u);
        assert!(rows > 0, "a gradient needs at least one sample");
        gradient.assert_shape(k, u);
        self.activate(parameters);
        if let Some(dropout) = self.dropout {
            self.leave_out(&dropout);
        }
        if let Some(outputs) = outputs {
            outputs.copy_from_slice(&self.z);
        }
        let loss = self.differentiate();
        let (x, dz) = (&self.x, &self.z);
        gradient.kernel.par_chunks_mut(BLOCK_INPUTS * u).enumerate().for_each(|(block, dw)| {
            product(dw.len() / u, rows, u, (&x[block * BLOCK_INPUTS..], 1, k), dz, dw);
        });
        let mut bias = vec![0.0_f64; u];
        for row in dz.chunks_exact(u) {
            bias.iter_mut().zip(row).for_each(|(db, &dz)| *db += f64::from(dz));
        }
        gradient.bias.iter_mut().zip(&bias).for_each(|(to, &db)| *to = db as f32);
        loss / rows as f64
    }

    fn drop_out(&mut self, dropout: Option<Dropout>) {
        self.dropout = dropout;
    }

    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64 {
        self.activate(parameters);
        let u = self.u;
        if let Some(goodness) = goodness {
            assert_eq!(goodness.len(), self.z.len() / u, "a goodness for each row");
            goodness.par_iter_mut().zip(self.z.par_chunks_exact(u)).for_each(|(goodness, h)| {
                *goodness = self.recipe.goodness.of(h.iter().map(|h| h * h).sum(), u);
            });
        }
        if let Some(outputs) = outputs {
            outputs.copy_from_slice(&self.z);
        }
        self.z.par_iter().map(|&h| u64::from(h > 0.0)).sum()
    }

    fn end(&mut self) {
        (self.x, self.z) = (Vec::new(), Vec::new());
    }
}

/// `c = a b` by `matrixmultiply` on the calling thread: `a` is m x k with row and column strides, `b` k x n and `c` m x
/// n are row-major.
///
/// # Panics
///
/// A size is zero, or a slice is not of its size.
pub fn product(m: usize, k: usize, n: usize, a: (&[f32], usize, usize), b: &[f32], c: &mut [f32]) {
    let (a, row_stride, column_stride) = a;
    assert!(m > 0 && k > 0 && n > 0);
    assert!((m - 1) * row_stride + (k - 1) * column_stride < a.len(), "a holds m x k at its strides");
    assert!(b.len() == k * n && c.len() == m * n, "b is k x n, c is m x n");
    // SAFETY: the assertions above say that every element the three strides reach lies inside its slice; `c` is
    // borrowed mutably, so it overlaps neither `a` nor `b`.
    unsafe {
        sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            row_stride as isize,
            column_stride as isize,
            b.as_ptr(),
            n as isize,
            1,
            0.0,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}
