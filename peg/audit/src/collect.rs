//! Reads both chains into a [`Bundle`]. Makes no decisions: [`crate::audit()`] judges the data.

mod parent;

use crate::{
    audit::AuditError,
    bundle::{BUNDLE_FORMAT, BlockEvidence, Bundle, ParentEvidence, RecordEvidence, SetEvidence, SidechainEvidence},
    history::History,
    report::Check,
    rpc::{ReadError, Rpc, Side, hex},
    sidechain::{SYSTEM_TX_TYPE, Sidechain, SystemTx, audited_slots, staking_slots},
};
use alloy_consensus::{Receipt, ReceiptWithBloom, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U64, keccak256};
use alloy_rpc_types_eth::{Header as RpcHeader, Transaction as RpcTransaction};
use alloy_sol_types::{SolCall, SolEvent, SolEventInterface};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_genesis::{
    Genesis, PegSpec,
    addresses::{PEG, STAKING},
};
use causeway_peg::{IPeg, PegValidator, PegValidatorSet, layout};
use futures::{StreamExt, TryStreamExt, stream};
use parent::read_parent;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Most requests at the same time.
const CONCURRENT: usize = 16;
/// Most system transactions read at the start of a block.
const MAX_SYSTEM_TXS: u64 = 16;
/// More epochs than any chain has: an endpoint that claims them is wrong.
const MAX_EPOCHS: u64 = 1 << 24;
/// Most repeated reads of the chains because one moved past the other.
const PAIRINGS: usize = 5;

/// The endpoints to read.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// JSON-RPC of a sidechain node that keeps history.
    pub sidechain: String,
    /// JSON-RPC of a parent node.
    pub parent: String,
    /// First parent block that can hold events of the peg.
    pub parent_from: u64,
    /// Time limit of one request.
    pub deadline: Duration,
}

/// Why no bundle could be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The genesis file has no peg.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The two URLs are swapped.
    #[error(
        "the two URLs are swapped: the sidechain's URL leads to the parent (chain id {parent}), the parent's to the sidechain \
         (chain id {sidechain})"
    )]
    SwappedUrls {
        /// Chain id of the parent.
        parent: u64,
        /// Chain id of the sidechain.
        sidechain: u64,
    },
    /// A URL leads to another chain than the one in genesis.
    #[error(
        "the {side}'s URL leads to a chain with id {found}{hint}, but the genesis file has {expected} for the {side}"
    )]
    OtherChainId {
        /// Which endpoint.
        side: Side,
        /// Its chain id.
        found: u64,
        /// The expected id.
        expected: u64,
        /// The name of that chain, if known.
        hint: &'static str,
    },
    /// The first read block of the parent is after the deployment.
    #[error(
        "the contracts were deployed before parent block {from}, where reading began: name the block of the deployment, or \
         one before it, with --parent-from (0 reads everything)"
    )]
    StartsLate {
        /// First block read.
        from: u64,
    },
    /// An endpoint failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads all data of an audit.
