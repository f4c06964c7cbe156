//! Builds, executes and commits blocks on the durable head, for the [jobs](crate::jobs).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes};
use causeway_consensus::{CommitCertificate, Height, ValidatorId};
use causeway_execution::{
    Account, Block, BlockFault, BuildAttributes, ExecutedBlock, ExecutionError, Executor, RecoveredTx, SourceError,
    StateSource, SystemCall, Transaction, ValidationContext, limits::least_gas, next_base_fee, peg_state,
};
use causeway_federation::PegProgress;
use causeway_genesis::Genesis;
use causeway_mempool::{AccountCode, AccountView, Mempool};
use causeway_peg::{CheckpointBlock, PegModule};
use causeway_storage::Storage;
use parking_lot::Mutex;

use crate::{
    clocks::Clocks,
    evidence,
    handle::BodyFault,
    metrics::{Metrics, gauge},
    sets::{NextHeight, Sets},
};

/// A proposal's body stays below this many bytes.
pub const MAX_BODY_BYTES: usize = 3 << 20;
/// Transactions considered for one block.
pub const MAX_CANDIDATES: usize = 20_000;
/// The `extra_data` of the blocks that this node builds.
const EXTRA_DATA: &[u8] = b"causeway";

/// Everything a job needs; cheap to clone.
#[derive(Clone)]
pub struct Chain {
    /// Chain rules.
    pub genesis: Arc<Genesis>,
    /// The database.
    pub storage: Arc<Storage>,
    /// The EVM.
    pub executor: Arc<Executor>,
    /// The pool.
    pub pool: Arc<Mutex<Mempool>>,
    /// The validator sets around the head.
    pub sets: Arc<Sets>,
    /// The time.
    pub clocks: Clocks,
    /// The metrics to update.
    pub metrics: Metrics,
}

impl Chain {
    /// Builds a block for `height`. `deadline_ms` is the time on the steady clock by which the proposal should be sent.
    ///
    /// # Errors
    /// When `height` does not follow the durable head, or the database cannot be read.
    pub fn build(
        &self,
        height: Height,
        deadline_ms: u64,
        proposer: ValidatorId,
        mut system: Vec<SystemCall>,
    ) -> eyre::Result<ExecutedBlock> {
        let parent = self.parent_of(height)?;
        let state = self.storage.latest();
        // A failure with evidence never prevents the building of a block.
        match evidence::report(&self.genesis, &self.storage, state.as_ref(), height.0) {
            Ok(call) => system.extend(call),
            Err(error) => tracing::error!(%error, "cannot read the pending evidence; this block reports none"),
        }
        let rules = self.executor.next_rules(&parent)?;
        let base_fee = next_base_fee(&parent, &rules.base_fee);
        let fitting = rules.block.gas_limit.checked_div(least_gas(rules)).unwrap_or_default();
        let most = usize::try_from(fitting).unwrap_or(MAX_CANDIDATES).min(MAX_CANDIDATES);
        let candidates: Vec<Arc<RecoveredTx>> = self.pool.lock().best(base_fee).take(most).collect();
        let stop = || self.clocks.steady_ms() >= deadline_ms;
        let attributes = BuildAttributes {
            timestamp: parent.timestamp.max(self.clocks.wall_ms() / 1_000),
            proposer_operator: self.operator(&proposer),
            parent_certificate: self.certificate_of(parent.number),
            extra_data: Bytes::from_static(EXTRA_DATA),
            stop: Some(&stop),
            max_bytes: MAX_BODY_BYTES,
        };
        Ok(self.executor.build(&parent, state.as_ref(), attributes, system, candidates.into_iter())?)
    }

    /// Decodes and executes a body that claims to be the block `block_hash`.
    ///
    /// # Errors
    /// [`Outcome`]: the body is invalid, or this node cannot tell.
    pub fn execute(
        &self,
        height: Height,
        block_hash: B256,
        certified: bool,
        body: &[u8],
    ) -> Result<ExecutedBlock, Outcome> {
        let started_ms = self.clocks.steady_ms();
        let outcome = self.judge(height, block_hash, certified, body);
        self.metrics.execute_ms.set(gauge(self.clocks.steady_ms().saturating_sub(started_ms)));
        outcome
    }

    fn judge(&self, height: Height, block_hash: B256, certified: bool, body: &[u8]) -> Result<ExecutedBlock, Outcome> {
        let block = Block::decode(body).map_err(|error| Outcome::Refused(BodyFault::Encoding(error)))?;
        let actual = block.hash();
        if actual != block_hash {
            return Err(Outcome::Refused(BodyFault::Hash { expected: block_hash, actual }));
        }
        let parent = self.parent_of(height).map_err(|error| Outcome::Failed(error.to_string()))?;
        let state = self.storage.latest();
        let known = {
            let pool = self.pool.lock();
            let mut known = BTreeMap::new();
            for transaction in &block.transactions {
                if let Transaction::Ethereum(transaction) = transaction {
                    let hash = *transaction.tx_hash();
                    if let Some(sender) = pool.sender_of(&hash) {
                        known.insert(hash, sender);
                    }
                }
            }
            known
        };
        let operators: BTreeSet<Address> = self.sets.of_next().operators.values().copied().collect();
        let context = ValidationContext {
            // This node's clock must not reject a block that more than two thirds have decided.
            now_ms: if certified { u64::MAX } else { self.clocks.wall_ms() },
            parent_validators: &self.sets.of_head().set,
            operators: &operators,
        };
        let block = Arc::new(block);
        self.executor
            .execute(&parent, state.as_ref(), block.clone(), &|hash| known.get(hash).copied(), &context)
            .map_err(|error| match error {
                // Whoever sent the body may have put it under a header of others.
                ExecutionError::Invalid(_) if !block.is_what_its_header_commits_to() => {
                    Outcome::Refused(BodyFault::Content(block_hash))
                }
                // Not a fault of the block alone: this clock may be late. Judged again shortly, when the time may have come.
                ExecutionError::Invalid(fault) if matches!(*fault, BlockFault::TimestampAhead { .. }) => {
                    Outcome::Failed(fault.to_string())
                }
                ExecutionError::Invalid(fault) => Outcome::Refused(BodyFault::Block(fault)),
                ExecutionError::Local(error) => Outcome::Failed(error.to_string()),
            })
    }

