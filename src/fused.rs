//! The fused backend: a strip of rows goes through product, epilogue and gradient while it is in cache.
//!
//! ```text
//! batch        this rank's rows of one layer                          batch.rs
//! └ part       rows that have a gradient sum of their own             part.rs      cut by the batch's shape alone
//!   └ strip    up to 256 or 512 rows that go through together       strip.rs     Z stays in L2
//!     └ panel  4 rows, or NR columns: what a micro-kernel works on    packing.rs   registers
//!       └ line 16 inputs, one cache line                              packing/line_panels.rs
//!
//! for each part of the batch (in parallel)
//!     for each strip
//!         dense: every unit for every row
//!             Z  = X W                                    dense.rs: zeros of X and units known to be off left out
//!             h  = max(scale Z + label W_label + b, 0)    epilogue.rs: goodness, loss, derivative; Z becomes D
//!             dW += X^T D                                 dense.rs: zeros of X and panels that are off left out
//!         sparse, where few units are on
//!             the same for those that could be on         sparse.rs
//! gradient = sum of the parts, in a fixed tree (ranks/tree.rs)
//! ```
//!
//! # Glossary
//!
//! - *share*: the parts of a batch that this process has, all of them where it is alone (ranks.rs).
//! - *variant*: one of the rows that a sample is given as: positive or negative in training, one for each label in
//!   prediction.
//! - *base row*: a row of the product; the variants of an image share one.
//! - *form*: how a strip is computed, dense (every unit) or sparse (its candidates only).
//! - *candidate*: a unit that could be on in some row of a panel, as its bound tells.
//! - *drift*: by how much `z` of a unit can have risen since a step, because its weights have moved (drift.rs).
//! - *bound*: the largest `z` of a panel and unit when it was last computed; with the drift, an upper limit in every
//!   later step.
//! - *ceiling*: the same for a unit over all dense strips of the batch (units.rs).
//!
//! # Lives of a batch
//!
//! A batch is packed for one of three uses. Inference needs nothing but batch.rs. One gradient, of a mini-batch, needs
//! the buffers of one_step.rs, which serve the next mini-batch as well. Many gradients need many_steps.rs, which
//! remembers earlier steps, keeps a partial sum for each part and lets strips become sparse.
//!
//! # What is saved exactly
//!
//! - the image product of layer 1 serves every label overlaid on the image, and one gradient product serves positive
//!   and negative; `1/255` and the norm are a row scale after the product;
//! - zeros of the input are left out of both products, dead pixels with them;
//! - column panels of units that are off in a whole strip are left out of its gradient, and units that cannot be on in
//!   any dense strip out of everything (units.rs);
//! - in a strip in which few units are on, only those are computed that could be on, row by row (sparse.rs);
//! - a step on a batch that stays writes no activation to memory; a sparse strip writes two bytes for each panel and
//!   unit.
//!
//! Relies on [`crate::recipe`] for what is computed, on [`crate::kd_order`] for the order of inputs in lines and on
//! [`crate::simd`] for the vectors.

mod batch;
mod buffers;
mod dense;
mod drift;
mod epilogue;
pub(crate) mod executed;
mod input_orders;
mod layer;
mod many_steps;
mod one_step;
pub(crate) mod packing;
mod part;
mod rows;
mod sparse;
mod strip;
#[cfg(test)]
mod testing;
mod units;
mod z_to_d;

use crate::backend::{Backend, LayerBackend, Use};
#[cfg(feature = "cli")]
use crate::batch::Input;
use crate::isa::Isa;
#[cfg(feature = "cli")]
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::tile::TileTier;
use dense::{Bf16, F32};
use layer::FusedLayer;
#[cfg(feature = "cli")]
pub(crate) use layer::stages::Stage;
#[cfg(feature = "cli")]
use layer::stages::{RunStage, Stages};

/// The backend; holds the instruction set its kernels run on, and what its dense products are computed by.
#[derive(Clone, Copy, Debug)]
pub struct Fused {
    isa: Isa,
    products: Products,
    /// A strip becomes sparse where less than this share of its units are on; `None` where the number format decides.
    sparse_below: Option<f64>,
}

/// What computes dense products.
#[derive(Clone, Copy, Debug)]
enum Products {
    F32,
    Bf16(TileTier),
}

/// What `$body` makes of the dense products of a backend: of a type of their own for each number format and tile unit.
macro_rules! with_products {
    ($fused:ident, |$products:ident| $body:expr) => {
        match $fused.products {
            Products::F32 => {
                let $products = F32($fused.isa);
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Products::Bf16(TileTier::Amx(unit)) => {
                let $products = Bf16(unit);
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Products::Bf16(TileTier::Avx512Bf16(unit)) => {
                let $products = Bf16(unit);
                $body
            }
            Products::Bf16(TileTier::Decoded(unit)) => {
                let $products = Bf16(unit);
                $body
            }
        }
    };
}

impl Fused {
    /// The backend on `isa`, in f32.
    pub fn new(isa: Isa) -> Self {
        Self { isa, products: Products::F32, sparse_below: None }
    }

    /// The backend in bf16, on the tile unit `tier`; everything but products runs on `isa`.
    pub fn in_bf16(isa: Isa, tier: TileTier) -> Self {
        Self { isa, products: Products::Bf16(tier), sparse_below: None }
    }

    /// The same, but a strip becomes sparse where less than `share` of its units are on: 0 keeps all strips dense, and
    /// above 1 all become sparse in a batch's first step. For tests and measurements.
    #[cfg(any(feature = "cli", feature = "internals"))]
    pub fn with_sparse_below(self, share: f64) -> Self {
        Self { sparse_below: Some(share), ..self }
    }

    /// The stages of a dense strip one at a time, for measurements.
    #[cfg(feature = "cli")]
    pub(crate) fn stages(&self, input: &Input<'_>, parameters: &Parameters, recipe: &Recipe) -> Box<dyn RunStage> {
        with_products!(self, |products| Box::new(Stages::new(products, input, parameters, recipe)))
    }

    /// NR, the columns of a column panel. For tests of sizes around it.
    #[cfg(feature = "internals")]
    pub fn nr(&self) -> usize {
        dense::nr(F32(self.isa))
    }
}

impl Backend for Fused {
    fn name(&self) -> &'static str {
        "fused"
    }

    fn precision(&self) -> &'static str {
        match self.products {
            Products::F32 => "f32",
            Products::Bf16(_) => "bf16",
        }
    }

    fn part_samples(&self, samples: usize, weights: usize, wanted: Use) -> usize {
        with_products!(self, |products| batch::part_samples(samples, weights, dense::rows(products), wanted))
    }

    fn isa(&self) -> Isa {
        self.isa
    }

    fn products(&self) -> &'static str {
        match self.products {
            Products::F32 => self.isa.name(),
            Products::Bf16(tier) => tier.name(),
        }
    }

    fn layer(&self, recipe: &Recipe, k: usize, u: usize) -> Box<dyn LayerBackend> {
        with_products!(self, |products| Box::new(FusedLayer::new(products, recipe, self.sparse_below, k, u)))
    }
}
