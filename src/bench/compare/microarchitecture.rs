//! What a CPU is inside, by the numbers that CPUID gives: where names say too little, these tell two CPUs apart.
//!
//! The numbers are those of AMD's and Intel's manuals, as the Linux kernel groups them
//! (`arch/x86/kernel/cpu/amd.c`, `arch/x86/include/asm/intel-family.h`), and on AArch64 those of the register MIDR
//! (`arch/arm64/include/asm/cputype.h`).

use crate::bench::report::System;

/// The microarchitecture of the CPU of a report, where its numbers are known.
pub fn of(system: &System) -> Option<&'static str> {
    let model = system.model?;
    match (system.vendor.as_deref()?, system.family) {
        ("AuthenticAMD", Some(family)) => amd(family, model),
        ("GenuineIntel", Some(6)) => {
            let name = intel(model, system.stepping.unwrap_or(0));
            let has_amx = system.tile_units.iter().any(|unit| unit == "amx");
            // A hypervisor may give another model's number, but instructions it cannot add.
            if has_amx && !name.is_some_and(|name| WITH_AMX.contains(&name)) { Some(SINCE_AMX) } else { name }
        }
        (ARM, None) => arm(model),
        (APPLE, None) => apple(model),
        _ => None,
    }
}

/// Those of Intel's that have AMX.
const WITH_AMX: [&str; 3] = ["Sapphire Rapids", "Emerald Rapids", "Granite Rapids"];
/// What is known of a CPU that has it and the number of another.
const SINCE_AMX: &str = "Sapphire Rapids or later";

/// Vendors as `/proc/cpuinfo` of AArch64 spells them.
const ARM: &str = "0x41";
const APPLE: &str = "0x61";

fn arm(part: u32) -> Option<&'static str> {
    Some(match part {
        0xd08 => "Cortex-A72",
        0xd0b => "Cortex-A76",
        0xd0c => "Neoverse N1",
        0xd49 => "Neoverse N2",
        0xd8e => "Neoverse N3",
        0xd40 => "Neoverse V1",
        0xd4f => "Neoverse V2",
        0xd84 => "Neoverse V3",
        _ => return None,
    })
}

/// Cores for efficiency and performance have numbers of their own, and so have larger chips of a generation.
fn apple(part: u32) -> Option<&'static str> {
    Some(match part {
        0x022..=0x029 => "Apple M1",
        0x032..=0x039 => "Apple M2",
        0x042..=0x049 => "Apple M3",
        _ => return None,
    })
}

fn amd(family: u32, model: u32) -> Option<&'static str> {
    Some(match (family, model) {
        (0x17, 0x00..=0x2f | 0x50..=0x5f) => "Zen",
        (0x17, 0x30..=0x4f | 0x60..=0x7f | 0x90..=0x91 | 0xa0..=0xaf) => "Zen 2",
        (0x19, 0x00..=0x0f | 0x20..=0x5f) => "Zen 3",
        (0x19, 0x10..=0x1f | 0x60..=0xaf) => "Zen 4",
        (0x1a, 0x00..=0x2f | 0x40..=0x4f | 0x60..=0x7f) => "Zen 5",
        _ => return None,
    })
}

fn intel(model: u32, stepping: u32) -> Option<&'static str> {
    Some(match (model, stepping) {
        (0x3c | 0x3f | 0x45 | 0x46, _) => "Haswell",
        (0x3d | 0x47 | 0x4f | 0x56, _) => "Broadwell",
        // One model number for three generations of servers.
        (0x55, 0..=4) => "Skylake-SP",
        (0x55, 5..=9) => "Cascade Lake",
        (0x55, _) => "Cooper Lake",
        (0x4e | 0x5e, _) => "Skylake",
        (0x8e | 0x9e, _) => "Kaby Lake",
        (0xa5 | 0xa6, _) => "Comet Lake",
        (0x7d | 0x7e, _) => "Ice Lake",
        (0x6a | 0x6c, _) => "Ice Lake-SP",
        (0x8c | 0x8d, _) => "Tiger Lake",
        (0xa7, _) => "Rocket Lake",
        (0x97 | 0x9a, _) => "Alder Lake",
        (0xb7 | 0xba | 0xbf, _) => "Raptor Lake",
        (0x8f, _) => "Sapphire Rapids",
        (0xcf, _) => "Emerald Rapids",
        (0xad | 0xae, _) => "Granite Rapids",
        (0xaa | 0xac, _) => "Meteor Lake",
        (0xb5 | 0xc5 | 0xc6, _) => "Arrow Lake",
        (0xbd, _) => "Lunar Lake",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_numbers(vendor: &str, family: u32, model: u32, stepping: u32) -> Option<&'static str> {
        let vendor = Some(vendor.to_owned());
        let numbers = (Some(family), Some(model), Some(stepping));
        of(&System { vendor, family: numbers.0, model: numbers.1, stepping: numbers.2, ..System::default() })
    }

    #[test]
    fn cpus_that_were_measured_are_known() {
        assert_eq!(of_numbers("AuthenticAMD", 0x19, 0x11, 1), Some("Zen 4"), "EPYC 9654");
        assert_eq!(of_numbers("AuthenticAMD", 0x19, 0x01, 1), Some("Zen 3"), "EPYC 7763");
        assert_eq!(of_numbers("AuthenticAMD", 0x17, 0x31, 0), Some("Zen 2"), "EPYC 7742");
        assert_eq!(of_numbers("GenuineIntel", 6, 0x8f, 8), Some("Sapphire Rapids"), "Xeon 8481C");
        assert_eq!(of_numbers("GenuineIntel", 6, 0x55, 7), Some("Cascade Lake"), "Xeon 8280");
        assert_eq!(of_numbers("GenuineIntel", 6, 0x55, 4), Some("Skylake-SP"), "Xeon 8180");
    }

    #[test]
    fn parts_of_aarch64_are_known() {
        let of_part = |vendor: &str, part| {
            let (vendor, model) = (Some(vendor.to_owned()), Some(part));
            of(&System { vendor, model, ..System::default() })
        };
        assert_eq!(of_part("0x41", 0xd0c), Some("Neoverse N1"), "Graviton 2");
        assert_eq!(of_part("0x41", 0xd40), Some("Neoverse V1"), "Graviton 3");
        assert_eq!(of_part("0x61", 0x023), Some("Apple M1"));
        assert_eq!(of_part("0x48", 0xd40), None, "another vendor's part");
    }

    #[test]
    fn a_model_that_cannot_have_what_the_cpu_has_is_not_believed() {
        let with = |model, unit: &str| {
            let (vendor, tile_units) = (Some("GenuineIntel".to_owned()), vec![unit.to_owned()]);
            of(&System { vendor, family: Some(6), model: Some(model), tile_units, ..System::default() })
        };
        assert_eq!(with(0xa7, "amx"), Some("Sapphire Rapids or later"), "a guest with Rocket Lake's number");
        assert_eq!(with(0xff, "amx"), Some("Sapphire Rapids or later"));
        assert_eq!(with(0xad, "amx"), Some("Granite Rapids"));
        assert_eq!(with(0xa7, "avx512bf16"), Some("Rocket Lake"));
    }

    #[test]
    fn nothing_is_said_of_numbers_that_are_not_known() {
        assert_eq!(of_numbers("AuthenticAMD", 0x1a, 0xff, 0), None);
        assert_eq!(of_numbers("GenuineIntel", 15, 0x8f, 0), None);
        assert_eq!(of_numbers("HygonGenuine", 0x18, 1, 0), None);
        assert_eq!(of(&System::default()), None);
    }
}
