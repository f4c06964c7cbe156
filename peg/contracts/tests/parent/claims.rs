use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_contracts::{CheckpointRegistry, PegVault, bindings::TestRecipient, test_contracts::RECIPIENT};
use causeway_peg::tree;

use crate::world::{ALICE, BOB, RELAYER, World, ether};

#[test]
fn claim_pays_the_recipient_and_the_relayer_once() {
    let fee = U256::from(1000);
    let mut world = World::with_claims(&[ether(1), ether(2), ether(3)], fee);
    let before = (world.chain.balance(BOB), world.chain.balance(RELAYER));
    let outcome = world.claim(1);
    let event: PegVault::Claimed = outcome.event();
    assert_eq!((event.index, event.token, event.recipient), (1, Address::ZERO, BOB));
    assert_eq!((event.amount, event.relayerFee, event.relayer, event.checkpoint), (ether(2), fee, RELAYER, 1));
    assert_eq!(world.chain.balance(BOB), before.0 + ether(2) - fee);
    assert_eq!(world.chain.balance(RELAYER), before.1 + fee);
    assert_eq!(world.locked(), ether(4));
    for (index, paid) in [(0, false), (1, true), (2, false)] {
        assert_eq!(world.chain.view(world.vault, &PegVault::isClaimedCall { index }), paid);
    }
    world.claim(1).refused_with(PegVault::AlreadyClaimed { index: 1 });
    assert!(world.claim(0).ok());
    assert!(world.claim(2).ok());
    assert_eq!(world.locked(), U256::ZERO);
    assert_eq!(world.chain.balance(world.vault), U256::ZERO);
}

#[test]
fn claim_against_a_later_checkpoint_is_not_a_second_claim() {
    let mut world = World::with_claims(&[ether(1), ether(1)], U256::ZERO);
    assert!(world.claim(0).ok());
    let second = world.checkpoint();
    assert!(world.submit(&second, &[0, 1, 2]).ok());
    let call = world.claim_against(0, 2);
    world.claim_with(&call).refused_with(PegVault::AlreadyClaimed { index: 0 });
    let call = world.claim_against(1, 2);
    assert!(world.claim_with(&call).ok(), "any accepted checkpoint that covers the index works");
}

#[test]
fn any_accepted_checkpoint_proves_the_withdrawals_it_covers() {
    let mut world = World::with_claims(&[ether(1), ether(1)], U256::ZERO);
    world.deposit(ALICE, ALICE, ether(1));
    world.import();
    world.withdraw(ALICE, BOB, ether(1), U256::ZERO);
    let second = world.checkpoint();
    assert!(world.submit(&second, &[0, 1, 2]).ok());
    for (index, number) in [(0, 1), (1, 2), (2, 2)] {
        let call = world.claim_against(index, number);
        assert!(world.claim_with(&call).ok());
    }
}

#[test]
fn every_changed_field_of_a_withdrawal_is_refused() {
    let mut world = World::with_claims(&[ether(1), ether(2)], U256::from(5));
    let honest = world.claim_against(0, 1);
    let changes: [fn(&mut PegVault::Withdrawal); 7] = [
        |w| w.amount += U256::ONE,
        |w| w.amount -= U256::ONE,
        |w| w.recipient = ALICE,
        |w| w.sender = BOB,
        |w| w.relayerFee += U256::ONE,
        |w| w.token = Address::repeat_byte(1),
        |w| w.index = 1,
    ];
    for change in changes {
        let mut call = honest.clone();
        change(&mut call.w);
        world.claim_with(&call).refused_with(PegVault::InvalidProof {});
    }
    assert!(world.claim_with(&honest).ok());
}

#[test]
fn index_beyond_the_count_is_refused() {
    let mut world = World::with_claims(&[ether(1)], U256::ZERO);
    let honest = world.claim_against(0, 1);
    // The second one would equal index 0 if only the tree's 32 bits were checked.
    for index in [1, 1 << 32, u64::MAX] {
        let mut call = honest.clone();
        call.w.index = index;
        world.claim_with(&call).refused_with(PegVault::IndexOutOfRange { index, count: 1 });
    }
}

#[test]
fn withdrawal_after_the_checkpoint_cannot_be_claimed_against_it() {
    let mut world = World::with_claims(&[ether(1), ether(1)], U256::ZERO);
    world.deposit(ALICE, ALICE, ether(1));
    world.import();
    let late = world.withdraw(ALICE, BOB, ether(1), U256::ZERO);
    let proof = tree::prove(&world.leaves(), late.index, 3).unwrap();
    let call = causeway_contracts::claim_call(&late, 1, &proof);
    world.claim_with(&call).refused_with(PegVault::IndexOutOfRange { index: 2, count: 2 });
}

