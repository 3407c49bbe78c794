//! The stages of dense strips one at a time, for measurements: each over all strips of a batch, on memory of its own.

use rayon::prelude::*;

use super::part::{Partial, Workspace};
use super::strip::{BatchObjective, Form, Strip};
use super::{Fused, FusedStep, epilogue, product, thread_workspace};
use crate::isa::Isa;
use crate::objective::Objective;
use crate::simd::{Kernel, Simd};
use crate::slices::Slices;
use crate::step::{Input, Parameters};

/// What happens to a dense strip, in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// `Z = X W`.
    Forward,
    /// Bias, ReLU, goodness, loss and coefficient: Z becomes D.
    Epilogue,
    /// `dW += X^T D`.
    Gradient,
}

/// One stage of the strips of `input`, all of them dense. `floats` makes as many numbers as it is asked for, which stand
/// for Z until a stage writes it. The layer needs a bias other than zero: run again, the epilogue finds its own D in place
/// of Z, and D without a bias would shrink towards numbers that are slow to compute with.
pub(crate) fn stage(
    isa: Isa,
    stage: Stage,
    input: Input<'_>,
    parameters: &Parameters,
    objective: Objective,
    floats: fn(usize) -> Vec<f32>,
) -> impl FnMut() + Send + use<> {
    let mut step = FusedStep::new(Fused::new(isa), input, parameters.u);
    step.ready_for_gradients();
    step.load(parameters);
    let objective = BatchObjective { objective, units: step.u, rows: step.samples * step.variants };
    for workspace in &mut step.workspaces {
        let Workspace { z, largest, .. } = workspace.get_mut().expect("not yet locked");
        let rows = z.slice(0).len() / z.nr();
        z.pack(&floats(rows * step.u), step.units.order());
        largest.fill(1.0);
    }
    let mut run = move || step.run(stage, objective);
    // The first gradient packs the transposes.
    run();
    run
}

impl FusedStep {
    fn run(&mut self, stage: Stage, objective: BatchObjective) {
        let Self { isa, ref weights, ref bias, ref orders, ref workspaces, .. } = *self;
        self.parts.par_iter_mut().zip(&mut self.partials).for_each(|(strips, partial)| {
            let workspace = &mut *thread_workspace(workspaces);
            let inputs = &orders.panels.inputs;
            isa.run(PartStage { stage, strips, layer: (weights, bias), inputs, objective, partial, workspace });
        });
    }
}

/// One stage of one part's strips.
struct PartStage<'a> {
    stage: Stage,
    strips: &'a mut [Strip],
    /// Weights and bias.
    layer: (&'a Slices, &'a Slices),
    /// The order of the rows of transposes.
    inputs: &'a [u32],
    objective: BatchObjective,
    partial: &'a mut Partial,
    workspace: &'a mut Workspace,
}

impl Kernel for PartStage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { stage, strips, layer, inputs, objective, partial, workspace } = self;
        let slices = layer.0.count();
        for Strip { rows, form } in strips {
            let Form::Dense(dense) = form else { unreachable!("strips are dense before the first step") };
            match stage {
                Stage::Forward => product::forward(simd, &dense.forward, layer.0, slices, &mut workspace.z),
                Stage::Epilogue => epilogue::gradient(simd, rows, layer, slices, &objective, workspace, partial),
                Stage::Gradient => {
                    let transposed = dense.transposed(inputs);
                    product::accumulate(simd, transposed, &workspace.z, &workspace.largest, &mut partial.kernel);
                }
            }
        }
    }
}
