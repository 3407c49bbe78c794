//! Which instruction set the kernels run on: detection, the `FFWD_ISA` override, and dispatch.
//!
//! An [`Isa`] value holds the proof token of its instruction set (see `crate::simd`), so a value of this type can
//! only exist on a CPU that has it. Detection happens once, at the entrance; kernels never ask again.

use std::fmt;

use crate::error::{Error, Result};
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
pub use crate::simd::{Avx2, Avx512};
#[doc(hidden)]
pub use crate::simd::{Kernel, Portable, Simd};

/// The environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "FFWD_ISA";

/// The names `FFWD_ISA` takes, fastest first.
const NAMES: [&str; 3] = ["avx512", "avx2", "portable"];

/// An instruction set this CPU has.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Isa {
    /// AVX-512F and AVX-512VL with FMA on 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX2 with FMA3 on 256-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// What the compilation target guarantees, through the `wide` crate.
    Portable(Portable),
}

impl Isa {
    /// Every instruction set this CPU has, fastest first; never empty.
    pub fn available() -> Vec<Self> {
        NAMES.iter().filter_map(|name| Self::named(name)).collect()
    }

    /// The instruction sets that a test runs on: the one `FFWD_ISA` asks for, or else every one this CPU has. A test
    /// fails where the CPU lacks the one asked for, because it would otherwise pass without having run.
    #[cfg(test)]
    pub(crate) fn under_test() -> Vec<Self> {
        if std::env::var_os(ISA_VARIABLE).is_some() {
            return vec![Self::from_environment().expect("the requested instruction set")];
        }
        Self::available()
    }

    /// The fastest instruction set this CPU has.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// The instruction set called `name`, if this CPU has it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            #[cfg(target_arch = "x86_64")]
            "avx512" => Avx512::new().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            "avx2" => Avx2::new().map(Self::Avx2),
            "portable" => Some(Self::Portable(Portable::new())),
            _ => None,
        }
    }

    /// What `FFWD_ISA` asks for, or the fastest where it is not set or empty.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the variable names no instruction set, or one this CPU lacks: a request is never silently
    /// replaced.
    pub fn from_environment() -> Result<Self> {
        match std::env::var_os(ISA_VARIABLE).filter(|name| !name.is_empty()) {
            None => Ok(Self::best()),
            Some(name) => Self::requested(&name.to_string_lossy()),
        }
    }

    /// The instruction set a user asked for by name.
    ///
    /// # Errors
    ///
    /// As [`Isa::from_environment`].
    pub fn requested(name: &str) -> Result<Self> {
        Self::named(name).ok_or_else(|| {
            let found = if NAMES.contains(&name) {
                format!("{name}, which this CPU does not have")
            } else {
                format!("{name:?}")
            };
            let usable: Vec<_> = Self::available().iter().map(Self::name).collect();
            Error::config(ISA_VARIABLE, found, format!("one of {} (those this CPU has)", usable.join(", ")))
        })
    }

    /// The name as `FFWD_ISA` spells it.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            Self::Portable(_) => "portable",
        }
    }

    /// Runs `kernel` compiled for this instruction set, on vectors of one register.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => token.run(kernel),
            Self::Portable(token) => token.run(kernel),
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_set_is_always_there() {
        assert_eq!(Isa::available().last().map(Isa::name), Some("portable"));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_usable_ones() {
        let message = Isa::requested("sse9").unwrap_err().to_string();
        assert!(
            message.contains("FFWD_ISA") && message.contains("\"sse9\"") && message.contains("portable"),
            "{message}"
        );
    }

    /// Tells which vectors it has been compiled for.
    struct Probe;

    impl Kernel for Probe {
        type Output = &'static str;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> Self::Output {
            std::any::type_name::<S>()
        }
    }

    #[test]
    fn a_kernel_runs_on_the_set_that_was_chosen() {
        for isa in Isa::available() {
            let vectors = isa.run(Probe);
            assert!(vectors.to_lowercase().contains(isa.name()), "{isa}: {vectors}");
        }
    }

    #[test]
    fn every_available_set_can_be_requested_by_its_name() {
        for isa in Isa::available() {
            assert_eq!(Isa::requested(isa.name()).unwrap().name(), isa.name());
        }
    }
}
