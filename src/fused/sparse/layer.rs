//! The layer as sparse strips see it: weights and gradients unit by unit, and what each part adds to the gradient.

use std::ops::Range;

use rayon::prelude::*;

use crate::fused::drift::Drift;
use crate::fused::packing::Line;
use crate::fused::packing::line_panels::{floats, floats_mut};
use crate::parameters::Parameters;
use crate::ranks::tree;
use crate::simd::LINE;

/// A matrix of u x k numbers, stored unit by unit with the inputs in packed order: line `i` of unit `j` is
/// `lines[j * per_unit + i]`.
pub struct UnitLines {
    lines: Vec<Line>,
    per_unit: usize,
}

impl UnitLines {
    /// `units` units of `per_unit` lines, all zero.
    pub fn zeros(units: usize, per_unit: usize) -> Self {
        Self { lines: vec![Line::ZERO; units * per_unit], per_unit }
    }

    /// The lines of the given units, which must be different ones.
    #[inline(always)]
    pub fn units_mut<const G: usize>(&mut self, units: [usize; G]) -> [&mut [Line]; G] {
        let ranges = units.map(|unit| unit * self.per_unit..(unit + 1) * self.per_unit);
        self.lines.get_disjoint_mut(ranges).expect("different units")
    }

    /// Takes in the row-major k x u matrix `kernel`; packed input `i` is its row `inputs[i]`.
    fn load(&mut self, kernel: &[f32], u: usize, inputs: &[u32]) {
        self.lines.par_chunks_mut(LINE * self.per_unit).enumerate().for_each(|(block, units)| {
            let columns = block * LINE..u.min((block + 1) * LINE);
            for (number, inputs) in inputs.chunks(LINE).enumerate() {
                for (i, &input) in inputs.iter().enumerate() {
                    let row = &kernel[input as usize * u..][columns.clone()];
                    for (unit, &weight) in units.chunks_exact_mut(self.per_unit).zip(row) {
                        unit[number].0[i] = weight;
                    }
                }
            }
        });
    }

    /// The lines of unit `unit`.
    #[inline(always)]
    pub fn unit(&self, unit: usize) -> &[Line] {
        &self.lines[unit * self.per_unit..][..self.per_unit]
    }
}

/// What the sparse strips of a batch need of the layer; it is renewed for each step. Vectors of units are filled up to
/// whole lines.
pub struct SparseLayer {
    pub weights: UnitLines,
    /// Weights of the label pixels: classes x u.
    pub labels: Vec<f32>,
    pub bias: Vec<f32>,
    /// How far the `z` of each unit can have risen because its weights have moved.
    pub drift: Vec<f32>,
    /// By how much `z` with its bias, but without a label, can exceed a bound: drift, bias and rounding. In the lanes
    /// beyond the units it is minus infinity, so that no candidate is found there.
    pub reach: Vec<f32>,
    /// By how much more a `z` of the dense form may be off than one of the sparse form.
    pub dense_excess: Vec<f32>,
}

impl SparseLayer {
    /// A layer of `k` inputs and `u` units, all zero; `classes` of the inputs are label pixels.
    pub fn new(k: usize, u: usize, classes: usize) -> Self {
        let line = || vec![0.0; u.next_multiple_of(LINE)];
        Self {
            weights: UnitLines::zeros(u, k.div_ceil(LINE)),
            labels: vec![0.0; classes * u.next_multiple_of(LINE)],
            bias: line(),
            drift: line(),
            reach: line(),
            dense_excess: line(),
        }
    }

    /// Takes in how far the weights have moved. A unit whose drift no float holds is computed for every row.
    pub fn move_on(&mut self, parameters: &Parameters, drift: &Drift) {
        self.bias.fill(0.0);
        self.bias[..parameters.bias.len()].copy_from_slice(&parameters.bias);
        self.reach.fill(f32::NEG_INFINITY);
        for unit in 0..parameters.u {
            self.dense_excess[unit] = (drift.dense_error(unit) - drift.error(unit)).max(0.0) as f32;
            let path = drift.path(unit) as f32;
            let reach = (drift.path(unit) + 2.0 * drift.error(unit)) as f32 + self.bias[unit];
            (self.drift[unit], self.reach[unit]) = if path.is_finite() { (path, reach) } else { (0.0, f32::INFINITY) };
        }
    }

