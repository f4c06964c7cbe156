//! Messages from peers. Everything is verified here, strictly and once, before the core or a buffer receives it. Cheap
//! checks come before signature checks.

use std::collections::VecDeque;

use alloy_primitives::{B256, keccak256};
use tracing::error;

use super::{Ask, Host, Inner, MAX_PASSED, MAX_WANTED, MAX_WANTED_SOURCES, Wanted};
use crate::MAX_ROUND;
use crate::bodies::PartOutcome;
use crate::certificate::{PolkaCertificate, RoundCertificate};
use crate::engine::{BareProposal, EngineInput, ROUND_LOOKAHEAD};
use crate::evidence::Evidence;
use crate::height::{Height, Round};
use crate::index::{Known, PROPOSALS_PER_ROUND};
use crate::io::{MessageVerdict, Misbehaviour, Output, PeerToken};
use crate::keys::verify;
use crate::message::{ConsensusMessage, PartRequest, ProposalRequest};
use crate::proposal::{ProposalPart, SignedProposal};
use crate::validators::ValidatorSet;
use crate::vote::{SignedVote, VoteKind};

impl Host {
    pub(super) fn on_message(&mut self, from: PeerToken, message: ConsensusMessage) {
        self.inner.verdict = MessageVerdict::Ignore;
        let Some(work) = &mut self.inner.work else { return };
        let (current, decided) = (work.height, work.decided);
        let height = message.height();
        if message.check_limits().is_err() {
            self.inner.blame(from, Misbehaviour::OverLimit);
            return;
        }
        if message.round().is_some_and(|round| round > MAX_ROUND) {
            self.inner.blame(from, Misbehaviour::RoundTooHigh);
            return;
        }
        if height == current {
            work.last_peer = Some(from);
        } else {
            self.inner.learn_from(&message);
        }
        match message {
            ConsensusMessage::PartRequest(request) => self.inner.serve_parts(from, &request),
            ConsensusMessage::ProposalRequest(request) => self.inner.serve_proposals(from, request),
            ConsensusMessage::Decision(notice) if height == current => {
                self.on_certified(from, notice.certificate, notice.body);
            }
            message if height > current => self.inner.on_future(from, message),
            message if height < current || decided => self.inner.on_stale(from, message),
            ConsensusMessage::Vote(vote) => self.on_vote(from, vote, false),
            ConsensusMessage::Proposal(proposal) => self.on_proposal(from, proposal, false),
            ConsensusMessage::Part(part) => self.inner.on_part(from, part),
            ConsensusMessage::PolkaCertificate(certificate) => self.on_polka(from, certificate),
            ConsensusMessage::RoundCertificate(certificate) => self.on_round_certificate(from, certificate),
            ConsensusMessage::Decision(_) => (),
        }
    }

    /// A vote of the current height; `verified` when it was buffered after verification.
    pub(super) fn on_vote(&mut self, from: PeerToken, vote: SignedVote, verified: bool) {
        let inner = &mut self.inner;
        let Some(work) = inner.work.as_ref().filter(|work| !work.decided) else { return };
        if is_too_far(work.round, vote.vote.round) || work.set.get(&vote.vote.validator).is_none() {
            return;
        }
        let known = inner.index.known(&vote);
        if matches!(known, Known::Same { fed: true } | Known::Saturated) {
            inner.note_holder(from, &vote);
            if inner.index.is_verified(&vote) {
                inner.pass_on(&ConsensusMessage::Vote(vote));
            }
            return;
        }
        if !verified && !inner.verifies(&vote) {
            inner.blame(from, Misbehaviour::InvalidSignature("vote"));
            return;
        }
        inner.verdict = MessageVerdict::Accept;
        inner.note_holder(from, &vote);
        let evidence = inner.index.insert_vote(&vote, true);
        if known == Known::Other {
            inner.report(evidence);
            return; // the core counts each validator once; a second vote has no effect
        }
        let input = EngineInput::Vote(vote);
        inner.learn_own(&input);
        self.feed(input);
    }

