//! ffwd trains Forward-Forward networks (Hinton 2022) on a multicore CPU.
//!
//! In the Forward-Forward algorithm no gradient is propagated backwards: every layer learns by itself to give
//! *positive* data (an image with its true label written into it) high *goodness* (the mean square of its activations)
//! and *negative* data (the same image with a wrong label) low goodness. A network predicts by trying every label,
//! or by a classifier that was trained beside it.
//!
//! # Letters
//!
//! `n` samples in a batch, `k` inputs of a layer, `u` units of a layer, `c` classes, `v` variants of a sample (positive
//! and negative in training, one for each label in prediction), `s` one sample. Matrices are row-major.
//!
//! # Reading order
//!
//! Data flows one way, and the modules follow it. Those that are links are public, for programs that train or use
//! networks; the others are the crate's own.
//!
//! 1. [`data`]: IDX files, mapped into memory and checked.
//! 2. [`labels`]: what is written over an image's first pixels, and which labels the negatives get.
//! 3. [`recipe`]: what a layer computes and learns from: normalisation, goodness, loss, schedule.
//! 4. [`augment`] and [`dropout`]: training images, and the units of a step, changed or left out at random. [`batch`],
//!    [`parameters`], [`backend`]: the contract between a layer and a backend.
//! 5. The backends: `reference` is the algorithm as plain matrices; `fused` computes the same strip by strip, leaving
//!    out what is zero, on the vectors of `simd` that [`isa`] finds usable. [`backends`] chooses. [`gemm`] is the
//!    product of dense matrices, which leaves nothing out: what `fused` is measured against, and what the read-out
//!    uses.
//! 6. [`optimizer`], [`peers`], [`update`] and `layer`: one layer's inner steps. [`readout`]: a classifier beside them.
//!    [`network`], [`train`], [`predict`]: all layers, all epochs, all labels; `kd_order` orders samples and inputs,
//!    `random` derives generators. [`checkpoint`] stores a network, [`config`] describes a run.
//! 7. `bench`, which is there with the feature `cli`: every kernel with its shapes and operations, the report of a
//!    measurement, and reports side by side.
//!
//! Below all of these lie [`ranks`] (processes that share a batch, and the tree in which its sums are added),
//! [`pixels`], [`error`], `machine` (what the CPU is; `gemm` asks for its caches), `memory`, `files`, `hex` and
//! [`text`], which rely on none of them.
//!
//! The same seed, instruction set and precision give bit-identical weights on any number of threads and ranks: work is
//! cut by the shape of the batch alone, and partial sums are added in a tree that this cut decides.

pub mod augment;
pub mod backend;
pub mod backends;
pub mod batch;
#[cfg(feature = "cli")]
pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod dropout;
pub mod error;
pub mod files;
mod fused;
pub mod gemm;
mod hex;
pub mod isa;
mod kd_order;
pub mod labels;
mod layer;
mod machine;
mod memory;
pub mod network;
pub mod optimizer;
pub mod parameters;
pub mod peers;
pub mod pixels;
pub mod predict;
mod random;
pub mod ranks;
pub mod readout;
pub mod recipe;
mod reference;
mod simd;
pub mod text;
pub mod tier;
mod tile;
pub mod train;
pub mod update;

pub use error::{Error, Result};

/// What tests and benches of this package need beyond the public face; nothing of it is promised.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::checkpoint::with_right_sum;
    pub use crate::fused::Fused;
    pub use crate::fused::packing::MR;
    pub use crate::reference::{Reference, product};
    pub use crate::tile::{ALL, BLOCK, Decoded, Pair, Product, SIDE, Streamed, Tile, TileTier, TileUnit};
    #[cfg(target_arch = "x86_64")]
    pub use crate::tile::{Amx, Avx512Bf16, Lack, PairDot, multiply_by_pairs, multiply_pairs_in_registers};
    pub use crate::tile::{round_to_bf16, testing};
}
