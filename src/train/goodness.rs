//! How the goodness of positive and negative rows is distributed: a few quantiles for each layer.

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::network::Network;
use crate::predict;
use crate::recipe::Recipe;

/// The shares of the rows that lie at or below the values of a [`LayerGoodness`].
pub const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// The goodness of one layer for some images, as the network's recipe defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerGoodness {
    /// Of the images under their labels: the values of [`QUANTILES`].
    pub positive: [f64; 5],
    /// Of the images under wrong labels.
    pub negative: [f64; 5],
}

impl LayerGoodness {
    /// That of each layer of a network for images whose bytes are `pixels`, under their true labels and under `wrong`
    /// ones; `None` where a layer has no finite goodness.
    ///
    /// # Panics
    ///
    /// When `pixels` are not as many whole images as there are labels of either kind.
    pub fn of_layers(
        network: &Network,
        recipe: &Recipe,
        backend: &dyn Backend,
        pixels: &[u8],
        (labels, wrong): (&[u8], &[u8]),
    ) -> Option<Vec<Self>> {
        let under = |labels: &[u8]| predict::goodness_of_layers(network, recipe, backend, pixels, labels);
        let layers = under(labels).into_iter().zip(under(wrong));
        let layer =
            |(positive, negative)| Some(Self { positive: quantiles(positive)?, negative: quantiles(negative)? });
        layers.map(layer).collect()
    }
}

/// The values at or below which the shares [`QUANTILES`] of the finite `values` lie, if there are any.
fn quantiles(mut values: Vec<f32>) -> Option<[f64; 5]> {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f32::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(QUANTILES.map(|share| f64::from(values[(share * last as f64).round() as usize])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_in_order_and_leave_out_what_is_no_number() {
        let values = (0..=100).rev().map(|value| value as f32).chain([f32::NAN, f32::INFINITY]);
        assert_eq!(quantiles(values.collect()), Some([5.0, 25.0, 50.0, 75.0, 95.0]));
        assert_eq!(quantiles(vec![3.0]), Some([3.0; 5]));
        assert_eq!(quantiles(vec![f32::NAN]), None);
    }
}
