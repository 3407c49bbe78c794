//! The epilogue of dense strips against a plain loop over rows, variants and units, in doubles.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::*;
use crate::fused::dense::{self, DenseProducts, F32};
use crate::fused::packing::MR;
use crate::fused::testing::{self, CLASSES, Kind, Packed};
use crate::isa::Isa;
use crate::recipe::Recipe;
use crate::simd::Kernel;

/// A strip between its products, and a layer.
struct Case {
    isa: Isa,
    recipe: Recipe,
    rows: Rows,
    u: usize,
    /// Which unit each packed column is.
    order: Vec<u32>,
    /// Column panels that are computed.
    panels: usize,
    /// Base rows x u, by unit.
    products: Vec<f32>,
    /// Classes x u, by unit.
    label_weights: Vec<f32>,
    /// By unit.
    biases: Vec<f32>,
    z: ColumnPanels,
    labels: ColumnPanels,
    bias: ColumnPanels,
    h: ColumnPanels,
    largest: ColumnPanels,
}

impl Case {
    /// `leave_out` column panels are not computed.
    fn new(
        isa: Isa,
        recipe: Recipe,
        (kind, rows): (Kind, std::ops::Range<usize>),
        (u, leave_out): (usize, usize),
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let Packed { strip, dense } = testing::strip(isa, &recipe, kind, rows, 40, rng);
        let (rows, nr) = (strip.rows, dense::nr(F32(isa)));
        // Products as large as those of rows with weights near one, so that what is scaled is near one as well.
        let reach = dense.iter().fold(0.0, |reach: f32, x| reach.max(x.abs()));
        let products = testing::floats(rows.count() * u, reach, rng);
        let (label_weights, biases) = (testing::floats(CLASSES * u, 1.0, rng), testing::floats(u, 0.3, rng));
        let mut order: Vec<u32> = (0..u as u32).collect();
        order.shuffle(rng);
        let pack = |rows: usize, dense: &[f32]| {
            let mut panels = ColumnPanels::zeros(rows, u, nr);
            panels.pack(dense, ColumnOrder::Permuted(&order));
            panels
        };
        let mut z = pack(rows.count().next_multiple_of(MR), &products);
        let panels = z.count().saturating_sub(leave_out);
        // What is not computed must not be read.
        (panels..z.count()).for_each(|j| z.panel_mut(j).fill(f32::NAN));
        let (labels, bias) = (pack(CLASSES, &label_weights), pack(1, &biases));
        let h = ColumnPanels::zeros(rows_of_h(rows.variants()), u, nr);
        let largest = ColumnPanels::zeros(1, u, nr);
        Self { isa, recipe, rows, u, order, panels, products, label_weights, biases, z, labels, bias, h, largest }
    }

    /// Runs `call` on the epilogue with the vectors of the dense products.
    fn run<W: EpilogueCall>(&mut self, call: W) -> W::Output {
        let Self {
            isa, ref rows, ref labels, ref bias, ref order, panels, ref mut z, ref mut h, ref mut largest, ..
        } = *self;
        let layer = LayerView { labels, bias, units: ColumnOrder::Permuted(order), panels };
        F32(isa).run(OnEpilogue { epilogue: Epilogue { rows, block: 0..rows.count(), layer, z, h, largest }, call })
    }

    /// Whether a unit is computed.
    fn is_computed(&self) -> Vec<bool> {
        let mut is_computed = vec![false; self.u];
        self.order.iter().take(self.panels * self.z.nr()).for_each(|&unit| is_computed[unit as usize] = true);
        is_computed
    }

    /// What every row comes to: base rows x variants.
    fn expected(&self) -> Vec<ExpectedRow> {
        let is_computed = self.is_computed();
        let mut all = Vec::new();
        for r in 0..self.rows.count() {
            for variant in 0..self.rows.variants() {
                let label = self.rows.label(r, variant);
                let terms = |unit: usize| {
                    let label = label.map_or(0.0, |(label, value)| {
                        f64::from(value) * f64::from(self.label_weights[label * self.u + unit])
                    });
                    let product = f64::from(self.products[r * self.u + unit]);
                    [f64::from(self.rows.scale(r)) * product, f64::from(self.biases[unit]), label]
                };
                let terms: Vec<[f64; 3]> = (0..self.u).map(terms).collect();
                let z: Vec<f64> = terms.iter().map(|terms| terms.iter().sum()).collect();
                let is_on = |&(&z, &is_computed): &(&f64, &bool)| z > 0.0 && is_computed;
                let h: Vec<f64> =
                    z.iter().zip(&is_computed).map(|pair| if is_on(&pair) { *pair.0 } else { 0.0 }).collect();
                let largest_term = terms.iter().flatten().fold(0.0, |largest: f64, term| largest.max(term.abs()));
                all.push(ExpectedRow { r, variant, squares: h.iter().map(|h| h * h).sum(), z, h, largest_term });
            }
        }
        all
    }

