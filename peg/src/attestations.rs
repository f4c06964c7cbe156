//! Collects gossiped attestations until they form certificates.
//!
//! Memory is bounded: only messages of members of the validator set are accepted, one message per member and subject is
//! kept, and subjects are limited to a window around the chain's imported deposits, recorded checkpoints and acknowledged
//! epochs. A member can fill only its own places. When the set rotates, messages of former members are dropped, and
//! messages of new members are accepted.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};

use crate::{
    certificate::{CertificateSig, smallest_quorum},
    deposit::MAX_DEPOSITS_PER_VIEW,
    domain::PegDomain,
    message::{Attestation, PegMessage},
    types::{ParentView, SetAcknowledged},
    validators::PegValidatorSet,
};

/// Views are kept up to this many deposits after the imported nonce: the deposits of four imports.
pub const VIEW_WINDOW: u64 = 4 * MAX_DEPOSITS_PER_VIEW;
/// Number of checkpoints before this chain's latest one that are still collected.
pub const CHECKPOINTS_BEHIND: u64 = 64;
/// Number of checkpoints after this chain's latest one that are collected, because this node may lag behind its peers.
pub const CHECKPOINTS_AHEAD: u64 = 16;
/// Number of epochs after this chain's current one whose acknowledgements are kept, because this node may lag behind its peers.
pub const EPOCHS_AHEAD: u64 = 4;
/// Acknowledgements kept for one signer: those of the latest epochs. The parent may be many epochs behind, but one
/// acknowledgement settles all earlier epochs.
pub const ACKNOWLEDGEMENTS_OF_ONE: usize = 8;

/// The result of adding a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New and valid: forward it.
    Added,
    /// Already known.
    Duplicate,
    /// The signer attested something else about the same subject before. Holds both messages, the earlier first. The earlier
    /// one still counts.
    Equivocation(Box<(PegMessage, PegMessage)>),
    /// Not accepted.
    Refused(Refusal),
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The subject is already settled. Not a fault.
    #[error("the subject is already imported, recorded or acknowledged")]
    Stale,
    /// The subject is beyond the window. This node may lag.
    #[error("the subject is too far ahead of this chain")]
    TooFarAhead,
    /// The signer is not a member. This node may not have reached a rotation yet.
    #[error("{signer} is not a peg validator")]
    UnknownSigner {
        /// The named signer.
        signer: Address,
    },
    /// The signature is not the named signer's over this attestation. The sender is at fault.
    #[error("the signature is not the signer's")]
    BadSignature,
}

impl Refusal {
    /// Whether the peer that sent the message is at fault (an honest node forwards only verified messages).
    pub fn is_peers_fault(&self) -> bool {
        matches!(self, Self::BadSignature)
    }
}

/// The subject of an attestation. A validator makes at most one attestation about each subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    ViewUpTo(u64),
    Checkpoint(u64),
    SetOfEpoch(u64),
}

impl Subject {
    fn of(attestation: &Attestation) -> Self {
        match attestation {
            Attestation::ParentView(view) => Self::ViewUpTo(view.depositNonce),
            Attestation::Checkpoint(checkpoint) => Self::Checkpoint(checkpoint.number),
            Attestation::SetAcknowledged(seen) => Self::SetOfEpoch(seen.epoch),
        }
    }
}

/// The chain's position, which determines the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Nonce of the last minted deposit.
    pub imported_nonce: u64,
    /// Number of the last recorded checkpoint.
    pub recorded_checkpoint: u64,
    /// Number of the last built checkpoint.
    pub latest_checkpoint: u64,
    /// Epoch of the set in force.
    pub epoch: u64,
    /// The last acknowledged epoch.
    pub acked_epoch: u64,
}

/// The collector. Add every received message, unverified; ask it for certificates.
#[derive(Clone, Debug)]
pub struct Attestations {
    domain: PegDomain,
    settled: Settled,
    messages: BTreeMap<Subject, BTreeMap<Address, PegMessage>>,
}

impl Attestations {
    /// An empty collector for a chain at genesis. When the chain is further, call [`Attestations::prune`] with its
    /// state first.
    pub fn new(domain: PegDomain) -> Self {
        Self { domain, settled: Settled::default(), messages: BTreeMap::new() }
    }

    /// Adds a message from gossip or from this node. Cheap checks come first; the signature is recovered only
    /// for a message that would be kept or would prove an equivocation.
    pub fn add(&mut self, message: PegMessage, set: &PegValidatorSet) -> Outcome {
        let subject = Subject::of(&message.attestation);
        if let Err(refusal) = self.admits(&message.attestation) {
            return Outcome::Refused(refusal);
        }
        let signer = message.signer;
        if set.get(&signer).is_none() {
            return Outcome::Refused(Refusal::UnknownSigner { signer });
        }
        let known = self.messages.get(&subject).and_then(|by_signer| by_signer.get(&signer));
        if known.is_some_and(|known| known.attestation == message.attestation) {
            return Outcome::Duplicate;
        }
        let digest = self.domain.attestation_digest(&message.attestation);
        if message.signature.recover(digest) != Ok(signer) {
            return Outcome::Refused(Refusal::BadSignature);
        }
        if let Some(known) = known {
            return Outcome::Equivocation(Box::new((*known, message)));
        }
        self.messages.entry(subject).or_default().insert(signer, message);
        if matches!(subject, Subject::SetOfEpoch(_)) {
            self.limit_acknowledgements(signer);
        }
        Outcome::Added
    }

