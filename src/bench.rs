//! The measuring wing: what is measured, how a measurement becomes a report, and how reports are compared.
//!
//! # Reading order
//!
//! 1. [`workloads`]: every kernel with its shapes, operations and bytes. `cargo bench` runs this list under criterion,
//!    `fast-train bench` runs it for a report.
//! 2. [`witness`] and [`probe`]: what tells whether a sample was left alone by the rest of the machine; [`loops`] are
//!    what probes and peaks run.
//! 3. [`mod@report`]: the schema `ffwd/report/v1`, and the measurement that fills it in: the machine, its measured
//!    limits, every workload in rounds, scaling over threads, then training.
//! 4. [`compare`]: reports side by side, as `fast-train compare` prints them. It works on reports alone and measures
//!    nothing.
//!
//! The wing relies on every other module, and none of them on it; like the program it is there with the feature `cli`.
//! A kernel that is worth measuring in stages offers these itself, in a file `stages.rs`.

pub mod compare;
pub mod loops;
pub mod probe;
pub mod report;
pub mod witness;
pub mod workloads;