///
/// # Errors
/// [`CollectError`].
pub async fn collect(endpoints: &Endpoints, genesis: &Genesis) -> Result<Bundle, CollectError> {
    let spec = genesis.spec.peg.as_ref().ok_or(AuditError::NotPegged)?;
    let set = genesis.peg_validator_set().ok_or(AuditError::NotPegged)?;
    let sidechain = Rpc::new(Side::Sidechain, &endpoints.sidechain, endpoints.deadline)?;
    let parent = Rpc::new(Side::Parent, &endpoints.parent, endpoints.deadline)?;
    check_ids(sidechain.chain_id().await?, parent.chain_id().await?, genesis, spec)?;
    let zero = header_of(&sidechain, &sidechain.block("0x0", false).await?)?;
    if zero.1 != genesis.hash {
        return Err(AuditError::OtherChain { evidence: zero.1, genesis: genesis.hash }.into());
    }
    let mut fault = String::new();
    for _ in 0..PAIRINGS {
        // The sidechain first: its minted deposits are then final on the parent when that is read.
        let (head, _) = header_of(&sidechain, &sidechain.block("latest", false).await?)?;
        let parent_evidence = read_parent(&parent, spec, set.epoch(), endpoints.parent_from).await?;
        let accepted = events::<CheckpointRegistry::CheckpointAccepted>(&parent_evidence, spec.registry);
        let claims = events::<PegVault::Claimed>(&parent_evidence, spec.vault);
        let accepted = accepted.iter().map(|event| event.number).max();
        let sidechain_evidence = read_sidechain(&sidechain, genesis, &set, head, accepted).await?;
        let Totals { minted, burned, acknowledged } = totals(&sidechain_evidence);
        let claimed = claims.iter().map(|claim| claim.index.saturating_add(1)).max().unwrap_or_default();
        if claimed > burned {
            fault = format!("withdrawal {} is claimed, but not burned at block {head}", claimed.saturating_sub(1));
        } else if minted > parent_evidence.values.deposit_nonce {
            let height = parent_evidence.finalized.height;
            fault = format!("deposit {minted} is minted, but not final at parent block {height}");
        } else if acknowledged > parent_evidence.values.epoch {
            let height = parent_evidence.finalized.height;
            fault = format!("validator set {acknowledged} is acknowledged, but not in force at parent block {height}");
        } else {
            return Ok(bundle(genesis, sidechain_evidence, parent_evidence));
        }
    }
    Err(ReadError::Unpaired { reason: fault }.into())
}

fn bundle(genesis: &Genesis, sidechain: SidechainEvidence, parent: ParentEvidence) -> Bundle {
    Bundle { format: BUNDLE_FORMAT, genesis_hash: genesis.hash, sidechain, parent }
}

/// Events of one kind, in order; others are skipped.
fn events<E: SolEvent>(evidence: &ParentEvidence, emitter: Address) -> Vec<E> {
    let logs = evidence.logs.iter().filter(|log| log.address == emitter);
    logs.filter_map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).ok()).collect()
}

/// The progress of a chain.
struct Totals {
    /// Nonce of the last minted deposit.
    minted: u64,
    /// Number of withdrawals.
    burned: u64,
    /// Latest acknowledged epoch.
    acknowledged: u64,
}

/// Computes it from the evidence's receipts and system transactions.
fn totals(evidence: &SidechainEvidence) -> Totals {
    let chain = Sidechain::read(evidence, &mut Check::new(0, ""));
    Totals {
        minted: chain.mints.iter().map(|mint| mint.deposit.nonce).max().unwrap_or_default(),
        burned: chain.burns.iter().map(|burn| burn.withdrawal.index.saturating_add(1)).max().unwrap_or_default(),
        acknowledged: chain.acknowledgements.iter().map(|call| call.epoch).max().unwrap_or_default(),
    }
}

/// Checks that each endpoint serves its chain.
fn check_ids(sidechain: u64, parent: u64, genesis: &Genesis, spec: &PegSpec) -> Result<(), CollectError> {
    let (ours, theirs) = (genesis.spec.chain_id, spec.parent_chain_id);
    if ours != theirs && (sidechain, parent) == (theirs, ours) {
        return Err(CollectError::SwappedUrls { parent: theirs, sidechain: ours });
    }
    for (side, found, expected, other, hint) in [
        (Side::Sidechain, sidechain, ours, theirs, ", which is the parent"),
        (Side::Parent, parent, theirs, ours, ", which is the sidechain"),
    ] {
        if found != expected {
            let hint = if found == other { hint } else { "" };
            return Err(CollectError::OtherChainId { side, found, expected, hint });
        }
    }
    Ok(())
}

