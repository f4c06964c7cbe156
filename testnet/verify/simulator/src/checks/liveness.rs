//! I6, liveness: after all faults have ended, each height is decided within a bounded number of rounds, new heights follow, and every
//! running honest node keeps up.
//!
//! Rounds are those of the certificates; times are the world's. The bounds follow from the nodes' timeouts and from how many
//! members may waste rounds.

use causeway_consensus::Timeouts;

use super::{Violation, ensure, violation::LIVENESS};

/// Rounds that a height may take for each Byzantine member, and the minimum: its own turns, and the next round, which it can spoil.
const ROUNDS_FOR_EACH: u32 = 3;
const ROUNDS_AT_LEAST: u32 = 10;
/// Heights by which an honest node may be behind the head at the end of a run.
const MOST_BEHIND: u64 = 3;

/// Bounds on times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) timeouts: Timeouts,
    pub(crate) block_interval_ms: u64,
    pub(crate) byzantine: u32,
    /// Allowance for clocks, restarts and catching up, in addition to the rounds.
    pub(crate) slack_ms: u64,
}

/// Progress after the healing.
#[derive(Debug)]
pub(crate) struct Liveliness {
    patience: Patience,
    healed: Option<Healed>,
}

#[derive(Debug)]
struct Healed {
    at_ms: u64,
    /// The height in progress, and the greatest round of any node.
    height: u64,
    round: u32,
    /// The last decision, or the healing.
    moved_ms: u64,
    first: bool,
}

/// The first decision after the healing, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstDecision {
    /// Rounds after the one in progress at the healing.
    pub(crate) rounds: u32,
    /// Milliseconds.
    pub(crate) ms: u64,
}

impl Patience {
    fn rounds(&self) -> u32 {
        ROUNDS_AT_LEAST + ROUNDS_FOR_EACH * self.byzantine
    }

    /// The longest duration of this number of rounds from `round` on.
    fn lasting_ms(&self, round: u32) -> u64 {
        let step =
            |base_ms: u64, round: u32| (base_ms + self.timeouts.delta_ms * u64::from(round)).min(Timeouts::MAX_MS);
        let Timeouts { propose_ms, prevote_ms, precommit_ms, .. } = self.timeouts;
        let of_round = |round| step(propose_ms, round) + step(prevote_ms, round) + step(precommit_ms, round);
        let rounds: u64 = (round..=round + self.rounds()).map(of_round).sum();
        rounds + self.block_interval_ms + self.slack_ms
    }
}

impl Liveliness {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, healed: None }
    }

    /// All faults have ended; honest nodes work on `height`, and their greatest round is `round`.
    pub(crate) fn healed(&mut self, now_ms: u64, height: u64, round: u32) {
        self.healed = Some(Healed { at_ms: now_ms, height, round, moved_ms: now_ms, first: true });
    }

    /// The first honest node has decided `height` in `round`. Returns the first decision after the healing.
    pub(crate) fn decided(&mut self, now_ms: u64, height: u64, round: u32) -> Result<Option<FirstDecision>, Violation> {
        let Some(healed) = &mut self.healed else { return Ok(None) };
        let before = if height == healed.height { healed.round } else { 0 };
        let most = before + self.patience.rounds();
        ensure(round <= most, LIVENESS, height, || {
            format!("it was decided in round {round}, {most} at most were due")
        })?;
        healed.moved_ms = now_ms;
        let rounds = round.saturating_sub(before);
        Ok(std::mem::take(&mut healed.first).then(|| FirstDecision { rounds, ms: now_ms - healed.at_ms }))
    }

    /// Time passes; `head` is the greatest height of an honest node.
    pub(crate) fn waited(&self, now_ms: u64, head: u64) -> Result<(), Violation> {
        let Some(healed) = &self.healed else { return Ok(()) };
        let round = if head < healed.height { healed.round } else { 0 };
        let (waited, most) = (now_ms.saturating_sub(healed.moved_ms), self.patience.lasting_ms(round));
        ensure(waited <= most, LIVENESS, head + 1, || {
            format!("nothing was decided for {waited} ms, {most} at most were due")
        })
    }

    /// The run ends with these heads of the honest machines.
    pub(crate) fn finished(&self, heads: &[(usize, Option<u64>)]) -> Result<(), Violation> {
        if self.healed.is_none() {
            return Ok(());
        }
        let best = heads.iter().filter_map(|(_, head)| *head).max().unwrap_or(0);
        let late = heads.iter().find(|(_, head)| head.is_none_or(|head| head + MOST_BEHIND < best));
        match late {
            None => Ok(()),
            Some((machine, head)) => {
                let text = format!("machine {machine} ends at {head:?}, others at {best}");
                Err(Violation::new(LIVENESS, best, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn healed() -> Liveliness {
        let timeouts =
            Timeouts { propose_ms: 300, prevote_ms: 100, precommit_ms: 100, delta_ms: 50, rebroadcast_ms: 300 };
        let mut live = Liveliness::new(Patience { timeouts, block_interval_ms: 100, byzantine: 1, slack_ms: 10_000 });
        live.decided(900_000, 9, 70).unwrap();
        live.waited(u64::MAX, 9).unwrap();
        live.healed(1_000_000, 10, 7);
        live
    }

    #[test]
    fn rounds_after_healing_are_bounded() {
        let mut live = healed();
        assert!(live.decided(1_000_500, 10, 21).is_err());
        let mut live = healed();
        assert_eq!(live.decided(1_000_500, 10, 20).unwrap(), Some(FirstDecision { rounds: 13, ms: 500 }));
        assert_eq!(live.decided(1_000_600, 11, 13).unwrap(), None);
        assert_eq!(live.decided(1_000_700, 12, 14).unwrap_err().invariant, LIVENESS);
    }

    #[test]
    fn a_standstill_is_noticed() {
        let mut live = healed();
        live.waited(1_010_000, 9).unwrap();
        assert!(live.waited(1_100_000, 9).unwrap_err().text.contains("nothing was decided"));
        live.decided(1_090_000, 10, 0).unwrap();
        live.waited(1_100_000, 10).unwrap();
        assert!(live.waited(1_200_000, 10).is_err());
    }

    #[test]
    fn who_stays_behind_is_noticed() {
        let live = healed();
        live.finished(&[(0, Some(20)), (1, Some(17))]).unwrap();
        assert!(live.finished(&[(0, Some(20)), (1, Some(16))]).unwrap_err().text.contains("machine 1"));
        assert!(live.finished(&[(0, Some(20)), (1, None)]).is_err());
    }
}
