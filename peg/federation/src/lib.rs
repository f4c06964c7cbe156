//! The federation's part of a node: which deposits are known, what this validator attests, which certificates the next block
//! can carry. Pure. A [`PegSigner`] signs, and the record of a signature is persisted before the signature leaves.
//!
//! Only attestations of the current epoch's set count. A node whose peg key is in that set attests everything that waits:
//! deposits seen before it became a member, the epoch's unrecorded checkpoints, the set that the parent has in force. It checks
//! all of them again with every block and every [`RESEND_MS`], so attestations missed while the signer was away are made later.
//!
//! This crate must never know the EVM, endpoints, files or who delivers a message: [`Seen`] and [`Output`] are all that goes in and
//! out. Start reading at [`Federation`].

mod alarms;
mod attest;
mod progress;
mod sizes;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use causeway_peg::{
    Attestation, Attestations, CertificateSig, Deposit, IPeg, Outcome, ParentView, PegDomain, PegMessage, PegSigner,
    PegSigns, Settled,
};

pub use self::{alarms::Alarm, progress::PegProgress};

/// Most deposits kept that no block has minted yet; at this number the parent watcher waits.
pub const MAX_WAITING_DEPOSITS: usize = 2_048;
/// Most epochs, back from the current one, whose commitments are loaded while the parent has not acknowledged them.
pub const MAX_UNACKNOWLEDGED: u64 = 64;
/// An extended epoch is logged again each time this many blocks have passed.
pub const EXTENDED_LOG_BLOCKS: u64 = 100;
/// Most own attestations remembered as made.
pub const MAX_ATTESTED: usize = 16_384;
/// How often unsettled attestations are gossiped again, in milliseconds.
pub const RESEND_MS: u64 = 2_000;
/// Most attestations sent again at a time.
pub const RESEND_BATCH: usize = 64;

/// The part of the sidechain's epoch that the federation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch {
    /// The epoch of the next height.
    pub number: u64,
    /// Blocks by which it is longer than planned, because no certificate hands over to the next set yet.
    pub extended: u64,
}

/// What was seen of the parent.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The parent is final up to here.
    Finalized {
        /// Parent block number.
        height: u64,
        /// Its timestamp, seconds.
        timestamp: u64,
    },
    /// Final deposits, and the view to sign for them.
    Deposits {
        /// The view; its nonce is that of the last deposit.
        view: ParentView,
        /// The deposits, by nonce.
        deposits: Vec<Deposit>,
    },
    /// The sources contradict each other or themselves, in words.
    Conflict(String),
    /// The sources agree and answer again.
    Recovered,
    /// A source does not answer.
    Unreachable {
        /// Since when, Unix milliseconds.
        since_ms: u64,
        /// The last failure.
        reason: String,
    },
    /// The registry's latest checkpoint changed.
    Checkpoint {
        /// Its number; 0 means none yet.
        number: u64,
    },
    /// The registry has this set in force.
    SetInForce {
        /// Epoch of the set.
        epoch: u64,
        /// The registry's commitment to it.
        commitment: B256,
    },
}

/// What the node must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
pub enum Output {
    /// Write and fsync the record of the peg key's signatures.
    Persist(PegSigns),
    /// Gossip a peg signature.
    Gossip(Box<PegMessage>),
}

/// The result of a message from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// New and valid.
    Accepted,
    /// Valid, but already known or of no use to this node now.
    Known,
    /// Invalid; the sender is at fault.
    Refused(String),
}

/// The federation's state in this node.
pub struct Federation {
    domain: PegDomain,
    signer: Option<Arc<dyn PegSigner>>,
    signs: PegSigns,
    attestations: Attestations,
    /// Digests that this key has attested in this epoch since the start.
    attested: BTreeSet<B256>,
    deposits: BTreeMap<u64, Deposit>,
    /// The watcher's views of deposits that no block has minted, by the last deposit nonce of the view.
    views: BTreeMap<u64, ParentView>,
    progress: PegProgress,
    epoch: Epoch,
    /// Epoch and commitment of the set that was last seen in force at the registry.
    in_force: Option<(u64, B256)>,
    /// The registered peg address of this node's validator, if the validator is a member and this is not the address of our key.
    foreign_key: Option<Address>,
    alarm: Option<Alarm>,
    parent_height: u64,
    parent_timestamp: Option<u64>,
    accepted_checkpoint: u64,
    next_resend_ms: u64,
}

impl std::fmt::Debug for Federation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Federation")
            .field("progress", &self.progress)
            .field("deposits", &self.deposits.len())
            .finish_non_exhaustive()
    }
}

