//! A chain in memory for tests and benchmarks: every block is built, encoded, decoded, executed, and its state root
//! recomputed from scratch.

pub mod asm;
pub mod contracts;
pub mod peg;
pub mod staking;
pub mod wallet;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_consensus::{CommitCertificate, Validator, ValidatorId, ValidatorSet};
use causeway_execution::{
    Block, BuildAttributes, CallRequest, CallResult, ExecutedBlock, ExecutionError, Executor, MAX_BLOCK_BYTES,
    Overrides, RecoveredTx, SystemCall, ValidationContext, genesis_state, validator_set_at,
};
use causeway_fixtures::commit_certificate;
pub use causeway_fixtures::{MemoryState, consensus_signer, node_keys, operator, validator_id};
use causeway_genesis::{AllocAccount, ChainSpec, Genesis, ceremony};

pub const CHAIN_ID: u64 = 4_242;
pub const GENESIS_TIME: u64 = 1_700_000_000;
pub const VALIDATORS: u8 = 4;
pub const ETHER: u128 = 1_000_000_000_000_000_000;

/// The number whose consensus key has this id.
pub fn seed_of(id: &ValidatorId) -> u8 {
    static SEEDS: OnceLock<BTreeMap<ValidatorId, u8>> = OnceLock::new();
    SEEDS.get_or_init(|| (1..=MAX_SEED).map(|seed| (validator_id(seed), seed)).collect())[id]
}

fn spec(peg: bool) -> ChainSpec {
    let peg = if peg { ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 5) } else { None };
    let mut spec = ceremony::new_spec(CHAIN_ID, "Test chain", GENESIS_TIME, peg);
    spec.gas_limit = 60_000_000;
    spec.base_fee_initial = 1_000_000_000;
    spec.checkpoint_interval = 4;
    let stake = U256::from(1_000_000u64) * U256::from(ETHER);
    spec.validators = (1..=VALIDATORS)
        .map(|seed| ceremony::validator_entry(&format!("validator-{seed}"), operator(seed), stake, &node_keys(seed)))
        .collect();
    spec
}

/// Greatest number of a validator key that a test may register.
pub const MAX_SEED: u8 = 128;

/// A chain that starts with four validators, its state and its head.
pub struct TestChain {
    pub genesis: Arc<Genesis>,
    pub executor: Executor,
    pub state: MemoryState,
    pub head: Header,
    /// The set of the head's height, which signs its certificate.
    pub validators: ValidatorSet,
    /// Numbers of the keys that leave certificates unsigned.
    pub silent: BTreeSet<u8>,
    /// The validator that builds; `None` for the first of genesis.
    pub builder: Option<Address>,
    /// Seconds between blocks.
    pub interval: u64,
}

impl TestChain {
    /// A standalone chain on which the first `users` wallets hold 1,000 coin each.
    pub fn standalone(users: u64) -> Self {
        Self::standalone_with(users, |_| {})
    }

    pub fn standalone_with(users: u64, change: impl FnOnce(&mut ChainSpec)) -> Self {
        let mut spec = spec(false);
        for user in 0..users {
            let rich = AllocAccount { balance: U256::from(1_000 * ETHER), ..AllocAccount::default() };
            spec.alloc.insert(wallet::address(user), rich);
        }
        change(&mut spec);
        Self::new(spec)
    }

    /// A pegged chain: no coin until deposits arrive.
    pub fn pegged() -> Self {
        Self::new(spec(true))
    }

    pub fn pegged_with(change: impl FnOnce(&mut ChainSpec)) -> Self {
        let mut spec = spec(true);
        change(&mut spec);
        Self::new(spec)
    }

    fn new(spec: ChainSpec) -> Self {
        let genesis = Arc::new(Genesis::build(spec).unwrap());
        let mut state = MemoryState::default();
        state.apply(&genesis_state(&genesis));
        assert_eq!(state.root_from_scratch(), genesis.header.state_root);
        Self {
            executor: Executor::new(genesis.clone()),
            head: genesis.header.clone(),
            validators: genesis.validator_set(),
            silent: BTreeSet::new(),
            builder: None,
            interval: 1,
            state,
            genesis,
        }
    }

    /// The certificate that decided the head, by all its validators but the silent ones, as long as those are a quorum.
    pub fn head_certificate(&self) -> Option<CommitCertificate> {
        (self.head.number > 0).then(|| self.certificate(self.head.number, self.head.hash_slow()))
    }

    pub fn certificate(&self, height: u64, block_hash: B256) -> CommitCertificate {
        let speaks = |validator: &&Validator| !self.silent.contains(&seed_of(&validator.id));
        let power = self.validators.iter().filter(speaks).map(|validator| validator.power).sum();
        let all = !self.validators.is_quorum(power);
        let signing = self.validators.iter().filter(|validator| all || speaks(validator));
        let signers = signing.map(|validator| consensus_signer(seed_of(&validator.id)));
        commit_certificate(self.genesis.hash, height, block_hash, signers)
    }

