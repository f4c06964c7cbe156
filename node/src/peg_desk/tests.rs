//! Tests of the federation: what it attests, when, and which certificates it puts into a block.
#![allow(clippy::unwrap_used)]
use alloy_primitives::{Address, U256};
use causeway_peg::{
    Checkpoint, LocalPegSigner, PegValidator, PegValidatorSet, SetAcknowledged,
    deposit::{deposit_leaf, extend_acc},
};

use super::*;

fn signers() -> Vec<Arc<dyn PegSigner>> {
    (1..=4).map(|byte| Arc::new(LocalPegSigner::new(B256::repeat_byte(byte)).unwrap()) as Arc<dyn PegSigner>).collect()
}

fn domain() -> PegDomain {
    PegDomain { parent_chain_id: 1, registry: Address::repeat_byte(9), genesis_hash: B256::repeat_byte(8) }
}

fn set() -> PegValidatorSet {
    let validators = signers().iter().map(|signer| PegValidator { address: signer.address(), power: 10 }).collect();
    PegValidatorSet::new(0, validators).unwrap()
}

fn set_of(epoch: u64, members: std::ops::Range<usize>) -> PegValidatorSet {
    let all: Vec<Arc<dyn PegSigner>> = (1..=8)
        .map(|byte| Arc::new(LocalPegSigner::new(B256::repeat_byte(byte)).unwrap()) as Arc<dyn PegSigner>)
        .collect();
    let validators = all[members].iter().map(|signer| PegValidator { address: signer.address(), power: 10 }).collect();
    PegValidatorSet::new(epoch, validators).unwrap()
}

fn progress_of(set: PegValidatorSet) -> PegProgress {
    PegProgress {
        commitments: (1..=set.epoch()).map(|epoch| (epoch, B256::repeat_byte(u8::try_from(epoch).unwrap()))).collect(),
        set,
        acked_epoch: 0,
        imported: 0,
        imported_acc: B256::ZERO,
        parent_height: 0,
        recorded: 0,
        unrecorded: BTreeMap::new(),
    }
}

fn desk_of(signer: usize, signs: PegSigns, progress: PegProgress) -> PegDesk {
    PegDesk::new(domain(), signers().get(signer).cloned(), signs, progress, Epoch::default())
}

fn desk() -> PegDesk {
    desk_of(0, PegSigns::default(), progress_of(set()))
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, ..Epoch::default() }
}

fn gossiped(effects: &[Effect]) -> Vec<Attestation> {
    let gossiped = effects.iter().filter_map(|effect| match effect {
        Effect::GossipPeg(message) => Some(message.attestation),
        _ => None,
    });
    gossiped.collect()
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
    ParentView { parentHeight: height, parentHash: B256::repeat_byte(1), depositNonce: *nonces.end(), depositAcc: acc }
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
    let mut restarted = desk_of(0, first.signs.clone(), progress_of(set()));
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
    desk.attest_checkpoint(&checkpoint(2, 1), &mut effects);
    assert_eq!(effects.len(), 2);
    for other in [checkpoint(2, 9), checkpoint(1, 1)] {
        effects.clear();
        desk.attest_checkpoint(&other, &mut effects);
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

/// The federation of the fifth signer, which is not a member in epoch 0 and is one in epoch 1.
fn joiner() -> PegDesk {
    let signer: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new(B256::repeat_byte(5)).unwrap());
    PegDesk::new(domain(), Some(signer), PegSigns::default(), progress_of(set()), Epoch::default())
}

#[test]
fn a_joiner_attests_from_its_epoch_on_what_waits_since_before() {
    let mut effects = Vec::new();
    let mut desk = joiner();
    let (waiting, update) = (view(5, 1..=1), vec![deposit(1)]);
    desk.parent(ParentUpdate::Deposits { view: waiting, deposits: update }, &mut effects);
    assert!(effects.is_empty() && !desk.is_member(), "{effects:?}");
    let due = Checkpoint { epoch: 1, ..checkpoint(3, 1) };
    let progress = PegProgress { unrecorded: BTreeMap::from([(3, due)]), ..progress_of(set_of(1, 1..5)) };
    desk.committed(progress.clone(), epoch(1), None, &mut effects);
    assert_eq!(gossiped(&effects), [Attestation::Checkpoint(due), Attestation::ParentView(waiting)]);
    effects.clear();
    desk.committed(progress, epoch(1), None, &mut effects);
    assert!(effects.is_empty(), "attested once: {effects:?}");
    desk.committed(progress_of(set_of(2, 0..4)), epoch(2), None, &mut effects);
    assert!(!desk.is_member() && effects.is_empty(), "it left");
}

#[test]
fn attestations_of_those_who_left_no_longer_count_and_those_who_stay_need_not_repeat_theirs() {
    let signers = signers();
    let view = view(5, 1..=1);
    let mut desk = desk();
    let mut effects = Vec::new();
    for signer in &signers[1..4] {
        attest(&mut desk, signer, view);
    }
    desk.parent(ParentUpdate::Deposits { view, deposits: vec![deposit(1)] }, &mut effects);
    assert_eq!(desk.system_calls().len(), 1);
    // The third and fourth stay: half of the new set.
    desk.committed(progress_of(set_of(1, 2..6)), epoch(1), None, &mut effects);
    assert!(desk.system_calls().is_empty());
    let fifth: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new(B256::repeat_byte(5)).unwrap());
    assert_eq!(attest(&mut desk, &fifth, view), DeskVerdict::Accepted);
    assert_eq!(desk.system_calls().len(), 1);
    assert_eq!(attest(&mut desk, &signers[0], view), DeskVerdict::Known, "no member any more");
}

