//! The core's requests to the host. The order of outputs is part of the contract: sign state, log, network.

use std::collections::BTreeMap;

use tracing::{error, info, warn};

use super::Inner;
use crate::certificate::{CommitCertificate, PolkaCertificate, RoundCertificate};
use crate::engine::{Actions, BareProposal, EngineInput, Timer, TimerKind};
use crate::height::{Height, Round};
use crate::io::Output;
use crate::keys::{SIGNATURE_BYTES, ValidatorId};
use crate::message::ConsensusMessage;
use crate::proposal::{Proposal, SignedProposal};
use crate::sign_state::{SignPermit, SignRefusal, SignRequest, SignStep};
use crate::vote::{SignedVote, Vote, VoteKind};
use crate::wal::WalEntry;

impl Inner {
    /// Signs if the sign state permits it. A fresh signature is persisted before any message that carries it.
    fn sign(&mut self, request: SignRequest<'_>) -> Result<[u8; SIGNATURE_BYTES], SignRefusal> {
        if self.work.as_ref().is_some_and(|work| work.certified.is_some()) {
            // More than two thirds have decided this height: another signature could only harm its signer.
            return Err(SignRefusal::Decided(request.height));
        }
        match self.sign_state.check(&request)? {
            SignPermit::Again(signature) => Ok(signature),
            SignPermit::Fresh => {
                let Some(signer) = &self.signer else { return Err(SignRefusal::NoSigner) };
                let signature = signer.sign_on_polka(request.bytes, request.pol_round)?;
                self.sign_state.record(&request, signature);
                self.out.push(Output::PersistSignState(self.sign_state.clone()));
                Ok(signature)
            }
        }
    }

    /// As [`Inner::sign`], for messages that the core derived: records either the signature as made with this log, or the
    /// refusal.
    fn sign_derived(&mut self, request: SignRequest<'_>) -> Result<[u8; SIGNATURE_BYTES], SignRefusal> {
        let (height, round, step) = (request.height, request.round, request.step);
        let result = self.sign(request);
        match &result {
            Ok(signature) => self.note_signed(*signature),
            Err(refusal) => {
                warn!(%height, %round, ?step, %refusal, "not signing");
                if let Some(work) = &mut self.work {
                    work.last_refusal = Some((step, refusal.to_string()));
                }
            }
        }
        result
    }

    /// Signs a vote for nil instead of one that would break a lock which the core lost with its log. Nil is always safe, and
    /// without a vote the others might wait forever for a quorum. The core did not derive this vote, so it is not recorded
    /// as made with this log: a replay treats it like a vote received from a peer.
    fn sign_nil_instead(&mut self, vote: &Vote) -> Option<SignedVote> {
        let vote = Vote { block_hash: None, ..vote.clone() };
        let bytes = vote.sign_bytes(self.config.chain);
        let (height, round, step) = (vote.height, vote.round, step_of(vote.kind));
        let request = SignRequest { height, round, step, block_hash: None, pol_round: None, bytes: &bytes };
        let signature = self.sign(request).ok()?;
        let signed = SignedVote { vote, signature };
        let _evidence = self.index.insert_vote(&signed, true);
        Some(signed)
    }

