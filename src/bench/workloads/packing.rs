//! Packing the operands of products, rows x columns, into memory of their own: digits into panels, floats into what
//! SGEMM reads.
//!
//! How much is written depends on the zeros left out, so bytes are those of the dense matrix.

use super::fused::one_stage;
use super::{
    FLOAT, PIXELS, PORTABLE, PreparedKernel, SAMPLES, Size, UNITS, Work, Workload, count, random, shape, step,
};
use crate::fused::{Fused, Stage};
use crate::gemm::{self, Matrix};
use crate::isa::Isa;

/// Samples of MNIST, the steps of its gradients.
const STEPS: usize = 60_000;

/// What is packed of a batch, by its name.
const PACKED: [(&str, Stage); 3] =
    [("panels", Stage::Pack), ("transposed panels", Stage::Transpose), ("line panels", Stage::Lines)];

pub(super) fn workloads(isas: &[Isa], size: Size) -> Vec<Workload> {
    let work = |op: &str, rows, columns| Work {
        op: format!("packing/{op}"),
        shape: shape(&[rows, columns]),
        flops: 0,
        bytes: FLOAT * count(&[rows, columns]),
    };
    // Strips are packed by the same code on every instruction set.
    let portable = Isa::named(PORTABLE).expect("every CPU has it");
    let panels = PACKED.map(|(op, stage)| {
        let work = work(op, size.rows(SAMPLES), PIXELS);
        work.on(PORTABLE, move || one_stage(Fused::new(portable), stage, step::images(size)))
    });
    let steps = size.rows(STEPS);
    let gemm_b = work("gemm B", steps, UNITS);
    panels.into_iter().chain(isas.iter().map(|&isa| gemm_b.on(isa, move || pack_b(isa, steps)))).collect()
}

/// B of layer 1's gradient as a product of dense matrices.
fn pack_b(isa: Isa, steps: usize) -> PreparedKernel {
    let b = random(steps * UNITS, -1.0..1.0);
    let mut packed = Vec::new();
    Box::new(move || gemm::pack_only_b(isa, Matrix::new(&b, steps, UNITS), &mut packed))
}
