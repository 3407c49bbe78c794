//! One in-place Adam step on the weights of layer 1.

use std::hint::black_box;

use super::{FLOAT, PIXELS, PreparedKernel, UNITS, Work, Workload, count, random, shape};
use crate::isa::Isa;
use crate::optimizer::{Optimizer, OptimizerState, Rule};
use crate::parameters::Parameters;

/// Operations for each weight: 3 for the first moment, 4 for the second, 5 for the weight, among them a root and a
/// division.
const OPERATIONS: usize = 12;

/// Floats moved for each weight: weight, gradient and two moments are read, all but the gradient written.
const MOVED: usize = 7;

const RULE: Rule = Rule::Adam { lr: 0.03, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, decay: 0.0 };

pub(super) fn workloads(isas: &[Isa]) -> Vec<Workload> {
    let work = Work {
        op: "adam/step".to_owned(),
        shape: shape(&[PIXELS, UNITS]),
        flops: count(&[OPERATIONS, PIXELS, UNITS]),
        bytes: FLOAT * count(&[MOVED, PIXELS, UNITS]),
    };
    isas.iter().map(|&isa| work.on(isa, move || prepare(isa))).collect()
}

fn prepare(isa: Isa) -> PreparedKernel {
    let mut parameters = Parameters::zeros(PIXELS, UNITS, false);
    let gradient = Parameters { kernel: random(PIXELS * UNITS, -1e-3..1e-3), ..parameters.clone() };
    let (optimizer, mut state) = (Optimizer::new(isa, RULE), OptimizerState::new(RULE, &parameters));
    Box::new(move || {
        optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
        black_box(&parameters);
    })
}
