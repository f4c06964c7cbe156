//! Gathers gossiped attestations until they are certificates.
//!
//! Bounded by construction: only members of the validator set are heard, one message per member and
//! subject is kept, and subjects are limited to a window behind and ahead of what the chain has imported,
//! recorded and acknowledged. A member can fill its own places and nobody else's. When the set rotates, messages of
//! those who left are dropped, and those who joined are heard.

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

/// How far past the imported nonce views are kept: four imports' worth.
pub const VIEW_WINDOW: u64 = 4 * MAX_DEPOSITS_PER_VIEW;
/// How many checkpoints before the latest one of this chain are still gathered.
pub const CHECKPOINTS_BEHIND: u64 = 64;
/// How many checkpoints past the latest one of this chain are gathered (this node may lag its peers).
pub const CHECKPOINTS_AHEAD: u64 = 16;
/// How many epochs past the current one of this chain acknowledgements are kept (this node may lag its peers).
pub const EPOCHS_AHEAD: u64 = 4;
/// Acknowledgements kept of one signer: those of the latest epochs. The parent may be many epochs behind, and one
/// acknowledgement settles every earlier epoch.
pub const ACKNOWLEDGEMENTS_OF_ONE: usize = 8;

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
    #[error("already imported, recorded or acknowledged")]
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

/// Where the chain stands: what bounds the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Deposits minted, as a nonce.
    pub imported_nonce: u64,
    /// Last checkpoint recorded.
    pub recorded_checkpoint: u64,
    /// Last checkpoint built.
    pub latest_checkpoint: u64,
    /// Epoch of the set in force.
    pub epoch: u64,
    /// Last epoch acknowledged.
    pub acked_epoch: u64,
}

/// The collector. Feed it every verified-by-nobody message; ask it for certificates.
#[derive(Clone, Debug)]
pub struct Attestations {
    domain: PegDomain,
    settled: Settled,
    messages: BTreeMap<Subject, BTreeMap<Address, PegMessage>>,
}

impl Attestations {
    /// An empty collector for a chain at its genesis; call [`Attestations::prune`] with the chain's state
    /// when it starts elsewhere.
    pub fn new(domain: PegDomain) -> Self {
        Self { domain, settled: Settled::default(), messages: BTreeMap::new() }
    }

    /// Takes a message from gossip, or one's own. Cheap checks come first; the signature is recovered only
    /// for a message that would be kept or convict its signer.
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

    /// The latest certified statement that the parent has a set in force, with the fewest signatures that certify it.
    /// Only of epochs that have begun here.
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

    /// Moves the window with the chain. What is settled or left behind is dropped, and what was said by others than the
    /// members of `set`, which is in force now.
    pub fn prune(&mut self, settled: Settled, set: &PegValidatorSet) {
        self.settled = settled;
        let mut messages = std::mem::take(&mut self.messages);
        messages.retain(|_, by_signer| {
            by_signer.retain(|signer, message| set.get(signer).is_some() && self.admits(&message.attestation).is_ok());
            !by_signer.is_empty()
        });
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

    /// Drops the signer's earliest acknowledgement when it has one too many.
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
            // A checkpoint of an earlier epoch is never recorded any more.
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
