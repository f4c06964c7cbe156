//! Conditions of the peg that need an operator.

use super::Federation;

/// Why this node attests no deposits at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// The parent's endpoints contradict each other, or the parent broke finality.
    Conflict(String),
    /// No endpoint has answered since this time.
    Unreachable {
        /// Unix milliseconds.
        since_ms: u64,
        /// The last failure.
        reason: String,
    },
}

impl Federation {
    /// The reason why deposits are not attested, if there is one.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// All conditions that need an operator, as text; empty when there are none.
    pub fn alarms(&self) -> Vec<String> {
        let parent = match &self.alarm {
            None => None,
            Some(Alarm::Conflict(text)) => Some(text.clone()),
            Some(Alarm::Unreachable { reason, .. }) => Some(format!("the parent chain does not answer: {reason}")),
        };
        let extended = (self.epoch.extended > 0).then(|| {
            format!(
                "epoch {} is {} blocks longer than planned: no block carries the certificate of a checkpoint that hands over to the next validator \
                 set. Validators with more than 2/3 of the power must sign checkpoints with their peg keys.",
                self.epoch.number, self.epoch.extended
            )
        });
        let late = (self.acknowledgement_lag() > 1).then(|| {
            format!(
                "the parent is known to have the validator set of epoch {}, the present epoch is {}: are checkpoints relayed to it, and do validators \
                 with more than 2/3 of the power watch it? Unbonding waits for that.",
                self.progress.acked_epoch, self.progress.set.epoch()
            )
        });
        let foreign = self.foreign_key.map(|registered| {
            format!(
                "the chain has peg address {registered} for this node's validator, the node's peg key is another: it attests nothing. Put the right key \
                 into keys/peg.key."
            )
        });
        [parent, extended, late, foreign].into_iter().flatten().collect()
    }

    /// Epochs that have begun here and whose set is not certified to be in force on the parent. One is normal: the handover is relayed
    /// during the epoch.
    pub fn acknowledgement_lag(&self) -> u64 {
        self.progress.set.epoch().saturating_sub(self.progress.acked_epoch)
    }
}
