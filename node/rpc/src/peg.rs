//! `peg_summary`, `peg_checkpoint`, `peg_checkpoints`, `peg_getWithdrawalProof`: the peg as chain data and the node's watcher
//! know it. Where a transfer stands is in [`crate::peg_status`].

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use causeway_execution::{PegSlots, PegSlotsError};
use causeway_peg::withdrawal::withdrawal_leaf;
use causeway_peg::{Checkpoint, PegDomain, PegModule, Withdrawal, tree};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::work::Cost;

/// Checkpoints of one `peg_checkpoints`.
const MAX_CHECKPOINTS: u64 = 100;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "peg_summary", Cost::Heavy, 0, |api, _| summary(api))?;
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

/// Withdrawals added up at a time.
const SUM_CHUNK: u64 = 1_024;

/// Sum of all withdrawals' amounts so far, extended as withdrawals come.
#[derive(Debug, Default)]
pub(crate) struct BurnedCache(Mutex<(u64, U256)>);

impl BurnedCache {
    fn total(&self, api: &Api, count: u64) -> Result<U256, Fault> {
        let mut cached = self.0.lock();
        while cached.0 < count {
            let until = count.min(cached.0.saturating_add(SUM_CHUNK));
            let sum = amounts(api, cached.0, until)?;
            *cached = (until, cached.1.saturating_add(sum));
        }
        Ok(cached.1)
    }
}

fn amounts(api: &Api, from: u64, until: u64) -> Result<U256, Fault> {
    Ok(api.withdrawals(from, until)?.iter().fold(U256::ZERO, |sum, withdrawal| sum.saturating_add(withdrawal.amount)))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    parent_chain_id: U64,
    vault: Address,
    registry: Address,
    /// Height of the state below.
    block_number: U64,
    supply: U256,
    minted: U256,
    burned: U256,
    /// Deposits that this node's watcher saw final on the parent, in wei; null where it cannot tell.
    locked_seen: Option<U256>,
    deposits: Deposits,
    withdrawals: Withdrawals,
    checkpoints: Checkpoints,
    parent: Option<Parent>,
    alarms: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deposits {
    minted: U64,
    accumulator: B256,
    /// Null without a watcher.
    seen: Option<U64>,
    attested: Option<U64>,
    in_flight: Option<U64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawals {
    count: U64,
    root: B256,
    /// Those that no accepted checkpoint covers; null without a watcher.
    in_flight: Option<U64>,
    in_flight_amount: Option<U256>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checkpoints {
    interval: U64,
    /// Built from chain data.
    latest: U64,
    /// Its certificate is in a block.
    recorded: U64,
    /// Accepted by the registry on the parent; null without a watcher.
    accepted: Option<U64>,
    latest_height: U64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parent {
    /// Finalised height.
    height: Option<U64>,
    timestamp: Option<U64>,
    /// Seconds since that block.
    lag: Option<U64>,
    /// Parent height that the last imported deposit certificate names.
    imported_height: U64,
}

fn summary(api: &Api) -> Result<Summary, Fault> {
    let domain = domain(api)?;
    let state = api.latest();
    let s = &mut causeway_execution::peg_state(&*state);
    let peg = api.ctx.status.peg();
    let read = |error: PegSlotsError| Fault::internal("peg state", error);
    let supply = PegModule::supply(s).map_err(read)?;
    let count = PegModule::withdrawal_count(s).map_err(read)?;
    let nonce = PegModule::deposit_nonce(s).map_err(read)?;
    let latest = PegModule::latest_checkpoint_number(s).map_err(read)?;
    let burned = api.burned.total(api, count)?;
    let minted = supply.saturating_add(burned);
    let accepted = peg.as_ref().and_then(|peg| peg.checkpoint_accepted);
    // Checkpoint 0 is the empty beginning.
    let covered = match accepted {
        Some(0) => Some(0),
        Some(number) => {
            PegModule::checkpoint(s, number).map_err(read)?.map(|checkpoint| checkpoint.withdrawalCount.min(count))
        }
        None => None,
    };
    let in_flight_amount = covered.map(|covered| {
        let paid = api.burned_below(covered)?;
        Ok(burned.saturating_sub(paid))
    });
    Ok(Summary {
        parent_chain_id: U64::from(domain.parent_chain_id),
        vault: PegModule::vault(s).map_err(read)?,
        registry: domain.registry,
        block_number: U64::from(api.head_number()),
        supply,
        minted,
        burned,
        locked_seen: peg
            .as_ref()
            .and_then(|peg| peg.deposited_seen_wei.or((peg.deposits_seen == nonce).then_some(minted))),
        deposits: Deposits {
            minted: U64::from(nonce),
            accumulator: PegModule::deposit_acc(s).map_err(read)?,
            seen: peg.as_ref().map(|peg| U64::from(peg.deposits_seen)),
            attested: peg.as_ref().map(|peg| U64::from(peg.deposits_attested)),
            in_flight: peg.as_ref().map(|peg| U64::from(peg.deposits_seen.saturating_sub(nonce))),
        },
        withdrawals: Withdrawals {
            count: U64::from(count),
            root: PegModule::withdrawal_root(s).map_err(read)?,
            in_flight: covered.map(|covered| U64::from(count.saturating_sub(covered))),
            in_flight_amount: in_flight_amount.transpose()?,
        },
        checkpoints: Checkpoints {
            interval: U64::from(PegModule::checkpoint_interval(s).map_err(read)?),
            latest: U64::from(latest),
            recorded: U64::from(PegModule::recorded_checkpoint_number(s).map_err(read)?),
            accepted: accepted.map(U64::from),
            latest_height: U64::from(
                PegModule::checkpoint(s, latest).map_err(read)?.map_or(0, |checkpoint| checkpoint.height),
            ),
        },
        parent: match &peg {
            None => None,
            Some(peg) => Some(Parent {
                height: peg.parent_height.map(U64::from),
                timestamp: peg.parent_timestamp.map(U64::from),
                lag: peg.parent_timestamp.map(|timestamp| U64::from((api.now_ms() / 1_000).saturating_sub(timestamp))),
                imported_height: U64::from(PegModule::last_parent_height(s).map_err(read)?),
            }),
        },
        alarms: peg.map(|peg| peg.alarms).unwrap_or_default(),
    })
}

impl Api {
    /// Sum of the amounts of the withdrawals below `index`. Read from the newest end, where few are.
    fn burned_below(&self, index: u64) -> Result<U256, Fault> {
        let (count, total) = *self.burned.0.lock();
        let mut rest = U256::ZERO;
        let mut from = index.min(count);
        while from < count {
            let until = count.min(from.saturating_add(SUM_CHUNK));
            rest = rest.saturating_add(amounts(self, from, until)?);
            from = until;
        }
        Ok(total.saturating_sub(rest))
    }
}
