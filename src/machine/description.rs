//! Everything that is known of a machine, and its load.
//!
//! Relies on the neighbouring modules for what is more than one line of one file.

use std::collections::BTreeSet;

use super::topology::CPUS;
use super::{Cache, Files, cpuid};

/// What is known of a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// The name the CPU gives itself.
    pub cpu_model: Option<String>,
    /// The vendor, as CPUID spells it, or its number on AArch64.
    pub vendor: Option<String>,
    /// Family, extended family added.
    pub family: Option<u32>,
    /// Model, extended model in front; the part on AArch64.
    pub model: Option<u32>,
    /// Stepping.
    pub stepping: Option<u32>,
    /// Logical CPUs that this process may run on.
    pub cpus: Option<usize>,
    /// Cores of these.
    pub cores: Option<usize>,
    /// Threads of a core (SMT).
    pub threads_per_core: Option<usize>,
    /// The caches of the first CPU.
    pub caches: Vec<Cache>,
    /// NUMA nodes.
    pub numa_nodes: Option<usize>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Instruction sets that CPUID shows, by the names that `FFWD_ISA` takes, fastest first.
    pub isa_detected: Vec<String>,
    /// The kernel's name and release.
    pub kernel: Option<String>,
    /// The hypervisor, as CPUID spells it; `None` where there is none.
    pub hypervisor: Option<String>,
    /// The frequency governor of the first CPU.
    pub governor: Option<String>,
    /// CPUs that the control group allows; `None` where it sets no limit.
    pub cgroup_cpus: Option<f64>,
    /// Memory that the control group allows, in bytes; `None` where it sets no limit.
    pub cgroup_memory_bytes: Option<u64>,
}

/// This machine.
pub fn detect() -> Machine {
    let mut machine = Files::of_this_machine().machine();
    cpuid::describe(&mut machine);
    machine.isa_detected = cpuid::instruction_sets();
    machine
}

/// The load averages over 1, 5 and 15 minutes.
pub fn load() -> Option<[f64; 3]> {
    Files::of_this_machine().load()
}

impl Files {
    /// Everything that files tell.
    fn machine(&self) -> Machine {
        let cpus = self.cpus();
        let first = self.first_cpu();
        Machine {
            cpu_model: self.field("/proc/cpuinfo", "model name"),
            // What AArch64 tells in place of CPUID.
            vendor: self.field("/proc/cpuinfo", "CPU implementer"),
            model: self.field("/proc/cpuinfo", "CPU part").and_then(|part| hexadecimal(&part)),
            cpus: cpus.as_ref().map(Vec::len),
            cores: cpus.and_then(|cpus| self.cores(&cpus)),
            threads_per_core: self.siblings(first).map(|siblings| siblings.len()),
            caches: self.caches(first),
            numa_nodes: self.list("/sys/devices/system/node/online").map(|nodes| nodes.len()),
            memory_bytes: self.memory_bytes(),
            kernel: self.kernel(),
            governor: self.read(&format!("/sys/devices/system/cpu/cpu{first}/cpufreq/scaling_governor")),
            cgroup_cpus: self.cgroup_cpus(),
            cgroup_memory_bytes: self.cgroup_memory_bytes(),
            ..Machine::default()
        }
    }

    fn memory_bytes(&self) -> Option<u64> {
        let kibibytes: u64 = self.field("/proc/meminfo", "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    fn kernel(&self) -> Option<String> {
        let part = |name| self.read(&format!("/proc/sys/kernel/{name}"));
        Some(format!("{} {}", part("ostype")?, part("osrelease")?))
    }

    fn load(&self) -> Option<[f64; 3]> {
        let averages: Vec<f64> =
            self.read("/proc/loadavg")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
        averages.first_chunk().copied()
    }

    /// The logical CPUs of the core that `cpu` belongs to.
    fn siblings(&self, cpu: usize) -> Option<Vec<usize>> {
        let list = |name| self.list(&format!("{CPUS}/cpu{cpu}/topology/{name}"));
        // The second is the name of Linux before 5.3.
        list("core_cpus_list").or_else(|| list("thread_siblings_list"))
    }

    /// The number of cores that `cpus` belong to.
    fn cores(&self, cpus: &[usize]) -> Option<usize> {
        let cores: Option<BTreeSet<Vec<usize>>> = cpus.iter().map(|&cpu| self.siblings(cpu)).collect();
        Some(cores?.len())
    }
}

/// A number as `0xd0c`.
fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Imitation;
    use super::*;