    /// Takes in the weights; packed input `i` is input `inputs[i]`.
    pub fn load(&mut self, parameters: &Parameters, inputs: &[u32]) {
        let width = self.width();
        for (label, weights) in self.labels.chunks_exact_mut(width).zip(parameters.kernel.chunks_exact(parameters.u)) {
            label[..parameters.u].copy_from_slice(weights);
        }
        self.weights.load(&parameters.kernel, parameters.u, inputs);
    }

    /// Units, filled up to whole lines.
    pub fn width(&self) -> usize {
        self.bias.len()
    }

    /// The weights of label pixel `label`.
    #[inline(always)]
    pub fn label(&self, label: usize) -> &[f32] {
        &self.labels[label * self.width()..][..self.width()]
    }
}

/// What the sparse strips of one part add to its gradient.
pub struct SparseSums {
    pub kernel: UnitLines,
    /// Whether anything was added to a unit of `kernel` in this step; the other units hold numbers of earlier steps.
    pub touched: Vec<bool>,
    /// classes x u, as [`SparseLayer::labels`].
    pub labels: Vec<f32>,
    /// u, as [`SparseLayer::bias`].
    pub bias: Vec<f32>,
}

impl SparseSums {
    /// The sums of a layer of `units` units, their inputs in `lines` lines, `classes` of them label pixels.
    pub fn new(units: usize, lines: usize, classes: usize) -> Self {
        let width = units.next_multiple_of(LINE);
        Self {
            kernel: UnitLines::zeros(units, lines),
            touched: vec![false; units],
            labels: vec![0.0; classes * width],
            bias: vec![0.0; width],
        }
    }

    /// Sets the gradients of those of `units` to zero to which nothing has been added in this step.
    #[inline(always)]
    pub fn touch(&mut self, units: &[u32]) {
        for &unit in units {
            if !std::mem::replace(&mut self.touched[unit as usize], true) {
                let [gradient] = self.kernel.units_mut([unit as usize]);
                gradient.fill(Line::ZERO);
            }
        }
    }

    /// Sets the sums to zero.
    pub fn clear(&mut self) {
        self.touched.fill(false);
        self.labels.fill(0.0);
        self.bias.fill(0.0);
    }

    /// Becomes the sum of those of the parts `node` that have sums. Every unit then holds its sum.
    pub fn sum_of<'a>(&mut self, node: Range<usize>, term: impl Fn(usize) -> Option<&'a Self> + Sync) {
        let Self { kernel: UnitLines { lines, per_unit }, touched, labels, bias } = self;
        touched.fill(true);
        lines.par_chunks_mut(*per_unit).enumerate().for_each(|(unit, lines)| {
            let of_unit = |part| term(part).filter(|part: &&Self| part.touched[unit]);
            tree::sum(node.clone(), |part| of_unit(part).map(|part| floats(part.kernel.unit(unit))), floats_mut(lines));
        });
        tree::sum(node.clone(), |part| term(part).map(|part| &*part.labels), labels);
        tree::sum(node, |part| term(part).map(|part| &*part.bias), bias);
    }

    /// Adds the sums to `gradient`, whose input `i` is packed input `positions[i]`.
    pub fn add_to(&self, positions: &[usize], gradient: &mut Parameters) {
        let (u, width) = (gradient.u, self.bias.len());
        gradient.kernel.par_chunks_mut(u).zip(positions).for_each(|(row, &position)| {
            for (unit, to) in row.iter_mut().enumerate() {
                *to += self.kernel.unit(unit)[position / LINE].0[position % LINE];
            }
        });
        for (row, labels) in gradient.kernel.chunks_exact_mut(u).zip(self.labels.chunks_exact(width)) {
            row.iter_mut().zip(labels).for_each(|(to, &term)| *to += term);
        }
        gradient.bias.iter_mut().zip(&self.bias).for_each(|(to, &term)| *to += term);
    }

    /// The sums as floats: what crosses the network.
    pub fn pieces_mut(&mut self) -> [&mut [f32]; 3] {
        [floats_mut(&mut self.kernel.lines), &mut self.labels, &mut self.bias]
    }
}
