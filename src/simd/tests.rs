//! Every operation of the vector trait against scalar arithmetic, on every instruction set and width of vectors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::isa::Isa;

/// The numbers at which an operation could differ from that of scalars, and some ordinary ones.
const EDGES: [f32; 24] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    f32::MIN_POSITIVE / 2.0,
    f32::MIN_POSITIVE / -3.0,
    f32::from_bits(1),
    -f32::from_bits(1),
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.0 + f32::EPSILON,
    1.0 - f32::EPSILON / 2.0,
    2.0,
    -0.1,
    3.7,
    1e-20,
    -1e20,
    1.8e19,
    16_777_215.0,
];

/// A float that none of the tests computes: what a store must leave alone.
const UNTOUCHED: f32 = 12_345.678;

/// Results of `K` with the vectors of an instruction set, of one register, two and four.
struct EachWidth<K>(K);

/// What a kernel has returned, and the vectors it ran on.
struct Ran<T> {
    lanes: usize,
    vectors: &'static str,
    output: T,
}

impl<K: Kernel + Clone> Kernel for EachWidth<K> {
    type Output = [Ran<K::Output>; 3];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let (two, four) = (Registers::<S::One, 2>(simd.one()), Registers::<S::One, 4>(simd.one()));
        [run_on(simd, self.0.clone()), run_on(two, self.0.clone()), run_on(four, self.0)]
    }
}

#[inline(always)]
fn run_on<S: Simd, K: Kernel>(simd: S, kernel: K) -> Ran<K::Output> {
    Ran { lanes: S::LANES, vectors: std::any::type_name::<S>(), output: kernel.run(simd) }
}

/// Runs `kernel` on every instruction set under test, with vectors of every width.
fn everywhere<K: Kernel + Clone>(kernel: K) -> Vec<(Isa, Ran<K::Output>)> {
    let each = |isa: Isa| isa.run(EachWidth(kernel.clone())).map(|ran| (isa, ran));
    Isa::under_test().into_iter().flat_map(each).collect()
}

/// Whether two floats are the same number, zeros of different signs told apart, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Defines a kernel that applies one operation to whole slices, vector by vector. The slices hold a whole number of
/// vectors of every width.
macro_rules! elementwise {
    ($kernel:ident, $operation:ident: $first:ident $(, $operand:ident)*) => {
        #[derive(Clone)]
        struct $kernel<'a> {
            $first: &'a [f32],
            $($operand: &'a [f32],)*
        }

        impl Kernel for $kernel<'_> {
            type Output = Vec<f32>;

            #[inline(always)]
            fn run<S: Simd>(self, simd: S) -> Vec<f32> {
                let mut results = vec![UNTOUCHED; self.$first.len()];
                for (at, to) in (0..).step_by(S::LANES).zip(results.chunks_exact_mut(S::LANES)) {
                    let result = simd.$operation(
                        simd.load(&self.$first[at..]) $(, simd.load(&self.$operand[at..]))*
                    );
                    simd.store(to, result);
                }
                results
            }
        }
    };
}

elementwise!(Add, add: a, b);
elementwise!(Sub, sub: a, b);
elementwise!(Mul, mul: a, b);
elementwise!(Div, div: a, b);
elementwise!(Max, max: a, b);
elementwise!(MulAdd, mul_add: a, b, c);
elementwise!(Sqrt, sqrt: a);
elementwise!(Flush, flush: a, least);

/// Every choice of `N` of the [`EDGES`], operand by operand, filled up with zeros to whole vectors.
fn operands<const N: usize>() -> [Vec<f32>; N] {
    let count = EDGES.len().pow(N as u32);
    std::array::from_fn(|operand| {
        let stride = EDGES.len().pow(operand as u32);
        let mut floats: Vec<f32> = (0..count).map(|i| EDGES[i / stride % EDGES.len()]).collect();
        floats.resize(count.next_multiple_of(MAX_LANES), 0.0);
        floats
    })
}

/// Checks that `kernel` finds what `expected` says of each element.
fn check(kernel: impl Kernel<Output = Vec<f32>> + Clone, expected: impl Fn(Isa, usize) -> f32) {
    for (isa, Ran { vectors, output, .. }) in everywhere(kernel) {
        for (i, &found) in output.iter().enumerate() {
            let expected = expected(isa, i);
            assert!(same(found, expected), "{vectors}: element {i} is {found:e}, not {expected:e}");
        }
    }
}

