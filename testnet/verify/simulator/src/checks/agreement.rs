//! I1, agreement: one hash a height among honest nodes, of durable blocks.
//!
//! Independent of the nodes: hashes are compared between databases, and the hash of a header is computed here.

use super::{Commit, Violation, canon::Canon, ensure, violation::AGREEMENT};

/// The block that an honest node has made durable equals the other nodes' block, also in its database.
pub(crate) fn check(canon: &Canon, commit: &Commit<'_>) -> Result<(), Violation> {
    let (height, hash) = (commit.height(), commit.executed.hash);
    let computed = commit.executed.block.header.hash_slow();
    ensure(computed == hash, AGREEMENT, height, || {
        format!("machine {} knows block {computed} as {hash}", commit.machine)
    })?;
    if let Some(known) = canon.at(height) {
        ensure(known.hash == hash, AGREEMENT, height, || {
            format!("machine {} decided block {hash}, others decided {}", commit.machine, known.hash)
        })?;
    }
    let stored = commit.database.hash(height);
    ensure(stored == Some(hash), AGREEMENT, height, || {
        format!("machine {} committed block {hash}, its database has {stored:?}", commit.machine)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::B256;

    use super::*;
    use crate::checks::kit::Kit;

    #[test]
    fn another_block_of_a_decided_height_breaks_agreement() {
        let (mut kit, mut canon) = Kit::standalone();
        let first = kit.next(&[]);
        check(&canon, &first.commit(0)).unwrap();
        canon.advance(&first.executed, 0).unwrap();
        check(&canon, &first.commit(1)).unwrap();
        let mut fork = first.clone();
        fork.header(|header| header.extra_data = b"fork".into());
        assert_eq!(check(&canon, &fork.commit(1)).unwrap_err().invariant, AGREEMENT);
    }

    #[test]
    fn a_database_that_holds_another_block_breaks_agreement() {
        let (mut kit, canon) = Kit::standalone();
        let mut first = kit.next(&[]);
        first.database.hashes.insert(1, B256::repeat_byte(9));
        assert_eq!(check(&canon, &first.commit(0)).unwrap_err().invariant, AGREEMENT);
        first.database.hashes.remove(&1);
        assert_eq!(check(&canon, &first.commit(0)).unwrap_err().invariant, AGREEMENT);
    }

    #[test]
    fn a_block_under_a_name_that_is_not_its_hash_breaks_agreement() {
        let (mut kit, canon) = Kit::standalone();
        let mut first = kit.next(&[]);
        first.executed.hash = B256::repeat_byte(3);
        first.database.hashes.insert(1, B256::repeat_byte(3));
        assert_eq!(check(&canon, &first.commit(0)).unwrap_err().invariant, AGREEMENT);
    }
}
