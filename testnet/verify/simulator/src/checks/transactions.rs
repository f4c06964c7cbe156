//! I2, validity of a block's content: the sender of each transaction, their order, the fees, and that the roots in the header
//! are of these transactions and receipts.
//!
//! Senders are recovered here from signatures; nonces are counted from the state before.

use std::collections::BTreeMap;

use alloy_consensus::{Transaction as _, transaction::SignerRecoverable};
use alloy_eips::{Typed2718, eip2718::Encodable2718};
use alloy_primitives::Address;
use alloy_trie::root::ordered_trie_root_with_encoder;
use causeway_execution::{ExecutedBlock, Transaction};
use causeway_genesis::addresses::SYSTEM;

use super::{Violation, canon::Canon, ensure, violation::VALIDITY};

/// EIP-7702: authorisations raise the nonces of their signers.
const SET_CODE_TYPE: u8 = 4;

/// Checks the contents of the block after the head.
pub(crate) fn check(canon: &Canon, executed: &ExecutedBlock) -> Result<(), Violation> {
    let (block, height) = (&executed.block, executed.block.header.number);
    let fail = |text: String| Err(Violation::new(VALIDITY, height, text));
    let count = block.transactions.len();
    if executed.receipts.len() != count || executed.senders.len() != count {
        return fail(format!("{count} transactions, {} receipts", executed.receipts.len()));
    }
    let base_fee = u128::from(block.header.base_fee_per_gas.unwrap_or(0));
    let mut nonces: BTreeMap<Address, u64> = BTreeMap::new();
    let mut gas = 0u64;
    let (mut users, mut authorisations) = (false, false);
    for (index, (tx, receipt)) in block.transactions.iter().zip(&executed.receipts).enumerate() {
        gas += receipt.gas_used;
        if receipt.cumulative_gas_used != gas || receipt.gas_used > tx.gas_limit() {
            return fail(format!("transaction {index} used {} of {} gas", receipt.gas_used, tx.gas_limit()));
        }
        match tx {
            Transaction::System(_) if users || executed.senders[index] != SYSTEM => {
                return fail(format!("system transaction {index} stands behind users' or is somebody's"));
            }
            Transaction::System(_) => {}
            Transaction::Ethereum(tx) => {
                users = true;
                authorisations |= tx.ty() == SET_CODE_TYPE;
                let sender = match tx.recover_signer() {
                    Ok(sender) if sender == executed.senders[index] => sender,
                    other => {
                        return fail(format!("transaction {index} is by {other:?}, not {}", executed.senders[index]));
                    }
                };
                let due = nonces.entry(sender).or_insert_with(|| canon.mirror.nonce(sender));
                if tx.nonce() != *due {
                    return fail(format!("transaction {index} of {sender} has nonce {}, {due} was due", tx.nonce()));
                }
                *due += 1;
                let paid = receipt.effective_gas_price;
                if paid < base_fee || paid > tx.max_fee_per_gas() {
                    return fail(format!("transaction {index} paid {paid} a gas, the base fee is {base_fee}"));
                }
            }
        }
    }
    ensure(gas == block.header.gas_used, VALIDITY, height, || {
        format!("its transactions used {gas} gas, its header says {}", block.header.gas_used)
    })?;
    for (sender, next) in nonces.into_iter().filter(|_| !authorisations) {
        let after = executed.diff.accounts.get(&sender).and_then(|(_, after)| *after).map(|account| account.nonce);
        ensure(after == Some(next), VALIDITY, height, || format!("{sender} has nonce {after:?} after it, not {next}"))?;
    }
    roots(executed)
}

fn roots(executed: &ExecutedBlock) -> Result<(), Violation> {
    let header = &executed.block.header;
    let transactions = ordered_trie_root_with_encoder(&executed.block.transactions, |tx, out| tx.encode_2718(out));
    let receipts = ordered_trie_root_with_encoder(&executed.receipts, |receipt, out| receipt.encode_2718(out));
    let same = (header.transactions_root, header.receipts_root) == (transactions, receipts);
    ensure(same, VALIDITY, header.number, || {
        format!("its contents have the roots {transactions} and {receipts}, not those of its header")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::checks::kit::{Kit, Made, USER};

    fn transfers() -> (Canon, Made) {
        let (mut kit, canon) = Kit::standalone();
        let txs = [kit.transfer(0, USER, 5), kit.transfer(1, USER, 6)];
        let made = kit.next(&txs);
        assert_eq!(made.executed.block.transactions.len(), 2);
        check(&canon, &made.executed).unwrap();
        (canon, made)
    }

    fn spoilt(doctor: impl Fn(&mut Made)) -> String {
        let (canon, mut made) = transfers();
        doctor(&mut made);
        let violation = check(&canon, &made.executed).unwrap_err();
        assert_eq!(violation.invariant, VALIDITY);
        violation.text
    }

    #[test]
    fn nonces_ascend_by_one_from_the_state_before() {
        assert!(spoilt(|made| made.block(|block| block.transactions.swap(0, 1))).contains("was due"));
        let (_, made) = transfers();
        let (mut kit, mut canon) = Kit::standalone();
        let txs = [kit.transfer(0, USER, 5), kit.transfer(1, USER, 6)];
        canon.advance(&kit.next(&txs).executed, 0).unwrap();
        assert!(check(&canon, &made.executed).unwrap_err().text.contains("has nonce 0, 2 was due"));
    }

    #[test]
    fn senders_are_those_who_signed() {
        assert!(spoilt(|made| made.executed.senders[1] = SYSTEM).contains("not 0xffff"));
    }

    #[test]
    fn gas_adds_up_and_is_paid() {
        assert!(spoilt(|made| made.executed.receipts[1].gas_used += 1).contains("gas"));
        assert!(spoilt(|made| made.header(|header| header.gas_used -= 1)).contains("its transactions used"));
        assert!(spoilt(|made| made.executed.receipts[0].effective_gas_price = 1).contains("paid 1 a gas"));
    }

    #[test]
    fn roots_are_of_what_is_there() {
        assert!(spoilt(|made| made.header(|header| header.receipts_root = header.transactions_root)).contains("roots"));
        assert!(spoilt(|made| made.executed.receipts[0].status = false).contains("roots"));
        assert!(spoilt(|made| _ = made.executed.receipts.pop()).contains("1 receipts"));
    }

    #[test]
    fn a_sender_s_nonce_in_the_state_counts_what_it_sent() {
        let forget = |made: &mut Made| {
            let (_, after) = made.executed.diff.accounts.get_mut(&made.executed.senders[0]).unwrap();
            after.as_mut().unwrap().nonce = 1;
        };
        assert!(spoilt(forget).contains("has nonce Some(1) after it"));
    }
}