    #[test]
    fn a_machine_without_files_tells_nothing() {
        let imitation = Imitation::new(&[]);
        assert_eq!(imitation.files().machine(), Machine::default());
        assert_eq!(imitation.files().load(), None);
    }

    #[test]
    fn every_file_is_read() {
        let imitation = Imitation::new(&[
            ("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel\t: 7\n"),
            ("/proc/meminfo", "MemTotal:       24684084 kB\nMemFree:  1 kB"),
            ("/proc/sys/kernel/ostype", "Linux"),
            ("/proc/sys/kernel/osrelease", "6.1.0"),
            ("/proc/loadavg", "0.50 1.25 2.00 3/116 7568"),
            ("/sys/devices/system/node/online", "0-1"),
            ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
        ]);
        let machine = imitation.files().machine();
        assert_eq!(machine.cpu_model.as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(machine.memory_bytes, Some(24_684_084 * 1024));
        assert_eq!(machine.kernel.as_deref(), Some("Linux 6.1.0"));
        assert_eq!((machine.numa_nodes, machine.governor.as_deref()), (Some(2), Some("powersave")));
        assert_eq!(imitation.files().load(), Some([0.5, 1.25, 2.0]));
    }

    #[test]
    fn aarch64_tells_its_part() {
        let cpuinfo = "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n";
        let machine = Imitation::new(&[("/proc/cpuinfo", cpuinfo)]).files().machine();
        assert_eq!((machine.vendor.as_deref(), machine.model, machine.family), (Some("0x41"), Some(0xd0c), None));
    }

    #[test]
    fn what_is_malformed_counts_as_not_told() {
        let imitation = Imitation::new(&[
            ("/proc/meminfo", "MemTotal: much"),
            ("/proc/sys/kernel/ostype", "Linux"),
            ("/proc/loadavg", "0.50 x"),
            ("/sys/devices/system/node/online", "0-x"),
        ]);
        assert_eq!(imitation.files().machine(), Machine::default());
        assert_eq!(imitation.files().load(), None);
    }

    /// Four logical CPUs on two cores.
    fn two_cores() -> Imitation {
        let imitation = Imitation::new(&[("/sys/devices/system/cpu/online", "0-3")]);
        for (cpu, siblings) in ["0,2", "1,3", "0,2", "1,3"].iter().enumerate() {
            imitation.write(&format!("{CPUS}/cpu{cpu}/topology/thread_siblings_list"), siblings);
        }
        imitation
    }

    #[test]
    fn two_threads_of_a_core_are_one_core() {
        let machine = two_cores().files().machine();
        assert_eq!((machine.cpus, machine.cores, machine.threads_per_core), (Some(4), Some(2), Some(2)));
    }

    #[test]
    fn cores_are_those_of_the_allowed_cpus() {
        let imitation = two_cores();
        imitation.write("/proc/self/status", "Cpus_allowed_list:\t3");
        let machine = imitation.files().machine();
        assert_eq!((machine.cpus, machine.cores, machine.threads_per_core), (Some(1), Some(1), Some(2)));
    }

    #[test]
    fn cores_are_not_guessed_where_one_cpu_is_not_described() {
        let imitation = two_cores();
        imitation.write("/sys/devices/system/cpu/online", "0-4");
        assert_eq!((imitation.files().machine().cpus, imitation.files().machine().cores), (Some(5), None));
    }
}
