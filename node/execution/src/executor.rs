//! Building blocks and checking them: one code path, so that what a proposer builds is what the others accept.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes};
use causeway_consensus::CommitCertificate;
use causeway_genesis::{Genesis, Rules, UnknownRules, addresses::SYSTEM};
use tracing::{debug, warn};

use crate::{
    block::{Block, transactions_root},
    database::CodeCache,
    evm::Setting,
    fault::{BlockFault, ExecutionError, LocalError},
    header,
    limits::{self, bytes},
    modules::ChainModules,
    peg_events::{PegEvent, peg_events},
    receipt::Receipt,
    run::{BlockRun, RunOutcome, UserTxError},
    state::{StateDiff, StateSource},
    transaction::{RecoveredTx, SystemTx, Transaction},
    validate::{self, SystemKind, ValidationContext},
};

/// A call into a native module that the proposer wants at the head of its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemCall {
    /// The module.
    pub to: Address,
    /// ABI-encoded call.
    pub input: Bytes,
}

/// What a proposer decides about its block.
pub struct BuildAttributes<'a> {
    /// Seconds since the Unix epoch; raised to the parent's timestamp when it is earlier.
    pub timestamp: u64,
    /// The proposer's operator account, the header's beneficiary.
    pub proposer_operator: Address,
    /// Certificate that decided the parent; `None` for block 1.
    pub parent_certificate: Option<CommitCertificate>,
    /// Free bytes for the header; cut at the rules' limit.
    pub extra_data: Bytes,
    /// Asked before each transaction; `true` closes the block with what it has.
    pub stop: Option<&'a dyn Fn() -> bool>,
    /// Most bytes of the encoded block; never more than the rules allow.
    pub max_bytes: usize,
}

impl std::fmt::Debug for BuildAttributes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildAttributes")
            .field("timestamp", &self.timestamp)
            .field("proposer_operator", &self.proposer_operator)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

/// A block with everything that follows from executing it on its parent's state.
#[derive(Debug, Clone)]
pub struct ExecutedBlock {
    /// The block.
    pub block: Arc<Block>,
    /// Its hash.
    pub hash: B256,
    /// Sender of each transaction; the system address for system transactions.
    pub senders: Vec<Address>,
    /// Receipt of each transaction.
    pub receipts: Vec<Receipt>,
    /// What changed.
    pub diff: StateDiff,
    /// What the peg did.
    pub peg_events: Vec<PegEvent>,
}

/// Executes blocks and calls of one chain. Holds no state but a cache of analysed code; share it between threads.
#[derive(Debug)]
pub struct Executor {
    genesis: Arc<Genesis>,
    codes: CodeCache,
}

