//! How far a layer's weights move from step to step, unit by unit, and what that says about `z`.
//!
//! A normalised row has norm <= 1, so by Cauchy and Schwarz a change dW of a unit's weights raises its `z` by at most
//! `||dW||`; where no input is negative, by at most `||max(dW, 0)||`.
//!
//! Rounding is accounted for: a computed `z` is a sum of k + 2 terms in f32 and off by at most [`Drift::error`], by Cauchy
//! and Schwarz again.

use rayon::prelude::*;

use crate::step::Parameters;

/// Rows of weights whose squares a thread adds up at a time: 64 rows of 500 units, now and before, are 256 KB.
const ROWS: usize = 64;

/// The movement of the units of one layer since the batch was prepared.
pub(super) struct Drift {
    /// Whether no input is negative.
    nonnegative: bool,
    /// Inputs below this are label pixels.
    classes: usize,
    /// The weights at the last step, k x u; empty before the first.
    known: Vec<f32>,
    /// By how much the last step's weights, label pixels included, can have raised each unit's `z`.
    step: Vec<f64>,
    /// By how much all steps' weights, label pixels left out, can have raised each unit's `z`.
    path: Vec<f64>,
    /// The norm of each unit's weights and bias, the largest so far.
    norm: Vec<f64>,
    k: usize,
}

/// Sums of squares for each unit over some rows of weights.
#[derive(Clone)]
struct Squares {
    rise: Vec<f32>,
    weight: Vec<f32>,
}

impl Drift {
    /// `u` units of `k` inputs, the first `classes` of which are label pixels.
    pub fn new(k: usize, u: usize, classes: usize, nonnegative: bool) -> Self {
        Self { nonnegative, classes, known: Vec::new(), step: vec![0.0; u], path: vec![0.0; u], norm: vec![0.0; u], k }
    }

    /// Moves on to a step under `parameters`.
    pub fn advance(&mut self, parameters: &Parameters) {
        let u = parameters.u;
        if self.known.is_empty() {
            self.known.clone_from(&parameters.kernel);
        }
        let (labels, inputs) = parameters.kernel.split_at(self.classes * u);
        let (known_labels, known_inputs) = self.known.split_at_mut(self.classes * u);
        let labels = squares(labels, known_labels, u, self.nonnegative);
        let inputs = squares(inputs, known_inputs, u, self.nonnegative);
        // The sums of squares are themselves rounded k times.
        let root = |squares: f32| (1.0 + rounding(self.k)) * f64::from(squares).sqrt();
        for unit in 0..u {
            self.step[unit] = root(labels.rise[unit] + inputs.rise[unit]);
            self.path[unit] += root(inputs.rise[unit]);
            let bias = parameters.bias.get(unit).map_or(0.0, |&b| f64::from(b.abs()));
            self.norm[unit] = self.norm[unit].max(root(labels.weight[unit] + inputs.weight[unit]) + bias);
        }
    }

    /// By how much the last step's change of the weights can have raised unit `unit`'s `z`.
    pub fn step(&self, unit: usize) -> f64 {
        self.step[unit]
    }

    /// By how much the changes of all steps can have raised unit `unit`'s `z`, label pixels and bias apart.
    pub fn path(&self, unit: usize) -> f64 {
        self.path[unit]
    }

    /// By how much a computed `z` of unit `unit`, or one less or plus its path, may be off, in this step or before.
    pub fn error(&self, unit: usize) -> f64 {
        rounding(self.k) * (self.norm[unit] + self.path[unit])
    }
}

/// The squares of the rows' rises and weights; `known` becomes `rows`.
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

/// The relative error of a sum of products of `k` inputs, a label and a bias in f32, whatever its order: twice the usual
/// bound of half a unit in the last place for each operation.
fn rounding(k: usize) -> f64 {
    (k + 4) as f64 * f64::from(f32::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of the weights of two units of two inputs and a label pixel; returns each unit's path.
    fn paths(nonnegative: bool, steps: &[[f32; 6]]) -> [f64; 2] {
        let mut drift = Drift::new(3, 2, 1, nonnegative);
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
        let mut drift = Drift::new(3, 2, 1, true);
        for weight in [0.0, 2.0] {
            drift.advance(&Parameters { k: 3, u: 2, kernel: vec![weight; 6], bias: Vec::new() });
        }
        assert!((drift.step(0) - 12.0_f64.sqrt()).abs() < 1e-5);
    }
}