async fn read_sidechain(
    rpc: &Rpc,
    genesis: &Genesis,
    set: &PegValidatorSet,
    head: u64,
    accepted: Option<u64>,
) -> Result<SidechainEvidence, ReadError> {
    let interval = genesis.schedule.first().peg.checkpoint_interval.max(1);
    let (validator_sets, handovers) = read_sets(rpc, set.epoch(), head).await?;
    let logs = rpc.logs(&[PEG], 0, head).await?;
    let mut peg_blocks = BTreeSet::new();
    let mut recorded = BTreeMap::new();
    for log in &logs {
        match IPeg::IPegEvents::decode_raw_log(&log.topics, &log.data) {
            Ok(IPeg::IPegEvents::CheckpointRecorded(event)) => {
                recorded.insert(log.height, (event.number, event.digest));
            }
            _ => {
                peg_blocks.insert(log.height);
            }
        }
    }
    // A handover must be proven in its block; for other certificates the signatures are enough.
    peg_blocks.extend(handovers.into_iter().filter(|block| recorded.contains_key(block)));
    let certified = recorded.values().map(|(number, _)| *number).max();
    recorded.retain(|height, _| !peg_blocks.contains(height));
    let records: Vec<RecordEvidence> = stream::iter(recorded)
        .map(|(height, (_, digest))| async move { read_record(rpc, height, digest).await })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    // Headers: checkpoints, and the links from each block of the peg to the next checkpoint.
    let last = head / interval;
    let missing = headers_wanted(peg_blocks.clone(), interval, head);
    let blocks: BTreeMap<u64, (BlockEvidence, Bytes)> = stream::iter(peg_blocks)
        .map(|number| async move { Ok((number, read_block(rpc, number).await?)) })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let mut headers: Vec<Bytes> = stream::iter(missing)
        .map(|height| async move {
            let (number, _, raw) = raw_header(rpc, &rpc.block(&hex(height), false).await?)?;
            if number == height { Ok(raw) } else { Err(rpc.invalid(format!("block {number} instead of {height}"))) }
        })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let mut contents = Vec::with_capacity(blocks.len());
    for (content, header) in blocks.into_values() {
        contents.push(content);
        headers.push(header);
    }
    let history = History::read(set, &validator_sets, &mut Check::new(0, ""));
    let mut proofs = vec![rpc.proof(PEG, &audited_slots(head, interval, history.current()), head).await?];
    let height_of = |number: u64| number.saturating_mul(interval);
    let certified_height = certified.max(accepted.filter(|number| *number <= last)).map(height_of);
    let proven: BTreeSet<u64> = certified.map(height_of).into_iter().chain(certified_height).chain([head]).collect();
    let chain_id = rpc.chain_id().await?;
    let mut evidence =
        SidechainEvidence { chain_id, head, headers, blocks: contents, records, validator_sets, proofs: Vec::new() };
    let doubtful = doubtful_epochs(&evidence, &history, interval);
    for height in proven {
        let epoch = history.epoch_of(height / interval);
        let of_peg = (PEG, audited_slots(height, interval, epoch));
        let starts = doubtful.iter().map(|epoch| staking_slots::epoch_start(*epoch));
        let of_staking = (STAKING, staking_slots::ALWAYS.into_iter().chain(starts).collect());
        for (address, slots) in [of_peg, of_staking] {
            if (address, height) == (PEG, head) {
                continue;
            }
            match rpc.proof(address, &slots, height).await {
                Ok(proof) => proofs.push(proof),
                // The audit reports the missing proof by name.
                Err(error) => tracing::warn!(%address, height, %error, "no state proof"),
            }
        }
    }
    evidence.proofs = proofs;
    Ok(evidence)
}

/// Epochs that began between two checkpoints with a certificate in a block between them: only the block in which such an epoch
/// began determines the set of that certificate.
fn doubtful_epochs(evidence: &SidechainEvidence, history: &History, interval: u64) -> BTreeSet<u64> {
    let chain = Sidechain::read(evidence, &mut Check::new(0, ""));
    let imports = chain.imports.iter().map(|import| import.block);
    let blocks = imports.chain(chain.acknowledgements.iter().map(|call| call.block));
    let around = blocks.map(|block| history.epochs_at(block, interval, evidence.head));
    around.flat_map(|epochs| epochs.skip(1)).collect()
}

#[derive(Debug, Deserialize)]
struct RawSet {
    validators: Vec<RawMember>,
    commitment: B256,
}

#[derive(Debug, Deserialize)]
struct RawMember {
    address: Address,
    power: U64,
}

