//! Candidates, both products and the bounds of sparse strips against plain loops.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::*;
use crate::fused::dense::{self, DenseProducts, F32};
use crate::fused::drift::{Bounds, Drift};
use crate::fused::packing::{ColumnOrder, RowPanels};
use crate::fused::testing::{self, CLASSES, Kind, Packed};
use crate::isa::Isa;
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::simd::Kernel;

/// A bf16 number as a float.
fn float(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Defines a kernel: the operands of a function, and the call of it on the vectors `simd`.
macro_rules! kernel {
    (
        $name:ident<$lifetime:lifetime> { $($field:ident: $type:ty),* $(,)? } -> $output:ty,
        |$simd:ident| $body:expr
    ) => {
        struct $name<$lifetime> {
            $($field: $type,)*
        }

        impl<$lifetime> Kernel for $name<$lifetime> {
            type Output = $output;

            #[inline(always)]
            fn run<S: Simd>(self, $simd: S) -> $output {
                let Self { $($field),* } = self;
                $body
            }
        }
    };
}

kernel!(
    Find<'a> { bounds: &'a [u16], panel: PanelRows<'a>, layer: &'a SparseLayer, candidates: &'a mut Candidates } -> (),
    |simd| find(simd, bounds, panel, layer, candidates)
);

/// The units that [`find`] must list: those for which bound, reach and the largest product of any value and any label
/// of the panel's rows add up to more than zero. A row's own product is never larger, rounding included.
fn units_that_could_be_on(bounds: &[u16], panel: PanelRows<'_>, layer: &SparseLayer, u: usize) -> Vec<u32> {
    let labels: Vec<(usize, f32)> = panel.variants().filter_map(|(r, variant)| panel.rows.label(r, variant)).collect();
    let could_be_on = |&unit: &u32| {
        let unit = unit as usize;
        let products = labels.iter().flat_map(|&(_, value)| {
            labels.iter().map(move |&(label, _)| value * layer.labels[label * layer.width() + unit])
        });
        let limit = float(bounds[unit]) + layer.reach[unit];
        products.reduce(f32::max).map_or(limit, |product| limit + product) > 0.0
    };
    (0..u as u32).filter(could_be_on).collect()
}

#[test]
fn candidates_are_the_units_that_could_be_on() {
    let kinds = [Kind::Labelled(1), Kind::Labelled(2), Kind::Labelled(9), Kind::Neutral, Kind::Activations(2)];
    let rng = &mut testing::rng(1);
    let (mut listed, mut left_out) = (0, 0);
    for (isa, u) in Isa::under_test().into_iter().flat_map(|isa| [1, 15, 16, 17, 37, 130].map(|u| (isa, u))) {
        for recipe in testing::recipes() {
            for kind in kinds {
                let Packed { strip, .. } = testing::strip(isa, &recipe, kind, 1..11, 30, rng);
                let mut layer = SparseLayer::new(30, u, CLASSES);
                layer.load(&testing::parameters(30, u, 1.0, rng), &(0..30).collect::<Vec<_>>());
                layer.reach.fill(f32::NEG_INFINITY);
                layer.reach[..u].copy_from_slice(&testing::floats(u, 0.5, rng));
                let mut candidates = Candidates::new(u, strip.rows.variants());
                for panel in 0..strip.rows.count().div_ceil(MR) {
                    let mut bounds = vec![round_up_to_bf16(f32::NEG_INFINITY); layer.width()];
                    for (unit, bound) in bounds[..u].iter_mut().enumerate() {
                        *bound = round_up_to_bf16(match rng.random_range(0..6) {
                            0 => f32::INFINITY,
                            1 => f32::NEG_INFINITY,
                            // A unit whose limit is zero but for its label is off without one.
                            2 => {
                                layer.reach[unit] = -0.25;
                                0.25
                            }
                            _ => rng.random_range(-0.5..0.5),
                        });
                    }
                    layer.reach[u / 2] = f32::INFINITY;
                    bounds[u / 2] = round_up_to_bf16(-0.5);
                    let panel = PanelRows { rows: &strip.rows, panel };
                    isa.run(Find { bounds: &bounds, panel, layer: &layer, candidates: &mut candidates });
                    let expected = units_that_could_be_on(&bounds, panel, &layer, u);
                    let found = &candidates.units[..candidates.count];
                    assert_eq!(found, expected, "{isa}, {kind:?}, {u} units");
                    let padding = &candidates.units[candidates.count..candidates.padded()];
                    assert!(padding.iter().all(|unit| found.last() == Some(unit)), "{isa}: filled up with the last");
                    (listed, left_out) = (listed + found.len(), left_out + u - found.len());
                }
            }
        }
    }
    assert!(listed > 1_000 && left_out > 1_000, "{listed} listed, {left_out} left out");
}

/// Rows x `k`, three quarters of them zero and one row in seven empty.
fn sparse_rows(rows: usize, k: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let mut dense = testing::floats(rows * k, 3.0, rng);
    dense.iter_mut().enumerate().for_each(|(i, x)| {
        if i / k % 7 == 5 || rng.random_ratio(3, 4) {
            *x = 0.0;
        }
    });
    dense
}

/// Rows of `k` inputs in lines, and the order of their inputs.
struct Lines {
    dense: Vec<f32>,
    panels: LinePanels,
    inputs: Vec<u32>,
    positions: Vec<usize>,
}

impl Lines {
    fn new(rows: usize, k: usize, rng: &mut Xoshiro256PlusPlus) -> Self {
        let dense = sparse_rows(rows, k, rng);
        let (inputs, positions) = random_order(k, rng);
        let mut packed = RowPanels::<u32>::default();
        packed.pack(&dense, k);
        Self { panels: LinePanels::pack(&packed, &positions), dense, inputs, positions }
    }
}

/// A random order of `k` inputs: the input at each position, and the position of each input.
fn random_order(k: usize, rng: &mut Xoshiro256PlusPlus) -> (Vec<u32>, Vec<usize>) {
    let mut inputs: Vec<u32> = (0..k as u32).collect();
    inputs.shuffle(rng);
    let mut positions = vec![0; k];
    inputs.iter().enumerate().for_each(|(position, &input)| positions[input as usize] = position);
    (inputs, positions)
}

/// Makes some of `u` units the candidates, often an odd number of them; returns these.
fn choose(candidates: &mut Candidates, u: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    let chosen: Vec<u32> = (0..u as u32).filter(|_| rng.random_ratio(2, 3)).collect();
    candidates.count = chosen.len();
    candidates.units[..chosen.len()].copy_from_slice(&chosen);
    let padded = candidates.padded();
    candidates.units[chosen.len()..padded].fill(chosen.last().copied().unwrap_or(0));
    chosen
}

kernel!(
    MultiplyByFour<'a> { panel: LinePanel<'a>, layer: &'a SparseLayer, candidates: &'a mut Candidates } -> (),
    |simd| multiply::<S, 4>(simd, panel, layer, candidates)
);