    /// A proposal of the current height; `verified` when it was buffered after verification.
    pub(super) fn on_proposal(&mut self, from: PeerToken, signed: SignedProposal, verified: bool) {
        let inner = &mut self.inner;
        let Some(work) = inner.work.as_ref().filter(|work| !work.decided) else { return };
        let proposal = &signed.proposal;
        if proposal.pol_round.is_some_and(|pol| pol >= proposal.round) {
            inner.blame(from, Misbehaviour::WrongPolRound);
            return;
        }
        if work.set.proposer(proposal.height, proposal.round).id != proposal.proposer {
            // A buffered proposal may have assumed a rotation that did not happen; then the peer is not to blame.
            if !verified {
                inner.blame(from, Misbehaviour::WrongProposer);
            }
            return;
        }
        if is_too_far(work.round, proposal.round) {
            return;
        }
        let root = proposal.parts.root();
        let known = inner.index.proposals(proposal.height, proposal.round);
        if known.iter().any(|k| k.proposal == *proposal) {
            inner.bodies.add_source(&root, from);
            if known.contains(&signed) {
                inner.pass_on(&ConsensusMessage::Proposal(signed));
            }
            return;
        }
        if known.len() >= PROPOSALS_PER_ROUND {
            return;
        }
        if !verified && !signed.verify(inner.config.chain, &work.set) {
            inner.blame(from, Misbehaviour::InvalidSignature("proposal"));
            return;
        }
        inner.verdict = MessageVerdict::Accept;
        let evidence = inner.index.insert_proposal(&signed);
        inner.report(evidence);

        let SignedProposal { proposal, signature } = signed;
        let (now_ms, keep) = (inner.now_ms, inner.kept_roots());
        if let Some(work) = &mut inner.work {
            work.wanted.retain(|(_, block_hash), _| *block_hash != proposal.block_hash);
        }
        inner.bodies.open(&proposal.parts, proposal.round, Some(from), now_ms, &keep);
        let bare = BareProposal {
            height: proposal.height,
            round: proposal.round,
            pol_round: proposal.pol_round,
            block_hash: proposal.block_hash,
            proposer: proposal.proposer,
        };
        let input = EngineInput::Proposal(bare, signature);
        self.inner.learn_own(&input);
        self.feed(input);
        let ask = Ask {
            root,
            round: proposal.round,
            pol_round: proposal.pol_round,
            proposer: proposal.proposer,
            asked_ms: 0,
        };
        self.inner.consider(proposal.block_hash, ask);
    }

    fn on_polka(&mut self, from: PeerToken, certificate: PolkaCertificate) {
        let inner = &mut self.inner;
        let Some(work) = &inner.work else { return };
        if certificate.verify_with(&work.set, |vote| inner.verifies(vote)).is_err() {
            inner.blame(from, Misbehaviour::InvalidCertificate("polka certificate"));
            return;
        }
        inner.pass_on(&ConsensusMessage::PolkaCertificate(certificate.clone()));
        for vote in certificate.votes() {
            inner.note_holder(from, &vote);
            inner.index_certified_vote(&vote);
        }
        self.feed(EngineInput::Polka(certificate));
    }

    fn on_round_certificate(&mut self, from: PeerToken, certificate: RoundCertificate) {
        let inner = &mut self.inner;
        let Some(work) = &inner.work else { return };
        if certificate.verify_with(&work.set, |vote| inner.verifies(vote)).is_err() {
            inner.blame(from, Misbehaviour::InvalidCertificate("round certificate"));
            return;
        }
        inner.pass_on(&ConsensusMessage::RoundCertificate(certificate.clone()));
        for vote in certificate.votes() {
            inner.index_certified_vote(&vote);
        }
        self.feed(EngineInput::RoundCertificate(certificate));
    }
}

