//! The federation's desk in a node: which deposits are known, what this validator attests, which certificates the next block
//! can carry. Pure; signing goes through a [`PegSigner`] and the record of what was signed is persisted before it leaves.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_execution::{ExecutedBlock, SystemCall};
use causeway_genesis::addresses::PEG;
use causeway_parent::ParentUpdate;
use causeway_peg::{
    Attestation, Attestations, CertificateSig, Checkpoint, Deposit, IPeg, Outcome, ParentView, PegDomain, PegMessage,
    PegModule, PegSigner, PegValidatorSet, Slots,
};

use crate::handle::Effect;

/// Deposits held that no block has minted yet; beyond it the parent watcher waits.
pub const MAX_WAITING_DEPOSITS: usize = 2_048;
/// How often unsettled attestations are gossiped again, in milliseconds.
pub const RESEND_MS: u64 = 2_000;
/// Attestations sent again at a time.
pub const RESEND_BATCH: usize = 64;

/// What the peg key has signed: never two digests for one checkpoint number, never a number below the last.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PegSigns {
    /// The latest checkpoint signed, by number and digest.
    pub checkpoint: Option<(u64, B256)>,
    /// Views signed for deposits that are not minted yet: the nonce a view reaches, and its digest.
    pub views: BTreeMap<u64, B256>,
}

impl PegSigns {
    fn may_sign_checkpoint(&self, number: u64, digest: B256) -> bool {
        self.checkpoint.is_none_or(|(last, signed)| number > last || (number == last && digest == signed))
    }

    fn may_sign_view(&self, nonce: u64, digest: B256) -> bool {
        self.views.get(&nonce).is_none_or(|signed| *signed == digest)
    }
}

/// What the durable state says of the peg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PegProgress {
    /// Deposits minted, as a nonce.
    pub imported: u64,
    /// Accumulator after the last minted deposit.
    pub imported_acc: B256,
    /// Parent height of the last imported view.
    pub parent_height: u64,
    /// Latest checkpoint whose certificate a block carries.
    pub recorded: u64,
    /// Canonical checkpoints after it, by number.
    pub unrecorded: BTreeMap<u64, Checkpoint>,
}

/// How many canonical checkpoints after the recorded one are loaded.
const MAX_UNRECORDED: u64 = causeway_peg::attestations::CHECKPOINTS_BEHIND;

impl PegProgress {
    /// Reads the module's slots after the block `header`.
    ///
    /// # Errors
    /// The slots' own.
    pub fn read<S: Slots>(
        module: &PegModule,
        slots: &mut S,
        header: &causeway_peg::ParentHeaderInfo,
    ) -> Result<Self, S::Error> {
        let recorded = PegModule::recorded_checkpoint_number(slots)?;
        let latest = PegModule::latest_checkpoint_number(slots)?;
        let mut unrecorded = BTreeMap::new();
        for number in recorded.max(latest.saturating_sub(MAX_UNRECORDED)).saturating_add(1)..=latest {
            if let Some(checkpoint) = PegModule::checkpoint(slots, number)? {
                unrecorded.insert(number, checkpoint);
            }
        }
        if let Some(due) = module.checkpoint_due(slots, header)? {
            unrecorded.insert(due.number, due);
        }
        Ok(Self {
            imported: PegModule::deposit_nonce(slots)?,
            imported_acc: PegModule::deposit_acc(slots)?,
            parent_height: PegModule::last_parent_height(slots)?,
            recorded,
            unrecorded,
        })
    }
}

/// What the desk says of a message from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskVerdict {
    /// New and valid.
    Accepted,
    /// Valid but known, or of no use to this node now.
    Known,
    /// Not valid, and its sender is to blame.
    Refused(String),
}

/// Why deposits are not attested right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// The parent's endpoints contradict each other, or the parent broke finality.
    Conflict(String),
    /// No answer since this time, Unix milliseconds.
    Unreachable {
        /// Since when.
        since_ms: u64,
        /// The last failure.
        reason: String,
    },
}

