//! The Tendermint algorithm: `arc-malachitebft-core-consensus` behind our own types. No other module names the library, so
//! it can be replaced or forked here.
//!
//! The library is a coroutine: it takes one input and yields effects, and each effect is answered at once. [`Actions`] lists
//! the host's answers. They cannot fail, because the library turns a failed effect into "continue" (pitfall 1). A failed
//! write must halt the process; that happens in the caller, which performs the host's outputs.
//!
//! Choices made here, with the pitfall (table in `lib.rs`) that each avoids:
//! - `is_restart` is always false (3) and no target time is set, so the library's clock never matters (4).
//! - Mode `ProposalAndParts`; in `ProposalOnly` the library treats every block as valid (16).
//! - Vote extensions are off (7, 12), so the replay step for them does nothing (2).
//! - Only inputs of the current height that the host has verified enter. The library's own buffer for future heights, which
//!   is filled before verification, stays empty (5).
//! - `decide()` verifies each precommit again and panics on failure (10). The host answers from the signatures that it
//!   verified at ingress by the same rule. Verification is a pure function, so the answer cannot change.
//! - The library forgets its evidence after each height (6): the host keeps its own index and ignores the library's.

mod library;

use std::fmt;

use alloy_primitives::B256;
use arc_malachitebft_core_consensus::{
    Effect, Error, Input as CoreInput, LivenessMsg, LocallyProposedValue, Params, ProposedValue, Resumable, Resume,
    SignedConsensusMsg, State, ValuePayload, process,
};
use arc_malachitebft_core_types as core;
use arc_malachitebft_core_types::{NilOrVal, TimeoutKind, ValueOrigin, VoteExtensionPolicy, VoteType};
use borsh::{BorshDeserialize, BorshSerialize};

use library::{Core, CoreHeight, CoreProposal, CoreSet, CoreValue, CoreVote, Id};

use crate::certificate::{
    CommitCertificate, CommitSignature, PolkaCertificate, RoundCertificate, RoundCertificateKind, RoundSignature,
};
use crate::height::{Height, Round};
use crate::io::HostStep;
use crate::keys::{SIGNATURE_BYTES, ValidatorId};
use crate::validators::ValidatorSet;
use crate::vote::{SignedVote, Vote, VoteKind};

/// The core drops votes and proposals that are more than this many rounds ahead of the current one; the host drops them
/// before it verifies them. Round certificates are not bounded: they prove that honest validators are in that round.
pub(crate) const ROUND_LOOKAHEAD: u32 = arc_malachitebft_core_consensus::MAX_FUTURE_ROUND_LOOKAHEAD;

/// Means "the signer refused". It never verifies (its point R has small order), so the core drops the message that it is
/// working on, and this module never publishes it.
const UNSIGNED: [u8; SIGNATURE_BYTES] = [0; SIGNATURE_BYTES];

/// The purpose of a timer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) enum TimerKind {
    Propose,
    Prevote,
    Precommit,
    Rebroadcast,
}

/// A timer of a round.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct Timer {
    pub(crate) round: Round,
    pub(crate) kind: TimerKind,
}

/// A signed proposal as the core sees it: without the part list, which only matters for dissemination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BareProposal {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) pol_round: Option<Round>,
    pub(crate) block_hash: B256,
    pub(crate) proposer: ValidatorId,
}

/// The caller's verdict on a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JudgedBlock {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) pol_round: Option<Round>,
    pub(crate) proposer: ValidatorId,
    pub(crate) block_hash: B256,
    pub(crate) valid: bool,
}

/// An input of the core, and also an entry that the core wants logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineInput {
    Vote(SignedVote),
    Proposal(BareProposal, [u8; SIGNATURE_BYTES]),
    Polka(PolkaCertificate),
    RoundCertificate(RoundCertificate),
    /// Our own block for a round in which we propose.
    Propose {
        height: Height,
        round: Round,
        block_hash: B256,
    },
    Block(JudgedBlock),
    Timeout(Timer),
}

