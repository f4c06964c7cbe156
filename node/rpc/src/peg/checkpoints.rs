//! `peg_checkpoint`, `peg_checkpoints` and `peg_getWithdrawalProof`: what the parent's contracts take. Where a transfer stands
//! is in [`crate::peg::status`], the whole peg at a glance in [`crate::peg::summary`].

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use causeway_execution::{PegSlots, PegSlotsError};
use causeway_peg::withdrawal::withdrawal_leaf;
use causeway_peg::{Checkpoint, PegDomain, PegModule, Withdrawal, tree};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;

/// Checkpoints of one `peg_checkpoints`.
const MAX_CHECKPOINTS: u64 = 100;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "peg_checkpoint", Cost::Read, 1, checkpoint)?;
    method(module, "peg_checkpoints", Cost::Heavy, 2, checkpoints)?;
    method(module, "peg_getWithdrawalProof", Cost::Heavy, 2, withdrawal_proof)
}

/// # Errors
/// [`Fault::Refused`] on a chain without a peg.
pub(crate) fn domain(api: &Api) -> Result<PegDomain, Fault> {
    api.ctx.genesis.peg_domain().ok_or_else(|| Fault::Refused("this chain has no peg".to_owned()))
}

/// Reads one value of the peg's state at the head.
pub(crate) fn slots<T>(
    api: &Api,
    read: impl FnOnce(&mut PegSlots<'_>) -> Result<T, PegSlotsError>,
) -> Result<T, Fault> {
    let state = api.latest();
    read(&mut causeway_execution::peg_state(&*state)).map_err(|error| Fault::internal("peg state", error))
}

/// A checkpoint, its digest, and who signed it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RpcCheckpoint {
    #[serde(flatten)]
    fields: CheckpointFields,
    digest: B256,
    /// Null until a block carries the certificate.
    signatures: Option<Vec<RpcSignature>>,
    /// The block that carries the certificate.
    recorded_in: Option<U64>,
    /// Whether the registry on the parent has this or a later one; null where this node does not know.
    accepted: Option<bool>,
}

/// A checkpoint as the registry takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckpointFields {
    number: U64,
    prev_digest: B256,
    height: U64,
    block_hash: B256,
    state_root: B256,
    withdrawal_root: B256,
    withdrawal_count: U64,
    deposit_nonce: U64,
    deposit_acc: B256,
    epoch: U64,
    next_valset: B256,
}

impl From<Checkpoint> for CheckpointFields {
    fn from(c: Checkpoint) -> Self {
        Self {
            number: U64::from(c.number),
            prev_digest: c.prevDigest,
            height: U64::from(c.height),
            block_hash: c.blockHash,
            state_root: c.stateRoot,
            withdrawal_root: c.withdrawalRoot,
            withdrawal_count: U64::from(c.withdrawalCount),
            deposit_nonce: U64::from(c.depositNonce),
            deposit_acc: c.depositAcc,
            epoch: U64::from(c.epoch),
            next_valset: c.nextValset,
        }
    }
}

#[derive(Debug, Serialize)]
struct RpcSignature {
    signer: Address,
    /// r, s, v (27 or 28): 65 bytes.
    signature: Bytes,
}

/// A withdrawal as the vault takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcWithdrawal {
    index: U64,
    token: Address,
    sender: Address,
    recipient: Address,
    amount: U256,
    relayer_fee: U256,
}

impl From<Withdrawal> for RpcWithdrawal {
    fn from(w: Withdrawal) -> Self {
        Self {
            index: U64::from(w.index),
            token: w.token,
            sender: w.sender,
            recipient: w.recipient,
            amount: w.amount,
            relayer_fee: w.relayerFee,
        }
    }
}

/// Which checkpoint: a number or `"latest"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CheckpointParam {
    Number(U64),
    Tag(Tag),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tag {
    Latest,
}

fn checkpoint(api: &Api, call: &Call<'_>) -> Result<Option<RpcCheckpoint>, Fault> {
    let domain = domain(api)?;
    let number = match call.args.optional(0)? {
        Some(CheckpointParam::Number(number)) => number.to(),
        Some(CheckpointParam::Tag(Tag::Latest)) | None => slots(api, |s| PegModule::latest_checkpoint_number(s))?,
    };
    describe(api, &domain, number)
}