/// Whether the core would drop this round as too far ahead.
fn is_too_far(current: Round, round: Round) -> bool {
    round.0 > current.0.saturating_add(ROUND_LOOKAHEAD)
}

impl Inner {
    fn report(&mut self, evidence: Option<Evidence>) {
        let Some(evidence) = evidence else { return };
        if Some(evidence.validator()) == self.us() {
            error!(height = %evidence.height(), round = %evidence.round(), "ANOTHER PROCESS SIGNS WITH OUR KEY");
        }
        self.out.push(Output::Equivocation(evidence));
    }

    /// Lets gossip forward a verified message of this height again, at a limited rate: rebroadcasts must reach peers behind
    /// us that missed the first copy.
    fn pass_on(&mut self, message: &ConsensusMessage) {
        let (now_ms, pause_ms) = (self.now_ms, self.grace_ms());
        let Some(work) = &mut self.work else { return };
        let digest = keccak256(message.encode());
        if work.passed.get(&digest).is_some_and(|at| now_ms.saturating_sub(*at) < pause_ms) {
            return;
        }
        if work.passed.len() >= MAX_PASSED {
            work.passed.retain(|_, at| now_ms.saturating_sub(*at) < pause_ms);
        }
        if work.passed.len() < MAX_PASSED {
            work.passed.insert(digest, now_ms);
            self.verdict = MessageVerdict::Accept;
        }
    }

    /// Indexes a verified vote that came inside a certificate.
    pub(super) fn index_certified_vote(&mut self, vote: &SignedVote) {
        let evidence = self.index.insert_vote(vote, false);
        self.report(evidence);
        self.learn_own(&EngineInput::Vote(vote.clone()));
    }

    fn on_part(&mut self, from: PeerToken, part: ProposalPart) {
        match self.bodies.add_part(from, part, self.now_ms) {
            PartOutcome::Added => self.verdict = MessageVerdict::Accept,
            PartOutcome::Completed(root) => {
                self.verdict = MessageVerdict::Accept;
                self.on_whole_body(root);
            }
            PartOutcome::Wrong => self.blame(from, Misbehaviour::WrongPart),
            PartOutcome::Known | PartOutcome::Early | PartOutcome::Dropped => (),
        }
    }

    /// Notes `from` as a source: a peer that forwards a vote for a block has its proposal and body, or soon gets them.
    fn note_holder(&mut self, from: PeerToken, vote: &SignedVote) {
        let Some(block_hash) = vote.vote.block_hash else { return };
        let Some(work) = &mut self.work else { return };
        let mut proposed = false;
        let roots: Vec<B256> = self
            .index
            .all_proposals(work.height)
            .filter(|p| p.proposal.block_hash == block_hash)
            .map(|p| p.proposal.parts.root())
            .collect();
        for root in roots {
            proposed = true;
            self.bodies.add_source(&root, from);
        }
        let known = work.blocks.get(&block_hash).is_some_and(|block| block.valid.is_some());
        if proposed || known {
            return;
        }
        let key = (vote.vote.round, block_hash);
        if !work.wanted.contains_key(&key) && work.wanted.len() >= MAX_WANTED {
            work.wanted.pop_first(); // the oldest round matters least
        }
        let due_ms = self.now_ms.saturating_add(self.config.pull_after_ms);
        let wanted = work.wanted.entry(key).or_insert(Wanted { due_ms, tries: 0, sources: VecDeque::new() });
        if !wanted.sources.contains(&from) {
            if wanted.sources.len() >= MAX_WANTED_SOURCES {
                wanted.sources.pop_front();
            }
            wanted.sources.push_back(from);
        }
    }

