//! The gas a transaction needs before its first instruction.

use alloy_consensus::{Transaction, TxEnvelope};

const TRANSACTION_GAS: u64 = 21_000;
const CREATE_GAS: u64 = 32_000;
const ZERO_BYTE_GAS: u64 = 4;
/// EIP-2028.
const NON_ZERO_BYTE_GAS: u64 = 16;
/// EIP-3860.
const INIT_CODE_WORD_GAS: u64 = 2;
/// EIP-2930.
const ACCESS_LIST_ADDRESS_GAS: u64 = 2_400;
const ACCESS_LIST_KEY_GAS: u64 = 1_900;
/// EIP-7702.
const AUTHORIZATION_GAS: u64 = 25_000;
/// EIP-7623: a zero byte is one token of calldata, any other byte four; a token costs at least this.
const FLOOR_TOKEN_GAS: u64 = 10;
const TOKENS_PER_NON_ZERO_BYTE: u64 = 4;

/// Gas charged before execution (Prague rules). Saturates, which no gas limit can meet.
#[must_use]
pub fn intrinsic_gas(tx: &TxEnvelope) -> u64 {
    let (zeros, others) = count_bytes(tx.input());
    let mut gas = TRANSACTION_GAS
        .saturating_add(zeros.saturating_mul(ZERO_BYTE_GAS))
        .saturating_add(others.saturating_mul(NON_ZERO_BYTE_GAS));
    if tx.kind().is_create() {
        let words = (zeros + others).div_ceil(32);
        gas = gas.saturating_add(CREATE_GAS).saturating_add(words.saturating_mul(INIT_CODE_WORD_GAS));
    }
    if let Some(list) = tx.access_list() {
        for item in list.iter() {
            gas = gas
                .saturating_add(ACCESS_LIST_ADDRESS_GAS)
                .saturating_add(length(item.storage_keys.len()).saturating_mul(ACCESS_LIST_KEY_GAS));
        }
    }
    if let Some(list) = tx.authorization_list() {
        gas = gas.saturating_add(length(list.len()).saturating_mul(AUTHORIZATION_GAS));
    }
    gas
}

/// The least a transaction pays for its calldata, whatever it executes (EIP-7623). Saturates.
#[must_use]
pub fn floor_gas(tx: &TxEnvelope) -> u64 {
    let (zeros, others) = count_bytes(tx.input());
    let tokens = zeros.saturating_add(others.saturating_mul(TOKENS_PER_NON_ZERO_BYTE));
    TRANSACTION_GAS.saturating_add(tokens.saturating_mul(FLOOR_TOKEN_GAS))
}

fn count_bytes(input: &[u8]) -> (u64, u64) {
    let zeros = input.iter().filter(|byte| **byte == 0).count();
    (length(zeros), length(input.len() - zeros))
}

fn length(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
