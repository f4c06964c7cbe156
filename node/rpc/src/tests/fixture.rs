//! A chain, its server on a free port, and clients.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::CommitCertificate;
use causeway_execution::{BuildAttributes, ExecutedBlock, Executor, MAX_BLOCK_BYTES, RecoveredTx, SystemCall};
use causeway_fixtures::{commit_certificate, node_keys};
pub(super) use causeway_fixtures::{consensus_signer, operator, peg_signer};
use causeway_genesis::{AllocAccount, ChainSpec, Genesis, ceremony};
use causeway_mempool::{AccountView, Mempool, PendingFeed, PoolConfig};
use causeway_storage::{HistoryDepth, Storage, StorageOptions};
use jsonrpsee::core::client::{ClientT, Error as ClientError};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::server::Methods;
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use parking_lot::Mutex;
use serde_json::Value;

use crate::api::Clock;
use crate::server::{methods, start_at};
use crate::{ConsensusProgress, NodeStatus, PegProgress, RpcConfig, RpcContext, RpcLimits, ServerHandle, SyncProgress};

pub(super) const CHAIN_ID: u64 = 4_242;
pub(super) const GENESIS_TIME: u64 = 1_700_000_000;
pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(super) const GWEI: u128 = 1_000_000_000;
const VALIDATORS: u8 = 4;

/// Emits an empty log whose topic is the first word of calldata.
pub(super) const LOGGER: Address = address!("00000000000000000000000000000000000a0001");
/// Reverts with its calldata.
pub(super) const REVERTER: Address = address!("00000000000000000000000000000000000a0002");
/// Sets slot 0 to the first word of calldata, or returns it if there is no calldata. Its first value is 7.
pub(super) const STORE: Address = address!("00000000000000000000000000000000000a0003");
/// Loops until it runs out of gas.
pub(super) const LOOP: Address = address!("00000000000000000000000000000000000a0004");
/// Returns the block's number, timestamp, base fee and beneficiary.
pub(super) const BLOCK_ENV: Address = address!("00000000000000000000000000000000000a0005");

fn contracts() -> [(Address, &'static str); 5] {
    [
        (LOGGER, "5f355f5fa100"),
        (REVERTER, "365f5f37365ffd"),
        (STORE, "36600c575f545f5260205ff35b5f355f5500"),
        (LOOP, "5b5f56"),
        (BLOCK_ENV, "435f5242602052486040524160605260805ff3"),
    ]
}

/// Where [`Fixture::under`] puts its contract.
pub(super) const CLZ: Address = Address::repeat_byte(0xc1);

/// The usual first key of development chains.
pub(super) fn rich() -> PrivateKeySigner {
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".parse().unwrap()
}

pub(super) fn user(n: u64) -> PrivateKeySigner {
    let secret = keccak256([b"user".as_slice(), &n.to_be_bytes()].concat());
    PrivateKeySigner::from_bytes(&secret).unwrap()
}

pub(super) fn validators() -> std::ops::RangeInclusive<u8> {
    1..=VALIDATORS
}

fn spec(pegged: bool) -> ChainSpec {
    let peg = if pegged { ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 5) } else { None };
    let mut spec = ceremony::new_spec(CHAIN_ID, "Test chain", GENESIS_TIME, peg);
    spec.gas_limit = 60_000_000;
    spec.base_fee_initial = 1_000_000_000;
    spec.checkpoint_interval = 4;
    let stake = U256::from(1_000_000u64) * U256::from(ETHER);
    spec.validators = (1..=VALIDATORS)
        .map(|seed| ceremony::validator_entry(&format!("validator-{seed}"), operator(seed), stake, &node_keys(seed)))
        .collect();
    for (address, code) in contracts() {
        let storage = if address == STORE { BTreeMap::from([(U256::ZERO, U256::from(7))]) } else { BTreeMap::new() };
        let code = alloy_primitives::hex::decode(code).unwrap().into();
        spec.alloc.insert(address, AllocAccount { code, storage, ..AllocAccount::default() });
    }
    if !pegged {
        let balance = U256::from(1_000 * ETHER);
        spec.alloc.insert(rich().address(), AllocAccount { balance, ..AllocAccount::default() });
    }
    spec
}

/// A running node whose answers the tests set.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) syncing: Mutex<Option<SyncProgress>>,
    pub(super) peg: Mutex<Option<PegProgress>>,
    pub(super) claimed: Mutex<std::collections::BTreeSet<u64>>,
}

impl NodeStatus for Status {
    fn peer_count(&self) -> u64 {
        3
    }

    fn is_listening(&self) -> bool {
        true
    }

    fn syncing(&self) -> Option<SyncProgress> {
        *self.syncing.lock()
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
        self.peg.lock().clone()
    }

    fn is_claimed(&self, index: u64) -> Option<bool> {
        Some(self.claimed.lock().contains(&index))
    }
}

