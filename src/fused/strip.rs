//! A strip: some consecutive base rows of the batch, packed in one of two forms, with what rows.rs keeps of each row.

use std::ops::Range;

use super::dense::DenseProducts;
use super::packing::ColumnOrder;
use super::rows::{Rows, Take};
use super::sparse::Sparse;
use crate::batch::{Activations, Input};
use crate::recipe::Recipe;
use crate::simd::{Kernel, Simd};

/// Base rows of the whole batch.
pub fn base_rows(input: &Input<'_>) -> usize {
    match input {
        Input::Images(images) => images.samples.len(),
        Input::Activations(Activations { rows, k, .. }) => rows.len() / k,
    }
}

/// Consecutive base rows, packed.
pub struct Strip<P: DenseProducts> {
    pub rows: Rows,
    pub form: Form<P>,
}

/// How a strip's inputs are packed, and with that how it is computed.
pub enum Form<P: DenseProducts> {
    /// Every unit for every row.
    Dense(P::Inputs),
    /// Only the activations that could be on.
    Sparse(Sparse),
}

impl<P: DenseProducts> Default for Strip<P> {
    fn default() -> Self {
        Self { rows: Rows::default(), form: Form::default() }
    }
}

impl<P: DenseProducts> Default for Form<P> {
    fn default() -> Self {
        Self::Dense(P::Inputs::default())
    }
}

impl<P: DenseProducts> Strip<P> {
    /// Packs the base rows `rows` of `input`, the inputs in `order`, in the memory of what was packed where that
    /// suffices. `dense` is room for them; it holds them afterwards, row-major, as they were packed.
    pub fn pack(
        &mut self,
        products: P,
        recipe: &Recipe,
        (input, order): (&Input<'_>, ColumnOrder<'_>),
        rows: Range<usize>,
        dense: &mut Vec<f32>,
    ) {
        products.run(Take { rows: &mut self.rows, recipe, input, range: rows, dense });
        if let ColumnOrder::Permuted(order) = order {
            permute(dense, order);
        }
        if matches!(self.form, Form::Sparse(_)) {
            self.form = Form::default();
        }
        if let Form::Dense(inputs) = &mut self.form {
            products.pack(dense, input.k(), inputs);
        }
    }

    /// Packs the transpose of the rows `dense`, which have just been packed, inputs as they come.
    pub fn transpose(&mut self, products: P, dense: &[f32]) {
        if let Form::Dense(inputs) = &mut self.form {
            let order = ColumnOrder::Natural(dense.len() / self.rows.count());
            products.run(Transpose { products, inputs, dense, order });
        }
    }

    /// Moves what is packed into memory of its size, for a batch that stays.
    pub fn trim(&mut self, products: P) {
        if let Form::Dense(inputs) = &mut self.form {
            products.trim(inputs);
        }
    }

    /// The strip's inputs, while it is dense.
    pub fn dense(&self) -> Option<&P::Inputs> {
        match &self.form {
            Form::Dense(inputs) => Some(inputs),
            Form::Sparse(_) => None,
        }
    }
}

/// [`DenseProducts::transpose`] as a kernel.
struct Transpose<'a, P: DenseProducts> {
    products: P,
    inputs: &'a mut P::Inputs,
    dense: &'a [f32],
    order: ColumnOrder<'a>,
}

impl<P: DenseProducts> Kernel for Transpose<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { products, inputs, dense, order } = self;
        products.transpose(inputs, dense, order);
    }
}

/// Puts the columns of `dense`, row-major, in `order`.
fn permute(dense: &mut [f32], order: &[u32]) {
    let mut from = vec![0.0; order.len()];
    for row in dense.chunks_exact_mut(order.len()) {
        from.copy_from_slice(row);
        row.iter_mut().zip(order).for_each(|(to, &column)| *to = from[column as usize]);
    }
}