    pub fn proposer(&self) -> Address {
        self.builder.unwrap_or_else(|| self.genesis.spec.validators[0].operator)
    }

    /// The set that decides the next block, and its operators.
    pub fn next_set(&self) -> (ValidatorSet, BTreeSet<Address>) {
        let (set, operators) = validator_set_at(&self.state).unwrap();
        (set, operators.into_values().collect())
    }

    pub fn attributes(&self) -> BuildAttributes<'static> {
        BuildAttributes {
            timestamp: self.head.timestamp + self.interval,
            proposer_operator: self.proposer(),
            parent_certificate: self.head_certificate(),
            extra_data: Bytes::from_static(b"test"),
            stop: None,
            max_bytes: MAX_BLOCK_BYTES,
        }
    }

    pub fn build(&self, system: Vec<SystemCall>, txs: &[Arc<RecoveredTx>]) -> ExecutedBlock {
        self.executor.build(&self.head, &self.state, self.attributes(), system, txs.iter().cloned()).unwrap()
    }

    pub fn now_ms(&self) -> u64 {
        (self.head.timestamp + self.interval) * 1_000
    }

    pub fn execute(&self, block: Block) -> Result<ExecutedBlock, ExecutionError> {
        self.execute_with(block, &|_| None)
    }

    pub fn execute_with(
        &self,
        block: Block,
        senders: &dyn Fn(&B256) -> Option<Address>,
    ) -> Result<ExecutedBlock, ExecutionError> {
        let checks = ValidationContext {
            now_ms: self.now_ms(),
            parent_validators: &self.validators,
            operators: &self.next_set().1,
        };
        self.executor.execute(&self.head, &self.state, Arc::new(block), senders, &checks)
    }

    /// Builds a block, executes it again from its bytes, compares every part, and makes it the head. Coin comes and goes by
    /// the peg only.
    pub fn push(&mut self, system: Vec<SystemCall>, txs: &[Arc<RecoveredTx>]) -> ExecutedBlock {
        let uncounted = self.state.total_balance() - self.supply();
        let executed = self.push_any(system, txs);
        assert_eq!(self.state.total_balance() - self.supply(), uncounted, "coin comes and goes by the peg only");
        executed
    }

    /// As [`Self::push`] for programs that may destroy coin: what a contract is paid after it destroyed itself in the
    /// transaction that made it is gone (EIP-6780). Coin never appears.
    pub fn push_any(&mut self, system: Vec<SystemCall>, txs: &[Arc<RecoveredTx>]) -> ExecutedBlock {
        let built = self.build(system, txs);
        let body = built.block.encode();
        let block = Block::decode(&body).unwrap();
        assert_eq!(&block, built.block.as_ref());
        let executed = self.execute(block).unwrap();
        assert_same(&built, &executed);
        let uncounted = self.state.total_balance() - self.supply();
        self.validators = self.next_set().0;
        self.state.apply(&executed);
        assert!(self.state.total_balance() - self.supply() <= uncounted, "coin appears by the peg only");
        assert_eq!(self.state.root_from_scratch(), executed.block.header.state_root);
        self.head = executed.block.header.clone();
        executed
    }

    /// Pushes a block of user transactions that must all be included and succeed.
    pub fn push_ok(&mut self, txs: &[Arc<RecoveredTx>]) -> ExecutedBlock {
        let executed = self.push(Vec::new(), txs);
        assert_eq!(executed.block.transactions.len(), txs.len(), "all included");
        assert!(executed.receipts.iter().all(|receipt| receipt.status), "{:?}", executed.receipts);
        executed
    }

    /// The peg's own count of the coin; zero on a standalone chain.
    pub fn supply(&self) -> U256 {
        causeway_peg::PegModule::supply(&mut causeway_execution::peg_state(&self.state)).unwrap()
    }

    pub fn call(&self, request: &CallRequest) -> CallResult {
        self.executor.call(&self.head, &self.state, request, &Overrides::default()).unwrap()
    }

    pub fn nonce(&self, user: u64) -> u64 {
        self.state.accounts.get(&wallet::address(user)).map_or(0, |account| account.nonce)
    }
}

pub fn assert_same(left: &ExecutedBlock, right: &ExecutedBlock) {
    assert_eq!(left.hash, right.hash);
    assert_eq!(left.block, right.block);
    assert_eq!(left.senders, right.senders);
    assert_eq!(left.receipts, right.receipts);
    assert_eq!(left.peg_events, right.peg_events);
    assert_eq!(left.diff.accounts, right.diff.accounts);
    assert_eq!(left.diff.storage, right.diff.storage);
    assert_eq!(left.diff.code, right.diff.code);
    assert_eq!(left.diff.trie, right.diff.trie);
}