impl Executor {
    /// An executor for the chain of `genesis`.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        Self { genesis, codes: CodeCache::default() }
    }

    /// The chain executed.
    pub const fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// EIP-1559 base fee in wei of the child of `parent`.
    ///
    /// # Errors
    /// [`UnknownRules`] when the child needs a newer build.
    pub fn next_base_fee(&self, parent: &Header) -> Result<u64, UnknownRules> {
        Ok(header::next_base_fee(parent, &self.next_rules(parent)?.base_fee))
    }

    /// The rules of the child of `parent`.
    ///
    /// # Errors
    /// [`UnknownRules`] when the child needs a newer build.
    pub fn next_rules(&self, parent: &Header) -> Result<&Rules, UnknownRules> {
        self.genesis.rules(parent.number.saturating_add(1))
    }

    /// What the block at `height` runs under.
    pub(crate) fn setting(&self, height: u64) -> Result<Setting<'_>, UnknownRules> {
        let (genesis, rules) = (&self.genesis, self.genesis.rules(height)?);
        let modules = ChainModules::of(genesis, rules);
        Ok(Setting { chain_id: genesis.spec.chain_id, rules, modules, codes: &self.codes })
    }

    /// Builds the block after `parent`, whose state is `state`.
    ///
    /// System calls that fail are left out with a warning (their certificate may have been overtaken); user transactions that may
    /// not be included or do not fit are skipped. `txs` should come in order of fee, nonces of one sender ascending.
    ///
    /// # Errors
    /// [`ExecutionError::Local`] only.
    pub fn build(
        &self,
        parent: &Header,
        state: &dyn StateSource,
        attributes: BuildAttributes<'_>,
        system: Vec<SystemCall>,
        txs: impl Iterator<Item = Arc<RecoveredTx>>,
    ) -> Result<ExecutedBlock, ExecutionError> {
        let setting = self.setting(parent.number.saturating_add(1)).map_err(LocalError::from)?;
        let rules = setting.rules;
        let parent_hash = parent.hash_slow();
        let certificate_hash = attributes.parent_certificate.as_ref().map_or(B256::ZERO, CommitCertificate::hash);
        let mut header = header::child_header(
            parent,
            parent_hash,
            attributes.timestamp.max(parent.timestamp),
            attributes.proposer_operator,
            rules,
            certificate_hash,
        );
        let extra = attributes.extra_data.len().min(bytes(rules.block.max_extra_data_bytes));
        header.extra_data = attributes.extra_data.slice(..extra);

        let mut run = BlockRun::begin(setting, &header, parent, attributes.parent_certificate.as_ref(), state)?;
        let max_bytes = attributes.max_bytes.min(bytes(rules.block.max_bytes));
        let mut body = Body::new(rules, max_bytes, attributes.parent_certificate.as_ref());
        place_system_calls(&mut run, &mut body, header.number, system)?;
        place_transactions(&mut run, &mut body, attributes.stop, txs)?;
        let outcome = run.finish()?;
        header.transactions_root = transactions_root(&body.transactions);
        header.receipts_root = outcome.receipts_root;
        header.state_root = outcome.state_root;
        header.logs_bloom = outcome.logs_bloom;
        header.gas_used = outcome.gas_used;
        let block =
            Block { header, transactions: body.transactions, parent_certificate: attributes.parent_certificate };
        let hash = block.hash();
        Ok(executed(Arc::new(block), hash, body.senders, outcome))
    }

    /// Checks `block` on `parent`, whose state is `state`, and executes it. `senders` answers from a cache of recovered
    /// transactions; the others are recovered here, on all cores.
    ///
    /// # Errors
    /// [`ExecutionError::Invalid`] when the block breaks a rule, [`ExecutionError::Local`] when this machine cannot tell.
    pub fn execute(
        &self,
        parent: &Header,
        state: &dyn StateSource,
        block: Arc<Block>,
        senders: &dyn Fn(&B256) -> Option<Address>,
        checks: &ValidationContext<'_>,
    ) -> Result<ExecutedBlock, ExecutionError> {
        let parent_hash = parent.hash_slow();
        // Of the height it is judged at, whatever number it claims.
        let setting = self.setting(parent.number.saturating_add(1)).map_err(LocalError::from)?;
        validate::header(self.genesis.hash, setting.rules, parent, parent_hash, &block, checks)?;
        validate::body(setting.rules, &block)?;
        let senders = validate::senders(&block, senders)?;
        Self::replay(setting, parent, state, block, senders)
    }

    /// Executes a block whose header and senders are checked and compares the outcome with its header.
    fn replay(
        setting: Setting<'_>,
        parent: &Header,
        state: &dyn StateSource,
        block: Arc<Block>,
        senders: Vec<Address>,
    ) -> Result<ExecutedBlock, ExecutionError> {
        let header = &block.header;
        let mut run = BlockRun::begin(setting, header, parent, block.parent_certificate.as_ref(), state)?;
        for (index, (tx, sender)) in block.transactions.iter().zip(&senders).enumerate() {
            match tx {
                Transaction::System(tx) => {
                    if tx.gas_limit != setting.rules.system.gas.min(run.gas_available()) {
                        return Err(BlockFault::SystemKind(index).into());
                    }
                    if let Err(output) = run.system(tx)? {
                        return Err(BlockFault::SystemFailed { index, output }.into());
                    }
                }
                Transaction::Ethereum(tx) => run.user(tx, *sender).map_err(|error| match error {
                    UserTxError::Invalid(error) => BlockFault::Transaction { index, error }.into(),
                    UserTxError::NoRoom { gas_limit, available } => {
                        BlockFault::GasExceeded { index, gas_limit, available }.into()
                    }
                    UserTxError::Local(error) => ExecutionError::Local(error),
                })?,
            }
        }
        let outcome = run.finish()?;
        validate::outcome(header, &outcome)?;
        let hash = block.hash();
        Ok(executed(block, hash, senders, outcome))
    }
}