#[test]
fn arithmetic_is_that_of_scalars() {
    let [a, b] = operands();
    let (a, b) = (a.as_slice(), b.as_slice());
    check(Add { a, b }, |_, i| a[i] + b[i]);
    check(Sub { a, b }, |_, i| a[i] - b[i]);
    check(Mul { a, b }, |_, i| a[i] * b[i]);
    check(Div { a, b }, |_, i| a[i] / b[i]);
    check(Sqrt { a }, |_, i| a[i].sqrt());
}

#[test]
fn max_is_the_larger_and_on_x86_the_second_where_neither_is() {
    let [a, b] = operands();
    for (_, Ran { vectors, output, .. }) in everywhere(Max { a: &a, b: &b }) {
        for ((&found, &a), &b) in output.iter().zip(&a).zip(&b) {
            let is_right = if a > b {
                same(found, a)
            } else if a < b || cfg!(target_arch = "x86_64") {
                same(found, b)
            } else {
                same(found, a) || same(found, b)
            };
            assert!(is_right, "{vectors}: the larger of {a:e} and {b:e} is not {found:e}");
        }
    }
}

#[test]
fn what_is_below_the_least_is_flushed_and_nothing_else() {
    let [a, least] = operands();
    let expected = |_, i: usize| if a[i].abs() < least[i] { 0.0 } else { a[i] };
    check(Flush { a: &a, least: &least }, expected);
}

/// Whether `mul_add` rounds once, as the trait says of each instruction set.
fn is_fused(isa: Isa) -> bool {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) | Isa::Avx2(_) => true,
        Isa::Portable(_) => cfg!(any(target_feature = "fma", all(target_arch = "aarch64", target_feature = "neon"))),
    }
}

#[test]
fn mul_add_rounds_once_where_it_is_fused_and_twice_elsewhere() {
    let [a, b, c] = operands();
    let (once, twice) = (|i: usize| a[i].mul_add(b[i], c[i]), |i: usize| a[i] * b[i] + c[i]);
    assert!((0..a.len()).any(|i| !same(once(i), twice(i))), "no operands tell one rounding from two");
    let expected = |isa, i| if is_fused(isa) { once(i) } else { twice(i) };
    check(MulAdd { a: &a, b: &b, c: &c }, expected);
}

/// Sums and signs of the vectors of a slice.
#[derive(Clone)]
struct Reductions<'a>(&'a [f32]);

impl Kernel for Reductions<'_> {
    /// Each vector's sum, the sum of its registers added up one after another, and its positive lanes.
    type Output = Vec<(f32, f32, u64)>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let one = simd.one();
        let reduce = |floats: &[f32]| {
            let vector = simd.load(floats);
            let mut registers = floats.chunks_exact(S::One::LANES).map(|floats| one.load(floats));
            let first = registers.next().expect("at least one register");
            let by_registers = one.sum(registers.fold(first, |total, register| one.add(total, register)));
            (simd.sum(vector), by_registers, simd.positive(vector))
        };
        self.0.chunks_exact(S::LANES).map(reduce).collect()
    }
}

#[test]
fn positive_has_a_bit_for_each_lane_above_zero() {
    // Vectors of 8, 16, 32 and 64 lanes begin at different edges, because their number is no power of two.
    let floats: Vec<f32> = (0..3 * MAX_LANES).map(|i| EDGES[(i + i / 64) % EDGES.len()]).collect();
    for (_, Ran { lanes, vectors, output }) in everywhere(Reductions(&floats)) {
        for (floats, (.., bits)) in floats.chunks_exact(lanes).zip(output) {
            let expected = floats.iter().enumerate().fold(0, |bits, (i, &float)| bits | u64::from(float > 0.0) << i);
            assert_eq!(bits, expected, "{vectors}: {floats:?}");
        }
    }
}

