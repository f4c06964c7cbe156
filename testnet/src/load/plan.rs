//! The workload: accounts with coin and tokens, and their signed transactions.

use std::{num::NonZero, thread};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use causeway_contracts::{bindings::TestToken, deploy::test_token_deploy_code};
use eyre::{WrapErr as _, ensure, eyre};
use serde_json::Value;

use crate::{
    cli::{LoadKind, coins},
    funding::{self, Call, Fees},
    rpc::Rpc,
};

/// Gas of a coin transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Gas limit of an ERC-20 transfer to a fresh account.
const ERC20_GAS: u64 = 65_000;
/// Gas limit of the token's deployment.
const TOKEN_GAS: u64 = 3_000_000;
/// Accounts funded by one transaction: Osaka caps a transaction at 2^24 gas.
const ACCOUNTS_PER_DISPERSE: usize = 350;
/// Gas of a dispersal beside its accounts: the creation, and its call data.
const DISPERSE_GAS_BASE: u64 = 500_000;
/// Token transfers sent to accounts at once while funding.
const TOKENS_PER_BATCH: usize = 200;
/// Most coin given to one account.
const MAX_COINS_EACH: u64 = 5;
/// How much the base fee may grow during the load.
const FEE_GROWTH: u128 = 100;
/// Tip in wei per gas.
const TIP: u128 = 1_000_000_000;

/// A signed transaction.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its hash.
    pub hash: B256,
    /// Its bytes.
    pub raw: Bytes,
}

/// Everything that will be sent.
#[derive(Debug)]
pub struct Workload {
    /// For each account its transactions in the order of their nonces.
    pub transactions: Vec<Vec<Signed>>,
}

impl Workload {
    /// Makes and funds accounts and signs `total` transactions, spread evenly.
    pub async fn prepare(rpc: &Rpc, funder: &B256, kind: LoadKind, count: u32, total: u64) -> eyre::Result<Self> {
        let funder = PrivateKeySigner::from_bytes(funder).wrap_err("the funding key is no secp256k1 key")?;
        let chain_id = rpc.chain_id().await?;
        let start = rpc.nonce(funder.address()).await?;
        // Each load has new accounts, derived from the funder and its nonce.
        let signers: Vec<PrivateKeySigner> =
            (0..count).map(|i| derive(&funder, chain_id, start, i)).collect::<Result<_, _>>()?;
        let addresses: Vec<Address> = signers.iter().map(PrivateKeySigner::address).collect();
        fund(rpc, &funder, &addresses).await?;
        let token = match kind {
            LoadKind::Transfer => None,
            LoadKind::Erc20 | LoadKind::Mixed => Some(deploy_token(rpc, &funder, &addresses).await?),
        };
        let base_fee = rpc.base_fee().await?;
        let fees = Fees { chain_id, max_fee: base_fee.saturating_mul(FEE_GROWTH).saturating_add(TIP), tip: TIP };
        let transactions = sign_all(&signers, &addresses, fees, kind, token, total)?;
        Ok(Self { transactions })
    }
}

fn derive(funder: &PrivateKeySigner, chain_id: u64, nonce: u64, index: u32) -> eyre::Result<PrivateKeySigner> {
    let seed = [
        funder.to_bytes().as_slice(),
        chain_id.to_be_bytes().as_slice(),
        nonce.to_be_bytes().as_slice(),
        index.to_be_bytes().as_slice(),
    ]
    .concat();
    PrivateKeySigner::from_bytes(&keccak256(seed)).wrap_err("a hash that is no key: choose another number of accounts")
}

async fn fund(rpc: &Rpc, funder: &PrivateKeySigner, addresses: &[Address]) -> eyre::Result<()> {
    let balance = rpc.balance(funder.address()).await?;
    // A fifth is kept for gas and for the next load.
    let share = balance / U256::from(5) * U256::from(4) / U256::from(addresses.len().max(1));
    let each = share.min(coins(MAX_COINS_EACH));
    ensure!(!each.is_zero(), "{} has {balance} wei, which is too little to fund accounts", funder.address());
    let calls = addresses.chunks(ACCOUNTS_PER_DISPERSE).map(|chunk| {
        let count = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        Call {
            to: TxKind::Create,
            value: each.saturating_mul(U256::from(count)),
            input: funding::disperse(chunk),
            gas_limit: DISPERSE_GAS_BASE.saturating_add(count.saturating_mul(funding::DISPERSE_GAS_EACH)),
        }
    });
    funding::send_all(rpc, funder, &calls.collect::<Vec<_>>()).await.wrap_err("cannot fund the accounts")?;
    let last = addresses.last().ok_or_else(|| eyre!("no accounts"))?;
    ensure!(rpc.balance(*last).await? == each, "funding the accounts did not reach {last}");
    Ok(())
}

