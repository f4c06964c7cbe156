//! What this node's peg key attests, and the record that keeps it from attesting two things of one subject.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_peg::{
    Attestation, Checkpoint, Outcome, ParentView, PegMessage, SetAcknowledged, attestations::VIEW_WINDOW,
};

use super::{MAX_ATTESTED, PegDesk};
use crate::handle::Effect;

/// What the peg key has signed: never two digests for one checkpoint number, never a number below the last.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PegSigns {
    /// The latest checkpoint signed, by number and digest.
    pub checkpoint: Option<(u64, B256)>,
    /// Views signed for deposits that are not minted yet: the nonce a view reaches, and its digest.
    pub views: BTreeMap<u64, B256>,
}

impl PegSigns {
    fn may_sign_checkpoint(&self, number: u64, digest: B256) -> bool {
        self.checkpoint.is_none_or(|(last, signed)| number > last || (number == last && digest == signed))
    }

    fn may_sign_view(&self, nonce: u64, digest: B256) -> bool {
        self.views.get(&nonce).is_none_or(|signed| *signed == digest)
    }
}

impl PegDesk {
    /// Attests everything that waits for this node's attestation and has not got it.
    pub(super) fn attest_due(&mut self, effects: &mut Vec<Effect>) {
        if self.member().is_none() {
            return;
        }
        let checkpoints: Vec<Checkpoint> = self.current_checkpoints().copied().collect();
        for checkpoint in checkpoints {
            self.attest_checkpoint(&checkpoint, effects);
        }
        let views: Vec<ParentView> = self.views.values().copied().collect();
        for view in views {
            self.attest_view(view, effects);
        }
        self.attest_acknowledgement(effects);
    }

    /// Unrecorded checkpoints of the present epoch. Those of an earlier one can be recorded no more.
    pub(super) fn current_checkpoints(&self) -> impl DoubleEndedIterator<Item = &Checkpoint> {
        let epoch = self.progress.set.epoch();
        self.progress.unrecorded.values().filter(move |checkpoint| checkpoint.epoch == epoch)
    }

    pub(super) fn attest_view(&mut self, view: ParentView, effects: &mut Vec<Effect>) {
        // Beyond the window nobody gathers it yet; its turn comes when earlier deposits are minted.
        if view.depositNonce > self.progress.imported.saturating_add(VIEW_WINDOW) {
            return;
        }
        let digest = self.domain.parent_view_digest(&view);
        if self.attested.contains(&digest) || self.member().is_none() {
            return;
        }
        if !self.signs.may_sign_view(view.depositNonce, digest) {
            tracing::error!(
                nonce = view.depositNonce,
                "the parent's history changed under a view this node has signed; it signs no other"
            );
            self.attested.insert(digest); // said once
            return;
        }
        let news = self.signs.views.insert(view.depositNonce, digest).is_none();
        self.attest(Attestation::ParentView(view), digest, news, effects);
    }

    pub(super) fn attest_checkpoint(&mut self, checkpoint: &Checkpoint, effects: &mut Vec<Effect>) {
        let digest = self.domain.checkpoint_digest(checkpoint);
        if self.attested.contains(&digest) || self.member().is_none() {
            return;
        }
        if !self.signs.may_sign_checkpoint(checkpoint.number, digest) {
            if self.signs.checkpoint.is_some_and(|(last, _)| last == checkpoint.number) {
                tracing::error!(
                    number = checkpoint.number,
                    "this node has signed another digest of this checkpoint; it signs no second one"
                );
            }
            self.attested.insert(digest); // said once
            return;
        }
        let news = self.signs.checkpoint.replace((checkpoint.number, digest)) != Some((checkpoint.number, digest));
        self.attest(Attestation::Checkpoint(*checkpoint), digest, news, effects);
    }

    /// Attests that the parent has a set of this chain in force which this chain does not know of yet.
    pub(super) fn attest_acknowledgement(&mut self, effects: &mut Vec<Effect>) {
        let Some((epoch, commitment)) = self.in_force else { return };
        if self.member().is_none() || epoch <= self.progress.acked_epoch || epoch > self.progress.set.epoch() {
            return;
        }
        let seen = SetAcknowledged { epoch, commitment };
        let digest = self.domain.set_acknowledged_digest(&seen);
        if self.attested.contains(&digest) {
            return;
        }
        match self.progress.commitments.get(&epoch) {
            Some(known) if *known == commitment => {
                // Nothing to persist: the commitment is this chain's own.
                self.attest(Attestation::SetAcknowledged(seen), digest, false, effects);
            }
            // Further behind than commitments are at hand: the relayers have to catch up first, and the alarm says so.
            None => {}
            Some(known) => {
                tracing::error!(epoch, %commitment, %known, "the registry on the parent has another validator set in force than this chain; it is not acknowledged");
                self.attested.insert(digest); // said once
            }
        }
    }

    /// Signs and gossips; with `news` the record of what was signed is written first. A signer that is away is asked again later.
    fn attest(&mut self, attestation: Attestation, digest: B256, news: bool, effects: &mut Vec<Effect>) {
        let Some(signer) = self.member().cloned() else { return };
        let signed = PegMessage::sign(&self.domain, attestation, signer.as_ref());
        if news {
            // Also when the signer failed: a remote one may have signed all the same.
            effects.push(Effect::PersistPegSigns(self.signs.clone()));
        }
        let message = match signed {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, "the peg key gave no signature; it is asked again");
                return;
            }
        };
        if self.attested.len() >= MAX_ATTESTED {
            self.attested.clear(); // what still waits is attested again, with the same signatures
        }
        self.attested.insert(digest);
        if let Outcome::Refused(refusal) = self.attestations.add(message, &self.progress.set) {
            tracing::debug!(%refusal, "own attestation is outside the window");
            return;
        }
        effects.push(Effect::GossipPeg(message));
    }
}
