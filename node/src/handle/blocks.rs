//! A block's stages: built or offered, executed, decided, durable.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{CommitCertificate, Height, Input, Misbehaviour, Round, ValidatorId};
use causeway_execution::ExecutedBlock;

use super::{BodyFault, Effect, Executing, MAX_EXECUTED, Node};
use crate::sets::NextHeight;

impl Node {
    pub(super) fn built(
        &mut self,
        now_ms: u64,
        height: Height,
        round: Round,
        executed: Arc<ExecutedBlock>,
        effects: &mut Vec<Effect>,
    ) {
        if height != self.height || self.committing {
            return;
        }
        let block_hash = executed.hash;
        let body = executed.block.encode();
        self.remember(executed);
        let outputs = self.host.step(now_ms, Input::BlockBuilt { height, round, block_hash, body });
        self.outputs(now_ms, outputs, effects);
    }

    pub(super) fn executed(&mut self, now_ms: u64, job: u64, executed: Arc<ExecutedBlock>, effects: &mut Vec<Effect>) {
        if self.executing.remove(&job).is_none() {
            return;
        }
        let block_hash = executed.hash;
        self.remember(executed);
        if self.decided.as_ref().is_some_and(|(certificate, _)| certificate.block_hash == block_hash) {
            self.commit_decided(effects);
            return;
        }
        let outputs = self.host.step(now_ms, Input::BlockVerdict { height: self.height, block_hash, valid: true });
        self.outputs(now_ms, outputs, effects);
    }

    pub(super) fn refused(&mut self, now_ms: u64, job: u64, fault: &BodyFault, effects: &mut Vec<Effect>) {
        let Some(Executing { block_hash, body, .. }) = self.executing.remove(&job) else { return };
        let height = self.height;
        if self
            .decided
            .as_ref()
            .is_some_and(|(certificate, decided)| certificate.block_hash == block_hash && *decided == body)
        {
            // While this node only catches up, no consensus step has checked the body yet: it may differ from the decided one.
            let other = matches!(fault, BodyFault::Encoding(_) | BodyFault::Hash { .. } | BodyFault::Content(_));
            if let Some(peer) = self.fetched_from.take().filter(|_| other) {
                self.decided = None;
                self.misbehaved(peer, &Misbehaviour::WrongBody, effects);
                return;
            }
            effects.push(Effect::Halt(format!(
                "block {block_hash} at height {} was decided by more than two thirds of the stake, but this node finds it invalid: {fault}. Either this \
                 binary differs from the others' or its state is damaged. Compare versions; then restore the data directory or sync from nothing.",
                height.0
            )));
            return;
        }
        tracing::warn!(height = height.0, %block_hash, %fault, "a proposed block is invalid");
        effects.push(Effect::InvalidBlock);
        let outputs = self.host.step(now_ms, Input::BlockVerdict { height, block_hash, valid: false });
        self.outputs(now_ms, outputs, effects);
    }

    pub(super) fn committed(
        &mut self,
        now_ms: u64,
        executed: &ExecutedBlock,
        next: NextHeight,
        effects: &mut Vec<Effect>,
    ) {
        let number = executed.block.header.number;
        if number != self.height.0 || !self.committing {
            return;
        }
        self.committing = false;
        let decided = self.decided.take();
        self.fetched_from = None;
        self.valid.clear();
        self.executing.clear();
        self.retry_at_ms = None;
        self.height = Height(number.saturating_add(1));
        self.head_timestamp = executed.block.header.timestamp;
        self.adopt(next, effects);
        if let Err(unknown) = self.settings.schedule.at(self.height.0) {
            effects.push(Effect::Halt(unknown.to_string()));
            return;
        }
        if let Some(hold) = &mut self.hold {
            if let Some((certificate, body)) = decided {
                self.host.keep_decided(certificate, body);
            }
            self.host.note_set(self.height, &self.next.validators.set);
            self.sync.height_started();
            hold.progressed(now_ms, self.height.0);
            return;
        }
        let next = self.started_ms.saturating_add(self.interval_ms());
        self.start_at_ms = Some(next.max(now_ms));
    }

