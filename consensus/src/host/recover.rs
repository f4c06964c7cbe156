//! Replay of the write-ahead log after a crash, in the order that the library documents (pitfall 2): start the height, index
//! the entries, feed them, drop the index. Extensions are off, so none are recorded. Entries of the log are not appended
//! again; new entries that the replay derives (such as a vote that the crash cut off) are appended.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, keccak256};
use tracing::{error, info};

use super::actions::step_of;
use super::{Host, Inner};
use crate::engine::{Actions, BareProposal, EngineError, EngineInput, JudgedBlock};
use crate::height::{Height, Round};
use crate::io::{Output, RecoverError};
use crate::proposal::SignedProposal;
use crate::sign_state::{SignPermit, SignRefusal, SignRequest, SignStep};
use crate::validators::ValidatorSet;
use crate::vote::SignedVote;
use crate::wal::WalEntry;

/// Identifies an encoded entry.
pub(super) fn digest(bytes: &[u8]) -> B256 {
    keccak256(bytes)
}

impl Host {
    /// Starts `height` from the entries in its log, instead of [`crate::Input::StartHeight`].
    ///
    /// # Errors
    /// [`RecoverError`] when the log is corrupt, belongs to another height, or its replay diverges from its records. The
    /// process must stop and the operator must decide. Do not reset the log: it may be the only protection of this key
    /// against double signing, although the sign state protects it independently.
    pub fn recover(
        &mut self,
        now_ms: u64,
        height: Height,
        validators: ValidatorSet,
        wal: Vec<Vec<u8>>,
    ) -> Result<Vec<Output>, RecoverError> {
        self.inner.now_ms = self.inner.now_ms.max(now_ms);
        let mut entries = Vec::with_capacity(wal.len());
        for (index, bytes) in wal.iter().enumerate() {
            let entry = WalEntry::decode(bytes).map_err(|reason| RecoverError::Corrupt { index, reason })?;
            if entry.height() != height {
                return Err(RecoverError::WrongHeight { index, found: entry.height(), expected: height });
            }
            entries.push(entry);
        }
        info!(%height, entries = entries.len(), "replaying the write-ahead log");
        self.inner.replaying = Some(wal.iter().map(|bytes| digest(bytes)).collect::<BTreeSet<_>>());
        let result = self.replay(height, validators, entries);
        self.inner.replaying = None;
        if let Some(engine) = &mut self.engine {
            engine.end_replay();
        }
        let own_blocks = result?;
        self.resume_building(height, &own_blocks);
        Ok(std::mem::take(&mut self.inner.out))
    }

    /// Replays the entries. Returns our own blocks in the log, by the round they were built for.
    fn replay(
        &mut self,
        height: Height,
        set: ValidatorSet,
        entries: Vec<WalEntry>,
    ) -> Result<BTreeMap<Round, B256>, RecoverError> {
        let us = self.inner.us();
        self.enter_height(height, set);
        let mut inputs = Vec::with_capacity(entries.len());
        // The replay must derive the messages that this node signed with this log, but not those that peers sent back to it.
        let mut recorded = Vec::new();
        let before = self.inner.sign_state.clone();
        for (index, entry) in entries.into_iter().enumerate() {
            let own = matches!(entry, WalEntry::OwnVote(_) | WalEntry::OwnProposal(_));
            let input = self.inner.load(index, entry)?;
            recorded.extend(input.clone().filter(|_| own));
            self.inner.catch_up_sign_state(index, input.as_ref(), own)?;
            inputs.push(input);
        }
        if self.inner.sign_state != before {
            self.inner.out.push(Output::PersistSignState(self.inner.sign_state.clone()));
        }
        // A peer may claim our round for its block as well. Without a valid body we cannot propose it.
        let own_blocks = inputs.iter().flatten().filter_map(|input| match input {
            EngineInput::Block(b) if b.valid && Some(b.proposer) == us => Some((b.round, b.block_hash)),
            _ => None,
        });
        let own_blocks = own_blocks.collect();
        if let Some(engine) = &mut self.engine {
            engine.begin_replay(&recorded);
        }
        for (index, input) in inputs.into_iter().enumerate() {
            let (Some(input), Some(engine)) = (input, &mut self.engine) else { continue };
            if self.inner.work.as_ref().is_some_and(|work| work.decided) {
                break; // the rest of the log came after the decision
            }
            match engine.feed(input, &mut self.inner) {
                Ok(()) => (),
                Err(EngineError::Diverged(reason)) => return Err(RecoverError::Diverged { index, reason }),
                // The core refuses in the replay the entries that it refused live.
                Err(EngineError::Other(reason)) => error!(index, reason, "the core refused a replayed entry"),
            }
            if let Some(work) = &mut self.inner.work {
                work.valid_block = engine.valid_block();
            }
        }
        Ok(own_blocks)
    }

    /// If we must provide a block for the round in which the replay ended: proposes the one in the log, or requests a new
    /// one.
    fn resume_building(&mut self, height: Height, own_blocks: &BTreeMap<Round, B256>) {
        let us = self.inner.us();
        let Some(work) = self.inner.work.as_mut().filter(|work| !work.decided) else { return };
        let Some(round) = work.building else { return };
        if self.inner.index.proposals(height, round).iter().any(|p| Some(p.proposal.proposer) == us) {
            return; // the proposal was logged and fed, so the core has continued
        }
        match own_blocks.get(&round) {
            Some(block_hash) => {
                work.building = None;
                self.feed(EngineInput::Propose { height, round, block_hash: *block_hash });
            }
            None => self.inner.build_block(height, round),
        }
    }
}

