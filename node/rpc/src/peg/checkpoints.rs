//! `peg_checkpoint` and `peg_checkpoints`: checkpoints as the registry on the parent expects them.

use alloy_primitives::{Address, B256, Bytes, U64};
use causeway_peg::{Checkpoint, PegDomain, PegModule};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;
use crate::peg::index::{domain, slots};

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "peg_checkpoint", Cost::Read, 1, checkpoint)?;
    method(module, "peg_checkpoints", Cost::Heavy, 2, checkpoints)
}

/// A checkpoint, its digest and its signatures.
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
    /// Whether the registry on the parent has accepted this checkpoint or a later one; null if this node does not know.
    accepted: Option<bool>,
}

/// The fields of a checkpoint, as the registry expects them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckpointFields {
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
    /// 65 bytes: r, s, v (27 or 28).
    signature: Bytes,
}

/// A checkpoint number, or `"latest"`.
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

/// At most `count` (10 by default) checkpoints, newest first, from the first parameter (the latest by default) down.
fn checkpoints(api: &Api, call: &Call<'_>) -> Result<Vec<RpcCheckpoint>, Fault> {
    let domain = domain(api)?;
    let latest = slots(api, |s| PegModule::latest_checkpoint_number(s))?;
    let from = call.args.optional::<U64>(0)?.map_or(latest, |from| from.to::<u64>().min(latest));
    let count: u64 = call.args.optional::<U64>(1)?.map_or(10, |count| count.to());
    let limit = api.limits.checkpoints;
    if count > limit {
        return Err(Fault::Limit(format!("too many checkpoints: {count}, the most in one request is {limit}")));
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
