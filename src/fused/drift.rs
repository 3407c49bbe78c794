//! How far the weights of each unit of a layer move from step to step, and by how much that can raise its `z`.
//!
//! A normalised row has a norm of at most `N` ([`Bounds::norm`], which the recipe gives). By the inequality of Cauchy
//! and Schwarz, a change dW of a unit's weights then raises its `z` by at most `N ||dW||`, and where no input is
//! negative by at most `N ||max(dW, 0)||`.
//!
//! Rounding is accounted for: a computed `z` is off by at most [`Drift::error`] in the sparse form and by at most
//! [`Drift::dense_error`] in the dense one. This follows from the same inequality and from the relative error of the
//! number format ([`Bounds::rounding`], [`Bounds::dense_rounding`]).

use rayon::prelude::*;

use crate::parameters::Parameters;

/// Rows of weights whose squares a thread adds up at a time: 64 rows of 500 units are 256 KB, with those of the step
/// before.
const ROWS: usize = 64;

/// What bounds the `z` of a layer's units.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Inputs below this are label pixels.
    pub label_pixels: usize,
    /// Whether no input is negative.
    pub nonnegative: bool,
    /// The largest norm that a normalised row can have.
    pub norm: f64,
    /// The relative error of a `z` that the sparse form computes, in f32.
    pub rounding: f64,
    /// The relative error of a `z` that the dense form computes, in the products' number format; no less than
    /// `rounding`.
    pub dense_rounding: f64,
}

/// The movement of the units of one layer since the batch was prepared.
pub struct Drift {
    bounds: Bounds,
    /// The weights at the last step, k x u; empty before the first.
    known: Vec<f32>,
    /// By how much the weights' last change, that of label pixels included, can have raised each unit's `z`.
    step: Vec<f64>,
    /// By how much all changes of the weights, those of label pixels left out, can have raised each unit's `z`.
    path: Vec<f64>,
    /// The largest magnitude that the `z` of each unit can have had in any step, by the norm of its weights and its
    /// bias.
    largest: Vec<f64>,
    k: usize,
}

/// For each unit, the sums of squares over some rows of weights: of what the weights have risen by, and of the weights.
#[derive(Clone)]
struct Squares {
    rise: Vec<f32>,
    weight: Vec<f32>,
}

impl Drift {
    /// The drift of a layer of `k` inputs and `u` units, before the first step.
    pub fn new((k, u): (usize, usize), bounds: Bounds) -> Self {
        Self { bounds, known: Vec::new(), step: vec![0.0; u], path: vec![0.0; u], largest: vec![0.0; u], k }
    }

    /// Takes in the parameters of the next step.
    pub fn advance(&mut self, parameters: &Parameters) {
        let u = parameters.u;
        let Bounds { label_pixels, nonnegative, norm, .. } = self.bounds;
        if self.known.is_empty() {
            self.known.clone_from(&parameters.kernel);
        }
        let (labels, inputs) = parameters.kernel.split_at(label_pixels * u);
        let (known_labels, known_inputs) = self.known.split_at_mut(label_pixels * u);
        let labels = squares(labels, known_labels, u, nonnegative);
        let inputs = squares(inputs, known_inputs, u, nonnegative);
        // The sums of squares are themselves sums of k numbers in f32.
        let root = |squares: f32| (1.0 + sum_rounding(self.k)) * f64::from(squares).sqrt();
        for unit in 0..u {
            self.step[unit] = norm * root(labels.rise[unit] + inputs.rise[unit]);
            self.path[unit] += norm * root(inputs.rise[unit]);
            let bias = parameters.bias.get(unit).map_or(0.0, |&b| f64::from(b.abs()));
            let largest = norm * root(labels.weight[unit] + inputs.weight[unit]) + bias;
            self.largest[unit] = self.largest[unit].max(largest);
        }
    }

    /// By how much the weights' last change can have raised the `z` of unit `unit`.
    pub fn step(&self, unit: usize) -> f64 {
        self.step[unit]
    }

    /// By how much all changes of the weights can have raised the `z` of unit `unit`, label and bias left out.
    pub fn path(&self, unit: usize) -> f64 {
        self.path[unit]
    }

