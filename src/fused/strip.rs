//! A strip: some consecutive rows of the batch, packed, with what the epilogue needs to know of each row.
//!
//! A *base row* is a row of the product: an image in layer 1, where its `v` overlaid labels share the product, and a row
//! of activations in later layers.

use std::ops::Range;

use crate::labels;
use crate::objective::{self, Objective, Polarity, RowLoss, TRAINING_VARIANTS};
use crate::panels::Panels;
use crate::step::{Activations, Images, Input};

/// Base rows of the whole batch.
pub(super) fn base_rows(input: &Input<'_>) -> usize {
    match input {
        Input::Images(images) => images.samples.len(),
        Input::Activations(Activations { rows, k, .. }) => rows.len() / k,
    }
}

/// The objective with what it needs to know of the batch.
#[derive(Clone, Copy)]
pub(super) struct BatchObjective {
    pub objective: Objective,
    /// Units of the layer, `u`.
    pub units: usize,
    /// Rows of the batch, `2n`.
    pub rows: usize,
}

impl BatchObjective {
    /// Loss and coefficient of row `row` of the batch.
    #[inline(always)]
    pub fn row(&self, row: usize, sum_of_squares: f32) -> RowLoss {
        let polarity: Polarity = TRAINING_VARIANTS[row % TRAINING_VARIANTS.len()];
        self.objective.row(sum_of_squares, self.units, self.rows, polarity)
    }
}

/// Consecutive base rows, packed.
pub(super) struct Strip {
    /// Base rows x k, in the input's own units (bytes or activations).
    forward: Panels,
    /// Its transpose; packed when the first gradient is asked for.
    transposed: Option<Panels>,
    /// The first base row.
    first: usize,
    /// What each base row's product is multiplied with.
    scale: Vec<f32>,
    overlay: Option<Overlay>,
}

/// What distinguishes the variants of an image.
struct Overlay {
    /// The normalised value of each image's label pixel.
    value: Vec<f32>,
    /// The label of each image and variant: rows x v.
    labels: Vec<u8>,
    variants: usize,
}

impl Strip {
    /// Packs base rows `rows` of the batch.
    pub fn pack(input: &Input<'_>, rows: Range<usize>) -> Self {
        match input {
            Input::Images(images) => Self::pack_images(images, rows),
            Input::Activations(activations) => Self::pack_activations(activations, rows),
        }
    }

    fn pack_images(images: &Images<'_>, rows: Range<usize>) -> Self {
        let &Images { pixels, k, samples, classes, labels } = images;
        let first = rows.start;
        let mut dense = vec![0.0; rows.len() * k];
        let mut scale = Vec::with_capacity(rows.len());
        let mut value = Vec::with_capacity(rows.len());
        for (row, &sample) in dense.chunks_exact_mut(k).zip(&samples[rows.clone()]) {
            let image = &pixels[sample as usize * k..][..k];
            // Bytes stay bytes: exact, and 1/255 goes into the scale. The label pixels are the epilogue's.
            row[classes..].iter_mut().zip(&image[classes..]).for_each(|(to, &from)| *to = f32::from(from));
            let normalise = objective::row_scale(labels::overlaid_squared_norm(image, classes)) / 255.0;
            scale.push(normalise);
            value.push(normalise * f32::from(labels::label_value(image)));
        }
        let labels_of_rows = rows.flat_map(|s| labels.iter().map(move |list| list[s])).collect();
        Self {
            forward: Panels::pack(&dense, k),
            transposed: None,
            first,
            scale,
            overlay: Some(Overlay { value, labels: labels_of_rows, variants: labels.len() }),
        }
    }

    fn pack_activations(activations: &Activations, rows: Range<usize>) -> Self {
        let k = activations.k;
        let dense = &activations.rows[rows.start * k..rows.end * k];
        Self {
            forward: Panels::pack(dense, k),
            transposed: None,
            first: rows.start,
            scale: dense.chunks_exact(k).map(|row| objective::row_scale(objective::squared_norm(row))).collect(),
            overlay: None,
        }
    }

    /// Packs the transpose, which gradients need; its row `i` is input `inputs[i]`.
    pub fn pack_transposed(&mut self, inputs: &[u32]) {
        let mut dense = vec![0.0; self.rows() * self.forward.depth()];
        self.forward.unpack(&mut dense);
        self.transposed = Some(Panels::pack_transposed(&dense, inputs));
    }

    /// Adds to `counts` how many base rows have each input non-zero.
    pub fn count_inputs(&self, counts: &mut [u32]) {
        for panel in self.forward.iter() {
            for (&input, values) in panel.indices.iter().zip(panel.values) {
                counts[input as usize] += values.iter().map(|&value| u32::from(value != 0.0)).sum::<u32>();
            }
        }
    }

    /// Whether no input of a row is negative.
    pub fn is_nonnegative(&self) -> bool {
        self.forward.iter().all(|panel| panel.values.iter().flatten().all(|&value| value >= 0.0))
    }

    /// Whether the rows are images, with labels overlaid.
    pub fn is_overlaid(&self) -> bool {
        self.overlay.is_some()
    }

    /// The rows: base rows x k.
    pub fn forward(&self) -> &Panels {
        &self.forward
    }

    /// The rows transposed: k x base rows, inputs in the order they were packed in.
    pub fn transposed(&self) -> &Panels {
        self.transposed.as_ref().expect("packed before the first gradient")
    }

    /// Base rows.
    pub fn rows(&self) -> usize {
        self.forward.rows()
    }

    /// Variants that share a base row.
    pub fn variants_per_row(&self) -> usize {
        self.overlay.as_ref().map_or(1, |overlay| overlay.variants)
    }

    /// Rows of activations the strip puts out.
    pub fn output_rows(&self) -> usize {
        self.rows() * self.variants_per_row()
    }

    /// The number, within the batch, of the row that variant `variant` of base row `r` puts out.
    pub fn batch_row(&self, r: usize, variant: usize) -> usize {
        (self.first + r) * self.variants_per_row() + variant
    }

    /// What base row `r`'s product is multiplied with.
    pub fn scale(&self, r: usize) -> f32 {
        self.scale[r]
    }

    /// The label pixel of a variant of base row `r`, if its rows carry labels: index and normalised value.
    pub fn label(&self, r: usize, variant: usize) -> Option<(usize, f32)> {
        let overlay = self.overlay.as_ref()?;
        Some((usize::from(overlay.labels[r * overlay.variants + variant]), overlay.value[r]))
    }
}