/// The actions that the core asks of the host. Calls come in the order in which they must take effect.
pub(crate) trait Actions {
    fn start_round(&mut self, height: Height, round: Round, proposer: ValidatorId);
    fn schedule(&mut self, timer: Timer);
    fn cancel(&mut self, timer: Timer);
    fn cancel_all(&mut self);
    /// `None` when the signer or the sign state refuses. The returned vote may be for nil instead of the block.
    fn sign_vote(&mut self, vote: &Vote) -> Option<SignedVote>;
    /// `None` when the signer or the sign state refuses, or the block's parts are not known.
    fn sign_proposal(&mut self, proposal: &BareProposal) -> Option<[u8; SIGNATURE_BYTES]>;
    fn verify_vote(&mut self, vote: &SignedVote) -> bool;
    fn verify_proposal(&mut self, proposal: &BareProposal, signature: &[u8; SIGNATURE_BYTES]) -> bool;
    fn verify_polka(&mut self, certificate: &PolkaCertificate) -> bool;
    fn verify_round_certificate(&mut self, certificate: &RoundCertificate) -> bool;
    fn verify_commit(&mut self, certificate: &CommitCertificate) -> bool;
    fn log(&mut self, input: EngineInput);
    fn publish_vote(&mut self, vote: SignedVote);
    /// Publishes a proposal and its parts.
    fn publish_proposal(&mut self, proposal: &BareProposal, signature: &[u8; SIGNATURE_BYTES]);
    fn publish_polka(&mut self, certificate: PolkaCertificate);
    fn publish_round_certificate(&mut self, certificate: RoundCertificate);
    fn build_block(&mut self, height: Height, round: Round);
    fn decide(&mut self, certificate: CommitCertificate);
}

/// Why the core could not process an input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The replay derived a message of ours that differs from the recorded one.
    #[error("{0}")]
    Diverged(String),
    /// Anything else. The core's state stays consistent; outputs of this one input may be missing.
    #[error("{0}")]
    Other(String),
}

/// The core, used for one height after another.
pub(crate) struct Engine {
    state: State<Core>,
}

impl Engine {
    /// An engine for `validator` (`None`: never signs). It does nothing before [`Engine::start_height`].
    pub(crate) fn new(validator: Option<ValidatorId>, height: Height, validators: &ValidatorSet) -> Self {
        let params = Params {
            address: Id(validator.unwrap_or_default()),
            threshold_params: core::ThresholdParams::default(), // strictly more than 2/3 and 1/3
            value_payload: ValuePayload::ProposalAndParts,
            enabled: validator.is_some(),
        };
        // The queue is for inputs of future heights, which never enter the core (pitfall 5).
        let state = State::new(Core, CoreHeight(height.0), CoreSet::new(validators), params, 1, 1);
        Self { state }
    }

    /// Drops all state of the previous height and enters round 0 of `height`.
    pub(crate) fn start_height(
        &mut self,
        height: Height,
        validators: &ValidatorSet,
        actions: &mut impl Actions,
    ) -> Result<(), EngineError> {
        let is_restart = false; // pitfall 3
        let target_time = None; // pitfall 4
        let set = CoreSet::new(validators);
        let policy = VoteExtensionPolicy::Disabled;
        self.process(CoreInput::StartHeight(CoreHeight(height.0), set, is_restart, target_time, policy), actions)
    }

    /// Feeds one input of the current height.
    pub(crate) fn feed(&mut self, input: EngineInput, actions: &mut impl Actions) -> Result<(), EngineError> {
        self.process(to_core(input), actions)
    }

    /// Marks the start of a replay of `entries`: messages that the core derives are compared with the recorded ones.
    pub(crate) fn begin_replay(&mut self, entries: &[EngineInput]) {
        let entries: Vec<_> = entries.iter().cloned().map(to_core).collect();
        self.state.index_wal_entries(&entries);
    }

