//! The [`System`] of this program: what the machine tells, and which instruction sets the kernels can use of it.
//!
//! Relies on [`crate::machine`] for the one, on [`crate::isa`] and [`crate::tier`] for the other.

use super::System;
use crate::isa::Isa;
use crate::machine::{self, Machine};
use crate::tier::{Tier, Usability};

impl System {
    /// The machine that this program runs on.
    pub fn of_this_machine() -> Self {
        let Machine {
            cpu_model,
            vendor,
            family,
            model,
            stepping,
            cpus,
            cores,
            threads_per_core,
            caches,
            numa_nodes,
            memory_bytes,
            isa_detected,
            kernel,
            hypervisor,
            governor,
            cgroup_cpus,
            cgroup_memory_bytes,
        } = machine::detect();
        let usable = |(name, usability): (&str, _)| (usability == Usability::Usable).then(|| name.to_owned());
        let tile_units = Tier::tile_units().filter_map(usable).collect();
        let isa_usable = Isa::available().iter().map(|isa| isa.name().to_owned()).collect();
        Self {
            cpu_model,
            vendor,
            family,
            model,
            stepping,
            cpus,
            cores,
            threads_per_core,
            caches,
            numa_nodes,
            memory_bytes,
            isa_detected,
            isa_usable,
            tile_units,
            kernel,
            hypervisor,
            governor,
            cgroup_cpus,
            cgroup_memory_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_used_was_detected() {
        let system = System::of_this_machine();
        assert!(system.isa_usable.iter().all(|isa| system.isa_detected.contains(isa)), "{system:?}");
        assert_eq!(system.isa_usable.last().map(String::as_str), Some("portable"));
    }
}
