//! The host: [`Host::step`] takes one input and returns the outputs to perform, strictly in order. It owns everything that
//! the core leaves to its user: signatures, timers, the log, dissemination, help for lagging peers, evidence.
//!
//! Reading order: this file (state, steps, timers), `ingress` (messages), `blocks` (bodies, verdicts, decisions), `actions`
//! (the core's requests), `recover` (replay of the log), `own_signatures` (our key's signatures from elsewhere).

mod actions;
mod blocks;
mod ingress;
mod own_signatures;
mod recover;
mod sizes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{B256, Bytes};
use tracing::{error, warn};

use crate::bodies::Bodies;
use crate::certificate::CommitCertificate;
use crate::decisions::Decisions;
use crate::engine::{Engine, EngineInput, ROUND_LOOKAHEAD, Timer, TimerKind};
use crate::future::Future;
use crate::height::{Height, Round};
use crate::index::{Known, SignedIndex};
use crate::io::{HostConfig, HostStatus, HostStep, Input, MessageVerdict, Misbehaviour, Output, PeerToken};
use crate::keys::{SIGNATURE_BYTES, Signer, ValidatorId};
use crate::known_keys::KnownKeys;
use crate::message::{ConsensusMessage, ProposalRequest};
use crate::peers::Peers;
use crate::sign_state::{SignState, SignStep};
use crate::validators::ValidatorSet;
use crate::vote::Vote;
use crate::wal::WalEntry;

pub use sizes::Size;

/// Blocks that are pulled at the same time because votes name them but their proposals never arrived.
const MAX_WANTED: usize = 8;

/// How often a lost proposal is requested.
const MAX_PROPOSAL_PULLS: u32 = 20;

/// Peers remembered as sources of a lost proposal.
const MAX_WANTED_SOURCES: usize = 4;

/// Messages remembered as forwarded again; one rebroadcast of every validator fits twice.
const MAX_PASSED: usize = 4 * crate::validators::MAX_VALIDATORS;

/// The BFT host of one node. See the module documentation.
pub struct Host {
    engine: Option<Engine>,
    inner: Inner,
}

/// All state of the host except the core.
struct Inner {
    config: HostConfig,
    signer: Option<Box<dyn Signer>>,
    sign_state: SignState,
    now_ms: u64,
    out: Vec<Output>,
    work: Option<Work>,
    index: SignedIndex,
    keys: KnownKeys,
    /// The set of the next epoch, while it differs from the current one.
    upcoming: Option<ValidatorSet>,
    bodies: Bodies,
    decisions: Decisions,
    future: Future,
    peers: Peers,
    verdict: MessageVerdict,
    /// During a replay: digests of the entries that the log already holds.
    replaying: Option<BTreeSet<B256>>,
}

/// The state of the current height.
struct Work {
    height: Height,
    set: ValidatorSet,
    round: Round,
    proposer: Option<ValidatorId>,
    timers: BTreeMap<Timer, u64>,
    blocks: BTreeMap<B256, Block>,
    /// A proven decision whose body has not been validated here yet.
    certified: Option<Certified>,
    decided: bool,
    /// Signatures that this node made at this height with the current log. They distinguish its own messages from those that
    /// it signed before the log was lost and that peers send back.
    signed: BTreeSet<[u8; SIGNATURE_BYTES]>,
    /// The round for which we must provide a block.
    building: Option<Round>,
    wanted: BTreeMap<(Round, B256), Wanted>,
    /// When each repeated message was last forwarded.
    passed: BTreeMap<B256, u64>,
    /// The block of the core's newest polka: its body must stay.
    valid_block: Option<B256>,
    /// Since when peers have sent messages of the next height.
    ahead_since_ms: Option<u64>,
    /// The peer that last sent a message of this height.
    last_peer: Option<PeerToken>,
    last_refusal: Option<(SignStep, String)>,
    /// Votes of this round that the core requested while the signer was unavailable.
    pending: Vec<Vote>,
}

/// What this node knows about a block at this height.
#[derive(Default)]
struct Block {
    /// Part-list root of the body the caller called valid.
    valid: Option<B256>,
    /// The body the caller is validating. One at a time, because the verdict names only the block.
    asking: Option<Ask>,
    /// Other bodies that peers sent for this block, at most [`blocks::MAX_QUEUED_BODIES`].
    queue: VecDeque<Ask>,
    /// Bodies the caller called invalid.
    refused: Vec<B256>,
}