    /// Marks the end of a replay.
    pub(crate) fn end_replay(&mut self) {
        self.state.reset_entries_index();
    }

    /// The current step.
    pub(crate) fn step(&self) -> HostStep {
        let driver = &self.state.driver;
        if driver.step_is_commit() {
            HostStep::Decided
        } else if driver.step_is_precommit() {
            HostStep::Precommit
        } else if driver.step_is_prevote() {
            HostStep::Prevote
        } else {
            HostStep::Propose
        }
    }

    /// The block of the newest polka for which we have the body: we would propose it again.
    pub(crate) fn valid_block(&self) -> Option<B256> {
        self.state.driver.valid_value().map(|valid| valid.value.0)
    }

    fn process(&mut self, input: CoreInput<Core>, actions: &mut impl Actions) -> Result<(), EngineError> {
        let result: Result<(), Error<Core>> = process!(
            input: input,
            state: &mut self.state,
            metrics: &(),
            with: effect => Ok::<_, fmt::Error>(answer(effect, actions))
        );
        result.map_err(|error| match error {
            Error::ReplayDivergence(..) | Error::WalCorrupted(_) => EngineError::Diverged(error.to_string()),
            other => EngineError::Other(other.to_string()),
        })
    }
}

/// Answers one effect of the core.
fn answer(effect: Effect<Core>, actions: &mut impl Actions) -> Resume<Core> {
    match effect {
        Effect::CancelAllTimeouts(r) => {
            actions.cancel_all();
            r.resume_with(())
        }
        Effect::CancelTimeout(timeout, r) => {
            if let Some(timer) = from_timeout(timeout) {
                actions.cancel(timer);
            }
            r.resume_with(())
        }
        Effect::ScheduleTimeout(timeout, r) => {
            if let Some(timer) = from_timeout(timeout) {
                actions.schedule(timer);
            }
            r.resume_with(())
        }
        Effect::StartRound(height, round, proposer, _role, r) => {
            actions.start_round(Height(height.0), from_round(round), proposer.0);
            r.resume_with(())
        }
        Effect::PublishConsensusMsg(message, r) => {
            match message {
                SignedConsensusMsg::Vote(vote) => publish_vote(vote, actions),
                SignedConsensusMsg::Proposal(proposal) if proposal.signature != UNSIGNED => {
                    let signature = proposal.signature;
                    actions.publish_proposal(&from_proposal(proposal.message), &signature);
                }
                SignedConsensusMsg::Proposal(_) => (),
            }
            r.resume_with(())
        }
        Effect::PublishLivenessMsg(message, r) => {
            match message {
                LivenessMsg::Vote(vote) => publish_vote(vote, actions),
                LivenessMsg::PolkaCertificate(polka) => actions.publish_polka(from_polka(polka)),
                LivenessMsg::SkipRoundCertificate(certificate) => {
                    actions.publish_round_certificate(from_round_certificate(certificate));
                }
            }
            r.resume_with(())
        }
        Effect::RepublishVote(vote, r) => {
            publish_vote(vote, actions);
            r.resume_with(())
        }
        Effect::RepublishRoundCertificate(certificate, r) => {
            actions.publish_round_certificate(from_round_certificate(certificate));
            r.resume_with(())
        }
        Effect::GetValue(height, round, _timeout, r) => {
            actions.build_block(Height(height.0), from_round(round));
            r.resume_with(())
        }
        // The core always publishes the proposal right after this effect, and the host publishes the original parts with
        // every proposal (pitfall 11).
        Effect::RestreamProposal(_, _, _, _, _, r) => r.resume_with(()),
        Effect::Decide(certificate, _extensions, r) => {
            actions.decide(from_commit(certificate));
            r.resume_with(())
        }
        // Comes right after Decide, because no target time is set. Its evidence is a subset of our own index (pitfall 6).
        Effect::Finalize(_, _, _, r) => r.resume_with(()),
        Effect::SignVote(vote, r) => {
            let signed = actions.sign_vote(&from_vote(vote.clone()));
            r.resume_with(signed.map_or_else(|| core::SignedMessage::new(vote, UNSIGNED), to_signed_vote))
        }
        Effect::SignProposal(proposal, r) => {
            let signature = actions.sign_proposal(&from_proposal(proposal.clone())).unwrap_or(UNSIGNED);
            r.resume_with(core::SignedMessage::new(proposal, signature))
        }
        Effect::VerifySignature(message, _key, r) => {
            let signature = message.signature;
            let valid = signature != UNSIGNED
                && match message.message {
                    arc_malachitebft_core_consensus::ConsensusMsg::Vote(vote) => {
                        actions.verify_vote(&SignedVote { vote: from_vote(vote), signature })
                    }
                    arc_malachitebft_core_consensus::ConsensusMsg::Proposal(proposal) => {
                        actions.verify_proposal(&from_proposal(proposal), &signature)
                    }
                };
            r.resume_with(valid)
        }
        Effect::VerifyCommitCertificate(certificate, _, _, r) => {
            let valid = actions.verify_commit(&from_commit(certificate));
            r.resume_with(certificate_validity(valid))
        }
        Effect::VerifyPolkaCertificate(certificate, _, _, r) => {
            let valid = actions.verify_polka(&from_polka(certificate));
            r.resume_with(certificate_validity(valid))
        }
        Effect::VerifyRoundCertificate(certificate, _, _, r) => {
            let valid = actions.verify_round_certificate(&from_round_certificate(certificate));
            r.resume_with(certificate_validity(valid))
        }
        Effect::WalAppend(_height, input, r) => {
            if let Some(input) = from_core(input) {
                actions.log(input);
            }
            r.resume_with(())
        }
        // The library's sync path is never entered (the host decides certified blocks itself), and extensions are off. If
        // either changes, a refusal cannot decide anything wrongly.
        Effect::CertVerifiedSyncValue(_, _, r) => r.resume_with(()),
        Effect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
        Effect::VerifyExtendedCommitCertificate(_, _, _, _, r) => r.resume_with(certificate_validity(false)),
        Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
        Effect::VerifyVoteExtension(_, _, _, _, _, _, r) => {
            r.resume_with(Err(arc_malachitebft_core_consensus::VoteExtensionError::InvalidVoteExtension))
        }
    }
}

