//! Checks 1 to 4: the coin locked on the parent equals the coin on the sidechain and in transit.

use super::{STOP, require_slot, sum};
use crate::{
    audit::{Facts, count},
    report::{Check, Figure, Object},
};
use alloy_primitives::U256;
use causeway_peg::layout;
use std::collections::BTreeSet;

/// Check 1: the vault's balance is at least what it owes.
pub(crate) fn backing(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(1, "the vault's balance covers what is locked");
    let values = &facts.bundle.parent.values;
    check.figure("balance", Figure::Wei(values.vault_balance));
    check.figure("locked", Figure::Wei(values.locked));
    if values.vault_balance < values.locked {
        let reason = format!("it has {} wei, but owes {} wei", values.vault_balance, values.locked);
        check.fail(Object::Contract(facts.spec.vault), reason, "stop depositing: the vault cannot pay every claim");
    }
    check
}

/// Check 2: the locked amount equals deposits minus claims, in the events and in the storage.
pub(crate) fn locked(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(2, "locked = deposits - claims, by events and by storage");
    let object = Object::Contract(facts.spec.vault);
    let values = &facts.bundle.parent.values;
    let deposited = sum(facts.parent.deposits.iter().map(|locked| locked.deposit.amount));
    let claimed = sum(facts.parent.claims.iter().map(|claim| claim.amount));
    let (Some(deposited), Some(claimed)) = (deposited, claimed) else {
        check.fail(object, "the events' amounts sum to more than 2^256 wei", "read the parent from another endpoint");
        return check;
    };
    check.figure("deposits", Figure::Wei(deposited));
    check.figure("claims", Figure::Wei(claimed));
    check.figure("locked", Figure::Wei(values.locked));
    let next = "read the parent from another endpoint: events are missing or invented";
    match deposited.checked_sub(claimed) {
        Some(locked) => check.require_equal(object, "events against storage", locked, values.locked, next),
        None => check.fail(object, format!("claims of {claimed} exceed deposits of {deposited} wei"), next),
    }
    let events = facts.parent.deposits.len();
    if count(events) != Figure::Count(values.deposit_nonce) {
        check.fail(
            object,
            format!("there are {events} deposit events, but the vault counts {}", values.deposit_nonce),
            next,
        );
    }
    check
}

/// Check 3: the sidechain's supply equals minted minus burned coin.
pub(crate) fn supply(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(3, "minted - burned = supply");
    let up_to = |height: u64| {
        let minted = sum(facts.chain.mints.iter().filter(|m| m.block <= height).map(|m| m.deposit.amount))?;
        let burned = sum(facts.chain.burns.iter().filter(|b| b.block <= height).map(|b| b.withdrawal.amount))?;
        minted.checked_sub(burned).map(|supply| (minted, burned, supply))
    };
    let Some((minted, burned, supply)) = up_to(facts.chain.head) else {
        check.fail(Object::Supply, "more was burned than minted, or more than 2^256 wei minted", STOP);
        return check;
    };
    check.figure("minted", Figure::Wei(minted));
    check.figure("burned", Figure::Wei(burned));
    check.figure("supply", Figure::Wei(supply));
    let expected = |height| up_to(height).map_or(U256::MAX, |(_, _, supply)| supply);
    require_slot(facts, &mut check, Object::Supply, layout::SUPPLY, "supply", expected);
    for height in facts.proven_heights().into_iter().filter(|at| facts.chain.slot(*at, layout::SUPPLY).is_none()) {
        let next = "collect the evidence from a sidechain endpoint that keeps the state of that block";
        check.fail(Object::Supply, format!("no valid proof of the supply after block {height}"), next);
    }
    if facts.certified.is_none() {
        check.believe("the supply at the head (no checkpoint is certified yet)");
    }
    check
}

/// Check 4: every locked coin is in the supply, burned and not yet claimed, or deposited and not yet minted.
pub(crate) fn equation(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(4, "locked = supply + burned-unclaimed + deposited-unminted");
    let claimed: BTreeSet<u64> = facts.parent.claims.iter().map(|claim| claim.index).collect();
    let (minted, _) = facts.chain.imported(facts.chain.head);
    let unclaimed = facts.chain.burns.iter().map(|b| b.withdrawal).filter(|w| !claimed.contains(&w.index));
    let unminted = facts.parent.deposits.iter().map(|l| l.deposit).filter(|d| d.nonce > minted);
    let unclaimed = sum(unclaimed.map(|withdrawal| withdrawal.amount));
    let unminted = sum(unminted.map(|deposit| deposit.amount));
    let supply = facts.chain.slot(facts.chain.head, layout::SUPPLY);
    let (Some(unclaimed), Some(unminted), Some(supply)) = (unclaimed, unminted, supply) else {
        let next = "collect the evidence again, with a state proof at the head";
        check.fail(Object::Supply, "the supply at the head is not known, or amounts exceed 2^256 wei", next);
        return check;
    };
    let locked = facts.bundle.parent.values.locked;
    check.figure("locked", Figure::Wei(locked));
    check.figure("supply", Figure::Wei(supply));
    check.figure("burned-unclaimed", Figure::Wei(unclaimed));
    check.figure("deposited-unminted", Figure::Wei(unminted));
    match sum([supply, unclaimed, unminted]) {
        Some(owed) if owed == locked => {}
        Some(owed) if owed > locked => {
            let reason = format!("{} wei exist or are in transit without being locked on the parent", owed - locked);
            check.fail(Object::Supply, reason, STOP);
        }
        Some(owed) => {
            let reason = format!("{} locked wei have no owner", locked - owed);
            check.fail(Object::Supply, reason, "look at the failing deposits and claims of the other checks");
        }
        None => check.fail(Object::Supply, "amounts exceed 2^256 wei", STOP),
    }
    check
}
