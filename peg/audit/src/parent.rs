//! The peg's history on the parent, read from evidence.

use crate::{
    bundle::{CommittedSet, ParentEvidence},
    proof,
    report::{Check, Object},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_sol_types::{SolEventInterface, SolValue};
use causeway_contracts::{CheckpointRegistry, PegVault, deposit_of};
use causeway_genesis::PegSpec;
use causeway_peg::Deposit;
use std::collections::BTreeMap;

const ENDPOINT: &str = "read the parent again from another endpoint";

/// Snapshots in the vault's ring.
const SNAPSHOTS: u64 = 4096;

/// Slots of the vault's storage (a test compares them with a deployed contract through the views).
pub(crate) mod vault_slots {
    use super::{SNAPSHOTS, U256};
    /// `depositNonce` in the low 64 bits, `lockedNative` above.
    pub(crate) const COUNTERS: U256 = U256::ZERO;
    /// The accumulator after deposit `nonce`.
    pub(crate) fn snapshot(nonce: u64) -> U256 {
        U256::from(nonce % SNAPSHOTS) + U256::ONE
    }
}

/// Slots of the registry's storage.
pub(crate) mod registry_slots {
    use super::{B256, SolValue, U256, keccak256};
    /// `latest`: number, height, withdrawal count and epoch in 64-bit lanes, least significant first.
    pub(crate) const LATEST: U256 = U256::ZERO;
    /// `latestDigest`.
    pub(crate) const LATEST_DIGEST: U256 = U256::ONE;
    /// `validatorSetOf(epoch)`.
    pub(crate) fn validator_set(epoch: u64) -> U256 {
        let key: B256 = keccak256((U256::from(epoch), U256::from(2)).abi_encode());
        key.into()
    }
}

/// A `Deposited` event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locked {
    pub(crate) deposit: Deposit,
    pub(crate) acc: B256,
    pub(crate) height: u64,
    pub(crate) block_hash: B256,
}

/// The peg's history on the parent up to a finalised block.
#[derive(Debug, Default)]
pub(crate) struct Parent {
    /// In chain order.
    pub(crate) deposits: Vec<Locked>,
    pub(crate) claims: Vec<PegVault::Claimed>,
    pub(crate) checkpoints: Vec<CheckpointRegistry::CheckpointAccepted>,
    /// Accumulators that the registry stores in addition to the vault's, for old checkpoints.
    pub(crate) linked: Vec<CheckpointRegistry::DepositHistoryLinked>,
    /// In chain order; the first is that of the deployment.
    pub(crate) validator_sets: Vec<CheckpointRegistry::ValidatorSetCommitted>,
}

impl Parent {
    /// Reads the evidence; each contradiction in it fails `check`.
    pub(crate) fn read(evidence: &ParentEvidence, spec: &PegSpec, check: &mut Check) -> Self {
        let mut parent = Self::default();
        let mut logs: Vec<_> = evidence.logs.iter().collect();
        logs.sort_by_key(|log| (log.height, log.log_index));
        let finalized = &evidence.finalized;
        for pair in logs.windows(2) {
            if (pair[0].height, pair[0].log_index) == (pair[1].height, pair[1].log_index) {
                check.fail(Object::ParentBlock(pair[0].height), "an event is listed twice", ENDPOINT);
            }
        }
        for log in logs {
            let object = Object::ParentBlock(log.height);
            if log.height > finalized.height || (log.height == finalized.height && log.block_hash != finalized.hash) {
                check.fail(object, "an event is not in the finalised chain", ENDPOINT);
            }
            let topics = log.topics.iter().copied();
            if log.address == spec.vault {
                match PegVault::PegVaultEvents::decode_raw_log(&log.topics, &log.data) {
                    Ok(PegVault::PegVaultEvents::Deposited(event)) => parent.deposits.push(Locked {
                        deposit: deposit_of(&event),
                        acc: event.depositAcc,
                        height: log.height,
                        block_hash: log.block_hash,
                    }),
                    Ok(PegVault::PegVaultEvents::Claimed(event)) => parent.claims.push(event),
                    Err(_) => check.fail(object, "an event of the vault does not decode", ENDPOINT),
                }
            } else if log.address == spec.registry {
                match CheckpointRegistry::CheckpointRegistryEvents::decode_raw_log(&log.topics, &log.data) {
                    Ok(CheckpointRegistry::CheckpointRegistryEvents::CheckpointAccepted(event)) => {
                        parent.checkpoints.push(event);
                    }
                    Ok(CheckpointRegistry::CheckpointRegistryEvents::ValidatorSetCommitted(event)) => {
                        parent.validator_sets.push(event);
                    }
                    Ok(CheckpointRegistry::CheckpointRegistryEvents::DepositHistoryLinked(event)) => {
                        parent.linked.push(event);
                    }
                    Err(_) => check.fail(object, "an event of the registry does not decode", ENDPOINT),
                }
            } else {
                let reason =
                    format!("an event of {} with {} topics is not an event of the peg", log.address, topics.len());
                check.fail(object, reason, ENDPOINT);
            }
        }
        parent
    }
}

