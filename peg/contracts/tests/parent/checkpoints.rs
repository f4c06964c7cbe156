use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_peg::{Checkpoint, deposit::deposit_leaf};

use crate::{
    chain::Outcome,
    world::{ALICE, BOB, RELAYER, World, ether},
};

fn send(world: &mut World, call: &CheckpointRegistry::submitCall) -> Outcome {
    world.chain.send(RELAYER, world.registry, U256::ZERO, call)
}

fn world_with_checkpoint() -> (World, Checkpoint) {
    let mut world = World::new(&[1, 1, 1, 1]);
    world.deposit(ALICE, BOB, ether(1));
    world.import();
    let checkpoint = world.checkpoint();
    (world, checkpoint)
}

#[test]
fn certified_checkpoint_is_accepted_and_stored() {
    let (mut world, checkpoint) = world_with_checkpoint();
    world.withdraw(ALICE, BOB, U256::ONE, U256::ZERO);
    let timestamp = world.chain.timestamp;
    let outcome = world.submit(&checkpoint, &[0, 1, 2]);
    let digest = world.domain().checkpoint_digest(&checkpoint);
    let event: CheckpointRegistry::CheckpointAccepted = outcome.event();
    assert_eq!((event.number, event.digest, event.height), (1, digest, checkpoint.height));
    assert_eq!(event.withdrawalRoot, checkpoint.withdrawalRoot);
    assert_eq!(world.chain.view(world.registry, &CheckpointRegistry::latestDigestCall {}), digest);
    let latest = world.chain.view(world.registry, &CheckpointRegistry::latestCall {});
    assert_eq!((latest.number, latest.height, latest.epoch), (1, checkpoint.height, 0));
    let accepted = world.chain.view(world.registry, &CheckpointRegistry::acceptedCall { number: 1 });
    assert_eq!(
        (accepted.withdrawalRoot, accepted.withdrawalCount, accepted.acceptedAt),
        (checkpoint.withdrawalRoot, 0, timestamp)
    );
    let next = world.checkpoint();
    assert_eq!(next.prevDigest, digest);
    assert!(world.submit(&next, &[1, 2, 3]).ok());
}

#[test]
fn underpowered_checkpoint_is_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    for who in [&[][..], &[0], &[0, 3]] {
        let power = U256::from(who.len());
        world.submit(&checkpoint, who).refused_with(CheckpointRegistry::NoQuorum { power, total: U256::from(4) });
    }
}

#[test]
fn one_signature_given_for_two_members_is_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let mut call = world.submission(&checkpoint, &[0, 1, 2]);
    let mut signatures = call.signatures.to_vec();
    signatures.copy_within(0..65, 65);
    call.signatures = signatures.into();
    send(&mut world, &call).refused_with(CheckpointRegistry::InvalidSignature { position: U256::ONE });
}

#[test]
fn signatures_in_another_order_are_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let mut call = world.submission(&checkpoint, &[1, 0, 2]);
    send(&mut world, &call).refused_with(CheckpointRegistry::InvalidSignature { position: U256::ZERO });
    call = world.submission(&checkpoint, &[0, 1, 2]);
    assert!(send(&mut world, &call).ok());
}

#[test]
fn signature_with_high_s_is_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let mut call = world.submission(&checkpoint, &[0, 1, 2]);
    let mut signatures = call.signatures.to_vec();
    let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse().unwrap();
    let s = U256::from_be_slice(&signatures[32..64]);
    signatures[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    signatures[64] = 27 + 28 - signatures[64];
    call.signatures = signatures.into();
    send(&mut world, &call).refused_with(CheckpointRegistry::InvalidSignature { position: U256::ZERO });
}

#[test]
fn recovery_ids_other_than_27_and_28_are_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    for v in [0u8, 1, 26, 29, 255] {
        let mut call = world.submission(&checkpoint, &[0, 1, 2]);
        let mut signatures = call.signatures.to_vec();
        signatures[64] = v;
        call.signatures = signatures.into();
        send(&mut world, &call).refused_with(CheckpointRegistry::InvalidSignature { position: U256::ZERO });
    }
}

#[test]
fn missing_signature_bytes_are_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    for length in [0usize, 1, 64, 65, 130, 194] {
        let mut call = world.submission(&checkpoint, &[0, 1, 2]);
        call.signatures = call.signatures.slice(..length);
        send(&mut world, &call).refused();
    }
}

#[test]
fn signer_outside_the_set_is_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let mut call = world.submission(&checkpoint, &[0, 1, 2]);
    call.signers.set_bit(4, true);
    send(&mut world, &call).refused_with(CheckpointRegistry::UnknownSigner {});
    call.signers.set_bit(4, false);
    call.signers.set_bit(255, true);
    send(&mut world, &call).refused_with(CheckpointRegistry::UnknownSigner {});
}