async fn deploy_token(rpc: &Rpc, funder: &PrivateKeySigner, addresses: &[Address]) -> eyre::Result<Address> {
    let supply = coins(1_000_000_000);
    let creation =
        Call { to: TxKind::Create, value: U256::ZERO, input: test_token_deploy_code(supply), gas_limit: TOKEN_GAS };
    let receipts = funding::send_all(rpc, funder, &[creation]).await.wrap_err("cannot deploy the token")?;
    let token = receipts.first().map(|receipt| receipt["contractAddress"].clone()).unwrap_or(Value::Null);
    let token: Address = serde_json::from_value(token).wrap_err("the token's receipt names no contract")?;
    let share = supply / U256::from(addresses.len().max(1));
    for chunk in addresses.chunks(TOKENS_PER_BATCH) {
        let calls = chunk.iter().map(|to| token_transfer(token, *to, share));
        funding::send_all(rpc, funder, &calls.collect::<Vec<_>>()).await.wrap_err("cannot hand out tokens")?;
    }
    Ok(token)
}

fn token_transfer(token: Address, to: Address, value: U256) -> Call {
    let input = TestToken::transferCall { to, value }.abi_encode().into();
    Call { to: TxKind::Call(token), value: U256::ZERO, input, gas_limit: ERC20_GAS }
}

/// Signs on all cores.
fn sign_all(
    signers: &[PrivateKeySigner],
    addresses: &[Address],
    fees: Fees,
    kind: LoadKind,
    token: Option<Address>,
    total: u64,
) -> eyre::Result<Vec<Vec<Signed>>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let chunk = signers.len().div_ceil(threads).max(1);
    let each = total.div_ceil(u64::try_from(signers.len().max(1))?);
    let sign_one = |signer: &PrivateKeySigner, index: usize, nonce: u64| -> eyre::Result<Signed> {
        // The next account receives, so that no account runs out of coin.
        let neighbour = addresses.get(index.wrapping_add(1) % addresses.len()).copied().unwrap_or_default();
        let call = match (kind, token) {
            (LoadKind::Erc20, Some(token)) => token_transfer(token, neighbour, U256::from(1)),
            (LoadKind::Mixed, Some(token)) if nonce.is_multiple_of(2) => {
                token_transfer(token, neighbour, U256::from(1))
            }
            _ => {
                Call { to: TxKind::Call(neighbour), value: U256::from(1), input: Bytes::new(), gas_limit: TRANSFER_GAS }
            }
        };
        funding::sign(signer, fees, nonce, &call).map(|(hash, raw)| Signed { hash, raw })
    };
    let sign_chunk = |signers: &[PrivateKeySigner], first: usize| -> eyre::Result<Vec<Vec<Signed>>> {
        let own = |(i, signer)| (0..each).map(|nonce| sign_one(signer, first.saturating_add(i), nonce)).collect();
        signers.iter().enumerate().map(own).collect()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = signers
            .chunks(chunk)
            .enumerate()
            .map(|(worker, signers)| {
                let sign_chunk = &sign_chunk;
                scope.spawn(move || sign_chunk(signers, worker.saturating_mul(chunk)))
            })
            .collect();
        let mut all = Vec::with_capacity(signers.len());
        for worker in workers {
            all.extend(worker.join().map_err(|_| eyre!("a signing thread panicked"))??);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::accounts;

    #[test]
    fn accounts_differ_by_index_nonce_and_chain() {
        let funder = accounts::signer(&accounts::TEST_KEYS[0]);
        let one = derive(&funder, 1, 0, 0).unwrap().address();
        assert_eq!(one, derive(&funder, 1, 0, 0).unwrap().address());
        for other in [derive(&funder, 2, 0, 0), derive(&funder, 1, 1, 0), derive(&funder, 1, 0, 1)] {
            assert_ne!(one, other.unwrap().address());
        }
    }

    #[test]
    fn every_account_gets_its_transactions_with_consecutive_nonces() {
        let funder = accounts::signer(&accounts::TEST_KEYS[0]);
        let signers: Vec<_> = (0..5).map(|i| derive(&funder, 1, 0, i).unwrap()).collect();
        let addresses: Vec<_> = signers.iter().map(PrivateKeySigner::address).collect();
        let fees = Fees { chain_id: 1, max_fee: 2, tip: 1 };
        let token = Some(Address::repeat_byte(9));
        for kind in [LoadKind::Transfer, LoadKind::Erc20, LoadKind::Mixed] {
            let all = sign_all(&signers, &addresses, fees, kind, token, 15).unwrap();
            assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [3; 5]);
            let again = sign_all(&signers, &addresses, fees, kind, token, 15).unwrap();
            assert_eq!(all[4][2].hash, again[4][2].hash);
        }
    }
}
