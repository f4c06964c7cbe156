//! A chain of test blocks over RocksDB or over tables in memory, and a model of every state of the chain.

pub mod memory;

use alloy_consensus::{Header, SignableTransaction, TxLegacy};
use alloy_primitives::{Address, B256, Bloom, Bytes, KECCAK256_EMPTY, Log, Signature, TxKind, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use causeway_consensus::{CommitCertificate, CommitSignature, Height, Round};
use causeway_execution::{
    Account, Block, ExecutedBlock, PegEvent, Receipt, StateDiff, StateSource, SystemTx, Transaction, genesis_state,
};
use causeway_fixtures::{node_keys, operator};
use causeway_genesis::{AllocAccount, Genesis, ceremony};
use causeway_storage::{Storage, StorageError, StorageOptions};
use causeway_trie::{EMPTY_ROOT_HASH, StateChanges, state_root_after};
use memory::MemoryTables;
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tempfile::TempDir;

pub const CHAIN_ID: u64 = 4_242;

/// A standalone chain; another `name` gives another genesis.
pub fn genesis(name: &str) -> Arc<Genesis> {
    let mut spec = ceremony::new_spec(CHAIN_ID, name, 1_700_000_000, None);
    let stake = U256::from(10u64).pow(U256::from(24));
    spec.validators = (1..=4)
        .map(|seed| ceremony::validator_entry(&format!("v{seed}"), operator(seed), stake, &node_keys(seed)))
        .collect();
    let rich = AllocAccount { balance: U256::from(10u64).pow(U256::from(24)), ..AllocAccount::default() };
    spec.alloc.insert(Address::repeat_byte(0xaa), rich);
    Arc::new(Genesis::build(spec).unwrap())
}

/// The changes of a test block.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Small account number to its balance, or `None` to remove it.
    pub accounts: BTreeMap<u8, Option<u64>>,
    /// (account number, slot) to the value; zero clears.
    pub slots: BTreeMap<(u8, u8), u64>,
}

/// Account numbers stand for addresses.
pub fn address(number: u8) -> Address {
    Address::from_word(keccak256([number]))
}

/// The complete state after one block.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub accounts: BTreeMap<Address, Account>,
    pub slots: BTreeMap<(Address, U256), U256>,
    pub root: B256,
}

impl Model {
    /// The diff of `changes`, with trie nodes computed over `parent`, and the model after it.
    fn apply(&self, changes: &Changes, parent: &dyn StateSource) -> (StateDiff, Self) {
        let mut after = self.clone();
        let mut hashed = StateChanges::default();
        for (&number, balance) in &changes.accounts {
            let address = address(number);
            let has_slots = after.slots.keys().any(|(owner, _)| *owner == address)
                || changes.slots.keys().any(|(owner, _)| *owner == number);
            match balance {
                Some(balance) => after.accounts.entry(address).or_default().balance = U256::from(*balance),
                // An account with storage never disappears on this chain.
                None if has_slots => continue,
                None => {
                    after.accounts.remove(&address);
                }
            }
        }
        for (&(number, slot), &value) in &changes.slots {
            let (address, slot, value) = (address(number), U256::from(slot), U256::from(value));
            after.accounts.entry(address).or_default();
            if value.is_zero() {
                after.slots.remove(&(address, slot));
            } else {
                after.slots.insert((address, slot), value);
            }
            hashed.storages.entry(keccak256(address)).or_default().insert(keccak256(B256::from(slot)), value);
        }
        let touched = changes.accounts.keys().chain(changes.slots.keys().map(|(owner, _)| owner));
        for address in touched.map(|number| address(*number)) {
            let account = after.accounts.get(&address).map(|account| TrieAccount {
                nonce: account.nonce,
                balance: account.balance,
                storage_root: account.storage_root,
                code_hash: account.code_hash,
            });
            hashed.accounts.insert(keccak256(address), account);
        }
        let roots = state_root_after(parent, self.root, &hashed).unwrap();
        let mut diff = StateDiff { trie: roots.updates, ..StateDiff::default() };
        for (address, account) in &mut after.accounts {
            if let Some(root) = roots.storage_roots.get(&keccak256(address)) {
                account.storage_root = *root;
            }
        }
        for address in self.accounts.keys().chain(after.accounts.keys()) {
            let pair = (self.accounts.get(address).copied(), after.accounts.get(address).copied());
            if pair.0 != pair.1 {
                diff.accounts.insert(*address, pair);
            }
        }
        for key in self.slots.keys().chain(after.slots.keys()) {
            let value = |model: &Self| model.slots.get(key).copied().unwrap_or_default();
            if value(self) != value(&after) {
                diff.storage.insert(*key, (value(self), value(&after)));
            }
        }
        after.root = roots.root;
        (diff, after)
    }
}

