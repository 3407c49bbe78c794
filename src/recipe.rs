//! A recipe: everything that decides what a Forward-Forward layer computes and learns from, as small named choices.
//!
//! A backend takes a [`Recipe`] as a value and learns from it alone how a label is written over an image, how a row is
//! normalised, which norm it can then have at most, what goodness is, and what the loss of a row and its derivative
//! are. The bounds that make leaving work out exact come from here as well, so that another choice cannot break them.
//! [`RateFactor`] says how the learning rate changes over a run.
//!
//! The general form is that of section 2 of Hinton 2022; the choices of the Keras example are [`Recipe::keras`].

mod goodness;
mod loss;
mod normalisation;
mod schedule;

pub use goodness::Goodness;
pub use loss::{Loss, LossName, LossOfRows, Polarity, RowLoss, Threshold};
pub use normalisation::{Normalisation, squared_norm, squared_norms};
pub use schedule::{RateFactor, Schedule};

use crate::labels::LabelStyle;

/// What the layers of a network compute and learn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// How a label is written over the first pixels of an image.
    pub labels: LabelStyle,
    /// What a row is divided by before it is multiplied with the weights.
    pub normalisation: Normalisation,
    /// What a layer makes high for positive rows and low for negative ones.
    pub goodness: Goodness,
    /// What a row's goodness costs.
    pub loss: Loss,
}

impl Recipe {
    /// The Keras example "Using the Forward-Forward Algorithm for Image Classification", with its threshold as given;
    /// the example has 1.5.
    pub fn keras(threshold: f32) -> Self {
        Self {
            labels: LabelStyle::LARGEST_PIXEL,
            normalisation: Normalisation::UnitLength,
            goodness: Goodness::MeanOfSquares,
            loss: Loss { name: LossName::Logistic, threshold: Threshold::Value(threshold), temperature: 1.0 },
        }
    }

    /// The loss of the rows of a batch, in a layer of `units` units; the batch's loss is the mean over `rows` rows.
    pub fn loss_of_rows(&self, units: usize, rows: usize) -> LossOfRows {
        self.loss.of_rows(self.goodness, units, rows)
    }
}
