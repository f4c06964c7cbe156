//! I3, one state: after each height every honest node's trie has the root in the header, and at intervals that
//! root is computed from scratch: from the flat tables of a node, and from the mirror, which is built from diffs alone.
//!
//! Neither computation uses the chain's incremental trie; both use a hash builder over sorted leaves.

use alloy_primitives::keccak256;

use super::{Commit, Violation, canon::Canon, ensure, mirror::root_of, violation::STATE};

/// Interval in heights at which a root is computed from scratch; each machine has its own heights.
pub(crate) const FROM_NOTHING_EVERY: u64 = 32;

/// Checks the node's trie and, at its heights, its flat tables.
pub(crate) fn of_node(commit: &Commit<'_>) -> Result<(), Violation> {
    let (height, expected) = (commit.height(), commit.executed.block.header.state_root);
    // The database may be ahead already when it is read late; then its next commit is checked instead.
    if commit.database.head() != height {
        return Ok(());
    }
    let machine = commit.machine;
    let root = commit.database.root_node().map(keccak256);
    ensure(root == Some(expected), STATE, height, || {
        format!("the trie of machine {machine} has the root {root:?}, the header names {expected}")
    })?;
    if !(height + machine as u64).is_multiple_of(FROM_NOTHING_EVERY) {
        return Ok(());
    }
    let bad = |fault| Violation::new(STATE, height, format!("the tables of machine {machine}: {fault}"));
    let rows = commit.database.rows().map_err(bad)?;
    let root = root_of(rows.accounts.into_iter(), rows.slots.into_iter()).map_err(bad)?;
    ensure(root == expected, STATE, height, || {
        format!("the tables of machine {machine} have the root {root}, the header names {expected}")
    })
}

/// Checks the mirror after it applied the block at the head.
pub(crate) fn of_mirror(canon: &Canon) -> Result<(), Violation> {
    let height = canon.height();
    if !height.is_multiple_of(FROM_NOTHING_EVERY) {
        return Ok(());
    }
    let expected = canon.head().state_root;
    let root = canon.mirror.root().map_err(|fault| Violation::new(STATE, height, fault))?;
    ensure(root == expected, STATE, height, || {
        format!("what blocks said they changed gives the root {root}, the header names {expected}")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::{Bytes, U256};

    use super::*;
    use crate::checks::kit::{Kit, Made, USER};

    /// A block at a height at which all roots are computed, and the chain before it.
    fn at_full_height() -> (Canon, Made) {
        let (mut kit, mut canon) = Kit::standalone();
        for nonce in 0..FROM_NOTHING_EVERY - 1 {
            let tx = kit.transfer(nonce, USER, 1);
            canon.advance(&kit.next(&[tx]).executed, 0).unwrap();
        }
        let made = kit.next(&[]);
        of_node(&made.commit(0)).unwrap();
        (canon, made)
    }

    fn spoilt(doctor: impl Fn(&mut Made)) -> String {
        let (_, mut made) = at_full_height();
        doctor(&mut made);
        let violation = of_node(&made.commit(0)).unwrap_err();
        assert_eq!(violation.invariant, STATE);
        violation.text
    }

    #[test]
    fn a_node_with_another_trie_is_noticed() {
        assert!(spoilt(|made| made.database.root_node = Some(Bytes::from_static(b"node"))).contains("the trie of"));
        assert!(spoilt(|made| made.database.root_node = None).contains("the trie of"));
        assert!(spoilt(|made| made.header(|header| header.state_root.0[0] ^= 1)).contains("the trie of"));
    }

    #[test]
    fn one_row_of_the_tables_that_differs_is_noticed() {
        assert!(spoilt(|made| made.database.rows.accounts[3].1.balance += U256::ONE).contains("have the root"));
        assert!(spoilt(|made| _ = made.database.rows.accounts.remove(0)).contains("tables"));
        assert!(spoilt(|made| made.database.rows.slots[5].1 += U256::ONE).contains("storage root"));
        assert!(spoilt(|made| _ = made.database.rows.slots.pop()).contains("storage root"));
        let orphan = ((alloy_primitives::Address::repeat_byte(0xff), U256::ONE), U256::ONE);
        assert!(spoilt(|made| made.database.rows.slots.push(orphan)).contains("no account"));
    }

    #[test]
    fn machines_take_turns_with_their_tables() {
        let (_, mut made) = at_full_height();
        made.database.rows.accounts.clear();
        assert!(of_node(&made.commit(0)).is_err());
        assert!(of_node(&made.commit(1)).is_ok());
    }

    #[test]
    fn what_blocks_say_they_changed_has_to_give_the_root() {
        let (mut canon, mut made) = at_full_height();
        let honest = made.executed.clone();
        let (_, (_, after)) = made.executed.diff.accounts.iter_mut().next().unwrap();
        after.as_mut().unwrap().balance += U256::ONE;
        canon.advance(&made.executed, 0).unwrap();
        assert!(of_mirror(&canon).unwrap_err().text.contains("what blocks said"));
        let (mut canon, _) = at_full_height();
        canon.advance(&honest, 0).unwrap();
        of_mirror(&canon).unwrap();
    }

    #[test]
    fn a_block_that_found_another_state_does_not_fit() {
        let (mut canon, mut made) = at_full_height();
        let (_, (before, _)) = made.executed.diff.accounts.iter_mut().next().unwrap();
        before.as_mut().unwrap().nonce += 1;
        assert!(canon.advance(&made.executed, 0).unwrap_err().contains("the block found"));
    }
}