/// A chain with a server. Dropping it stops the server and removes the data.
pub(super) struct Fixture {
    pub(super) ctx: RpcContext,
    limits: RpcLimits,
    pub(super) status: Arc<Status>,
    pub(super) now_ms: Arc<AtomicU64>,
    pub(super) address: SocketAddr,
    pub(super) http: HttpClient,
    handle: ServerHandle,
    _dir: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.handle.stop().ok();
    }
}

impl Fixture {
    pub(super) async fn standalone() -> Self {
        Self::with(spec(false), StorageOptions::default(), |_| {}).await
    }

    /// Keeps the states of the head and of `depth` blocks before it.
    pub(super) async fn pruned(depth: u64) -> Self {
        let options = StorageOptions { history: HistoryDepth::Blocks(depth), ..StorageOptions::default() };
        Self::with(spec(false), options, |_| {}).await
    }

    pub(super) async fn pegged() -> Self {
        Self::with(spec(true), StorageOptions::default(), |_| {}).await
    }

    /// Epochs of 5 blocks, unbonding of 3 seconds, and 1,000 liquid stake tokens of [`rich`]. A block takes a second.
    pub(super) async fn staking() -> Self {
        let mut spec = spec(false);
        spec.epoch_length = 5;
        spec.staking.unbonding_seconds = 3;
        spec.staking.alloc.insert(rich().address(), U256::from(1_000 * ETHER));
        Self::with(spec, StorageOptions::default(), |_| {}).await
    }

    /// Epochs of 8 blocks, and a checkpoint every 4 blocks.
    pub(super) async fn pegged_epochs() -> Self {
        let mut spec = spec(true);
        spec.epoch_length = 8;
        spec.staking.unbonding_seconds = 60;
        Self::with(spec, StorageOptions::default(), |_| {}).await
    }

    pub(super) async fn limited(change: impl FnOnce(&mut RpcLimits)) -> Self {
        Self::with(spec(false), StorageOptions::default(), |config| change(&mut config.limits)).await
    }

    pub(super) async fn configured(change: impl FnOnce(&mut RpcConfig)) -> Self {
        Self::with(spec(false), StorageOptions::default(), change).await
    }

    /// A standalone chain whose rules change, with a contract at [`CLZ`] that returns how many leading zeros 1 has (EIP-7939).
    pub(super) async fn under(rules: Value) -> Self {
        let mut spec = spec(false);
        let code = alloy_primitives::hex!("60011e60005260206000f3").into();
        spec.alloc.insert(CLZ, AllocAccount { code, ..AllocAccount::default() });
        spec.rules = serde_json::from_value(rules).unwrap();
        Self::with(spec, StorageOptions::default(), |_| ()).await
    }

    async fn with(spec: ChainSpec, options: StorageOptions, change: impl FnOnce(&mut RpcConfig)) -> Self {
        let genesis = Arc::new(Genesis::build(spec).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path(), &genesis, options).unwrap();
        let executor = Arc::new(Executor::new(genesis.clone()));
        let rules = executor.next_rules(&storage.head()).unwrap();
        let pool = Arc::new(Mutex::new(Mempool::new(PoolConfig::new(CHAIN_ID), rules)));
        let pending = PendingFeed::default();
        let status = Arc::new(Status::default());
        let now_ms = Arc::new(AtomicU64::new(GENESIS_TIME * 1_000));
        let submit = {
            let (pool, storage, pending, now_ms) = (pool.clone(), storage.clone(), pending.clone(), now_ms.clone());
            let executor = executor.clone();
            Arc::new(move |tx: Arc<RecoveredTx>| {
                use causeway_execution::StateSource;
                let account = storage.latest().account(tx.sender).unwrap().unwrap_or_default();
                let view = AccountView { nonce: account.nonce, balance: account.balance, ..AccountView::default() };
                let base_fee = executor.next_base_fee(&storage.head()).unwrap();
                pool.lock().add(tx.clone(), &view, base_fee, now_ms.load(Ordering::Relaxed), true)?;
                pending.publish(&tx);
                Ok(tx.hash)
            })
        };
        let ctx = RpcContext { executor, genesis, storage, pool, submit, status: status.clone(), pending };
        let mut config = RpcConfig { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..RpcConfig::default() };
        change(&mut config);
        let limits = config.limits.clone();
        let (handle, address) = start_at(config, ctx.clone(), clock(&now_ms)).await.unwrap();
        let http = HttpClientBuilder::default()
            .max_request_size(64 << 20)
            .max_response_size(64 << 20)
            .build(format!("http://{address}"))
            .unwrap();
        Self { ctx, limits, status, now_ms, address, http, handle, _dir: dir }
    }

    /// The methods without a transport.
    pub(super) fn module(&self) -> Methods {
        methods(&self.limits, self.ctx.clone(), clock(&self.now_ms)).unwrap()
    }

    pub(super) async fn ws(&self) -> WsClient {
        WsClientBuilder::default().build(format!("ws://{}", self.address)).await.unwrap()
    }