kernel!(
    MultiplyByTwo<'a> { panel: LinePanel<'a>, layer: &'a SparseLayer, candidates: &'a mut Candidates } -> (),
    |simd| multiply::<S, 2>(simd, panel, layer, candidates)
);

/// The sizes that the products are tested at: rows, inputs and units around those of panels, lines and groups.
fn sizes() -> impl Iterator<Item = (Isa, usize, usize, usize)> {
    let sizes = [(1, 1, 1), (4, 16, 5), (7, 17, 16), (9, 100, 37), (13, 47, 130)];
    Isa::under_test().into_iter().flat_map(move |isa| sizes.map(|(rows, k, u)| (isa, rows, k, u)))
}

#[test]
fn products_of_candidates_are_those_of_the_rows_and_weights() {
    let rng = &mut testing::rng(2);
    for (isa, rows, k, u) in sizes() {
        let lines = Lines::new(rows, k, rng);
        let parameters = testing::parameters(k, u, 1.0, rng);
        let mut layer = SparseLayer::new(k, u, 0);
        layer.load(&parameters, &lines.inputs);
        let mut candidates = Candidates::new(u, 1);
        for (number, panel) in lines.panels.iter().enumerate() {
            for group in [2, 4] {
                let units = choose(&mut candidates, u, rng);
                candidates.z.iter_mut().for_each(|z| z.fill(f32::NAN));
                let (layer, candidates) = (&layer, &mut candidates);
                match group {
                    2 => isa.run(MultiplyByTwo { panel, layer, candidates: &mut *candidates }),
                    _ => isa.run(MultiplyByFour { panel, layer, candidates: &mut *candidates }),
                }
                for (i, z) in candidates.z.iter().enumerate() {
                    let row =
                        lines.dense.get((number * MR + i) * k..).map_or(&[][..], |rest| &rest[..k.min(rest.len())]);
                    for (&found, &unit) in z.iter().zip(&units) {
                        let term = |(input, &x): (usize, &f32)| {
                            f64::from(x) * f64::from(parameters.kernel[input * u + unit as usize])
                        };
                        let expected: f64 = row.iter().enumerate().map(term).sum();
                        let magnitude: f64 = row.iter().enumerate().map(|pair| term(pair).abs()).sum();
                        // k products and k sums, half a unit in the last place each, in whichever order.
                        let bound = (k + 1) as f64 * f64::from(f32::EPSILON) * magnitude;
                        let name = format!("{isa}, {rows} x {k} x {u}, by {group}, row {i}, unit {unit}");
                        assert!((f64::from(found) - expected).abs() <= bound, "{name}: {found} is not {expected}");
                    }
                }
            }
        }
    }
}

