//! Checks 9 and 10: claims are burns, and the contracts are the pinned ones.

use super::STOP;
use crate::{
    audit::{Facts, count},
    report::{Check, Figure, Object},
};
use alloy_primitives::{Bytes, keccak256};
use causeway_contracts::{RegistryArgs, VaultArgs, predicted_addresses, registry_runtime_code, vault_runtime_code};
use std::collections::{BTreeMap, BTreeSet};

/// Check 9: each claim pays one burned withdrawal, once, with the same fields, against a checkpoint that includes it.
pub(crate) fn claims(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(9, "each claim was burned once and paid once");
    check.figure("claims", count(facts.parent.claims.len()));
    let burns: BTreeMap<u64, _> = facts.chain.burns.iter().map(|b| (b.withdrawal.index, b.withdrawal)).collect();
    let counts: BTreeMap<u64, u64> =
        facts.parent.checkpoints.iter().map(|accepted| (accepted.number, accepted.withdrawalCount)).collect();
    let mut paid = BTreeSet::new();
    for claim in &facts.parent.claims {
        let object = Object::Withdrawal(claim.index);
        if !paid.insert(claim.index) {
            check.fail(object, "it was paid twice", STOP);
        }
        if counts.get(&claim.checkpoint).is_none_or(|count| *count <= claim.index) {
            let reason = format!("it was paid against checkpoint {}, which does not include it", claim.checkpoint);
            check.fail(object, reason, STOP);
        }
        let Some(burn) = burns.get(&claim.index) else {
            let next = "check that the sidechain endpoint is not behind; otherwise the validators forged a checkpoint: \
                        stop depositing";
            check.fail(object, "it was paid on the parent, but never burned on the sidechain", next);
            continue;
        };
        let fields = [
            ("token", claim.token.to_string(), burn.token.to_string()),
            ("recipient", claim.recipient.to_string(), burn.recipient.to_string()),
            ("amount", claim.amount.to_string(), burn.amount.to_string()),
            ("relayer fee", claim.relayerFee.to_string(), burn.relayerFee.to_string()),
        ];
        for (field, left, right) in fields {
            if left != right {
                check.fail(object, format!("{field} is {left} in the payment, but {right} in the burn"), STOP);
            }
        }
    }
    check
}

/// Check 10: the contracts have this release's code and the addresses from genesis, and commit to this genesis.
pub(crate) fn code(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(10, "the contracts on the parent are the pinned ones");
    let spec = facts.spec;
    let expected = predicted_addresses(spec.deployer, spec.deployer_nonce);
    if expected != (spec.registry, spec.vault) {
        let reason = format!("the deployer's nonce gives registry {} and vault {}", expected.0, expected.1);
        check.fail(Object::Contract(spec.registry), reason, "ask the author of the genesis file to check it");
    }
    let evidence = &facts.bundle.parent;
    let claim_delay_s = evidence.values.claim_delay_s;
    check.figure("claim delay, seconds", Figure::Count(claim_delay_s));
    let vault = vault_runtime_code(&VaultArgs { registry: spec.registry, claim_delay_s });
    let args = RegistryArgs { genesis_hash: facts.genesis.hash, validators: facts.set.clone(), vault: spec.vault };
    let registry = registry_runtime_code(&args);
    for (address, found, pinned) in
        [(spec.vault, &evidence.vault_code, vault), (spec.registry, &evidence.registry_code, registry)]
    {
        same_code(facts, &mut check, Object::Contract(address), found, &pinned);
        let proven = evidence.proofs.iter().find(|account| account.address == address);
        if proven.is_some_and(|account| account.code_hash != keccak256(found)) {
            let next = "read the parent from another endpoint";
            check.fail(Object::Contract(address), "its proven code hash does not match its code", next);
        }
    }
    let commitment = facts.set.commitment();
    let epoch = facts.set.epoch();
    let answer = evidence.values.validator_sets.iter().find(|answer| answer.epoch == epoch).map(|a| a.commitment);
    let event = facts.parent.validator_sets.iter().find(|event| event.epoch == epoch).map(|event| event.commitment);
    if answer != Some(commitment) || event != Some(commitment) {
        let committed = answer.map_or("none".to_owned(), |answer| answer.to_string());
        let reason = format!("it was deployed with the validator set {committed}, but genesis has {commitment}");
        check.fail(Object::Contract(spec.registry), reason, "do not deposit: this registry accepts other validators");
    }
    check
}

fn same_code(facts: &Facts<'_>, check: &mut Check, object: Object, found: &Bytes, pinned: &Bytes) {
    if found == pinned {
        return;
    }
    let height = facts.bundle.parent.finalized.height;
    let (reason, next) = if found.is_empty() {
        (format!("there is no contract at this address at parent block {height}"), "wait until the deployment is final")
    } else {
        (
            "its code is not that of this release for this genesis".to_owned(),
            "do not deposit: find out which contract is at this address",
        )
    };
    check.fail(object, reason, next);
}
