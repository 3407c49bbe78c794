//! Data sets: files as they may be found, and downloads.

#[cfg(feature = "fetch")]
mod fetch;
mod files;