/// Newest first, from `number` (the latest by default) down, at most `count` of them.
fn checkpoints(api: &Api, call: &Call<'_>) -> Result<Vec<RpcCheckpoint>, Fault> {
    let domain = domain(api)?;
    let latest = slots(api, |s| PegModule::latest_checkpoint_number(s))?;
    let from = call.args.optional::<U64>(0)?.map_or(latest, |from| from.to::<u64>().min(latest));
    let count: u64 = call.args.optional::<U64>(1)?.map_or(10, |count| count.to());
    if count > MAX_CHECKPOINTS {
        return Err(Fault::Limit(format!(
            "too many checkpoints: {count}, the most in one request is {MAX_CHECKPOINTS}"
        )));
    }
    let oldest = from.saturating_sub(count.saturating_sub(1)).max(1);
    let mut found = Vec::new();
    for number in (oldest..=from).rev().take_while(|_| count > 0) {
        found.extend(describe(api, &domain, number)?);
    }
    Ok(found)
}

fn describe(api: &Api, domain: &PegDomain, number: u64) -> Result<Option<RpcCheckpoint>, Fault> {
    let Some(checkpoint) = slots(api, |s| PegModule::checkpoint(s, number))? else { return Ok(None) };
    let certificate = api.checkpoint_certificate(number)?;
    let recorded_in = certificate.as_ref().map(|found| U64::from(found.block));
    let signatures = certificate.map(|found| {
        let one = |s: &causeway_peg::CertificateSig| RpcSignature {
            signer: s.signer,
            signature: Bytes::copy_from_slice(s.signature.as_bytes()),
        };
        found.signatures.iter().map(one).collect()
    });
    let accepted = api.ctx.status.peg().and_then(|peg| peg.checkpoint_accepted).map(|accepted| accepted >= number);
    let digest = domain.checkpoint_digest(&checkpoint);
    Ok(Some(RpcCheckpoint { fields: checkpoint.into(), digest, signatures, recorded_in, accepted }))
}

/// What `PegVault.claim` takes, and what it is checked against.
#[derive(Debug, Serialize)]
struct WithdrawalProof {
    withdrawal: RpcWithdrawal,
    checkpoint: CheckpointFields,
    digest: B256,
    leaf: B256,
    root: B256,
    count: U64,
    siblings: [B256; tree::TREE_DEPTH],
}

fn withdrawal_proof(api: &Api, call: &Call<'_>) -> Result<WithdrawalProof, Fault> {
    let domain = domain(api)?;
    let index: u64 = call.args.required::<U64>(0)?.to();
    let asked: Option<U64> = call.args.optional(1)?;
    let withdrawal =
        api.withdrawal(index)?.ok_or_else(|| Fault::Refused(format!("withdrawal {index} not found")))?.withdrawal;
    let number = match asked {
        Some(number) => number.to(),
        None => claimable_checkpoint(api)?,
    };
    let checkpoint = slots(api, |s| PegModule::checkpoint(s, number))?
        .filter(|checkpoint| checkpoint.withdrawalCount > index)
        .ok_or_else(|| not_covered(index, number, asked.is_some()))?;
    let count = checkpoint.withdrawalCount;
    let leaf = withdrawal_leaf(&withdrawal);
    let siblings = api.subtrees.prove(api, call, index, count)?;
    // Never hand out a proof that the vault would refuse.
    if !tree::verify(checkpoint.withdrawalRoot, count, leaf, index, &siblings) {
        return Err(Fault::internal(
            "withdrawal tree",
            format_args!("withdrawal {index} does not verify in checkpoint {number}"),
        ));
    }
    Ok(WithdrawalProof {
        withdrawal: withdrawal.into(),
        digest: domain.checkpoint_digest(&checkpoint),
        root: checkpoint.withdrawalRoot,
        checkpoint: checkpoint.into(),
        leaf,
        count: U64::from(count),
        siblings,
    })
}

fn not_covered(index: u64, number: u64, asked: bool) -> Fault {
    Fault::Refused(if asked {
        format!("checkpoint {number} does not cover withdrawal {index}")
    } else {
        format!("withdrawal {index} is not covered by an accepted checkpoint yet: see peg_status")
    })
}

/// The latest checkpoint the parent has accepted; where this node does not know, the latest with a certificate in a block.
fn claimable_checkpoint(api: &Api) -> Result<u64, Fault> {
    match api.ctx.status.peg().and_then(|peg| peg.checkpoint_accepted) {
        Some(accepted) => Ok(accepted),
        None => slots(api, |s| PegModule::recorded_checkpoint_number(s)),
    }
}
