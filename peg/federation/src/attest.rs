//! The attestations of this node's peg key.

use alloy_primitives::B256;
use causeway_peg::{
    Attestation, Checkpoint, Outcome, ParentView, PegMessage, SetAcknowledged, attestations::VIEW_WINDOW,
};

use super::{Federation, MAX_ATTESTED, Output};

impl Federation {
    /// Makes all attestations that are due and not yet made.
    pub(super) fn attest_due(&mut self, outputs: &mut Vec<Output>) {
        if self.member().is_none() {
            return;
        }
        let checkpoints: Vec<Checkpoint> = self.current_checkpoints().copied().collect();
        for checkpoint in checkpoints {
            self.attest_checkpoint(&checkpoint, outputs);
        }
        let views: Vec<ParentView> = self.views.values().copied().collect();
        for view in views {
            self.attest_view(view, outputs);
        }
        self.attest_acknowledgement(outputs);
    }

    /// Unrecorded checkpoints of the current epoch. Those of an earlier epoch can no longer be recorded.
    pub(super) fn current_checkpoints(&self) -> impl DoubleEndedIterator<Item = &Checkpoint> {
        let epoch = self.progress.set.epoch();
        self.progress.unrecorded.values().filter(move |checkpoint| checkpoint.epoch == epoch)
    }

    pub(super) fn attest_view(&mut self, view: ParentView, outputs: &mut Vec<Output>) {
        // Peers do not collect it yet. It becomes due when earlier deposits are minted.
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
            self.attested.insert(digest); // attested once is enough
            return;
        }
        let news = self.signs.views.insert(view.depositNonce, digest).is_none();
        self.attest(Attestation::ParentView(view), digest, news, outputs);
    }

    pub(super) fn attest_checkpoint(&mut self, checkpoint: &Checkpoint, outputs: &mut Vec<Output>) {
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
            self.attested.insert(digest); // attested once is enough
            return;
        }
        let news = self.signs.checkpoint.replace((checkpoint.number, digest)) != Some((checkpoint.number, digest));
        self.attest(Attestation::Checkpoint(*checkpoint), digest, news, outputs);
    }

    /// Attests that the parent has a set of this chain in force, if this chain has not recorded that yet.
    pub(super) fn attest_acknowledgement(&mut self, outputs: &mut Vec<Output>) {
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
                // Nothing to persist: the commitment comes from this chain's own state.
                self.attest(Attestation::SetAcknowledged(seen), digest, false, outputs);
            }
            // The commitment of an epoch that far back is not loaded: the relayers must catch up first; an alarm reports it.
            None => {}
            Some(known) => {
                tracing::error!(epoch, %commitment, %known, "the registry on the parent has another validator set in force than this chain; it is not acknowledged");
                self.attested.insert(digest); // attested once is enough
            }
        }
    }

    /// Signs and gossips. With `news`, the record of the signature is written first. If the signer is away, it is asked again later.
    fn attest(&mut self, attestation: Attestation, digest: B256, news: bool, outputs: &mut Vec<Output>) {
        let Some(signer) = self.member().cloned() else { return };
        let signed = PegMessage::sign(&self.domain, attestation, signer.as_ref());
        if news {
            // Also after a failure: a remote signer may have signed nevertheless.
            outputs.push(Output::Persist(self.signs.clone()));
        }
        let message = match signed {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, "the peg key gave no signature; it is asked again");
                return;
            }
        };
        if self.attested.len() >= MAX_ATTESTED {
            self.attested.clear(); // everything that still waits is attested again, with the same signatures
        }
        self.attested.insert(digest);
        if let Outcome::Refused(refusal) = self.attestations.add(message, &self.progress.set) {
            tracing::debug!(%refusal, "own attestation is outside the window");
            return;
        }
        outputs.push(Output::Gossip(Box::new(message)));
    }
}