    /// Replaces the data of the next height by those from the new head's state.
    fn adopt(&mut self, next: NextHeight, effects: &mut Vec<Effect>) {
        let (was_member, old) = (self.is_member(), std::mem::replace(&mut self.next, next));
        let epoch = self.next.epoch;
        if old.epoch.number != epoch.number {
            let validators = self.validators();
            tracing::info!(
                epoch = epoch.number,
                height = self.height.0,
                validators = validators.len(),
                power = validators.total_power(),
                "an epoch begins"
            );
        }
        match (was_member, self.is_member()) {
            (false, true) => {
                tracing::info!(height = self.height.0, "this node's validator joins the set: it signs from here on")
            }
            (true, false) => {
                tracing::info!(height = self.height.0, "this node's validator leaves the set: it follows from here on")
            }
            _ => {}
        }
        let own = self.settings.validator.and_then(|id| self.next.validators.peg_addresses.get(&id).copied());
        if let Some(progress) = self.next.peg.take() {
            self.federate(effects, |federation, outputs| federation.committed(progress, epoch.into(), own, outputs));
        }
    }

    pub(super) fn validate(
        &mut self,
        now_ms: u64,
        height: Height,
        block_hash: B256,
        body: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        // The body is compared too: a wrong body offered under a known hash must not count as that block's body.
        if self.valid.get(&block_hash).is_some_and(|executed| executed.block.encode() == body) {
            let outputs = self.host.step(now_ms, Input::BlockVerdict { height, block_hash, valid: true });
            self.outputs(now_ms, outputs, effects);
            return;
        }
        let certified = self.certified == Some(block_hash);
        self.execute(block_hash, certified, body, effects);
    }

    /// More than two thirds have decided this block: bodies of it that wait for a verdict are tried again, without the check against this node's clock.
    pub(super) fn certify(&mut self, block_hash: B256, body: &Bytes) {
        self.certified = Some(block_hash);
        for running in self.executing.values_mut() {
            if running.block_hash == block_hash && running.body == *body {
                running.certified = true;
            }
        }
    }

    /// Starts to execute a body, unless the same body is already being executed. Verdicts are stored by body, never by the hash that a
    /// proposal claims: a wrong body must not make a valid hash invalid.
    fn execute(&mut self, block_hash: B256, certified: bool, body: Bytes, effects: &mut Vec<Effect>) {
        if self
            .executing
            .values()
            .any(|running| running.block_hash == block_hash && running.certified >= certified && running.body == body)
        {
            return;
        }
        if self.executing.len() >= MAX_EXECUTED {
            tracing::warn!(height = self.height.0, %block_hash, "too many blocks of one height are being executed; this one gets no verdict");
            return;
        }
        let job = self.next_job;
        self.next_job = job.wrapping_add(1);
        self.executing.insert(job, Executing { block_hash, certified, body: body.clone() });
        effects.push(Effect::Execute { job, height: self.height, block_hash, certified, body });
    }

    pub(super) fn decide(
        &mut self,
        now_ms: u64,
        certificate: CommitCertificate,
        body: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        if certificate.height != self.height || self.decided.is_some() {
            return;
        }
        if let Err(reason) = self.settings.trust.block(certificate.height.0, certificate.block_hash) {
            effects.push(Effect::Halt(reason));
            return;
        }
        // A member took part in consensus with the others. For a node that only follows, votes prove no more than certificates do.
        if !self.is_member() && !self.may_catch_up(now_ms, effects) {
            return;
        }
        let block_hash = certificate.block_hash;
        self.decided = Some((certificate, body.clone()));
        if self.valid.contains_key(&block_hash) {
            self.commit_decided(effects);
        } else {
            self.execute(block_hash, true, body, effects);
        }
    }

    fn commit_decided(&mut self, effects: &mut Vec<Effect>) {
        let Some((certificate, _)) = &self.decided else { return };
        if self.committing {
            return;
        }
        if let Some(executed) = self.valid.get(&certificate.block_hash) {
            self.committing = true;
            let signed = |id: ValidatorId| certificate.signatures.iter().any(|signature| signature.validator == id);
            let missed = self.is_member() && !self.settings.validator.is_some_and(signed);
            effects.push(Effect::Commit { executed: executed.clone(), certificate: certificate.clone(), missed });
        }
    }

    fn remember(&mut self, executed: Arc<ExecutedBlock>) {
        if self.valid.len() >= MAX_EXECUTED && !self.valid.contains_key(&executed.hash) {
            // Blocks of other rounds; one that is decided later is executed again.
            self.valid.pop_first();
        }
        self.valid.insert(executed.hash, executed);
    }
}
