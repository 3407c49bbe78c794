//! The stages of a dense strip, each over a whole batch: rows x k x u, where positive and negative rows count apart.
//!
//! A strip's Z and D stay in cache from one stage to the next, so they count no bytes.

use super::step::{self, Batch};
use super::{FLOAT, PIXELS, PreparedKernel, Size, UNITS, Work, Workload, count, shape};
use crate::fused::{Fused, Stage};

/// Operations of the epilogue for each row and unit: bias, ReLU, square and its sum, coefficient, gradient of the bias.
const EPILOGUE_OPERATIONS: usize = 6;

/// Makes the batch of a layer.
type Make = fn(Size) -> Batch;

pub(super) fn workloads(backends: &[Fused], size: Size) -> Vec<Workload> {
    let batches: [(&str, usize, Make); 2] =
        [("images", PIXELS, step::images), ("activations", UNITS, |size| step::activations(size, 1.0))];
    let mut list = Vec::new();
    for (name, which) in [("forward", Stage::Forward), ("epilogue", Stage::Epilogue), ("gradient", Stage::Gradient)] {
        for (rows, k, make) in batches {
            let work = work(format!("fused/{name} {rows}"), which, k, size);
            let on = |&backend: &Fused| work.on_backend(backend, move |backend| one_stage(backend, which, make(size)));
            list.extend(backends.iter().map(on));
        }
    }
    list
}

/// Runs one stage of a batch at each call.
pub(super) fn one_stage(backend: Fused, stage: Stage, Batch { rows, parameters }: Batch) -> PreparedKernel {
    let mut stages = backend.stages(&rows.input(), &parameters, &step::recipe());
    Box::new(move || stages.run(stage, &rows.input()))
}

fn work(op: String, stage: Stage, k: usize, size: Size) -> Work {
    let rows = step::rows(size);
    let (flops, bytes) = match stage {
        // The input is read, and weights read or their gradient written.
        Stage::Forward | Stage::Gradient => {
            (count(&[2, rows, k, UNITS]), step::input_bytes(k, size) + FLOAT * count(&[k, UNITS]))
        }
        Stage::Pack | Stage::Transpose | Stage::Lines => unreachable!("packing is measured in bytes"),
        // The bias is read, its gradient written.
        Stage::Epilogue => (count(&[EPILOGUE_OPERATIONS, rows, UNITS]), FLOAT * count(&[2, UNITS])),
    };
    Work { op, shape: shape(&[rows, k, UNITS]), flops, bytes }
}