#[test]
fn signatures_beyond_the_quorum_are_not_read() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let mut call = world.submission(&checkpoint, &[0, 1, 2, 3]);
    call.signatures = call.signatures.slice(..195);
    assert!(send(&mut world, &call).ok());
}

#[test]
fn another_validator_set_is_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let call = world.submission(&checkpoint, &[0, 1, 2]);
    let packed = call.validators.to_vec();
    let expected = keccak256(&packed);
    let mut more_power = packed.clone();
    more_power[27] += 1;
    let mut swapped = packed[28..56].to_vec();
    swapped.extend_from_slice(&packed[..28]);
    swapped.extend_from_slice(&packed[56..]);
    for given in [vec![], packed[..84].to_vec(), more_power, swapped, [packed.clone(), vec![0]].concat()] {
        let mut call = call.clone();
        call.validators = given.clone().into();
        send(&mut world, &call)
            .refused_with(CheckpointRegistry::WrongValidatorSet { expected, given: keccak256(given) });
    }
}

#[test]
fn zero_roots_are_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    for forged in
        [Checkpoint { withdrawalRoot: B256::ZERO, ..checkpoint }, Checkpoint { stateRoot: B256::ZERO, ..checkpoint }]
    {
        world.submit(&forged, &[0, 1, 2, 3]).refused_with(CheckpointRegistry::ZeroRoot {});
    }
}

#[test]
fn checkpoint_is_accepted_once_and_never_after_a_later_one() {
    let (mut world, first) = world_with_checkpoint();
    let second = world.checkpoint();
    let third = world.checkpoint();
    assert!(world.submit(&second, &[0, 1, 2]).ok(), "numbers may be skipped");
    for old in [first, second] {
        world
            .submit(&old, &[0, 1, 2])
            .refused_with(CheckpointRegistry::NumberNotNewer { latest: 2, number: old.number });
    }
    assert!(world.submit(&third, &[0, 1, 2]).ok());
}

#[test]
fn number_zero_is_refused() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let forged = Checkpoint { number: 0, ..checkpoint };
    world.submit(&forged, &[0, 1, 2]).refused_with(CheckpointRegistry::NumberNotNewer { latest: 0, number: 0 });
}

#[test]
fn broken_digest_chain_is_refused() {
    let (mut world, first) = world_with_checkpoint();
    let forged = Checkpoint { prevDigest: B256::repeat_byte(1), ..first };
    world.submit(&forged, &[0, 1, 2]).refused_as::<CheckpointRegistry::BrokenDigestChain>();
    assert!(world.submit(&first, &[0, 1, 2]).ok());
    let second = world.checkpoint();
    for prev in [B256::ZERO, B256::repeat_byte(1)] {
        let forged = Checkpoint { prevDigest: prev, ..second };
        world
            .submit(&forged, &[0, 1, 2])
            .refused_with(CheckpointRegistry::BrokenDigestChain { latest: second.prevDigest, prevDigest: prev });
    }
    assert!(world.submit(&second, &[0, 1, 2]).ok());
}

#[test]
fn heights_must_increase() {
    let (mut world, first) = world_with_checkpoint();
    assert!(world.submit(&first, &[0, 1, 2]).ok());
    let second = world.checkpoint();
    for height in [0, first.height] {
        let forged = Checkpoint { height, ..second };
        world
            .submit(&forged, &[0, 1, 2])
            .refused_with(CheckpointRegistry::HeightNotIncreasing { latest: first.height, height });
    }
}

#[test]
fn withdrawal_counts_never_fall_and_fit_the_tree() {
    let mut world = World::new(&[1, 1, 1, 1]);
    world.deposit(ALICE, ALICE, ether(1));
    world.import();
    world.withdraw(ALICE, BOB, U256::ONE, U256::ZERO);
    let first = world.checkpoint();
    assert!(world.submit(&first, &[0, 1, 2]).ok());
    let second = world.checkpoint();
    let forged = Checkpoint { withdrawalCount: 0, ..second };
    world
        .submit(&forged, &[0, 1, 2])
        .refused_with(CheckpointRegistry::WithdrawalCountOutOfRange { latest: 1, count: 0 });
    let forged = Checkpoint { withdrawalCount: 1 << 32, ..second };
    world
        .submit(&forged, &[0, 1, 2])
        .refused_with(CheckpointRegistry::WithdrawalCountOutOfRange { latest: 1, count: 1 << 32 });
}

