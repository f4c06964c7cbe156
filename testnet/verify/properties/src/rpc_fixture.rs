//! A JSON-RPC server over a small chain, without a socket.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use causeway_execution::{Executor, RecoveredTx, StateSource as _};
use causeway_genesis::Genesis;
use causeway_mempool::{AccountView, Mempool, PendingFeed, PoolConfig};
use causeway_rpc::{
    ConsensusProgress, NodeStatus, PegProgress, RpcConfig, RpcContext, RpcLimits, ServerHandle, SyncProgress,
    Unlistened,
};
use causeway_storage::{Storage, StorageOptions};
use parking_lot::Mutex;

use crate::chain::{CHAIN_ID, Chain, ETHER, GENESIS_TIME, spec, user};
use crate::evm_block::withdrawal;
use crate::memory::Rows;

const BLOCKS: u64 = 5;

pub(crate) struct Served {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) server: Unlistened,
    storage: Arc<Storage>,
    executor: Arc<Executor>,
    pool: Arc<Mutex<Mempool>>,
    _handle: ServerHandle,
}

/// Nothing waits and nothing is large: a second is too long.
fn limits() -> RpcLimits {
    RpcLimits {
        call_gas: 2_000_000,
        request_bytes: 64 * 1024,
        request_ms: 60_000,
        batch: 16,
        filters: 64,
        filters_per_connection: 64,
        ..RpcLimits::default()
    }
}

struct Status;

impl NodeStatus for Status {
    fn peer_count(&self) -> u64 {
        3
    }

    fn is_listening(&self) -> bool {
        true
    }

    fn syncing(&self) -> Option<SyncProgress> {
        None
    }

    fn consensus(&self) -> Option<ConsensusProgress> {
        Some(ConsensusProgress {
            height: 9,
            round: 1,
            step: "prevote".to_owned(),
            proposer: Some(Address::repeat_byte(1)),
            validator: None,
        })
    }

    fn peg(&self) -> Option<PegProgress> {
        None
    }

    fn is_claimed(&self, index: u64) -> Option<bool> {
        (index < 2).then_some(index == 0)
    }
}

impl Served {
    pub(crate) fn new() -> Self {
        let genesis = Arc::new(Genesis::build(spec(true)).expect("a legal spec"));
        let storage = Storage::open_on(Box::new(Rows::default()), &genesis, StorageOptions::default());
        let storage = storage.expect("empty tables");
        let mut chain = Chain::at_genesis(genesis.clone());
        for height in 1..=BLOCKS {
            let system = if height % 2 == 1 { vec![chain.import(&[(user(0), 5 * ETHER)])] } else { Vec::new() };
            let txs = if height > 1 { vec![withdrawal(&chain)] } else { Vec::new() };
            let executed = Arc::new(chain.build(system, &txs, 1));
            let certificate = chain.certificate(height, executed.hash);
            storage.commit(&executed, &certificate).expect("tables in memory");
            chain = chain.after(executed);
        }
        let executor = Arc::new(Executor::new(genesis.clone()));
        let rules = executor.next_rules(&storage.head()).expect("known rules");
        let pool = Arc::new(Mutex::new(Mempool::new(PoolConfig::new(CHAIN_ID), rules)));
        let pending = PendingFeed::default();
        let submit = {
            let (pool, storage, pending) = (pool.clone(), storage.clone(), pending.clone());
            let executor = executor.clone();
            Arc::new(move |tx: Arc<RecoveredTx>| {
                let account = storage.latest().account(tx.sender).ok().flatten().unwrap_or_default();
                let balance = account.balance.max(U256::from(ETHER));
                let view = AccountView { nonce: account.nonce, balance, ..AccountView::default() };
                let base_fee = executor.next_base_fee(&storage.head()).expect("known rules");
                pool.lock().add(tx.clone(), &view, base_fee, now_ms(), true)?;
                pending.publish(&tx);
                Ok(tx.hash)
            })
        };
        let ctx = RpcContext {
            executor: executor.clone(),
            genesis,
            storage: storage.clone(),
            pool: pool.clone(),
            submit,
            status: Arc::new(Status),
            pending,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
        let runtime = runtime.expect("a runtime");
        let config = RpcConfig { limits: limits(), ..RpcConfig::default() };
        let (server, handle) =
            runtime.block_on(async { Unlistened::new(&config, ctx, Arc::new(now_ms)) }).expect("a server");
        Self { runtime, server, storage, executor, pool, _handle: handle }
    }

    /// Requests do not change the chain; the pool is new each time.
    pub(crate) fn unchanged(&self) {
        assert_eq!(self.storage.head_number(), BLOCKS);
        let mut pool = self.pool.lock();
        let config = pool.config().clone();
        let rules = self.executor.next_rules(&self.storage.head()).expect("known rules");
        *pool = Mempool::new(config, rules);
    }

    /// A transaction that the pool admits.
    pub(crate) fn raw_transaction() -> Bytes {
        crate::transaction::envelopes().swap_remove(3).into()
    }
}

fn now_ms() -> u64 {
    (GENESIS_TIME + BLOCKS) * 1_000
}