    /// A message of a greater height: buffers it if it belongs to the next height, and reports the sender as ahead.
    fn on_future(&mut self, from: PeerToken, message: ConsensusMessage) {
        let height = message.height();
        let Some(work) = &self.work else { return };
        let (set, decided) = (work.set.clone(), work.decided);
        if work.height.next() != Some(height) {
            self.report_behind(from, height);
            return;
        }
        self.future.expect(height);
        self.buffer(from, message, set);
        if decided {
            return;
        }
        // Peers at the next height are normal at the end of a height; peers that stay there show that this node lags.
        let now_ms = self.now_ms;
        let grace_ms = self.grace_ms();
        let Some(work) = &mut self.work else { return };
        let since_ms = *work.ahead_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since_ms) >= grace_ms {
            self.report_behind(from, height);
        }
    }

    /// Buffers a message of the next height. A validator id is the hash of its key, so a signature that verifies under the
    /// current set also verifies under the next one; membership is checked again when the height starts. Where the set may
    /// rotate in between, messages of members of both sets are buffered.
    fn buffer(&mut self, from: PeerToken, message: ConsensusMessage, set: ValidatorSet) {
        let (chain, upcoming) = (self.config.chain, self.upcoming.clone());
        let sets = std::iter::once(set).chain(upcoming);
        match message {
            ConsensusMessage::Vote(vote) if self.future.wants_vote(&vote) => {
                let member_of = |set: &ValidatorSet| set.get(&vote.vote.validator).is_some();
                let Some(set) = sets.into_iter().find(member_of) else { return };
                if !vote.verify(chain, &set) {
                    self.blame(from, Misbehaviour::InvalidSignature("vote"));
                    return;
                }
                self.future.buffer_vote(from, vote);
                self.verdict = MessageVerdict::Accept;
            }
            ConsensusMessage::Proposal(signed) if self.future.wants_proposal(&signed) => {
                let proposal = &signed.proposal;
                let in_turn =
                    |set: &ValidatorSet| set.proposer(proposal.height, proposal.round).id == proposal.proposer;
                let Some(set) = sets.into_iter().find(in_turn) else { return };
                if !signed.verify(chain, &set) {
                    self.blame(from, Misbehaviour::InvalidSignature("proposal"));
                    return;
                }
                self.future.buffer_proposal(from, signed);
                self.verdict = MessageVerdict::Accept;
            }
            ConsensusMessage::Part(part) => {
                // Buffered unverified in a small pool; checked when its proposal arrives.
                let _outcome = self.bodies.add_part(from, part, self.now_ms);
            }
            _ => (), // senders repeat certificates
        }
    }

    fn report_behind(&mut self, peer: PeerToken, height: Height) {
        if self.peers.may_report_behind(peer, self.now_ms) {
            self.out.push(Output::Behind { peer, height });
        }
    }

    /// How long messages of a finished height count as merely delayed. Later ones show that their sender lags.
    fn grace_ms(&self) -> u64 {
        self.config.timeouts.rebroadcast_ms / 2
    }

    /// A message of a height that is decided here: indexes it and helps its sender (pitfall 15).
    fn on_stale(&mut self, from: PeerToken, message: ConsensusMessage) {
        let height = message.height();
        match &message {
            ConsensusMessage::Vote(vote) => self.index_late_vote(from, vote),
            ConsensusMessage::Proposal(proposal) => self.index_late_proposal(from, proposal),
            // Peers that have finished the height forward parts too, so a part does not show that its sender lags.
            ConsensusMessage::Part(_) => return,
            _ => (),
        }
        let Some((kept, since_ms)) = self.decisions.get(height) else { return };
        let decided_round = kept.certificate.round;
        let works_on = |work: &super::Work| if work.decided { work.height.next() } else { Some(work.height) };
        let far = self.work.as_ref().and_then(works_on) > height.next();
        let old = self.now_ms.saturating_sub(since_ms) >= self.grace_ms();
        let past = message.round().is_some_and(|round| round > decided_round);
        if far || old || past {
            self.send_decision(from, height);
        }
    }

    fn send_decision(&mut self, to: PeerToken, height: Height) {
        let Some((notice, _)) = self.decisions.get(height) else { return };
        let bytes = notice.body.len();
        if self.peers.may_get_decision(to, height, bytes, self.now_ms) {
            let message = ConsensusMessage::Decision(notice.clone());
            self.send(to, message);
        }
    }

    /// The highest round for late messages of `height`: the round in which this node left it, or its current round.
    fn late_round(&self, height: Height) -> Option<Round> {
        let left = self.index.left_in(height);
        left.or_else(|| self.work.as_ref().filter(|work| work.height == height).map(|work| work.round))
    }

    fn index_late_vote(&mut self, from: PeerToken, vote: &SignedVote) {
        let height = vote.vote.height;
        let Some(set) = self.index.set(height) else {
            self.late_precommit(from, vote);
            return;
        };
        let Some(round) = self.late_round(height) else { return };
        let news = matches!(self.index.known(vote), Known::Nothing | Known::Other);
        if !news || is_too_far(round, vote.vote.round) || set.get(&vote.vote.validator).is_none() {
            return;
        }
        if !vote.verify(self.config.chain, set) {
            self.blame(from, Misbehaviour::InvalidSignature("vote"));
            return;
        }
        let evidence = self.index.insert_vote(vote, true);
        if evidence.is_some() {
            self.verdict = MessageVerdict::Accept; // forward it to all
        }
        self.report(evidence);
    }

    /// A precommit of a height outside the window or before this start: the caller compares it with that height's
    /// certificate.
    fn late_precommit(&mut self, from: PeerToken, vote: &SignedVote) {
        if vote.vote.kind != VoteKind::Precommit
            || self.keys.get(&vote.vote.validator).is_none()
            || !self.peers.may_be_late(from, self.now_ms)
        {
            return;
        }
        let bytes = vote.vote.sign_bytes(self.config.chain);
        let verifies = self.keys.get(&vote.vote.validator).is_some_and(|key| verify(key, &bytes, &vote.signature));
        if verifies {
            self.out.push(Output::LatePrecommit(vote.clone()));
        } else {
            self.blame(from, Misbehaviour::InvalidSignature("vote"));
        }
    }

    fn index_late_proposal(&mut self, from: PeerToken, signed: &SignedProposal) {
        let proposal = &signed.proposal;
        let Some(round) = self.late_round(proposal.height) else { return };
        let Some(set) = self.index.set(proposal.height) else { return };
        let known = self.index.proposals(proposal.height, proposal.round);
        if is_too_far(round, proposal.round)
            || set.proposer(proposal.height, proposal.round).id != proposal.proposer
            || known.len() >= PROPOSALS_PER_ROUND
            || known.iter().any(|k| k.proposal == *proposal)
        {
            return;
        }
        if !signed.verify(self.config.chain, set) {
            self.blame(from, Misbehaviour::InvalidSignature("proposal"));
            return;
        }
        let evidence = self.index.insert_proposal(signed);
        self.report(evidence);
    }

    fn serve_parts(&mut self, from: PeerToken, request: &PartRequest) {
        let Some(work) = &self.work else { return };
        if request.height != work.height {
            self.send_decision(from, request.height);
            return;
        }
        for index in &request.indices {
            let Some(part) = self.bodies.part(request.height, &request.root, *index) else { continue };
            if !self.peers.may_reply(from, part.bytes.len(), self.now_ms) {
                return;
            }
            self.send(from, ConsensusMessage::Part(part));
        }
    }

    fn serve_proposals(&mut self, from: PeerToken, request: ProposalRequest) {
        let Some(work) = &self.work else { return };
        if request.height != work.height {
            self.send_decision(from, request.height);
            return;
        }
        let proposals = self.index.proposals(request.height, request.round).to_vec();
        for proposal in proposals {
            let bytes = proposal.proposal.parts.hashes.len().saturating_mul(32).saturating_add(256);
            if self.peers.may_reply(from, bytes, self.now_ms) {
                self.send(from, ConsensusMessage::Proposal(proposal));
            }
        }
    }
}
