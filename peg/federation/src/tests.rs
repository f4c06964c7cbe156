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

fn federation_of(signer: usize, signs: PegSigns, progress: PegProgress) -> Federation {
    Federation::new(domain(), signers().get(signer).cloned(), signs, progress, Epoch::default())
}

fn federation() -> Federation {
    federation_of(0, PegSigns::default(), progress_of(set()))
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, ..Epoch::default() }
}

fn gossiped(outputs: &[Output]) -> Vec<Attestation> {
    let gossiped = outputs.iter().filter_map(|output| match output {
        Output::Gossip(message) => Some(message.attestation),
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

fn attest(federation: &mut Federation, signer: &Arc<dyn PegSigner>, view: ParentView) -> Received {
    federation.message(PegMessage::sign(&domain(), Attestation::ParentView(view), signer.as_ref()).unwrap())
}

#[test]
fn what_was_signed_is_persisted_before_it_is_gossiped() {
    let mut outputs = Vec::new();
    federation().parent(Seen::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut outputs);
    let [Output::Persist(signs), Output::Gossip(message)] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(message.attestation, Attestation::ParentView(view(5, 1..=1)));
    assert!(signs.views.contains_key(&1));
}

#[test]
fn a_second_view_of_one_nonce_is_not_signed_even_after_a_restart() {
    let mut outputs = Vec::new();
    let mut first = federation();
    first.parent(Seen::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut outputs);
    let mut restarted = federation_of(0, first.signs.clone(), progress_of(set()));
    outputs.clear();
    restarted.parent(Seen::Deposits { view: view(6, 1..=1), deposits: vec![deposit(1)] }, &mut outputs);
    assert!(outputs.is_empty(), "{outputs:?}");
    restarted.parent(Seen::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut outputs);
    assert!(outputs.iter().any(|output| matches!(output, Output::Gossip(_))), "the same view may be sent again");
}

#[test]
fn a_checkpoint_number_is_signed_with_one_digest_and_never_below_the_last() {
    let mut outputs = Vec::new();
    let mut federation = federation();
    federation.attest_checkpoint(&checkpoint(2, 1), &mut outputs);
    assert_eq!(outputs.len(), 2);
    for other in [checkpoint(2, 9), checkpoint(1, 1)] {
        outputs.clear();
        federation.attest_checkpoint(&other, &mut outputs);
        assert!(outputs.is_empty(), "{outputs:?}");
    }
}

#[test]
fn deposits_are_proposed_only_with_more_than_two_thirds_and_all_deposits_at_hand() {
    let signers = signers();
    let view = view(5, 1..=2);
    let mut federation = federation();
    for signer in &signers[1..3] {
        assert_eq!(attest(&mut federation, signer, view), Received::Accepted);
    }
    assert!(federation.system_calls().is_empty(), "half of the stake");
    assert_eq!(attest(&mut federation, &signers[3], view), Received::Accepted);
    assert!(federation.system_calls().is_empty(), "certified, but this node has not seen the deposits");
    let mut outputs = Vec::new();
    federation.parent(Seen::Deposits { view, deposits: vec![deposit(1), deposit(2)] }, &mut outputs);
    let calls = federation.system_calls();
    assert_eq!(calls.len(), 1);
    let call = IPeg::importDepositsCall::abi_decode(&calls[0]).unwrap();
    assert_eq!((call.deposits.len(), call.signatures.len()), (2, 3));
}

#[test]
fn a_conflict_at_the_parent_raises_an_alarm_until_it_is_over() {
    let mut outputs = Vec::new();
    let mut federation = federation();
    let conflict = "a: the finalised height went from 9 back to 3".to_owned();
    federation.parent(Seen::Conflict(conflict), &mut outputs);
    assert!(matches!(federation.alarm(), Some(Alarm::Conflict(_))));
    federation.parent(Seen::Recovered, &mut outputs);
    assert_eq!(federation.alarm(), None);
}

#[test]
fn a_forged_signature_is_refused_and_an_unknown_signer_ignored() {
    let mut federation = federation();
    let mut forged =
        PegMessage::sign(&domain(), Attestation::ParentView(view(5, 1..=1)), signers()[1].as_ref()).unwrap();
    forged.signer = signers()[2].address();
    assert!(matches!(federation.message(forged), Received::Refused(_)));
    let stranger: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new(B256::repeat_byte(0x55)).unwrap());
    assert_eq!(attest(&mut federation, &stranger, view(5, 1..=1)), Received::Known);
}

/// The federation of the fifth signer, which is not a member in epoch 0 and is one in epoch 1.
fn joiner() -> Federation {
    let signer: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new(B256::repeat_byte(5)).unwrap());
    Federation::new(domain(), Some(signer), PegSigns::default(), progress_of(set()), Epoch::default())
}

#[test]
fn a_joiner_attests_from_its_epoch_on_what_waits_since_before() {
    let mut outputs = Vec::new();
    let mut federation = joiner();
    let (waiting, update) = (view(5, 1..=1), vec![deposit(1)]);
    federation.parent(Seen::Deposits { view: waiting, deposits: update }, &mut outputs);
    assert!(outputs.is_empty() && !federation.is_member(), "{outputs:?}");
    let due = Checkpoint { epoch: 1, ..checkpoint(3, 1) };
    let progress = PegProgress { unrecorded: BTreeMap::from([(3, due)]), ..progress_of(set_of(1, 1..5)) };
    federation.committed(progress.clone(), epoch(1), None, &mut outputs);
    assert_eq!(gossiped(&outputs), [Attestation::Checkpoint(due), Attestation::ParentView(waiting)]);
    outputs.clear();
    federation.committed(progress, epoch(1), None, &mut outputs);
    assert!(outputs.is_empty(), "attested once: {outputs:?}");
    federation.committed(progress_of(set_of(2, 0..4)), epoch(2), None, &mut outputs);
    assert!(!federation.is_member() && outputs.is_empty(), "it left");
}

#[test]
fn attestations_of_those_who_left_no_longer_count_and_those_who_stay_need_not_repeat_theirs() {
    let signers = signers();
    let view = view(5, 1..=1);
    let mut federation = federation();
    let mut outputs = Vec::new();
    for signer in &signers[1..4] {
        attest(&mut federation, signer, view);
    }
    federation.parent(Seen::Deposits { view, deposits: vec![deposit(1)] }, &mut outputs);
    assert_eq!(federation.system_calls().len(), 1);
    // The third and fourth stay: half of the new set.
    federation.committed(progress_of(set_of(1, 2..6)), epoch(1), None, &mut outputs);
    assert!(federation.system_calls().is_empty());
    let fifth: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new(B256::repeat_byte(5)).unwrap());
    assert_eq!(attest(&mut federation, &fifth, view), Received::Accepted);
    assert_eq!(federation.system_calls().len(), 1);
    assert_eq!(attest(&mut federation, &signers[0], view), Received::Known, "no member any more");
}