impl Inner {
    /// Verifies an entry, adds it to the caches, and converts it for the core.
    fn load(&mut self, index: usize, entry: WalEntry) -> Result<Option<EngineInput>, RecoverError> {
        match &entry {
            WalEntry::OwnVote(SignedVote { signature, .. })
            | WalEntry::OwnProposal(SignedProposal { signature, .. }) => {
                self.note_signed(*signature);
            }
            _ => (),
        }
        let Some(work) = &mut self.work else { return Ok(None) };
        let unverifiable = RecoverError::Unverifiable { index };
        let chain = self.config.chain;
        let input = match entry {
            WalEntry::Vote(vote) | WalEntry::OwnVote(vote) => {
                if !vote.verify(chain, &work.set) {
                    return Err(unverifiable);
                }
                let _reported_before_the_crash = self.index.insert_vote(&vote, true);
                EngineInput::Vote(vote)
            }
            WalEntry::Proposal(signed) | WalEntry::OwnProposal(signed) => {
                let SignedProposal { proposal, signature } = &signed;
                let turn = work.set.proposer(proposal.height, proposal.round).id;
                if turn != proposal.proposer || !proposal.parts.is_well_formed() || !signed.verify(chain, &work.set) {
                    return Err(unverifiable);
                }
                let bare = BareProposal {
                    height: proposal.height,
                    round: proposal.round,
                    pol_round: proposal.pol_round,
                    block_hash: proposal.block_hash,
                    proposer: proposal.proposer,
                };
                let input = EngineInput::Proposal(bare, *signature);
                self.bodies.open(&proposal.parts, proposal.round, None, self.now_ms, &[]);
                let _reported_before_the_crash = self.index.insert_proposal(&signed);
                input
            }
            WalEntry::Polka(certificate) => {
                if certificate.verify_with(&work.set, |vote| vote.verify(chain, &work.set)).is_err() {
                    return Err(unverifiable);
                }
                EngineInput::Polka(certificate)
            }
            WalEntry::Body { block_hash, body, .. } => {
                let round = work.round;
                let Some((root, _)) = self.bodies.insert(&body, round, self.now_ms, &[]) else {
                    let reason = "the size of a body is not allowed".to_owned();
                    return Err(RecoverError::Corrupt { index, reason });
                };
                work.blocks.entry(block_hash).or_default().valid = Some(root);
                return Ok(None);
            }
            WalEntry::Verdict { height, round, pol_round, proposer, block_hash, valid } => {
                if valid && work.blocks.get(&block_hash).is_none_or(|block| block.valid.is_none()) {
                    let reason = "a block has a valid verdict, but its body was not logged before".to_owned();
                    return Err(RecoverError::Corrupt { index, reason });
                }
                EngineInput::Block(JudgedBlock { height, round, pol_round, proposer, block_hash, valid })
            }
            WalEntry::Timeout { timer, .. } => EngineInput::Timeout(timer),
        };
        Ok(Some(input))
    }

    /// Updates a sign state that is older than the log (a restored backup). The log is written after the sign state, so
    /// normally there is nothing to do.
    fn catch_up_sign_state(
        &mut self,
        index: usize,
        input: Option<&EngineInput>,
        own: bool,
    ) -> Result<(), RecoverError> {
        match input.map_or(Ok(()), |input| self.remember(input)) {
            Ok(()) => Ok(()),
            Err(conflict) if own => {
                let reason = format!("a message of ours in the log contradicts the sign state: {conflict}");
                Err(RecoverError::Diverged { index, reason })
            }
            Err(conflict) => {
                error!(index, %conflict, "ANOTHER PROCESS SIGNS WITH OUR KEY: the log holds one of its messages");
                Ok(())
            }
        }
    }

    /// Records a verified message of ours that did not come from the signer in the sign state.
    fn remember(&mut self, input: &EngineInput) -> Result<(), SignRefusal> {
        let us = self.us();
        let (height, round, step, block_hash, pol_round, bytes, signature) = match input {
            EngineInput::Vote(SignedVote { vote, signature }) if Some(vote.validator) == us => {
                let bytes = vote.sign_bytes(self.config.chain);
                (vote.height, vote.round, step_of(vote.kind), vote.block_hash, None, bytes, *signature)
            }
            EngineInput::Proposal(bare, signature) if Some(bare.proposer) == us => {
                let known = self.index.proposals(bare.height, bare.round).iter();
                let Some(signed) = known.clone().find(|p| p.signature == *signature) else { return Ok(()) };
                let bytes = signed.proposal.sign_bytes(self.config.chain);
                let block_hash = Some(bare.block_hash);
                (bare.height, bare.round, SignStep::Propose, block_hash, bare.pol_round, bytes, *signature)
            }
            _ => return Ok(()),
        };
        let request = SignRequest { height, round, step, block_hash, pol_round, bytes: &bytes };
        match self.sign_state.check(&request) {
            Ok(SignPermit::Again(_)) | Err(SignRefusal::Regression(..)) => Ok(()),
            // The signature exists. The lock was checked when it was made, with the proposal at hand.
            Ok(SignPermit::Fresh) | Err(SignRefusal::Locked { .. }) => {
                self.sign_state.record(&request, signature);
                Ok(())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Handles a verified message of ours received from a peer. Normally the sign state knows it. After an old disk was
    /// restored it is unknown, and signing another message for that step would be a double signature.
    pub(super) fn learn_own(&mut self, input: &EngineInput) {
        let before = self.sign_state.clone();
        if let Err(conflict) = self.remember(input) {
            error!(%conflict, "ANOTHER PROCESS SIGNS WITH OUR KEY");
        }
        if self.sign_state != before {
            self.out.push(Output::PersistSignState(self.sign_state.clone()));
        }
    }
}
