//! The result of a load.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    cli::{LoadArgs, Rate},
    load::{sender::Sent, watcher::Seen},
};

/// Figures of one load.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was sent.
    pub kind: String,
    /// Transactions asked for each second, or `max`.
    pub rate: String,
    /// Seconds of sending.
    pub seconds: u64,
    /// Sending accounts.
    pub accounts: u32,
    /// Transactions signed beforehand.
    pub signed: usize,
    /// Endpoints they were sent to.
    pub endpoints: usize,
    /// Transactions that the endpoints accepted.
    pub accepted: usize,
    /// Refused transactions, by the endpoint's error text.
    pub rejected: BTreeMap<String, u64>,
    /// Requests without an answer: the endpoint was down or overloaded.
    pub failed_requests: u64,
    /// Transactions sent again because they were in no block for some seconds.
    pub resent: usize,
    /// Accepted transactions that were seen final.
    pub included: usize,
    /// Accepted transactions that were not seen final half a minute later.
    pub missing: usize,
    /// Included each second, from the first sent to the last seen final.
    pub included_per_second: f64,
    /// Gas each second over the same time.
    pub gas_per_second: f64,
    /// From submission to finality.
    pub latency_ms: Latency,
    /// Blocks seen.
    pub blocks: usize,
    /// Mean time between them in milliseconds.
    pub block_interval_ms: f64,
    /// Transactions in the fullest of them.
    pub fullest_block: usize,
}

/// Milliseconds: from submission to finality, or between blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Maximum.
    pub max: u64,
}

impl Report {
    /// Compares what was sent with what was seen.
    pub fn new(args: &LoadArgs, endpoints: &[String], sent: &Sent, seen: &Seen) -> Self {
        let times = sent.accepted.iter().filter_map(|(hash, at)| Some((*at, *seen.transactions.get(hash)?)));
        let times: Vec<(Instant, Instant)> = times.collect();
        let last = times.iter().map(|(_, seen)| *seen).max();
        let span = last.zip(sent.started).map_or(Duration::ZERO, |(last, first)| last.saturating_duration_since(first));
        let within = |at: Instant| sent.started.is_some_and(|start| at >= start) && last.is_some_and(|last| at <= last);
        let gas: u64 = seen.blocks.iter().filter(|block| within(block.at)).map(|block| block.gas_used).sum();
        let latencies = times.iter().map(|(sent, seen)| seen.saturating_duration_since(*sent)).collect();
        let between = seen.blocks.first().zip(seen.blocks.last());
        let interval = between.map_or(0.0, |(first, last)| {
            let blocks = last.number.saturating_sub(first.number).max(1);
            last.at.saturating_duration_since(first.at).as_secs_f64() * 1_000.0 / blocks as f64
        });
        Self {
            kind: args.kind.to_string(),
            rate: args.rate.to_string(),
            seconds: args.seconds,
            accounts: args.accounts,
            signed: sent.signed,
            endpoints: endpoints.len(),
            accepted: sent.accepted.len(),
            rejected: sent.rejected.clone(),
            failed_requests: sent.failed_requests,
            resent: sent.resent,
            included: times.len(),
            missing: sent.accepted.len().saturating_sub(times.len()),
            included_per_second: per_second(times.len() as f64, span),
            gas_per_second: per_second(gas as f64, span),
            latency_ms: Latency::of(latencies),
            blocks: seen.blocks.len(),
            block_interval_ms: (interval * 10.0).round() / 10.0,
            fullest_block: seen.blocks.iter().map(|block| block.transactions).max().unwrap_or(0),
        }
    }

    /// As text for a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let latency = self.latency_ms;
        let lines = [
            format!(
                "{} at {}/s for {} s, {} accounts, {} endpoints",
                self.kind, self.rate, self.seconds, self.accounts, self.endpoints
            ),
            format!(
                "  included   {} of {} accepted, {:.0}/s, {:.1} Mgas/s",
                self.included,
                self.accepted,
                self.included_per_second,
                self.gas_per_second / 1e6
            ),
            format!(
                "  to final   p50 {} ms, p90 {} ms, p99 {} ms, max {} ms",
                latency.p50, latency.p90, latency.p99, latency.max
            ),
            format!(
                "  blocks     {} of {:.0} ms, the fullest with {} transactions",
                self.blocks, self.block_interval_ms, self.fullest_block
            ),
        ];
        lines.iter().for_each(|line| writeln!(out, "{line}").expect("writing to a String never fails"));
        let offered = self.rejected.values().fold(self.accepted, |sum, count| sum.saturating_add(*count as usize));
        if self.rate == Rate::Max.to_string() && offered >= self.signed {
            let text = format!(
                "  bound      by the {} transactions that were signed beforehand, not by the chain",
                self.signed
            );
            writeln!(out, "{text}").expect("writing to a String never fails");
        }
        if self.failed_requests > 0 || self.resent > 0 {
            let (failed, resent) = (self.failed_requests, self.resent);
            let text = format!("  trouble    {failed} requests unanswered, {resent} transactions sent again");
            writeln!(out, "{text}").expect("writing to a String never fails");
        }
        for (text, count) in &self.rejected {
            writeln!(out, "  refused    {count} times: {text}").expect("writing to a String never fails");
        }
        out.trim_end().to_owned()
    }
}

fn per_second(amount: f64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { (amount / span.as_secs_f64() * 10.0).round() / 10.0 }
}

impl Latency {
    /// Ranks of durations, which need not be in order.
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |hundredths: usize| {
            let rank = latencies.len().saturating_mul(hundredths).div_ceil(100).saturating_sub(1);
            let latency = latencies.get(rank).copied().unwrap_or_default();
            u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)
        };
        Self { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let latencies = (1..=200).map(Duration::from_millis).rev().collect();
        assert_eq!(Latency::of(latencies), Latency { p50: 100, p90: 180, p99: 198, max: 200 });
        assert_eq!(Latency::of(vec![Duration::from_millis(7)]), Latency { p50: 7, p90: 7, p99: 7, max: 7 });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }

    #[test]
    fn rates_of_no_time_are_zero() {
        assert_eq!(per_second(5.0, Duration::ZERO).to_bits(), 0.0f64.to_bits());
        assert!((per_second(50.0, Duration::from_secs(2)) - 25.0).abs() < 1e-9);
    }
}