fn publish_vote(vote: core::SignedVote<Core>, actions: &mut impl Actions) {
    if vote.signature != UNSIGNED {
        actions.publish_vote(from_signed_vote(vote));
    }
}

fn certificate_validity(valid: bool) -> Result<(), core::CertificateError<Core>> {
    if valid { Ok(()) } else { Err(core::CertificateError::VerificationError(None)) }
}

// ---------------------------------------------------------------------------------------------------------------------
// Conversions between our types and the core's.

fn to_round(round: Round) -> core::Round {
    core::Round::new(round.0)
}

fn to_pol_round(round: Option<Round>) -> core::Round {
    round.map_or(core::Round::Nil, to_round)
}

/// The core passes only defined rounds where this is used; nil is converted to round 0.
fn from_round(round: core::Round) -> Round {
    Round(round.as_u32().unwrap_or(0))
}

fn to_kind(kind: VoteKind) -> VoteType {
    match kind {
        VoteKind::Prevote => VoteType::Prevote,
        VoteKind::Precommit => VoteType::Precommit,
    }
}

fn from_kind(kind: VoteType) -> VoteKind {
    match kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    }
}

fn to_value(block_hash: Option<B256>) -> NilOrVal<B256> {
    block_hash.map_or(NilOrVal::Nil, NilOrVal::Val)
}

fn from_value(value: NilOrVal<B256>) -> Option<B256> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(block_hash) => Some(block_hash),
    }
}

