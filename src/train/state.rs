//! What a run is between two outer epochs.

use super::together;
use crate::checkpoint::{self, TensorMut};
use crate::config::Config;
use crate::network::Network;
use crate::optimizer::{Moments, OptimizerState};
use crate::parameters::Parameters;
use crate::peers::Activity;
use crate::ranks::Ranks;
use crate::readout;

/// All that a run is between two outer epochs: with the same configuration and data, training goes on from it bit for
/// bit.
///
/// Everything random is derived from the seed, the epoch and the batch, so there is no generator in it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingState {
    /// The network.
    pub network: Network,
    /// Each layer's moments and step count.
    pub optimizers: Vec<OptimizerState>,
    /// The same of the read-out, where there is one.
    pub readout_optimizer: Option<OptimizerState>,
    /// What each layer knows of its units' activity; empty without peer normalisation.
    pub activities: Vec<Activity>,
    /// The running mean of the weights, where there is to be one.
    pub average: Option<Network>,
    /// Outer epochs done.
    pub epoch: usize,
    /// The sum, over these epochs, of the mean of all layers' losses: FinalLoss is this by the epochs.
    pub loss_sum: f64,
}

impl TrainingState {
    /// Before the first epoch of `network`, which is trained as `config` says. It gets a read-out of zeros, if there is
    /// to be one and it has none.
    pub fn new(mut network: Network, config: &Config) -> Self {
        if config.readout && network.readout.is_none() {
            network.readout = Some(Parameters::zeros(readout::features(&network), network.classes, true));
        }
        let optimizer = |parameters| OptimizerState::new(config.rule(), parameters);
        let (readout_optimizer, activities) = together::state_besides(&network, config);
        let optimizers = network.layers.iter().map(optimizer).collect();
        let average = (config.weight_average > 0.0).then(|| network.clone());
        Self { optimizers, readout_optimizer, activities, average, network, epoch: 0, loss_sum: 0.0 }
    }

    /// What training has come to: the mean of the weights, or the weights themselves.
    pub fn result(&self) -> &Network {
        self.average.as_ref().unwrap_or(&self.network)
    }

    /// The same, training being over.
    pub fn into_result(self) -> Network {
        self.average.unwrap_or(self.network)
    }

    /// Counts the weights that a batch has left in their running mean, which keeps the share `kept` of itself; less at
    /// first, so that it begins as the mean of all weights so far.
    pub(super) fn count_weights(&mut self, kept: f64) {
        if let Some(average) = &mut self.average {
            let steps = self.optimizers[0].steps;
            average.approach(&self.network, (1.0 - kept).max(1.0 / f64::from(steps)) as f32);
        }
    }

    /// Counts an epoch's layer losses in and returns FinalLoss: the running mean that the Keras example prints and
    /// never resets.
    pub(super) fn count_epoch(&mut self, layer_loss: &[f64]) -> f64 {
        self.epoch += 1;
        self.loss_sum += layer_loss.iter().sum::<f64>() / layer_loss.len() as f64;
        self.loss_sum / self.epoch as f64
    }

    /// Becomes the state that rank 0 has, of the same shape, on every one of `ranks`.
    pub fn take_over(&mut self, ranks: &Ranks) {
        for tensor in self.tensors() {
            ranks.spread_from_first(tensor.values);
        }
        let optimizers = self.optimizers.iter().chain(&self.readout_optimizer);
        let steps = optimizers.map(|optimizer| f64::from(optimizer.steps));
        let numbers: Vec<f64> = [self.epoch as f64, self.loss_sum].into_iter().chain(steps).collect();
        let length = numbers.len();
        let first = &ranks.gather_numbers(numbers, |_| length)[0];
        (self.epoch, self.loss_sum) = (first[0] as usize, first[1]);
        let optimizers = self.optimizers.iter_mut().chain(&mut self.readout_optimizer);
        optimizers.zip(&first[2..]).for_each(|(optimizer, &steps)| optimizer.steps = steps as i32);
    }

    /// Every tensor of the state with its name and shape, in an order that its shape decides: what a checkpoint holds.
    pub(super) fn tensors(&mut self) -> Vec<TensorMut<'_>> {
        let Self { network, optimizers, readout_optimizer, activities, average, .. } = self;
        let mut tensors = Vec::new();
        let names = checkpoint::names(network);
        let parameters = network.layers.iter_mut().chain(&mut network.readout);
        let learners = parameters.zip(optimizers.iter_mut().chain(readout_optimizer));
        for (name, (parameters, optimizer)) in names.iter().zip(learners) {
            let (k, u) = (parameters.k, parameters.u);
            add_moments(&mut tensors, format!("optimizer.{name}.kernel"), &[k, u], &mut optimizer.kernel);
            add_moments(&mut tensors, format!("optimizer.{name}.bias"), &[u], &mut optimizer.bias);
            add_parameters(&mut tensors, name, parameters);
        }
        if let Some(average) = average {
            for (name, parameters) in names.iter().zip(average.layers.iter_mut().chain(&mut average.readout)) {
                add_parameters(&mut tensors, &format!("average.{name}"), parameters);
            }
        }
        for (name, activity) in names.iter().zip(activities) {
            let values = activity.values();
            tensors.push(TensorMut { name: format!("activity.{name}"), shape: vec![values.len()], values });
        }
        tensors
    }
}

fn add_parameters<'a>(tensors: &mut Vec<TensorMut<'a>>, name: &str, parameters: &'a mut Parameters) {
    let Parameters { k, u, kernel, bias } = parameters;
    tensors.push(TensorMut { name: format!("{name}.kernel"), shape: vec![*k, *u], values: kernel });
    if !bias.is_empty() {
        tensors.push(TensorMut { name: format!("{name}.bias"), shape: vec![*u], values: bias });
    }
}

fn add_moments<'a>(tensors: &mut Vec<TensorMut<'a>>, name: String, shape: &[usize], moments: &'a mut Moments) {
    for (which, values) in [("first", &mut moments.first), ("second", &mut moments.second)] {
        if !values.is_empty() {
            tensors.push(TensorMut { name: format!("{name}.{which}"), shape: shape.to_vec(), values });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn final_loss_is_the_mean_over_layers_and_all_epochs_so_far() {
        let config = Config::of_preset(&Preset::KERAS);
        let network = Network { rows: 1, cols: 1, classes: 1, layers: Vec::new(), readout: None, unit: None };
        let mut state = TrainingState::new(network, &config);
        assert_eq!(state.count_epoch(&[1.0, 3.0]), 2.0);
        assert_eq!(state.count_epoch(&[0.0, 1.0]), 1.25);
        assert_eq!(state.count_epoch(&[0.25, 0.25]), (2.0 + 0.5 + 0.25) / 3.0);
    }
}
