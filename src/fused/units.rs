//! What is known of a layer's units from step to step: in which parts they were on, and which cannot be on at all.
//!
//! A row's normalised input has no negative element and norm <= 1, so by Cauchy and Schwarz a change of the weights dW and
//! of the bias db raises a unit's `z` on any row by at most `||max(dW, 0)|| + db`. From the largest `z` over the batch in
//! the last step that computed the unit follows a *ceiling* for every later step; a unit whose ceiling is below zero is
//! off in every row, and the step leaves it out exactly. In the first outer epochs that is half of layer 2.
//!
//! Rounding is accounted for: a computed `z` is a sum of k + 2 terms in f32 and off by at most [`rounding`] times
//! `||W|| + |b|`, by Cauchy and Schwarz again.

use std::cmp::Reverse;

use crate::slices::Slices;
use crate::step::Parameters;

/// The units of a layer on one batch.
pub(super) struct Units {
    /// Packed column `i` is unit `order[i]`.
    order: Vec<u32>,
    /// Each unit's parts in which it was on, one bit each, the first part highest.
    on: Vec<u32>,
    /// No row's exact `z` is above this under the parameters in `known`.
    ceiling: Vec<f64>,
    /// By how much a `z` computed under the parameters in `known` may be off.
    error: Vec<f64>,
    known: Option<Parameters>,
    /// Whether no input is negative, without which nothing follows for later steps.
    nonnegative: bool,
}

impl Units {
    /// `u` units of which nothing is known.
    pub fn new(u: usize, nonnegative: bool) -> Self {
        Self {
            order: (0..u as u32).collect(),
            on: vec![0; u],
            ceiling: vec![f64::INFINITY; u],
            error: vec![0.0; u],
            known: None,
            nonnegative,
        }
    }

    /// Packed column `i` is unit `order[i]`.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Sorts the units for a step under `parameters` and returns how many columns it has to compute; the rest is off.
    ///
    /// Units that were on in the same parts stand together, so that they share slices which a strip can leave out. Only
    /// the rounding of the goodness depends on the order.
    pub fn sort_for(&mut self, parameters: &Parameters) -> usize {
        let off = self.provably_off(parameters);
        self.order.sort_by_key(|&unit| (off[unit as usize], Reverse(self.on[unit as usize])));
        off.iter().filter(|&&off| !off).count()
    }

    /// Takes in a step's largest `z` of each of the first `computed` packed columns: 1 x u for each part.
    pub fn learn<'a>(&mut self, computed: usize, parts: impl Iterator<Item = &'a Slices>) {
        self.on.fill(0);
        let columns = &self.order[..computed];
        columns.iter().for_each(|&unit| self.ceiling[unit as usize] = f64::NEG_INFINITY);
        let mut largest = vec![0.0; self.order.len()];
        for (part, slices) in parts.enumerate() {
            slices.unpack_row(0, &self.order, &mut largest);
            for &unit in columns {
                let (unit, z) = (unit as usize, largest[unit as usize]);
                self.on[unit] |= u32::from(z > 0.0) << (u32::BITS as usize - 1 - part);
                self.ceiling[unit] = self.ceiling[unit].max(f64::from(z) + self.error[unit]);
            }
        }
    }

    /// Raises the ceilings to `parameters` and says which units they keep off.
    fn provably_off(&mut self, parameters: &Parameters) -> Vec<bool> {
        let Parameters { k, u, ref kernel, ref bias } = *parameters;
        let known = self.known.get_or_insert_with(|| parameters.clone());
        let mut rises = vec![0.0_f32; u];
        let mut squares = vec![0.0_f32; u];
        for (row, known) in kernel.chunks_exact(u).zip(known.kernel.chunks_exact(u)) {
            for (((rise, square), &w), &before) in rises.iter_mut().zip(&mut squares).zip(row).zip(known) {
                let change = (w - before).max(0.0);
                *rise += change * change;
                *square += w * w;
            }
        }
        let bias_of = |bias: &[f32], unit: usize| bias.get(unit).map_or(0.0, |&b| f64::from(b));
        // The sums of squares above are themselves rounded k times.
        let norm = |squares: f32| (1.0 + rounding(k)) * f64::from(squares).sqrt();
        for unit in 0..u {
            let (b, before) = (bias_of(bias, unit), bias_of(&known.bias, unit));
            self.ceiling[unit] += norm(rises[unit]) + (b - before);
            self.error[unit] = rounding(k) * (norm(squares[unit]) + b.abs());
        }
        known.clone_from(parameters);
        self.ceiling.iter().zip(&self.error).map(|(ceiling, error)| self.nonnegative && *ceiling < -error).collect()
    }
}

