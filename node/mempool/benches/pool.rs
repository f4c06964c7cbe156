//! Adding to and reading from a pool of 10,000 transfers of 200 senders.
//! Unit: one whole pass over the 10,000.

use std::hint::black_box;
use std::sync::Arc;

use alloy_consensus::{Signed, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use causeway_execution::{RecoveredTx, Rules};
use causeway_genesis::{Schedule, ceremony};
use causeway_mempool::{AccountView, Mempool, PoolConfig};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const TRANSACTIONS: u64 = 10_000;
const SENDERS: u64 = 200;
const BASE_FEE: u64 = 1_000_000_000;

fn transactions() -> Vec<Arc<RecoveredTx>> {
    let transaction = |i: u64| {
        let from = Address::left_padding_from(&(i % SENDERS + 1).to_be_bytes());
        let tx = TxEip1559 {
            chain_id: 1,
            nonce: i / SENDERS,
            gas_limit: 21_000,
            max_fee_per_gas: u128::from(BASE_FEE) * 2 + u128::from(i * 7_919 % 1_000),
            max_priority_fee_per_gas: u128::from(i * 7_919 % 1_000),
            to: TxKind::Call(from),
            value: U256::from(1),
            access_list: Default::default(),
            input: Bytes::new(),
        };
        let hash = keccak256(i.to_be_bytes());
        let tx = TxEnvelope::Eip1559(Signed::new_unchecked(tx, Signature::test_signature(), hash));
        let size = tx.encode_2718_len();
        Arc::new(RecoveredTx { tx, hash, sender: from, size })
    };
    (0..TRANSACTIONS).map(transaction).collect()
}

fn rules() -> Rules {
    *Schedule::of(&ceremony::new_spec(1, "bench", 0, None)).expect("the rules are valid").first()
}

fn filled(config: PoolConfig, transactions: &[Arc<RecoveredTx>]) -> Mempool {
    let account = AccountView { balance: U256::MAX, ..AccountView::default() };
    let mut pool = Mempool::new(config, &rules());
    for tx in transactions {
        // In a small pool some are refused; that is what the benchmark of it measures.
        black_box(pool.add(tx.clone(), &account, BASE_FEE, 0, false).is_ok());
    }
    pool
}

fn benches(c: &mut Criterion) {
    let transactions = transactions();
    let config = PoolConfig::new(1);
    let small = PoolConfig { max_transactions: 5_000, ..config.clone() };
    c.bench_function("add 10k", |b| b.iter(|| filled(config.clone(), &transactions)));
    c.bench_function("add 10k to a pool of 5k", |b| b.iter(|| filled(small.clone(), &transactions)));
    let pool = filled(config.clone(), &transactions);
    c.bench_function("best of 10k, all", |b| b.iter(|| pool.best(BASE_FEE).count()));
    c.bench_function("best of 10k, first 1,000", |b| b.iter(|| pool.best(BASE_FEE).take(1_000).count()));
    let rules = rules();
    // Five transactions of each sender are included.
    let included: Vec<_> = transactions[..1_000].iter().map(|tx| tx.hash).collect();
    let account = AccountView { nonce: 5, balance: U256::MAX, ..AccountView::default() };
    let changed: Vec<_> = (1..=SENDERS).map(|i| (Address::left_padding_from(&i.to_be_bytes()), account)).collect();
    c.bench_function("block of 1,000 out of 10k", |b| {
        b.iter_batched(
            || filled(config.clone(), &transactions),
            |mut pool| pool.on_block(&included, &changed, &rules, BASE_FEE, 0),
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(pool, benches);
criterion_main!(pool);