/// The desk's state.
pub struct PegDesk {
    domain: PegDomain,
    set: PegValidatorSet,
    signer: Option<Arc<dyn PegSigner>>,
    signs: PegSigns,
    attestations: Attestations,
    deposits: BTreeMap<u64, Deposit>,
    progress: PegProgress,
    alarm: Option<Alarm>,
    parent_height: u64,
    parent_timestamp: Option<u64>,
    accepted_checkpoint: u64,
    next_resend_ms: u64,
}

impl std::fmt::Debug for PegDesk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PegDesk")
            .field("progress", &self.progress)
            .field("deposits", &self.deposits.len())
            .finish_non_exhaustive()
    }
}

impl PegDesk {
    /// A desk that starts from the durable state. `signer` is none on a node that is no peg validator.
    pub fn new(
        domain: PegDomain,
        set: PegValidatorSet,
        signer: Option<Arc<dyn PegSigner>>,
        signs: PegSigns,
        progress: PegProgress,
    ) -> Self {
        let signer = signer.filter(|signer| set.get(&signer.address()).is_some());
        let attestations = Attestations::new(domain);
        let mut desk = Self {
            domain,
            set,
            signer,
            signs,
            attestations,
            deposits: BTreeMap::new(),
            progress: PegProgress::default(),
            alarm: None,
            parent_height: 0,
            parent_timestamp: None,
            accepted_checkpoint: 0,
            next_resend_ms: 0,
        };
        desk.adopt(progress);
        desk
    }

    /// Whether the watcher should wait: enough deposits are held.
    pub fn is_full(&self) -> bool {
        self.deposits.len() >= MAX_WAITING_DEPOSITS
    }

    /// What the durable state says.
    pub fn progress(&self) -> &PegProgress {
        &self.progress
    }

    /// Deposits seen final on the parent and not minted yet, by nonce.
    pub fn waiting(&self) -> &BTreeMap<u64, Deposit> {
        &self.deposits
    }

    /// The furthest deposit nonce that a certificate covers.
    pub fn attested(&self) -> u64 {
        self.attestations
            .best_parent_view(self.progress.imported, &self.set)
            .map_or(self.progress.imported, |(view, _)| view.depositNonce)
    }

    /// Why deposits wait, if they do.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// Latest finalised height of the parent this node has seen.
    pub fn parent_height(&self) -> u64 {
        self.parent_height
    }

    /// Timestamp of that block, Unix seconds.
    pub fn parent_timestamp(&self) -> Option<u64> {
        self.parent_timestamp
    }

    /// The latest checkpoint with a certificate, in a block or not.
    pub fn certified_checkpoint(&self) -> Option<u64> {
        self.certified().map(|(number, _)| number).or((self.progress.recorded > 0).then_some(self.progress.recorded))
    }

    /// Latest checkpoint that the registry on the parent has accepted, as far as this node has seen.
    pub fn accepted_checkpoint(&self) -> u64 {
        self.accepted_checkpoint
    }

    /// News from the parent.
    pub fn parent(&mut self, update: ParentUpdate, effects: &mut Vec<Effect>) {
        match update {
            ParentUpdate::Finalized { height, timestamp, .. } => {
                self.parent_height = height;
                self.parent_timestamp = Some(timestamp);
            }
            ParentUpdate::Deposits { view, deposits } => self.deposits(view, deposits, effects),
            ParentUpdate::Conflict(conflict) => {
                tracing::error!(%conflict, "the parent chain's sources conflict: this node attests no deposits until they agree");
                self.alarm = Some(Alarm::Conflict(conflict.to_string()));
            }
            ParentUpdate::Recovered => {
                tracing::info!("the parent chain's sources agree and answer again");
                self.alarm = None;
            }
            ParentUpdate::Unreachable { since_ms, reason } => {
                tracing::warn!(%reason, "the parent chain does not answer; deposits wait");
                self.alarm = Some(Alarm::Unreachable { since_ms, reason });
            }
            ParentUpdate::Checkpoint { number, .. } => self.accepted_checkpoint = number,
        }
    }

