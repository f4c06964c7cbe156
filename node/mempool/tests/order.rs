//! Order, promotion, eviction, lifetime and announcements.

use crate::support::{account, best, config, paying, pool, rich, rules, sender, signed, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256};
use causeway_mempool::{Mempool, PoolConfig, PoolError, PoolStatus, REANNOUNCE_AFTER_MS};

/// Adds a transfer and returns its hash.
fn add(pool: &mut Mempool, from: Address, nonce: u64, tip: u128) -> Result<B256, PoolError> {
    let tx = paying(from, nonce, 1_000, tip);
    pool.add(tx.clone(), &rich(), 0, 0, false).map(|_| tx.hash)
}

#[test]
fn dearest_first_but_never_before_an_earlier_nonce() {
    let mut pool = pool();
    let a0 = add(&mut pool, sender(1), 0, 1).unwrap();
    let a1 = add(&mut pool, sender(1), 1, 90).unwrap();
    let b0 = add(&mut pool, sender(2), 0, 50).unwrap();
    let b1 = add(&mut pool, sender(2), 1, 50).unwrap();
    let c0 = add(&mut pool, sender(3), 0, 50).unwrap();
    assert_eq!(best(&pool, 0), vec![b0, b1, c0, a0, a1]);
    let mut skipping = pool.best(0);
    assert_eq!(skipping.next().unwrap().hash, b0);
    skipping.skip_sender(sender(2));
    assert_eq!(skipping.map(|tx| tx.hash).collect::<Vec<_>>(), vec![c0, a0, a1]);
}

#[test]
fn base_fee_decides_the_effective_tip() {
    let mut pool = pool();
    let capped = paying(sender(1), 0, 100, 100);
    let steady = paying(sender(2), 0, 1_000, 40);
    for tx in [&capped, &steady] {
        pool.add(tx.clone(), &rich(), 0, 0, false).unwrap();
    }
    assert_eq!(best(&pool, 0), vec![capped.hash, steady.hash]);
    assert_eq!(best(&pool, 70), vec![steady.hash, capped.hash]);
    assert_eq!(best(&pool, 101), vec![steady.hash]);
}

#[test]
fn gap_queues_and_its_filling_promotes() {
    let mut pool = pool();
    let late = paying(sender(1), 1, 100, 10);
    let added = pool.add(late.clone(), &rich(), 0, 0, false).unwrap();
    assert!(!added.pending && added.promoted.is_empty());
    assert_eq!((pool.pending_nonce(&sender(1)), best(&pool, 0).len()), (None, 0));
    let first = paying(sender(1), 0, 100, 10);
    let added = pool.add(first.clone(), &rich(), 0, 0, false).unwrap();
    assert_eq!(added.promoted, vec![first.hash, late.hash]);
    assert_eq!(pool.pending_nonce(&sender(1)), Some(2));
    let PoolStatus { pending, queued, bytes } = pool.status();
    assert_eq!((pending, queued, bytes), (2, 0, first.size + late.size));
}

#[test]
fn block_removes_what_it_included_and_what_lost_its_funds() {
    let mut pool = pool();
    let hashes: Vec<B256> = (0..4).map(|nonce| add(&mut pool, sender(1), nonce, 10).unwrap()).collect();
    let other = add(&mut pool, sender(2), 0, 10).unwrap();
    // Each costs at most 21,000,000. The balance covers one and a half of them.
    let update = pool.on_block(&hashes[..1], &[(sender(1), account(1, 31_500_000))], &rules(), 0, 0);
    assert_eq!(update.removed, vec![hashes[0]]);
    assert_eq!(best(&pool, 0), vec![hashes[1], other]);
    assert_eq!(pool.status().queued, 2);
    // A higher balance makes them runnable again. A balance of zero removes them.
    let update = pool.on_block(&[], &[(sender(1), account(1, u64::MAX))], &rules(), 0, 0);
    assert_eq!(update.promoted, vec![hashes[2], hashes[3]]);
    let update = pool.on_block(&[], &[(sender(1), account(1, 20_999_999))], &rules(), 0, 0);
    assert_eq!(update.removed, hashes[1..]);
    // Without a view of the account, inclusion alone shows that the nonce is used.
    assert_eq!(pool.on_block(&[other], &[], &rules(), 0, 0).removed, vec![other]);
    assert_eq!(pool.status(), PoolStatus::default());
}

