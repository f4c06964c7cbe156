//! Certificates: sets of signed votes that prove a decision, a polka, or the right to enter a round.

use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::height::{Height, Round};
use crate::keys::{SIGNATURE_BYTES, ValidatorId};
use crate::validators::ValidatorSet;
use crate::vote::{SignedVote, Vote, VoteKind};

/// One validator's signature in a certificate, over the vote the certificate implies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct CommitSignature {
    /// The validator that signed.
    pub validator: ValidatorId,
    /// ed25519 over the implied vote's sign bytes.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Why a certificate is invalid. The sender is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A signer is not in the validator set of that height.
    #[error("{0} is not in the validator set")]
    UnknownValidator(ValidatorId),
    /// Signers are not in strictly ascending order of their ids. This covers duplicates.
    #[error("signatures are not sorted by validator, or {0} appears twice")]
    NotSorted(ValidatorId),
    /// A signature does not verify.
    #[error("the signature of {0} is invalid")]
    InvalidSignature(ValidatorId),
    /// A precommit certificate of a round holds a prevote.
    #[error("{0} contributed a vote of the wrong kind")]
    WrongKind(ValidatorId),
    /// The signers' power does not reach the threshold.
    #[error("signed power {signed} of {total} is not enough")]
    NotEnoughPower {
        /// Sum of the signers' powers.
        signed: u64,
        /// Total power of the set.
        total: u64,
    },
}

/// Proves that more than two thirds of the stake precommitted a block: the block is final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CommitCertificate {
    /// The decided height.
    pub height: Height,
    /// The round of the precommits.
    pub round: Round,
    /// The decided block.
    pub block_hash: B256,
    /// Sorted by validator id, no duplicates.
    pub signatures: Vec<CommitSignature>,
}

impl CommitCertificate {
    /// The votes this certificate consists of.
    pub fn votes(&self) -> impl Iterator<Item = SignedVote> + '_ {
        self.signatures.iter().map(|s| self.scope(VoteKind::Precommit).vote(s))
    }

    /// Checks order, membership, every signature and the quorum against the validators of that height.
    ///
    /// # Errors
    /// The first rule of [`CertificateError`] that is broken.
    pub fn verify(&self, chain: B256, set: &ValidatorSet) -> Result<(), CertificateError> {
        self.verify_with(set, |vote| vote.verify(chain, set))
    }

    /// As [`CommitCertificate::verify`], with `verify` as the check of one signature (callers pass a cache).
    pub(crate) fn verify_with(
        &self,
        set: &ValidatorSet,
        verify: impl FnMut(&SignedVote) -> bool,
    ) -> Result<(), CertificateError> {
        check(self.votes(), set, verify)?.quorum()
    }

    /// The vote in this certificate that conflicts with `other`: a precommit of the same validator, height and round for
    /// another block, or for nil. Does not check signatures.
    pub fn contradicted_by(&self, other: &SignedVote) -> Option<SignedVote> {
        let vote = &other.vote;
        let comparable = vote.kind == VoteKind::Precommit
            && (vote.height, vote.round) == (self.height, self.round)
            && vote.block_hash != Some(self.block_hash);
        if !comparable {
            return None;
        }
        let at = self.signatures.binary_search_by(|signature| signature.validator.cmp(&vote.validator)).ok()?;
        let signature = self.signatures.get(at)?;
        Some(self.scope(VoteKind::Precommit).vote(signature))
    }

    /// keccak256 of the borsh encoding; a block header carries this hash for the previous block's certificate.
    pub fn hash(&self) -> B256 {
        keccak256(borsh::to_vec(self).expect("writing to memory cannot fail"))
    }

    fn scope(&self, kind: VoteKind) -> Scope {
        Scope { kind, height: self.height, round: self.round, block_hash: Some(self.block_hash) }
    }
}

/// Proves a polka: more than two thirds of the stake prevoted one block in a round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PolkaCertificate {
    /// The height of the prevotes.
    pub height: Height,
    /// The round of the prevotes.
    pub round: Round,
    /// The block prevoted.
    pub block_hash: B256,
    /// Sorted by validator id, no duplicates.
    pub signatures: Vec<CommitSignature>,
}

impl PolkaCertificate {
    /// The prevotes this certificate consists of.
    pub fn votes(&self) -> impl Iterator<Item = SignedVote> + '_ {
        let scope = Scope {
            kind: VoteKind::Prevote,
            height: self.height,
            round: self.round,
            block_hash: Some(self.block_hash),
        };
        self.signatures.iter().map(move |s| scope.vote(s))
    }

    /// As [`CommitCertificate::verify`]; `verify` checks one signature (callers pass a cache).
    ///
    /// # Errors
    /// The first rule of [`CertificateError`] that is broken.
    pub(crate) fn verify_with(
        &self,
        set: &ValidatorSet,
        verify: impl FnMut(&SignedVote) -> bool,
    ) -> Result<(), CertificateError> {
        check(self.votes(), set, verify)?.quorum()
    }
}

