//! A run that has left the numbers: what follows would be lost time.

use super::EpochReport;
use crate::config::Config;
use crate::network::Network;
use crate::parameters::Parameters;

/// What is no finite number any more, and which field of the configuration is probably too large.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// Where it was found: `epoch 3, batch 2: the loss of layer 1 is NaN`.
    pub found: String,
    /// `lr` or `readout_lr`.
    pub field: &'static str,
    /// What that field holds.
    pub value: f64,
}

impl Divergence {
    /// The first of a layer's losses and weights, and of the read-out's weights, that is no finite number, if there is
    /// one: of `network` after `epoch`, counted from 1, and its `report`, which an epoch that was interrupted has not.
    pub fn of_epoch(epoch: usize, report: Option<&EpochReport>, network: &Network, config: &Config) -> Option<Self> {
        let diverged =
            |found: String, field, value| Some(Self { found: format!("epoch {epoch}{found}"), field, value });
        for (layer, losses) in (1..).zip(report.map_or(&[][..], |report| &report.step_loss)) {
            if let Some(step) = losses.iter().position(|loss| !loss.is_finite()) {
                let (batch, loss) = (step / config.inner_steps + 1, losses[step]);
                return diverged(format!(", batch {batch}: the loss of layer {layer} is {loss}"), "lr", config.lr);
            }
        }
        let are_finite = |of: &Parameters| of.kernel.iter().chain(&of.bias).all(|weight| weight.is_finite());
        if let Some(index) = network.layers.iter().position(|layer| !are_finite(layer)) {
            return diverged(format!(": the weights of layer {} are no finite numbers", index + 1), "lr", config.lr);
        }
        match network.readout.iter().all(are_finite) {
            true => None,
            false => diverged(
                ": the weights of the read-out are no finite numbers".to_owned(),
                "readout_lr",
                config.readout_lr,
            ),
        }
    }
}
