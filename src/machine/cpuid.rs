//! What the CPU tells of itself: names, numbers and instruction sets.
//!
//! Relies on `raw-cpuid`; on CPUs without that instruction nothing is told.

use super::Machine;

/// Fills in the fields that CPUID knows, in place of what files told.
#[cfg(target_arch = "x86_64")]
pub(super) fn describe(machine: &mut Machine) {
    let cpu = raw_cpuid::CpuId::new();
    if let Some(name) = cpu.get_processor_brand_string().map(|name| name.as_str().trim().to_owned()) {
        machine.cpu_model = Some(name).filter(|name| !name.is_empty()).or(machine.cpu_model.take());
    }
    machine.vendor = cpu.get_vendor_info().map(|vendor| vendor.as_str().to_owned());
    if let Some(features) = cpu.get_feature_info() {
        machine.family = Some(features.family_id().into());
        machine.model = Some(features.model_id().into());
        machine.stepping = Some(features.stepping_id().into());
        machine.hypervisor = features.has_hypervisor().then(hypervisor).flatten();
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn describe(_: &mut Machine) {}

/// The twelve letters of the hypervisor's leaf.
#[cfg(target_arch = "x86_64")]
fn hypervisor() -> Option<String> {
    const LEAF: u32 = 0x4000_0000;
    let registers = raw_cpuid::native_cpuid::cpuid_count(LEAF, 0);
    let letters = [registers.ebx, registers.ecx, registers.edx].map(u32::to_le_bytes).concat();
    let name = String::from_utf8_lossy(&letters).trim_matches(['\0', ' ']).to_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// The instruction sets that the CPU has, whether the operating system lets programs use them or not, by the names that
/// `FFWD_ISA` takes, fastest first.
pub(super) fn instruction_sets() -> Vec<String> {
    vectors().into_iter().chain(["portable"]).map(str::to_owned).collect()
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> Vec<&'static str> {
    let cpu = raw_cpuid::CpuId::new();
    let fma = cpu.get_feature_info().is_some_and(|features| features.has_fma());
    let Some(features) = cpu.get_extended_feature_info().filter(|features| fma && features.has_avx2()) else {
        return Vec::new();
    };
    let has_avx512 = features.has_avx512f() && features.has_avx512vl();
    if has_avx512 { vec!["avx512", "avx2"] } else { vec!["avx2"] }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> Vec<&'static str> {
    Vec::new()
}