kernel!(
    Accumulate<'a> { gradients: &'a Gradients, inputs: &'a LinePanels, sums: &'a mut SparseSums } -> (),
    |simd| gradients.accumulate(simd, inputs, sums)
);

#[test]
fn gradients_of_candidates_are_the_transposed_rows_times_d() {
    let rng = &mut testing::rng(3);
    for (isa, rows, k, u) in sizes() {
        let lines = Lines::new(rows, k, rng);
        let mut candidates = Candidates::new(u, 1);
        let mut gradients = Gradients::default();
        let mut sums = SparseSums::new(u, k.div_ceil(LINE), 0);
        // What an earlier step has left must not count.
        (0..u).for_each(|unit| sums.kernel.units_mut([unit])[0].fill(crate::fused::packing::Line([7.0; LINE])));
        sums.clear();
        let mut expected = vec![0.0_f64; k * u];
        let mut magnitudes = expected.clone();
        let mut is_candidate = vec![false; u];
        // The second strip is added to the first.
        for _ in 0..2 {
            gradients.clear();
            for (number, _) in lines.panels.iter().enumerate() {
                let units = choose(&mut candidates, u, rng);
                units.iter().for_each(|&unit| is_candidate[unit as usize] = true);
                gradients.add_panel(&candidates);
                for r in (number * MR..rows).take(MR) {
                    let (dz, scale) = (testing::floats(units.len(), 1.0, rng), rng.random_range(0.5_f32..2.0));
                    candidates.variants[0].h[..units.len()].copy_from_slice(&dz);
                    gradients.note(r % MR, scale, &candidates);
                    for (&unit, dz) in units.iter().zip(dz) {
                        for input in 0..k {
                            let term = f64::from(lines.dense[r * k + input]) * f64::from(scale * dz);
                            expected[input * u + unit as usize] += term;
                            magnitudes[input * u + unit as usize] += term.abs();
                        }
                    }
                }
            }
            isa.run(Accumulate { gradients: &gradients, inputs: &lines.panels, sums: &mut sums });
        }
        assert_eq!(sums.touched, is_candidate, "{isa}, {rows} x {k} x {u}");
        for (unit, input) in (0..u).flat_map(|unit| (0..k).map(move |input| (unit, input))) {
            let position = lines.positions[input];
            let found =
                if sums.touched[unit] { sums.kernel.unit(unit)[position / LINE].0[position % LINE] } else { 0.0 };
            let (expected, magnitude) = (expected[input * u + unit], magnitudes[input * u + unit]);
            // A product and a sum for each row of both strips, half a unit in the last place each.
            let bound = (2 * rows + 1) as f64 * f64::from(f32::EPSILON) * magnitude;
            let name = format!("{isa}, {rows} x {k} x {u}, input {input}, unit {unit}");
            assert!((f64::from(found) - expected).abs() <= bound, "{name}: {found} is not {expected}");
        }
    }
}

kernel!(
    LearnDense<'a> {
        sparse: &'a mut Sparse,
        step: SparseStep<'a>,
        inputs: &'a <F32 as DenseProducts>::Inputs,
        weights: &'a ColumnPanels,
        z: &'a mut ColumnPanels,
        products: F32,
        units: &'a [u32],
        computed: usize,
    } -> (),
    |simd| {
        products.forward(simd, inputs, 0..step.rows.count(), weights, 0..computed.div_ceil(S::LANES), z);
        sparse.learn(simd, step, 0..step.rows.count(), z, (units, computed));
    }
);

kernel!(
    Outputs<'a> {
        sparse: &'a mut Sparse,
        step: SparseStep<'a>,
        goodness: (Goodness, usize),
        scratch: &'a mut Scratch,
        outputs: &'a mut [f32],
        of_rows: &'a mut [f32],
    } -> u64,
    |simd| sparse.outputs(simd, step, goodness, scratch, (Some(outputs), Some(of_rows)))
);

