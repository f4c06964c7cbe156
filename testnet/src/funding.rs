//! Many transactions of one account at once: signed with consecutive nonces, sent together, waited for together.

use std::time::Duration;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use eyre::{WrapErr as _, bail};
use serde_json::{Value, json};

use crate::rpc::Rpc;

/// Deadline for a batch to be included in blocks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tip in wei per gas.
const TIP: u128 = 1_000_000_000;

/// What one transaction does.
#[derive(Clone, Debug)]
pub struct Call {
    /// The callee, or a creation.
    pub to: TxKind,
    /// Coin in wei.
    pub value: U256,
    /// Call data or init code.
    pub input: Bytes,
    /// Gas it may use.
    pub gas_limit: u64,
}

/// Fields that all transactions of one sender on one chain share.
#[derive(Clone, Copy, Debug)]
pub struct Fees {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Fee cap in wei per gas.
    pub max_fee: u128,
    /// Tip in wei per gas.
    pub tip: u128,
}

impl Fees {
    /// Fees that stay sufficient until the base fee has grown eightfold.
    pub async fn ample(rpc: &Rpc) -> eyre::Result<Self> {
        let base = rpc.base_fee().await?;
        Ok(Self { chain_id: rpc.chain_id().await?, max_fee: base.saturating_mul(8).saturating_add(TIP), tip: TIP })
    }
}

/// Signs an EIP-1559 transaction. Returns its hash and its bytes.
pub fn sign(signer: &PrivateKeySigner, fees: Fees, nonce: u64, call: &Call) -> eyre::Result<(B256, Bytes)> {
    let transaction = TxEip1559 {
        chain_id: fees.chain_id,
        nonce,
        gas_limit: call.gas_limit,
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.tip.min(fees.max_fee),
        to: call.to,
        value: call.value,
        access_list: Default::default(),
        input: call.input.clone(),
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).wrap_err("cannot sign")?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Ok((*envelope.tx_hash(), envelope.encoded_2718().into()))
}

/// Sends the calls as consecutive transactions and waits until all have succeeded. Returns their receipts.
pub async fn send_all(rpc: &Rpc, signer: &PrivateKeySigner, calls: &[Call]) -> eyre::Result<Vec<Value>> {
    let fees = Fees::ample(rpc).await?;
    let first = rpc.nonce(signer.address()).await?;
    let mut signed = Vec::with_capacity(calls.len());
    for (nonce, call) in (first..).zip(calls) {
        signed.push(sign(signer, fees, nonce, call)?);
    }
    let answers = rpc.batch("eth_sendRawTransaction", signed.iter().map(|(_, raw)| json!([raw])).collect()).await?;
    if let Some(reason) = answers.into_iter().find_map(Result::err) {
        bail!("{} refuses a transaction of {}: {reason}", rpc.url(), signer.address());
    }
    let mut receipts = Vec::with_capacity(signed.len());
    for (hash, _) in signed {
        receipts.push(rpc.receipt(hash, PATIENCE).await?);
    }
    Ok(receipts)
}

/// Init code that splits the coin it is created with equally among the addresses, and leaves no contract.
///
/// One transaction then funds hundreds of accounts. The code, with the addresses after it:
///
/// ```text
/// share = callvalue / ((codesize - 0x2c) / 20)
/// for at = 0x2c; at < codesize; at += 20 { codecopy(12, at, 20); call(0, mload(0), share, 0, 0, 0, 0) }
/// ```
pub fn disperse(addresses: &[Address]) -> Bytes {
    let mut code = DISPERSE.to_vec();
    addresses.iter().for_each(|address| code.extend_from_slice(address.as_slice()));
    code.into()
}

/// Gas that [`disperse`] needs for each new account: the call with value, the account, the copy.
pub const DISPERSE_GAS_EACH: u64 = 38_000;

const DISPERSE: [u8; 0x2c] = [
    0x60, 0x14, // PUSH1 20
    0x60, 0x2c, // PUSH1 codelen
    0x38, // CODESIZE
    0x03, // SUB            codesize - codelen
    0x04, // DIV            / 20 = n
    0x34, // CALLVALUE
    0x04, // DIV            share = callvalue / n
    0x60, 0x2c, // PUSH1 codelen    [share, at]
    0x5b, // JUMPDEST (0x0b)        [share, at]
    0x38, // CODESIZE
    0x81, // DUP2
    0x10, // LT             at < codesize
    0x60, 0x15, // PUSH1 body
    0x57, // JUMPI
    0x5f, 0x5f, // PUSH0 PUSH0
    0xf3, // RETURN
    0x5b, // JUMPDEST (0x15)        [share, at]
    0x60, 0x14, // PUSH1 20
    0x81, // DUP2           at
    0x60, 0x0c, // PUSH1 12
    0x39, // CODECOPY(12, at, 20)
    0x5f, 0x5f, 0x5f, 0x5f, // out size, out offset, in size, in offset
    0x85, // DUP6           share
    0x5f, 0x51, // MLOAD(0)         the address
    0x5f, // gas 0: the stipend is enough for a plain account
    0xf1, // CALL
    0x50, // POP
    0x60, 0x14, // PUSH1 20
    0x01, // ADD
    0x60, 0x0b, // PUSH1 loop
    0x56, // JUMP
];