    /// The sign state's view of a vote.
    fn vote_request<'a>(&self, vote: &Vote, bytes: &'a [u8]) -> SignRequest<'a> {
        let proposals = self.index.proposals(vote.height, vote.round).iter();
        let voted = proposals.filter(|p| Some(p.proposal.block_hash) == vote.block_hash);
        let pol_round = voted.filter_map(|p| p.proposal.pol_round).max();
        let (height, round, step, block_hash) = (vote.height, vote.round, step_of(vote.kind), vote.block_hash);
        SignRequest { height, round, step, block_hash, pol_round, bytes }
    }

    /// Remembers a vote that the core requested while the signer was unavailable. The core believes that it was given and
    /// does not ask again. If the others are too few, they cannot leave the round without it.
    fn add_pending_vote(&mut self, vote: &Vote) {
        let Some(work) = &mut self.work else { return };
        work.pending.retain(|pending| pending.round == vote.round && pending.kind != vote.kind);
        work.pending.push(vote.clone());
    }

    /// Signs the pending votes of this round if the signer is available again. As in [`Inner::sign_nil_instead`], they are
    /// not recorded as made with this log: the core cannot repeat them, so the host does.
    pub(super) fn sign_pending_votes(&mut self) {
        let Some(work) = &mut self.work else { return };
        let round = work.round;
        for vote in std::mem::take(&mut work.pending).into_iter().filter(|vote| vote.round == round) {
            let bytes = vote.sign_bytes(self.config.chain);
            let request = self.vote_request(&vote, &bytes);
            match self.sign(request) {
                Ok(_) => {
                    info!(height = %vote.height, %round, kind = ?vote.kind, "signed late: the signer is available again")
                }
                Err(SignRefusal::Signer(_)) => self.add_pending_vote(&vote),
                Err(refusal) => warn!(height = %vote.height, %round, kind = ?vote.kind, %refusal, "not signing"),
            }
        }
    }

    fn sign_own_proposal(&mut self, bare: &BareProposal) -> Option<[u8; SIGNATURE_BYTES]> {
        let root = self.work.as_ref()?.blocks.get(&bare.block_hash)?.valid?;
        let parts = self.bodies.list(&root)?.clone();
        let proposal = Proposal {
            height: bare.height,
            round: bare.round,
            pol_round: bare.pol_round,
            block_hash: bare.block_hash,
            parts,
            proposer: bare.proposer,
        };
        let result = self.sign_derived(SignRequest {
            height: bare.height,
            round: bare.round,
            step: SignStep::Propose,
            block_hash: Some(bare.block_hash),
            pol_round: bare.pol_round,
            bytes: &proposal.sign_bytes(self.config.chain),
        });
        let signature = result.ok()?;
        let _evidence = self.index.insert_proposal(&SignedProposal { proposal, signature });
        Some(signature)
    }

    pub(super) fn note_signed(&mut self, signature: [u8; SIGNATURE_BYTES]) {
        if let Some(work) = &mut self.work {
            work.signed.insert(signature);
        }
    }

    fn signed_here(&self, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.work.as_ref().is_some_and(|work| work.signed.contains(signature))
    }

    /// Whether a vote of the current height verifies; answered from the index if it was verified before (pitfall 10).
    pub(super) fn verifies(&self, vote: &SignedVote) -> bool {
        let Some(work) = &self.work else { return false };
        self.index.is_verified(vote) || vote.verify(self.config.chain, &work.set)
    }

    fn signed_proposal(&self, bare: &BareProposal, signature: &[u8; SIGNATURE_BYTES]) -> Option<&SignedProposal> {
        let known = self.index.proposals(bare.height, bare.round).iter();
        known.clone().find(|p| p.signature == *signature && is_same(&p.proposal, bare))
    }
}

pub(super) fn step_of(kind: VoteKind) -> SignStep {
    match kind {
        VoteKind::Prevote => SignStep::Prevote,
        VoteKind::Precommit => SignStep::Precommit,
    }
}

/// Whether the core's bare proposal was made from this full one.
fn is_same(full: &Proposal, bare: &BareProposal) -> bool {
    (full.height, full.round, full.pol_round, full.block_hash, full.proposer)
        == (bare.height, bare.round, bare.pol_round, bare.block_hash, bare.proposer)
}

impl Actions for Inner {
    fn start_round(&mut self, _height: Height, round: Round, proposer: ValidatorId) {
        if let Some(work) = &mut self.work {
            work.round = round;
            work.proposer = Some(proposer);
            work.building = None;
        }
    }

    fn schedule(&mut self, timer: Timer) {
        let at = self.now_ms.saturating_add(self.timeout_ms(timer));
        if let Some(work) = self.work.as_mut().filter(|work| !work.decided) {
            work.timers.insert(timer, at);
        }
    }

    fn cancel(&mut self, timer: Timer) {
        if let Some(work) = &mut self.work {
            work.timers.remove(&timer);
        }
    }

    fn cancel_all(&mut self) {
        if let Some(work) = &mut self.work {
            work.timers = BTreeMap::new();
        }
    }

    fn sign_vote(&mut self, vote: &Vote) -> Option<SignedVote> {
        let bytes = vote.sign_bytes(self.config.chain);
        let request = self.vote_request(vote, &bytes);
        let signature = match self.sign_derived(request) {
            Ok(signature) => signature,
            Err(SignRefusal::Locked { .. }) => return self.sign_nil_instead(vote),
            Err(SignRefusal::Signer(_)) => {
                self.add_pending_vote(vote);
                return None;
            }
            Err(_) => return None,
        };
        let signed = SignedVote { vote: vote.clone(), signature };
        // The sign state makes evidence against ourselves impossible; a second process with this key would be noticed at
        // ingress.
        let _evidence = self.index.insert_vote(&signed, true);
        Some(signed)
    }

    fn sign_proposal(&mut self, bare: &BareProposal) -> Option<[u8; SIGNATURE_BYTES]> {
        let signature = self.sign_own_proposal(bare);
        if signature.is_none() {
            // The core cancelled this timer when it received our block. The proposal it expects will not come, so the timer
            // is needed.
            self.schedule(Timer { round: bare.round, kind: TimerKind::Propose });
        }
        signature
    }

