//! I9, slashes: a punished validator loses the same fraction of all stake that backed it in the epoch of its fault: the bonded stake, and
//! the leaving stake that leaves after that epoch, each rounded up.
//!
//! Punishments are read from the validators' status, not from logs: jail has no log.

use alloy_primitives::{Address, U256};
use causeway_execution::ExecutedBlock;
use causeway_genesis::addresses::STAKING;
use causeway_staking::IStaking;

use super::{
    Violation,
    canon::Canon,
    ensure,
    slots::{Marks, StakeSlots},
    stake::decode,
    violation::STAKE,
};

const MILLION: u64 = 1_000_000;

/// A validator that a block punishes, and the stake that must remain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Punished {
    operator: Address,
    bonded: U256,
    /// Leaving tokens, by the epoch in which they leave.
    leaving: Vec<(u64, U256)>,
    /// Whether any stake was leaving.
    pub(crate) had_leaving: bool,
}

/// The validators that the block after the head punishes. It omits a validator whose stake moves in the same block for another reason, and
/// returns none when a new epoch issues stake or a redelegation is settled.
pub(crate) fn punished(canon: &Canon, executed: &ExecutedBlock, last: u64) -> Vec<Punished> {
    let (slots, figures) = (StakeSlots(&canon.mirror), &canon.rules(executed.block.header.number).staking);
    let mut found = Vec::new();
    for operator in slots.operators() {
        let Some((_, after)) = executed.diff.storage.get(&(STAKING, StakeSlots::marks_slot(operator))) else {
            continue;
        };
        let (before, after) = (slots.marks(operator), Marks::of(*after));
        let (ppm, epoch) = match (after.jailed && !before.jailed, after.tombstoned && !before.tombstoned) {
            (true, false) => (figures.downtime_slash_ppm, slots.epoch().number),
            (false, true) => {
                let epoch = fault_epoch(executed, operator).unwrap_or(slots.epoch().number);
                (figures.double_sign_slash_ppm, epoch)
            }
            _ => continue,
        };
        if figures.issuance_ppm > 0 || moves(executed, operator) {
            continue;
        }
        let left = |tokens: U256| tokens - (tokens * U256::from(ppm)).div_ceil(U256::from(MILLION));
        let pools = slots.leaving(operator, last);
        let kept = |leave: u64, tokens: U256| if leave > epoch { left(tokens) } else { tokens };
        found.push(Punished {
            operator,
            bonded: left(slots.record(operator).map_or(U256::ZERO, |record| record.tokens)),
            had_leaving: pools.iter().any(|(leave, tokens, _)| *leave > epoch && !tokens.is_zero()),
            leaving: pools.into_iter().map(|(leave, tokens, _)| (leave, kept(leave, tokens))).collect(),
        });
    }
    found
}

impl Punished {
    /// Compares the validator's stake, now that the block is the head.
    pub(crate) fn check(&self, canon: &Canon, last: u64) -> Result<(), Violation> {
        let slots = StakeSlots(&canon.mirror);
        let bonded = slots.record(self.operator).map_or(U256::ZERO, |record| record.tokens);
        let leaving: Vec<_> =
            slots.leaving(self.operator, last).into_iter().map(|(leave, tokens, _)| (leave, tokens)).collect();
        ensure((bonded, &leaving) == (self.bonded, &self.leaving), STAKE, canon.height(), || {
            format!(
                "{} was punished and has {bonded} bonded and {leaving:?} leaving, {} and {:?} are due",
                self.operator, self.bonded, self.leaving
            )
        })
    }
}

fn events(executed: &ExecutedBlock) -> impl Iterator<Item = IStaking::IStakingEvents> {
    let logs = executed.receipts.iter().flat_map(|receipt| &receipt.logs);
    logs.filter_map(|log| decode(log.address, log.data.topics(), &log.data.data).ok())
}

/// The epoch for whose fault a block says that it slashes a validator that signed twice.
fn fault_epoch(executed: &ExecutedBlock, of: Address) -> Option<u64> {
    events(executed).find_map(|event| match event {
        IStaking::IStakingEvents::Slashed(event) if event.operator == of => Some(event.epoch),
        _ => None,
    })
}

/// Whether a block moves stake to or from a validator.
fn moves(executed: &ExecutedBlock, operator: Address) -> bool {
    events(executed).any(|event| match event {
        IStaking::IStakingEvents::Delegated(event) => event.validator == operator,
        IStaking::IStakingEvents::Undelegated(event) => event.validator == operator,
        IStaking::IStakingEvents::Redelegated(event) => event.from == operator || event.to == operator,
        IStaking::IStakingEvents::UnbondedClaimed(event) => event.validator == operator,
        IStaking::IStakingEvents::Exited(event) => event.operator == operator,
        IStaking::IStakingEvents::RedelegationSettled(_) => true,
        _ => false,
    })
}