    /// The relative error that is allowed, of the largest numbers that occur: a `z` has three roundings, and a sum of
    /// `u` squares `u` more than twice these; the loss multiplies the relative error of the goodness by at most the
    /// goodness in units of the temperature. A sum over rows adds one rounding for each term.
    fn tolerance(&self, rows: &[ExpectedRow]) -> f64 {
        let goodness = rows.iter().map(|row| row.squares / self.recipe.goodness.divisor(self.u)).fold(0.0, f64::max);
        let roundings = (self.u + rows.len() + 8) as f64;
        roundings * f64::from(f32::EPSILON) * (1.0 + goodness / self.recipe.loss.temperature)
    }
}

/// A row of activations, as the plain loop finds them.
struct ExpectedRow {
    r: usize,
    variant: usize,
    z: Vec<f64>,
    h: Vec<f64>,
    squares: f64,
    /// The largest magnitude of what `z` is the sum of.
    largest_term: f64,
}

/// What a test does with an epilogue.
trait EpilogueCall {
    type Output;

    fn run<S: Simd>(self, simd: S, epilogue: Epilogue<'_>) -> Self::Output;
}

struct OnEpilogue<'a, W> {
    epilogue: Epilogue<'a>,
    call: W,
}

impl<W: EpilogueCall> Kernel for OnEpilogue<'_, W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> W::Output {
        self.call.run(simd, self.epilogue)
    }
}

struct GradientOf<'a>(&'a LossOfRows, &'a mut DenseSums, Option<&'a mut [f32]>);

impl EpilogueCall for GradientOf<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S, epilogue: Epilogue<'_>) {
        let block = epilogue.block.clone();
        epilogue.gradient(simd, block, self.0, self.1, self.2);
    }
}

struct OutputsOf<'a>(Goodness, &'a mut [f32], &'a mut [f32]);

impl EpilogueCall for OutputsOf<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S, epilogue: Epilogue<'_>) -> u64 {
        epilogue.outputs(simd, self.0, Some(self.1), Some(self.2))
    }
}

struct ShareOfUnits;

impl EpilogueCall for ShareOfUnits {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S, epilogue: Epilogue<'_>) -> f64 {
        epilogue.share_on(simd)
    }
}

/// Runs `check` on cases of every instruction set, recipe, kind of rows and awkward number of units, and where
/// `leave_out` column panels are not computed.
fn each_case(leave_out: usize, mut check: impl FnMut(&str, Case)) {
    let kinds = [
        (Kind::Labelled(2), 0..9),
        (Kind::Labelled(1), 3..7),
        (Kind::Labelled(7), 1..20),
        (Kind::Neutral, 0..9),
        (Kind::Activations(2), 4..22),
        (Kind::Signed(2), 3..10),
    ];
    for (seed, isa) in (0..).zip(Isa::under_test()) {
        let rng = &mut testing::rng(seed);
        for recipe in testing::recipes() {
            for (kind, rows) in kinds.clone() {
                for u in [1, 7, 16, 37, 131] {
                    let name = format!("{isa}, {kind:?}, {u} units, {recipe:?}");
                    check(&name, Case::new(isa, recipe, (kind, rows.clone()), (u, leave_out), rng));
                }
            }
        }
    }
}

/// Checks that no element of `found` differs from that of `expected` by more than `bound`.
fn check_close(name: &str, found: impl IntoIterator<Item = f32>, expected: &[f64], bound: f64) {
    let found: Vec<f32> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let gap = (f64::from(found) - expected).abs();
        assert!(gap <= bound, "{name}: element {i} is {found:e}, not {expected:e}, more than {bound:e} off");
    }
}

