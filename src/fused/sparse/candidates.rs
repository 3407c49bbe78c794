//! The candidates of a panel: the units that could be on in one of its rows, as their bounds tell. What the epilogue
//! needs of them is gathered into vectors.

use super::layer::{SparseLayer, SparseSums};
use crate::fused::packing::MR;
use crate::fused::rows::Rows;
use crate::simd::{LINE, Simd, round_up_to_bf16};

/// The candidates of a panel. There are `count` of them, in vectors that are filled up to whole lines with zeros.
pub struct Candidates {
    /// The number of each candidate's unit, in ascending order; filled up with copies of the last.
    pub units: Vec<u32>,
    pub count: usize,
    /// The `z` of each row; only the rows of the strip are meaningful.
    pub z: [Vec<f32>; MR],
    /// The largest `z` of the panel's rows.
    largest: Vec<f32>,
    /// The label pixels of the panel's rows, each once.
    labels: Vec<usize>,
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
            largest: line(),
            labels: Vec::with_capacity(MR * variants),
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

    /// Scales the products of the panel's rows, and finds the largest.
    #[inline(always)]
    pub fn scale<S: Simd>(&mut self, simd: S, panel: PanelRows<'_>) {
        let (count, padded) = (self.count, self.padded());
        self.largest[..padded].fill(f32::MIN);
        for (r, z) in panel.numbers().zip(&mut self.z) {
            z[count..padded].fill(0.0);
            let scale = simd.splat(panel.rows.scale(r));
            for at in (0..padded).step_by(S::LANES) {
                let scaled = simd.mul(scale, simd.load(&z[at..]));
                simd.store(&mut z[at..], scaled);
                let largest = simd.max(scaled, simd.load(&self.largest[at..]));
                simd.store(&mut self.largest[at..], largest);
            }
        }
    }

    /// Renews the bounds of a panel, u (filled up), from its rows' largest `z`.
    #[inline(always)]
    pub fn bound(&self, layer: &SparseLayer, bounds: &mut [u16]) {
        for (&unit, &largest) in self.units[..self.count].iter().zip(&self.largest) {
            bounds[unit as usize] = round_up_to_bf16(largest - layer.drift[unit as usize]);
        }
    }

    /// Gathers what the epilogue needs of a panel's candidates besides `z`.
    #[inline(always)]
    pub fn begin(&mut self, layer: &SparseLayer) {
        let (count, padded) = (self.count, self.padded());
        gather(&layer.bias, &self.units[..count], &mut self.bias[..padded]);
        self.bias_gradient[..padded].fill(0.0);
        self.variants.iter_mut().for_each(|variant| variant.label = None);
    }

    /// Lists the label pixels of the panel's rows and returns the least and the largest of their values.
    #[inline(always)]
    fn list_labels(&mut self, panel: PanelRows<'_>) -> (f32, f32) {
        self.labels.clear();
        let (mut least, mut most) = (f32::MAX, 0.0_f32);
        for (r, variant) in panel.variants() {
            if let Some((pixel, value)) = panel.rows.label(r, variant) {
                (least, most) = (least.min(value), most.max(value));
                if !self.labels.contains(&pixel) {
                    self.labels.push(pixel);
                }
            }
        }
        (least, most)
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

    /// Adds the gradient of the label pixel of variant `variant` to the sums, unless the next row has the same label,
    /// `next`.
    #[inline(always)]
    pub fn flush_label(&self, variant: usize, next: Option<usize>, sums: &mut SparseSums) {
        let variant = &self.variants[variant];
        if let Some(label) = variant.label.filter(|_| variant.label != next) {
            let width = sums.bias.len();
            scatter_add(&variant.gradient, &self.units[..self.count], &mut sums.labels[label * width..][..width]);
        }
    }
}

/// Copies the elements of `units` to the front of `to`, and zeros behind them.
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

/// The base rows of one line panel of a strip.
#[derive(Clone, Copy)]
pub struct PanelRows<'a> {
    pub rows: &'a Rows,
    /// The number of the panel.
    pub panel: usize,
}

impl PanelRows<'_> {
    /// The numbers of the base rows within the strip.
    #[inline(always)]
    pub fn numbers(self) -> std::ops::Range<usize> {
        self.panel * MR..self.rows.count().min((self.panel + 1) * MR)
    }

    /// Each base row with each of its variants.
    #[inline(always)]
    pub fn variants(self) -> impl Iterator<Item = (usize, usize)> {
        let variants = self.rows.variants();
        self.numbers().flat_map(move |r| (0..variants).map(move |variant| (r, variant)))
    }
}

/// Lists the units that could be on in some variant of some row of the panel, whose bounds are `bounds`: those for
/// which bound, reach and the most that a label of the panel can add come to more than zero.
#[inline(always)]
pub fn find<S: Simd>(simd: S, bounds: &[u16], panel: PanelRows<'_>, layer: &SparseLayer, candidates: &mut Candidates) {
    let (least, most) = candidates.list_labels(panel);
    let (least, most) = (simd.splat(least), simd.splat(most));
    let mut count = 0;
    for at in (0..layer.width()).step_by(S::LANES) {
        let mut z = simd.add(simd.load_bf16(&bounds[at..]), simd.load(&layer.reach[at..]));
        if let Some((&first, others)) = candidates.labels.split_first() {
            let mut label = simd.load(&layer.label(first)[at..]);
            for &other in others {
                label = simd.max(label, simd.load(&layer.label(other)[at..]));
            }
            // Where the largest weight is negative, the least of the label values lowers `z` the least.
            z = simd.add(z, simd.max(simd.mul(least, label), simd.mul(most, label)));
        }
        let mut bits = simd.positive(z);
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
