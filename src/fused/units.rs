//! What is known from step to step of the units in dense strips: in which parts of the batch they were on, and which of
//! them cannot be on at all.
//!
//! The *ceiling* of a unit is a limit of its `z` in all rows of dense strips. It is the largest `z` in the last step
//! that computed the unit, plus all by which `z` can have risen since, because the weights have moved (drift.rs). A
//! unit whose ceiling is below zero is off in every row, and leaving it out changes nothing. In the first outer epochs
//! that is half of the units of layer 2.

use std::cmp::Reverse;

use super::drift::Drift;
use super::packing::{ColumnOrder, ColumnPanels};
use crate::parameters::Parameters;

/// What parts of a batch saw of each unit in one step.
pub struct Seen {
    /// The parts in which it was on, as [`Units`] has them.
    on: Vec<u32>,
    /// Its largest `z`.
    largest: Vec<f32>,
}

/// The units of a layer on one batch.
pub struct Units {
    /// Packed column `i` is unit `order[i]`.
    order: Vec<u32>,
    /// The parts of the batch in which each unit was on: a bit for each part, or for some neighbours, the highest bit
    /// for the first.
    on: Vec<u32>,
    /// With the parameters last seen, no `z` that a step computes for a row of a dense strip is above this.
    ceiling: Vec<f64>,
    /// The biases of the last step, which are 0 in a layer without bias.
    bias: Vec<f32>,
}

impl Units {
    /// `u` units of which nothing is known.
    pub fn new(u: usize) -> Self {
        Self { order: (0..u as u32).collect(), on: vec![0; u], ceiling: vec![f64::INFINITY; u], bias: vec![0.0; u] }
    }

    /// Packed column `i` is unit `order[i]`.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Sorts the units for a step with `parameters`, and returns how many columns the step has to compute; the units of
    /// the other columns are off.
    ///
    /// Units that were on in the same parts stand together, so that they share column panels, which a strip can leave
    /// out. Nothing but the rounding of the goodness depends on the order.
    pub fn sort_for(&mut self, parameters: &Parameters, drift: &Drift) -> usize {
        for (unit, (ceiling, before)) in self.ceiling.iter_mut().zip(&mut self.bias).enumerate() {
            let bias = parameters.bias.get(unit).copied().unwrap_or(0.0);
            *ceiling += drift.step(unit) + f64::from(bias) - f64::from(*before);
            *before = bias;
        }
        let off: Vec<bool> =
            (0..self.order.len()).map(|unit| self.ceiling[unit] < -2.0 * drift.dense_error(unit)).collect();
        self.order.sort_by_key(|&unit| (off[unit as usize], Reverse(self.on[unit as usize])));
        off.iter().filter(|&&off| !off).count()
    }

    /// What some parts of the batch, each with its number, saw in a step: the largest `z` of each packed column, 1 x u.
    /// The batch has `count` parts.
    pub fn look<'a>(&self, count: usize, parts: impl Iterator<Item = (usize, &'a ColumnPanels)>) -> Seen {
        let u = self.order.len();
        let mut seen = Seen { on: vec![0; u], largest: vec![f32::NEG_INFINITY; u] };
        let mut largest = vec![0.0; u];
        // More parts than bits share them, neighbours with neighbours.
        let bits = u32::BITS as usize;
        let bit = |part: usize| if count > bits { part * bits / count } else { part };
        for (part, panels) in parts {
            panels.unpack_row(0, ColumnOrder::Permuted(&self.order), &mut largest);
            for ((on, before), &z) in seen.on.iter_mut().zip(&mut seen.largest).zip(&largest) {
                *on |= u32::from(z > 0.0) << (bits - 1 - bit(part));
                *before = before.max(z);
            }
        }
        seen
    }

    /// Takes in what all parts saw in a step that computed the first `computed` packed columns.
    pub fn learn(&mut self, computed: usize, seen: &Seen) {
        self.on.fill(0);
        for &unit in &self.order[..computed] {
            let unit = unit as usize;
            self.on[unit] = seen.on[unit];
            self.ceiling[unit] = f64::from(seen.largest[unit]);
        }
    }
}

impl Seen {
    /// All numbers, for other ranks.
    pub fn numbers(&self) -> Vec<f64> {
        let on = self.on.iter().map(|&on| f64::from(on));
        on.chain(self.largest.iter().map(|&z| f64::from(z))).collect()
    }