fn from_vote(vote: CoreVote) -> Vote {
    Vote {
        kind: from_kind(vote.kind),
        height: Height(vote.height.0),
        round: from_round(vote.round),
        block_hash: from_value(vote.value),
        validator: vote.validator.0,
    }
}

fn to_signed_vote(vote: SignedVote) -> core::SignedVote<Core> {
    let SignedVote { vote, signature } = vote;
    let vote = CoreVote {
        kind: to_kind(vote.kind),
        height: CoreHeight(vote.height.0),
        round: to_round(vote.round),
        value: to_value(vote.block_hash),
        validator: Id(vote.validator),
    };
    core::SignedMessage::new(vote, signature)
}

fn from_signed_vote(vote: core::SignedVote<Core>) -> SignedVote {
    SignedVote { vote: from_vote(vote.message), signature: vote.signature }
}

fn from_proposal(proposal: CoreProposal) -> BareProposal {
    BareProposal {
        height: Height(proposal.height.0),
        round: from_round(proposal.round),
        pol_round: proposal.pol_round.as_u32().map(Round),
        block_hash: proposal.value.0,
        proposer: proposal.proposer.0,
    }
}

fn to_proposal(proposal: BareProposal) -> CoreProposal {
    CoreProposal {
        height: CoreHeight(proposal.height.0),
        round: to_round(proposal.round),
        value: CoreValue(proposal.block_hash),
        pol_round: to_pol_round(proposal.pol_round),
        proposer: Id(proposal.proposer),
    }
}

fn to_timeout(timer: Timer) -> core::Timeout {
    let kind = match timer.kind {
        TimerKind::Propose => TimeoutKind::Propose,
        TimerKind::Prevote => TimeoutKind::Prevote,
        TimerKind::Precommit => TimeoutKind::Precommit,
        TimerKind::Rebroadcast => TimeoutKind::Rebroadcast,
    };
    core::Timeout::new(to_round(timer.round), kind)
}

/// `None` for the timer that only a target time would start (pitfall 4).
fn from_timeout(timeout: core::Timeout) -> Option<Timer> {
    let kind = match timeout.kind {
        TimeoutKind::Propose => TimerKind::Propose,
        TimeoutKind::Prevote => TimerKind::Prevote,
        TimeoutKind::Precommit => TimerKind::Precommit,
        TimeoutKind::Rebroadcast => TimerKind::Rebroadcast,
        TimeoutKind::FinalizeHeight(_) => return None,
    };
    Some(Timer { round: from_round(timeout.round), kind })
}

fn from_commit(certificate: core::CommitCertificate<Core>) -> CommitCertificate {
    let signatures = certificate.commit_signatures.into_iter();
    let mut signatures: Vec<_> =
        signatures.map(|s| CommitSignature { validator: s.address.0, signature: s.signature }).collect();
    signatures.sort();
    CommitCertificate {
        height: Height(certificate.height.0),
        round: from_round(certificate.round),
        block_hash: certificate.value_id,
        signatures,
    }
}

fn from_polka(polka: core::PolkaCertificate<Core>) -> PolkaCertificate {
    let signatures = polka.polka_signatures.into_iter();
    let mut signatures: Vec<_> =
        signatures.map(|s| CommitSignature { validator: s.address.0, signature: s.signature }).collect();
    signatures.sort();
    PolkaCertificate {
        height: Height(polka.height.0),
        round: from_round(polka.round),
        block_hash: polka.value_id,
        signatures,
    }
}

fn to_polka(polka: PolkaCertificate) -> core::PolkaCertificate<Core> {
    let signatures = polka.signatures.into_iter();
    core::PolkaCertificate {
        height: CoreHeight(polka.height.0),
        round: to_round(polka.round),
        value_id: polka.block_hash,
        polka_signatures: signatures.map(|s| core::PolkaSignature::new(Id(s.validator), s.signature)).collect(),
    }
}

