//! Check 7: the withdrawal tree.

use super::{STOP, require_slot};
use crate::{
    audit::{Facts, count},
    report::{Check, Figure, Object},
};
use alloy_primitives::U256;
use causeway_peg::{layout, tree, withdrawal::withdrawal_leaf};

/// Check 7: the tree rebuilt from the burns has each root and count that the parent accepted.
pub(crate) fn withdrawals(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(7, "the withdrawal tree, rebuilt, gives each root and count");
    check.figure("withdrawals", count(facts.chain.burns.len()));
    let mut burns: Vec<_> = facts.chain.burns.iter().collect();
    burns.sort_by_key(|burn| burn.withdrawal.index);
    let mut block = 0u64;
    for (burn, index) in burns.iter().zip(0u64..) {
        let object = Object::Withdrawal(burn.withdrawal.index);
        if burn.withdrawal.index != index {
            check.fail(object, format!("it is at the position of withdrawal {index}"), STOP);
            return check;
        }
        if burn.block < block {
            let reason =
                format!("it was burned in block {}, before an earlier withdrawal in block {block}", burn.block);
            check.fail(object, reason, STOP);
        }
        block = burn.block;
        if burn.withdrawal.relayerFee > burn.withdrawal.amount {
            check.fail(object, "its relayer fee exceeds its amount", STOP);
        }
    }
    let leaves: Vec<_> = burns.iter().map(|burn| withdrawal_leaf(&burn.withdrawal)).collect();
    for accepted in &facts.parent.checkpoints {
        let object = Object::Checkpoint(accepted.number);
        let known = usize::try_from(accepted.withdrawalCount).ok().and_then(|count| leaves.get(..count));
        match known.and_then(|leaves| tree::root_of(leaves).ok()) {
            None => {
                let reason = format!(
                    "the parent has {} withdrawals, but the sidechain has {} burns",
                    accepted.withdrawalCount,
                    leaves.len()
                );
                check.fail(object, reason, STOP);
            }
            Some(root) if root != accepted.withdrawalRoot => {
                let reason = format!(
                    "the withdrawal root on the parent is {}, but the burns give {root}",
                    accepted.withdrawalRoot
                );
                check.fail(object, reason, STOP);
            }
            Some(_) => {}
        }
    }
    if let Ok(root) = tree::root_of(&leaves) {
        check.figure("root", Figure::Hash(root));
    }
    let burned = |height: u64| U256::from(burns.iter().filter(|burn| burn.block <= height).count());
    let last = Object::Withdrawal(burns.last().map_or(0, |burn| burn.withdrawal.index));
    require_slot(facts, &mut check, last, layout::WITHDRAWAL_COUNT, "number of withdrawals", burned);
    check
}
