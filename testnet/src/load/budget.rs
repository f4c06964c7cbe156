//! How much is signed before the first transaction is sent.

use std::time::Duration;

/// Memory that one transaction takes from signing to the report: its bytes, and its hash in the tables of what was sent and seen.
const BYTES_PER_TRANSACTION: u64 = 1_024;
/// The part of the free memory that may be used: the nodes on this machine need the rest.
const MEMORY_DIVISOR: u64 = 4;
/// Free memory where the system does not say: 2 GiB.
const UNKNOWN_MEMORY_BYTES: u64 = 2 << 30;

/// Bounds on what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most transactions.
    pub transactions: u64,
    /// Longest time that signing may take; `None` signs all of them.
    pub time: Option<Duration>,
}

impl Budget {
    /// So many transactions, however long signing them takes.
    pub fn exact(transactions: u64) -> Self {
        Self { transactions, time: None }
    }

    /// What this machine signs in the time that the load lasts, which is more than it can execute besides, within a part of its free
    /// memory.
    pub fn of_this_machine(seconds: Duration) -> Self {
        let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_bytes(&text));
        let bytes = free.unwrap_or(UNKNOWN_MEMORY_BYTES) / MEMORY_DIVISOR;
        Self { transactions: (bytes / BYTES_PER_TRANSACTION).max(1), time: Some(seconds) }
    }
}

/// What `/proc/meminfo` says is free for new work.
fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:       24000000 kB\nMemFree:         100 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(available_bytes(text), Some(23_000_000 * 1_024));
        assert_eq!(available_bytes("MemTotal: 1 kB\n"), None);
        assert_eq!(available_bytes("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn the_machine_s_budget_is_bounded_by_time_and_memory() {
        let budget = Budget::of_this_machine(Duration::from_secs(10));
        assert_eq!(budget.time, Some(Duration::from_secs(10)));
        assert!(budget.transactions > 10_000, "{budget:?}");
    }
}