/// Runs the calls that hold and places them at the head of the block.
fn place_system_calls(
    run: &mut BlockRun<'_>,
    body: &mut Body<'_>,
    block_number: u64,
    mut calls: Vec<SystemCall>,
) -> Result<(), LocalError> {
    // In the order that blocks must have, whatever the caller's. What is unknown comes first and is left out.
    calls.sort_by_key(|call| validate::system_kind(body.rules, call.to, &call.input));
    for SystemCall { to, input } in calls {
        let index = u32::try_from(body.transactions.len()).unwrap_or(u32::MAX);
        let gas_limit = body.rules.system.gas.min(run.gas_available());
        let tx = SystemTx { block_number, index, to, gas_limit, input };
        let placed = Transaction::System(tx.clone());
        let size = placed.network_len();
        let kind = validate::system_kind(body.rules, to, &tx.input);
        if kind.is_none() || body.last_kind() == kind || !body.fits(size) {
            warn!(block_number, %to, "system call left out: unknown, repeated or too long");
            continue;
        }
        match run.system(&tx)? {
            Ok(()) => body.push(placed, SYSTEM, size),
            Err(output) => warn!(block_number, %to, %output, "system call left out: it fails"),
        }
    }
    Ok(())
}

/// Runs and places users' transactions while there is room and time.
fn place_transactions(
    run: &mut BlockRun<'_>,
    body: &mut Body<'_>,
    stop: Option<&dyn Fn() -> bool>,
    txs: impl Iterator<Item = Arc<RecoveredTx>>,
) -> Result<(), LocalError> {
    let (least_gas, max_bytes) = (limits::least_gas(body.rules), bytes(body.rules.transaction.max_bytes));
    for tx in txs {
        if run.gas_available() < least_gas || stop.is_some_and(|stop| stop()) {
            break;
        }
        let size = network_size(&tx);
        if !body.fits(size) || tx.size > max_bytes || tx.sender == SYSTEM {
            continue;
        }
        match run.user(&tx.tx, tx.sender) {
            Ok(()) => body.push(Transaction::Ethereum(tx.tx.clone()), tx.sender, size),
            Err(UserTxError::NoRoom { .. }) => {}
            Err(UserTxError::Invalid(error)) => debug!(hash = %tx.hash, %error, "transaction skipped"),
            Err(UserTxError::Local(error)) => return Err(error),
        }
    }
    Ok(())
}

fn executed(block: Arc<Block>, hash: B256, senders: Vec<Address>, outcome: RunOutcome) -> ExecutedBlock {
    let peg_events = peg_events(&outcome.receipts);
    ExecutedBlock { block, hash, senders, receipts: outcome.receipts, diff: outcome.diff, peg_events }
}

/// Bytes `tx` takes in a block's RLP.
fn network_size(tx: &RecoveredTx) -> usize {
    // Legacy transactions are RLP lists already; typed ones are wrapped in a byte string.
    if tx.tx.is_legacy() { tx.size } else { tx.tx.network_len() }
}

/// The transactions of a block being built, and the bytes they leave.
struct Body<'a> {
    rules: &'a Rules,
    transactions: Vec<Transaction>,
    senders: Vec<Address>,
    bytes_left: usize,
}

impl<'a> Body<'a> {
    /// Header, list prefixes and envelope lengths, generously.
    const FRAME_BYTES: usize = 1_024;

    fn new(rules: &'a Rules, max_bytes: usize, certificate: Option<&CommitCertificate>) -> Self {
        let certificate = certificate.map_or(0, |certificate| borsh::object_length(certificate).unwrap_or(usize::MAX));
        let frame = Self::FRAME_BYTES.saturating_add(certificate);
        let bytes_left = max_bytes.saturating_sub(frame);
        Self { rules, transactions: Vec::new(), senders: Vec::new(), bytes_left }
    }

    const fn fits(&self, size: usize) -> bool {
        size <= self.bytes_left
    }

    /// Kind of the last system transaction placed.
    fn last_kind(&self) -> Option<SystemKind> {
        let last = self.transactions.iter().filter_map(Transaction::as_system).next_back()?;
        validate::system_kind(self.rules, last.to, &last.input)
    }

    fn push(&mut self, tx: Transaction, sender: Address, size: usize) {
        self.transactions.push(tx);
        self.senders.push(sender);
        self.bytes_left = self.bytes_left.saturating_sub(size);
    }
}