/// A body to be validated, with the proposal it came with.
#[derive(Clone)]
struct Ask {
    root: B256,
    round: Round,
    pol_round: Option<Round>,
    proposer: ValidatorId,
    asked_ms: u64,
}

struct Certified {
    certificate: CommitCertificate,
    /// Root of the body last received for the decision, and the peer that sent it.
    body: Option<(B256, PeerToken)>,
    /// When to ask for help next, as long as no valid body has arrived.
    help_ms: u64,
}

struct Wanted {
    due_ms: u64,
    tries: u32,
    sources: VecDeque<PeerToken>,
}

impl Host {
    /// A host that has not started a height. With a signer, it votes when the signer's validator is in the set; without one,
    /// it only follows. `sign_state` is the content of the last [`Output::PersistSignState`].
    pub fn new(config: HostConfig, signer: Option<Box<dyn Signer>>, sign_state: SignState) -> Self {
        let decisions = Decisions::new(config.kept_decisions);
        let inner = Inner {
            config,
            signer,
            sign_state,
            now_ms: 0,
            out: Vec::new(),
            work: None,
            index: SignedIndex::default(),
            keys: KnownKeys::default(),
            upcoming: None,
            bodies: Bodies::default(),
            decisions,
            future: Future::default(),
            peers: Peers::default(),
            verdict: MessageVerdict::Ignore,
            replaying: None,
        };
        Self { engine: None, inner }
    }

