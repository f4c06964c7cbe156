//! Number of transactions signed before the first is sent, with `--rate max`.

/// Transactions for each second of the load: more than any chain on one machine has accepted.
const SIGNED_PER_SECOND: u64 = 20_000;
/// Memory that one transaction takes from signing to the report: its bytes, and its hash in the tables of what was sent and seen.
const BYTES_PER_TRANSACTION: u64 = 1_024;
/// The part of the free memory that may be used: the nodes on this machine need the rest.
const MEMORY_DIVISOR: u64 = 4;
/// Free memory to assume where the system does not report it: 2 GiB.
const UNKNOWN_MEMORY_BYTES: u64 = 2 << 30;

/// Transactions to sign for a load of so many seconds, within a part of this machine's free memory.
pub fn of_this_machine(seconds: u64) -> u64 {
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_bytes(&text));
    within(seconds, free.unwrap_or(UNKNOWN_MEMORY_BYTES))
}

fn within(seconds: u64, free_bytes: u64) -> u64 {
    let fit = free_bytes / MEMORY_DIVISOR / BYTES_PER_TRANSACTION;
    seconds.saturating_mul(SIGNED_PER_SECOND).min(fit).max(1)
}

/// The memory available for new work, from `/proc/meminfo`.
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
    fn the_budget_is_bounded_by_the_rate_and_by_a_quarter_of_the_memory() {
        assert_eq!(within(10, 64 << 30), 200_000);
        assert_eq!(within(86_400, 4 << 30), 1 << 20);
        assert_eq!(within(10, 0), 1);
    }
}
