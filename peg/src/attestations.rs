//! Gathers gossiped attestations until they are certificates.
//!
//! Bounded by construction: only members of the validator set are heard, one message per member and
//! subject is kept, and subjects are limited to a window behind and ahead of what the chain has imported
//! and recorded. A member can fill its own places and nobody else's.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};

use crate::{
    certificate::{CertificateSig, smallest_quorum},
    deposit::MAX_DEPOSITS_PER_VIEW,
    domain::PegDomain,
    message::{Attestation, PegMessage},
    types::ParentView,
    validators::PegValidatorSet,
};

/// How far past the imported nonce views are kept: four imports' worth.
pub const VIEW_WINDOW: u64 = 4 * MAX_DEPOSITS_PER_VIEW;
/// How many checkpoints before the latest one of this chain are still gathered.
pub const CHECKPOINTS_BEHIND: u64 = 64;
/// How many checkpoints past the latest one of this chain are gathered (this node may lag its peers).
pub const CHECKPOINTS_AHEAD: u64 = 16;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New and valid: forward it.
    Added,
    /// Known already.
    Duplicate,
    /// The signer attested something else of the same subject before: both messages, the earlier first.
    /// The earlier one stays counted.
    Equivocation(Box<(PegMessage, PegMessage)>),
    /// Not taken.
    Refused(Refusal),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The subject is settled already. Nobody's fault.
    #[error("already imported or recorded")]
    Stale,
    /// The subject lies beyond the window. Perhaps this node lags.
    #[error("too far ahead of this chain")]
    TooFarAhead,
    /// The signer is no member. Perhaps this node lags behind a rotation.
    #[error("{signer} is not a peg validator")]
    UnknownSigner {
        /// The address named.
        signer: Address,
    },
    /// The signature is not the signer's over this attestation. The sender's fault.
    #[error("bad signature")]
    BadSignature,
}

impl Refusal {
    /// Whether the peer that sent the message is to blame (an honest node forwards only verified ones).
    pub fn is_peers_fault(&self) -> bool {
        matches!(self, Self::BadSignature)
    }
}

/// What one attestation is about; a validator attests at most one thing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    ViewUpTo(u64),
    Checkpoint(u64),
}

impl Subject {
    fn of(attestation: &Attestation) -> Self {
        match attestation {
            Attestation::ParentView(view) => Self::ViewUpTo(view.depositNonce),
            Attestation::Checkpoint(checkpoint) => Self::Checkpoint(checkpoint.number),
        }
    }
}

/// The collector. Feed it every verified-by-nobody message; ask it for certificates.
#[derive(Clone, Debug)]
pub struct Attestations {
    domain: PegDomain,
    imported_nonce: u64,
    recorded_checkpoint: u64,
    latest_checkpoint: u64,
    messages: BTreeMap<Subject, BTreeMap<Address, PegMessage>>,
}

impl Attestations {
    /// An empty collector for a chain at its genesis; call [`Attestations::prune`] with the chain's state
    /// when it starts elsewhere.
    pub fn new(domain: PegDomain) -> Self {
        Self { domain, imported_nonce: 0, recorded_checkpoint: 0, latest_checkpoint: 0, messages: BTreeMap::new() }
    }

    /// Takes a message from gossip, or one's own. Cheap checks come first; the signature is recovered only
    /// for a message that would be kept or convict its signer.
    pub fn add(&mut self, message: PegMessage, set: &PegValidatorSet) -> Outcome {
        let subject = Subject::of(&message.attestation);
        if let Err(refusal) = self.admits(subject) {
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
        Outcome::Added
    }

    /// The furthest certified view that one import can reach from `imported_nonce`, with the fewest
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

    /// The fewest signatures that certify `digest`, this chain's own digest of checkpoint `number`.
    pub fn checkpoint(&self, number: u64, digest: B256, set: &PegValidatorSet) -> Option<Vec<CertificateSig>> {
        let signatures = self
            .messages
            .get(&Subject::Checkpoint(number))?
            .values()
            .filter(|message| self.domain.attestation_digest(&message.attestation) == digest)
            .map(signature_of);
        smallest_quorum(signatures, set)
    }

    /// Moves the window with the chain: deposits minted, last checkpoint recorded, last checkpoint built.
    /// What is settled or left behind is dropped.
    pub fn prune(&mut self, imported_nonce: u64, recorded_checkpoint: u64, latest_checkpoint: u64) {
        self.imported_nonce = imported_nonce;
        self.recorded_checkpoint = recorded_checkpoint;
        self.latest_checkpoint = latest_checkpoint;
        let mut messages = std::mem::take(&mut self.messages);
        messages.retain(|subject, _| self.admits(*subject).is_ok());
        self.messages = messages;
    }

    /// Every message kept, for sending again to peers that may have missed it: ordered by subject, then
    /// signer.
    pub fn messages(&self) -> impl Iterator<Item = &PegMessage> {
        self.messages.values().flat_map(BTreeMap::values)
    }

    /// Messages kept, at most set size x (window sizes).
    pub fn len(&self) -> usize {
        self.messages.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn admits(&self, subject: Subject) -> Result<(), Refusal> {
        let (oldest, newest, got) = match subject {
            Subject::ViewUpTo(nonce) => {
                (self.imported_nonce.saturating_add(1), self.imported_nonce.saturating_add(VIEW_WINDOW), nonce)
            }
            Subject::Checkpoint(number) => (
                self.recorded_checkpoint
                    .max(self.latest_checkpoint.saturating_sub(CHECKPOINTS_BEHIND))
                    .saturating_add(1),
                self.latest_checkpoint.saturating_add(CHECKPOINTS_AHEAD),
                number,
            ),
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