/// The relative error of a sum of products of `k` inputs, a label and a bias in f32, whatever its order: twice the usual
/// bound of half a unit in the last place for each operation.
fn rounding(k: usize) -> f64 {
    (k + 4) as f64 * f64::from(f32::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest `z` of each unit, in the order of `units`, as one part.
    fn largest(units: &Units, z: &[f32]) -> Slices {
        let mut slices = Slices::zeros(1, z.len(), 8);
        slices.pack(z, units.order());
        slices
    }

    fn parameters(kernel: [f32; 6], bias: [f32; 3]) -> Parameters {
        Parameters { k: 2, u: 3, kernel: kernel.into(), bias: bias.into() }
    }

    #[test]
    fn a_unit_stays_off_until_its_weights_could_have_turned_it_on() {
        let mut units = Units::new(3, true);
        let start = parameters([0.0, -1.0, -1.0, 0.0, -1.0, -1.0], [0.0; 3]);
        assert_eq!(units.sort_for(&start), 3, "nothing is known yet");
        units.learn(3, std::iter::once(&largest(&units, &[0.5, -0.5, -2.0])));
        assert_eq!(units.sort_for(&start), 1, "two were off everywhere and nothing has changed");
        assert_eq!(units.order()[0], 0);
        // Rises of 0.3 and 0.4 raise z by at most 0.5, falls do not count.
        let risen = parameters([0.0, -0.7, -5.0, 0.0, -0.6, -1.0], [0.0; 3]);
        assert_eq!(units.sort_for(&risen), 2);
        assert_eq!(units.order(), [0, 1, 2]);
        let biased = parameters([0.0, -0.7, -5.0, 0.0, -0.6, -1.0], [0.0, 0.0, 2.5]);
        assert_eq!(units.sort_for(&biased), 3, "a bias raises every row");
    }

    #[test]
    fn ceilings_add_up_over_steps_in_which_a_unit_was_left_out() {
        let mut units = Units::new(3, true);
        let mut moving = parameters([-1.0; 6], [0.0; 3]);
        units.sort_for(&moving);
        units.learn(3, std::iter::once(&largest(&units, &[-1.0, -1.0, -1.0])));
        let mut computed = Vec::new();
        for _ in 0..4 {
            moving.bias[1] += 0.3;
            let columns = units.sort_for(&moving);
            units.learn(columns, std::iter::once(&largest(&units, &[9.0; 3])));
            computed.push(columns);
        }
        assert_eq!(computed, [0, 0, 0, 1]);
    }

    #[test]
    fn nothing_follows_from_negative_inputs() {
        let mut units = Units::new(3, false);
        let still = parameters([-1.0; 6], [0.0; 3]);
        units.sort_for(&still);
        units.learn(3, std::iter::once(&largest(&units, &[-1.0; 3])));
        assert_eq!(units.sort_for(&still), 3);
    }

    #[test]
    fn units_on_in_the_same_parts_stand_together() {
        let mut units = Units::new(3, true);
        let still = parameters([0.0; 6], [0.0; 3]);
        units.sort_for(&still);
        let parts = [[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]].map(|z| largest(&units, &z));
        units.learn(3, parts.iter());
        assert_eq!(units.sort_for(&still), 3);
        assert_eq!(units.order(), [0, 2, 1]);
    }
}
