//! What the library computes: against float64, against the plain reference backend, on every instruction set of the
//! machine.
//!
//! One program, because building it takes longer than running it.

mod backends;
mod bf16;
mod common;
mod dropout;
mod extremes;
mod floats;
mod gemm;
mod golden;
mod ranks;
mod state;
mod step;
mod threads;
mod together;