#[test]
fn a_sum_counts_every_lane_once_and_is_as_exact_as_promised() {
    // Of each MAX_LANES floats, one is not zero: another in each group, so that every lane of every width comes up.
    let mut single: Vec<f32> = vec![0.0; MAX_LANES * MAX_LANES];
    single.chunks_exact_mut(MAX_LANES).enumerate().for_each(|(lane, floats)| floats[lane] = (lane + 1) as f32);
    for (_, Ran { lanes, vectors, output }) in everywhere(Reductions(&single)) {
        for (floats, (sum, ..)) in single.chunks_exact(lanes).zip(output) {
            assert_eq!(sum, floats.iter().sum::<f32>(), "{vectors}: {floats:?}");
        }
    }
    // Magnitudes from 2^-12 to 2^12 and both signs.
    let mixed: Vec<f32> =
        (0..16 * MAX_LANES as i32).map(|i| ((i * 37 % 101) as f32 - 50.3) * 2_f32.powi(i * 11 % 25 - 12)).collect();
    let first = everywhere(Reductions(&mixed));
    for ((_, Ran { lanes, vectors, output }), (_, again)) in first.into_iter().zip(everywhere(Reductions(&mixed))) {
        for (i, (floats, (sum, by_registers, _))) in mixed.chunks_exact(lanes).zip(output).enumerate() {
            let exact: f64 = floats.iter().map(|&x| f64::from(x)).sum();
            let magnitudes: f64 = floats.iter().map(|&x| f64::from(x.abs())).sum();
            // The bound of n roundings is n e / (1 - n e) with e half an epsilon; 1% more covers the denominator.
            let bound = 1.01 * (lanes - 1) as f64 * f64::from(f32::EPSILON) / 2.0 * magnitudes;
            assert!((f64::from(sum) - exact).abs() <= bound, "{vectors}: {sum:e}, not {exact:e}");
            assert_eq!(sum.to_bits(), by_registers.to_bits(), "{vectors}: registers are added one after another");
            assert_eq!(sum.to_bits(), again.output[i].0.to_bits(), "{vectors}: equal vectors have equal sums");
        }
    }
}

#[test]
fn a_sum_keeps_infinities_and_nan_of_any_lane() {
    for edge in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        for lane in 0..MAX_LANES {
            let mut floats = [1.0; MAX_LANES];
            floats[lane] = edge;
            for (_, Ran { lanes, vectors, output }) in everywhere(Reductions(&floats)) {
                let sum = output[lane / lanes].0;
                assert!(same(sum, edge), "{vectors}: {edge} in lane {lane} became {sum}");
                let others = output.iter().enumerate().filter(|&(vector, _)| vector != lane / lanes);
                others.for_each(|(_, (sum, ..))| assert_eq!(*sum, lanes as f32, "{vectors}"));
            }
        }
    }
}

/// Every way from memory to vectors and back, for vectors that begin at `at`; each result behind what it must not
/// touch.
#[derive(Clone)]
struct Moves<'a> {
    floats: &'a [f32],
    bf16: &'a [u16],
    at: usize,
}

/// What [`Moves`] finds, each in a buffer of three vectors that is [`UNTOUCHED`] elsewhere.
struct Moved {
    stored: Vec<f32>,
    bf16: Vec<f32>,
    splat: Vec<f32>,
    /// The tails of each length from 0 to LANES: loaded, and stored.
    tails: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Kernel for Moves<'_> {
    type Output = Moved;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Moved {
        let Self { floats, bf16, at } = self;
        let buffer = |vector: S::Vector| {
            let mut buffer = vec![UNTOUCHED; 3 * S::LANES + at];
            simd.store(&mut buffer[S::LANES + at..], vector);
            buffer
        };
        let vector = simd.load(&floats[at..]);
        simd.prefetch(&floats[at..]);
        simd.prefetch_for_later(&floats[at..]);
        simd.prefetch_ahead(&floats[at..], 1 << 40);
        simd.prefetch(&[]);
        simd.prefetch_ahead(&[], usize::MAX);
        simd.prefetch_for_later(&[]);
        let tail = |length: usize| {
            let mut stored = vec![UNTOUCHED; S::LANES + at + length + S::LANES];
            simd.store_partial(&mut stored[S::LANES + at..][..length], vector);
            (buffer(simd.load_partial(&floats[at..at + length])), stored)
        };
        Moved {
            stored: buffer(vector),
            bf16: buffer(simd.load_bf16(&bf16[at..])),
            splat: buffer(simd.splat(floats[at])),
            tails: (0..=S::LANES).map(tail).collect(),
        }
    }
}

/// Checks that `buffer` holds `expected` from `start` on, and nothing else has been touched.
fn check_buffer(buffer: &[f32], start: usize, expected: &[f32], name: &str) {
    for (i, &found) in buffer.iter().enumerate() {
        let expected = i.checked_sub(start).and_then(|i| expected.get(i)).copied().unwrap_or(UNTOUCHED);
        assert!(same(found, expected), "{name}: float {i} is {found:e}, not {expected:e}, from {start} on");
    }
}

