//! revm's view of a [`StateSource`], remembering what was read: those are the values before the block.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use alloy_primitives::{
    Address, B256, KECCAK256_EMPTY, U256, keccak256,
    map::{AddressMap, B256Map, DefaultHashBuilder},
};
use revm::{
    Database,
    state::{AccountInfo, Bytecode},
};

use crate::{
    overrides::StateOverrides,
    state::{Account, SourceError, StateSource},
};

/// Most contracts whose analysed code is kept between blocks (24 KiB each at most, 48 MiB in all).
const MAX_CACHED_CODES: usize = 2_048;

/// Analysed code by hash, kept between blocks. Cleared when full: the working set of a chain is far smaller.
#[derive(Debug, Default)]
pub(crate) struct CodeCache(Mutex<B256Map<Bytecode>>);

impl CodeCache {
    fn get(&self, hash: &B256) -> Option<Bytecode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    fn insert(&self, hash: B256, code: Bytecode) {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= MAX_CACHED_CODES {
            codes.clear();
        }
        codes.insert(hash, code);
    }
}

/// The state a block or a call executes on.
///
/// revm's journal keeps what it loaded for the life of the block, so each account and slot is read here once.
pub(crate) struct StateDb<'a> {
    source: &'a dyn StateSource,
    codes: &'a CodeCache,
    overrides: Option<&'a StateOverrides>,
    /// Whether hashes that are not there read as zero: calls may be told to run in a block that does not exist.
    lenient_hashes: bool,
    /// Accounts as read, before the block.
    pub(crate) accounts: AddressMap<Option<Account>>,
    /// Slots as read, before the block.
    pub(crate) slots: HashMap<(Address, U256), U256, DefaultHashBuilder>,
    /// Hash and number of the parent, which execution knows before the source does.
    parent: Option<(u64, B256)>,
    /// The first failed read. revm turns some of them into strings; this keeps the cause.
    failure: Option<SourceError>,
}

impl std::fmt::Debug for StateDb<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateDb").field("accounts", &self.accounts.len()).field("slots", &self.slots.len()).finish()
    }
}

impl<'a> StateDb<'a> {
    pub(crate) fn new(source: &'a dyn StateSource, codes: &'a CodeCache) -> Self {
        Self {
            source,
            codes,
            overrides: None,
            lenient_hashes: false,
            accounts: AddressMap::default(),
            slots: HashMap::default(),
            parent: None,
            failure: None,
        }
    }

    pub(crate) fn with_parent(mut self, number: u64, hash: B256) -> Self {
        self.parent = Some((number, hash));
        self
    }

    /// For a call: with `overrides`, and block hashes that are not known read as zero.
    pub(crate) fn for_call(mut self, overrides: &'a StateOverrides) -> Self {
        self.lenient_hashes = true;
        self.overrides = (!overrides.is_empty()).then_some(overrides);
        self
    }

    /// The first failed read, once.
    pub(crate) fn take_failure(&mut self) -> Option<SourceError> {
        self.failure.take()
    }

    fn keep_failure<T>(&mut self, result: Result<T, SourceError>) -> Result<T, SourceError> {
        if let Err(error) = &result
            && self.failure.is_none()
        {
            self.failure = Some(error.clone());
        }
        result
    }

    /// What the block found at `address`, reading it when nothing has yet.
    pub(crate) fn before(&mut self, address: Address) -> Result<Option<Account>, SourceError> {
        if let Some(account) = self.accounts.get(&address) {
            return Ok(*account);
        }
        let account = self.source.account(address);
        let account = self.keep_failure(account)?;
        self.accounts.insert(address, account);
        Ok(account)
    }

    /// What the block found in a slot, reading it when nothing has yet.
    pub(crate) fn slot_before(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        if let Some(value) = self.slots.get(&(address, slot)) {
            return Ok(*value);
        }
        let value = self.source.storage(address, slot);
        let value = self.keep_failure(value)?;
        self.slots.insert((address, slot), value);
        Ok(value)
    }
}

impl Database for StateDb<'_> {
    type Error = SourceError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let account = self.before(address)?;
        // `code: None` makes revm ask for the code by its hash; `AccountInfo::default()` would carry empty code.
        let mut info = account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None,
        });
        if let Some(change) = self.overrides.and_then(|overrides| overrides.accounts.get(&address)) {
            let info = info.get_or_insert_with(|| AccountInfo {
                balance: U256::ZERO,
                nonce: 0,
                code_hash: KECCAK256_EMPTY,
                account_id: None,
                code: None,
            });
            info.balance = change.balance.unwrap_or(info.balance);
            info.nonce = change.nonce.unwrap_or(info.nonce);
            if let Some(code) = &change.code {
                // Not `new_raw`: it panics on malformed EIP-7702 designators.
                let code =
                    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code.clone()));
                info.code_hash = code.hash_slow();
                info.code = Some(code);
            }
        }
        Ok(info)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, SourceError> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.codes.get(&code_hash) {
            return Ok(code);
        }
        // Hashed once a contract, then cached: running other bytes than the state names would be a wrong vote.
        let bytes = self.source.code(code_hash).and_then(|bytes| {
            if keccak256(&bytes) == code_hash { Ok(bytes) } else { Err(SourceError::CorruptCode(code_hash)) }
        });
        let bytes = self.keep_failure(bytes)?;
        let code = Bytecode::new_raw_checked(bytes.clone()).unwrap_or_else(|_| Bytecode::new_legacy(bytes));
        self.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, SourceError> {
        if let Some(change) = self.overrides.and_then(|overrides| overrides.accounts.get(&address)) {
            if let Some(value) = change.state_diff.get(&index) {
                return Ok(*value);
            }
            if let Some(state) = &change.state {
                return Ok(state.get(&index).copied().unwrap_or_default());
            }
        }
        self.slot_before(address, index)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        if let Some((parent, hash)) = self.parent
            && parent == number
        {
            return Ok(hash);
        }
        let hash = match self.source.block_hash(number) {
            Err(SourceError::MissingBlockHash(_)) if self.lenient_hashes => Ok(B256::ZERO),
            hash => hash,
        };
        self.keep_failure(hash)
    }
}