fn from_round_certificate(certificate: core::RoundCertificate<Core>) -> RoundCertificate {
    let signatures = certificate.round_signatures.into_iter();
    let mut signatures: Vec<_> = signatures
        .map(|s| RoundSignature {
            kind: from_kind(s.vote_type),
            block_hash: from_value(s.value_id),
            validator: s.address.0,
            signature: s.signature,
        })
        .collect();
    signatures.sort_by_key(|s| s.validator);
    let kind = match certificate.cert_type {
        core::RoundCertificateType::Skip => RoundCertificateKind::Skip,
        core::RoundCertificateType::Precommit => RoundCertificateKind::Precommit,
    };
    RoundCertificate { height: Height(certificate.height.0), round: from_round(certificate.round), kind, signatures }
}

fn to_round_certificate(certificate: RoundCertificate) -> core::RoundCertificate<Core> {
    let cert_type = match certificate.kind {
        RoundCertificateKind::Skip => core::RoundCertificateType::Skip,
        RoundCertificateKind::Precommit => core::RoundCertificateType::Precommit,
    };
    let signatures = certificate.signatures.into_iter();
    core::RoundCertificate {
        height: CoreHeight(certificate.height.0),
        round: to_round(certificate.round),
        cert_type,
        round_signatures: signatures
            .map(|s| core::RoundSignature::new(to_kind(s.kind), to_value(s.block_hash), Id(s.validator), s.signature))
            .collect(),
    }
}

fn to_core(input: EngineInput) -> CoreInput<Core> {
    match input {
        EngineInput::Vote(vote) => CoreInput::Vote(to_signed_vote(vote)),
        EngineInput::Proposal(proposal, signature) => {
            CoreInput::Proposal(core::SignedMessage::new(to_proposal(proposal), signature))
        }
        EngineInput::Polka(polka) => CoreInput::PolkaCertificate(to_polka(polka)),
        EngineInput::RoundCertificate(certificate) => CoreInput::RoundCertificate(to_round_certificate(certificate)),
        EngineInput::Propose { height, round, block_hash } => {
            let (height, round) = (CoreHeight(height.0), to_round(round));
            CoreInput::Propose(LocallyProposedValue::new(height, round, CoreValue(block_hash)))
        }
        EngineInput::Block(block) => CoreInput::ProposedValue(
            ProposedValue {
                height: CoreHeight(block.height.0),
                round: to_round(block.round),
                valid_round: to_pol_round(block.pol_round),
                proposer: Id(block.proposer),
                value: CoreValue(block.block_hash),
                validity: core::Validity::from_bool(block.valid),
            },
            ValueOrigin::Consensus,
        ),
        EngineInput::Timeout(timer) => CoreInput::TimeoutElapsed(to_timeout(timer)),
    }
}

/// `None` for inputs the library documents as never logged.
fn from_core(input: CoreInput<Core>) -> Option<EngineInput> {
    match input {
        CoreInput::Vote(vote) => Some(EngineInput::Vote(from_signed_vote(vote))),
        CoreInput::Proposal(proposal) => {
            let signature = proposal.signature;
            Some(EngineInput::Proposal(from_proposal(proposal.message), signature))
        }
        CoreInput::PolkaCertificate(polka) => Some(EngineInput::Polka(from_polka(polka))),
        CoreInput::ProposedValue(value, _origin) => Some(EngineInput::Block(JudgedBlock {
            height: Height(value.height.0),
            round: from_round(value.round),
            pol_round: value.valid_round.as_u32().map(Round),
            proposer: value.proposer.0,
            block_hash: value.value.0,
            valid: value.validity.is_valid(),
        })),
        CoreInput::TimeoutElapsed(timeout) => from_timeout(timeout).map(EngineInput::Timeout),
        CoreInput::StartHeight(..)
        | CoreInput::RoundCertificate(_)
        | CoreInput::Propose(_)
        | CoreInput::SyncValueResponse(_) => None,
    }
}