/// A layer whose weights move, a strip of it that is sparse, and what is known of both.
struct Walk {
    isa: Isa,
    recipe: Recipe,
    kind: Kind,
    rows: Rows,
    /// Base rows x k.
    dense: Vec<f32>,
    parameters: Parameters,
    inputs: Vec<u32>,
    sparse: Sparse,
    layer: SparseLayer,
    drift: Drift,
    scratch: Scratch,
}

/// How often units were left out, and became candidates of a panel after they had been left out.
#[derive(Default)]
struct Tally {
    left_out: usize,
    returned: usize,
}

impl Walk {
    /// Begins as training does: all units are computed densely, but for some of which only the infinite bound is known.
    /// The dense products are those of a format that is off by `rounding` of each weight.
    fn new(
        isa: Isa,
        recipe: Recipe,
        (kind, rounding): (Kind, f32),
        (count, k, u): (usize, usize, usize),
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let products = F32(isa);
        let Packed { strip, dense } = testing::strip(isa, &recipe, kind, 2..2 + count, k, rng);
        let bounds = Bounds {
            label_pixels: kind.label_pixels(),
            nonnegative: !matches!(kind, Kind::Signed(_)),
            norm: recipe.normalisation.norm_bound(k),
            rounding: products.rounding(k),
            dense_rounding: products.rounding(k) + f64::from(rounding),
        };
        // A z of about one half of either sign.
        let parameters = testing::parameters(k, u, (1.0 / bounds.norm) as f32, rng);
        let (inputs, positions) = random_order(k, rng);
        let packed = strip.dense().expect("a strip begins dense");
        let mut walk = Self {
            isa,
            recipe,
            kind,
            sparse: Sparse::new(products.lines(packed, &positions), count, u),
            scratch: Scratch::new(u, strip.rows.variants()),
            layer: SparseLayer::new(k, u, kind.label_pixels()),
            drift: Drift::new((k, u), bounds),
            rows: Rows::default(),
            dense,
            parameters,
            inputs,
        };
        walk.advance();
        let mut units: Vec<u32> = (0..u as u32).collect();
        units.shuffle(rng);
        let mut weights = products.weights(k, u);
        let orders = (ColumnOrder::Natural(walk.parameters.k), ColumnOrder::Permuted(&units));
        let off = |&w: &f32| if rng.random_bool(0.5) { w * (1.0 + rounding) } else { w * (1.0 - rounding) };
        let kernel: Vec<f32> = walk.parameters.kernel.iter().map(off).collect();
        products.load(&mut weights, &kernel, orders);
        products.run(LearnDense {
            step: SparseStep { rows: &strip.rows, layer: &walk.layer },
            sparse: &mut walk.sparse,
            inputs: packed,
            weights: &weights,
            z: &mut ColumnPanels::zeros(count.next_multiple_of(MR), u, dense::nr(products)),
            products,
            units: &units,
            computed: u - u / 5,
        });
        walk.rows = strip.rows;
        walk
    }

    fn advance(&mut self) {
        self.drift.advance(&self.parameters);
        self.layer.move_on(&self.parameters, &self.drift);
        self.layer.load(&self.parameters, &self.inputs);
    }

    /// The product of base row `r` with unit `unit`, scaled, label and bias apart, in doubles.
    fn z(&self, r: usize, unit: usize) -> f64 {
        let Parameters { k, u, ref kernel, .. } = self.parameters;
        let term = |(input, &x): (usize, &f32)| f64::from(x) * f64::from(kernel[input * u + unit]);
        f64::from(self.rows.scale(r)) * self.dense[r * k..][..k].iter().enumerate().map(term).sum::<f64>()
    }

    /// Moves each unit: along a row, which raises its `z` by all that the bound allows, or at random, down or not at
    /// all.
    fn step(&mut self, rng: &mut Xoshiro256PlusPlus) {
        let Parameters { k, u, .. } = self.parameters;
        let norm = self.recipe.normalisation.norm_bound(k) as f32;
        for unit in 0..u {
            let length = rng.random_range(0.0..0.2_f32) / norm;
            let row = rng.random_range(0..self.rows.count());
            let weights = self.parameters.kernel.iter_mut().skip(unit).step_by(u);
            let inputs = self.dense[row * k..][..k].iter();
            match rng.random_range(0..4) {
                0 => weights.for_each(|w| *w += rng.random_range(-1.0..1.0) * length),
                1 => weights.for_each(|w| *w -= 0.1 * length),
                2 => {}
                _ => {
                    let scale = self.rows.scale(row) / norm;
                    weights.zip(inputs).for_each(|(w, &x)| *w += scale * x * length);
                }
            }
            self.parameters.bias[unit] += rng.random_range(-0.02..0.02);
        }
        for weight in &mut self.parameters.kernel[..self.kind.label_pixels() * u] {
            *weight += rng.random_range(-0.1..0.1);
        }
    }