#[test]
fn view_older_than_the_pools_does_not_bring_used_nonces_back() {
    let mut pool = pool();
    let first = add(&mut pool, sender(1), 0, 10).unwrap();
    add(&mut pool, sender(1), 1, 10).unwrap();
    pool.on_block(&[first], &[(sender(1), account(1, u64::MAX))], &rules(), 0, 0);
    assert!(matches!(add(&mut pool, sender(1), 0, 10), Err(PoolError::NonceTooLow { next: 1, nonce: 0 })));
    // A newer view counts: nonce 1 is used meanwhile.
    let tx = paying(sender(1), 2, 1_000, 10);
    assert!(pool.add(tx.clone(), &account(2, u64::MAX), 0, 0, false).unwrap().pending);
    assert_eq!(best(&pool, 0), vec![tx.hash]);
}

#[test]
fn removal_of_one_queues_those_behind_it() {
    let mut pool = pool();
    let hashes: Vec<B256> = (0..3).map(|nonce| add(&mut pool, sender(1), nonce, 10).unwrap()).collect();
    assert_eq!(pool.remove(&hashes[1]).unwrap().hash, hashes[1]);
    assert_eq!(best(&pool, 0), vec![hashes[0]]);
    assert_eq!((pool.status().queued, pool.pending_nonce(&sender(1))), (1, Some(1)));
    assert!(pool.remove(&hashes[1]).is_none());
}

fn small(max_transactions: usize) -> Mempool {
    Mempool::new(PoolConfig { max_transactions, ..config() }, &rules())
}

#[test]
fn full_pool_exchanges_its_cheapest_for_a_dearer_one() {
    let mut pool = small(2);
    let cheap = add(&mut pool, sender(1), 0, 10).unwrap();
    let dear = add(&mut pool, sender(2), 0, 20).unwrap();
    assert_eq!(
        add(&mut pool, sender(3), 0, 10).unwrap_err().to_string(),
        "transaction underpriced: txpool is full, effective tip 10, more than 10 needed"
    );
    let new = add(&mut pool, sender(3), 0, 11).unwrap();
    assert!(!pool.contains(&cheap));
    assert_eq!(best(&pool, 0), vec![dear, new]);
}

#[test]
fn eviction_takes_the_last_nonce_and_strands_nobody() {
    let mut pool = small(3);
    let first = add(&mut pool, sender(1), 0, 5).unwrap();
    add(&mut pool, sender(1), 1, 90).unwrap();
    let second = add(&mut pool, sender(2), 0, 50).unwrap();
    // The expensive last transaction cannot be included without the cheap one before it, so it is evicted first.
    let new = add(&mut pool, sender(3), 0, 6).unwrap();
    assert_eq!(best(&pool, 0), vec![second, new, first]);
}

#[test]
fn queued_transaction_never_evicts_a_runnable_one() {
    let mut pool = small(2);
    add(&mut pool, sender(1), 0, 1).unwrap();
    add(&mut pool, sender(2), 0, 1).unwrap();
    assert_eq!(add(&mut pool, sender(3), 7, 1_000).unwrap_err().to_string(), "txpool is full");
    let mut pool = small(2);
    add(&mut pool, sender(1), 0, 1).unwrap();
    let queued = add(&mut pool, sender(2), 5, 1_000).unwrap();
    add(&mut pool, sender(3), 0, 1).unwrap();
    assert!(!pool.contains(&queued), "a runnable one takes the place of any queued one");
}

#[test]
fn queued_transactions_share_a_part_of_the_pool() {
    let mut pool = Mempool::new(PoolConfig { max_queued: 2, ..config() }, &rules());
    let cheap = add(&mut pool, sender(1), 5, 10).unwrap();
    add(&mut pool, sender(2), 5, 20).unwrap();
    assert!(add(&mut pool, sender(3), 5, 10).is_err());
    add(&mut pool, sender(3), 5, 15).unwrap();
    assert!(!pool.contains(&cheap));
    add(&mut pool, sender(4), 0, 0).unwrap();
    assert_eq!(pool.status().queued, 2);
}

#[test]
fn sender_does_not_evict_its_own() {
    let mut pool = small(2);
    add(&mut pool, sender(1), 0, 1).unwrap();
    add(&mut pool, sender(1), 1, 1).unwrap();
    assert_eq!(add(&mut pool, sender(1), 2, 100), Err(PoolError::Full));
    assert_eq!(pool.status().pending, 2);
}