    /// Makes a decided block durable and updates the pool. Returns the data of the next height from the new state.
    ///
    /// # Errors
    /// A failed write: the process must stop.
    pub fn commit(&self, executed: &Arc<ExecutedBlock>, certificate: &CommitCertificate) -> eyre::Result<NextHeight> {
        let started_ms = self.clocks.steady_ms();
        self.storage.commit(executed, certificate)?;
        let state = self.storage.latest();
        self.sets.advance(state.as_ref())?;
        self.refresh_pool(executed)?;
        self.record(executed, self.clocks.steady_ms().saturating_sub(started_ms));
        let next = self.next_height()?;
        let height = executed.block.header.number.saturating_add(1);
        if next.epoch.start_height == height
            && let Err(error) = evidence::note_members(&self.genesis, &self.storage, &next.validators.set)
        {
            tracing::error!(%error, "cannot keep the keys of the validators; late votes of former ones may go unseen after a restart");
        }
        match evidence::settle(&self.genesis, &self.storage, state.as_ref()) {
            Ok(pending) => _ = self.metrics.evidence_pending.set(gauge(pending as u64)),
            Err(error) => tracing::error!(%error, "cannot bring the pending evidence up to date"),
        }
        Ok(next)
    }

    fn refresh_pool(&self, executed: &ExecutedBlock) -> Result<(), SourceError> {
        // Before rules that it does not know the node stops, and has no use for a pool.
        let Ok(rules) = self.executor.next_rules(&executed.block.header) else { return Ok(()) };
        let state = self.storage.latest();
        let included: Vec<B256> = executed.block.transactions.iter().map(Transaction::hash).collect();
        let changed: Vec<(Address, AccountView)> = executed
            .diff
            .accounts
            .iter()
            .map(|(address, (_, after))| Ok((*address, view(state.as_ref(), after.unwrap_or_default())?)))
            .collect::<Result<_, SourceError>>()?;
        let base_fee = next_base_fee(&executed.block.header, &rules.base_fee);
        let now_ms = self.clocks.steady_ms();
        let mut pool = self.pool.lock();
        pool.on_block(&included, &changed, rules, base_fee, now_ms);
        pool.remove_expired(now_ms);
        Ok(())
    }

    fn record(&self, executed: &ExecutedBlock, took_ms: u64) {
        let header = &executed.block.header;
        let pool = self.pool.lock().status();
        tracing::info!(
            number = header.number,
            hash = %executed.hash,
            transactions = executed.block.transactions.len(),
            gas = header.gas_used,
            pool = pool.pending,
            "committed a block"
        );
        self.metrics.height.set(gauge(header.number));
        self.metrics.block_gas.set(gauge(header.gas_used));
        self.metrics.block_transactions.set(gauge(executed.block.transactions.len() as u64));
        self.metrics.transactions.inc_by(executed.block.transactions.len() as u64);
        self.metrics.last_commit_s.set(gauge(self.clocks.wall_ms() / 1_000));
        self.metrics.commit_ms.set(gauge(took_ms));
        self.metrics.pool_pending.set(gauge(pool.pending as u64));
        self.metrics.pool_queued.set(gauge(pool.queued as u64));
    }

    /// The data of the next height from the durable head's state.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next_height(&self) -> eyre::Result<NextHeight> {
        let peg = match self.genesis.peg_domain() {
            Some(domain) => {
                let (state, head) = (self.storage.latest(), self.storage.head());
                let info = CheckpointBlock {
                    number: head.number,
                    hash: self.storage.head_hash(),
                    state_root: head.state_root,
                };
                Some(PegProgress::read(&PegModule::new(domain), &mut peg_state(state.as_ref()), &info)?)
            }
            None => None,
        };
        Ok(self.sets.next_height(peg))
    }

    /// The account's data that the pool needs, at the durable head.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn account_view(&self, address: Address) -> Result<AccountView, SourceError> {
        let state = self.storage.latest();
        let account = state.account(address)?.unwrap_or_default();
        view(state.as_ref(), account)
    }

    fn parent_of(&self, height: Height) -> eyre::Result<Header> {
        let head = self.storage.head();
        if head.number.checked_add(1) != Some(height.0) {
            eyre::bail!("height {} does not follow the durable head {}", height.0, head.number);
        }
        Ok(Header::clone(&head))
    }

    fn certificate_of(&self, number: u64) -> Option<CommitCertificate> {
        if number == 0 { None } else { self.storage.certificate(number).ok().flatten() }
    }

    fn operator(&self, id: &ValidatorId) -> Address {
        self.sets.of_next().operators.get(id).copied().unwrap_or_default()
    }
}

/// Why a body has no outcome.
#[derive(Debug)]
pub enum Outcome {
    /// It is invalid.
    Refused(BodyFault),
    /// This node could not tell.
    Failed(String),
}

/// The account's data that the pool checks.
fn view(state: &dyn StateSource, account: Account) -> Result<AccountView, SourceError> {
    let code = if account.has_code() { AccountCode::of(&state.code(account.code_hash)?) } else { AccountCode::None };
    Ok(AccountView { nonce: account.nonce, balance: account.balance, code })
}
