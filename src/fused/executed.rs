//! How many multiply-adds the products of strips have executed since the process began: a counter like those of a CPU,
//! for measurements. What is left out of a product is not in it; what fills up tiles is.
//!
//! Each thread adds to a number of its own, once for each product of a strip.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers; threads beyond share them.
const NUMBERS: usize = 64;

/// A number on two cache lines of its own, because hardware fetches lines in pairs.
#[repr(align(128))]
struct Number(AtomicU64);

static EXECUTED: [Number; NUMBERS] = [const { Number(AtomicU64::new(0)) }; NUMBERS];

/// Adds `multiply_adds` to the count.
pub fn count(multiply_adds: usize) {
    let thread = rayon::current_thread_index().unwrap_or(0);
    EXECUTED[thread % NUMBERS].0.fetch_add(multiply_adds as u64, Ordering::Relaxed);
}

/// The count of all threads.
#[cfg(feature = "cli")]
pub fn multiply_adds() -> u64 {
    EXECUTED.iter().map(|number| number.0.load(Ordering::Relaxed)).sum()
}
