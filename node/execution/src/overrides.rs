//! What a call replaces: accounts and the block it runs in.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

/// Replacements for one account during a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountOverride {
    /// Balance in wei.
    pub balance: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Code.
    pub code: Option<Bytes>,
    /// The whole storage: slots not named are zero.
    pub state: Option<BTreeMap<U256, U256>>,
    /// Single slots.
    pub state_diff: BTreeMap<U256, U256>,
}

/// Replacements by account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateOverrides {
    /// By address.
    pub accounts: BTreeMap<Address, AccountOverride>,
}

impl StateOverrides {
    /// Whether nothing is replaced.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}

/// Replacements for the block a call runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockOverrides {
    /// NUMBER.
    pub number: Option<U256>,
    /// TIMESTAMP in seconds.
    pub timestamp: Option<u64>,
    /// GASLIMIT.
    pub gas_limit: Option<u64>,
    /// COINBASE.
    pub beneficiary: Option<Address>,
    /// PREVRANDAO.
    pub prevrandao: Option<B256>,
    /// BASEFEE in wei.
    pub base_fee: Option<u64>,
}

/// Everything replaced during a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Accounts.
    pub state: StateOverrides,
    /// Block.
    pub block: BlockOverrides,
}
