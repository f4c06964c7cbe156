//! Check 5: mints are deposits.

use super::{STOP, require_slot};
use crate::{
    audit::{Facts, count},
    report::{Check, Object},
};
use alloy_primitives::U256;
use causeway_peg::{
    Deposit,
    deposit::{EMPTY_DEPOSIT_ACC, fold_deposits},
    layout,
};

/// Check 5: every mint is exactly one finalised deposit, field by field; nonces are gapless; the accumulator is recomputed.
pub(crate) fn mints(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(5, "every mint is exactly one finalised deposit");
    check.figure("deposits", count(facts.parent.deposits.len()));
    check.figure("mints", count(facts.chain.mints.len()));
    deposits_are_gapless(facts, &mut check);
    let mut next_nonce = 1u64;
    for mint in &facts.chain.mints {
        let nonce = mint.deposit.nonce;
        let object = Object::Deposit(nonce);
        if nonce != next_nonce {
            let reason = format!("it was minted in block {}, but deposit {next_nonce} is the next one", mint.block);
            check.fail(object, reason, STOP);
        }
        next_nonce = nonce.saturating_add(1);
        match deposit(facts, nonce) {
            None => {
                check.fail(
                    object,
                    format!("it was minted in block {}, but not deposited in any final block", mint.block),
                    STOP,
                );
            }
            Some(deposit) => require_same(&mut check, "minted", &mint.deposit, "deposited", &deposit),
        }
    }
    imports_are_deposits(facts, &mut check);
    let object = Object::Deposit(facts.chain.imported(facts.chain.head).0);
    let nonce = |height| U256::from(facts.chain.imported(height).0);
    require_slot(facts, &mut check, object, layout::DEPOSIT_NONCE, "number of the last deposit minted", nonce);
    let acc = |height| facts.chain.imported(height).1.into();
    require_slot(facts, &mut check, object, layout::DEPOSIT_ACC, "deposit accumulator", acc);
    check
}

fn deposit(facts: &Facts<'_>, nonce: u64) -> Option<Deposit> {
    let position = usize::try_from(nonce.checked_sub(1)?).ok()?;
    let deposit = facts.parent.deposits.get(position)?.deposit;
    (deposit.nonce == nonce).then_some(deposit)
}

fn deposits_are_gapless(facts: &Facts<'_>, check: &mut Check) {
    let next = "read the parent from another endpoint: its events do not give the vault's own accumulator";
    let (mut acc, mut nonce) = (EMPTY_DEPOSIT_ACC, 0u64);
    for locked in &facts.parent.deposits {
        nonce = nonce.saturating_add(1);
        let object = Object::Deposit(locked.deposit.nonce);
        if locked.deposit.nonce != nonce {
            check.fail(
                object,
                format!("on the parent it follows deposit {}, so deposits are missing or out of order", nonce - 1),
                next,
            );
            return;
        }
        acc = fold_deposits(acc, [&locked.deposit]);
        if acc != locked.acc {
            let reason = format!("the deposits up to it give the accumulator {acc}, but its event has {}", locked.acc);
            check.fail(object, reason, next);
            return;
        }
    }
    for linked in &facts.parent.linked {
        let position = usize::try_from(linked.nonce).ok().and_then(|nonce| nonce.checked_sub(1));
        let known = position.and_then(|position| facts.parent.deposits.get(position)).map(|locked| locked.acc);
        if linked.nonce > 0 && known != Some(linked.acc) {
            let reason = format!(
                "the registry linked the accumulator {} after it, but the deposits give another one",
                linked.acc
            );
            check.fail(Object::Deposit(linked.nonce), reason, next);
        }
    }
    let claimed = facts.bundle.parent.values.deposit_acc;
    if acc != claimed {
        let reason = format!("the deposits up to it give the accumulator {acc}, but the vault has {claimed}");
        check.fail(Object::Deposit(nonce), reason, next);
    }
}

/// Checks the imports' calldata: the certified, deposited and minted deposits are the same.
fn imports_are_deposits(facts: &Facts<'_>, check: &mut Check) {
    let mut imported = 0u64;
    for import in &facts.chain.imports {
        let view = &import.view;
        let object = Object::Deposit(view.depositNonce);
        for (deposit, nonce) in import.deposits.iter().zip(imported.saturating_add(1)..) {
            if deposit.nonce != nonce {
                let reason = format!("it was imported in block {}, but deposit {nonce} is the next one", import.block);
                check.fail(Object::Deposit(deposit.nonce), reason, STOP);
            }
            let minted = facts.chain.mints.iter().find(|m| m.block == import.block && m.deposit.nonce == deposit.nonce);
            match minted {
                Some(mint) => require_same(check, "minted", &mint.deposit, "imported", deposit),
                None => {
                    let reason = format!("it was imported in block {}, but not minted there", import.block);
                    check.fail(Object::Deposit(deposit.nonce), reason, STOP);
                }
            }
        }
        let last = import.deposits.last().map(|deposit| deposit.nonce);
        if last != Some(view.depositNonce) {
            let reason = format!("the view imported in block {} does not end with its last deposit", import.block);
            check.fail(object, reason, STOP);
        }
        let position = usize::try_from(view.depositNonce).ok().and_then(|nonce| nonce.checked_sub(1));
        let locked = position.and_then(|position| facts.parent.deposits.get(position));
        match locked {
            Some(locked) if locked.acc != view.depositAcc => {
                let reason =
                    format!("the certified accumulator is {}, but the vault's is {}", view.depositAcc, locked.acc);
                check.fail(object, reason, STOP);
            }
            Some(locked) if (locked.height, locked.block_hash) != (view.parentHeight, view.parentHash) => {
                let reason = format!(
                    "it is certified in parent block {} {}, but was deposited in {} {}",
                    view.parentHeight, view.parentHash, locked.height, locked.block_hash
                );
                check.fail(object, reason, STOP);
            }
            Some(_) => {}
            None => check.fail(object, "it is certified, but was not deposited in any final block", STOP),
        }
        imported = view.depositNonce;
    }
}

fn require_same(check: &mut Check, a_is: &str, a: &Deposit, b_is: &str, b: &Deposit) {
    let fields = [
        ("token", a.token.to_string(), b.token.to_string()),
        ("sender", a.sender.to_string(), b.sender.to_string()),
        ("recipient", a.recipient.to_string(), b.recipient.to_string()),
        ("amount", a.amount.to_string(), b.amount.to_string()),
    ];
    for (field, left, right) in fields {
        if left != right {
            let reason = format!("{field} {left} was {a_is}, but {right} was {b_is}");
            check.fail(Object::Deposit(a.nonce), reason, STOP);
        }
    }
}