#[test]
fn unknown_checkpoint_is_refused_and_so_is_number_zero() {
    let mut world = World::with_claims(&[ether(1)], U256::ZERO);
    let mut call = world.claim_against(0, 1);
    for number in [0, 2, u64::MAX] {
        call.checkpoint = number;
        world.claim_with(&call).refused_with(PegVault::UnknownCheckpoint { number });
    }
}

#[test]
fn unknown_checkpoint_proves_nothing_even_with_zero_values() {
    // The Nomad bug: the default value of a mapping was an accepted root.
    let mut world = World::new(&[1]);
    world.deposit(ALICE, ALICE, ether(1));
    let call = PegVault::claimCall {
        w: PegVault::Withdrawal {
            index: 0,
            token: Address::ZERO,
            sender: Address::ZERO,
            recipient: Address::ZERO,
            amount: U256::ZERO,
            relayerFee: U256::ZERO,
        },
        checkpoint: 0,
        proof: vec![B256::ZERO; 32],
    };
    world.claim_with(&call).refused_with(PegVault::UnknownCheckpoint { number: 0 });
}

#[test]
fn proof_of_another_leaf_or_root_is_refused() {
    let mut world = World::with_claims(&[ether(1), ether(2)], U256::ZERO);
    let mut call = world.claim_against(0, 1);
    call.proof = world.claim_against(1, 1).proof;
    world.claim_with(&call).refused_with(PegVault::InvalidProof {});
    // A proof in the tree of one leaf: another root.
    call.proof = tree::prove(&world.leaves(), 0, 1).unwrap().to_vec();
    world.claim_with(&call).refused_with(PegVault::InvalidProof {});
}

#[test]
fn inner_node_cannot_be_claimed() {
    // An inner node cannot be given as a withdrawal, because the vault computes leaves itself from typed fields. The only
    // possible call has a proof shifted by one level, and it is refused.
    let mut world = World::with_claims(&[ether(1), ether(2), ether(3)], U256::ZERO);
    let mut call = world.claim_against(0, 1);
    call.proof.rotate_left(1);
    world.claim_with(&call).refused_with(PegVault::InvalidProof {});
    call.proof.remove(1);
    world.claim_with(&call).refused_with(PegVault::InvalidProof {});
}

#[test]
fn only_empty_subtrees_may_be_left_out_of_a_proof() {
    let mut world = World::with_claims(&[ether(1), ether(2), ether(3)], U256::ZERO);
    for index in 0..3u64 {
        let full = tree::prove(&world.leaves(), index, 3).unwrap();
        let place = usize::try_from(index).unwrap();
        let mut call = world.claim_against(place, 1);
        assert_eq!(call.proof.len(), [2, 2, 2][place]);
        for length in 0..=33 {
            call.proof = full.iter().copied().chain([B256::ZERO]).take(length).collect();
            let outcome = world.clone().claim_with(&call);
            assert_eq!(outcome.ok(), (2..=32).contains(&length), "index {index}, {length} siblings");
        }
        assert!(world.claim(place).ok());
    }
}

#[test]
fn failed_payment_does_not_affect_other_claims_and_stays_claimable() {
    let mut world = World::new(&[1, 1, 1, 1]);
    let recipient = world.chain.create(ALICE, RECIPIENT.bytecode.clone()).created();
    for to in [recipient, BOB] {
        world.deposit(ALICE, ALICE, ether(1));
        world.import();
        world.withdraw(ALICE, to, ether(1), U256::from(7));
    }
    let checkpoint = world.checkpoint();
    assert!(world.submit(&checkpoint, &[0, 1, 2]).ok());
    world.chain.send(ALICE, recipient, U256::ZERO, &TestRecipient::refuseCall { refusing_: true });
    world.claim(0).refused_with(PegVault::PaymentFailed { to: recipient });
    assert!(!world.chain.view(world.vault, &PegVault::isClaimedCall { index: 0 }));
    assert_eq!(world.locked(), ether(2));
    assert!(world.claim(1).ok());
    world.chain.send(ALICE, recipient, U256::ZERO, &TestRecipient::refuseCall { refusing_: false });
    assert!(world.claim(0).ok());
    assert_eq!(world.chain.balance(recipient), ether(1) - U256::from(7));
}