impl Federation {
    /// Builds the state from the durable state. `signer` is `None` on a node without a peg key; the set of each epoch determines
    /// whether its key is a member.
    pub fn new(
        domain: PegDomain,
        signer: Option<Arc<dyn PegSigner>>,
        signs: PegSigns,
        progress: PegProgress,
        epoch: Epoch,
    ) -> Self {
        let mut federation = Self {
            domain,
            signer,
            signs,
            attestations: Attestations::new(domain),
            attested: BTreeSet::new(),
            deposits: BTreeMap::new(),
            views: BTreeMap::new(),
            progress: progress.clone(),
            epoch,
            in_force: None,
            foreign_key: None,
            alarm: None,
            parent_height: 0,
            parent_timestamp: None,
            accepted_checkpoint: 0,
            next_resend_ms: 0,
        };
        federation.adopt(progress);
        federation
    }

    /// Whether the parent watcher should wait, because enough deposits are kept.
    pub fn is_full(&self) -> bool {
        self.deposits.len() >= MAX_WAITING_DEPOSITS
    }

    /// The peg's durable state.
    pub fn progress(&self) -> &PegProgress {
        &self.progress
    }

    /// Deposits that are final on the parent and not minted yet, by nonce.
    pub fn waiting(&self) -> &BTreeMap<u64, Deposit> {
        &self.deposits
    }

    /// The highest deposit nonce that a certificate covers.
    pub fn attested(&self) -> u64 {
        self.attestations
            .best_parent_view(self.progress.imported, &self.progress.set)
            .map_or(self.progress.imported, |(view, _)| view.depositNonce)
    }

    /// A short description of an attestation: its subject and the signed digest.
    fn describe(&self, attestation: &Attestation) -> String {
        let digest = self.domain.attestation_digest(attestation);
        match attestation {
            Attestation::ParentView(view) => format!("deposits up to {}, digest {digest}", view.depositNonce),
            Attestation::Checkpoint(checkpoint) => format!("checkpoint {}, digest {digest}", checkpoint.number),
            Attestation::SetAcknowledged(seen) => format!("validator set of epoch {}, digest {digest}", seen.epoch),
        }
    }

    /// Whether this node's peg key is in the set of the current epoch.
    pub fn is_member(&self) -> bool {
        self.member().is_some()
    }

    fn member(&self) -> Option<&Arc<dyn PegSigner>> {
        self.signer.as_ref().filter(|signer| self.progress.set.get(&signer.address()).is_some())
    }

    /// Latest finalised height of the parent this node has seen.
    pub fn parent_height(&self) -> u64 {
        self.parent_height
    }

    /// Timestamp of that block, Unix seconds.
    pub fn parent_timestamp(&self) -> Option<u64> {
        self.parent_timestamp
    }

    /// The latest checkpoint that has a certificate, whether or not a block carries it.
    pub fn certified_checkpoint(&self) -> Option<u64> {
        self.certified().map(|(number, _)| number).or((self.progress.recorded > 0).then_some(self.progress.recorded))
    }

    /// Latest checkpoint accepted by the registry on the parent, as far as this node has seen.
    pub fn accepted_checkpoint(&self) -> u64 {
        self.accepted_checkpoint
    }

    /// Handles what was seen of the parent.
    pub fn parent(&mut self, seen: Seen, outputs: &mut Vec<Output>) {
        match seen {
            Seen::Finalized { height, timestamp } => {
                self.parent_height = height;
                self.parent_timestamp = Some(timestamp);
            }
            Seen::Deposits { view, deposits } => self.deposits(view, deposits, outputs),
            Seen::Conflict(conflict) => {
                tracing::error!(%conflict, "the parent chain's sources conflict: this node attests no deposits until they agree");
                self.alarm = Some(Alarm::Conflict(conflict));
            }
            Seen::Recovered => {
                tracing::info!("the parent chain's sources agree and answer again");
                self.alarm = None;
            }
            Seen::Unreachable { since_ms, reason } => {
                tracing::warn!(%reason, "the parent chain does not answer; deposits wait");
                self.alarm = Some(Alarm::Unreachable { since_ms, reason });
            }
            Seen::Checkpoint { number } => self.accepted_checkpoint = number,
            Seen::SetInForce { epoch, commitment } => {
                self.in_force = Some((epoch, commitment));
                self.attest_acknowledgement(outputs);
            }
        }
    }

    /// Handles a peg signature from a peer.
    pub fn message(&mut self, message: PegMessage) -> Received {
        match self.attestations.add(message, &self.progress.set) {
            Outcome::Added => Received::Accepted,
            Outcome::Duplicate => Received::Known,
            Outcome::Equivocation(pair) => {
                let (first, second) = (self.describe(&pair.0.attestation), self.describe(&pair.1.attestation));
                tracing::error!(signer = %pair.0.signer, first, second, "a peg validator signed two conflicting attestations");
                Received::Accepted
            }
            Outcome::Refused(refusal) if refusal.is_peers_fault() => Received::Refused(refusal.to_string()),
            Outcome::Refused(_) => Received::Known,
        }
    }