    /// By how much a `z` of unit `unit` that the sparse form computes may be off, in this step or in an earlier one.
    /// The same bound holds for the sum of a `z` and the unit's path, and for their difference.
    pub fn error(&self, unit: usize) -> f64 {
        self.bounds.rounding * (self.largest[unit] + self.path[unit])
    }

    /// [`Drift::error`] of a `z` that the dense form computes.
    pub fn dense_error(&self, unit: usize) -> f64 {
        self.bounds.dense_rounding * (self.largest[unit] + self.path[unit])
    }
}

/// The sums of squares over `rows`, whose weights were `known` in the step before; `known` becomes `rows`.
fn squares(rows: &[f32], known: &mut [f32], u: usize, nonnegative: bool) -> Squares {
    let least = if nonnegative { 0.0 } else { f32::NEG_INFINITY };
    let zero = Squares { rise: vec![0.0; u], weight: vec![0.0; u] };
    let chunks: Vec<Squares> = rows
        .par_chunks(ROWS * u)
        .zip(known.par_chunks_mut(ROWS * u))
        .map(|(rows, known)| {
            let mut sum = zero.clone();
            for (row, known) in rows.chunks_exact(u).zip(known.chunks_exact_mut(u)) {
                let sums = sum.rise.iter_mut().zip(&mut sum.weight);
                for ((rise, weight), (&w, known)) in sums.zip(row.iter().zip(known)) {
                    let change = (w - *known).max(least);
                    *rise += change * change;
                    *weight += w * w;
                    *known = w;
                }
            }
            sum
        })
        .collect();
    chunks.into_iter().fold(zero, |mut sum, chunk| {
        sum.rise.iter_mut().zip(chunk.rise).for_each(|(sum, square)| *sum += square);
        sum.weight.iter_mut().zip(chunk.weight).for_each(|(sum, square)| *sum += square);
        sum
    })
}

/// The relative error of a sum of `k` squares in f32: twice the usual bound, which allows half a unit in the last place
/// for each operation.
fn sum_rounding(k: usize) -> f64 {
    (k + 4) as f64 * f64::from(f32::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(nonnegative: bool, norm: f64) -> Drift {
        Drift::new((3, 2), Bounds { label_pixels: 1, nonnegative, norm, rounding: 1e-6, dense_rounding: 1e-2 })
    }

    /// Steps of the weights of two units of two inputs and a label pixel; returns each unit's path.
    fn paths(nonnegative: bool, steps: &[[f32; 6]]) -> [f64; 2] {
        let mut drift = drift(nonnegative, 1.0);
        for kernel in steps {
            drift.advance(&Parameters { k: 3, u: 2, kernel: kernel.to_vec(), bias: vec![0.0; 2] });
        }
        [drift.path(0), drift.path(1)]
    }

    #[test]
    fn a_path_is_the_sum_of_its_steps_and_label_pixels_do_not_count() {
        let steps = [[0.0; 6], [9.0, 9.0, 3.0, 0.0, 4.0, -1.0], [9.0, 9.0, 0.0, 0.0, 0.0, 1.0]];
        let close = |found: [f64; 2], expected: [f64; 2]| {
            assert!(found.iter().zip(expected).all(|(f, e)| *f >= e && *f < e + 1e-5), "{found:?} {expected:?}");
        };
        close(paths(true, &steps), [5.0, 2.0]);
        close(paths(false, &steps), [10.0, 3.0]);
    }

    #[test]
    fn a_step_counts_everything() {
        for norm in [1.0, 7.0] {
            let mut drift = drift(true, norm);
            for weight in [0.0, 2.0] {
                drift.advance(&Parameters { k: 3, u: 2, kernel: vec![weight; 6], bias: Vec::new() });
            }
            assert!((drift.step(0) - norm * 12.0_f64.sqrt()).abs() < 1e-4, "longer rows are raised by more");
            let sizes = norm * (12.0_f64.sqrt() + 8.0_f64.sqrt());
            assert!((drift.error(0) - 1e-6 * sizes).abs() < 1e-10);
            assert!((drift.dense_error(0) - 1e-2 * sizes).abs() < 1e-6);
        }
    }
}