/// Row `r` of `panels`, by unit.
fn by_unit(panels: &ColumnPanels, r: usize, order: &[u32]) -> Vec<f32> {
    let mut row = vec![f32::NAN; order.len()];
    panels.unpack_row(r, ColumnOrder::Permuted(order), &mut row);
    row
}

/// Checks that the slots beyond the last unit are zero in the first `rows` rows.
fn check_slots(name: &str, panels: &ColumnPanels, u: usize, rows: usize) {
    for slot in u..panels.count() * panels.nr() {
        for r in 0..rows {
            assert_eq!(panels.row(slot / panels.nr(), r)[slot % panels.nr()], 0.0, "{name}: slot {slot} of row {r}");
        }
    }
}

/// The largest magnitude in `numbers`.
fn magnitude(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

/// Checks everything that [`Epilogue::gradient`] computes.
fn check_gradient(name: &str, mut case: Case, with_outputs: bool) {
    if case.rows.variants() > TRAINING_VARIANTS {
        return;
    }
    let (rows, u, nr) = (case.expected(), case.u, case.z.nr());
    let (tolerance, is_computed) = (case.tolerance(&rows), case.is_computed());
    let loss_of_rows = case.recipe.loss_of_rows(u, 3 * rows.len());
    // The sums begin with something, to which the strip's are added.
    let mut sums = DenseSums::zeros(CLASSES, u, nr);
    sums.loss = 5.0;
    let begin_bias: Vec<f32> = (0..u).map(|unit| unit as f32 * 1e-3).collect();
    let begin_labels: Vec<f32> = (0..CLASSES * u).map(|i| (i % 11) as f32 * -1e-3).collect();
    sums.bias.pack(&begin_bias, ColumnOrder::Permuted(&case.order));
    sums.labels.pack(&begin_labels, ColumnOrder::Permuted(&case.order));

    let mut loss = 5.0;
    let mut bias: Vec<f64> = begin_bias.iter().map(|&x| x.into()).collect();
    let mut labels: Vec<f64> = begin_labels.iter().map(|&x| x.into()).collect();
    let mut d = vec![0.0; case.rows.count() * u];
    let mut largest = vec![f64::NEG_INFINITY; u];
    let mut outputs = vec![0.0; rows.len() * u];
    // The largest magnitudes of what is summed over rows, and of a row's gradient.
    let (mut dz_sum, mut d_most) = (magnitude(&bias).max(magnitude(&labels)), 0.0_f64);
    for ExpectedRow { r, variant, z, h, squares, .. } in &rows {
        let polarity = batch::polarity(case.rows.batch_row(*r, *variant));
        let row = loss_of_rows.row(*squares as f32, polarity);
        loss += row.loss;
        let (label, scale) = (case.rows.label(*r, *variant), f64::from(case.rows.scale(*r)));
        let dz: Vec<f64> = h.iter().map(|h| f64::from(row.coefficient) * h).collect();
        let value = label.map_or(0.0, |(_, value)| f64::from(value));
        // A coefficient is off by the tolerance times its largest value, not times its own.
        let most = 2.0 / (loss_of_rows.rows() * case.recipe.loss.temperature * case.recipe.goodness.divisor(u));
        let most = most * magnitude(h);
        dz_sum += most * value.max(1.0);
        d_most = d_most.max(scale * most * case.rows.variants() as f64);
        for unit in 0..u {
            bias[unit] += dz[unit];
            d[r * u + unit] += scale * dz[unit];
            largest[unit] = if is_computed[unit] { largest[unit].max(z[unit]) } else { f64::NEG_INFINITY };
            if let Some((label, value)) = label {
                labels[label * u + unit] += f64::from(value) * dz[unit];
            }
        }
        outputs[case.rows.output(*r, *variant) * u..][..u].copy_from_slice(h);
    }

    let mut found_outputs = vec![f32::NAN; outputs.len()];
    case.run(GradientOf(&loss_of_rows, &mut sums, with_outputs.then_some(&mut found_outputs[..])));
    let z_most = rows.iter().map(|row| row.largest_term).fold(0.0, f64::max);
    let loss_most = loss.max(rows.len() as f64);
    assert!((sums.loss - loss).abs() <= tolerance * loss_most, "{name}: loss {} is not {loss}", sums.loss);
    check_close(&format!("{name}: bias"), by_unit(&sums.bias, 0, &case.order), &bias, tolerance * dz_sum);
    let found = (0..CLASSES).flat_map(|label| by_unit(&sums.labels, label, &case.order));
    check_close(&format!("{name}: labels"), found, &labels, tolerance * dz_sum);
    let found_largest = by_unit(&case.largest, 0, &case.order);
    for unit in 0..u {
        let (found, expected) = (f64::from(found_largest[unit]), largest[unit]);
        let is_close =
            if is_computed[unit] { (found - expected).abs() <= tolerance * z_most } else { found == expected };
        assert!(is_close, "{name}: the largest z of unit {unit} is {found}, not {expected}");
    }
    for r in 0..case.rows.count() {
        let found = by_unit(&case.z, r, &case.order);
        for unit in 0..u {
            if is_computed[unit] {
                let (found, expected) = (f64::from(found[unit]), d[r * u + unit]);
                let is_close = (found - expected).abs() <= tolerance * d_most;
                assert!(is_close, "{name}: D of row {r} and unit {unit} is {found:e}, not {expected:e}");
            } else {
                assert!(found[unit].is_nan(), "{name}: a column that is left out has been written");
            }
        }
    }
    if with_outputs {
        check_close(&format!("{name}: activations"), found_outputs, &outputs, tolerance * z_most);
    }
    if case.panels == case.z.count() {
        check_slots(name, &case.z, u, case.rows.count());
        check_slots(name, &case.h, u, case.rows.variants());
    }
    check_slots(name, &sums.bias, u, 1);
    check_slots(name, &sums.labels, u, CLASSES);
}

#[test]
fn the_gradient_is_that_of_a_plain_loop() {
    each_case(0, |name, case| check_gradient(name, case, true));
}

#[test]
fn columns_that_are_left_out_add_nothing_to_the_gradient() {
    each_case(1, |name, case| check_gradient(name, case, false));
}

#[test]
fn activations_and_goodness_are_those_of_a_plain_loop() {
    each_case(0, |name, mut case| {
        let (rows, u, goodness) = (case.expected(), case.u, case.recipe.goodness);
        let tolerance = case.tolerance(&rows);
        let (mut outputs, mut of_rows) = (vec![f32::NAN; rows.len() * u], vec![f32::NAN; rows.len()]);
        let active = case.run(OutputsOf(goodness, &mut outputs, &mut of_rows));
        let (mut least, mut most) = (0, 0);
        for ExpectedRow { r, variant, z, h, squares, largest_term } in &rows {
            let (row, bound) = (case.rows.output(*r, *variant), tolerance * largest_term);
            check_close(name, outputs[row * u..][..u].iter().copied(), h, bound);
            let expected = squares / goodness.divisor(u);
            check_close(name, [of_rows[row]], &[expected], tolerance * largest_term * largest_term * u as f64);
            least += z.iter().filter(|&&z| z > bound).count() as u64;
            most += z.iter().filter(|&&z| z > -bound).count() as u64;
        }
        assert!((least..=most).contains(&active), "{name}: {active} activations are on, not {least} to {most}");
        check_slots(name, &case.h, u, case.rows.variants());
    });
}

#[test]
fn the_share_of_units_on_is_that_of_the_sampled_rows() {
    for leave_out in [0, 1] {
        each_case(leave_out, |name, mut case| {
            let (rows, u, is_computed) = (case.expected(), case.u, case.is_computed());
            let sampled: Vec<&ExpectedRow> = rows.iter().filter(|row| row.r % SAMPLED == 0).collect();
            let bound = case.tolerance(&rows) * rows.iter().map(|row| row.largest_term).fold(0.0, f64::max);
            let on_above = |limit: f64| {
                let is_on = |r: usize, unit: usize| sampled.iter().any(|row| row.r == r && row.z[unit] > limit);
                let each = (0..case.rows.count()).flat_map(|r| (0..u).map(move |unit| (r, unit)));
                each.filter(|&(r, unit)| is_computed[unit] && is_on(r, unit)).count() as f64
            };
            let seen = (sampled.len() / case.rows.variants() * u) as f64;
            let (least, most) = (on_above(bound) / seen, on_above(-bound) / seen);
            let share = case.run(ShareOfUnits);
            assert!((least..=most).contains(&share), "{name}: a share of {share} is on, not {least} to {most}");
        });
    }
}