    pub(super) fn advance_ms(&self, by: u64) {
        self.now_ms.fetch_add(by, Ordering::Relaxed);
    }

    /// Certificate of all validators for a block.
    pub(super) fn certificate(&self, height: u64, block_hash: B256) -> CommitCertificate {
        commit_certificate(self.ctx.genesis.hash, height, block_hash, validators().map(consensus_signer))
    }

    /// Builds and commits a block of `txs` after `system`.
    pub(super) fn push(&self, system: Vec<SystemCall>, txs: &[Arc<RecoveredTx>]) -> Arc<ExecutedBlock> {
        let (previous, previous_hash) = (self.ctx.storage.head(), self.ctx.storage.head_hash());
        let attributes = BuildAttributes {
            timestamp: previous.timestamp + 1,
            proposer_operator: operator(1),
            parent_certificate: (previous.number > 0).then(|| self.certificate(previous.number, previous_hash)),
            extra_data: Bytes::from_static(b"test"),
            stop: None,
            max_bytes: MAX_BLOCK_BYTES,
        };
        let state = self.ctx.storage.latest();
        let executed = self.ctx.executor.build(&previous, &*state, attributes, system, txs.iter().cloned()).unwrap();
        let executed = Arc::new(executed);
        let certificate = self.certificate(executed.block.header.number, executed.hash);
        self.ctx.storage.commit(&executed, &certificate).unwrap();
        executed
    }

    /// Builds and commits a block that must include all of `txs`.
    pub(super) fn push_all(&self, txs: &[Arc<RecoveredTx>]) -> Arc<ExecutedBlock> {
        let executed = self.push(Vec::new(), txs);
        assert_eq!(executed.block.transactions.len(), txs.len(), "all included");
        executed
    }

    pub(super) fn push_empty(&self, blocks: u64) {
        for _ in 0..blocks {
            self.push(Vec::new(), &[]);
        }
    }

    /// A call that must succeed.
    pub(super) async fn ok(&self, name: &str, params: Value) -> Value {
        self.request(name, params.clone()).await.unwrap_or_else(|error| panic!("{name}{params}: {error}"))
    }

    /// A call that must fail: code and message.
    pub(super) async fn fails(&self, name: &str, params: Value) -> (i32, String) {
        let error = self.error(name, params).await;
        (error.code(), error.message().to_owned())
    }

    pub(super) async fn error(&self, name: &str, params: Value) -> ErrorObjectOwned {
        match self.request(name, params.clone()).await {
            Err(ClientError::Call(error)) => error,
            other => panic!("{name}{params}: expected an error object, got {other:?}"),
        }
    }

    pub(super) async fn request(&self, name: &str, params: Value) -> Result<Value, ClientError> {
        let mut positional = ArrayParams::new();
        let Value::Array(values) = params else { panic!("parameters are positional") };
        for value in values {
            positional.insert(value).unwrap();
        }
        self.http.request(name, positional).await
    }
}

fn clock(now_ms: &Arc<AtomicU64>) -> Clock {
    let now_ms = Arc::clone(now_ms);
    Arc::new(move || now_ms.load(Ordering::Relaxed))
}

pub(super) fn sign<T>(signer: &PrivateKeySigner, mut tx: T) -> Arc<RecoveredTx>
where
    T: SignableTransaction<Signature> + 'static,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer.sign_transaction_sync(&mut tx).unwrap();
    Arc::new(RecoveredTx::recover(tx.into_signed(signature).into()).unwrap())
}

pub(super) fn eip1559(nonce: u64, to: TxKind, value: U256, input: impl Into<Bytes>, gas_limit: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: 2 * GWEI,
        to,
        value,
        input: input.into(),
        ..TxEip1559::default()
    }
}

pub(super) fn transfer(nonce: u64, to: Address, value: u128) -> Arc<RecoveredTx> {
    sign(&rich(), eip1559(nonce, TxKind::Call(to), U256::from(value), Bytes::new(), 21_000))
}

pub(super) fn invoke(nonce: u64, to: Address, input: impl Into<Bytes>) -> Arc<RecoveredTx> {
    sign(&rich(), eip1559(nonce, TxKind::Call(to), U256::ZERO, input, 200_000))
}

pub(super) fn legacy(nonce: u64, to: Address, value: u128) -> Arc<RecoveredTx> {
    sign(
        &rich(),
        TxLegacy {
            chain_id: Some(CHAIN_ID),
            nonce,
            gas_price: 50 * GWEI,
            gas_limit: 21_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input: Bytes::new(),
        },
    )
}

pub(super) fn raw(tx: &RecoveredTx) -> Value {
    Value::String(Bytes::from(tx.tx.encoded_2718()).to_string())
}

pub(super) fn word(n: u64) -> B256 {
    B256::from(U256::from(n))
}

/// The keys of an object, sorted.
pub(super) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
