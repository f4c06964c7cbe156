//! Checks 6 and 8: certificates are signed by the validators, and checkpoints are the canonical ones.

use super::{STOP, require_slot};
use crate::{
    audit::{Facts, count},
    report::{Check, Figure, Object},
    sidechain::built_at,
};
use alloy_primitives::{B256, U256};
use causeway_contracts::CheckpointRegistry::CheckpointAccepted;
use causeway_genesis::addresses::PEG;
use causeway_peg::{
    CertificateError, CertificateSig,
    abi::SignatureAbi,
    layout::{self, CheckpointField},
    verify_signatures,
};

/// Check 6: every certificate verifies against the validator set. Finds the latest certified checkpoint on the way.
pub(crate) fn certificates(facts: &mut Facts<'_>) -> Check {
    let mut check = Check::new(6, "every certificate is signed by more than two thirds of the validators");
    check.figure("parent view certificates", count(facts.chain.imports.len()));
    check.figure("checkpoint certificates", count(facts.chain.records.len()));
    check.figure("validators", count(facts.set.len()));
    for import in &facts.chain.imports {
        let digest = facts.domain.parent_view_digest(&import.view);
        let nonce = import.view.depositNonce;
        let what = format!("the certificate of deposits up to {nonce} in block {}", import.block);
        verify(facts, &mut check, digest, &import.signatures, Object::Deposit(nonce), &what);
    }
    let mut certified = None;
    for record in &facts.chain.records {
        let object = Object::Checkpoint(record.number);
        let Some(canonical) = facts.canonical.get(&record.number) else {
            let reason = format!("block {} records it, and no such checkpoint was due", record.block);
            check.fail(object, reason, STOP);
            continue;
        };
        let what = format!("the certificate of checkpoint {} in block {}", record.number, record.block);
        // Signatures over what the chain says it recorded are about the signers; whether that is the canonical
        // checkpoint is the matter of check 8.
        let recorded = facts.chain.recorded_digests.get(&record.number).copied().unwrap_or(canonical.digest);
        if verify(facts, &mut check, recorded, &record.signatures, object, &what) && recorded == canonical.digest {
            certified = certified.max(Some(record.number));
        }
    }
    facts.certified = certified;
    check.figure("latest certified checkpoint", Figure::Count(certified.unwrap_or_default()));
    set_is_of_genesis(facts, &mut check);
    check
}

fn verify(
    facts: &Facts<'_>,
    check: &mut Check,
    digest: B256,
    signatures: &[SignatureAbi],
    object: Object,
    what: &str,
) -> bool {
    let mut parsed = Vec::with_capacity(signatures.len());
    for signature in signatures {
        match CertificateSig::try_from(signature) {
            Ok(signature) => parsed.push(signature),
            Err(error) => {
                check.fail(Object::Signer(signature.signer), format!("{what}: {error}"), STOP);
                return false;
            }
        }
    }
    let Err(error) = verify_signatures(digest, &parsed, &facts.set) else { return true };
    let object = match &error {
        CertificateError::UnknownSigner { signer, .. }
        | CertificateError::OutOfOrder { signer }
        | CertificateError::WrongSigner { signer }
        | CertificateError::Signature { signer, .. } => Object::Signer(*signer),
        _ => object,
    };
    check.fail(object, format!("{what}: {error}"), STOP);
    false
}

/// The set and the peg's fixed values in the proven state are those of genesis.
fn set_is_of_genesis(facts: &Facts<'_>, check: &mut Check) {
    let genesis = facts.genesis.alloc.get(&PEG).map(|account| &account.storage);
    for (slot, what) in [
        (layout::VERSION, "layout version"),
        (layout::PARENT_CHAIN_ID, "parent chain id"),
        (layout::VAULT, "vault"),
        (layout::REGISTRY, "registry"),
        (layout::CHECKPOINT_INTERVAL, "checkpoint interval"),
        (layout::VALIDATOR_EPOCH, "epoch of the validator set"),
        (layout::VALIDATOR_COUNT, "number of validators"),
    ] {
        let value = genesis.and_then(|slots| slots.get(&slot)).copied().unwrap_or_default();
        require_slot(facts, check, Object::Contract(PEG), slot, what, |_| value);
    }
}