/// The sets of all epochs after genesis's up to the announced one, and the blocks of their handovers.
async fn read_sets(rpc: &Rpc, base: u64, head: u64) -> Result<(Vec<SetEvidence>, Vec<u64>), ReadError> {
    let current = rpc.slot(PEG, layout::VALIDATOR_EPOCH, head).await?;
    let last = u64::try_from(current).ok().and_then(|current| current.checked_add(1));
    let Some(last) = last.filter(|last| *last <= base.saturating_add(MAX_EPOCHS)) else {
        return Err(rpc.invalid(format!("epoch {current} at block {head}")));
    };
    let records: Vec<(u64, [u64; 4])> = stream::iter(base..=last)
        .map(|epoch| async move {
            let slot = layout::validator_set(epoch, layout::SetField::Handover);
            Ok((epoch, rpc.slot(PEG, slot, head).await?.into_limbs()))
        })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let announced = rpc.slot(PEG, layout::validator_set(last, layout::SetField::Commitment), head).await?;
    let handovers = records.iter().map(|(_, [_, _, block, _])| *block).filter(|block| *block > 0).collect();
    let sets: Vec<SetEvidence> = stream::iter(records.into_iter().filter(|(epoch, _)| *epoch > base))
        .map(|(epoch, [built, ..])| async move {
            let RawSet { validators, commitment } = rpc.ask("peg_getValidatorSet", json!([hex(epoch)])).await?;
            let member = |raw: RawMember| PegValidator { address: raw.address, power: raw.power.to() };
            let validators = validators.into_iter().map(member).collect();
            let first_checkpoint = (built > 0).then_some(built);
            Ok(SetEvidence { epoch, commitment, first_checkpoint, validators })
        })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    // Only this set may still change between two requests.
    if sets.last().is_some_and(|set| B256::from(announced) != set.commitment) {
        return Err(rpc.invalid(format!("the set announced for epoch {last} changed after block {head}; read again")));
    }
    Ok((sets, handovers))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReceipt {
    #[serde(rename = "type", default)]
    ty: U64,
    status: U64,
    cumulative_gas_used: U64,
    logs_bloom: Bloom,
    logs: Vec<RawReceiptLog>,
}

#[derive(Debug, Deserialize)]
struct RawReceiptLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSystemTx {
    block_number: U64,
    transaction_index: U64,
    to: Address,
    gas: U64,
    input: Bytes,
}

async fn read_block(rpc: &Rpc, number: u64) -> Result<(BlockEvidence, Bytes), ReadError> {
    let block = rpc.block(&hex(number), true).await?;
    let (_, _, header) = raw_header(rpc, &block)?;
    let list = block.get("transactions").and_then(Value::as_array).cloned().unwrap_or_default();
    let transactions = list.into_iter().map(|json| raw_transaction(rpc, json)).collect::<Result<_, _>>()?;
    let receipts: Vec<RawReceipt> = rpc.ask("eth_getBlockReceipts", json!([hex(number)])).await?;
    let receipts = receipts.into_iter().map(|receipt| encode_receipt(rpc, receipt)).collect::<Result<_, _>>()?;
    Ok((BlockEvidence { number, transactions, receipts }, header))
}

/// The checkpoint certificate of a block, which is among the system transactions at its start.
async fn read_record(rpc: &Rpc, number: u64, digest: B256) -> Result<RecordEvidence, ReadError> {
    for index in 0..MAX_SYSTEM_TXS {
        let json: Value = rpc.ask("eth_getTransactionByBlockNumberAndIndex", json!([hex(number), hex(index)])).await?;
        if json.is_null() {
            break;
        }
        let input = json.get("input").and_then(Value::as_str).and_then(|input| input.parse::<Bytes>().ok());
        if input.is_some_and(|input| input.starts_with(&IPeg::recordCheckpointCall::SELECTOR)) {
            return Ok(RecordEvidence { number, transaction: raw_transaction(rpc, json)?, digest });
        }
    }
    Err(rpc.invalid(format!("block {number} has the event of a checkpoint certificate, but not the certificate")))
}

/// The bytes of a transaction from its JSON. The block's transactions root decides whether they are right.
fn raw_transaction(rpc: &Rpc, json: Value) -> Result<Bytes, ReadError> {
    let bad = |e: serde_json::Error| rpc.invalid(format!("a transaction: {e}"));
    if json.get("type").and_then(Value::as_str) == Some(&hex(SYSTEM_TX_TYPE.into())) {
        let tx: RawSystemTx = serde_json::from_value(json).map_err(bad)?;
        let index = u32::try_from(tx.transaction_index.to::<u64>())
            .map_err(|_| rpc.invalid("a transaction index above 32 bits"))?;
        let (block_number, gas_limit) = (tx.block_number.to(), tx.gas.to());
        return Ok(SystemTx { block_number, index, to: tx.to, gas_limit, input: tx.input }.encode());
    }
    let tx: RpcTransaction = serde_json::from_value(json).map_err(bad)?;
    let envelope: TxEnvelope = tx.inner.into_inner();
    Ok(envelope.encoded_2718().into())
}

fn encode_receipt(rpc: &Rpc, raw: RawReceipt) -> Result<Bytes, ReadError> {
    let logs = raw
        .logs
        .into_iter()
        .map(|log| Log::new(log.address, log.topics, log.data).ok_or_else(|| rpc.invalid("a log with 5 topics")))
        .collect::<Result<_, _>>()?;
    let status = (raw.status.to::<u64>() == 1).into();
    let receipt = Receipt { status, cumulative_gas_used: raw.cumulative_gas_used.to(), logs };
    let mut out = Vec::new();
    let ty = u8::try_from(raw.ty.to::<u64>()).map_err(|_| rpc.invalid("a receipt type above 8 bits"))?;
    if ty != 0 {
        out.push(ty);
    }
    alloy_rlp::Encodable::encode(&ReceiptWithBloom { receipt, logs_bloom: raw.logs_bloom }, &mut out);
    Ok(out.into())
}

fn header_of(rpc: &Rpc, block: &Value) -> Result<(u64, B256), ReadError> {
    raw_header(rpc, block).map(|(number, hash, _)| (number, hash))
}

/// Number, hash and RLP of a block's header; the hash of the header must equal the hash in the JSON.
fn raw_header(rpc: &Rpc, block: &Value) -> Result<(u64, B256, Bytes), ReadError> {
    let header: RpcHeader =
        serde_json::from_value(block.clone()).map_err(|e| rpc.invalid(format!("a block's header: {e}")))?;
    let raw = Bytes::from(alloy_rlp::encode(&header.inner));
    let hash = keccak256(&raw);
    if hash == header.hash {
        Ok((header.inner.number, hash, raw))
    } else {
        Err(rpc.invalid(format!(
            "the header of block {} hashes to {hash} instead of {}",
            header.inner.number, header.hash
        )))
    }
}

/// Heights of the headers that are needed in addition to the whole blocks at `peg_blocks`: the links from each of these to its
/// checkpoint, the head, and all checkpoints up to it. The head is an endpoint's claim, so the heights are never collected in memory.
fn headers_wanted(peg_blocks: BTreeSet<u64>, interval: u64, head: u64) -> impl Iterator<Item = u64> {
    let mut links = BTreeSet::from([head]);
    for block in &peg_blocks {
        let target = block.div_ceil(interval).saturating_mul(interval);
        links.extend(*block..=target.min(head));
    }
    links.retain(|height| !peg_blocks.contains(height));
    let known = links.clone();
    let checkpoints = (1..=head / interval).map(move |number| number.saturating_mul(interval));
    links.into_iter().chain(checkpoints.filter(move |height| !known.contains(height) && !peg_blocks.contains(height)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_links_and_checkpoints_are_requested_once_and_not_for_whole_blocks() {
        let mut wanted: Vec<u64> = headers_wanted(BTreeSet::from([3, 10, 14]), 5, 17).collect();
        wanted.sort_unstable();
        assert_eq!(wanted, [4, 5, 15, 17]);
        assert_eq!(headers_wanted(BTreeSet::new(), 5, 0).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_claimed_head_costs_no_memory() {
        let wanted = headers_wanted(BTreeSet::from([7]), 2, u64::MAX);
        assert_eq!(wanted.take(4).collect::<Vec<_>>(), [8, u64::MAX, 2, 4]);
    }
}
