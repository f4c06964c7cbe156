//! Blocks on top of blocks that are decided but not yet written.

use std::sync::Arc;

use crate::support::{
    ETHER, TestChain,
    asm::{self, Asm},
    assert_same, wallet,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_execution::{Executor, OverlayState, SourceError, StateSource, genesis_state};

#[test]
fn a_block_on_an_overlay_equals_a_block_on_the_written_state() {
    let mut chain = TestChain::standalone(3);
    let base = Arc::new(chain.state.clone());
    let runtime = Asm::new().push(0u64).op(asm::CALLDATALOAD).push(1u64).op(asm::SSTORE).bytes();
    let contract = wallet::address(0).create(0);
    let heir = Address::repeat_byte(0x99);
    let blocks = [
        vec![wallet::create(0, 0, asm::deploy(&runtime)), wallet::transfer(1, 0, heir, ETHER)],
        vec![wallet::call(0, 1, contract, 0, wallet::word(5)), wallet::transfer(2, 0, heir, 1)],
        vec![wallet::call(0, 2, contract, 0, wallet::word(0)), wallet::transfer(1, 1, heir, 1)],
    ];
    let mut overlay: Arc<dyn StateSource> = base;
    for txs in blocks {
        let parent = chain.head.clone();
        let attributes = chain.attributes();
        let written = chain.push_ok(&txs);
        let on_overlay =
            chain.executor.build(&parent, overlay.as_ref(), attributes, Vec::new(), txs.into_iter()).unwrap();
        assert_same(&written, &on_overlay);
        overlay = Arc::new(OverlayState::new(overlay, Arc::new(on_overlay)));
    }
    for (address, account) in &chain.state.accounts {
        assert_eq!(overlay.account(*address).unwrap().as_ref(), Some(account));
    }
    assert_eq!(overlay.storage(contract, U256::from(1)).unwrap(), U256::ZERO);
    assert_eq!(overlay.code(keccak256(&runtime)).unwrap(), runtime);
    for number in 0..=3 {
        assert_eq!(overlay.block_hash(number).unwrap(), chain.state.hashes[&number]);
    }
    assert!(matches!(overlay.block_hash(4), Err(SourceError::MissingBlockHash(4))));
    assert!(matches!(overlay.code(B256::ZERO), Err(SourceError::MissingCode(_))));
    assert_eq!(overlay.account(Address::repeat_byte(0x42)).unwrap(), None);
}

#[test]
fn an_account_that_disappears_is_gone_in_the_overlay() {
    let mut chain = TestChain::standalone(1);
    // A contract created and destroyed within one transaction, at an address that held coin before.
    let contract = wallet::address(0).create(1);
    let init = Asm::new().push_address(Address::repeat_byte(0x99)).op(asm::SELFDESTRUCT).bytes();
    chain.push_ok(&[wallet::transfer(0, 0, contract, 5)]);
    let base: Arc<dyn StateSource> = Arc::new(chain.state.clone());
    let executed = chain.push_ok(&[wallet::create(0, 1, init)]);
    assert_eq!(executed.diff.accounts[&contract].1, None);
    let overlay = OverlayState::new(base.clone(), Arc::new(executed));
    assert!(base.account(contract).unwrap().is_some());
    assert_eq!(overlay.account(contract).unwrap(), None);
}

#[test]
fn genesis_is_an_executed_block() {
    let chain = TestChain::pegged();
    let executed = genesis_state(&chain.genesis);
    assert_eq!(executed.hash, chain.genesis.hash);
    assert_eq!(executed.block.header, chain.genesis.header);
    assert_eq!(executed.diff.accounts.len(), chain.genesis.alloc.len());
    assert!(executed.diff.accounts.values().all(|(before, after)| before.is_none() && after.is_some()));
    assert_eq!(executed.block.encode(), executed.block.encode());
    assert_eq!(Executor::new(chain.genesis.clone()).genesis().hash, executed.hash);
    assert_eq!(executed.diff.code.get(&keccak256([0xfe])), Some(&Bytes::from_static(&[0xfe])));
}