    fn verify_vote(&mut self, vote: &SignedVote) -> bool {
        self.verifies(vote)
    }

    fn verify_proposal(&mut self, bare: &BareProposal, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        // Every proposal fed to the core is in the index, which holds only verified ones.
        self.signed_proposal(bare, signature).is_some()
    }

    fn verify_polka(&mut self, certificate: &PolkaCertificate) -> bool {
        let Some(work) = &self.work else { return false };
        certificate.verify_with(&work.set, |vote| self.verifies(vote)).is_ok()
    }

    fn verify_round_certificate(&mut self, certificate: &RoundCertificate) -> bool {
        let Some(work) = &self.work else { return false };
        certificate.verify_with(&work.set, |vote| self.verifies(vote)).is_ok()
    }

    fn verify_commit(&mut self, certificate: &CommitCertificate) -> bool {
        let Some(work) = &self.work else { return false };
        certificate.verify_with(&work.set, |vote| self.verifies(vote)).is_ok()
    }

    fn log(&mut self, input: EngineInput) {
        let Some(height) = self.work.as_ref().map(|work| work.height) else { return };
        let entry = match input {
            EngineInput::Vote(vote) if self.signed_here(&vote.signature) => WalEntry::OwnVote(vote),
            EngineInput::Vote(vote) => WalEntry::Vote(vote),
            EngineInput::Proposal(bare, signature) => match self.signed_proposal(&bare, &signature) {
                Some(proposal) if self.signed_here(&signature) => WalEntry::OwnProposal(proposal.clone()),
                Some(proposal) => WalEntry::Proposal(proposal.clone()),
                None => return, // impossible: it passed `verify_proposal` in this step
            },
            EngineInput::Polka(certificate) => WalEntry::Polka(certificate),
            EngineInput::Block(block) => WalEntry::Verdict {
                height,
                round: block.round,
                pol_round: block.pol_round,
                proposer: block.proposer,
                block_hash: block.block_hash,
                valid: block.valid,
            },
            EngineInput::Timeout(timer) => WalEntry::Timeout { height, timer },
            // The library documents that both are never logged: it logs the votes of certificates one by one, and blocks as
            // verdicts.
            EngineInput::RoundCertificate(_) | EngineInput::Propose { .. } => return,
        };
        self.append(&entry);
    }

    fn publish_vote(&mut self, vote: SignedVote) {
        self.out.push(Output::Broadcast(ConsensusMessage::Vote(vote)));
    }

    fn publish_proposal(&mut self, bare: &BareProposal, signature: &[u8; SIGNATURE_BYTES]) {
        let Some(proposal) = self.signed_proposal(bare, signature).cloned() else { return };
        let parts = self.bodies.parts(bare.height, &proposal.proposal.parts.root());
        self.out.push(Output::Broadcast(ConsensusMessage::Proposal(proposal)));
        self.out.extend(parts.into_iter().map(|part| Output::Broadcast(ConsensusMessage::Part(part))));
    }

    fn publish_polka(&mut self, certificate: PolkaCertificate) {
        self.out.push(Output::Broadcast(ConsensusMessage::PolkaCertificate(certificate)));
    }

    fn publish_round_certificate(&mut self, certificate: RoundCertificate) {
        self.out.push(Output::Broadcast(ConsensusMessage::RoundCertificate(certificate)));
    }

    fn build_block(&mut self, height: Height, round: Round) {
        let timer = Timer { round, kind: TimerKind::Propose };
        let Some(work) = &mut self.work else { return };
        work.building = Some(round);
        let deadline_ms = work.timers.get(&timer).copied().unwrap_or(self.now_ms);
        // During a replay, the log may show that we have proposed already; `recover` decides that at its end.
        if self.replaying.is_none() {
            self.out.push(Output::BuildBlock { height, round, deadline_ms });
        }
    }

    fn decide(&mut self, certificate: CommitCertificate) {
        let block_hash = certificate.block_hash;
        let valid = self.work.as_ref().and_then(|work| work.blocks.get(&block_hash)).and_then(|block| block.valid);
        match valid.and_then(|root| self.bodies.body(&root)).cloned() {
            Some(body) => self.finish(certificate, body),
            None => {
                // Happens only when more than MAX_BODIES bodies were proposed at this height and this one was evicted.
                error!(%block_hash, "decided a block whose body was evicted; fetching it");
                self.await_body(certificate);
            }
        }
    }
}
