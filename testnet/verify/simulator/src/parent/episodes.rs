//! Temporary faults: kind, place, time and duration are drawn from a seed.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};

use super::faults::{ChainFaults, EndpointFaults, ForgedDeposit, Lie, Outage};
use crate::rng::Rng;

/// Faults of a plan's parent. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentFaults {
    /// Mean time between the beginnings of two faults, ms; 0 for none.
    pub every_ms: u64,
    /// Longest duration of a fault, ms.
    pub most_ms: u64,
    /// Kinds that are drawn from.
    pub kinds: Vec<FaultKind>,
    /// Endpoints that may lie. A node that asks only lying endpoints believes them when they agree, because a validator trusts
    /// its sources. So each honest validator needs one endpoint outside this list.
    pub liars: Vec<usize>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Blocks that are not final are replaced.
    Reorganisations,
    /// Transactions get stuck in pools.
    Stuck,
    /// Transactions are forgotten.
    Lost,
    /// The base fee multiplies.
    GasSpike,
    /// Finality stops.
    FinalityStall,
    /// Blocks stop.
    Halt,
    /// An endpoint is blocks behind.
    Lag,
    /// An endpoint stops following.
    Stall,
    /// An endpoint's log index is behind.
    Unindexed,
    /// An endpoint answers slowly, or too late.
    Slow,
    /// An endpoint refuses long log ranges.
    LogRange,
    /// An endpoint cuts connections.
    Cut,
    /// An endpoint is down.
    Outage,
    /// An endpoint lies.
    Lie,
}

impl FaultKind {
    /// All values.
    pub const ALL: [Self; 14] = [
        Self::Reorganisations,
        Self::Stuck,
        Self::Lost,
        Self::GasSpike,
        Self::FinalityStall,
        Self::Halt,
        Self::Lag,
        Self::Stall,
        Self::Unindexed,
        Self::Slow,
        Self::LogRange,
        Self::Cut,
        Self::Outage,
        Self::Lie,
    ];
}

impl ParentFaults {
    /// Every kind, one about every `every_ms`.
    pub fn all(every_ms: u64, most_ms: u64, liars: Vec<usize>) -> Self {
        Self { every_ms, most_ms, kinds: FaultKind::ALL.to_vec(), liars }
    }
}

/// A fault that begins.
#[derive(Clone, Debug)]
pub(super) struct Begin {
    pub(super) kind: FaultKind,
    pub(super) endpoint: usize,
}

/// The next change of a fault.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Begin(Begin),
    End(Begin),
}

/// The source of faults.
#[derive(Debug)]
pub(super) struct Episodes {
    faults: ParentFaults,
    endpoints: usize,
    next_ms: u64,
    ends: BTreeMap<(u64, u64), Begin>,
    begun: u64,
}

impl Episodes {
    pub(super) fn new(faults: ParentFaults, endpoints: usize, rng: &mut Rng) -> Self {
        let next_ms =
            if faults.every_ms == 0 || faults.kinds.is_empty() { u64::MAX } else { rng.wait(faults.every_ms) };
        Self { faults, endpoints, next_ms, ends: BTreeMap::new(), begun: 0 }
    }

    /// Time at which the next fault begins or ends.
    pub(super) fn next_ms(&self) -> u64 {
        self.ends.first_key_value().map_or(u64::MAX, |((end, _), _)| *end).min(self.next_ms)
    }

    /// The fault that begins or ends at `now_ms`.
    pub(super) fn due(&mut self, now_ms: u64, rng: &mut Rng) -> Option<Change> {
        if self.ends.first_key_value().is_some_and(|((end, _), _)| *end <= now_ms) {
            return self.ends.pop_first().map(|(_, over)| Change::End(over));
        }
        if self.next_ms > now_ms {
            return None;
        }
        self.next_ms = now_ms.saturating_add(rng.wait(self.faults.every_ms));
        let kind = *rng.pick(&self.faults.kinds);
        let endpoint = match kind {
            FaultKind::Lie if self.faults.liars.is_empty() => return None,
            FaultKind::Lie => *rng.pick(&self.faults.liars),
            _ => rng.index(self.endpoints),
        };
        let begin = Begin { kind, endpoint };
        self.begun += 1;
        let end_ms = now_ms.saturating_add(rng.between(1, self.faults.most_ms.max(1)));
        self.ends.insert((end_ms, self.begun), begin.clone());
        Some(Change::Begin(begin))
    }

    /// Ends the drawing of faults.
    pub(super) fn stop(&mut self) {
        self.next_ms = u64::MAX;
        self.ends.clear();
    }
}