    /// Checks that no `z` exceeds its bound, and that the activations of a step are those of every unit for every row.
    fn check(&mut self, name: &str, was_left_out: &mut [bool], tally: &mut Tally) {
        let (u, width) = (self.parameters.u, self.layer.width());
        for panel in 0..self.rows.count().div_ceil(MR) {
            for (r, unit) in
                (PanelRows { rows: &self.rows, panel }).numbers().flat_map(|r| (0..u).map(move |unit| (r, unit)))
            {
                let limit = float(self.sparse.bounds[panel * width + unit]) + self.layer.reach[unit];
                let z = self.z(r, unit) + f64::from(self.parameters.bias[unit]);
                assert!(f64::from(limit) >= z, "{name}: z of row {r} and unit {unit} is {z}, above its limit {limit}");
            }
        }
        let goodness = self.recipe.goodness;
        let (mut outputs, mut of_rows) = (vec![f32::NAN; self.rows.outputs() * u], vec![f32::NAN; self.rows.outputs()]);
        let active = self.isa.run(Outputs {
            sparse: &mut self.sparse,
            step: SparseStep { rows: &self.rows, layer: &self.layer },
            goodness: (goodness, u),
            scratch: &mut self.scratch,
            outputs: &mut outputs,
            of_rows: &mut of_rows,
        });
        assert_eq!(active, outputs.iter().filter(|&&h| h > 0.0).count() as u64, "{name}");
        let norm = self.recipe.normalisation.norm_bound(self.parameters.k);
        for (r, variant) in (0..self.rows.count()).flat_map(|r| (0..self.rows.variants()).map(move |v| (r, v))) {
            let row = self.rows.output(r, variant);
            let mut squares = 0.0;
            for (unit, &h) in outputs[row * u..][..u].iter().enumerate() {
                let label = self.rows.label(r, variant).map_or(0.0, |(label, value)| {
                    f64::from(value) * f64::from(self.parameters.kernel[label * u + unit])
                });
                let expected = (self.z(r, unit) + f64::from(self.parameters.bias[unit]) + label).max(0.0);
                // Weights, inputs and labels are near one, in units of the norm of a row.
                let bound = 4.0 * F32(self.isa).rounding(self.parameters.k) * (1.0 + norm);
                assert!((f64::from(h) - expected).abs() <= bound, "{name}: h of {r} and {unit} is {h}, not {expected}");
                squares += expected * expected;
            }
            let expected = squares / goodness.divisor(u);
            let gap = (f64::from(of_rows[row]) - expected).abs();
            assert!(
                gap <= 1e-4 * (1.0 + expected),
                "{name}: the goodness of row {r} is {}, not {expected}",
                of_rows[row]
            );
        }
        // The candidates of the last panel are still known.
        let candidates = &self.scratch.candidates;
        let mut is_left_out = vec![true; u];
        candidates.units[..candidates.count].iter().for_each(|&unit| is_left_out[unit as usize] = false);
        for (was, is) in was_left_out.iter_mut().zip(is_left_out) {
            tally.left_out += usize::from(is);
            tally.returned += usize::from(*was && !is);
            *was = is;
        }
    }
}

#[test]
fn no_z_exceeds_its_bound_while_weights_move() {
    let rng = &mut testing::rng(4);
    for isa in Isa::under_test() {
        for recipe in testing::recipes() {
            let kinds = [Kind::Labelled(2), Kind::Neutral, Kind::Activations(2), Kind::Signed(1)];
            for (kind, rounding) in kinds.into_iter().flat_map(|kind| [(kind, 0.0), (kind, 1.0 / 16.0)]) {
                let (mut tally, sizes) = (Tally::default(), (10, 23, 45));
                let mut walk = Walk::new(isa, recipe, (kind, rounding), sizes, rng);
                let mut was_left_out = vec![false; sizes.2];
                for step in 0..20 {
                    let name = format!("{isa}, {kind:?}, off by {rounding}, {recipe:?}, step {step}");
                    walk.check(&name, &mut was_left_out, &mut tally);
                    walk.step(rng);
                    walk.advance();
                }
                let Tally { left_out, returned } = tally;
                assert!(left_out > 20 && returned > 5, "{kind:?}: left out {left_out} times, {returned} returned");
            }
        }
    }
}