#[test]
fn a_checkpoint_of_an_earlier_epoch_is_neither_signed_nor_proposed() {
    let mut outputs = Vec::new();
    let mut federation = federation();
    let old = checkpoint(2, 1);
    let progress = PegProgress { unrecorded: BTreeMap::from([(2, old)]), ..progress_of(set_of(1, 0..4)) };
    federation.committed(progress, epoch(1), None, &mut outputs);
    assert!(outputs.is_empty(), "{outputs:?}");
    for signer in signers() {
        let message = PegMessage::sign(&domain(), Attestation::Checkpoint(old), signer.as_ref()).unwrap();
        assert_eq!(federation.message(message), Received::Known);
    }
    assert!(federation.system_calls().is_empty());
}

#[test]
fn the_set_in_force_at_the_parent_is_acknowledged_when_it_is_this_chains_own() {
    let mut outputs = Vec::new();
    let mut federation = federation_of(0, PegSigns::default(), progress_of(set_of(2, 0..4)));
    let right = B256::repeat_byte(1);
    federation.parent(Seen::SetInForce { epoch: 1, commitment: B256::repeat_byte(9) }, &mut outputs);
    federation.parent(Seen::SetInForce { epoch: 3, commitment: right }, &mut outputs);
    assert!(outputs.is_empty(), "another set, or of an epoch that has not begun: {outputs:?}");
    federation.parent(Seen::SetInForce { epoch: 1, commitment: right }, &mut outputs);
    let seen = Attestation::SetAcknowledged(SetAcknowledged { epoch: 1, commitment: right });
    assert_eq!(gossiped(&outputs), [seen]);
    assert!(federation.system_calls().is_empty(), "one of four");
    for signer in &signers()[1..3] {
        assert_eq!(federation.message(PegMessage::sign(&domain(), seen, signer.as_ref()).unwrap()), Received::Accepted);
    }
    let calls = federation.system_calls();
    let call = IPeg::acknowledgeSetCall::abi_decode(&calls[0]).unwrap();
    assert_eq!((calls.len(), call.epoch, call.signatures.len()), (1, 1, 3));
    let settled = PegProgress { acked_epoch: 1, ..progress_of(set_of(2, 0..4)) };
    federation.committed(settled, epoch(2), None, &mut outputs);
    assert!(federation.system_calls().is_empty());
}

#[test]
fn an_extended_epoch_a_late_acknowledgement_and_a_foreign_key_are_alarms() {
    let mut outputs = Vec::new();
    let mut federation = federation();
    assert_eq!(federation.alarms(), Vec::<String>::new());
    federation.committed(progress_of(set_of(1, 0..4)), epoch(1), None, &mut outputs);
    assert_eq!(federation.alarms(), Vec::<String>::new(), "one epoch is the normal lag");
    let extended = Epoch { number: 2, extended: 7 };
    federation.committed(progress_of(set_of(2, 0..4)), extended, Some(Address::repeat_byte(7)), &mut outputs);
    let alarms = federation.alarms();
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
    let mut outputs = Vec::new();
    let away = Arc::new(Away(signers()[0].clone(), true.into()));
    let signer: Arc<dyn PegSigner> = away.clone();
    let mut federation =
        Federation::new(domain(), Some(signer), PegSigns::default(), progress_of(set()), Epoch::default());
    federation.parent(Seen::Deposits { view: view(5, 1..=1), deposits: vec![deposit(1)] }, &mut outputs);
    assert!(matches!(outputs.as_slice(), [Output::Persist(_)]), "{outputs:?}");
    outputs.clear();
    away.1.store(false, std::sync::atomic::Ordering::Relaxed);
    federation.tick(RESEND_MS, &mut outputs);
    assert!(gossiped(&outputs).contains(&Attestation::ParentView(view(5, 1..=1))));
}