/// A chain-wide fault of this kind with drawn strength, put into `faults`.
pub(super) fn strike_chain(kind: FaultKind, faults: &mut ChainFaults, rng: &mut Rng) {
    match kind {
        FaultKind::Reorganisations => {
            faults.reorg_percent = rng.between(5, 50);
            faults.reorg_depth = rng.between(1, 64);
            faults.drop_percent = rng.below(40);
        }
        FaultKind::Stuck => faults.stuck_percent = rng.between(20, 100),
        FaultKind::Lost => faults.lost_percent = rng.between(10, 60),
        // Up to far above any relayer's cap.
        FaultKind::GasSpike => faults.fee_factor = rng.between(2, 2_000),
        FaultKind::FinalityStall => faults.finality_stalled = true,
        FaultKind::Halt => faults.halted = true,
        _ => {}
    }
}

/// Ends a chain-wide fault of this kind.
pub(super) fn calm_chain(kind: FaultKind, faults: &mut ChainFaults) {
    let none = ChainFaults::default();
    match kind {
        FaultKind::Reorganisations => {
            (faults.reorg_percent, faults.drop_percent) = (none.reorg_percent, none.drop_percent);
        }
        FaultKind::Stuck => faults.stuck_percent = none.stuck_percent,
        FaultKind::Lost => faults.lost_percent = none.lost_percent,
        FaultKind::GasSpike => faults.fee_factor = none.fee_factor,
        FaultKind::FinalityStall => faults.finality_stalled = none.finality_stalled,
        FaultKind::Halt => faults.halted = none.halted,
        _ => {}
    }
}

/// A fault of an endpoint whose newest block is `head`, put into `faults`. Lies are drawn by [`draw_lie`].
pub(super) fn strike_endpoint(kind: FaultKind, head: u64, faults: &mut EndpointFaults, rng: &mut Rng) {
    match kind {
        FaultKind::Lag => faults.lag = rng.between(1, 40),
        FaultKind::Stall => faults.stalled_at = Some(head),
        FaultKind::Unindexed => faults.unindexed = rng.between(1, 30),
        FaultKind::Slow => faults.slow_ms = rng.between(100, 20_000),
        FaultKind::LogRange => faults.max_log_range = rng.between(1, 20),
        FaultKind::Cut => faults.cut_percent = rng.between(5, 90),
        FaultKind::Outage => {
            let kinds = [Outage::Refused, Outage::Silent, Outage::Status(503), Outage::Status(429)];
            faults.outage = Some(*rng.pick(&kinds));
        }
        _ => {}
    }
}

/// Ends a fault of an endpoint.
pub(super) fn calm_endpoint(kind: FaultKind, faults: &mut EndpointFaults) {
    let none = EndpointFaults::default();
    match kind {
        FaultKind::Lag => faults.lag = none.lag,
        FaultKind::Stall => faults.stalled_at = none.stalled_at,
        FaultKind::Unindexed => faults.unindexed = none.unindexed,
        FaultKind::Slow => faults.slow_ms = none.slow_ms,
        FaultKind::LogRange => faults.max_log_range = none.max_log_range,
        FaultKind::Cut => faults.cut_percent = none.cut_percent,
        FaultKind::Outage => faults.outage = none.outage,
        FaultKind::Lie => faults.lie = none.lie,
        _ => {}
    }
}

/// A lie; `Err` asks for a branch that leaves the chain this many blocks below its head, with or without a forged deposit.
pub(super) fn draw_lie(rng: &mut Rng) -> Result<Lie, (u64, Option<ForgedDeposit>)> {
    let thief = Address::repeat_byte(0x7f);
    Ok(match rng.below(17) {
        0 => Lie::ChainId(rng.bits()),
        1 => Lie::HiddenDeposits(rng.between(1, 4)),
        2 => Lie::AlteredDeposits(thief),
        3 => Lie::DoubledLogs,
        4 => Lie::StrayLog,
        5 => Lie::FinalizedAhead(rng.between(1, 64)),
        6 => Lie::FinalizedBack(rng.between(1, 64)),
        7 => Lie::BlockHashes,
        8 => Lie::DepositCount(rng.between(1, 5_000)),
        9 => Lie::Registry(rng.between(1, 9)),
        10 => Lie::NoContracts,
        11 => Lie::NotJsonRpc,
        12 => Lie::OtherTypes,
        13 => Lie::Nothing,
        14 => Lie::TooLong,
        15 => Lie::Refusal(-32_000),
        _ => {
            let forged = ForgedDeposit { recipient: thief, amount: U256::from(10u64.pow(18)) };
            return Err((rng.between(1, 6), rng.percent(70).then_some(forged)));
        }
    })
}
