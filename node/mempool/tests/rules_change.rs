//! The pool before, at and after a block under other rules.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crate::support::{best, config, rich, rules, sender, signed, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::B256;
use causeway_execution::{RecoveredTx, Rules};
use causeway_genesis::rules::Fork;
use causeway_mempool::{Mempool, PoolError};

/// Prague with blocks of 60M gas, and Osaka with its cap of 2^24 gas on a transaction.
fn both() -> (Rules, Rules) {
    let (mut before, mut after) = (rules(), rules());
    before.evm.fork = Fork::Prague;
    (before.block.gas_limit, after.block.gas_limit) = (60_000_000, 60_000_000);
    (before, after)
}

fn with_gas(tag: u8, nonce: u64, gas_limit: u64) -> Arc<RecoveredTx> {
    signed(TxEip1559 { gas_limit, ..transfer(nonce) }, sender(tag))
}

fn add(pool: &mut Mempool, tx: Arc<RecoveredTx>) -> Result<B256, PoolError> {
    let hash = tx.hash;
    pool.add(tx, &rich(), 0, 0, true).map(|_| hash)
}

const ABOVE_CAP: u64 = (1 << 24) + 1;

#[test]
fn a_transaction_is_judged_by_the_rules_of_the_next_block() {
    let (before, after) = both();
    let mut pool = Mempool::new(config(), &before);
    add(&mut pool, with_gas(1, 0, ABOVE_CAP)).unwrap();
    // The block whose successor is the first under the later rules.
    pool.on_block(&[], &[], &after, 0, 0);
    let refused = PoolError::GasLimitTooHigh { cap: 1 << 24, gas: ABOVE_CAP };
    assert_eq!(add(&mut pool, with_gas(2, 0, ABOVE_CAP)), Err(refused));
    // And a change the other way allows it again.
    pool.on_block(&[], &[], &before, 0, 0);
    add(&mut pool, with_gas(2, 0, ABOVE_CAP)).unwrap();
}

#[test]
fn what_waits_and_is_not_allowed_any_more_leaves_and_what_follows_it_waits() {
    let (before, after) = both();
    let mut pool = Mempool::new(config(), &before);
    let stays = add(&mut pool, with_gas(1, 0, 1 << 24)).unwrap();
    let first = add(&mut pool, with_gas(2, 0, 21_000)).unwrap();
    let large = add(&mut pool, with_gas(2, 1, ABOVE_CAP)).unwrap();
    let behind = add(&mut pool, with_gas(2, 2, 21_000)).unwrap();
    let update = pool.on_block(&[], &[], &after, 0, 0);
    assert_eq!((update.removed, update.promoted), (vec![large], vec![]));
    assert!(pool.contains(&behind) && pool.contains(&stays));
    assert_eq!((pool.status().pending, pool.status().queued), (2, 1));
    let mut runnable = best(&pool, 0);
    runnable.sort();
    let mut expected = vec![stays, first];
    expected.sort();
    assert_eq!(runnable, expected);
    // Another transaction takes the free place.
    add(&mut pool, with_gas(2, 1, 1 << 24)).unwrap();
    assert_eq!(pool.status().queued, 0);
}

#[test]
fn a_lower_gas_limit_of_blocks_drops_what_no_block_can_hold() {
    let (before, mut after) = both();
    after.block.gas_limit = 10_000_000;
    let mut pool = Mempool::new(config(), &before);
    let large = add(&mut pool, with_gas(1, 0, 10_000_001)).unwrap();
    let small = add(&mut pool, with_gas(2, 0, 10_000_000)).unwrap();
    assert_eq!(pool.on_block(&[], &[], &after, 0, 0).removed, vec![large]);
    assert!(pool.contains(&small));
    assert_eq!(add(&mut pool, with_gas(3, 0, 10_000_001)), Err(PoolError::ExceedsBlockGasLimit));
}

#[test]
fn rules_that_stay_leave_the_pool_as_it_is() {
    let (before, _) = both();
    let mut pool = Mempool::new(config(), &before);
    add(&mut pool, with_gas(1, 0, ABOVE_CAP)).unwrap();
    assert!(pool.on_block(&[], &[], &before, 0, 0).removed.is_empty());
    assert_eq!(pool.status().pending, 1);
}

#[test]
fn some_rules_allow_what_others_refuse() {
    let (before, after) = both();
    let pool = Mempool::new(config(), &after);
    let large = with_gas(1, 0, ABOVE_CAP);
    assert!(pool.allows_under(&before, &large) && !pool.allows_under(&after, &large));
    let never = with_gas(1, 0, 20_999);
    assert!(!pool.allows_under(&before, &never) && !pool.allows_under(&after, &never));
}