    /// A peg signature from a peer.
    pub fn message(&mut self, message: PegMessage) -> DeskVerdict {
        match self.attestations.add(message, &self.set) {
            Outcome::Added => DeskVerdict::Accepted,
            Outcome::Duplicate => DeskVerdict::Known,
            Outcome::Equivocation(pair) => {
                tracing::error!(signer = %pair.0.signer, first = ?pair.0.attestation, second = ?pair.1.attestation, "a peg validator signed two conflicting attestations");
                DeskVerdict::Accepted
            }
            Outcome::Refused(refusal) if refusal.is_peers_fault() => DeskVerdict::Refused(refusal.to_string()),
            Outcome::Refused(_) => DeskVerdict::Known,
        }
    }

    /// A block is durable: settle what it carries, sign the checkpoint that became due.
    pub fn committed(&mut self, executed: &ExecutedBlock, progress: PegProgress, effects: &mut Vec<Effect>) {
        self.adopt(progress);
        let due = self.progress.unrecorded.values().next_back().copied();
        if let Some(checkpoint) = due.filter(|checkpoint| checkpoint.height == executed.block.header.number) {
            self.sign_checkpoint(&checkpoint, effects);
        }
    }

    /// The system transactions the next block can begin with.
    pub fn system_calls(&self) -> Vec<SystemCall> {
        let mut calls = Vec::new();
        if let Some((view, sigs)) = self.attestations.best_parent_view(self.progress.imported, &self.set) {
            let deposits: Vec<Deposit> = self
                .deposits
                .range(self.progress.imported.saturating_add(1)..=view.depositNonce)
                .map(|(_, deposit)| *deposit)
                .collect();
            let complete = u64::try_from(deposits.len()).ok() == view.depositNonce.checked_sub(self.progress.imported);
            if complete {
                let signatures = sigs.iter().map(Into::into).collect();
                calls.push(SystemCall {
                    to: PEG,
                    input: Bytes::from(IPeg::importDepositsCall { view_: view, signatures, deposits }.abi_encode()),
                });
            }
        }
        if let Some((number, sigs)) = self.certified() {
            let signatures = sigs.iter().map(Into::into).collect();
            calls.push(SystemCall {
                to: PEG,
                input: Bytes::from(IPeg::recordCheckpointCall { number, signatures }.abi_encode()),
            });
        }
        calls
    }

