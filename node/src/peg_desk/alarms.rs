//! What of the peg needs an operator.

use super::PegDesk;

/// Why deposits are not attested right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// The parent's endpoints contradict each other, or the parent broke finality.
    Conflict(String),
    /// No answer since this time, Unix milliseconds.
    Unreachable {
        /// Since when.
        since_ms: u64,
        /// The last failure.
        reason: String,
    },
}

impl PegDesk {
    /// Why deposits wait, if they do.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// Everything that needs an operator, in words; empty when all is well.
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

    /// Epochs that have begun and that the parent is not certified to have taken over. One is normal: the handover is relayed while
    /// the epoch runs.
    pub fn acknowledgement_lag(&self) -> u64 {
        self.progress.set.epoch().saturating_sub(self.progress.acked_epoch)
    }
}