    /// The latest certified view that one import can reach from `imported_nonce`, with the smallest number of
    /// signatures that certify it.
    pub fn best_parent_view(
        &self,
        imported_nonce: u64,
        set: &PegValidatorSet,
    ) -> Option<(ParentView, Vec<CertificateSig>)> {
        let first = Subject::ViewUpTo(imported_nonce.checked_add(1)?);
        let last = Subject::ViewUpTo(imported_nonce.saturating_add(MAX_DEPOSITS_PER_VIEW));
        self.messages.range(first..=last).rev().find_map(|(_, by_signer)| {
            let mut by_view: BTreeMap<ParentView, Vec<CertificateSig>> = BTreeMap::new();
            for message in by_signer.values() {
                if let Attestation::ParentView(view) = message.attestation {
                    by_view.entry(view).or_default().push(signature_of(message));
                }
            }
            by_view.into_iter().find_map(|(view, signatures)| Some((view, smallest_quorum(signatures, set)?)))
        })
    }

    /// The smallest number of signatures that certify `digest`, this chain's own digest of checkpoint `number`.
    pub fn checkpoint(&self, number: u64, digest: B256, set: &PegValidatorSet) -> Option<Vec<CertificateSig>> {
        let signatures = self
            .messages
            .get(&Subject::Checkpoint(number))?
            .values()
            .filter(|message| self.domain.attestation_digest(&message.attestation) == digest)
            .map(signature_of);
        smallest_quorum(signatures, set)
    }

    /// The latest certified acknowledgement, with the smallest number of signatures that certify it. Considers only epochs
    /// that have begun on this chain.
    pub fn acknowledgement(&self, set: &PegValidatorSet) -> Option<(SetAcknowledged, Vec<CertificateSig>)> {
        let first = Subject::SetOfEpoch(self.settled.acked_epoch.checked_add(1)?);
        let last = Subject::SetOfEpoch(self.settled.epoch);
        if last < first {
            return None;
        }
        self.messages.range(first..=last).rev().find_map(|(_, by_signer)| {
            let mut by_statement: BTreeMap<SetAcknowledged, Vec<CertificateSig>> = BTreeMap::new();
            for message in by_signer.values() {
                if let Attestation::SetAcknowledged(seen) = message.attestation {
                    by_statement.entry(seen).or_default().push(signature_of(message));
                }
            }
            by_statement.into_iter().find_map(|(seen, signatures)| Some((seen, smallest_quorum(signatures, set)?)))
        })
    }

    /// Moves the windows with the chain. Drops settled and outdated messages, and messages of signers outside `set`, the set
    /// in force now.
    pub fn prune(&mut self, settled: Settled, set: &PegValidatorSet) {
        self.settled = settled;
        let mut messages = std::mem::take(&mut self.messages);
        messages.retain(|_, by_signer| {
            by_signer.retain(|signer, message| set.get(signer).is_some() && self.admits(&message.attestation).is_ok());
            !by_signer.is_empty()
        });
        self.messages = messages;
    }

    /// All kept messages, to be sent again to peers that may have missed them; ordered by subject, then
    /// signer.
    pub fn messages(&self) -> impl Iterator<Item = &PegMessage> {
        self.messages.values().flat_map(BTreeMap::values)
    }

    /// Number of kept messages, at most set size x (window sizes).
    pub fn len(&self) -> usize {
        self.messages.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Drops the signer's earliest acknowledgement when it has more than the limit.
    fn limit_acknowledgements(&mut self, signer: Address) {
        let all = Subject::SetOfEpoch(0)..=Subject::SetOfEpoch(u64::MAX);
        let mut own = self.messages.range(all).filter(|(_, by_signer)| by_signer.contains_key(&signer));
        let earliest = own.next().map(|(subject, _)| *subject);
        if let (Some(earliest), true) = (earliest, own.count() >= ACKNOWLEDGEMENTS_OF_ONE)
            && let Some(by_signer) = self.messages.get_mut(&earliest)
        {
            by_signer.remove(&signer);
            if by_signer.is_empty() {
                self.messages.remove(&earliest);
            }
        }
    }

    fn admits(&self, attestation: &Attestation) -> Result<(), Refusal> {
        let settled = &self.settled;
        let (oldest, newest, got) = match attestation {
            Attestation::ParentView(view) => (
                settled.imported_nonce.saturating_add(1),
                settled.imported_nonce.saturating_add(VIEW_WINDOW),
                view.depositNonce,
            ),
            // A checkpoint of an earlier epoch can never be recorded any more.
            Attestation::Checkpoint(checkpoint) if checkpoint.epoch < settled.epoch => return Err(Refusal::Stale),
            Attestation::Checkpoint(checkpoint) => (
                settled
                    .recorded_checkpoint
                    .max(settled.latest_checkpoint.saturating_sub(CHECKPOINTS_BEHIND))
                    .saturating_add(1),
                settled.latest_checkpoint.saturating_add(CHECKPOINTS_AHEAD),
                checkpoint.number,
            ),
            Attestation::SetAcknowledged(seen) => {
                (settled.acked_epoch.saturating_add(1), settled.epoch.saturating_add(EPOCHS_AHEAD), seen.epoch)
            }
        };
        if got < oldest {
            Err(Refusal::Stale)
        } else if got > newest {
            Err(Refusal::TooFarAhead)
        } else {
            Ok(())
        }
    }
}

fn signature_of(message: &PegMessage) -> CertificateSig {
    CertificateSig { signer: message.signer, signature: message.signature }
}
