//! The reference backend: every quantity of the algorithm as a matrix of its own, products by `matrixmultiply`.
//!
//! It is the readable form of a layer step and the oracle the fused kernels are tested against. It keeps the normalised
//! input and Z of the whole batch in memory and shares nothing between positive and negative. `matrixmultiply` finds its
//! instruction set by itself; `FFWD_ISA` reaches the optimiser only.

use matrixmultiply::sgemm;
use rayon::prelude::*;

use crate::isa::Isa;
use crate::labels;
use crate::objective::{self, Objective, TRAINING_VARIANTS};
use crate::step::{Activations, Backend, Images, Input, LayerStep, Parameters};

/// Batch rows of one product call: enough work (512 rows x 784 x 500) to make handing it to a thread cheap. Products are cut by
/// rows of their result and never along the reduction, so the result does not depend on the number of threads.
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

    fn isa(&self) -> Isa {
        self.isa
    }

    fn products(&self) -> &'static str {
        "matrixmultiply"
    }

    fn prepare<'a>(&self, input: Input<'a>, units: usize) -> Box<dyn LayerStep + 'a> {
        input.assert_shapes();
        let (k, variants) = (input.k(), input.variants());
        let mut x = match input {
            Input::Images(images) => overlaid(&images),
            Input::Activations(Activations { rows, .. }) => rows,
        };
        x.par_chunks_exact_mut(k).for_each(normalise);
        let z = vec![0.0; x.len() / k * units];
        Box::new(ReferenceStep { x, z, k, u: units, variants })
    }
}

/// The rows of layer 1: every label overlaid on every image, (n * v) x k.
fn overlaid(images: &Images<'_>) -> Vec<f32> {
    let &Images { pixels, k, samples, classes, labels } = images;
    let mut x = vec![0.0; samples.len() * labels.len() * k];
    x.par_chunks_exact_mut(k).enumerate().for_each(|(row, x)| {
        let (s, variant) = (row / labels.len(), row % labels.len());
        labels::overlay(&pixels[samples[s] as usize * k..][..k], labels[variant][s], classes, x);
    });
    x
}

/// `x / (||x|| + 1e-4)`.
fn normalise(row: &mut [f32]) {
    let scale = objective::row_scale(objective::squared_norm(row));
    row.iter_mut().for_each(|x| *x *= scale);
}

struct ReferenceStep {
    /// Normalised input, rows x k.
    x: Vec<f32>,
    /// Rows x u: Z, then h, then dZ.
    z: Vec<f32>,
    k: usize,
    u: usize,
    variants: usize,
}

impl ReferenceStep {
    /// `h = max(x W + b, 0)`, over `z`.
    fn activate(&mut self, parameters: &Parameters) {
        assert_eq!((parameters.k, parameters.u), (self.k, self.u), "parameters of the prepared shape");
        let (k, u) = (self.k, self.u);
        self.z.par_chunks_mut(BLOCK_ROWS * u).zip(self.x.par_chunks(BLOCK_ROWS * k)).for_each(|(z, x)| {
            product(z.len() / u, k, u, (x, k, 1), &parameters.kernel, z);
            for row in z.chunks_exact_mut(u) {
                row.iter_mut().zip(&parameters.bias).for_each(|(z, b)| *z += b);
                row.iter_mut().for_each(|z| *z = z.max(0.0));
            }
        });
    }
}

impl LayerStep for ReferenceStep {
    fn gradient(&mut self, parameters: &Parameters, objective: &Objective, gradient: &mut Parameters) -> f64 {
        assert_eq!(self.variants, TRAINING_VARIANTS.len(), "a gradient needs positive and negative rows");
        assert_eq!((gradient.k, gradient.u), (self.k, self.u), "a gradient of the prepared shape");
        self.activate(parameters);
        let (k, u, rows) = (self.k, self.u, self.z.len() / self.u);
        assert!(rows > 0, "a gradient needs at least one sample");
        let losses: Vec<f64> = self
            .z
            .par_chunks_exact_mut(u)
            .enumerate()
            .map(|(row, h)| {
                let squares = h.iter().map(|h| h * h).sum();
                let row = objective.row(squares, u, rows, TRAINING_VARIANTS[row % TRAINING_VARIANTS.len()]);
                h.iter_mut().for_each(|h| *h *= row.coefficient);
                row.loss
            })
            .collect();
        let (x, dz) = (&self.x, &self.z);
        gradient.kernel.par_chunks_mut(BLOCK_INPUTS * u).enumerate().for_each(|(block, dw)| {
            product(dw.len() / u, rows, u, (&x[block * BLOCK_INPUTS..], 1, k), dz, dw);
        });
        let mut bias = vec![0.0_f64; u];
        for row in dz.chunks_exact(u) {
            bias.iter_mut().zip(row).for_each(|(db, &dz)| *db += f64::from(dz));
        }
        gradient.bias.iter_mut().zip(&bias).for_each(|(to, &db)| *to = db as f32);
        losses.iter().sum::<f64>() / rows as f64
    }

    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64 {
        self.activate(parameters);
        let u = self.u;
        if let Some(goodness) = goodness {
            assert_eq!(goodness.len(), self.z.len() / u, "a goodness for each row");
            goodness.par_iter_mut().zip(self.z.par_chunks_exact(u)).for_each(|(goodness, h)| {
                *goodness = h.iter().map(|h| h * h).sum::<f32>() / u as f32;
            });
        }
        if let Some(outputs) = outputs {
            outputs.copy_from_slice(&self.z);
        }
        self.z.par_iter().map(|&h| u64::from(h > 0.0)).sum()
    }
}

/// `c = a b` by `matrixmultiply` on the calling thread: `a` is m x k with row and column strides, `b` k x n and `c` m x n are
/// row-major.
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
