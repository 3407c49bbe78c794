//! Packing into micro-panels: the operands in the order in which the micro-kernel reads them.
//!
//! A micro-panel holds `width` *lanes*, which are rows of A or columns of B: for each step of the reduction it has the
//! lanes' `width` values side by side. Lanes beyond the last are zero. Both operands are packed by the same function, B
//! as its transpose.

use wide::f32x4;

use super::blocking::cuts;
use super::matrix::Matrix;

/// Lanes and steps that are transposed at a time in registers.
const SQUARE: usize = 4;

/// Steps that are transposed for four lanes before it is the next four lanes' turn: 256 steps of a micro-panel of 14
/// lanes are 14 KB and stay in L1 until all lanes are written. One of 32 lanes takes 32 KB, of which a smaller L1 loses
/// some to L2.
const RUN: usize = 256;

/// Steps that are copied for one micro-panel before the next micro-panel's turn: 16 rows of 512 floats are 32 KB, and
/// most of them stay in an L1 of 32 or 48 KB until all micro-panels have taken their part. If single steps were copied,
/// writes to micro-panels that are a multiple of 4 KB apart would evict each other from L1.
const GROUP: usize = 16;

/// Packs `from`, lanes x steps, into micro-panels of `width` lanes; `to` holds lanes (rounded up to `width`) x steps.
///
/// It is inlined, so that `width` is a constant and a copy of `width` floats is a few vector moves.
#[inline(always)]
pub(super) fn pack(from: Matrix<'_>, width: usize, to: &mut [f32]) {
    let (lanes, steps) = (from.rows(), from.columns());
    assert_eq!(to.len(), lanes.next_multiple_of(width) * steps);
    if lanes == 0 || steps == 0 {
        return;
    }
    if from.row_stride() == 1 {
        pack_along_lanes(from, width, to);
    } else {
        for (panel, to) in to.chunks_exact_mut(width * steps).enumerate() {
            let first = panel * width;
            let lanes = lanes.min(first + width) - first;
            if lanes == width && width >= SQUARE && from.column_stride() == 1 {
                pack_transposed(from.block(first..first + width, 0..steps), width, to);
            } else {
                pack_each(from.block(first..first + lanes, 0..steps), width, to);
            }
        }
    }
}

/// Packs a matrix whose lanes are neighbours in memory: rows are copied, [`GROUP`] steps for one micro-panel after the
/// other.
#[inline(always)]
fn pack_along_lanes(from: Matrix<'_>, width: usize, to: &mut [f32]) {
    for steps in cuts(from.columns(), GROUP) {
        for (panel, to) in to.chunks_exact_mut(width * from.columns()).enumerate() {
            let first = panel * width;
            let lanes = from.rows() - first;
            let to = &mut to[steps.start * width..steps.end * width];
            for (step, to) in steps.clone().zip(to.chunks_exact_mut(width)) {
                let line = from.from(first, step);
                if lanes >= width {
                    to.copy_from_slice(&line[..width]);
                } else {
                    to[..lanes].copy_from_slice(&line[..lanes]);
                    to[lanes..].fill(0.0);
                }
            }
        }
    }
}

/// Packs a matrix whose steps are neighbours in memory: squares are transposed in registers. `from` is one whole
/// micro-panel; where `width` is no multiple of [`SQUARE`], the last square covers lanes of the one before it again.
#[inline(always)]
fn pack_transposed(from: Matrix<'_>, width: usize, to: &mut [f32]) {
    let steps = from.columns();
    let whole = steps - steps % SQUARE;
    for (run, to) in cuts(whole, RUN).zip(to.chunks_mut(RUN * width)) {
        for group in 0..width.div_ceil(SQUARE) {
            let lane = (group * SQUARE).min(width - SQUARE);
            let row = |i| from.from(lane + i, run.start)[..run.len()].as_chunks::<SQUARE>().0;
            let [a, b, c, d] = std::array::from_fn(row);
            // All of one length, so that none of them is checked in the loop.
            let rows = a.iter().zip(b).zip(c).zip(d);
            for ((((a, b), c), d), to) in rows.zip(to.chunks_exact_mut(SQUARE * width)) {
                let square = f32x4::transpose([*a, *b, *c, *d].map(f32x4::new));
                for (line, to) in square.into_iter().zip(to.chunks_exact_mut(width)) {
                    to[lane..][..SQUARE].copy_from_slice(&line.to_array());
                }
            }
        }
    }
    pack_each(from.block(0..width, whole..steps), width, &mut to[whole * width..]);
}

/// Packs a matrix of any strides and of any number of lanes up to `width`, one value at a time.
#[inline(always)]
fn pack_each(from: Matrix<'_>, width: usize, to: &mut [f32]) {
    for (step, to) in to.chunks_exact_mut(width).enumerate() {
        let (lanes, beyond) = to.split_at_mut(from.rows());
        lanes.iter_mut().enumerate().for_each(|(lane, to)| *to = from.from(lane, step)[0]);
        beyond.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs lanes x steps at the given strides, and compares every value.
    fn check(width: usize, (lanes, steps): (usize, usize), (row_stride, column_stride): (usize, usize)) {
        let floats: Vec<f32> = (1..=lanes * row_stride + steps * column_stride).map(|i| i as f32).collect();
        let from = Matrix::strided(&floats, lanes, steps, row_stride, column_stride);
        let mut to = vec![f32::NAN; lanes.next_multiple_of(width) * steps];
        pack(from, width, &mut to);
        for (i, &value) in to.iter().enumerate() {
            let (panel, step, lane) = (i / (width * steps), i / width % steps, i % width);
            let lane = panel * width + lane;
            let expected = if lane < lanes { from.from(lane, step)[0] } else { 0.0 };
            assert_eq!(value, expected, "width {width}, {lanes} lanes x {steps} steps, lane {lane}, step {step}");
        }
    }

    #[test]
    fn every_value_is_where_the_micro_kernel_reads_it() {
        for width in [1, 2, 3, 4, 6, 8, 14, 16, 32] {
            for lanes in [0, 1, width - 1, width, width + 1, 2 * width + 3] {
                for steps in [0, 1, 3, 4, 5, 11, RUN - 1, RUN, 2 * RUN + 7] {
                    check(width, (lanes, steps), (steps, 1));
                    check(width, (lanes, steps), (1, lanes));
                    check(width, (lanes, steps), (2 * steps + 1, 2));
                }
            }
        }
    }
}
