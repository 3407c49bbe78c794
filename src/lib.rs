//! ffwd trains Forward-Forward networks (Hinton 2022) on a multicore CPU.
//!
//! In the Forward-Forward algorithm no gradient is propagated backwards: every layer learns by itself to give
//! *positive* data (an image with its true label written into it) high *goodness* (the mean or the sum of its squared
//! activations) and *negative* data (the same image with a wrong label) low goodness. A network predicts by trying
//! every label, or by a classifier that was trained beside it.
//!
//! *Hinton 2022* is Geoffrey Hinton's "The Forward-Forward Algorithm: Some Preliminary Investigations", and *Hinton's
//! published code* is the program that he published for section 3.3 of it. *The Keras example* is "Using the
//! Forward-Forward Algorithm for Image Classification".
//!
//! # Where to begin
//!
//! Each of the four programs below is complete. Longer ones lie in the directory `examples` of the repository:
//! `own_images.rs` trains on images in memory, `custom_recipe.rs` changes what a network learns from, `saved_model.rs`
//! stores a network and reads it again, `sgemm.rs` multiplies matrices, and `own_backend.rs` computes the layers by
//! itself.
//!
//! ## Train on images of your own, and predict
//!
//! An image is one byte for each pixel, row by row, and a label is one byte. The label is written over the first
//! pixels, one for each class, so that what they show is lost.
//!
//! ```
//! use std::ops::Range;
//! use std::sync::atomic::AtomicBool;
//!
//! use ffwd::backends;
//! use ffwd::config::{Config, Preset};
//! use ffwd::network::Network;
//! use ffwd::predict::{self, By};
//! use ffwd::tier::Tier;
//! use ffwd::train::{Trainer, TrainingSet, TrainingState};
//!
//! /// Images of 8 x 8 pixels, one after another, and their labels: class 0 is bright above, class 1 below.
//! fn draw(numbers: Range<usize>) -> (Vec<u8>, Vec<u8>) {
//!     let labels = numbers.clone().map(|number| (number % 2) as u8).collect();
//!     let image = |number: usize| {
//!         let bright = 100 + (number * 37 % 150) as u8;
//!         (0..64).map(move |pixel| if pixel / 32 == number % 2 { bright } else { 20 })
//!     };
//!     (numbers.flat_map(image).collect(), labels)
//! }
//!
//! let config = Config {
//!     classes: 2,
//!     layers: vec![32, 32],
//!     epochs: 3,
//!     batch: 20,
//!     // A fifth of a layer's units, as the preset has it for layers of 500.
//!     temperature: 6.4,
//!     ..Config::of_preset(&Preset::QUICK)
//! };
//! let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
//! let network = Network::new(8, 8, config.classes, &config.layers, config.initial(), config.seed);
//! let (pixels, labels) = draw(0..200);
//! let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
//! let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, &*backend, set);
//! let stop = AtomicBool::new(false);
//! for _ in 0..config.epochs {
//!     let report = trainer.epoch(&stop).expect("nobody stops it");
//!     println!("epoch {}: loss {:.3}", report.epoch, report.final_loss);
//! }
//!
//! let (other_pixels, other_labels) = draw(200..220);
//! let predicted = predict::predict(trainer.network(), &config.recipe(), &*backend, &other_pixels, By::Readout);
//! assert_eq!(predicted, other_labels);
//! # Ok::<(), ffwd::Error>(())
//! ```
//!
//! ## Evaluate a network
//!
//! [`predict::Evaluation`] compares predictions with true labels. The digits are drawn in memory, and the network is an
//! untrained one, which gets about a tenth of them right.
//!
//! ```
//! use ffwd::backends;
//! use ffwd::config::{Config, Preset};
//! use ffwd::data::digits;
//! use ffwd::network::Network;
//! use ffwd::predict::Evaluation;
//! use ffwd::tier::Tier;
//!
//! let config = Config { layers: vec![30, 30], ..Config::of_preset(&Preset::KERAS) };
//! let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
//! let network = Network::new(28, 28, config.classes, &config.layers, config.initial(), config.seed);
//! let (pixels, labels) = digits::draw(60_000..60_050);
//!
//! let evaluation = Evaluation::new(&network, &config.recipe(), &*backend, &pixels, &labels);
//! assert_eq!(evaluation.tested, 50);
//! let accuracy = evaluation.accuracy().expect("there are images to test on");
//! println!("{:.1}% right", 100.0 * accuracy);
//! // A row is a true label, and a column is a predicted one.
//! for (label, predicted) in evaluation.confusion.iter().enumerate() {
//!     println!("{label} predicted as 0 to 9: {predicted:?}");
//! }
//! # Ok::<(), ffwd::Error>(())
//! ```
//!
//! ## Choose what a network learns from
//!
//! A [`config::Preset`] is a whole [`config::Config`], and fields are laid over it. A field that is wrong ends in an
//! [`Error`] that names it.
//!
//! ```
//! use ffwd::config::{Config, Negatives};
//! use ffwd::recipe::LossName;
//!
//! // The fields have the names and values of a file for `fast-train --config`.
//! let fields = r#"
//!     preset = "paper"
//!     layers = [400, 400]
//!     loss = "symba"
//!     negatives = "wrong"
//! "#;
//! let config = Config::resolve(None, fields.parse().expect("TOML"))?;
//! assert_eq!((config.recipe().loss.name, config.negatives), (LossName::Symba, Negatives::Wrong));
//! // What is left out is the preset's.
//! assert_eq!((config.batch, config.epochs), (128, 20));
//!
//! let error = Config::resolve(None, "epochs = 0".parse().expect("TOML")).unwrap_err();
//! assert_eq!(error.to_string(), "--epochs or FFWD_EPOCHS: found 0, expected 1 to 1000000");
//! # Ok::<(), ffwd::Error>(())
//! ```
//!
//! ## Multiply matrices
//!
//! [`gemm`] stands by itself: `C = alpha A B + beta C` in f32, where A is m x k, B is k x n and C is m x n.
//!
//! ```
//! use ffwd::gemm::{Matrix, MatrixMut, Workspace, sgemm};
//! use ffwd::isa::Isa;
//!
//! let (m, k, n) = (2, 3, 2);
//! let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
//! let b = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
//! let mut c = [0.0; 4];
//! let (alpha, beta, workspace) = (1.0, 0.0, &mut Workspace::new());
//! let (a, b, of_c) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n), MatrixMut::new(&mut c, m, n));
//! sgemm(Isa::best(), alpha, a, b, beta, of_c, workspace);
//! assert_eq!(c, [58.0, 64.0, 139.0, 154.0]);
//! ```
//!
//! # Features, environment, errors
//!
//! A program that uses the library needs none of the features: `default-features = false` leaves out what only
//! `fast-train` needs.
//!
//! - `cli`, on by default, is the program `fast-train`, the module `bench`, which measures, and `page`, which both
//!   need.
//! - `fetch`, on by default, is the module `data::fetch`, which downloads MNIST and Fashion-MNIST.
//! - `mpi` is the module `ranks::mpi`, by which several machines train one network. It needs an MPI that is installed.
//! - `internals`, which `cli` turns on, opens what the tests and benches of this package need. Nothing of it is promised.
//!
//! [`tier::Tier::from_environment`] and [`isa::Isa::from_environment`] read the variable `FFWD_ISA`, which forces an
//! instruction set: `avx512`, `avx2` or `portable`. The first also takes `amx` and `avx512bf16`, units for products in
//! bf16. [`data::Places::from_environment`] looks for data sets where `FFWD_DATA` says. All work runs on the threads of
//! the rayon pool in which it is called.
//!
//! What reads a file or a user's words returns an [`Error`], whose message is one line. A shape that does not fit is a
//! programmer's error, and panics.
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
//!    measurement, and reports side by side. `page` has the pieces of pages that stand in one file.
//!
//! Below all of these lie [`ranks`] (processes that share a batch, and the tree in which its sums are added),
//! [`pixels`], [`error`], `machine` (what the CPU is; `gemm` asks for its caches), `awake` (keeps the threads of a pool
//! from falling asleep), `memory`, `files`, `hex` and `text`, which rely on none of them.
//!
//! The same seed, instruction set and precision give bit-identical weights on any number of threads and ranks: work is
//! cut by the shape of the batch alone, and partial sums are added in a tree that this cut decides.

pub mod augment;
mod awake;
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
#[doc(hidden)]
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
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod page;
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
#[doc(hidden)]
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