#[test]
fn contract_that_relays_gets_its_fee_and_cannot_reenter_while_it_is_paid() {
    let mut world = World::with_claims(&[ether(1)], U256::from(7));
    let relayer = world.chain.create(ALICE, RECIPIENT.bytecode.clone()).created();
    let callback_ = world.claim_against(0, 1).abi_encode().into();
    let setup = TestRecipient::onPaymentCall { target_: world.vault, callback_ };
    world.chain.send(ALICE, relayer, U256::ZERO, &setup);
    // When it receives one wei, it claims as the relayer. When it then receives its fee, it claims again, and is refused.
    assert!(world.chain.transact(ALICE, TxKind::Call(relayer), Bytes::new(), U256::ONE).ok());
    assert!(world.chain.view(relayer, &TestRecipient::callbackSucceededCall {}), "the outer claim succeeded");
    assert!(world.chain.view(world.vault, &PegVault::isClaimedCall { index: 0 }));
    assert_eq!(world.chain.balance(relayer), U256::from(8));
    assert_eq!(world.locked(), U256::ZERO);
}

#[test]
fn reentrant_recipient_gets_its_money_once() {
    let mut world = World::new(&[1, 1, 1, 1]);
    let recipient = world.chain.create(ALICE, RECIPIENT.bytecode.clone()).created();
    for _ in 0..2 {
        world.deposit(ALICE, ALICE, ether(1));
        world.import();
        world.withdraw(ALICE, recipient, ether(1), U256::ZERO);
    }
    let checkpoint = world.checkpoint();
    assert!(world.submit(&checkpoint, &[0, 1, 2]).ok());
    // While it is paid it claims the same withdrawal again, then (second run) another withdrawal of its own.
    for reentered in [0, 1] {
        let mut world = clone_for(&world, recipient, reentered);
        assert!(world.claim(0).ok());
        assert!(!world.chain.view(recipient, &TestRecipient::callbackSucceededCall {}));
        let result = world.chain.view(recipient, &TestRecipient::callbackResultCall {});
        assert_eq!(result, Bytes::from(alloy_sol_types::SolError::abi_encode(&PegVault::Reentered {})));
        assert_eq!(world.chain.balance(recipient), ether(1));
        assert_eq!(world.locked(), ether(1));
        world.chain.send(
            ALICE,
            recipient,
            U256::ZERO,
            &TestRecipient::onPaymentCall { target_: Address::ZERO, callback_: Bytes::new() },
        );
        assert!(world.claim(1).ok(), "the guard is released again");
    }
}

fn clone_for(world: &World, recipient: Address, reentered: usize) -> World {
    let mut world = world.clone();
    let callback_ = world.claim_against(reentered, 1).abi_encode().into();
    let setup = TestRecipient::onPaymentCall { target_: world.vault, callback_ };
    assert!(world.chain.send(ALICE, recipient, U256::ZERO, &setup).ok());
    world
}

#[test]
fn several_claims_fit_one_transaction() {
    let mut world = World::with_claims(&[ether(1), ether(2), ether(3)], U256::from(7));
    let relayer = world.chain.create(ALICE, RECIPIENT.bytecode.clone()).created();
    let claims = |indices: &[usize]| -> Vec<Bytes> {
        indices.iter().map(|index| world.claim_against(*index, 1).abi_encode().into()).collect()
    };
    let all = TestRecipient::batchCall { target_: world.vault, calls: claims(&[0, 1, 2]) };
    let repeated = TestRecipient::batchCall { target_: world.vault, calls: claims(&[0, 1, 0]) };
    world.chain.send(ALICE, relayer, U256::ZERO, &repeated).refused();
    assert_eq!(world.locked(), ether(6), "the whole transaction is reverted");
    assert!(world.chain.send(ALICE, relayer, U256::ZERO, &all).ok());
    assert_eq!(world.chain.balance(relayer), U256::from(21));
    assert_eq!(world.locked(), U256::ZERO);
}

#[test]
fn recipient_may_deposit_while_it_is_paid() {
    let mut world = World::new(&[1, 1, 1, 1]);
    let recipient = world.chain.create(ALICE, RECIPIENT.bytecode.clone()).created();
    world.deposit(ALICE, ALICE, ether(1));
    world.import();
    world.withdraw(ALICE, recipient, ether(1), U256::ZERO);
    let checkpoint = world.checkpoint();
    assert!(world.submit(&checkpoint, &[0, 1, 2]).ok());
    // The callback carries no value, so the vault refuses the deposit but not the claim.
    let callback_ = PegVault::depositNativeCall { recipient: BOB }.abi_encode().into();
    let setup = TestRecipient::onPaymentCall { target_: world.vault, callback_ };
    world.chain.send(ALICE, recipient, U256::ZERO, &setup);
    assert!(world.claim(0).ok());
    assert_eq!(world.locked(), U256::ZERO);
}

