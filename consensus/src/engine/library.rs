//! Implements the library's traits for our own types.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::B256;
use arc_malachitebft_core_types as core;
use arc_malachitebft_core_types::{Context, NilOrVal, VoteType};

use super::from_round;
use crate::height::Height;
use crate::keys::{ConsensusKey, SIGNATURE_BYTES, ValidatorId};
use crate::validators::ValidatorSet;

#[derive(Clone, Debug)]
pub(super) struct Core;

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CoreHeight(pub(super) u64);

impl fmt::Display for CoreHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Height for CoreHeight {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) ValidatorId);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Address for Id {}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CoreValue(pub(super) B256);

impl core::Value for CoreValue {
    type Id = B256;

    fn id(&self) -> B256 {
        self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreVote {
    pub(super) kind: VoteType,
    pub(super) height: CoreHeight,
    pub(super) round: core::Round,
    pub(super) value: NilOrVal<B256>,
    pub(super) validator: Id,
}

impl core::Vote<Core> for CoreVote {
    fn height(&self) -> CoreHeight {
        self.height
    }

    fn round(&self) -> core::Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<B256> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<B256> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Id {
        &self.validator
    }

    // Vote extensions are off (pitfalls 7 and 12).
    fn extension(&self) -> Option<&core::SignedExtension<Core>> {
        None
    }

    fn take_extension(&mut self) -> Option<core::SignedExtension<Core>> {
        None
    }

    fn extend(self, _extension: core::SignedExtension<Core>) -> Self {
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreProposal {
    pub(super) height: CoreHeight,
    pub(super) round: core::Round,
    pub(super) value: CoreValue,
    pub(super) pol_round: core::Round,
    pub(super) proposer: Id,
}

impl core::Proposal<Core> for CoreProposal {
    fn height(&self) -> CoreHeight {
        self.height
    }

    fn round(&self) -> core::Round {
        self.round
    }

    fn value(&self) -> &CoreValue {
        &self.value
    }

    fn take_value(self) -> CoreValue {
        self.value
    }

    fn pol_round(&self) -> core::Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Id {
        &self.proposer
    }
}

/// Empty: the parts of a body do not pass through the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoPart;

impl core::ProposalPart<Core> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreValidator {
    pub(super) id: Id,
    pub(super) key: ConsensusKey,
    pub(super) power: u64,
}

impl core::Validator<Core> for CoreValidator {
    fn address(&self) -> &Id {
        &self.id
    }

    fn public_key(&self) -> &ConsensusKey {
        &self.key
    }

    fn voting_power(&self) -> u64 {
        self.power
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreSet {
    pub(super) set: ValidatorSet,
    pub(super) members: Arc<[CoreValidator]>,
}

impl CoreSet {
    pub(super) fn new(set: &ValidatorSet) -> Self {
        let members = set.iter().map(|v| CoreValidator { id: Id(v.id), key: v.key, power: v.power }).collect();
        Self { set: set.clone(), members }
    }
}

impl core::ValidatorSet<Core> for CoreSet {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.set.total_power()
    }

    fn get_by_address(&self, address: &Id) -> Option<&CoreValidator> {
        self.set.index_of(&address.0).and_then(|at| self.members.get(at))
    }

    fn get_by_index(&self, index: usize) -> Option<&CoreValidator> {
        self.members.get(index)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ed25519;

impl core::SigningScheme for Ed25519 {
    type DecodingError = std::array::TryFromSliceError;
    type Signature = [u8; SIGNATURE_BYTES];
    type PublicKey = ConsensusKey;
    type PrivateKey = (); // the signer never enters the core

    fn decode_signature(bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], Self::DecodingError> {
        bytes.try_into()
    }

    fn encode_signature(signature: &[u8; SIGNATURE_BYTES]) -> Vec<u8> {
        signature.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<ConsensusKey, Self::DecodingError> {
        bytes.try_into().map(ConsensusKey)
    }

    fn encode_public_key(key: &ConsensusKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

impl Context for Core {
    type Address = Id;
    type Height = CoreHeight;
    type ProposalPart = NoPart;
    type Proposal = CoreProposal;
    type Validator = CoreValidator;
    type ValidatorSet = CoreSet;
    type Timeouts = core::LinearTimeouts; // never read: the host has its own timeouts
    type Value = CoreValue;
    type Vote = CoreVote;
    type Extension = ();
    type SigningScheme = Ed25519;

    /// Pitfall 9: our own pure function of set, height and round.
    fn select_proposer<'a>(&self, set: &'a CoreSet, height: CoreHeight, round: core::Round) -> &'a CoreValidator {
        let at = set.set.proposer_index(Height(height.0), from_round(round));
        &set.members[at] // members are in the order of the set
    }

    fn new_proposal(
        &self,
        height: CoreHeight,
        round: core::Round,
        value: CoreValue,
        pol_round: core::Round,
        proposer: Id,
    ) -> CoreProposal {
        CoreProposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(&self, height: CoreHeight, round: core::Round, value: NilOrVal<B256>, validator: Id) -> CoreVote {
        CoreVote { kind: VoteType::Prevote, height, round, value, validator }
    }

    fn new_precommit(&self, height: CoreHeight, round: core::Round, value: NilOrVal<B256>, validator: Id) -> CoreVote {
        CoreVote { kind: VoteType::Precommit, height, round, value, validator }
    }
}
