//! Packing the operands of products, rows x columns, into memory of their own: digits into panels, floats into what SGEMM reads.
//!
//! How much is written depends on the zeros left out, so bytes are those of the dense matrix.

use std::hint::black_box;

use rayon::prelude::*;

use super::digits::Digits;
use super::{FLOAT, PIXELS, PORTABLE, Run, SAMPLES, Size, UNITS, Work, Workload, count, random, shape};
use crate::gemm::{self, Matrix};
use crate::isa::Isa;
use crate::line_panels::LinePanels;
use crate::panels::Panels;
use crate::simd::LINE;
use crate::similar;

/// Rows of a strip, packed by one thread.
const STRIP_ROWS: usize = 256;

/// Samples of MNIST, the steps of its gradients.
const STEPS: usize = 60_000;

/// Packs one strip, whose inputs are in the order of lines.
type PackStrip = fn(strip: &[f32], order: &[u32]);

pub(super) fn workloads(isas: &[Isa], size: Size) -> Vec<Workload> {
    let work = |op: &str, rows, columns| Work {
        op: format!("packing/{op}"),
        shape: shape(&[rows, columns]),
        flops: 0,
        bytes: FLOAT * count(&[rows, columns]),
    };
    let digits = |op| work(op, size.rows(SAMPLES), PIXELS);
    let panels = [
        digits("panels")
            .on(PORTABLE, move || strips(size, |strip, _| _ = black_box(Panels::<u32>::pack(strip, PIXELS)))),
        digits("transposed panels").on(PORTABLE, move || {
            strips(size, |strip, order| _ = black_box(Panels::<u16>::pack_transposed(strip, order)))
        }),
        digits("line panels").on(PORTABLE, move || lines(size)),
    ];
    let steps = size.rows(STEPS);
    let gemm_b = work("gemm B", steps, UNITS);
    panels.into_iter().chain(isas.iter().map(|&isa| gemm_b.on(isa, move || pack_b(isa, steps)))).collect()
}

/// All strips of the digits, in the order of training.
fn strips(size: Size, pack: PackStrip) -> Run {
    let rows = Digits::of(size).rows();
    let order = line_order(&rows);
    Box::new(move || rows.par_chunks(STRIP_ROWS * PIXELS).for_each(|strip| pack(strip, &order)))
}

/// All strips of the digits, from panels into lines.
fn lines(size: Size) -> Run {
    let rows = Digits::of(size).rows();
    let strips: Vec<_> = rows.par_chunks(STRIP_ROWS * PIXELS).map(|strip| Panels::<u32>::pack(strip, PIXELS)).collect();
    let mut positions = vec![0; PIXELS];
    line_order(&rows).iter().zip(0..).for_each(|(&pixel, position)| positions[pixel as usize] = position);
    Box::new(move || strips.par_iter().for_each(|strip| _ = black_box(LinePanels::pack(strip, &positions))))
}

/// Pixels that are inked in the same strips side by side.
fn line_order(rows: &[f32]) -> Vec<u32> {
    let strips: Vec<&[f32]> = rows.chunks(STRIP_ROWS * PIXELS).collect();
    let inked = |strip: &[f32], pixel| strip.iter().skip(pixel).step_by(PIXELS).map(|&x| u32::from(x != 0.0)).sum();
    let features: Vec<u32> =
        (0..PIXELS).flat_map(|pixel| strips.iter().map(move |strip| inked(strip, pixel))).collect();
    similar::order(&features, strips.len(), LINE)
}

/// B of layer 1's gradient as a product of dense matrices.
fn pack_b(isa: Isa, steps: usize) -> Run {
    let b = random(steps * UNITS, -1.0..1.0);
    let mut packed = Vec::new();
    Box::new(move || gemm::pack_only_b(isa, Matrix::new(&b, steps, UNITS), &mut packed))
}
