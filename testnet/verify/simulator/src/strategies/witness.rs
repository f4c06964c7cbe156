//! Offences of which an honest node has received both halves, and their required punishment.
//!
//! A member that signs two votes of a kind, or two proposals, for one round can be convicted by a node that has both. The witness
//! records the messages that reach honest machines while their nodes decide that height, verifies conflicts, and at the
//! end of a run reads the chain's state: offenders must be tombstoned, and no honest member may be accused or punished.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use causeway_consensus::{ConsensusMessage, Evidence, HostStep, SignedProposal, SignedVote, ValidatorId, VoteKind};
use causeway_execution::staking_state;
use causeway_genesis::Genesis;
use causeway_network::GossipMessage;
use causeway_staking::views;
use causeway_storage::Storage;

use crate::{Machine, Plan, Violation};

/// The name of this rule in a violation.
pub const EVIDENCE: &str = "evidence";

/// Heights for each member, counted from the offence and the healing, until a block must contain the report.
const HEIGHTS_FOR_EACH: u64 = 4;
/// Additional heights.
const HEIGHTS: u64 = 20;

/// Messages of one height, by machine and by the machine's number of restarts.
#[derive(Debug, Default)]
struct Notes {
    height: u64,
    votes: BTreeMap<(ValidatorId, u32, VoteKind), SignedVote>,
    proposals: BTreeMap<(ValidatorId, u32), SignedProposal>,
}

/// An offence that one machine can prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// The offender.
    pub validator: ValidatorId,
    /// The height of the offence.
    pub height: u64,
    /// The machine that received both.
    pub machine: usize,
}

/// Watches the messages that honest machines receive.
#[derive(Debug, Default)]
pub struct Witness {
    /// Keys that may sign twice.
    byzantine: BTreeSet<ValidatorId>,
    notes: BTreeMap<(usize, u64), Notes>,
    /// The first complete offence of each key.
    exposed: BTreeMap<ValidatorId, Exposure>,
    healed_at: Option<u64>,
}

impl Witness {
    /// For the members of these machines.
    pub fn new(machines: &[Machine]) -> Self {
        let byzantine = machines.iter().filter(|machine| !machine.honest).map(Machine::validator).collect();
        Self { byzantine, ..Self::default() }
    }

    /// A message is about to be handled by a machine's node. Returns whether the node can then prove an offence. It counts once the
    /// node has handled it: see [`Witness::expose`].
    pub fn hears(&mut self, chain: B256, machine: &Machine, message: &GossipMessage) -> Option<Exposure> {
        if self.byzantine.is_empty() || !machine.honest {
            return None;
        }
        let GossipMessage::Consensus(message) = message else { return None };
        let node = machine.node().filter(|node| !node.is_held())?;
        let (status, height) = (node.consensus_status(), message.height());
        let deciding = status.step.is_some_and(|step| step != HostStep::Decided);
        let near = message.round().is_some_and(|round| round.0 <= status.round.0 + 1);
        if !deciding || !near || (status.height, node.height()) != (height, height) {
            return None;
        }
        let notes = self.notes.entry((machine.index, machine.life)).or_default();
        if notes.height != height.0 {
            *notes = Notes { height: height.0, ..Notes::default() };
        }
        let (evidence, first) = match message {
            ConsensusMessage::Vote(signed) if self.byzantine.contains(&signed.vote.validator) => {
                let at = (signed.vote.validator, signed.vote.round.0, signed.vote.kind);
                let known = notes.votes.get(&at).cloned();
                let pair = known.clone().filter(|known| known.vote != signed.vote);
                if known.is_none() && signed.verify(chain, node.validators()) {
                    notes.votes.insert(at, signed.clone());
                }
                (Evidence::of_votes(pair?, signed.clone()), signed.vote.validator)
            }
            ConsensusMessage::Proposal(signed) if self.byzantine.contains(&signed.proposal.proposer) => {
                let proposal = &signed.proposal;
                let in_turn = node.validators().proposer(height, proposal.round).id == proposal.proposer;
                if !in_turn || proposal.pol_round.is_some_and(|polka| polka >= proposal.round) {
                    return None;
                }
                let at = (proposal.proposer, proposal.round.0);
                let known = notes.proposals.get(&at).cloned();
                let pair = known.clone().filter(|known| known.proposal != *proposal);
                if known.is_none() && signed.verify(chain, node.validators()) {
                    notes.proposals.insert(at, signed.clone());
                }
                (Evidence::of_proposals(pair?, signed.clone()), proposal.proposer)
            }
            _ => return None,
        };
        let key = node.validators().get(&first)?.key;
        let proven = evidence.verify(chain, &key).is_ok();
        proven.then_some(Exposure { validator: first, height: height.0, machine: machine.index })
    }

