//! The contract of [`DenseProducts`], one test for every format: against plain products in f64, within the rounding
//! that the format claims.

use rand::seq::SliceRandom;

use super::*;
use crate::fused::testing::{floats, rng};
use crate::isa::Isa;
use crate::tier::Tier;
use crate::tile::{Decoded, TileTier};

/// A strip of one format, its weights and what becomes of them.
struct Case<P: DenseProducts> {
    products: P,
    k: usize,
    u: usize,
    rows: usize,
    dense: Vec<f32>,
    kernel: Vec<f32>,
    units: Vec<u32>,
    inputs: P::Inputs,
    weights: P::Weights,
    z: ColumnPanels,
    d: P::D,
    gradient: ColumnPanels,
}

/// Forward, keep and accumulate, block by block, with Z itself in place of D; returns Z of all rows, rows x u.
struct Step<'a, P: DenseProducts>(&'a mut Case<P>);

impl<P: DenseProducts> Kernel for Step<'_, P> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let Case {
            products, u, rows, ref units, ref inputs, ref weights, ref mut z, ref mut d, ref mut gradient, ..
        } = *self.0;
        let (panels, mut all) = (z.count(), vec![f32::NAN; rows * u]);
        for block in blocks::<P>(rows) {
            products.forward(simd, inputs, block.clone(), weights, 0..panels, z);
            for r in block.clone() {
                let order = ColumnOrder::Permuted(units);
                z.unpack_row(r - block.start, order, &mut all[r * u..][..u]);
                assert!(z.row(panels - 1, r - block.start)[u - (panels - 1) * S::LANES..].iter().all(|&z| z == 0.0));
            }
            products.keep(simd, (block, rows), panels, z, d);
        }
        // The first product replaces what was there; one of which everything is off adds nothing.
        gradient.fill(f32::NAN);
        for (is_on, adds) in [(true, false), (false, true)] {
            products.accumulate(simd, inputs, (z, d), |_| is_on, (&mut gradient.panels_mut(), adds));
        }
        all
    }
}

impl<P: DenseProducts> Case<P> {
    fn new(products: P, (rows, k, u): (usize, usize, usize)) -> Self {
        let rng = &mut rng((rows + k + u) as u64);
        // A third of the inputs is zero, and one input always.
        let mut dense = floats(rows * k, 1.0, rng);
        dense.iter_mut().enumerate().for_each(|(i, x)| *x *= f32::from(i % 3 > 0 && i % k != k / 2));
        let (kernel, nr) = (floats(k * u, 1.0, rng), nr(products));
        let mut units: Vec<u32> = (0..u as u32).collect();
        units.shuffle(rng);
        let (mut inputs, mut weights) = (P::Inputs::default(), products.weights(k, u));
        // What was packed before must leave no trace.
        products.pack(&[7.0; 12], 3, &mut inputs);
        products.transpose(&mut inputs, &[7.0; 12], ColumnOrder::Natural(3));
        products.pack(&dense, k, &mut inputs);
        assert!(!products.is_transposed(&inputs));
        let orders = (ColumnOrder::Natural(k), ColumnOrder::Permuted(&units));
        products.load(&mut weights, &kernel, orders);
        let z = ColumnPanels::zeros(rows.next_multiple_of(P::TILE_ROWS).min(P::Z_ROWS), u, nr);
        let gradient = ColumnPanels::zeros(k.next_multiple_of(P::TILE_ROWS), u, nr);
        Self { products, k, u, rows, dense, kernel, units, inputs, weights, z, d: P::D::default(), gradient }
    }

    /// Checks both products, with the inputs transposed in `order`.
    fn check(mut self, order: &[u32], what: &str) {
        let Self { products, k, u, rows, .. } = self;
        products.trim(&mut self.inputs);
        let mut unpacked = Vec::new();
        products.unpack(&self.inputs, &mut unpacked);
        products.transpose(&mut self.inputs, &unpacked, ColumnOrder::Permuted(order));
        assert!(products.is_transposed(&self.inputs));
        let z = products.run(Step(&mut self));
        let norm = |squares: f64| squares.sqrt();
        for r in 0..rows {
            let x = &self.dense[r * k..][..k];
            let length = norm(x.iter().map(|&x| f64::from(x).powi(2)).sum());
            for unit in 0..u {
                let w = || self.kernel.iter().skip(unit).step_by(u).map(|&w| f64::from(w));
                let expected: f64 = x.iter().zip(w()).map(|(&x, w)| f64::from(x) * w).sum();
                let tolerance = products.rounding(k) * length * norm(w().map(|w| w * w).sum());
                let found = f64::from(z[r * u + unit]);
                assert!((found - expected).abs() <= tolerance, "{what}: z {r} {unit}: {found} {expected}");
            }
        }
        // The second product is one of the rows: its operands are rounded as those of the first.
        let mut row = vec![0.0; u];
        for (packed, &input) in order.iter().enumerate() {
            self.gradient.unpack_row(packed, ColumnOrder::Permuted(&self.units), &mut row);
            let x = || (0..rows).map(|r| f64::from(self.dense[r * k + input as usize]));
            for (unit, &found) in row.iter().enumerate() {
                let d = || (0..rows).map(|r| f64::from(z[r * u + unit]));
                let expected: f64 = x().zip(d()).map(|(x, d)| x * d).sum();
                let lengths = norm(x().map(|x| x * x).sum()) * norm(d().map(|d| d * d).sum());
                let gap = (f64::from(found) - expected).abs();
                assert!(gap <= products.rounding(rows) * lengths, "{what}: dW {input} {unit}: {found} {expected}");
            }
        }
    }
}

fn check<P: DenseProducts>(products: P, name: &str) {
    for shape in [(1, 1, 1), (3, 5, 2), (31, 33, 31), (32, 32, 32), (33, 31, 65), (100, 70, 64), (250, 40, 129)] {
        let natural: Vec<u32> = (0..shape.1 as u32).collect();
        let mut shuffled = natural.clone();
        shuffled.shuffle(&mut rng(3));
        for order in [natural, shuffled] {
            Case::new(products, shape).check(&order, &format!("{name} {shape:?}"));
        }
    }
}

#[test]
fn f32_keeps_the_contract() {
    Isa::under_test().into_iter().for_each(|isa| check(F32(isa), isa.name()));
}

#[test]
fn bf16_keeps_the_contract_on_every_unit() {
    for isa in Isa::under_test() {
        check(Bf16(Decoded(isa)), isa.name());
    }
    for (name, usability) in Tier::tile_units() {
        match Tier::requested(name).map(|tier| tier.tiles()) {
            #[cfg(target_arch = "x86_64")]
            Ok(TileTier::Amx(unit)) => check(Bf16(unit), name),
            #[cfg(target_arch = "x86_64")]
            Ok(TileTier::Avx512Bf16(unit)) => check(Bf16(unit), name),
            _ => println!("{name}: not run on silicon: {}", usability.words()),
        }
    }
}
