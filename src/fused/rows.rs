//! The rows of a strip: the factor of each row's product, its label pixels, and which row of the batch it is.
//!
//! A *base row* is a row of the product: an image in layer 1, where its `v` overlaid labels share the product, and a
//! row of activations in later layers.

use std::ops::Range;

use crate::batch::{Activations, Images, Input, Overlay};
use crate::recipe::{Recipe, squared_norm, squared_norms};
use crate::simd::{Kernel, Simd};

/// Rows of activations whose norms are added up side by side: an addition takes four cycles, and each has to wait for
/// the one before it of the same row.
const SIDE_BY_SIDE: usize = 4;

/// What the epilogue needs to know of a strip's rows.
#[derive(Default)]
pub struct Rows {
    /// The first base row.
    first: usize,
    /// What each base row's product is multiplied with.
    scale: Vec<f32>,
    overlay: Overlaid,
    /// Variants of each sample, `v`.
    variants: usize,
    /// Whether the variants of a sample stay together, because the loss is one of pairs.
    in_pairs: bool,
}

/// What distinguishes the variants of an image.
#[derive(Default)]
struct Overlaid {
    /// Whether the rows carry labels that are no part of their product.
    is_used: bool,
    /// The normalised value of each image's label pixel.
    value: Vec<f32>,
    /// The label of each image and variant: rows x v.
    labels: Vec<u8>,
}

/// Takes in the base rows `range` of `input`. `dense` becomes these rows, row-major, not scaled and without labels that
/// are no part of the product.
pub struct Take<'a> {
    pub rows: &'a mut Rows,
    pub recipe: &'a Recipe,
    pub input: &'a Input<'a>,
    pub range: Range<usize>,
    pub dense: &'a mut Vec<f32>,
}

impl Kernel for Take<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rows, recipe, input, range, dense } = self;
        rows.in_pairs = recipe.loss.name.is_of_pairs();
        match input {
            Input::Images(images) => rows.take_images(recipe, images, range, dense),
            Input::Activations(activations) => rows.take_activations(recipe, activations, range, dense),
        }
    }
}

impl Rows {
    /// Takes in images. Pixels keep the values of bytes, so that every number format holds them exactly. Labels add to
    /// the product later, but the neutral label is part of it.
    #[inline(always)]
    fn take_images(&mut self, recipe: &Recipe, images: &Images<'_>, range: Range<usize>, dense: &mut Vec<f32>) {
        let Images { k, classes, overlay, .. } = *images;
        self.begin(range.start, images.variants());
        self.overlay.is_used = matches!(overlay, Overlay::Labels(_));
        dense.clear();
        for s in range.clone() {
            let image = images.image(s);
            let label_pixels = match overlay {
                Overlay::Labels(_) => 0.0,
                Overlay::Neutral => recipe.labels.neutral_input(image),
            };
            let row = dense.len();
            dense.resize(row + k, label_pixels);
            image.write(classes, &mut dense[row + classes..]);
            let squared_norm = recipe.labels.squared_norm(image, !self.overlay.is_used, classes);
            let scale = recipe.normalisation.scale(squared_norm, k) / image.one();
            self.scale.push(scale);
            self.overlay.value.push(scale * recipe.labels.label_input(image));
        }
        if let Overlay::Labels(labels) = overlay {
            self.overlay.labels.extend(range.flat_map(|s| labels.iter().map(move |list| list[s])));
        }
    }

    /// Takes in rows of activations.
    #[inline(always)]
    fn take_activations(
        &mut self,
        recipe: &Recipe,
        activations: &Activations<'_>,
        range: Range<usize>,
        dense: &mut Vec<f32>,
    ) {
        let k = activations.k;
        let input = &activations.rows[range.start * k..range.end * k];
        let count = range.len();
        self.begin(range.start, activations.variants);
        self.overlay.is_used = false;
        dense.clear();
        for r in 0..count {
            let row = &input[self.place(r, count) * k..][..k];
            dense.extend_from_slice(row);
        }
        let scale = |norm| recipe.normalisation.scale(norm, k);
        let mut groups = dense.chunks_exact(SIDE_BY_SIDE * k);
        for group in &mut groups {
            let rows: [&[f32]; SIDE_BY_SIDE] = std::array::from_fn(|i| &group[i * k..][..k]);
            self.scale.extend(squared_norms(rows).map(scale));
        }
        self.scale.extend(groups.remainder().chunks_exact(k).map(|row| scale(squared_norm(row))));
    }

    /// Forgets the rows, for others from base row `first` on.
    fn begin(&mut self, first: usize, variants: usize) {
        (self.first, self.variants) = (first, variants);
        self.scale.clear();
        self.overlay.value.clear();
        self.overlay.labels.clear();
    }

    /// Base rows.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.scale.len()
    }

    /// Variants that share a base row.
    #[inline(always)]
    pub fn variants(&self) -> usize {
        if self.overlay.is_used { self.variants } else { 1 }
    }

    /// Rows of activations the strip puts out.
    pub fn outputs(&self) -> usize {
        self.count() * self.variants()
    }

    /// The number, within the strip, of the row that variant `variant` of base row `r` puts out.
    #[inline(always)]
    pub fn output(&self, r: usize, variant: usize) -> usize {
        if self.overlay.is_used { r * self.variants + variant } else { self.place(r, self.count()) }
    }

    /// The number, within the batch, of the row that variant `variant` of base row `r` puts out.
    #[inline(always)]
    pub fn batch_row(&self, r: usize, variant: usize) -> usize {
        self.first * self.variants() + self.output(r, variant)
    }

    /// Which of `count` rows of activations is base row `r`: where the strip has whole samples, first variants stand
    /// together, then second ones, because a panel of one variant shares more zeros than one of all. Pairs of which the
    /// loss is one stay side by side.
    #[inline(always)]
    fn place(&self, r: usize, count: usize) -> usize {
        let whole = self.first.is_multiple_of(self.variants) && count.is_multiple_of(self.variants);
        if whole && !self.in_pairs {
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
        if !self.overlay.is_used {
            return None;
        }
        Some((usize::from(self.overlay.labels[r * self.variants + variant]), self.overlay.value[r]))
    }
}
