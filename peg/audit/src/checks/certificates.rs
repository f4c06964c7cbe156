//! Checks 6 and 8: certificates are signed by the validators, and checkpoints are the canonical ones.

use super::{STOP, require_slot, sets};
use crate::{
    audit::{Facts, count},
    history::History,
    report::{Check, Figure, Object},
    sidechain::{Record, built_at},
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
use std::{collections::BTreeMap, ops::RangeInclusive};

/// An empty check 6.
pub(crate) fn certificates_check() -> Check {
    Check::new(6, "every certificate is signed by more than two thirds of the validators of its epoch")
}

/// Check 6: every certificate verifies against the validator set of its epoch, the previous set hands over to each set,
/// and the registry has the same sets. Also finds the latest certified checkpoint.
pub(crate) fn certificates(facts: &mut Facts<'_>, check: &mut Check) {
    check.figure("parent view certificates", count(facts.chain.imports.len()));
    check.figure("checkpoint certificates", count(facts.chain.records.len()));
    check.figure("acknowledgements", count(facts.chain.acknowledgements.len()));
    facts.certified = hand_over(facts, check);
    let current = facts.history.current();
    check.figure("epoch", Figure::Count(current));
    check.figure("validators", count(facts.history.set(current).map_or(0, |set| set.len())));
    check.figure("latest certified checkpoint", Figure::Count(facts.certified.unwrap_or_default()));
    for import in &facts.chain.imports {
        let digest = facts.domain.parent_view_digest(&import.view);
        let nonce = import.view.depositNonce;
        let what = format!("the certificate of deposits up to {nonce} in block {}", import.block);
        let epochs = epochs_in(facts, check, import.block);
        verify(&facts.history, check, epochs, digest, &import.signatures, Object::Deposit(nonce), &what);
    }
    peg_is_of_genesis(facts, check);
    sets::acknowledgements(facts, check);
    sets::state(facts, check);
    sets::beginnings(facts, check);
    sets::registry(facts, check);
}

/// Verifies the checkpoints' certificates epoch by epoch, each against the set proven by the previous epoch's certificates.
/// Returns the latest certified checkpoint.
fn hand_over(facts: &mut Facts<'_>, check: &mut Check) -> Option<u64> {
    let (interval, head) = (facts.interval(), facts.chain.head);
    let Facts { chain, history, canonical, .. } = facts;
    let mut by_epoch: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
    for record in &chain.records {
        if canonical.contains_key(&record.number) {
            by_epoch.entry(history.epoch_of(record.number)).or_default().push(record);
        } else {
            let reason = format!("block {} records it, but no such checkpoint was due", record.block);
            check.fail(Object::Checkpoint(record.number), reason, STOP);
        }
    }
    let mut certified = None;
    for epoch in history.base()..=history.current() {
        let mut handed_over = false;
        for record in by_epoch.remove(&epoch).unwrap_or_default() {
            let object = Object::Checkpoint(record.number);
            let Some(canonical) = canonical.get(&record.number) else { continue };
            let what = format!("the certificate of checkpoint {} in block {}", record.number, record.block);
            let around = history.epochs_at(record.block, interval, head);
            if !around.contains(&epoch) {
                let reason = format!("{what} is of epoch {epoch}, but the block is of epoch {}", around.start());
                check.fail(object, reason, STOP);
                continue;
            }
            // This check concerns the signers of the digest that the chain recorded. Check 8 compares that digest with the canonical
            // checkpoint.
            let recorded = chain.recorded_digests.get(&record.number).copied().unwrap_or(canonical.digest);
            let signed = verify(history, check, epoch..=epoch, recorded, &record.signatures, object, &what);
            if signed && recorded == canonical.digest {
                certified = certified.max(Some(record.number));
                handed_over |= record.in_block;
            }
        }
        let next = epoch.saturating_add(1);
        if handed_over {
            history.prove(next);
        } else if epoch < history.current() {
            let reason = format!("no block carries a certificate by which the set of epoch {epoch} hands over to it");
            check.fail(Object::ValidatorSet(next), reason, STOP);
        }
        if epoch < history.current() && history.set(next).is_none() {
            // There is no proven set to verify the rest against.
            let next_step = "fix the sets named above first: certificates of this and later epochs were not verified";
            check.fail(Object::ValidatorSet(next), "it is not proven", next_step);
            break;
        }
    }
    certified
}

/// Epochs whose set may have certified something in a block. It is one epoch, unless a rotation lies between the checkpoints
/// around the block and nothing proves in which block it was.
pub(super) fn epochs_in(facts: &Facts<'_>, check: &mut Check, block: u64) -> RangeInclusive<u64> {
    let around = facts.history.epochs_at(block, facts.interval(), facts.chain.head);
    let (mut first, last) = around.into_inner();
    for epoch in first.saturating_add(1)..=last {
        match facts.chain.rotation(epoch) {
            Some(rotation) if rotation <= block => first = epoch,
            Some(_) => return first..=epoch.saturating_sub(1),
            None => {
                check
                    .believe(format!("block {block} is of epoch {first} or {last} (there is no proof of the block in which epoch {epoch} begins)"));
                return first..=last;
            }
        }
    }
    first..=last
}

/// Verifies a certificate against the proven set of one of `epochs`. If none is proven, another check has already failed.
pub(super) fn verify(
    history: &History,
    check: &mut Check,
    epochs: RangeInclusive<u64>,
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
    let mut refusal = None;
    for set in epochs.filter_map(|epoch| history.set(epoch)) {
        match verify_signatures(digest, &parsed, set) {
            Ok(()) => return true,
            Err(error) => refusal = Some((set.epoch(), error)),
        }
    }
    let Some((epoch, error)) = refusal else { return false };
    let object = match &error {
        CertificateError::UnknownSigner { signer, .. }
        | CertificateError::OutOfOrder { signer }
        | CertificateError::WrongSigner { signer }
        | CertificateError::Signature { signer, .. } => Object::Signer(*signer),
        _ => object,
    };
    check.fail(object, format!("{what} does not verify against the set of epoch {epoch}: {error}"), STOP);
    false
}

/// Checks that the peg's constants in the proven state equal those of genesis.
fn peg_is_of_genesis(facts: &Facts<'_>, check: &mut Check) {
    let genesis = facts.genesis.alloc.get(&PEG).map(|account| &account.storage);
    for (slot, what) in [
        (layout::VERSION, "layout version"),
        (layout::PARENT_CHAIN_ID, "parent chain id"),
        (layout::VAULT, "vault"),
        (layout::REGISTRY, "registry"),
        (layout::CHECKPOINT_INTERVAL, "checkpoint interval"),
    ] {
        let value = genesis.and_then(|slots| slots.get(&slot)).copied().unwrap_or_default();
        require_slot(facts, check, Object::Contract(PEG), slot, what, |_| value);
    }
}

/// Check 8: each checkpoint on either chain is the canonical one, and the chain of digests is complete.
pub(crate) fn checkpoints(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(8, "each checkpoint on the parent is the canonical one, and their chain is unbroken");
    check.figure("due", count(facts.canonical.len()));
    check.figure("recorded on the sidechain", count(facts.chain.records.len()));
    check.figure("accepted on the parent", count(facts.parent.checkpoints.len()));
    for (number, recorded) in &facts.chain.recorded_digests {
        let digest = facts.canonical.get(number).map(|canonical| canonical.digest);
        if digest != Some(*recorded) {
            let reason = format!("the sidechain recorded {recorded}, but its history gives {}", shown(digest));
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
            "the registry's latest checkpoint is {} {}, but its events end with {} {}",
            values.checkpoint, values.checkpoint_digest, latest.0, latest.1
        );
        check.fail(Object::Checkpoint(values.checkpoint), reason, "read the parent from another endpoint");
    }
    let built = |height| built_at(height, facts.interval());
    let object = Object::Checkpoint(built(facts.chain.head));
    let number = |height| U256::from(built(height));
    require_slot(facts, &mut check, object, layout::LATEST_CHECKPOINT, "latest checkpoint's number", number);
    let recorded = |height: u64| {
        let records = facts.chain.records.iter().filter(|record| record.block <= height);
        records.map(|record| record.number).max().unwrap_or_default()
    };
    let object = Object::Checkpoint(recorded(facts.chain.head));
    let number = |height| U256::from(recorded(height));
    require_slot(facts, &mut check, object, layout::RECORDED_CHECKPOINT, "latest recorded checkpoint's number", number);
    for height in facts.proven_heights() {
        let number = built(height);
        let digest = facts.canonical.get(&number).map(|canonical| canonical.digest).unwrap_or_default();
        let proven = facts.chain.slot(height, layout::checkpoint(number, CheckpointField::Digest));
        if let Some(proven) = proven.map(B256::from)
            && proven != digest
        {
            let reason = format!("its digest is {proven} in the state of block {height}, but {digest} by the history");
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
        check.fail(object, "the parent accepted it, but the sidechain's history has no such checkpoint", STOP);
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
            check.fail(
                object,
                format!("{field} is {left} on the parent, but {right} by the sidechain's history"),
                STOP,
            );
        }
    }
}
