//! I4, durability: everything that a node acknowledged as final exists after every restart, at the same height and under the same hash.
//!
//! Acknowledged are blocks whose commit returned, and every transaction in them: users look up theirs again.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::{Commit, Database, Violation, canon::Canon, ensure, violation::DURABILITY};

/// Number of blocks below the acknowledged head that are compared at a start.
const COMPARED: u64 = 32;
/// Largest number of acknowledged transactions of the latest blocks that are looked up at a start.
const LOOKED_UP: usize = 16;

/// The acknowledgements of each machine.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    heads: BTreeMap<usize, u64>,
    /// Transactions of the latest blocks, by height: every node that has the block must have them.
    transactions: Vec<(u64, B256)>,
}

impl Acknowledged {
    /// The commit of a height has returned on an honest machine: heights are consecutive.
    pub(crate) fn committed(&mut self, commit: &Commit<'_>) -> Result<(), Violation> {
        let (machine, height) = (commit.machine, commit.height());
        let before = self.heads.insert(machine, height);
        ensure(before.is_none_or(|before| before + 1 == height), DURABILITY, height, || {
            format!("machine {machine} committed it after height {}", before.unwrap_or(0))
        })?;
        if self.transactions.last().is_none_or(|(latest, _)| *latest < height) {
            let hashes = commit.executed.block.transactions.iter().map(|tx| (height, tx.hash()));
            self.transactions.extend(hashes.take(LOOKED_UP));
            let surplus = self.transactions.len().saturating_sub(LOOKED_UP);
            self.transactions.drain(..surplus);
        }
        Ok(())
    }

    /// A machine's disk was replaced by an older copy: other machines must have what it acknowledged since.
    pub(crate) fn restored(&mut self, machine: usize) {
        self.heads.remove(&machine);
    }

    /// A machine has started from its disk.
    pub(crate) fn started(&mut self, canon: &Canon, machine: usize, database: &dyn Database) -> Result<(), Violation> {
        let (head, acknowledged) = (database.head(), self.heads.get(&machine).copied().unwrap_or(0));
        ensure(head >= acknowledged, DURABILITY, acknowledged, || {
            format!("machine {machine} had acknowledged height {acknowledged} and starts at {head}")
        })?;
        // A block whose commit never returned may exist as well; other machines need not have it yet.
        for height in head.saturating_sub(COMPARED)..=head {
            let (known, found) = (canon.at(height).map(|decided| decided.hash), database.hash(height));
            ensure(found.is_some() && (known.is_none() || found == known), DURABILITY, height, || {
                format!("machine {machine} starts with block {found:?}, decided was {known:?}")
            })?;
        }
        for (height, hash) in self.transactions.iter().filter(|(height, _)| *height <= head) {
            let found = database.block_of(hash);
            ensure(found == Some(*height), DURABILITY, *height, || {
                format!("machine {machine} starts with transaction {hash} in block {found:?}, it was in {height}")
            })?;
        }
        self.heads.insert(machine, head);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::checks::kit::{FakeDatabase, Kit, USER};

    /// A machine that acknowledged five blocks, each with a transaction.
    fn five() -> (Canon, Acknowledged, FakeDatabase) {
        let (mut kit, mut canon) = Kit::standalone();
        let mut acknowledged = Acknowledged::default();
        acknowledged.started(&canon, 0, &kit.database()).unwrap();
        for nonce in 0..5 {
            let tx = kit.transfer(nonce, USER, 1);
            let made = kit.next(&[tx]);
            acknowledged.committed(&made.commit(0)).unwrap();
            canon.advance(&made.executed, 0).unwrap();
        }
        acknowledged.started(&canon, 0, &kit.database()).unwrap();
        (canon, acknowledged, kit.database())
    }

    fn spoilt(doctor: impl Fn(&mut FakeDatabase)) -> String {
        let (canon, mut acknowledged, mut database) = five();
        doctor(&mut database);
        let violation = acknowledged.started(&canon, 0, &database).unwrap_err();
        assert_eq!(violation.invariant, DURABILITY);
        violation.text
    }

    #[test]
    fn a_head_that_went_back_is_a_loss() {
        assert!(spoilt(|database| database.head = 4).contains("starts at 4"));
    }

    #[test]
    fn a_block_or_a_transaction_that_changed_is_a_loss() {
        assert!(spoilt(|database| _ = database.hashes.insert(3, B256::ZERO)).contains("decided was"));
        assert!(spoilt(|database| _ = database.hashes.remove(&2)).contains("starts with block None"));
        assert!(spoilt(|database| database.transactions.clear()).contains("in block None"));
        assert!(spoilt(|database| database.transactions.values_mut().for_each(|at| *at = 1)).contains("Some(1)"));
    }

    #[test]
    fn a_head_ahead_of_what_was_acknowledged_is_none_and_is_kept_from_then_on() {
        let (canon, _, database) = five();
        let mut one_less = Acknowledged::default();
        one_less.heads.insert(0, 4);
        one_less.started(&canon, 0, &database).unwrap();
        let mut back = database.clone();
        back.head = 4;
        assert!(one_less.started(&canon, 0, &back).is_err());
    }

    #[test]
    fn heights_are_committed_one_after_the_other() {
        let (mut kit, _) = Kit::standalone();
        let mut acknowledged = Acknowledged::default();
        let (first, _second, third) = (kit.next(&[]), kit.next(&[]), kit.next(&[]));
        acknowledged.committed(&first.commit(0)).unwrap();
        assert_eq!(acknowledged.committed(&third.commit(0)).unwrap_err().invariant, DURABILITY);
        assert!(acknowledged.committed(&first.commit(1)).is_ok());
    }
}
