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
    let work = |op: &str| Work {
        op: format!("adam/{op}"),
        shape: shape(&[PIXELS, UNITS]),
        flops: count(&[OPERATIONS, PIXELS, UNITS]),
        bytes: FLOAT * count(&[MOVED, PIXELS, UNITS]),
    };
    let (fresh, faded) = (work("step"), work("step, units long off"));
    isas.iter().flat_map(|&isa| [fresh.on(isa, move || step(isa)), faded.on(isa, move || faded_step(isa))]).collect()
}

fn step(isa: Isa) -> PreparedKernel {
    let (parameters, optimizer, state) = start(isa);
    let kernel = random(PIXELS * UNITS, -1e-3..1e-3);
    prepare(optimizer, state, parameters, kernel)
}

/// Units that are off have no gradient, and their first moments fade tenth by tenth: after some 740 steps they would
/// reach numbers below the normal ones, at which some CPUs stop to think.
fn faded_step(isa: Isa) -> PreparedKernel {
    let (parameters, optimizer, mut state) = start(isa);
    let kernel = vec![0.0; PIXELS * UNITS];
    state.kernel.first.fill(1e-5);
    state.kernel.second.fill(1e-6);
    let mut faded = prepare(optimizer, state, parameters, kernel);
    (0..1_000).for_each(|_| faded());
    faded
}

fn start(isa: Isa) -> (Parameters, Optimizer, OptimizerState) {
    let parameters = Parameters::zeros(PIXELS, UNITS, false);
    let state = OptimizerState::new(RULE, &parameters);
    (parameters, Optimizer::new(isa, RULE), state)
}

fn prepare(
    optimizer: Optimizer,
    mut state: OptimizerState,
    mut parameters: Parameters,
    kernel: Vec<f32>,
) -> PreparedKernel {
    let gradient = Parameters { kernel, ..parameters.clone() };
    Box::new(move || {
        optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
        black_box(&parameters);
    })
}