    /// Gossips own unsettled attestations again when it is time.
    pub fn tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if now_ms < self.next_resend_ms {
            return;
        }
        self.next_resend_ms = now_ms.saturating_add(RESEND_MS);
        let Some(signer) = &self.signer else { return };
        let own = signer.address();
        effects.extend(
            self.attestations
                .messages()
                .filter(|message| message.signer == own)
                .take(RESEND_BATCH)
                .map(|message| Effect::GossipPeg(*message)),
        );
    }

    /// When [`PegDesk::tick`] has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.signer.is_some().then_some(self.next_resend_ms)
    }

    /// Signs checkpoints that became due before this start and are still unrecorded.
    pub fn resume(&mut self, effects: &mut Vec<Effect>) {
        let due: Vec<Checkpoint> = self.progress.unrecorded.values().copied().collect();
        for checkpoint in due {
            self.sign_checkpoint(&checkpoint, effects);
        }
    }

    /// The latest unrecorded checkpoint with a certificate. The module knows a checkpoint from the block after its height on, and
    /// building happens on that block's parent or later.
    fn certified(&self) -> Option<(u64, Vec<CertificateSig>)> {
        self.progress.unrecorded.iter().rev().find_map(|(number, checkpoint)| {
            let digest = self.domain.checkpoint_digest(checkpoint);
            Some((*number, self.attestations.checkpoint(*number, digest, &self.set)?))
        })
    }

    fn adopt(&mut self, progress: PegProgress) {
        self.progress = progress;
        self.deposits = self.deposits.split_off(&self.progress.imported.saturating_add(1));
        self.signs.views = self.signs.views.split_off(&self.progress.imported.saturating_add(1));
        let latest = self.progress.unrecorded.keys().next_back().copied().unwrap_or(self.progress.recorded);
        self.attestations.prune(self.progress.imported, self.progress.recorded, latest);
    }

    fn deposits(&mut self, view: ParentView, deposits: Vec<Deposit>, effects: &mut Vec<Effect>) {
        for deposit in deposits {
            if deposit.nonce > self.progress.imported {
                self.deposits.insert(deposit.nonce, deposit);
            }
        }
        if view.depositNonce <= self.progress.imported {
            return;
        }
        let Some(signer) = self.signer.clone() else { return };
        let digest = self.domain.parent_view_digest(&view);
        if !self.signs.may_sign_view(view.depositNonce, digest) {
            tracing::error!(
                nonce = view.depositNonce,
                "the parent's history changed under a view this node has signed; it signs no other"
            );
            return;
        }
        self.signs.views.insert(view.depositNonce, digest);
        self.attest(Attestation::ParentView(view), &signer, effects);
    }

    fn sign_checkpoint(&mut self, checkpoint: &Checkpoint, effects: &mut Vec<Effect>) {
        let Some(signer) = self.signer.clone() else { return };
        let digest = self.domain.checkpoint_digest(checkpoint);
        if !self.signs.may_sign_checkpoint(checkpoint.number, digest) {
            if self.signs.checkpoint.is_some_and(|(last, _)| last == checkpoint.number) {
                tracing::error!(
                    number = checkpoint.number,
                    "this node has signed another digest of this checkpoint; it signs no second one"
                );
            }
            return;
        }
        self.signs.checkpoint = Some((checkpoint.number, digest));
        self.attest(Attestation::Checkpoint(*checkpoint), &signer, effects);
    }

    fn attest(&mut self, attestation: Attestation, signer: &Arc<dyn PegSigner>, effects: &mut Vec<Effect>) {
        let message = match PegMessage::sign(&self.domain, attestation, signer.as_ref()) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, "the peg key cannot sign");
                return;
            }
        };
        effects.push(Effect::PersistPegSigns(self.signs.clone()));
        if let Outcome::Refused(refusal) = self.attestations.add(message, &self.set) {
            tracing::debug!(%refusal, "own attestation is outside the window");
            return;
        }
        effects.push(Effect::GossipPeg(message));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::{Address, U256};
    use causeway_peg::{
        LocalPegSigner, PegValidator,
        deposit::{deposit_leaf, extend_acc},
    };

    use super::*;

    fn signers() -> Vec<Arc<dyn PegSigner>> {
        (1..=4)
            .map(|byte| Arc::new(LocalPegSigner::new(B256::repeat_byte(byte)).unwrap()) as Arc<dyn PegSigner>)
            .collect()
    }

    fn domain() -> PegDomain {
        PegDomain { parent_chain_id: 1, registry: Address::repeat_byte(9), genesis_hash: B256::repeat_byte(8) }
    }

    fn set() -> PegValidatorSet {
        let validators = signers().iter().map(|signer| PegValidator { address: signer.address(), power: 10 }).collect();
        PegValidatorSet::new(0, validators).unwrap()
    }

    fn desk() -> PegDesk {
        PegDesk::new(domain(), set(), signers().first().cloned(), PegSigns::default(), PegProgress::default())
    }

    fn deposit(nonce: u64) -> Deposit {
        Deposit {
            nonce,
            token: Address::ZERO,
            sender: Address::ZERO,
            recipient: Address::repeat_byte(3),
            amount: U256::from(nonce),
        }
    }

    fn view(height: u64, nonces: std::ops::RangeInclusive<u64>) -> ParentView {
        let acc = nonces.clone().fold(B256::ZERO, |acc, nonce| extend_acc(acc, deposit_leaf(&deposit(nonce))));
        ParentView {
            parentHeight: height,
            parentHash: B256::repeat_byte(1),
            depositNonce: *nonces.end(),
            depositAcc: acc,
        }
    }

    fn checkpoint(number: u64, state_root: u8) -> Checkpoint {
        Checkpoint {
            number,
            prevDigest: B256::ZERO,
            height: number * 5,
            blockHash: B256::ZERO,
            stateRoot: B256::repeat_byte(state_root),
            withdrawalRoot: B256::ZERO,
            withdrawalCount: 0,
            depositNonce: 0,
            depositAcc: B256::ZERO,
            epoch: 0,
            nextValset: B256::ZERO,
        }
    }

    fn attest(desk: &mut PegDesk, signer: &Arc<dyn PegSigner>, view: ParentView) -> DeskVerdict {
        desk.message(PegMessage::sign(&domain(), Attestation::ParentView(view), signer.as_ref()).unwrap())
    }

    #[test]
    fn what_was_signed_is_persisted_before_it_is_gossiped() {
        let mut effects = Vec::new();
        desk().parent(ParentUpdate::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut effects);
        let [Effect::PersistPegSigns(signs), Effect::GossipPeg(message)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        assert_eq!(message.attestation, Attestation::ParentView(view(5, 1..=1)));
        assert!(signs.views.contains_key(&1));
    }

    #[test]
    fn a_second_view_of_one_nonce_is_not_signed_even_after_a_restart() {
        let mut effects = Vec::new();
        let mut first = desk();
        first.parent(ParentUpdate::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut effects);
        let mut restarted =
            PegDesk::new(domain(), set(), signers().first().cloned(), first.signs.clone(), PegProgress::default());
        effects.clear();
        restarted.parent(ParentUpdate::Deposits { view: view(6, 1..=1), deposits: vec![deposit(1)] }, &mut effects);
        assert!(effects.is_empty(), "{effects:?}");
        restarted.parent(ParentUpdate::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut effects);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::GossipPeg(_))), "the same view may be sent again");
    }

    #[test]
    fn a_checkpoint_number_is_signed_with_one_digest_and_never_below_the_last() {
        let mut effects = Vec::new();
        let mut desk = desk();
        desk.sign_checkpoint(&checkpoint(2, 1), &mut effects);
        assert_eq!(effects.len(), 2);
        for other in [checkpoint(2, 9), checkpoint(1, 1)] {
            effects.clear();
            desk.sign_checkpoint(&other, &mut effects);
            assert!(effects.is_empty(), "{effects:?}");
        }
    }

    #[test]
    fn deposits_are_proposed_only_with_more_than_two_thirds_and_all_deposits_at_hand() {
        let signers = signers();
        let view = view(5, 1..=2);
        let mut desk = desk();
        for signer in &signers[1..3] {
            assert_eq!(attest(&mut desk, signer, view), DeskVerdict::Accepted);
        }
        assert!(desk.system_calls().is_empty(), "half of the stake");
        assert_eq!(attest(&mut desk, &signers[3], view), DeskVerdict::Accepted);
        assert!(desk.system_calls().is_empty(), "certified, but this node has not seen the deposits");
        let mut effects = Vec::new();
        desk.parent(ParentUpdate::Deposits { view, deposits: vec![deposit(1), deposit(2)] }, &mut effects);
        let calls = desk.system_calls();
        assert_eq!(calls.len(), 1);
        let call = IPeg::importDepositsCall::abi_decode(&calls[0].input).unwrap();
        assert_eq!((call.deposits.len(), call.signatures.len()), (2, 3));
    }

    #[test]
    fn a_conflict_at_the_parent_raises_an_alarm_until_it_is_over() {
        let mut effects = Vec::new();
        let mut desk = desk();
        let conflict = causeway_parent::Conflict::Regressed { endpoint: "a".into(), from: 9, to: 3 };
        desk.parent(ParentUpdate::Conflict(conflict), &mut effects);
        assert!(matches!(desk.alarm(), Some(Alarm::Conflict(_))));
        desk.parent(ParentUpdate::Recovered, &mut effects);
        assert_eq!(desk.alarm(), None);
    }

    #[test]
    fn a_forged_signature_is_refused_and_an_unknown_signer_ignored() {
        let mut desk = desk();
        let mut forged =
            PegMessage::sign(&domain(), Attestation::ParentView(view(5, 1..=1)), signers()[1].as_ref()).unwrap();
        forged.signer = signers()[2].address();
        assert!(matches!(desk.message(forged), DeskVerdict::Refused(_)));
        let stranger: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new(B256::repeat_byte(0x55)).unwrap());
        assert_eq!(attest(&mut desk, &stranger, view(5, 1..=1)), DeskVerdict::Known);
    }
}
