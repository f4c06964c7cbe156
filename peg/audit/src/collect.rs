//! Reads both chains into a [`Bundle`]. Decides nothing: what was read is judged by [`crate::audit()`].

use crate::{
    audit::AuditError,
    bundle::{
        AccountEvidence, BUNDLE_FORMAT, BlockEvidence, Bundle, ParentBlock, ParentEvidence, ParentValues,
        RecordEvidence, SidechainEvidence,
    },
    parent::{registry_slots, vault_slots},
    rpc::{ReadError, Rpc, Side, hex},
    sidechain::{SYSTEM_TX_TYPE, SystemTx, audited_slots},
};
use alloy_consensus::{Receipt, ReceiptWithBloom, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U64, U256, keccak256};
use alloy_rpc_types_eth::{Header as RpcHeader, Transaction as RpcTransaction};
use alloy_sol_types::{SolCall, SolEvent, SolEventInterface};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_genesis::{Genesis, PegSpec, addresses::PEG};
use causeway_peg::IPeg;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Questions that are under way at once.
const CONCURRENT: usize = 16;
/// Most system transactions at the head of a block that are looked at.
const MAX_SYSTEM_TXS: u64 = 16;
/// Times the chains are read again because one moved past the other.
const PAIRINGS: usize = 5;

/// Where to read.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// JSON-RPC of a sidechain node that keeps history.
    pub sidechain: String,
    /// JSON-RPC of a parent node.
    pub parent: String,
    /// First parent block that can hold events of the peg.
    pub parent_from: u64,
}

