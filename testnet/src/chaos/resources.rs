//! Memory and descriptors of the nodes over time, as the kernel counts them, and connections that bypass the relay.

use std::{collections::BTreeSet, fs, time::Duration};

use serde::Serialize;

/// Samples at the start of a process that the slope leaves out: a node that starts reads its database.
const WARM_UP: Duration = Duration::from_secs(60);

/// One sample of one process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Time since the run's start.
    pub at: Duration,
    /// Process id. A restarted node has another one.
    pub pid: u32,
    /// Resident memory.
    pub rss_kib: u64,
    /// Open file descriptors.
    pub fds: u64,
}

impl Sample {
    /// Samples a process; `None` when it has ended.
    pub fn take(at: Duration, pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss_kib = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Some(Self { at, pid, rss_kib, fds })
    }
}

/// Resources of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Which node.
    pub node: usize,
    /// Number of its processes over the run.
    pub lives: usize,
    /// Greatest resident memory.
    pub rss_max_mib: f64,
    /// Resident memory at the end.
    pub rss_last_mib: f64,
    /// Growth of resident memory in the longest-lived process after its first minute; absent when no process lived that long.
    pub rss_slope_mib_per_minute: Option<f64>,
    /// Most file descriptors.
    pub fds_max: u64,
    /// File descriptors at the end.
    pub fds_last: u64,
}

impl Usage {
    /// Sums up a node's samples.
    pub fn of(node: usize, samples: &[Sample]) -> Self {
        let mib = |kib: u64| (kib as f64 / 102.4).round() / 10.0;
        let last = samples.last();
        Self {
            node,
            lives: samples.iter().map(|sample| sample.pid).collect::<BTreeSet<_>>().len(),
            rss_max_mib: mib(samples.iter().map(|sample| sample.rss_kib).max().unwrap_or(0)),
            rss_last_mib: mib(last.map_or(0, |sample| sample.rss_kib)),
            rss_slope_mib_per_minute: slope(samples).map(|slope| (slope * 100.0).round() / 100.0),
            fds_max: samples.iter().map(|sample| sample.fds).max().unwrap_or(0),
            fds_last: last.map_or(0, |sample| sample.fds),
        }
    }
}

/// Slope by least squares over the longest-lived process, in MiB a minute.
fn slope(samples: &[Sample]) -> Option<f64> {
    let lives = samples.chunk_by(|a, b| a.pid == b.pid).filter_map(|life| {
        let warm = life.first()?.at.saturating_add(WARM_UP);
        let life: Vec<(f64, f64)> = life
            .iter()
            .filter(|sample| sample.at >= warm)
            .map(|sample| (sample.at.as_secs_f64() / 60.0, sample.rss_kib as f64 / 1_024.0))
            .collect();
        (life.len() > 2).then_some(life)
    });
    let longest = lives.max_by_key(Vec::len)?;
    let count = longest.len() as f64;
    let (mean_x, mean_y) = longest.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (covariance, variance) = longest.iter().fold((0.0, 0.0), |(xy, xx), point| {
        (xy + (point.0 - mean_x) * (point.1 - mean_y), xx + (point.0 - mean_x).powi(2))
    });
    (variance > 0.0).then(|| covariance / variance)
}

/// The machine's load average of the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// Connections of a process to one of the ports, which bypass the relay.
pub fn direct_connections(pid: u32, ports: &BTreeSet<u16>) -> usize {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inodes = links.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    });
    let own: BTreeSet<u64> = inodes.collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    connections(&table).filter(|(port, inode)| ports.contains(port) && own.contains(inode)).count()
}

/// Remote port and inode of each established connection in the kernel's table.
fn connections(table: &str) -> impl Iterator<Item = (u16, u64)> {
    const ESTABLISHED: &str = "01";
    table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = fields.get(2)?.split_once(':')?;
        if *fields.get(3)? != ESTABLISHED {
            return None;
        }
        Some((u16::from_str_radix(port, 16).ok()?, fields.get(9)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn sample(second: u64, pid: u32, mib: u64) -> Sample {
        Sample { at: Duration::from_secs(second), pid, rss_kib: mib * 1_024, fds: 7 }
    }

    #[test]
    fn the_slope_is_that_of_the_longest_life_without_its_first_minute() {
        // A short-lived process that grows fast, then a long-lived one: it jumps in its first minute and then grows by a mebibyte a minute.
        let short = (0..20).map(|i| sample(i * 5, 1, 10 + i * 10));
        let long = (0..100).map(|i| sample(200 + i * 6, 2, if i < 10 { 500 } else { 100 + i / 10 }));
        let samples: Vec<Sample> = short.chain(long).collect();
        let usage = Usage::of(0, &samples);
        let slope = usage.rss_slope_mib_per_minute.unwrap();
        assert!((0.95..=1.05).contains(&slope), "{slope}");
        assert_eq!((usage.lives, usage.fds_max, usage.rss_last_mib), (2, 7, 109.0));
        assert_eq!(Usage::of(0, &samples[..20]).rss_slope_mib_per_minute.map(f64::round), Some(120.0));
        assert_eq!(Usage::of(0, &samples[..5]).rss_slope_mib_per_minute, None);
    }

    #[test]
    fn a_connection_straight_to_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = std::process::id();
        assert_eq!(direct_connections(own, &BTreeSet::from([port])), 0);
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(direct_connections(own, &BTreeSet::from([port])), 1);
        assert_eq!(direct_connections(own, &BTreeSet::from([1])), 0);
        drop(stream);
    }

    #[test]
    fn this_process_can_be_sampled_and_a_missing_one_cannot() {
        let sample = Sample::take(Duration::ZERO, std::process::id()).unwrap();
        assert!(sample.rss_kib > 100 && sample.fds > 2);
        assert_eq!(Sample::take(Duration::ZERO, u32::MAX), None);
    }
}
