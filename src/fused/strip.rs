//! A strip: some consecutive rows of the batch, packed, with what the epilogue needs to know of each row.
//!
//! A *base row* is a row of the product: an image in layer 1, where its `v` overlaid labels share the product, and a row
//! of activations in later layers.

use std::ops::Range;

use super::sparse::Sparse;
use crate::labels;
use crate::line_panels::LinePanels;
use crate::objective::{self, Objective, Polarity, RowLoss, TRAINING_VARIANTS};
use crate::panels::{Index, Panels};
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
    pub rows: Rows,
    pub form: Form,
}

/// How a strip's inputs are packed, and with that how it is computed.
pub(super) enum Form {
    /// Every unit for every row.
    Dense(Dense),
    /// Only the activations that could be on.
    Sparse(Sparse),
}

/// The inputs of a dense strip.
pub(super) struct Dense {
    /// Base rows x k, in the input's own units (bytes or activations).
    pub forward: Panels<u32>,
    /// Its transpose, once it has been asked for.
    transposed: Option<Panels<u16>>,
}

/// What the epilogue needs to know of a strip's rows.
pub(super) struct Rows {
    /// The first base row.
    first: usize,
    /// What each base row's product is multiplied with.
    scale: Vec<f32>,
    overlay: Option<Overlay>,
    /// Variants of each sample, `v`.
    variants: usize,
}

/// What distinguishes the variants of an image.
struct Overlay {
    /// The normalised value of each image's label pixel.
    value: Vec<f32>,
    /// The label of each image and variant: rows x v.
    labels: Vec<u8>,
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
        let overlay = Overlay { value, labels: labels_of_rows };
        Self::new(&dense, k, Rows { first, scale, overlay: Some(overlay), variants: labels.len() })
    }

    fn pack_activations(activations: &Activations, rows: Range<usize>) -> Self {
        let k = activations.k;
        let input = &activations.rows[rows.start * k..rows.end * k];
        let rows = Rows { first: rows.start, scale: Vec::new(), overlay: None, variants: activations.variants };
        let count = input.len() / k;
        let mut dense = Vec::with_capacity(input.len());
        (0..count).for_each(|r| dense.extend_from_slice(&input[rows.place(r, count) * k..][..k]));
        let scale = dense.chunks_exact(k).map(|row| objective::row_scale(objective::squared_norm(row))).collect();
        Self::new(&dense, k, Rows { scale, ..rows })
    }

    fn new(dense: &[f32], k: usize, rows: Rows) -> Self {
        Self { rows, form: Form::Dense(Dense { forward: Panels::pack(dense, k), transposed: None }) }
    }

    /// The strip's inputs, while it is dense.
    pub fn dense(&self) -> Option<&Dense> {
        match &self.form {
            Form::Dense(dense) => Some(dense),
            Form::Sparse(_) => None,
        }
    }
}

impl Dense {
    /// The rows transposed, k x base rows, packed when they are first asked for; packed row `i` is input `inputs[i]`.
    pub fn transposed(&mut self, inputs: &[u32]) -> &Panels<u16> {
        if self.transposed.is_none() {
            self.transposed = Some(Panels::pack_transposed(&self.unpacked(), inputs));
        }
        self.transposed.as_ref().expect("packed above")
    }

    /// The rows in lines; input `i` becomes packed column `positions[i]`.
    pub fn lines(&self, positions: &[usize]) -> LinePanels {
        LinePanels::pack(&self.forward, positions)
    }

    /// Adds to `counts` how many base rows have each input non-zero.
    pub fn count_inputs(&self, counts: &mut [u32]) {
        for panel in self.forward.iter() {
            for (&input, values) in panel.indices.iter().zip(panel.values) {
                counts[input.get()] += values.iter().map(|&value| u32::from(value != 0.0)).sum::<u32>();
            }
        }
    }

    /// Whether no input of a row is negative.
    pub fn is_nonnegative(&self) -> bool {
        self.forward.iter().all(|panel| panel.values.iter().flatten().all(|&value| value >= 0.0))
    }

    fn unpacked(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.forward.rows() * self.forward.depth()];
        self.forward.unpack(&mut dense);
        dense
    }
}

impl Rows {
    /// Whether the rows are images, with labels overlaid.
    pub fn is_overlaid(&self) -> bool {
        self.overlay.is_some()
    }

    /// Base rows.
    pub fn count(&self) -> usize {
        self.scale.len()
    }

    /// Variants that share a base row.
    #[inline(always)]
    pub fn variants(&self) -> usize {
        if self.is_overlaid() { self.variants } else { 1 }
    }

    /// Rows of activations the strip puts out.
    pub fn outputs(&self) -> usize {
        self.count() * self.variants()
    }

    /// The number, within the strip, of the row that variant `variant` of base row `r` puts out.
    #[inline(always)]
    pub fn output(&self, r: usize, variant: usize) -> usize {
        if self.is_overlaid() { r * self.variants + variant } else { self.place(r, self.count()) }
    }

    /// The number, within the batch, of the row that variant `variant` of base row `r` puts out.
    #[inline(always)]
    pub fn batch_row(&self, r: usize, variant: usize) -> usize {
        self.first * self.variants() + self.output(r, variant)
    }

    /// Which of `count` rows of activations is base row `r`: where the strip has whole samples, first variants stand
    /// together, then second ones, because a panel of one variant shares more zeros than one of all.
    #[inline(always)]
    fn place(&self, r: usize, count: usize) -> usize {
        if self.first.is_multiple_of(self.variants) && count.is_multiple_of(self.variants) {
            let samples = count / self.variants;
            r % samples * self.variants + r / samples
        } else {
            r
        }
    }

    /// What base row `r`'s product is multiplied with.
    #[inline(always)]
    pub fn scale(&self, r: usize) -> f32 {
        self.scale[r]
    }

    /// The label pixel of a variant of base row `r`, if its rows carry labels: index and normalised value.
    #[inline(always)]
    pub fn label(&self, r: usize, variant: usize) -> Option<(usize, f32)> {
        let overlay = self.overlay.as_ref()?;
        Some((usize::from(overlay.labels[r * self.variants + variant]), overlay.value[r]))
    }
}