/// The step that a round certificate allows.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RoundCertificateKind {
    /// More than two thirds precommitted, for any block or nil: leave the round when its timeout ends.
    Precommit,
    /// More than one third voted in the round: it is safe to skip to it.
    Skip,
}

/// One vote of a round certificate.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundSignature {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// The block voted for, or nil.
    pub block_hash: Option<B256>,
    /// The validator that voted.
    pub validator: ValidatorId,
    /// ed25519 over the vote's sign bytes.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Proves that enough stake voted in a round, so that other validators may enter it or leave it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundCertificate {
    /// The height of the votes.
    pub height: Height,
    /// The round of the votes.
    pub round: Round,
    /// The kind, which determines the threshold.
    pub kind: RoundCertificateKind,
    /// Sorted by validator id, no duplicates.
    pub signatures: Vec<RoundSignature>,
}

impl RoundCertificate {
    /// The votes this certificate consists of.
    pub fn votes(&self) -> impl Iterator<Item = SignedVote> + '_ {
        self.signatures.iter().map(|s| SignedVote {
            vote: Vote {
                kind: s.kind,
                height: self.height,
                round: self.round,
                block_hash: s.block_hash,
                validator: s.validator,
            },
            signature: s.signature,
        })
    }

    /// Checks order, membership, kinds, signatures and the threshold of its kind.
    ///
    /// # Errors
    /// The first rule of [`CertificateError`] that is broken.
    pub(crate) fn verify_with(
        &self,
        set: &ValidatorSet,
        verify: impl FnMut(&SignedVote) -> bool,
    ) -> Result<(), CertificateError> {
        let precommits_only = self.kind == RoundCertificateKind::Precommit;
        if let Some(odd) = self.signatures.iter().find(|s| precommits_only && s.kind != VoteKind::Precommit) {
            return Err(CertificateError::WrongKind(odd.validator));
        }
        let power = check(self.votes(), set, verify)?;
        match self.kind {
            RoundCertificateKind::Precommit => power.quorum(),
            RoundCertificateKind::Skip => power.more_than_a_third(),
        }
    }
}

/// The part of a vote that all signatures of a certificate share.
#[derive(Copy, Clone)]
struct Scope {
    kind: VoteKind,
    height: Height,
    round: Round,
    block_hash: Option<B256>,
}

impl Scope {
    fn vote(self, signature: &CommitSignature) -> SignedVote {
        SignedVote {
            vote: Vote {
                kind: self.kind,
                height: self.height,
                round: self.round,
                block_hash: self.block_hash,
                validator: signature.validator,
            },
            signature: signature.signature,
        }
    }
}

struct SignedPower {
    signed: u64,
    total: u64,
    quorum: bool,
}

impl SignedPower {
    fn quorum(self) -> Result<(), CertificateError> {
        let Self { signed, total, .. } = self;
        let enough = self.quorum;
        enough.then_some(()).ok_or(CertificateError::NotEnoughPower { signed, total })
    }

    fn more_than_a_third(self) -> Result<(), CertificateError> {
        let Self { signed, total, .. } = self;
        (u128::from(signed) * 3 > u128::from(total))
            .then_some(())
            .ok_or(CertificateError::NotEnoughPower { signed, total })
    }
}

/// Checks order, membership and power first: they need no curve arithmetic, so a hostile certificate is refused before any
/// signature is verified.
fn check(
    votes: impl Iterator<Item = SignedVote>,
    set: &ValidatorSet,
    mut verify: impl FnMut(&SignedVote) -> bool,
) -> Result<SignedPower, CertificateError> {
    let mut last: Option<ValidatorId> = None;
    let mut signed = 0u64;
    let mut checked = Vec::new();
    for vote in votes {
        let id = vote.vote.validator;
        if last.is_some_and(|last| last >= id) {
            return Err(CertificateError::NotSorted(id));
        }
        last = Some(id);
        let validator = set.get(&id).ok_or(CertificateError::UnknownValidator(id))?;
        // The power of distinct members cannot exceed the set's total, which is at most MAX_TOTAL_POWER.
        signed = signed.saturating_add(validator.power);
        checked.push(vote);
    }
    let total = set.total_power();
    if u128::from(signed) * 3 <= u128::from(total) {
        return Err(CertificateError::NotEnoughPower { signed, total }); // below every threshold
    }
    if let Some(bad) = checked.iter().find(|vote| !verify(vote)) {
        return Err(CertificateError::InvalidSignature(bad.vote.validator));
    }
    Ok(SignedPower { signed, total, quorum: set.is_quorum(signed) })
}