/// Compares the views' results with the storage proofs, or reports that the results are believed.
pub(crate) fn check_values(evidence: &ParentEvidence, spec: &PegSpec, check: &mut Check) {
    let finalized = &evidence.finalized;
    let object = Object::ParentBlock(finalized.height);
    check.believe(format!("parent block {} {} is final", finalized.height, finalized.hash));
    match &finalized.header {
        None => check.believe(format!("its state root is {}", finalized.state_root)),
        Some(raw) => match Header::decode(&mut raw.as_ref()) {
            Ok(header)
                if keccak256(raw) == finalized.hash
                    && header.number == finalized.height
                    && header.state_root == finalized.state_root => {}
            _ => check.fail(object, "its header does not match its hash, height and state root", ENDPOINT),
        },
    }
    let values = &evidence.values;
    let vault = account(evidence, spec.vault, check);
    let registry = account(evidence, spec.registry, check);
    let (Some((balance, vault)), Some((_, registry))) = (vault, registry) else {
        check.believe("the vault's and the registry's storage (the parent endpoint serves no proofs)");
        return;
    };
    let counters = vault.get(&vault_slots::COUNTERS).copied();
    let snapshot = vault.get(&vault_slots::snapshot(values.deposit_nonce)).copied();
    let latest = registry.get(&registry_slots::LATEST).map(U256::as_limbs);
    let mut pairs = vec![
        ("the vault's balance".to_owned(), Some(balance), values.vault_balance),
        ("locked(0)".to_owned(), counters.map(|word| word >> 64), values.locked),
        (
            "depositNonce()".to_owned(),
            counters.map(|word| U256::from(word.as_limbs()[0])),
            U256::from(values.deposit_nonce),
        ),
        ("depositAcc()".to_owned(), snapshot, values.deposit_acc.into()),
        ("latest().number".to_owned(), latest.map(|lanes| U256::from(lanes[0])), U256::from(values.checkpoint)),
        ("latest().epoch".to_owned(), latest.map(|lanes| U256::from(lanes[3])), U256::from(values.epoch)),
        (
            "latestDigest()".to_owned(),
            registry.get(&registry_slots::LATEST_DIGEST).copied(),
            values.checkpoint_digest.into(),
        ),
    ];
    for CommittedSet { epoch, commitment } in &values.validator_sets {
        let proven = registry.get(&registry_slots::validator_set(*epoch)).copied();
        pairs.push((format!("validatorSetOf({epoch})"), proven, (*commitment).into()));
    }
    for (what, proven, answered) in pairs {
        if proven != Some(answered) {
            let proven = proven.map_or("nothing".to_owned(), |value| format!("{value:#x}"));
            check.fail(
                object,
                format!("{what} returned {answered:#x}, but its storage proof gives {proven}"),
                ENDPOINT,
            );
        }
    }
}

/// Balance and proven slots of an account at the finalised block; `None` when there is no proof or it is wrong.
fn account(evidence: &ParentEvidence, address: Address, check: &mut Check) -> Option<(U256, BTreeMap<U256, U256>)> {
    let account = evidence.proofs.iter().find(|account| account.address == address)?;
    if account.height != evidence.finalized.height {
        check.fail(Object::Contract(address), format!("its proof is of parent block {}", account.height), ENDPOINT);
        return None;
    }
    match proof::verify(account, evidence.finalized.state_root) {
        Ok(slots) => Some((account.balance, slots)),
        Err(error) => {
            check.fail(Object::Contract(address), error.to_string(), ENDPOINT);
            None
        }
    }
}
