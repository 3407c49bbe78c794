//! The two products of a sparse strip: the rows of a panel times the weights of its candidates, and the transposed rows
//! times the candidates' gradients of `z`.
//!
//! Both products work line by line on MR rows of inputs and `G` units at a time.

use super::candidates::Candidates;
use super::layer::{SparseLayer, SparseSums};
use crate::fused::packing::{Line, LinePanel, LinePanels, MR};
use crate::simd::{Kernel, LINE, Simd};

/// Computes the `z` of the candidates, not yet scaled, `G` of them at a time.
#[inline(always)]
pub fn multiply<S: Simd, const G: usize>(
    simd: S,
    panel: LinePanel<'_>,
    layer: &SparseLayer,
    candidates: &mut Candidates,
) {
    for at in (0..candidates.count).step_by(G) {
        let mut weights: [&[Line]; G] = [&[]; G];
        for (weights, &unit) in weights.iter_mut().zip(&candidates.units[at..]) {
            *weights = layer.weights.unit(unit as usize);
        }
        // The tile is compiled as a function of its own: inlined here, it would have one register too few.
        let tile = simd.run(Tile { panel, weights });
        for (i, z) in candidates.z.iter_mut().enumerate() {
            z[at..at + G].iter_mut().zip(&tile).for_each(|(z, products)| *z = products[i]);
        }
    }
}

/// The products of a panel's rows with the weights of `G` units. A line of inputs is loaded once for `G` units, and a
/// line of weights once for `MR` rows.
struct Tile<'a, const G: usize> {
    panel: LinePanel<'a>,
    weights: [&'a [Line]; G],
}

impl<const G: usize> Kernel for Tile<'_, G> {
    /// For each unit, its product with each row.
    type Output = [[f32; MR]; G];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let mut sums = [[simd.splat(0.0); MR]; G];
        for (&number, x) in self.panel.numbers.iter().zip(self.panel.lines) {
            for part in (0..LINE).step_by(S::LANES) {
                let x = load_rows(simd, x, part);
                for (sums, weights) in sums.iter_mut().zip(self.weights) {
                    let w = simd.load(&weights[number as usize].0[part..]);
                    sums.iter_mut().zip(x).for_each(|(sum, x)| *sum = simd.mul_add(x, w, *sum));
                }
            }
        }
        // A loop, because a closure of an array's `map` may be compiled by itself, without the instruction set.
        let mut products = [[0.0; MR]; G];
        for (product, &sum) in products.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *product = simd.sum(sum);
        }
        products
    }
}

/// The vectors at `part` of a panel's lines.
#[inline(always)]
fn load_rows<S: Simd>(simd: S, lines: &[Line; MR], part: usize) -> [S::Vector; MR] {
    let mut rows = [simd.splat(0.0); MR];
    rows.iter_mut().zip(lines).for_each(|(row, line)| *row = simd.load(&line.0[part..]));
    rows
}

/// The gradients of the `z` of a strip's candidates.
#[derive(Default)]
pub struct Gradients {
    /// The candidates of all panels, one panel after another.
    units: Vec<u32>,
    /// Where the candidates of each panel end.
    ends: Vec<usize>,
    /// The gradients of each candidate in the panel's rows, times the scale of the row.
    d: Vec<[f32; MR]>,
}

impl Gradients {
    /// Begins a strip.
    pub fn clear(&mut self) {
        self.units.clear();
        self.ends.clear();
        self.d.clear();
    }

    /// Begins a panel.
    #[inline(always)]
    pub fn add_panel(&mut self, candidates: &Candidates) {
        self.units.extend_from_slice(&candidates.units[..candidates.count]);
        self.ends.push(self.units.len());
        self.d.resize(self.units.len(), [0.0; MR]);
    }

    /// Notes the gradients of row `i` of the last panel.
    #[inline(always)]
    pub fn note(&mut self, i: usize, scale: f32, candidates: &Candidates) {
        let first = self.d.len() - candidates.count;
        self.d[first..].iter_mut().zip(&candidates.variants[0].h).for_each(|(d, dz)| d[i] = scale * dz);
    }

    /// `dW += X^T D`.
    #[inline(always)]
    pub fn accumulate<S: Simd>(&self, simd: S, inputs: &LinePanels, sums: &mut SparseSums) {
        let mut first = 0;
        for (panel, &end) in inputs.iter().zip(&self.ends) {
            let (units, d) = (&self.units[first..end], &self.d[first..end]);
            first = end;
            sums.touch(units);
            // The factors, the inputs and one sum fit into 32 registers with four units, and into 16 with two. With the
            // portable vectors some are spilled.
            let single = if S::REGISTERS >= 32 {
                accumulate::<S, 4>(simd, panel, units, d, sums)
            } else {
                accumulate::<S, 2>(simd, panel, units, d, sums)
            };
            accumulate::<S, 1>(simd, panel, &units[single..], &d[single..], sums);
        }
    }
}

/// Adds the rows of a panel, times the `d` of each of `units`, to the gradients of these units, as far as they make
/// whole groups of `G`; returns how many units these are.
#[inline(always)]
fn accumulate<S: Simd, const G: usize>(
    simd: S,
    panel: LinePanel<'_>,
    units: &[u32],
    d: &[[f32; MR]],
    sums: &mut SparseSums,
) -> usize {
    for (units, d) in units.chunks_exact(G).zip(d.chunks_exact(G)) {
        let mut gradients = sums.kernel.units_mut::<G>(std::array::from_fn(|i| units[i] as usize));
        let mut splats = [[simd.splat(0.0); MR]; G];
        splats.as_flattened_mut().iter_mut().zip(d.as_flattened()).for_each(|(splat, &d)| *splat = simd.splat(d));
        for (&number, x) in panel.numbers.iter().zip(panel.lines) {
            for part in (0..LINE).step_by(S::LANES) {
                let x = load_rows(simd, x, part);
                for (gradient, d) in gradients.iter_mut().zip(splats) {
                    let gradient = &mut gradient[number as usize].0[part..];
                    let sum = x.into_iter().zip(d).fold(simd.load(gradient), |sum, (x, d)| simd.mul_add(x, d, sum));
                    simd.store(gradient, sum);
                }
            }
        }
    }
    units.len() / G * G
}