#[test]
fn loads_and_stores_move_their_lanes_and_touch_nothing_else() {
    let floats: Vec<f32> = (0..2 * MAX_LANES).map(|i| EDGES[i * 7 % EDGES.len()]).collect();
    let bf16: Vec<u16> = floats.iter().map(|float| (float.to_bits() >> 16) as u16).collect();
    let widened: Vec<f32> = bf16.iter().map(|&bits| f32::from_bits(u32::from(bits) << 16)).collect();
    // Every alignment that floats can have within a cache line.
    for at in 0..LINE {
        for (_, Ran { lanes, vectors, output }) in everywhere(Moves { floats: &floats, bf16: &bf16, at }) {
            let (start, expected) = (lanes + at, &floats[at..at + lanes]);
            check_buffer(&output.stored, start, expected, vectors);
            check_buffer(&output.bf16, start, &widened[at..at + lanes], vectors);
            check_buffer(&output.splat, start, &vec![floats[at]; lanes], vectors);
            assert_eq!(output.tails.len(), lanes + 1);
            for (length, (loaded, stored)) in output.tails.iter().enumerate() {
                let mut filled_up = expected[..length].to_vec();
                filled_up.resize(lanes, 0.0);
                check_buffer(loaded, start, &filled_up, vectors);
                check_buffer(stored, start, &expected[..length], vectors);
            }
        }
    }
}

#[test]
fn every_bf16_number_becomes_its_float() {
    let bf16: Vec<u16> = (0..=u16::MAX).collect();
    let floats = vec![0.0; bf16.len()];
    for at in (0..bf16.len()).step_by(MAX_LANES) {
        let moves = Moves { floats: &floats[at..], bf16: &bf16[at..], at: 0 };
        for (_, Ran { lanes, vectors, output }) in everywhere(moves) {
            let expected: Vec<f32> =
                bf16[at..][..lanes].iter().map(|&bits| f32::from_bits(u32::from(bits) << 16)).collect();
            check_buffer(&output.bf16, lanes, &expected, vectors);
        }
    }
}

/// Loads or stores that reach beyond their slice.
#[derive(Clone)]
struct TooShort;

impl Kernel for TooShort {
    /// Whether each of the operations panics.
    type Output = [bool; 5];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let (floats, bf16) = (vec![0.0; S::LANES - 1], vec![0; S::LANES - 1]);
        let (mut to, mut long) = (floats.clone(), vec![0.0; MAX_LANES + 1]);
        let panics = |work: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(work)).is_err();
        [
            panics(&mut || _ = simd.load(&floats)),
            panics(&mut || _ = simd.load_bf16(&bf16)),
            panics(&mut || simd.store(&mut to, simd.splat(0.0))),
            panics(&mut || _ = simd.load_partial(&[0.0; MAX_LANES + 1])),
            panics(&mut || simd.store_partial(&mut long, simd.splat(0.0))),
        ]
    }
}

#[test]
fn no_load_or_store_reaches_beyond_its_slice() {
    for (_, Ran { vectors, output, .. }) in everywhere(TooShort) {
        assert_eq!(output, [true; 5], "{vectors}");
    }
}

#[test]
fn the_first_line_begins_at_the_next_boundary_of_64_bytes() {
    let floats = [0.0_f32; 3 * LINE];
    let mut found: Vec<usize> = Vec::new();
    for start in 0..LINE {
        let part = &floats[start..];
        let first = first_line(part);
        assert!(
            first < LINE && part[first..].as_ptr().addr().is_multiple_of(LINE * size_of::<f32>()),
            "{start}: {first}"
        );
        found.push(first);
    }
    found.sort_unstable();
    assert_eq!(found, (0..LINE).collect::<Vec<_>>(), "every distance occurs once");
}

#[test]
fn a_number_rounded_up_to_bf16_is_never_below_itself_and_hardly_above() {
    let edges = EDGES.into_iter().filter(|value| !value.is_nan());
    let others = (0..100_000_u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))).filter(|value| !value.is_nan());
    for value in edges.chain(others) {
        let rounded = f32::from_bits(u32::from(round_up_to_bf16(value)) << 16);
        assert!(rounded >= value, "{value} became {rounded}");
        if value.is_normal() && rounded.is_finite() {
            assert!(rounded - value <= value.abs() / 128.0, "{value} became {rounded}");
        }
    }
}
