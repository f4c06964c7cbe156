//! Reads the parent.

use super::{CONCURRENT, CollectError, MAX_EPOCHS, raw_header};
use crate::{
    bundle::{AccountEvidence, CommittedSet, LogEvidence, ParentBlock, ParentEvidence, ParentValues},
    parent::{registry_slots, vault_slots},
    rpc::{ReadError, Rpc, hex},
};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolEvent;
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_genesis::PegSpec;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

/// All data of the peg on the parent, at its finalised block.
pub(super) async fn read_parent(
    rpc: &Rpc,
    spec: &PegSpec,
    base: u64,
    from: u64,
) -> Result<ParentEvidence, CollectError> {
    let block = rpc.block("finalized", false).await?;
    let finalized = parent_block(rpc, &block)?;
    let height = finalized.height;
    let logs = rpc.logs(&[spec.vault, spec.registry], from, height).await?;
    let vault_code = rpc.ask("eth_getCode", json!([spec.vault, hex(height)])).await?;
    let registry_code: Bytes = rpc.ask("eth_getCode", json!([spec.registry, hex(height)])).await?;
    // Before the deployment is final there is no code, and the results of the views show that.
    if !registry_code.is_empty() && from > 0 && !logs.iter().any(|log| is_deployment(log, spec, base)) {
        return Err(CollectError::StartsLate { from });
    }
    let latest = rpc.call(spec.registry, CheckpointRegistry::latestCall {}, height).await?;
    let known = base..=latest.epoch.saturating_add(1).min(base.saturating_add(MAX_EPOCHS));
    let validator_sets: Vec<CommittedSet> = stream::iter(known)
        .map(|epoch| async move {
            let call = CheckpointRegistry::validatorSetOfCall { epoch };
            let commitment = rpc.call(spec.registry, call, height).await?;
            Ok::<_, ReadError>((!commitment.is_zero()).then_some(CommittedSet { epoch, commitment }))
        })
        .buffered(CONCURRENT)
        .try_filter_map(|set| std::future::ready(Ok(set)))
        .try_collect()
        .await?;
    let values = ParentValues {
        vault_balance: rpc.ask("eth_getBalance", json!([spec.vault, hex(height)])).await?,
        locked: rpc.call(spec.vault, PegVault::lockedCall { token: Address::ZERO }, height).await?,
        deposit_nonce: rpc.call(spec.vault, PegVault::depositNonceCall {}, height).await?,
        deposit_acc: rpc.call(spec.vault, PegVault::depositAccCall {}, height).await?,
        claim_delay_s: rpc.call(spec.vault, PegVault::claimDelayCall {}, height).await?,
        checkpoint: latest.number,
        checkpoint_digest: rpc.call(spec.registry, CheckpointRegistry::latestDigestCall {}, height).await?,
        epoch: latest.epoch,
        validator_sets,
    };
    let proofs = parent_proofs(rpc, spec, &values, height).await;
    let chain_id = rpc.chain_id().await?;
    Ok(ParentEvidence { chain_id, finalized, from, logs, values, vault_code, registry_code, proofs })
}

/// Whether a log is the registry's event of its deployment.
fn is_deployment(log: &LogEvidence, spec: &PegSpec, base: u64) -> bool {
    type Event = CheckpointRegistry::ValidatorSetCommitted;
    let event = Event::decode_raw_log(log.topics.iter().copied(), &log.data);
    log.address == spec.registry && event.is_ok_and(|event| event.epoch == base)
}

async fn parent_proofs(rpc: &Rpc, spec: &PegSpec, values: &ParentValues, height: u64) -> Vec<AccountEvidence> {
    let vault: [U256; 2] = [vault_slots::COUNTERS, vault_slots::snapshot(values.deposit_nonce)];
    let mut registry = vec![registry_slots::LATEST, registry_slots::LATEST_DIGEST];
    registry.extend(values.validator_sets.iter().map(|set| registry_slots::validator_set(set.epoch)));
    let mut proofs = Vec::new();
    for (address, slots) in [(spec.vault, &vault[..]), (spec.registry, registry.as_slice())] {
        match rpc.proof(address, slots, height).await {
            Ok(proof) => proofs.push(proof),
            // Many parent endpoints provide none; the report then states which values are believed.
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
        serde_json::from_value(block.clone()).map_err(|e| rpc.invalid(format!("the finalised block: {e}")))?;
    let header = raw_header(rpc, block).ok().map(|(_, _, header)| header);
    Ok(ParentBlock { height: raw.number.to(), hash: raw.hash, state_root: raw.state_root, header })
}
