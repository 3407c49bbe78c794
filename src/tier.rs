//! What a run executes on: a vector instruction set, and for bf16 products a tile unit; what `FFWD_ISA` asks for.

use crate::error::{Error, Result};
use crate::isa::{ISA_VARIABLE, Isa};
#[cfg(target_arch = "x86_64")]
use crate::tile::{Amx, Avx512Bf16, Lack};
use crate::tile::{Decoded, TileTier};

/// The tile units that `FFWD_ISA` takes, fastest first.
const TILE_UNITS: [&str; 2] = ["amx", "avx512bf16"];

/// A vector instruction set, and the tile unit that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Tier {
    isa: Isa,
    /// The tile unit that was asked for; `None` leaves the choice open.
    forced: Option<TileTier>,
    /// Whether nothing was asked for.
    is_open: bool,
}

/// Whether a tile unit can be used, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usability {
    /// It can.
    Usable,
    /// The CPU lacks it.
    Lacking,
    /// The CPU has it; the operating system or the hypervisor denies it.
    Denied,
}

impl Usability {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Lacking => "lacking in the CPU",
            Self::Denied => "denied by the operating system or hypervisor",
        }
    }
}

impl Tier {
    /// Everything on `isa`.
    pub fn new(isa: Isa) -> Self {
        Self { isa, forced: None, is_open: false }
    }

    /// What `FFWD_ISA` asks for, or the fastest where it is not set or empty.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the variable names no instruction set and no tile unit, or one that cannot be used here:
    /// a request is never silently replaced.
    pub fn from_environment() -> Result<Self> {
        match std::env::var_os(ISA_VARIABLE).filter(|name| !name.is_empty()) {
            None => Ok(Self { is_open: true, ..Self::new(Isa::best()) }),
            Some(name) => Self::requested(&name.to_string_lossy()),
        }
    }

    /// What a user asked for by name.
    ///
    /// # Errors
    ///
    /// As [`Tier::from_environment`].
    pub fn requested(name: &str) -> Result<Self> {
        if !TILE_UNITS.contains(&name) {
            return Isa::requested(name).map(Self::new);
        }
        let unit = tile_unit(name).map_err(|why| {
            let units =
                Self::tile_units().filter(|&(_, usability)| usability == Usability::Usable).map(|(name, _)| name);
            let names: Vec<_> = units.chain(Isa::available().iter().map(Isa::name)).collect();
            let expected = format!("one of {} (those usable here)", names.join(", "));
            Error::config(ISA_VARIABLE, format!("{name}, which is {}", why.words()), expected)
        })?;
        Ok(Self { isa: Isa::best(), forced: Some(unit), is_open: false })
    }

    /// Each tile unit, and whether it can be used here.
    pub fn tile_units() -> impl Iterator<Item = (&'static str, Usability)> {
        TILE_UNITS.into_iter().map(|name| (name, tile_unit(name).err().unwrap_or(Usability::Usable)))
    }

    /// The vector instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Whether a tile unit was asked for, and with it bf16.
    pub fn asks_for_bf16(&self) -> bool {
        self.forced.is_some()
    }

    /// Whether a run whose precision is left open is in bf16: where a tile unit was asked for, and where sixty outer
    /// epochs of the Keras example have been measured to be faster in bf16 than in f32. That is so with AMX, and with
    /// `vdpbf16ps` on Zen 5, and not known of other CPUs (docs/experiments.md). Whoever asks for vectors gets f32.
    pub fn prefers_bf16(&self) -> bool {
        let is_faster = || self.tile_units_in_use().first().is_some_and(|&unit| is_faster_than_f32(unit));
        self.asks_for_bf16() || self.is_open && is_faster()
    }

    /// What computes bf16 products: what was asked for, or the fastest that is usable with these vectors.
    pub fn tiles(&self) -> TileTier {
        self.tile_units_in_use().first().copied().unwrap_or(TileTier::Decoded(Decoded(self.isa)))
    }

    /// The tile units to measure: the one that was asked for, or every one that is usable with these vectors, fastest
    /// first. Whoever restricts the vectors wants nothing beyond them.
    pub fn tile_units_in_use(&self) -> Vec<TileTier> {
        let unrestricted = self.isa.name() == Isa::best().name();
        match self.forced {
            Some(unit) => vec![unit],
            None if unrestricted => TILE_UNITS.into_iter().filter_map(|name| tile_unit(name).ok()).collect(),
            None => Vec::new(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn is_faster_than_f32(unit: TileTier) -> bool {
    match unit {
        TileTier::Amx(_) => true,
        TileTier::Avx512Bf16(unit) => unit.is_on_zen_5(),
        TileTier::Decoded(_) => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn is_faster_than_f32(_: TileTier) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn tile_unit(name: &str) -> std::result::Result<TileTier, Usability> {
    match name {
        "amx" => Amx::new().map(TileTier::Amx).map_err(|lack| match lack {
            Lack::Cpu => Usability::Lacking,
            Lack::Denied => Usability::Denied,
        }),
        _ => Avx512Bf16::new().map(TileTier::Avx512Bf16).ok_or(Usability::Lacking),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn tile_unit(_: &str) -> std::result::Result<TileTier, Usability> {
    Err(Usability::Lacking)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_usable_can_be_requested_and_others_are_an_error_that_says_why() {
        for (name, usability) in Tier::tile_units() {
            match (Tier::requested(name), usability) {
                (Ok(tier), Usability::Usable) => assert_eq!((tier.tiles().name(), tier.asks_for_bf16()), (name, true)),
                (Err(error), Usability::Lacking | Usability::Denied) => {
                    let message = error.to_string();
                    assert!(message.contains(name) && message.contains(usability.words()), "{message}");
                }
                (found, expected) => panic!("{name}: {found:?}, {expected:?}"),
            }
        }
        assert!(Tier::requested("mmx").unwrap_err().to_string().contains("mmx"));
    }

    #[test]
    fn restricted_vectors_restrict_the_tiles() {
        let tier = Tier::requested("portable").unwrap();
        if Isa::available().len() > 1 {
            assert_eq!(tier.tiles().name(), "portable");
        }
        assert!(!tier.asks_for_bf16() && !tier.prefers_bf16());
    }
}
