//! The candidates of a panel: the units that could be on in one of its rows, found by their bounds, with what the epilogue
//! needs of them gathered into vectors.

use super::layer::{SparseLayer, SparseSums};
use crate::fused::strip::Rows;
use crate::simd::{LINE, MR, Simd};

/// The candidates of a panel: `count` of them in vectors that are filled up to whole lines with zeros.
pub struct Candidates {
    /// Filled up with copies of the last candidate.
    pub units: Vec<u32>,
    pub count: usize,
    /// For each row.
    pub z: [Vec<f32>; MR],
    pub bias: Vec<f32>,
    /// The sum over the panel's rows of the gradient of `z`.
    pub bias_gradient: Vec<f32>,
    pub variants: Vec<Variant>,
}

/// What one variant adds to the candidates of a panel.
pub struct Variant {
    /// The activations of one row, then their gradients.
    pub h: Vec<f32>,
    /// The label pixel whose weights and gradient these are: rows of one label share them.
    pub label: Option<usize>,
    pub weights: Vec<f32>,
    pub gradient: Vec<f32>,
}

impl Candidates {
    /// Room for all of `units` units with `variants` variants.
    pub fn new(units: usize, variants: usize) -> Self {
        let line = || vec![0.0; units.next_multiple_of(LINE)];
        let variant = || Variant { h: line(), label: None, weights: line(), gradient: line() };
        Self {
            units: vec![0; units.next_multiple_of(LINE)],
            count: 0,
            z: std::array::from_fn(|_| line()),
            bias: line(),
            bias_gradient: line(),
            variants: (0..variants).map(|_| variant()).collect(),
        }
    }

    /// Candidates filled up to whole lines.
    #[inline(always)]
    pub fn padded(&self) -> usize {
        self.count.next_multiple_of(LINE)
    }

    /// Gathers what the epilogue needs of a panel's candidates besides `z`.
    #[inline(always)]
    pub fn begin(&mut self, layer: &SparseLayer) {
        let (count, padded) = (self.count, self.padded());
        gather(&layer.bias, &self.units[..count], &mut self.bias[..padded]);
        self.bias_gradient[..padded].fill(0.0);
        self.variants.iter_mut().for_each(|variant| variant.label = None);
    }

    /// Makes `label` the label of variant `variant`.
    #[inline(always)]
    pub fn set_label(&mut self, variant: usize, label: usize, layer: &SparseLayer) {
        let (count, padded) = (self.count, self.padded());
        let variant = &mut self.variants[variant];
        if variant.label != Some(label) {
            variant.label = Some(label);
            gather(layer.label(label), &self.units[..count], &mut variant.weights[..padded]);
            variant.gradient[..padded].fill(0.0);
        }
    }

    /// Adds the gradient of variant `variant`'s label pixel to the sums, if the label is about to be another than `next`.
    #[inline(always)]
    pub fn flush_label(&self, variant: usize, next: Option<usize>, sums: &mut SparseSums) {
        let variant = &self.variants[variant];
        if let Some(label) = variant.label.filter(|_| variant.label != next) {
            let width = sums.bias.len();
            scatter_add(&variant.gradient, &self.units[..self.count], &mut sums.labels[label * width..][..width]);
        }
    }
}

/// Copies the elements of `units` together, zeros behind them.
#[inline(always)]
fn gather(from: &[f32], units: &[u32], to: &mut [f32]) {
    let (head, rest) = to.split_at_mut(units.len());
    head.iter_mut().zip(units).for_each(|(to, &unit)| *to = from[unit as usize]);
    rest.fill(0.0);
}

/// Adds `terms` to the elements of `units`.
#[inline(always)]
pub fn scatter_add(terms: &[f32], units: &[u32], to: &mut [f32]) {
    units.iter().zip(terms).for_each(|(&unit, term)| to[unit as usize] += term);
}

/// The base rows of panel `p`.
#[inline(always)]
pub fn panel_rows(rows: &Rows, p: usize) -> std::ops::Range<usize> {
    p * MR..rows.count().min((p + 1) * MR)
}

/// Lists the units that could be on in a variant of a row of the panel.
#[inline(always)]
pub fn find<S: Simd>(
    simd: S,
    bounds: &[u16],
    rows: &Rows,
    first: usize,
    layer: &SparseLayer,
    candidates: &mut Candidates,
) {
    let width = layer.width();
    let mut count = 0;
    for at in (0..width).step_by(S::NR) {
        let reach = simd.load(&layer.reach[at..]);
        let mut bits = 0;
        for r in panel_rows(rows, first / MR) {
            let mut most = simd.add(simd.load_halves(&bounds[(r - first) * width + at..]), reach);
            if let Some((pixel, value)) = rows.label(r, 0) {
                let mut label = simd.load(&layer.label(pixel)[at..]);
                for variant in 1..rows.variants() {
                    if let Some((pixel, _)) = rows.label(r, variant) {
                        label = simd.max(label, simd.load(&layer.label(pixel)[at..]));
                    }
                }
                most = simd.mul_add(simd.splat(value), label, most);
            }
            bits |= simd.positive(most);
        }
        while bits != 0 {
            candidates.units[count] = at as u32 + bits.trailing_zeros();
            count += 1;
            bits &= bits - 1;
        }
    }
    candidates.count = count;
    let padded = candidates.padded();
    let last = candidates.units[count.saturating_sub(1)];
    candidates.units[count..padded].fill(last);
}