    /// Processes one input completely and returns the outputs, in order. `now_ms` is Unix time in milliseconds; when the
    /// clock steps back, time stands still.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        self.inner.now_ms = self.inner.now_ms.max(now_ms);
        match input {
            Input::StartHeight { height, validators } => self.start_height(height, validators),
            Input::Message { from, message } => self.on_message(from, message),
            Input::BlockBuilt { height, round, block_hash, body } => self.on_built(height, round, block_hash, body),
            Input::BlockVerdict { height, block_hash, valid } => self.on_verdict(height, block_hash, valid),
            Input::SyncedBlock { from, certificate, body } => self.on_certified(from, certificate, body),
            Input::Tick => self.on_tick(),
        }
        std::mem::take(&mut self.inner.out)
    }

    /// When to feed [`Input::Tick`] next, in Unix milliseconds; `None` when no timer runs.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let work = self.inner.work.as_ref().filter(|work| !work.decided)?;
        let timers = work.timers.values().copied();
        let wanted = work.wanted.values().filter(|w| w.tries < MAX_PROPOSAL_PULLS).map(|w| w.due_ms);
        let help = work.certified.iter().map(|certified| certified.help_ms);
        let pull = self.inner.bodies.next_pull_ms(self.inner.config.pull_after_ms);
        timers.chain(wanted).chain(help).chain(pull).min()
    }

    /// How gossip should treat the message of the last [`Input::Message`].
    pub fn verdict(&self) -> MessageVerdict {
        self.inner.verdict
    }

    /// Whether validators with more than a third of the power of `set` have sent messages of `height`, which is the next
    /// height. One of them is honest and has started it, so a node that waits for its start time may start it too.
    pub fn is_begun_elsewhere(&self, height: Height, set: &ValidatorSet) -> bool {
        let members = self.inner.future.signers(height).filter_map(|id| set.get(id));
        members.fold(0u128, |heard, member| heard + u128::from(member.power)) * 3 > u128::from(set.total_power())
    }

    /// The current state, for operators.
    pub fn status(&self) -> HostStatus {
        let work = self.inner.work.as_ref();
        let us = self.inner.us();
        HostStatus {
            height: work.map_or(Height::default(), |w| w.height),
            round: work.map_or(Round::ZERO, |w| w.round),
            step: work.map(|w| {
                let step = self.engine.as_ref().map_or(HostStep::Propose, Engine::step);
                if w.decided { HostStep::Decided } else { step }
            }),
            proposer: work.and_then(|w| w.proposer),
            validating: work.is_some_and(|w| us.is_some_and(|us| w.set.get(&us).is_some())),
            validators: work.map_or(0, |w| w.set.len()),
            last_signed: self.inner.sign_state.last(),
            last_refusal: work.and_then(|w| w.last_refusal.clone()),
        }
    }

    /// Keeps a decided block to answer lagging peers with. The host does this itself for its own decisions; after a restart,
    /// call it for the newest heights of the storage. The number is bounded; the newest stay.
    pub fn keep_decided(&mut self, certificate: CommitCertificate, body: Bytes) {
        self.inner.decisions.keep(certificate, body, 0);
    }

    fn start_height(&mut self, height: Height, validators: ValidatorSet) {
        if let Some(work) = self.inner.work.as_ref().filter(|work| work.height >= height) {
            error!(%height, current = %work.height, "this height was started before; the request is ignored");
            return;
        }
        self.inner.out.push(Output::ResetWal { height });
        self.enter_height(height, validators);
        let (proposals, votes) = self.inner.future.take(height);
        for (from, proposal) in proposals {
            self.on_proposal(from, proposal, true);
        }
        for (from, vote) in votes {
            self.on_vote(from, vote, true);
        }
        self.inner.verdict = MessageVerdict::Ignore;
    }

    /// Leaves the previous height and makes the core enter round 0 of `height`.
    fn enter_height(&mut self, height: Height, set: ValidatorSet) {
        let inner = &mut self.inner;
        if let Some(old) = &inner.work {
            inner.index.leave(old.height, old.round);
        }
        inner.index.open(height, set.clone());
        inner.keys.note_set(height, &set);
        inner.bodies.start_height(height);
        inner.work = Some(Work {
            height,
            set: set.clone(),
            round: Round::ZERO,
            proposer: None,
            timers: BTreeMap::new(),
            blocks: BTreeMap::new(),
            certified: None,
            decided: false,
            signed: BTreeSet::new(),
            building: None,
            wanted: BTreeMap::new(),
            passed: BTreeMap::new(),
            valid_block: None,
            ahead_since_ms: None,
            last_peer: None,
            last_refusal: None,
            pending: Vec::new(),
        });
        let us = inner.us();
        let engine = self.engine.get_or_insert_with(|| Engine::new(us, height, &set));
        if let Err(error) = engine.start_height(height, &set, &mut self.inner) {
            error!(%height, %error, "the core could not start the height");
        }
    }

    /// Feeds the core one input of the current height; does nothing once the height is decided.
    fn feed(&mut self, input: EngineInput) {
        let Some(engine) = &mut self.engine else { return };
        if self.inner.work.as_ref().is_none_or(|work| work.decided) {
            return;
        }
        if let Err(error) = engine.feed(input, &mut self.inner) {
            // At most the outputs of this input are lost. Replay divergence, the only error that must halt, cannot occur
            // here.
            error!(%error, "the core refused an input");
        }
        let valid_block = engine.valid_block();
        if let Some(work) = &mut self.inner.work {
            work.valid_block = valid_block;
        }
    }

    fn on_tick(&mut self) {
        let now_ms = self.inner.now_ms;
        let Some(work) = self.inner.work.as_mut().filter(|work| !work.decided) else { return };
        let mut due: Vec<_> =
            work.timers.iter().filter(|(_, at)| **at <= now_ms).map(|(timer, at)| (*at, *timer)).collect();
        due.sort_unstable();
        for (_, timer) in due {
            // An earlier timeout in this tick may have cancelled this one.
            let live = self.inner.work.as_mut().and_then(|work| work.timers.remove(&timer));
            if live.is_some() {
                self.feed(EngineInput::Timeout(timer));
                if timer.kind == TimerKind::Rebroadcast {
                    self.inner.sign_pending_votes();
                    self.repeat_remembered_votes();
                }
            }
        }
        self.inner.pull(now_ms);
    }

    /// Repeats votes that are in the sign state but that the core does not know: after a lost log, or after the signer was
    /// unavailable. The core cannot repeat them, and other validators may need exactly these votes to leave the round.
    fn repeat_remembered_votes(&mut self) {
        let Some(work) = self.inner.work.as_ref().filter(|work| !work.decided) else { return };
        let (height, round) = (work.height, work.round);
        if self.inner.sign_state.last() < (height, round) {
            return;
        }
        let Some(us) = self.inner.us().filter(|us| work.set.get(us).is_some()) else { return };
        for signed in self.inner.sign_state.votes(us) {
            let work = self.inner.work.as_ref();
            if signed.vote.height != height || work.is_some_and(|work| work.signed.contains(&signed.signature)) {
                continue; // signed with this log, so the core repeats it
            }
            self.inner.out.push(Output::Broadcast(ConsensusMessage::Vote(signed.clone())));
            let near = signed.vote.round.0 <= round.0.saturating_add(ROUND_LOOKAHEAD);
            if near && matches!(self.inner.index.known(&signed), Known::Nothing | Known::Same { fed: false }) {
                let _evidence = self.inner.index.insert_vote(&signed, true);
                self.feed(EngineInput::Vote(signed));
            }
        }
    }
}

