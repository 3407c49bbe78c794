//! The functions that the fuzz targets call: those of the property tests in `tests/inputs`.
//!
//! `tools/fuzz/run` says how they are run.

#[path = "../../tests/inputs/meter.rs"]
pub mod meter;
#[path = "../../tests/inputs/targets.rs"]
pub mod targets;

#[global_allocator]
static ALLOCATOR: meter::Meter = meter::Meter;