/// The location of a database.
pub enum Place {
    Rocks(TempDir),
    Memory(Arc<MemoryTables>),
}

impl Place {
    pub fn rocks() -> Self {
        Self::Rocks(tempfile::tempdir().unwrap())
    }

    pub fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    fn open(&self, genesis: &Genesis, options: StorageOptions) -> Result<Arc<Storage>, StorageError> {
        match self {
            Self::Rocks(dir) => Storage::open(dir.path(), genesis, options),
            Self::Memory(tables) => Storage::open_on(Box::new(Arc::clone(tables)), genesis, options),
        }
    }
}

/// Generates from each function of a [`Place`] one test over RocksDB and one over tables in memory.
macro_rules! in_each_place {
    ($($test:ident),+ $(,)?) => {
        mod rocks {
            $(#[test] fn $test() { super::$test(&crate::support::Place::rocks()); })+
        }
        mod memory {
            $(#[test] fn $test() { super::$test(&crate::support::Place::memory()); })+
        }
    };
}

/// A database and its expected content.
pub struct TestChain {
    pub genesis: Arc<Genesis>,
    pub storage: Arc<Storage>,
    pub options: StorageOptions,
    /// By block number.
    pub models: Vec<Model>,
    /// By block number minus one.
    pub blocks: Vec<(Arc<ExecutedBlock>, CommitCertificate)>,
}

impl TestChain {
    pub fn open(dir: &Path, options: StorageOptions) -> Self {
        let genesis = genesis("Test chain");
        let storage = Storage::open(dir, &genesis, options).unwrap();
        Self::new(genesis, storage, options)
    }

    pub fn open_in(place: &Place, options: StorageOptions) -> Self {
        let genesis = genesis("Test chain");
        let storage = place.open(&genesis, options).unwrap();
        Self::new(genesis, storage, options)
    }

    /// The chain at its genesis.
    fn new(genesis: Arc<Genesis>, storage: Arc<Storage>, options: StorageOptions) -> Self {
        let executed = genesis_state(&genesis);
        let model = Model {
            accounts: executed.diff.accounts.iter().filter_map(|(at, (_, after))| Some((*at, (*after)?))).collect(),
            slots: executed.diff.storage.iter().map(|(at, (_, after))| (*at, *after)).collect(),
            root: genesis.header.state_root,
        };
        Self { genesis, storage, options, models: vec![model], blocks: Vec::new() }
    }

    /// Closes the database and opens it again.
    pub fn reopen(&mut self, dir: &Path) {
        self.close();
        self.storage = Storage::open(dir, &self.genesis, self.options).unwrap();
    }

    pub fn reopen_in(&mut self, place: &Place) {
        self.close();
        self.storage = place.open(&self.genesis, self.options).unwrap();
    }

    /// Drops the only handle, because a directory can be locked only once; another database replaces it.
    fn close(&mut self) {
        self.storage = Place::memory().open(&self.genesis, StorageOptions::default()).unwrap();
    }

    pub fn head(&self) -> u64 {
        self.storage.head_number()
    }

    /// The next block, not committed.
    pub fn next(&self, changes: &Changes, content: Content) -> (Arc<ExecutedBlock>, Model) {
        let parent = self.storage.head();
        let (diff, model) = self.models.last().unwrap().apply(changes, &*self.storage.latest());
        let header = Header {
            number: parent.number + 1,
            parent_hash: self.storage.head_hash(),
            state_root: model.root,
            timestamp: parent.timestamp + 1,
            logs_bloom: content.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom),
            ..Header::default()
        };
        let hash = header.hash_slow();
        let block = Block { header, transactions: content.transactions, parent_certificate: None };
        let executed = ExecutedBlock {
            block: Arc::new(block),
            hash,
            senders: content.senders,
            receipts: content.receipts,
            diff,
            peg_events: content.peg_events,
        };
        (Arc::new(executed), model)
    }

    pub fn push(&mut self, changes: &Changes) -> Arc<ExecutedBlock> {
        self.push_with(changes, Content::default())
    }

    pub fn push_with(&mut self, changes: &Changes, content: Content) -> Arc<ExecutedBlock> {
        let (executed, model) = self.next(changes, content);
        let certificate = certificate(&executed);
        self.storage.commit(&executed, &certificate).unwrap();
        self.models.push(model);
        self.blocks.push((Arc::clone(&executed), certificate));
        executed
    }

    /// Compares the state at `number` with the model: values present and absent, and the whole trie through proofs.
    pub fn check(&self, number: u64) {
        let model = &self.models[usize::try_from(number).unwrap()];
        let state = self.storage.state_at(number).unwrap();
        assert_eq!(state.number(), number);
        for account in 0..=u8::MAX {
            let address = address(account);
            assert_eq!(state.account(address).unwrap(), model.accounts.get(&address).copied(), "account at {number}");
            let leaf = causeway_trie::get(&*state, None, model.root, keccak256(address)).unwrap();
            assert_eq!(leaf.is_some(), model.accounts.contains_key(&address), "trie at {number}");
            let storage_root = model.accounts.get(&address).map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
            if account < 8 {
                for slot in 0..8 {
                    let slot = U256::from(slot);
                    let value = model.slots.get(&(address, slot)).copied().unwrap_or_default();
                    assert_eq!(state.storage(address, slot).unwrap(), value, "slot at {number}");
                    let key = keccak256(B256::from(slot));
                    let leaf = causeway_trie::get(&*state, Some(keccak256(address)), storage_root, key).unwrap();
                    assert_eq!(leaf, (!value.is_zero()).then(|| alloy_rlp::encode(value)), "slot's leaf at {number}");
                }
            }
        }
    }

    /// Every block can be read and every kept state is right.
    pub fn check_all(&self) {
        for (executed, certificate) in &self.blocks {
            let number = executed.block.header.number;
            if number > self.head() {
                break;
            }
            assert_eq!(self.storage.block(number).unwrap().as_deref(), Some(&*executed.block));
            assert_eq!(self.storage.certificate(number).unwrap().as_ref(), Some(certificate));
        }
        for number in self.storage.oldest_state()..=self.head() {
            self.check(number);
        }
        self.check_rows();
    }

    /// Checks that the rows of the head's state equal the model's, and give its root without any stored node.
    pub fn check_rows(&self) {
        let model = &self.models[usize::try_from(self.head()).unwrap()];
        let (mut accounts, mut slots, mut codes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        self.storage.each_account(|address, account| _ = accounts.insert(address, account)).unwrap();
        self.storage.each_slot(|address, slot, value| _ = slots.insert((address, slot), value)).unwrap();
        self.storage.each_code(|hash, code| _ = codes.insert(hash, code)).unwrap();
        assert_eq!(accounts, model.accounts);
        assert_eq!(slots, model.slots);
        assert!(codes.iter().all(|(hash, code)| keccak256(code) == *hash));
        let mut storages: BTreeMap<Address, Vec<(B256, U256)>> = BTreeMap::new();
        for ((address, slot), value) in slots {
            storages.entry(address).or_default().push((B256::from(slot), value));
        }
        let leaves = accounts.into_iter().map(|(address, account)| {
            let storage_root = storage_root_unhashed(storages.remove(&address).unwrap_or_default());
            let Account { nonce, balance, code_hash, .. } = account;
            assert!(code_hash == KECCAK256_EMPTY || codes.contains_key(&code_hash), "code of {address}");
            (address, TrieAccount { nonce, balance, storage_root, code_hash })
        });
        assert_eq!(state_root_unhashed(leaves), model.root);
    }
}

/// The content of a test block besides its diff.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pub transactions: Vec<Transaction>,
    pub senders: Vec<Address>,
    pub receipts: Vec<Receipt>,
    pub peg_events: Vec<PegEvent>,
}

impl Content {
    /// One transaction that emits `logs`.
    pub fn add(&mut self, nonce: u64, logs: Vec<Log>) {
        let tx = TxLegacy { nonce, to: TxKind::Call(Address::ZERO), ..TxLegacy::default() };
        let signature = Signature::new(U256::from(1), U256::from(nonce + 1), false);
        self.add_transaction(Transaction::Ethereum(tx.into_signed(signature).into()), logs);
    }

    pub fn add_system(&mut self, to: Address, input: Bytes) {
        let index = u32::try_from(self.transactions.len()).unwrap();
        let tx = SystemTx { block_number: 1, index, to, gas_limit: 1, input };
        self.add_transaction(Transaction::System(tx), Vec::new());
    }

    fn add_transaction(&mut self, transaction: Transaction, logs: Vec<Log>) {
        self.transactions.push(transaction);
        self.senders.push(Address::repeat_byte(0x55));
        self.receipts.push(Receipt {
            tx_type: 0,
            status: true,
            cumulative_gas_used: 21_000,
            gas_used: 21_000,
            effective_gas_price: 7,
            contract_address: None,
            bloom: Receipt::bloom_of(&logs),
            logs,
        });
    }
}

pub fn certificate(executed: &ExecutedBlock) -> CommitCertificate {
    CommitCertificate {
        height: Height(executed.block.header.number),
        round: Round(0),
        block_hash: executed.hash,
        signatures: vec![CommitSignature { validator: Address::repeat_byte(1), signature: [7; 64] }],
    }
}

/// Opens a directory that must fail to open; returns the error.
pub fn open_error(dir: &Path, genesis: &Genesis) -> StorageError {
    Storage::open(dir, genesis, StorageOptions::default()).unwrap_err()
}

/// Copies a directory tree, as a backup or a crash image would have it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