/// Why no bundle could be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The genesis file has no peg.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// An endpoint failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads everything an audit looks at.
///
/// # Errors
/// [`CollectError`].
pub async fn collect(endpoints: &Endpoints, genesis: &Genesis) -> Result<Bundle, CollectError> {
    let spec = genesis.spec.peg.as_ref().ok_or(AuditError::NotPegged)?;
    let sidechain = Rpc::new(Side::Sidechain, &endpoints.sidechain)?;
    let parent = Rpc::new(Side::Parent, &endpoints.parent)?;
    let zero = header_of(&sidechain, &sidechain.block("0x0", false).await?)?;
    if zero.1 != genesis.hash {
        return Err(AuditError::OtherChain { evidence: zero.1, genesis: genesis.hash }.into());
    }
    let mut fault = String::new();
    for _ in 0..PAIRINGS {
        // The sidechain first: what it has minted by then is final on the parent afterwards.
        let (head, _) = header_of(&sidechain, &sidechain.block("latest", false).await?)?;
        let parent_evidence = read_parent(&parent, spec, genesis, endpoints.parent_from).await?;
        let accepted = events::<CheckpointRegistry::CheckpointAccepted>(&parent_evidence, spec.registry);
        let claims = events::<PegVault::Claimed>(&parent_evidence, spec.vault);
        let accepted = accepted.iter().map(|event| event.number).max();
        let sidechain_evidence = read_sidechain(&sidechain, genesis, head, accepted).await?;
        let (minted, burned) = totals(&sidechain_evidence);
        let claimed = claims.iter().map(|claim| claim.index.saturating_add(1)).max().unwrap_or_default();
        if claimed > burned {
            fault = format!("withdrawal {} is claimed and not burned at block {head}", claimed.saturating_sub(1));
        } else if minted > parent_evidence.values.deposit_nonce {
            let height = parent_evidence.finalized.height;
            fault = format!("deposit {minted} is minted and not final at parent block {height}");
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

/// Last deposit minted and number of withdrawals in the evidence, by its receipts.
fn totals(evidence: &SidechainEvidence) -> (u64, u64) {
    let mut check = crate::report::Check::new(0, "");
    let chain = crate::sidechain::Sidechain::read(evidence, &mut check);
    let minted = chain.mints.iter().map(|mint| mint.deposit.nonce).max().unwrap_or_default();
    let burned = chain.burns.iter().map(|burn| burn.withdrawal.index.saturating_add(1)).max().unwrap_or_default();
    (minted, burned)
}

async fn read_sidechain(
    rpc: &Rpc,
    genesis: &Genesis,
    head: u64,
    accepted: Option<u64>,
) -> Result<SidechainEvidence, ReadError> {
    let interval = genesis.spec.checkpoint_interval.max(1);
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
    let certified = recorded.values().map(|(number, _)| *number).max();
    recorded.retain(|height, _| !peg_blocks.contains(height));
    let records: Vec<RecordEvidence> = stream::iter(recorded)
        .map(|(height, (_, digest))| async move { read_record(rpc, height, digest).await })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    // Headers: checkpoints, and what links each block of the peg to the checkpoint after it.
    let last = head / interval;
    let mut heights: BTreeSet<u64> = (1..=last).filter_map(|number| number.checked_mul(interval)).collect();
    heights.insert(head);
    for block in &peg_blocks {
        let target = block.div_ceil(interval).saturating_mul(interval);
        heights.extend(*block..=target.min(head));
    }
    let blocks: BTreeMap<u64, (BlockEvidence, Bytes)> = stream::iter(peg_blocks)
        .map(|number| async move { Ok((number, read_block(rpc, number).await?)) })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let missing: Vec<u64> = heights.into_iter().filter(|height| !blocks.contains_key(height)).collect();
    let mut headers: Vec<Bytes> = stream::iter(missing)
        .map(|height| async move {
            let (number, _, raw) = raw_header(rpc, &rpc.block(&hex(height), false).await?)?;
            if number == height { Ok(raw) } else { Err(rpc.nonsense(format!("block {number} instead of {height}"))) }
        })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let mut contents = Vec::with_capacity(blocks.len());
    for (content, header) in blocks.into_values() {
        contents.push(content);
        headers.push(header);
    }
    let mut proofs = vec![rpc.proof(PEG, &audited_slots(head, interval), head).await?];
    let certified_height = certified.max(accepted.filter(|number| *number <= last)).map(|n| n.saturating_mul(interval));
    for height in [certified.map(|number| number.saturating_mul(interval)), certified_height].into_iter().flatten() {
        if height == head || proofs.iter().any(|proof| proof.height == height) {
            continue;
        }
        match rpc.proof(PEG, &audited_slots(height, interval), height).await {
            Ok(proof) => proofs.push(proof),
            // Its absence is judged by the audit, which names it.
            Err(error) => tracing::warn!(height, %error, "no state proof at a certified checkpoint"),
        }
    }
    Ok(SidechainEvidence { chain_id: rpc.chain_id().await?, head, headers, blocks: contents, records, proofs })
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

/// The checkpoint certificate of a block, which is among the system transactions at its head.
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
    Err(rpc.nonsense(format!("block {number} has the event of a checkpoint certificate and not the certificate")))
}

/// The bytes behind a transaction's JSON. Whether they are the block's is decided by its transactions root.
fn raw_transaction(rpc: &Rpc, json: Value) -> Result<Bytes, ReadError> {
    let bad = |e: serde_json::Error| rpc.nonsense(format!("a transaction: {e}"));
    if json.get("type").and_then(Value::as_str) == Some(&hex(SYSTEM_TX_TYPE.into())) {
        let tx: RawSystemTx = serde_json::from_value(json).map_err(bad)?;
        let index = u32::try_from(tx.transaction_index.to::<u64>())
            .map_err(|_| rpc.nonsense("a transaction index above 32 bits"))?;
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
        .map(|log| Log::new(log.address, log.topics, log.data).ok_or_else(|| rpc.nonsense("a log with 5 topics")))
        .collect::<Result<_, _>>()?;
    let status = (raw.status.to::<u64>() == 1).into();
    let receipt = Receipt { status, cumulative_gas_used: raw.cumulative_gas_used.to(), logs };
    let mut out = Vec::new();
    let ty = u8::try_from(raw.ty.to::<u64>()).map_err(|_| rpc.nonsense("a receipt type above 8 bits"))?;
    if ty != 0 {
        out.push(ty);
    }
    alloy_rlp::Encodable::encode(&ReceiptWithBloom { receipt, logs_bloom: raw.logs_bloom }, &mut out);
    Ok(out.into())
}

fn header_of(rpc: &Rpc, block: &Value) -> Result<(u64, B256), ReadError> {
    raw_header(rpc, block).map(|(number, hash, _)| (number, hash))
}

/// Number, hash and RLP of a block's header; the JSON must give the hash it claims.
fn raw_header(rpc: &Rpc, block: &Value) -> Result<(u64, B256, Bytes), ReadError> {
    let header: RpcHeader =
        serde_json::from_value(block.clone()).map_err(|e| rpc.nonsense(format!("a block's header: {e}")))?;
    let raw = Bytes::from(alloy_rlp::encode(&header.inner));
    let hash = keccak256(&raw);
    if hash == header.hash {
        Ok((header.inner.number, hash, raw))
    } else {
        Err(rpc.nonsense(format!("the header of block {} hashes to {hash}, not {}", header.inner.number, header.hash)))
    }
}

async fn read_parent(rpc: &Rpc, spec: &PegSpec, genesis: &Genesis, from: u64) -> Result<ParentEvidence, ReadError> {
    let block = rpc.block("finalized", false).await?;
    let finalized = parent_block(rpc, &block)?;
    let height = finalized.height;
    let logs = rpc.logs(&[spec.vault, spec.registry], from, height).await?;
    let vault_code = rpc.ask("eth_getCode", json!([spec.vault, hex(height)])).await?;
    let registry_code = rpc.ask("eth_getCode", json!([spec.registry, hex(height)])).await?;
    let epoch = genesis.peg_validator_set().map_or(0, |set| set.epoch());
    let values = ParentValues {
        vault_balance: rpc.ask("eth_getBalance", json!([spec.vault, hex(height)])).await?,
        locked: rpc.call(spec.vault, PegVault::lockedCall { token: Address::ZERO }, height).await?,
        deposit_nonce: rpc.call(spec.vault, PegVault::depositNonceCall {}, height).await?,
        deposit_acc: rpc.call(spec.vault, PegVault::depositAccCall {}, height).await?,
        claim_delay_s: rpc.call(spec.vault, PegVault::claimDelayCall {}, height).await?,
        checkpoint: rpc.call(spec.registry, CheckpointRegistry::latestCall {}, height).await?.number,
        checkpoint_digest: rpc.call(spec.registry, CheckpointRegistry::latestDigestCall {}, height).await?,
        validator_set: rpc.call(spec.registry, CheckpointRegistry::validatorSetOfCall { epoch }, height).await?,
    };
    let proofs = parent_proofs(rpc, spec, &values, epoch, height).await;
    Ok(ParentEvidence { chain_id: rpc.chain_id().await?, finalized, logs, values, vault_code, registry_code, proofs })
}

async fn parent_proofs(
    rpc: &Rpc,
    spec: &PegSpec,
    values: &ParentValues,
    epoch: u64,
    height: u64,
) -> Vec<AccountEvidence> {
    let vault: [U256; 2] = [vault_slots::COUNTERS, vault_slots::snapshot(values.deposit_nonce)];
    let registry: [U256; 3] =
        [registry_slots::LATEST, registry_slots::LATEST_DIGEST, registry_slots::validator_set(epoch)];
    let mut proofs = Vec::new();
    for (address, slots) in [(spec.vault, &vault[..]), (spec.registry, &registry[..])] {
        match rpc.proof(address, slots, height).await {
            Ok(proof) => proofs.push(proof),
            // Many parent endpoints serve none; the report then says what is believed.
            Err(error) => tracing::info!(%address, %error, "the parent endpoint serves no storage proof"),
        }
    }
    proofs
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawParentBlock {
    number: U64,
    hash: B256,
    state_root: B256,
}

/// The finalised block. Its header is kept when its JSON gives its hash: a parent with header fields that are unknown here
/// still can be audited, with its state root believed.
fn parent_block(rpc: &Rpc, block: &Value) -> Result<ParentBlock, ReadError> {
    let raw: RawParentBlock =
        serde_json::from_value(block.clone()).map_err(|e| rpc.nonsense(format!("the finalised block: {e}")))?;
    let header = raw_header(rpc, block).ok().map(|(_, _, header)| header);
    Ok(ParentBlock { height: raw.number.to(), hash: raw.hash, state_root: raw.state_root, header })
}