#[test]
fn a_checkpoint_of_an_earlier_epoch_is_neither_signed_nor_proposed() {
    let mut effects = Vec::new();
    let mut desk = desk();
    let old = checkpoint(2, 1);
    let progress = PegProgress { unrecorded: BTreeMap::from([(2, old)]), ..progress_of(set_of(1, 0..4)) };
    desk.committed(progress, epoch(1), None, &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
    for signer in signers() {
        let message = PegMessage::sign(&domain(), Attestation::Checkpoint(old), signer.as_ref()).unwrap();
        assert_eq!(desk.message(message), DeskVerdict::Known);
    }
    assert!(desk.system_calls().is_empty());
}

#[test]
fn the_set_in_force_at_the_parent_is_acknowledged_when_it_is_this_chains_own() {
    let mut effects = Vec::new();
    let mut desk = desk_of(0, PegSigns::default(), progress_of(set_of(2, 0..4)));
    let right = B256::repeat_byte(1);
    desk.parent(ParentUpdate::SetCommitted { epoch: 1, commitment: B256::repeat_byte(9) }, &mut effects);
    desk.parent(ParentUpdate::SetCommitted { epoch: 3, commitment: right }, &mut effects);
    assert!(effects.is_empty(), "another set, or of an epoch that has not begun: {effects:?}");
    desk.parent(ParentUpdate::SetCommitted { epoch: 1, commitment: right }, &mut effects);
    let seen = Attestation::SetAcknowledged(SetAcknowledged { epoch: 1, commitment: right });
    assert_eq!(gossiped(&effects), [seen]);
    assert!(desk.system_calls().is_empty(), "one of four");
    for signer in &signers()[1..3] {
        assert_eq!(desk.message(PegMessage::sign(&domain(), seen, signer.as_ref()).unwrap()), DeskVerdict::Accepted);
    }
    let calls = desk.system_calls();
    let call = IPeg::acknowledgeSetCall::abi_decode(&calls[0].input).unwrap();
    assert_eq!((calls.len(), call.epoch, call.signatures.len()), (1, 1, 3));
    let settled = PegProgress { acked_epoch: 1, ..progress_of(set_of(2, 0..4)) };
    desk.committed(settled, epoch(2), None, &mut effects);
    assert!(desk.system_calls().is_empty());
}

#[test]
fn an_extended_epoch_a_late_acknowledgement_and_a_foreign_key_are_alarms() {
    let mut effects = Vec::new();
    let mut desk = desk();
    assert_eq!(desk.alarms(), Vec::<String>::new());
    desk.committed(progress_of(set_of(1, 0..4)), epoch(1), None, &mut effects);
    assert_eq!(desk.alarms(), Vec::<String>::new(), "one epoch is the normal lag");
    let extended = Epoch { number: 2, extended: 7, ..Epoch::default() };
    desk.committed(progress_of(set_of(2, 0..4)), extended, Some(Address::repeat_byte(7)), &mut effects);
    let alarms = desk.alarms();
    assert_eq!(alarms.len(), 3, "{alarms:?}");
    assert!(alarms[0].contains("epoch 2 is 7 blocks longer") && alarms[1].contains("epoch 0"), "{alarms:?}");
    assert!(alarms[2].contains(&Address::repeat_byte(7).to_string()), "{alarms:?}");
}

/// Gives no signature until it is switched on.
struct Away(Arc<dyn PegSigner>, std::sync::atomic::AtomicBool);

impl PegSigner for Away {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn sign(&self, digest: B256) -> Result<causeway_peg::Signature65, causeway_peg::SignatureError> {
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(causeway_peg::SignatureError::Unavailable);
        }
        self.0.sign(digest)
    }
}

#[test]
fn a_signer_that_was_away_makes_up_for_it() {
    let mut effects = Vec::new();
    let away = Arc::new(Away(signers()[0].clone(), true.into()));
    let signer: Arc<dyn PegSigner> = away.clone();
    let mut desk = PegDesk::new(domain(), Some(signer), PegSigns::default(), progress_of(set()), Epoch::default());
    desk.parent(ParentUpdate::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut effects);
    assert!(matches!(effects.as_slice(), [Effect::PersistPegSigns(_)]), "{effects:?}");
    effects.clear();
    away.1.store(false, std::sync::atomic::Ordering::Relaxed);
    desk.tick(RESEND_MS, &mut effects);
    assert!(gossiped(&effects).contains(&Attestation::ParentView(view(5, 1..=1))));
}
