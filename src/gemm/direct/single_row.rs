//! A C of one row: the sums of all its columns at once, some steps of B at a time.

use super::super::Scale;
use super::super::kernel::scaled;
use super::super::matrix::Matrix;
use crate::simd::Simd;

/// Steps that a single row of C takes at a time: each of its vectors is loaded and stored once for so many
/// multiply-adds.
const STEPS_OF_A_ROW: usize = 4;

/// `c = alpha a B + beta c` for one row; `sums` is memory for its sums.
#[inline(always)]
pub(super) fn single_row<S: Simd>(simd: S, a: &[f32], b: Matrix<'_>, scale: Scale, c: &mut [f32], sums: &mut [f32]) {
    let n = c.len();
    sums.fill(0.0);
    let (groups, rest) = a.as_chunks::<STEPS_OF_A_ROW>();
    for (group, a) in groups.iter().enumerate() {
        let rows = std::array::from_fn(|i| &b.from(group * STEPS_OF_A_ROW + i, 0)[..n]);
        add_rows::<S, STEPS_OF_A_ROW>(simd, a, rows, sums);
    }
    for (step, &a) in (groups.len() * STEPS_OF_A_ROW..).zip(rest) {
        add_rows::<S, 1>(simd, &[a], [&b.from(step, 0)[..n]], sums);
    }
    for (c, sums) in c.chunks_mut(S::LANES).zip(sums.chunks_exact(S::LANES)) {
        let value = scaled(simd, scale, simd.load(sums), || simd.load_partial(c));
        simd.store_partial(c, value);
    }
}

/// `sums += a[i] rows[i]` for each i; `sums` is as long as the rows, rounded up to whole vectors.
#[inline(always)]
fn add_rows<S: Simd, const N: usize>(simd: S, a: &[f32; N], rows: [&[f32]; N], sums: &mut [f32]) {
    let n = rows[0].len();
    let mut factors = [simd.splat(0.0); N];
    for (factor, &a) in factors.iter_mut().zip(a) {
        *factor = simd.splat(a);
    }
    let whole = n - n % S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        let mut sum = simd.load(&sums[at..]);
        for (factor, row) in factors.iter().zip(&rows) {
            sum = simd.mul_add(*factor, simd.load(&row[at..]), sum);
        }
        simd.store(&mut sums[at..], sum);
    }
    if whole < n {
        let mut sum = simd.load(&sums[whole..]);
        for (factor, row) in factors.iter().zip(&rows) {
            sum = simd.mul_add(*factor, simd.load_partial(&row[whole..]), sum);
        }
        simd.store(&mut sums[whole..], sum);
    }
}
