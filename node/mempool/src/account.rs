//! The account data that the pool needs.

use alloy_eips::eip7702::constants::EIP7702_DELEGATION_DESIGNATOR;
use alloy_primitives::U256;

/// Length in bytes of a delegation designator: the magic and an address.
const DELEGATION_BYTES: usize = 23;

/// The kind of code an account carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccountCode {
    /// No code: an ordinary account.
    #[default]
    None,
    /// A delegation designator (EIP-7702): the account may send transactions, and others may also
    /// spend its balance.
    Delegated,
    /// A contract: it cannot send transactions (EIP-3607).
    Contract,
}

impl AccountCode {
    /// Classifies the account's code.
    #[must_use]
    pub fn of(code: &[u8]) -> Self {
        if code.is_empty() {
            Self::None
        } else if code.len() == DELEGATION_BYTES && code.starts_with(&EIP7702_DELEGATION_DESIGNATOR) {
            Self::Delegated
        } else {
            Self::Contract
        }
    }
}

/// An account in the latest committed state. The default stands for an account that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountView {
    /// The nonce the account's next transaction must carry.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// The kind of code that the account has.
    pub code: AccountCode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_classified_by_its_bytes() {
        let mut delegation = vec![0xef, 0x01, 0x00];
        delegation.extend([7u8; 20]);
        assert_eq!(AccountCode::of(&[]), AccountCode::None);
        assert_eq!(AccountCode::of(&delegation), AccountCode::Delegated);
        assert_eq!(AccountCode::of(&delegation[..22]), AccountCode::Contract);
        assert_eq!(AccountCode::of(&[0x60, 0x00]), AccountCode::Contract);
    }
}
