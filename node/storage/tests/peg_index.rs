//! Deposits, withdrawals and checkpoints by their numbers.

use crate::support::{Changes, Content, Place, TestChain, certificate};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{ExecutedBlock, PegEvent, PegEventKind};
use causeway_genesis::addresses::PEG;
use causeway_peg::{IPeg, abi::SignatureAbi, layout};
use causeway_storage::{MAX_PEG_RANGE, StorageError, StorageOptions};
use std::sync::Arc;

in_each_place! {
    deposits_and_withdrawals_are_found_by_number_with_their_transactions,
    a_range_of_withdrawals_is_cut_at_the_limit,
    a_checkpoint_is_put_together_from_its_transaction_and_the_state,
    a_checkpoint_whose_transaction_does_not_hold_it_is_corruption,
}

fn deposit(nonce: u64) -> PegEventKind {
    PegEventKind::DepositMinted(IPeg::DepositMinted {
        nonce,
        token: Address::ZERO,
        sender: Address::repeat_byte(1),
        recipient: Address::repeat_byte(2),
        amount: U256::from(nonce * 10),
    })
}

fn withdrawal(index: u64) -> PegEventKind {
    PegEventKind::WithdrawalRequested(IPeg::WithdrawalRequested {
        index,
        token: Address::ZERO,
        sender: Address::repeat_byte(3),
        recipient: Address::repeat_byte(4),
        amount: U256::from(index + 5),
        relayerFee: U256::from(1),
    })
}

fn block_of(kinds: Vec<PegEventKind>) -> Content {
    let mut content = Content::default();
    for (at, kind) in kinds.into_iter().enumerate() {
        content.add_system(PEG, Vec::new().into());
        content.peg_events.push(PegEvent { transaction_index: at, log_index: at, kind });
    }
    content
}

fn deposits_and_withdrawals_are_found_by_number_with_their_transactions(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    chain.push_with(&Changes::default(), block_of(vec![deposit(1), deposit(2), withdrawal(0)]));
    chain.push_with(&Changes::default(), block_of(vec![withdrawal(1), deposit(3)]));
    chain.reopen_in(place);
    let storage = &chain.storage;

    let found = storage.deposit(3).unwrap().unwrap();
    assert_eq!((found.block, found.transaction_index), (2, 1));
    assert_eq!(found.transaction_hash, chain.blocks[1].0.block.transactions[1].hash());
    assert_eq!((found.deposit.nonce, found.deposit.amount), (3, U256::from(30)));
    assert!(storage.deposit(4).unwrap().is_none());
    assert!(storage.deposit(0).unwrap().is_none());

    let found = storage.withdrawal(0).unwrap().unwrap();
    assert_eq!((found.block, found.transaction_index), (1, 2));
    assert_eq!(
        (found.withdrawal.index, found.withdrawal.amount, found.withdrawal.relayerFee),
        (0, U256::from(5), U256::from(1))
    );
    assert!(storage.withdrawal(2).unwrap().is_none());

    let indexes = |from, to| -> Vec<u64> {
        storage.withdrawals(from, to).unwrap().iter().map(|record| record.withdrawal.index).collect()
    };
    assert_eq!(indexes(0, 2), [0, 1]);
    assert_eq!(indexes(1, u64::MAX), [1]);
    assert!(indexes(1, 1).is_empty() && indexes(2, 1).is_empty() && indexes(5, 9).is_empty());
}

fn a_range_of_withdrawals_is_cut_at_the_limit(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    let mut content = Content::default();
    content.add_system(PEG, Vec::new().into());
    content.peg_events = (0..MAX_PEG_RANGE + 5)
        .map(|index| PegEvent { transaction_index: 0, log_index: 0, kind: withdrawal(index) })
        .collect();
    chain.push_with(&Changes::default(), content);
    let first = chain.storage.withdrawals(0, u64::MAX).unwrap();
    assert_eq!(first.len() as u64, MAX_PEG_RANGE);
    assert_eq!(chain.storage.withdrawals(MAX_PEG_RANGE, u64::MAX).unwrap().len(), 5);
}

/// A block that records checkpoint `number` with the digest slot filled as the module does.
fn record(chain: &mut TestChain, number: u64, input: Vec<u8>) {
    let mut content = Content::default();
    content.add_system(PEG, input.into());
    let digest = B256::repeat_byte(u8::try_from(number).unwrap());
    let kind = PegEventKind::CheckpointRecorded(IPeg::CheckpointRecorded { number, digest });
    content.peg_events.push(PegEvent { transaction_index: 0, log_index: 0, kind });
    let (executed, model) = chain.next(&Changes::default(), content);
    let mut executed = ExecutedBlock::clone(&executed);
    let slot = layout::checkpoint(number, layout::CheckpointField::Digest);
    executed.diff.storage.insert((PEG, slot), (U256::ZERO, digest.into()));
    let executed = Arc::new(executed);
    let certificate = certificate(&executed);
    chain.storage.commit(&executed, &certificate).unwrap();
    chain.models.push(model);
    chain.blocks.push((executed, certificate));
}

fn recording(number: u64) -> Vec<u8> {
    let signature =
        SignatureAbi { signer: Address::repeat_byte(7), r: B256::repeat_byte(1), s: B256::repeat_byte(2), v: 27 };
    IPeg::recordCheckpointCall { number, signatures: vec![signature] }.abi_encode()
}

fn a_checkpoint_is_put_together_from_its_transaction_and_the_state(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    assert!(chain.storage.latest_checkpoint().unwrap().is_none());
    record(&mut chain, 1, recording(1));
    record(&mut chain, 3, recording(3));
    let found = chain.storage.checkpoint(1).unwrap().unwrap();
    assert_eq!((found.checkpoint.number, found.block, found.transaction_index), (1, 1, 0));
    assert_eq!(found.transaction_hash, chain.blocks[0].0.block.transactions[0].hash());
    assert_eq!(found.signatures.len(), 1);
    assert_eq!(found.signatures[0].signer, Address::repeat_byte(7));
    assert!(chain.storage.checkpoint(2).unwrap().is_none());
    assert_eq!(chain.storage.latest_checkpoint().unwrap().unwrap().checkpoint.number, 3);
}

fn a_checkpoint_whose_transaction_does_not_hold_it_is_corruption(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    record(&mut chain, 1, b"not a call".to_vec());
    let error = chain.storage.checkpoint(1).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { family: "checkpoints", .. }), "{error}");
}