#[test]
fn one_large_transaction_does_not_push_out_many() {
    let mut pool = Mempool::new(PoolConfig { max_bytes: 6_000, ..config() }, &rules());
    let mut count = 0;
    while add(&mut pool, sender(count), 0, 1).is_ok() {
        count += 1;
    }
    assert!(count > 20);
    let large =
        TxEip1559 { input: vec![0; 5_000].into(), gas_limit: 1_000_000, max_priority_fee_per_gas: 50, ..transfer(0) };
    let before = best(&pool, 0);
    assert_eq!(pool.add(signed(large, sender(99)), &rich(), 0, 0, false), Err(PoolError::Full));
    assert_eq!(best(&pool, 0), before, "a refused transaction changes nothing");
}

#[test]
fn fall_of_the_base_fee_changes_who_is_cheapest() {
    let mut pool = small(2);
    let capped = paying(sender(1), 0, 100, 90);
    let steady = paying(sender(2), 0, 1_000, 20);
    for tx in [&capped, &steady] {
        pool.add(tx.clone(), &rich(), 95, 0, false).unwrap();
    }
    // At a base fee of 95 the first pays 5. At 0 it pays 90, and the second is the cheapest.
    pool.on_block(&[], &[], &rules(), 0, 0);
    pool.add(paying(sender(3), 0, 1_000, 30), &rich(), 0, 0, false).unwrap();
    assert!(pool.contains(&capped.hash) && !pool.contains(&steady.hash));
}

#[test]
fn queued_transactions_expire_and_runnable_ones_do_not() {
    let mut pool = Mempool::new(PoolConfig { queued_lifetime_ms: 1_000, ..config() }, &rules());
    let runnable = paying(sender(1), 0, 100, 10);
    let gapped = paying(sender(2), 3, 100, 10);
    pool.add(runnable.clone(), &rich(), 0, 5, false).unwrap();
    pool.add(gapped.clone(), &rich(), 0, 5, false).unwrap();
    assert!(pool.remove_expired(1_004).is_empty());
    assert_eq!(pool.remove_expired(1_005), vec![gapped.hash]);
    assert!(pool.contains(&runnable.hash));
    assert!(pool.remove_expired(u64::MAX).is_empty());
}

#[test]
fn local_transactions_are_announced_once_runnable_and_again_after_a_while() {
    let mut pool = pool();
    let gossiped = paying(sender(9), 0, 100, 10);
    pool.add(gossiped, &rich(), 0, 0, false).unwrap();
    let second = paying(sender(1), 1, 100, 10);
    pool.add(second.clone(), &rich(), 0, 0, true).unwrap();
    assert_eq!((pool.announce(0, 10, 10_000).len(), pool.next_announcement_ms()), (0, None));
    let first = paying(sender(1), 0, 100, 10);
    pool.add(first.clone(), &rich(), 0, 7, true).unwrap();
    let hashes = |list: Vec<std::sync::Arc<causeway_execution::RecoveredTx>>| -> Vec<B256> {
        list.into_iter().map(|tx| tx.hash).collect()
    };
    assert_eq!(hashes(pool.announce(7, 1, 10_000)), vec![second.hash]);
    assert_eq!(hashes(pool.announce(7, 10, 0)), vec![first.hash]);
    assert!(pool.announce(7, 10, 10_000).is_empty());
    assert_eq!(pool.next_announcement_ms(), Some(7 + REANNOUNCE_AFTER_MS));
    pool.on_block(&[first.hash], &[(sender(1), account(1, u64::MAX))], &rules(), 0, 8);
    assert_eq!(hashes(pool.announce(7 + REANNOUNCE_AFTER_MS, 10, 10_000)), vec![second.hash]);
}

#[test]
fn balance_read_before_a_block_drops_nothing() {
    let mut pool = pool();
    let first = add(&mut pool, sender(1), 0, 10).unwrap();
    // The account was read before it was funded, and another transaction is added with that view.
    let poor = account(0, 20_000_000);
    assert!(pool.add(paying(sender(1), 1, 1_000, 10), &poor, 0, 0, false).is_err());
    assert!(pool.contains(&first));
    assert_eq!(pool.status().queued, 1);
    let second = add(&mut pool, sender(1), 1, 10).unwrap();
    assert_eq!(best(&pool, 0), vec![first, second]);
    // The view of a block does remove transactions.
    assert_eq!(pool.on_block(&[], &[(sender(1), poor)], &rules(), 0, 0).removed, vec![first, second]);
}