    /// Handles a durable block: settles the block's certificates and attests what is due. `registered` is the registered peg address
    /// of this node's validator, if the validator is a member.
    pub fn committed(
        &mut self,
        progress: PegProgress,
        epoch: Epoch,
        registered: Option<Address>,
        outputs: &mut Vec<Output>,
    ) {
        self.adopt(progress);
        let own = self.signer.as_ref().map(|signer| signer.address());
        self.foreign_key = registered.filter(|registered| own.is_some_and(|own| own != *registered));
        if epoch.extended > 0 && epoch.extended % EXTENDED_LOG_BLOCKS == 1 && epoch != self.epoch {
            tracing::error!(
                epoch = epoch.number,
                blocks = epoch.extended,
                "the epoch is extended: no block carries the certificate of a checkpoint that hands over to the next validator set"
            );
        }
        if epoch.number != self.epoch.number && self.acknowledgement_lag() > 1 {
            tracing::error!(
                epoch = epoch.number,
                acknowledged = self.progress.acked_epoch,
                "the parent's acknowledgement of the validator sets is late: are checkpoints relayed?"
            );
        }
        self.epoch = epoch;
        self.attest_due(outputs);
    }

    /// The calls of the peg module at the start of the next block.
    pub fn system_calls(&self) -> Vec<Bytes> {
        let mut calls = Vec::new();
        if let Some((view, sigs)) = self.attestations.best_parent_view(self.progress.imported, &self.progress.set) {
            let deposits: Vec<Deposit> = self
                .deposits
                .range(self.progress.imported.saturating_add(1)..=view.depositNonce)
                .map(|(_, deposit)| *deposit)
                .collect();
            let complete = u64::try_from(deposits.len()).ok() == view.depositNonce.checked_sub(self.progress.imported);
            if complete {
                let signatures = sigs.iter().map(Into::into).collect();
                calls.push(Bytes::from(IPeg::importDepositsCall { view_: view, signatures, deposits }.abi_encode()));
            }
        }
        if let Some((number, sigs)) = self.certified() {
            let signatures = sigs.iter().map(Into::into).collect();
            calls.push(Bytes::from(IPeg::recordCheckpointCall { number, signatures }.abi_encode()));
        }
        if let Some((seen, sigs)) = self.attestations.acknowledgement(&self.progress.set) {
            let signatures = sigs.iter().map(Into::into).collect();
            calls.push(Bytes::from(IPeg::acknowledgeSetCall { epoch: seen.epoch, signatures }.abi_encode()));
        }
        calls
    }

    /// Gossips unsettled own attestations again when the time has come.
    pub fn tick(&mut self, now_ms: u64, outputs: &mut Vec<Output>) {
        if now_ms < self.next_resend_ms {
            return;
        }
        self.next_resend_ms = now_ms.saturating_add(RESEND_MS);
        self.attest_due(outputs);
        let Some(signer) = self.member() else { return };
        let own = signer.address();
        outputs.extend(
            self.attestations
                .messages()
                .filter(|message| message.signer == own)
                .take(RESEND_BATCH)
                .map(|message| Output::Gossip(Box::new(*message))),
        );
    }

    /// When [`Federation::tick`] next has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.signer.is_some().then_some(self.next_resend_ms)
    }

    /// Attests everything that has waited since before this start.
    pub fn resume(&mut self, outputs: &mut Vec<Output>) {
        self.attest_due(outputs);
    }

    /// The latest unrecorded checkpoint with a certificate. The module knows a checkpoint from the block after its height on, and
    /// the next block is built on that block or a later one.
    fn certified(&self) -> Option<(u64, Vec<CertificateSig>)> {
        self.current_checkpoints().rev().find_map(|checkpoint| {
            let digest = self.domain.checkpoint_digest(checkpoint);
            Some((checkpoint.number, self.attestations.checkpoint(checkpoint.number, digest, &self.progress.set)?))
        })
    }

    fn adopt(&mut self, progress: PegProgress) {
        if progress.set != self.progress.set {
            // A member that leaves and returns attests again. The record of signatures stays, and the same digest may be signed again.
            self.attested.clear();
        }
        self.progress = progress;
        let unminted = self.progress.imported.saturating_add(1);
        self.deposits = self.deposits.split_off(&unminted);
        self.views = self.views.split_off(&unminted);
        self.signs.views = self.signs.views.split_off(&unminted);
        let latest = self.progress.unrecorded.keys().next_back().copied().unwrap_or(self.progress.recorded);
        let settled = Settled {
            imported_nonce: self.progress.imported,
            recorded_checkpoint: self.progress.recorded,
            latest_checkpoint: latest,
            epoch: self.progress.set.epoch(),
            acked_epoch: self.progress.acked_epoch,
        };
        self.attestations.prune(settled, &self.progress.set);
    }

    fn deposits(&mut self, view: ParentView, deposits: Vec<Deposit>, outputs: &mut Vec<Output>) {
        for deposit in deposits {
            if deposit.nonce > self.progress.imported {
                self.deposits.insert(deposit.nonce, deposit);
            }
        }
        if view.depositNonce <= self.progress.imported {
            return;
        }
        self.views.insert(view.depositNonce, view);
        self.attest_view(view, outputs);
    }
}