impl Inner {
    fn us(&self) -> Option<ValidatorId> {
        self.signer.as_ref().map(|signer| signer.validator())
    }

    fn blame(&mut self, peer: PeerToken, reason: Misbehaviour) {
        warn!(peer, %reason, "a peer misbehaved");
        self.verdict = MessageVerdict::Reject;
        self.out.push(Output::Misbehaved { peer, reason });
    }

    fn send(&mut self, to: PeerToken, message: ConsensusMessage) {
        self.out.push(Output::Send { to, message });
    }

    /// Appends an entry to the log, unless a replay shows that the log already holds it.
    fn append(&mut self, entry: &WalEntry) {
        let bytes = entry.encode();
        if self.replaying.as_ref().is_some_and(|recorded| recorded.contains(&recover::digest(&bytes))) {
            return;
        }
        self.out.push(Output::AppendWal(bytes));
    }

    fn timeout_ms(&self, timer: Timer) -> u64 {
        let timeouts = self.config.timeouts;
        match timer.kind {
            TimerKind::Propose => timeouts.step_ms(timeouts.propose_ms, timer.round),
            TimerKind::Prevote => timeouts.step_ms(timeouts.prevote_ms, timer.round),
            TimerKind::Precommit => timeouts.step_ms(timeouts.precommit_ms, timer.round),
            TimerKind::Rebroadcast => timeouts.rebroadcast_ms,
        }
    }

    /// Roots of bodies that must not be evicted: of the locked block, of the newest polka, of a proven decision.
    fn kept_roots(&self) -> Vec<B256> {
        let Some(work) = &self.work else { return Vec::new() };
        let locked = self.sign_state.locked_block(work.height);
        let certified = work.certified.as_ref().map(|c| c.certificate.block_hash);
        let blocks = [locked, work.valid_block, certified].into_iter().flatten();
        blocks
            .filter_map(|hash| work.blocks.get(&hash))
            .flat_map(|block| block.valid.into_iter().chain(block.asking.as_ref().map(|ask| ask.root)))
            .collect()
    }

    /// Requests from peers the parts and proposals that are overdue.
    fn pull(&mut self, now_ms: u64) {
        let Some(work) = self.work.as_mut().filter(|work| !work.decided) else { return };
        let pull_after_ms = self.config.pull_after_ms;
        let height = work.height;
        for ((round, _), wanted) in &mut work.wanted {
            if wanted.due_ms > now_ms || wanted.tries >= MAX_PROPOSAL_PULLS {
                continue;
            }
            let Some(peer) = wanted.sources.pop_front() else { continue };
            wanted.sources.push_back(peer);
            wanted.tries = wanted.tries.saturating_add(1);
            wanted.due_ms = now_ms.saturating_add(pull_after_ms.saturating_mul(1 << wanted.tries.min(3)));
            let message = ConsensusMessage::ProposalRequest(ProposalRequest { height, round: *round });
            self.out.push(Output::Send { to: peer, message });
        }
        if let Some(certified) = work.certified.as_mut().filter(|certified| certified.help_ms <= now_ms) {
            certified.help_ms = now_ms.saturating_add(self.config.timeouts.rebroadcast_ms.max(1));
            if let (Some(peer), Some(next)) = (work.last_peer, height.next()) {
                // The decision is proven, but its body is missing or not validated: the node must fetch it.
                self.out.push(Output::Behind { peer, height: next });
            }
        }
        for (peer, request) in self.bodies.pulls(height, now_ms, pull_after_ms) {
            self.send(peer, ConsensusMessage::PartRequest(request));
        }
    }
}