/// Check 8: each checkpoint on either chain is the canonical one, and the chain of digests is unbroken.
pub(crate) fn checkpoints(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(8, "each checkpoint on the parent is the canonical one, and their chain is unbroken");
    check.figure("due", count(facts.canonical.len()));
    check.figure("recorded on the sidechain", count(facts.chain.records.len()));
    check.figure("accepted on the parent", count(facts.parent.checkpoints.len()));
    for (number, recorded) in &facts.chain.recorded_digests {
        let digest = facts.canonical.get(number).map(|canonical| canonical.digest);
        if digest != Some(*recorded) {
            let reason = format!("the sidechain recorded {recorded}, its history gives {}", shown(digest));
            check.fail(Object::Checkpoint(*number), reason, STOP);
        }
    }
    let mut latest = (0u64, B256::ZERO);
    for accepted in &facts.parent.checkpoints {
        if accepted.number <= latest.0 {
            let reason = format!("the parent accepted it after checkpoint {}", latest.0);
            check.fail(Object::Checkpoint(accepted.number), reason, "read the parent from another endpoint");
        }
        latest = (accepted.number, accepted.digest);
        is_canonical(facts, &mut check, accepted);
    }
    let values = &facts.bundle.parent.values;
    if (values.checkpoint, values.checkpoint_digest) != latest {
        let reason = format!(
            "the registry's latest is {} {}, its events end with {} {}",
            values.checkpoint, values.checkpoint_digest, latest.0, latest.1
        );
        check.fail(Object::Checkpoint(values.checkpoint), reason, "read the parent from another endpoint");
    }
    let built = |height| built_at(height, facts.interval());
    let object = Object::Checkpoint(built(facts.chain.head));
    let number = |height| U256::from(built(height));
    require_slot(facts, &mut check, object, layout::LATEST_CHECKPOINT, "latest checkpoint's number", number);
    for height in facts.proven_heights() {
        let number = built(height);
        let digest = facts.canonical.get(&number).map(|canonical| canonical.digest).unwrap_or_default();
        let proven = facts.chain.slot(height, layout::checkpoint(number, CheckpointField::Digest));
        if let Some(proven) = proven.map(B256::from)
            && proven != digest
        {
            let reason = format!("its digest is {proven} in the state of block {height}, the history gives {digest}");
            check.fail(Object::Checkpoint(number), reason, STOP);
        }
    }
    check
}

fn shown(digest: Option<B256>) -> String {
    digest.map_or("none".to_owned(), |digest| digest.to_string())
}

fn is_canonical(facts: &Facts<'_>, check: &mut Check, accepted: &CheckpointAccepted) {
    let object = Object::Checkpoint(accepted.number);
    let Some(canonical) = facts.canonical.get(&accepted.number) else {
        check.fail(object, "the parent accepted it, and the sidechain's history has no such checkpoint", STOP);
        return;
    };
    let expected = &canonical.checkpoint;
    let fields = [
        ("height", accepted.height.to_string(), expected.height.to_string()),
        ("state root", accepted.stateRoot.to_string(), expected.stateRoot.to_string()),
        ("withdrawal root", accepted.withdrawalRoot.to_string(), expected.withdrawalRoot.to_string()),
        ("withdrawal count", accepted.withdrawalCount.to_string(), expected.withdrawalCount.to_string()),
        ("deposit nonce", accepted.depositNonce.to_string(), expected.depositNonce.to_string()),
        ("epoch", accepted.epoch.to_string(), expected.epoch.to_string()),
        ("digest", accepted.digest.to_string(), canonical.digest.to_string()),
    ];
    for (field, left, right) in fields {
        if left != right {
            check.fail(object, format!("{field} {left} on the parent, {right} by the sidechain's history"), STOP);
        }
    }
}
