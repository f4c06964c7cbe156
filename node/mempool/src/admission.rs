//! The rules a transaction must meet, in geth's order (`core/txpool/validation.go`).

use alloy_consensus::{Transaction, TxEnvelope, Typed2718, crypto::secp256k1::recover_signer};
use alloy_primitives::{Address, U256};
use causeway_execution::{RecoveredTx, TransactionLimits};

use crate::account::{AccountCode, AccountView};
use crate::config::PoolConfig;
use crate::error::PoolError;
use crate::sender::{SenderTxs, cost};

/// What needs no state: the rules of the next block, and the node's own limits.
pub(crate) fn check_form(
    config: &PoolConfig,
    limits: &TransactionLimits,
    tx: &RecoveredTx,
    local: bool,
) -> Result<(), PoolError> {
    let envelope = &tx.tx;
    if matches!(envelope, TxEnvelope::Eip4844(_)) {
        return Err(PoolError::TypeNotSupported { kind: envelope.ty() });
    }
    let size = encoded_bytes(tx);
    if size > limits.max_bytes {
        return Err(PoolError::Oversized { size, limit: limits.max_bytes });
    }
    match envelope.chain_id() {
        Some(have) if have != config.chain_id => {
            return Err(PoolError::InvalidChainId { have, want: config.chain_id });
        }
        None if local && !config.allow_unprotected => return Err(PoolError::Unprotected),
        _ => {}
    }
    if envelope.is_create() && envelope.input().len() > limits.max_init_code_bytes {
        return Err(PoolError::InitCodeTooLarge { size: envelope.input().len(), limit: limits.max_init_code_bytes });
    }
    let gas = envelope.gas_limit();
    if let Some(cap) = limits.gas_cap.filter(|cap| gas > *cap) {
        return Err(PoolError::GasLimitTooHigh { cap, gas });
    }
    if gas > limits.block_gas {
        return Err(PoolError::ExceedsBlockGasLimit);
    }
    let tip = envelope.priority_fee_or_price();
    if tip > envelope.max_fee_per_gas() {
        return Err(PoolError::TipAboveFeeCap);
    }
    if envelope.nonce() == u64::MAX {
        return Err(PoolError::NonceMax);
    }
    let (needed, floor) = limits.intrinsic_and_floor_gas(envelope);
    if gas < needed {
        return Err(PoolError::IntrinsicGas { gas, needed });
    }
    if gas < floor {
        return Err(PoolError::FloorDataGas { gas, needed: floor });
    }
    if tip < config.min_tip_wei {
        return Err(PoolError::TipTooLow { tip, needed: config.min_tip_wei });
    }
    if let Some(list) = envelope.authorization_list() {
        if list.is_empty() {
            return Err(PoolError::NoAuthorization);
        }
        if list.len() > config.max_authorizations {
            return Err(PoolError::TooManyAuthorizations { count: list.len(), limit: config.max_authorizations });
        }
    }
    if let Some(cap_wei) = config.fee_cap_wei.filter(|_| local) {
        let fee_wei = u128::from(gas).saturating_mul(envelope.max_fee_per_gas());
        if fee_wei > cap_wei {
            return Err(PoolError::FeeCapExceeded { fee_wei, cap_wei });
        }
    }
    Ok(())
}

/// The rules that depend on the sender's account and on its other transactions in the pool.
pub(crate) fn check_account(
    config: &PoolConfig,
    tx: &RecoveredTx,
    account: &AccountView,
    pooled: Option<&SenderTxs>,
) -> Result<(), PoolError> {
    if account.code == AccountCode::Contract {
        return Err(PoolError::SenderNotEoa(tx.sender));
    }
    let nonce = tx.tx.nonce();
    if nonce < account.nonce {
        return Err(PoolError::NonceTooLow { next: account.nonce, nonce });
    }
    let cost = cost(tx);
    if account.balance < cost {
        return Err(PoolError::InsufficientFunds { balance: account.balance, cost });
    }
    let Some(pooled) = pooled else { return Ok(()) };
    let existing = pooled.txs.get(&nonce);
    let own = existing.filter(|slot| slot.pending).map(|slot| slot.cost).unwrap_or_default();
    let queued = pooled.spent.saturating_sub(own);
    if account.balance < queued.saturating_add(cost) {
        return Err(PoolError::Overdraft { balance: account.balance, queued, cost });
    }
    if let Some(existing) = existing {
        return check_replacement(config, &existing.tx, tx);
    }
    let gapped = nonce > pooled.next_nonce();
    if pooled.txs.len() >= config.per_sender_slots || (gapped && pooled.queued() >= config.per_sender_queued) {
        return Err(PoolError::AccountLimit { pooled: pooled.txs.len() });
    }
    Ok(())
}

/// A replacement must exceed both fee fields by at least the configured percentage.
fn check_replacement(config: &PoolConfig, old: &RecoveredTx, new: &RecoveredTx) -> Result<(), PoolError> {
    let bumped = |old: u128, new: u128| {
        let wanted = old.saturating_mul(u128::from(config.price_bump_percent).saturating_add(100)) / 100;
        new > old && new >= wanted
    };
    if bumped(old.tx.max_fee_per_gas(), new.tx.max_fee_per_gas())
        && bumped(old.tx.priority_fee_or_price(), new.tx.priority_fee_or_price())
    {
        Ok(())
    } else {
        Err(PoolError::ReplacementUnderpriced)
    }
}

/// An account whose balance others may spend has at most one transaction in flight (geth's rule for EIP-7702).
/// `promised` is true if a transaction in the pool carries an authorization of this account.
pub(crate) fn check_delegated(
    tx: &RecoveredTx,
    account: &AccountView,
    pooled: Option<&SenderTxs>,
    promised: bool,
) -> Result<(), PoolError> {
    if account.code != AccountCode::Delegated && !promised {
        return Ok(());
    }
    let nonce = tx.tx.nonce();
    match pooled {
        Some(pooled) if pooled.pending > 0 => {
            if pooled.txs.get(&nonce).is_some_and(|slot| slot.pending) {
                Ok(())
            } else {
                Err(PoolError::InflightLimit)
            }
        }
        _ if nonce == account.nonce => Ok(()),
        _ => Err(PoolError::GappedDelegated),
    }
}

/// The accounts whose authorizations the transaction carries. Entries with a bad signature or for another chain
/// are ignored, as in execution. Each entry costs a signature recovery.
pub(crate) fn authorities(tx: &RecoveredTx, chain_id: u64) -> Vec<Address> {
    let Some(list) = tx.tx.authorization_list() else { return Vec::new() };
    let mut found: Vec<Address> = list
        .iter()
        .filter(|entry| entry.chain_id.is_zero() || entry.chain_id == U256::from(chain_id))
        .filter_map(|entry| {
            let signature = entry.signature().ok()?;
            recover_signer(&signature, entry.signature_hash()).ok()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Bytes of the EIP-2718 encoding.
pub(crate) fn encoded_bytes(tx: &RecoveredTx) -> usize {
    tx.size
}