    /// Takes in what the parts of another rank saw: the numbers that it gave.
    pub fn add(&mut self, numbers: &[f64]) {
        let (on, largest) = numbers.split_at(self.on.len());
        self.on.iter_mut().zip(on).for_each(|(to, &on)| *to |= on as u32);
        self.largest.iter_mut().zip(largest).for_each(|(to, &z)| *to = to.max(z as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::super::drift::Bounds;
    use super::*;

    /// Largest `z` of each unit, in the order of `units`, as one part.
    fn largest(units: &Units, z: &[f32]) -> ColumnPanels {
        let mut panels = ColumnPanels::zeros(1, z.len(), 8);
        panels.pack(z, ColumnOrder::Permuted(units.order()));
        panels
    }

    /// Takes in a step whose parts saw these largest `z`, half of them on another rank.
    fn learn(units: &mut Units, computed: usize, parts: &[ColumnPanels]) {
        let numbered = || parts.iter().enumerate();
        let mut seen = units.look(parts.len(), numbered().step_by(2));
        seen.add(&units.look(parts.len(), numbered().skip(1).step_by(2)).numbers());
        units.learn(computed, &seen);
    }

    fn drift(nonnegative: bool) -> Drift {
        let rounding = 6.0 * f64::from(f32::EPSILON);
        let bounds = Bounds { label_pixels: 0, nonnegative, norm: 1.0, rounding, dense_rounding: rounding };
        Drift::new((2, 3), bounds)
    }

    /// The columns to compute under `parameters`.
    fn sort(units: &mut Units, drift: &mut Drift, parameters: &Parameters) -> usize {
        drift.advance(parameters);
        units.sort_for(parameters, drift)
    }

    fn parameters(kernel: [f32; 6], bias: [f32; 3]) -> Parameters {
        Parameters { k: 2, u: 3, kernel: kernel.into(), bias: bias.into() }
    }

    #[test]
    fn a_unit_stays_off_until_its_weights_could_have_turned_it_on() {
        let (mut units, mut drift) = (Units::new(3), drift(true));
        let start = parameters([0.0, -1.0, -1.0, 0.0, -1.0, -1.0], [0.0; 3]);
        assert_eq!(sort(&mut units, &mut drift, &start), 3, "nothing is known yet");
        let z = largest(&units, &[0.5, -0.5, -2.0]);
        learn(&mut units, 3, &[z]);
        assert_eq!(sort(&mut units, &mut drift, &start), 1, "two were off everywhere and nothing has changed");
        assert_eq!(units.order()[0], 0);
        // Rises of 0.3 and 0.4 raise z by at most 0.5, falls do not count.
        let risen = parameters([0.0, -0.7, -5.0, 0.0, -0.6, -1.0], [0.0; 3]);
        assert_eq!(sort(&mut units, &mut drift, &risen), 2);
        assert_eq!(units.order(), [0, 1, 2]);
        let biased = parameters([0.0, -0.7, -5.0, 0.0, -0.6, -1.0], [0.0, 0.0, 2.5]);
        assert_eq!(sort(&mut units, &mut drift, &biased), 3, "a bias raises every row");
    }

    #[test]
    fn ceilings_add_up_over_steps_in_which_a_unit_was_left_out() {
        let (mut units, mut drift) = (Units::new(3), drift(true));
        let mut moving = parameters([-1.0; 6], [0.0; 3]);
        sort(&mut units, &mut drift, &moving);
        let z = largest(&units, &[-1.0, -1.0, -1.0]);
        learn(&mut units, 3, &[z]);
        let mut computed = Vec::new();
        for _ in 0..4 {
            moving.bias[1] += 0.3;
            let columns = sort(&mut units, &mut drift, &moving);
            let z = largest(&units, &[9.0; 3]);
            learn(&mut units, columns, &[z]);
            computed.push(columns);
        }
        assert_eq!(computed, [0, 0, 0, 1]);
    }

    #[test]
    fn with_negative_inputs_a_fall_of_the_weights_counts_as_well() {
        for (nonnegative, columns) in [(true, 0), (false, 3)] {
            let (mut units, mut drift) = (Units::new(3), drift(nonnegative));
            sort(&mut units, &mut drift, &parameters([0.0; 6], [0.0; 3]));
            let z = largest(&units, &[-1.0; 3]);
            learn(&mut units, 3, &[z]);
            assert_eq!(sort(&mut units, &mut drift, &parameters([-1.0; 6], [0.0; 3])), columns);
        }
    }

    #[test]
    fn units_on_in_the_same_parts_stand_together() {
        let (mut units, mut drift) = (Units::new(3), drift(true));
        let still = parameters([0.0; 6], [0.0; 3]);
        sort(&mut units, &mut drift, &still);
        let parts = [[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]].map(|z| largest(&units, &z));
        learn(&mut units, 3, &parts);
        assert_eq!(sort(&mut units, &mut drift, &still), 3);
        assert_eq!(units.order(), [0, 2, 1]);
    }
}
