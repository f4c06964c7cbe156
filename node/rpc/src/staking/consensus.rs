//! `consensus_status`, `consensus_getCertificate` and `consensus_evidence`: the progress of consensus, the proof that a block is
//! final, and the proofs that a validator signed twice.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes, U64};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::chain::storage_fault;
use crate::errors::Fault;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "consensus_status", Cost::Read, 0, |api, _| status(api))?;
    method(module, "consensus_getCertificate", Cost::Read, 1, certificate)?;
    method(module, "consensus_evidence", Cost::Read, 0, |api, _| evidence(api))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    /// Hash of the genesis block. It identifies the chain in everything that is signed.
    genesis_hash: B256,
    head: Head,
    /// Null while consensus is not running.
    height: Option<U64>,
    round: Option<U64>,
    step: Option<String>,
    proposer: Option<Address>,
    /// This node's validator id; null if it does not validate.
    validator: Option<Address>,
    peers: U64,
    syncing: bool,
    /// The height before which this node stops, because it does not know the rules from there on; null when it knows all.
    stops_before: Option<U64>,
    total_power: U64,
    /// The set that decides the height after the head.
    validators: Vec<RpcValidator>,
}

#[derive(Debug, Serialize)]
struct Head {
    number: U64,
    hash: B256,
    timestamp: U64,
}

#[derive(Debug, Serialize)]
struct RpcValidator {
    id: Address,
    key: B256,
    power: U64,
}

fn status(api: &Api) -> Result<Status, Fault> {
    let (header, hash) = api.head();
    let progress = api.ctx.status.consensus();
    // The state of the head is pruned only if the head has moved far ahead meanwhile.
    let validators = api.validators_of(header.number.saturating_add(1))?.ok_or(Fault::HeaderNotFound)?;
    Ok(Status {
        genesis_hash: api.ctx.genesis.hash,
        head: Head { number: U64::from(header.number), hash, timestamp: U64::from(header.timestamp) },
        height: progress.as_ref().map(|progress| U64::from(progress.height)),
        round: progress.as_ref().map(|progress| U64::from(progress.round)),
        step: progress.as_ref().map(|progress| progress.step.clone()),
        proposer: progress.as_ref().and_then(|progress| progress.proposer),
        validator: progress.and_then(|progress| progress.validator),
        peers: U64::from(api.ctx.status.peer_count()),
        syncing: api.ctx.status.syncing().is_some(),
        stops_before: api.ctx.genesis.schedule.unknown().map(|unknown| U64::from(unknown.height)),
        total_power: U64::from(validators.total_power()),
        validators: validators
            .iter()
            .map(|validator| RpcValidator {
                id: validator.id,
                key: B256::from(validator.key.0),
                power: U64::from(validator.power),
            })
            .collect(),
    })
}

/// The commit certificate of a height, with the power of each signer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RpcCertificate {
    height: U64,
    round: U64,
    block_hash: B256,
    /// The value of `parentBeaconBlockRoot` in the next block.
    hash: B256,
    signatures: Vec<RpcCommitSignature>,
    /// Null, like all powers, if the state that names the validators of the height is pruned.
    signed_power: Option<U64>,
    total_power: Option<U64>,
}

#[derive(Debug, Serialize)]
struct RpcCommitSignature {
    validator: Address,
    power: Option<U64>,
    signature: Bytes,
}

fn certificate(api: &Api, call: &Call<'_>) -> Result<Option<RpcCertificate>, Fault> {
    let tag: BlockNumberOrTag = call.args.required(0)?;
    let Some(number) = api.number_of_tag(tag)? else { return Ok(None) };
    let Some(certificate) = api.certificate(number)? else { return Ok(None) };
    let validators = api.validators_of(number)?;
    let power = |id: &Address| {
        let validators = validators.as_ref()?;
        Some(validators.get(id).map_or(0, |validator| validator.power))
    };
    let signed = certificate.signatures.iter().filter_map(|one| power(&one.validator));
    let signed_power = signed.fold(0u64, u64::saturating_add);
    Ok(Some(RpcCertificate {
        height: U64::from(certificate.height.0),
        round: U64::from(certificate.round.0),
        block_hash: certificate.block_hash,
        hash: certificate.hash(),
        signatures: certificate
            .signatures
            .iter()
            .map(|one| RpcCommitSignature {
                validator: one.validator,
                power: power(&one.validator).map(U64::from),
                signature: Bytes::copy_from_slice(&one.signature),
            })
            .collect(),
        signed_power: validators.as_ref().map(|_| U64::from(signed_power)),
        total_power: validators.as_ref().map(|validators| U64::from(validators.total_power())),
    }))
}

/// Evidence that waits for a block to carry it.
#[derive(Debug, Serialize)]
struct RpcEvidence {
    hash: B256,
    validator: Address,
    height: U64,
    round: U64,
    /// The fault, in words.
    text: String,
    /// The argument of `reportEvidence` of the staking module.
    bytes: Bytes,
}

fn evidence(api: &Api) -> Result<Vec<RpcEvidence>, Fault> {
    let pending = api.ctx.storage.pending_evidence().map_err(storage_fault)?;
    pending
        .iter()
        .map(|evidence| {
            let bytes = borsh::to_vec(evidence).map_err(|error| Fault::internal("encoding", error))?;
            Ok(RpcEvidence {
                hash: evidence.hash(),
                validator: evidence.validator(),
                height: U64::from(evidence.height().0),
                round: U64::from(evidence.round().0),
                text: evidence.to_string(),
                bytes: bytes.into(),
            })
        })
        .collect()
}
