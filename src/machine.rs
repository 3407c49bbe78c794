//! The machine: what CPUID, `/proc` and `/sys` tell, as plain values.
//!
//! `cpuid` asks the CPU, `topology` and `cgroup` read the files of Linux, from any root directory, so that tests can lay
//! out a machine of their own. Nothing here needs privileges, and what cannot be read is `None`. This module relies on no
//! other of this crate.

mod cgroup;
mod cpuid;
mod topology;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is known of a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// The name the CPU gives itself.
    pub cpu_model: Option<String>,
    /// The vendor, as CPUID spells it.
    pub vendor: Option<String>,
    /// Family, extended family added.
    pub family: Option<u32>,
    /// Model, extended model in front.
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

/// One cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// 1 is the closest to the core.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Logical CPUs that share it.
    pub shared_by: Option<usize>,
}

/// This machine.
pub fn detect() -> Machine {
    let mut machine = Files::of_this_machine().machine();
    cpuid::describe(&mut machine);
    machine.isa_detected = cpuid::instruction_sets();
    machine
}

/// The caches of the first CPU that this process may run on, those closest to the core first; empty where nothing
/// tells.
pub fn caches() -> Vec<Cache> {
    let files = Files::of_this_machine();
    files.caches(files.first_cpu())
}

/// The load averages over 1, 5 and 15 minutes.
pub fn load() -> Option<[f64; 3]> {
    Files::of_this_machine().load()
}

/// A machine's files: those below `/`, or a copy of some of them.
struct Files {
    root: PathBuf,
}

impl Files {
    fn of_this_machine() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// What the file at the absolute `path` holds, without white space around it; `None` where it cannot be read or is
    /// empty.
    fn read(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path.trim_start_matches('/'))).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Everything that files tell.
    fn machine(&self) -> Machine {
        let cpus = self.cpus();
        let first = self.first_cpu();
        Machine {
            cpu_model: self.field("/proc/cpuinfo", "model name"),
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

    /// What stands behind `name` and a colon in a file of such lines, where it stands first.
    fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.read(path)?;
        let value = |line: &str| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned());
        text.lines().find_map(value)
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
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A machine that is not this one, made of the files that are given as (path, content).
    pub(super) struct Imitation {
        directory: TempDir,
    }

    impl Imitation {
        pub(super) fn new(files: &[(&str, &str)]) -> Self {
            let imitation = Self { directory: TempDir::new().unwrap() };
            files.iter().for_each(|(path, content)| imitation.write(path, content));
            imitation
        }

        pub(super) fn write(&self, path: &str, content: &str) {
            let path = self.directory.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{content}\n")).unwrap();
        }

        pub(super) fn files(&self) -> Files {
            Files { root: self.directory.path().to_path_buf() }
        }
    }

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
}