#[test]
fn claims_wait_for_the_delay() {
    let mut world = World::with_delay(&[1], 1800);
    world.deposit(ALICE, ALICE, ether(1));
    world.import();
    world.withdraw(ALICE, BOB, ether(1), U256::ZERO);
    let checkpoint = world.checkpoint();
    let accepted_at = world.chain.timestamp;
    assert!(world.submit(&checkpoint, &[0]).ok());
    world.chain.timestamp = accepted_at + 1799;
    let not_before = U256::from(accepted_at + 1800);
    world.claim(0).refused_with(PegVault::ClaimTooEarly { notBefore: not_before });
    world.chain.timestamp = accepted_at + 1800;
    assert!(world.claim(0).ok());
}

#[test]
fn claims_work_across_words_of_the_nullifier_bitmap() {
    let mut world = World::new(&[1]);
    world.deposit(ALICE, ALICE, U256::from(1000));
    world.import();
    for _ in 0..258 {
        world.withdraw(ALICE, BOB, U256::ONE, U256::ZERO);
    }
    let checkpoint = world.checkpoint();
    assert!(world.submit(&checkpoint, &[0]).ok());
    for index in [0, 1, 254, 255, 256, 257] {
        assert!(world.claim(index).ok());
        world.claim(index).refused_as::<PegVault::AlreadyClaimed>();
    }
    for (index, paid) in [(0u64, true), (2, false), (255, true), (256, true), (257, true), (253, false), (512, false)] {
        assert_eq!(world.chain.view(world.vault, &PegVault::isClaimedCall { index }), paid, "{index}");
    }
}

#[test]
fn forged_claim_of_more_than_is_locked_fails() {
    // Two thirds of the validators forge a tree; the vault's own accounting limits the damage.
    let mut world = World::new(&[1]);
    world.deposit(ALICE, ALICE, ether(1));
    world.chain.fund_more(world.vault, ether(10));
    let forged = causeway_peg::Withdrawal {
        index: 0,
        token: Address::ZERO,
        sender: ALICE,
        recipient: BOB,
        amount: ether(2),
        relayerFee: U256::ZERO,
    };
    world.withdrawals.push(forged);
    let mut checkpoint = world.checkpoint();
    checkpoint.withdrawalRoot = tree::root_of(&world.leaves()).unwrap();
    checkpoint.withdrawalCount = 1;
    world.checkpoints[0] = checkpoint;
    assert!(world.submit(&checkpoint, &[0]).ok());
    world.claim(0).refused();
    assert_eq!(world.locked(), ether(1));
}

#[test]
fn fee_above_the_amount_and_unknown_tokens_are_refused_even_when_proven() {
    for (token, fee) in [(Address::ZERO, ether(2)), (Address::repeat_byte(5), U256::ZERO)] {
        let mut world = World::new(&[1]);
        world.deposit(ALICE, ALICE, ether(5));
        world.withdrawals.push(causeway_peg::Withdrawal {
            index: 0,
            token,
            sender: ALICE,
            recipient: BOB,
            amount: ether(1),
            relayerFee: fee,
        });
        let mut checkpoint = world.checkpoint();
        checkpoint.withdrawalRoot = tree::root_of(&world.leaves()).unwrap();
        checkpoint.withdrawalCount = 1;
        // The validators signed the forged checkpoint, so the registry accepts it.
        checkpoint.depositNonce = 0;
        checkpoint.depositAcc = B256::ZERO;
        world.checkpoints[0] = checkpoint;
        assert!(world.submit(&checkpoint, &[0]).ok());
        let outcome = world.claim(0);
        if token.is_zero() {
            outcome.refused_with(PegVault::FeeExceedsAmount {});
        } else {
            outcome.refused_with(PegVault::UnsupportedToken { token });
        }
    }
}

#[test]
fn whole_amount_may_be_the_relayers_fee() {
    let mut world = World::with_claims(&[ether(1)], ether(1));
    let before = world.chain.balance(RELAYER);
    assert!(world.claim(0).ok());
    assert_eq!(world.chain.balance(RELAYER), before + ether(1));
}

#[test]
fn checkpoint_of_no_withdrawals_pays_nothing() {
    let mut world = World::new(&[1]);
    world.deposit(ALICE, ALICE, ether(1));
    world.import();
    let checkpoint = world.checkpoint();
    assert_eq!(checkpoint.withdrawalRoot, tree::zero_hashes()[32]);
    assert!(world.submit(&checkpoint, &[0]).ok());
    let accepted = world.chain.view(world.registry, &CheckpointRegistry::acceptedCall { number: 1 });
    assert_eq!(accepted.withdrawalCount, 0);
    let call = PegVault::claimCall {
        w: (&causeway_peg::Withdrawal::default()).into(),
        checkpoint: 1,
        proof: tree::zero_hashes()[..32].to_vec(),
    };
    world.claim_with(&call).refused_with(PegVault::IndexOutOfRange { index: 0, count: 0 });
}
