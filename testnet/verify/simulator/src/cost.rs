//! Costs of runs: CPU time and memory, as the kernel counts them. On systems without these counts the figures are zero.

use std::time::Duration;

/// Ticks of the kernel's process clock in a second.
const TICKS: u64 = 100;

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(counted.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// CPU time of this process, over all its threads.
pub fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the program's name, which may hold spaces; user and system time are the 12th and 13th of them.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}

/// Memory in use, and its peak, MiB.
pub fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
        kib.unwrap_or(0) / 1_024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn work_costs_time_and_memory() {
        let (before, thread_before) = (process_cpu(), thread_cpu());
        let mut sum = 0u64;
        while thread_cpu() < thread_before + Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(process_cpu() >= before + Duration::from_millis(30));
        let (now, most) = memory_mib();
        assert!(now > 0 && most >= now);
    }
}
