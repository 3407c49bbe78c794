//! The limits of the control groups that hold this process, version 1 and 2.
//!
//! `/proc/self/cgroup` tells the groups, `/proc/self/mountinfo` where their files are. A group is bound by the limits
//! of those around it as well, so the smallest counts.

use std::path::Path;

use super::Files;

/// Where version 1 sets no limit of memory, it writes the largest multiple of the page size below 2^63.
const NO_LIMIT: u64 = 1 << 62;

impl Files {
    /// CPUs whose time the groups allow; `None` where none sets a limit.
    pub(super) fn cgroup_cpus(&self) -> Option<f64> {
        let unified = self.groups("").into_iter().filter_map(|group| share(&self.read(&format!("{group}/cpu.max"))?));
        let version_1 = self.groups("cpu").into_iter().filter_map(|group| {
            let file = |name| self.read(&format!("{group}/cpu.cfs_{name}_us"));
            share(&format!("{} {}", file("quota")?, file("period")?))
        });
        unified.chain(version_1).min_by(f64::total_cmp)
    }

    /// Bytes of memory that the groups allow; `None` where none sets a limit.
    pub(super) fn cgroup_memory_bytes(&self) -> Option<u64> {
        let limits = |controller, name| {
            let bytes = move |group| self.read(&format!("{group}/{name}"))?.parse().ok();
            self.groups(controller).into_iter().filter_map(bytes)
        };
        limits("", "memory.max")
            .chain(limits("memory", "memory.limit_in_bytes"))
            .filter(|&bytes: &u64| bytes < NO_LIMIT)
            .min()
    }

    /// The directories of the groups that hold this process, the innermost first: those of a version 1 `controller`,
    /// or, for an empty one, of version 2.
    fn groups(&self, controller: &str) -> Vec<String> {
        let directories = || {
            let path = self.membership(controller)?;
            let (root, mount) = self.mount(controller)?;
            // In a namespace of its own, a process may see the path of a group outside of what is mounted.
            let below = Path::new(&path).strip_prefix(root).ok().filter(|below| !below.starts_with(".."));
            let group = Path::new(&mount).join(below.unwrap_or(Path::new("")));
            let around = group.ancestors().take_while(|group| group.starts_with(&mount));
            Some(around.map(|group| group.to_string_lossy().into_owned()).collect())
        };
        directories().unwrap_or_default()
    }

    /// The path of this process's group: of the line `number:controllers:path`.
    fn membership(&self, controller: &str) -> Option<String> {
        self.read("/proc/self/cgroup")?.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == controller).then(|| path.to_owned())
        })
    }

    /// Where the groups' files are: the path of the group that is mounted, and the directory it is mounted on.
    ///
    /// The line is `id parent device root directory options ... - type source options`.
    fn mount(&self, controller: &str) -> Option<(String, String)> {
        self.read("/proc/self/mountinfo")?.lines().find_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mount: Vec<&str> = mount.split(' ').collect();
            let filesystem: Vec<&str> = filesystem.split(' ').collect();
            let [kind, _, options] = *filesystem.first_chunk()?;
            let right = match controller {
                "" => kind == "cgroup2",
                _ => kind == "cgroup" && options.split(',').any(|name| name == controller),
            };
            let [_, _, _, root, directory] = *mount.first_chunk()?;
            right.then(|| (root.to_owned(), directory.to_owned()))
        })
    }
}

/// CPUs of a quota and a period in microseconds, `150000 100000`; `None` where the quota is none, `max` or -1.
fn share(quota_and_period: &str) -> Option<f64> {
    let (quota, period) = quota_and_period.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period).filter(|share| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Imitation;

    const UNIFIED: &str = "29 22 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

    fn limits(imitation: &Imitation) -> (Option<f64>, Option<u64>) {
        (imitation.files().cgroup_cpus(), imitation.files().cgroup_memory_bytes())
    }

    #[test]
    fn version_2_takes_the_smallest_limit_around() {
        let imitation = Imitation::new(&[
            ("/proc/self/cgroup", "0::/slice/task"),
            ("/proc/self/mountinfo", UNIFIED),
            ("/sys/fs/cgroup/slice/task/cpu.max", "max 100000"),
            ("/sys/fs/cgroup/slice/cpu.max", "150000 100000"),
            ("/sys/fs/cgroup/slice/task/memory.max", "1073741824"),
            ("/sys/fs/cgroup/slice/memory.max", "max"),
        ]);
        assert_eq!(limits(&imitation), (Some(1.5), Some(1 << 30)));
        imitation.write("/sys/fs/cgroup/slice/task/cpu.max", "50000 100000");
        assert_eq!(limits(&imitation).0, Some(0.5));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let imitation = Imitation::new(&[
            ("/proc/self/cgroup", "5:memory:/a/b\n4:cpu,cpuacct:/c\n0::/"),
            (
                "/proc/self/mountinfo",
                "32 31 0:30 / /cgroups/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                 35 31 0:32 / /cgroups/memory rw,relatime - cgroup cgroup rw,memory\n\
                 41 31 0:38 / /cgroups/unified rw,relatime - cgroup2 cgroup2 rw",
            ),
            ("/cgroups/cpu/c/cpu.cfs_quota_us", "400000"),
            ("/cgroups/cpu/c/cpu.cfs_period_us", "100000"),
            ("/cgroups/memory/a/b/memory.limit_in_bytes", "9223372036854771712"),
            ("/cgroups/memory/a/memory.limit_in_bytes", "2147483648"),
        ]);
        assert_eq!(limits(&imitation), (Some(4.0), Some(2 << 30)));
        imitation.write("/cgroups/cpu/c/cpu.cfs_quota_us", "-1");
        imitation.write("/cgroups/memory/a/memory.limit_in_bytes", "9223372036854771712");
        assert_eq!(limits(&imitation), (None, None));
    }

    /// A container that sees its own group mounted, and the path from outside.
    #[test]
    fn a_group_that_is_mounted_itself_is_found() {
        let imitation = Imitation::new(&[
            ("/proc/self/cgroup", "0::/docker/1234"),
            ("/proc/self/mountinfo", &UNIFIED.replace(" / ", " /docker/1234 ")),
            ("/sys/fs/cgroup/cpu.max", "200000 100000"),
        ]);
        assert_eq!(limits(&imitation), (Some(2.0), None));
        imitation.write("/proc/self/cgroup", "0::/../other");
        assert_eq!(limits(&imitation).0, Some(2.0));
    }

    #[test]
    fn what_is_malformed_sets_no_limit() {
        let imitation = Imitation::new(&[
            ("/proc/self/cgroup", "nothing\n0::/"),
            ("/proc/self/mountinfo", &format!("short - x\n{UNIFIED}")),
            ("/sys/fs/cgroup/cpu.max", "1 0"),
            ("/sys/fs/cgroup/memory.max", "-7"),
        ]);
        assert_eq!(limits(&imitation), (None, None));
    }
}
