//! What a run's network makes of images: its predictions, its goodness, its weights.

use anyhow::Result;
use ffwd::config::Learning;

use crate::pictures::Shown;
use crate::plots::{Distributions, Grid};

/// Units whose weights are shown: enough to see what kinds there are.
const UNITS: usize = 24;

pub struct Images {
    /// How often each true label (row) was predicted as each label (column).
    pub confusion: Vec<Vec<usize>>,
    /// The number format in which it was computed.
    pub precision: &'static str,
    /// Whether they are not of the data set that the run was trained on.
    pub are_other: bool,
    /// The label that the files call the first class.
    pub label_base: u8,
    pub mistakes: Grid,
    pub weights: Grid,
    /// Training images under their label and under a wrong one.
    pub samples: Option<Grid>,
    /// The goodness of test images; none where nothing made it high or low.
    pub goodness: Option<Distributions>,
}

impl Images {
    /// What the network of a run makes of the images of its data set.
    ///
    /// # Errors
    ///
    /// The data set's files have changed meanwhile.
    pub fn of(shown: &Shown) -> Result<Self> {
        let judgements = shown.judgements();
        let has_negatives = shown.config.learning == Learning::ForwardForward;
        let mut weights = shown.weights();
        weights.tiles.truncate(UNITS);
        let images = Self {
            confusion: shown.evaluation(&judgements).confusion,
            precision: shown.precision(),
            are_other: shown.is_other_data,
            label_base: shown.config.label_base,
            mistakes: shown.mistakes(&judgements),
            weights,
            samples: has_negatives.then(|| shown.samples()),
            goodness: has_negatives.then(|| shown.goodness()).transpose()?,
        };
        shown.check_unchanged()?;
        Ok(images)
    }
}