#[test]
fn checkpoint_of_a_false_deposit_history_is_refused_whoever_signed_it() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let forged = Checkpoint { depositAcc: B256::repeat_byte(9), ..checkpoint };
    world.submit(&forged, &[0, 1, 2, 3]).refused_with(CheckpointRegistry::DepositHistoryMismatch {
        nonce: 1,
        actual: checkpoint.depositAcc,
        claimed: B256::repeat_byte(9),
    });
    // The checkpoint claims one more deposit than happened.
    let forged = Checkpoint { depositNonce: 2, ..checkpoint };
    world.submit(&forged, &[0, 1, 2, 3]).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce: 2 });
    // The checkpoint claims one deposit fewer than its accumulator.
    let forged = Checkpoint { depositNonce: 0, ..checkpoint };
    world.submit(&forged, &[0, 1, 2, 3]).refused_as::<CheckpointRegistry::DepositHistoryMismatch>();
}

#[test]
fn later_deposits_link_an_old_checkpoint_to_a_remembered_accumulator() {
    let (mut world, checkpoint) = world_with_checkpoint();
    for _ in 0..3 {
        world.deposit(ALICE, BOB, ether(2));
    }
    let leaves: Vec<B256> = world.deposits[1..].iter().map(deposit_leaf).collect();
    let mut call = world.submission(&checkpoint, &[0, 1, 2]);
    // One leaf left out, one too many, one repeated, another order.
    for wrong in [
        vec![leaves[1], leaves[2]],
        vec![leaves[0], leaves[1], leaves[2], leaves[2]],
        vec![leaves[0], leaves[0], leaves[2]],
        vec![leaves[1], leaves[0], leaves[2]],
    ] {
        call.laterDeposits = wrong;
        send(&mut world, &call).refused();
    }
    call.laterDeposits = leaves;
    assert!(send(&mut world, &call).ok());
}

#[test]
fn checkpoint_older_than_the_ring_is_still_accepted_with_the_leaves_since() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let ring = world.chain.view(world.vault, &PegVault::SNAPSHOTSCall {});
    let mut leaves = Vec::new();
    for _ in 0..ring + 10 {
        let call = PegVault::depositNativeCall { recipient: BOB };
        let event: PegVault::Deposited = world.chain.send(ALICE, world.vault, U256::ONE, &call).event();
        leaves.push(deposit_leaf(&causeway_contracts::deposit_of(&event)));
    }
    let mut call = world.submission(&checkpoint, &[0, 1, 2]);
    send(&mut world, &call).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce: 1 });
    // Any stored nonce works; it is a little below the latest, so that new deposits do not interfere with the submission.
    call.laterDeposits = leaves[..20].to_vec();
    assert!(send(&mut world, &call).ok());
}

#[test]
fn another_chain_id_registry_or_genesis_is_another_domain() {
    let (world, checkpoint) = world_with_checkpoint();
    let domain = *world.domain();
    for other in [
        causeway_peg::PegDomain { parent_chain_id: 1, ..domain },
        causeway_peg::PegDomain { registry: Address::repeat_byte(1), ..domain },
        causeway_peg::PegDomain { genesis_hash: B256::repeat_byte(1), ..domain },
    ] {
        let (mut world, _) = world_with_checkpoint();
        let mut call = world.submission(&checkpoint, &[0, 1, 2]);
        let signatures = world.sign(other.checkpoint_digest(&checkpoint), &[0, 1, 2]);
        call.signatures = signatures.iter().flat_map(|sig| *sig.signature.as_bytes()).collect();
        send(&mut world, &call).refused_with(CheckpointRegistry::InvalidSignature { position: U256::ZERO });
    }
}

#[test]
fn fork_of_the_parent_with_another_chain_id_refuses_our_signatures() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let call = world.submission(&checkpoint, &[0, 1, 2]);
    world.chain.chain_id = 4242;
    send(&mut world, &call).refused_with(CheckpointRegistry::InvalidSignature { position: U256::ZERO });
    world.chain.chain_id = crate::world::PARENT_CHAIN_ID;
    assert!(send(&mut world, &call).ok());
}

#[test]
fn certificate_over_a_parent_view_is_no_checkpoint_certificate() {
    let (mut world, checkpoint) = world_with_checkpoint();
    let view = causeway_peg::ParentView {
        parentHeight: checkpoint.number,
        parentHash: checkpoint.prevDigest,
        depositNonce: checkpoint.height,
        depositAcc: checkpoint.blockHash,
    };
    let signatures = world.sign(world.domain().parent_view_digest(&view), &[0, 1, 2]);
    let mut call = world.submission(&checkpoint, &[0, 1, 2]);
    call.signatures = signatures.iter().flat_map(|sig| *sig.signature.as_bytes()).collect();
    send(&mut world, &call).refused_with(CheckpointRegistry::InvalidSignature { position: U256::ZERO });
}