    /// A node has handled the second half of an offence. Returns whether it is the offender's first offence.
    pub fn expose(&mut self, exposure: Exposure) -> bool {
        let first = !self.exposed.contains_key(&exposure.validator);
        if first {
            self.exposed.insert(exposure.validator, exposure);
        }
        first
    }

    /// All faults have ended at this height.
    pub fn healed(&mut self, height: u64) {
        self.healed_at = Some(height);
    }

    /// Offences that honest nodes could prove.
    pub fn exposed(&self) -> impl Iterator<Item = &Exposure> {
        self.exposed.values()
    }

    /// The run ends: checks that every offence proven long enough ago is punished, and no other member is accused.
    ///
    /// # Errors
    /// The first violation.
    pub fn judge(&self, plan: &Plan, genesis: &Genesis, machines: &[Machine]) -> Result<(), Violation> {
        let honest = || machines.iter().filter(|machine| machine.honest);
        for machine in honest() {
            let Some(storage) = machine.storage() else { continue };
            let head = storage.head_number();
            let fail = |text: String| Violation::new(EVIDENCE, head, format!("machine {}: {text}", machine.index));
            for accused in accused(genesis, storage).map_err(fail)? {
                if !self.byzantine.contains(&accused) {
                    return Err(fail(format!("{accused} is accused, which has done nothing")));
                }
            }
        }
        let best = honest().filter(|machine| machine.is_up()).max_by_key(|machine| machine.head());
        let (Some(storage), Some(healed)) = (best.and_then(Machine::storage), self.healed_at) else { return Ok(()) };
        let members = u64::try_from(plan.validators).unwrap_or(u64::MAX);
        let grace = HEIGHTS_FOR_EACH * members + HEIGHTS;
        // An offence that expires before its report is due need not be punished.
        if plan.unbonding_s * 1_000 < 4 * grace * plan.block_interval_ms {
            return Ok(());
        }
        let head = storage.head_number();
        for exposure in self.exposed() {
            let is_member = |machine: &Machine| {
                machine.chain().is_some_and(|chain| chain.sets.of_next().set.get(&machine.validator()).is_some())
            };
            let due =
                head >= exposure.height.max(healed) + grace && machines.get(exposure.machine).is_some_and(is_member);
            if due && !tombstoned(storage, exposure.validator).unwrap_or(false) {
                let text = format!(
                    "machine {} could prove at height {} that {} signed twice, and at {head} that is not punished",
                    exposure.machine, exposure.height, exposure.validator
                );
                return Err(Violation::new(EVIDENCE, head, text));
            }
        }
        Ok(())
    }
}

/// Whether the chain's state says that a member signed twice; an error when the state has no such member.
fn tombstoned(storage: &Storage, id: ValidatorId) -> Result<bool, String> {
    let state = storage.latest();
    let mut slots = staking_state(state.as_ref());
    let key = views::key_of_id(&mut slots, id).map_err(|error| error.to_string())?.ok_or("it never registered")?;
    let operator =
        views::operator_of_key(&mut slots, key).map_err(|error| error.to_string())?.ok_or("it has no operator")?;
    let validator = views::validator(&mut slots, operator).map_err(|error| error.to_string())?;
    Ok(validator.is_some_and(|validator| validator.tombstoned))
}

/// The members that a node accuses of double signing, or that its chain has punished for it. Pending evidence must be valid by its own bytes.
///
/// # Errors
/// When the database cannot be read, or a piece of evidence is invalid.
pub fn accused(genesis: &Genesis, storage: &Storage) -> Result<BTreeSet<ValidatorId>, String> {
    let mut accused = BTreeSet::new();
    for evidence in storage.pending_evidence().map_err(|error| error.to_string())? {
        let id = evidence.validator();
        let state = storage.latest();
        let key = views::key_of_id(&mut staking_state(state.as_ref()), id).map_err(|error| error.to_string())?;
        let key = causeway_consensus::ConsensusKey(key.ok_or("evidence against a stranger")?.0);
        evidence.verify(genesis.hash, &key).map_err(|error| format!("evidence against {id}: {error}"))?;
        accused.insert(id);
    }
    for validator in &genesis.spec.validators {
        let id = causeway_consensus::ConsensusKey(validator.consensus_key.0).id();
        if tombstoned(storage, id)? {
            accused.insert(id);
        }
    }
    Ok(accused)
}
