//! A chain in memory for tests and benchmarks: every block is built, encoded, decoded, executed, and its state root
//! recomputed from scratch.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

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
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use causeway_consensus::{
    CommitCertificate, CommitSignature, Ed25519Signer, Height, Round, Signer as _, Validator, ValidatorId,
    ValidatorSet, Vote, VoteKind,
};
use causeway_execution::{
    Account, Block, BuildAttributes, CallRequest, CallResult, ExecutedBlock, ExecutionError, Executor, MAX_BLOCK_BYTES,
    Overrides, RecoveredTx, SourceError, StateSource, SystemCall, ValidationContext, genesis_state, validator_set_at,
};
use causeway_genesis::{AllocAccount, ChainSpec, Genesis, NodeKeys, SecretKey, ceremony};
use causeway_trie::{MemoryNodes, Nibbles, NodeSource, NodeSourceError};

pub const CHAIN_ID: u64 = 4_242;
pub const GENESIS_TIME: u64 = 1_700_000_000;
pub const VALIDATORS: u8 = 4;
pub const ETHER: u128 = 1_000_000_000_000_000_000;

/// State in maps, applying each block's diff and checking its "before" values against itself.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    pub accounts: BTreeMap<Address, Account>,
    pub storage: BTreeMap<(Address, U256), U256>,
    pub code: BTreeMap<B256, Bytes>,
    pub hashes: BTreeMap<u64, B256>,
    pub nodes: MemoryNodes,
}

impl MemoryState {
    pub fn apply(&mut self, executed: &ExecutedBlock) {
        for (address, (before, after)) in &executed.diff.accounts {
            assert_eq!(self.accounts.get(address), before.as_ref(), "{address}");
            assert!(before != after || executed.diff.storage.keys().any(|(owner, _)| owner == address));
            match after {
                Some(after) => self.accounts.insert(*address, *after),
                None => self.accounts.remove(address),
            };
        }
        for ((address, slot), (before, after)) in &executed.diff.storage {
            assert_ne!(before, after);
            assert_eq!(self.storage.get(&(*address, *slot)).copied().unwrap_or_default(), *before);
            if after.is_zero() {
                self.storage.remove(&(*address, *slot));
            } else {
                self.storage.insert((*address, *slot), *after);
            }
        }
        for (hash, code) in &executed.diff.code {
            assert_eq!(keccak256(code), *hash);
            self.code.insert(*hash, code.clone());
        }
        self.nodes.apply(executed.diff.trie.clone());
        self.hashes.insert(executed.block.header.number, executed.hash);
    }

    /// The state root without any trie: sorted leaves through alloy's hash builder.
    pub fn root_from_scratch(&self) -> B256 {
        let mut slots: BTreeMap<Address, Vec<(B256, U256)>> = BTreeMap::new();
        for ((address, slot), value) in &self.storage {
            slots.entry(*address).or_default().push((B256::from(*slot), *value));
        }
        state_root_unhashed(self.accounts.iter().map(|(address, account)| {
            let storage_root = storage_root_unhashed(slots.remove(address).unwrap_or_default());
            assert_eq!(storage_root, account.storage_root, "storage root of {address}");
            let leaf = TrieAccount {
                nonce: account.nonce,
                balance: account.balance,
                storage_root,
                code_hash: account.code_hash,
            };
            (*address, leaf)
        }))
    }

    pub fn total_balance(&self) -> U256 {
        self.accounts.values().map(|account| account.balance).fold(U256::ZERO, |sum, balance| sum + balance)
    }

    pub fn balance(&self, address: Address) -> U256 {
        self.accounts.get(&address).map_or(U256::ZERO, |account| account.balance)
    }

    pub fn slot(&self, address: Address, slot: u64) -> U256 {
        self.storage.get(&(address, U256::from(slot))).copied().unwrap_or_default()
    }
}

impl NodeSource for MemoryState {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        self.nodes.node(owner, path)
    }
}

impl StateSource for MemoryState {
    fn account(&self, address: Address) -> Result<Option<Account>, SourceError> {
        Ok(self.accounts.get(&address).copied())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, SourceError> {
        Ok(self.storage.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Bytes, SourceError> {
        self.code.get(&hash).cloned().ok_or(SourceError::MissingCode(hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, SourceError> {
        self.hashes.get(&number).copied().ok_or(SourceError::MissingBlockHash(number))
    }
}

/// Keys that depend on a number alone.
pub fn node_keys(seed: u8) -> NodeKeys {
    let key = |role: u8| SecretKey::from_bytes(role_bytes(role, seed));
    NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) }
}

pub fn role_bytes(role: u8, seed: u8) -> [u8; 32] {
    let mut bytes = [seed; 32];
    bytes[0] = role;
    bytes
}

pub fn validator_id(seed: u8) -> ValidatorId {
    Ed25519Signer::new(&role_bytes(1, seed)).validator()
}

/// The number whose consensus key has this id.
pub fn seed_of(id: &ValidatorId) -> u8 {
    static SEEDS: OnceLock<BTreeMap<ValidatorId, u8>> = OnceLock::new();
    SEEDS.get_or_init(|| (1..=MAX_SEED).map(|seed| (validator_id(seed), seed)).collect())[id]
}

pub fn operator(seed: u8) -> Address {
    Address::repeat_byte(0xb0 | seed)
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
        let mut signatures: Vec<_> = self
            .validators
            .iter()
            .filter(|validator| all || speaks(validator))
            .map(|validator| seed_of(&validator.id))
            .map(|seed| {
                let signer = Ed25519Signer::new(&role_bytes(1, seed));
                let vote = Vote {
                    kind: VoteKind::Precommit,
                    height: Height(height),
                    round: Round(0),
                    block_hash: Some(block_hash),
                    validator: signer.validator(),
                };
                let signature = signer.sign(&vote.sign_bytes(self.genesis.hash)).unwrap();
                CommitSignature { validator: signer.validator(), signature }
            })
            .collect();
        signatures.sort();
        CommitCertificate { height: Height(height), round: Round(0), block_hash, signatures }
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
