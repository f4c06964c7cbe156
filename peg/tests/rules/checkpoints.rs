use alloy_primitives::{B256, U256, keccak256};
use causeway_peg::{CertificateError, Checkpoint, CheckpointRecorded, ModuleError, PegFault, PegModule, layout, tree};

use crate::federation::{ALICE, BOB, Federation, INTERVAL, Memory, deposits, domain, genesis, header, view};

fn chain() -> (Federation, PegModule, Memory) {
    let federation = Federation::new(&[1, 1, 1, 1]);
    let (module, slots) = genesis(&federation);
    (federation, module, slots)
}

#[test]
fn checkpoint_is_due_at_multiples_of_the_interval_but_not_at_genesis() {
    let (_, module, mut slots) = chain();
    for number in 0..=3 * INTERVAL {
        let due = module.checkpoint_due(&mut slots, &header(number)).unwrap();
        assert_eq!(due.is_some(), number > 0 && number % INTERVAL == 0, "{number}");
        if let Some(checkpoint) = due {
            assert_eq!((checkpoint.number, checkpoint.height), (number / INTERVAL, number));
        }
        assert_eq!(module.begin_block(&mut slots, &header(number)).unwrap(), due);
    }
    assert_eq!(PegModule::latest_checkpoint_number(&mut slots).unwrap(), 3);
}

#[test]
fn checkpoint_describes_the_state_after_its_block() {
    let (federation, module, mut slots) = chain();
    let batch = deposits(1, 4);
    let view = view(50, B256::ZERO, &batch);
    module.import_deposits(&mut slots, &view, &federation.all(domain().parent_view_digest(&view)), &batch).unwrap();
    let withdrawal = module.withdraw(&mut slots, ALICE, BOB, U256::from(3), U256::ZERO).unwrap();
    let built = module.begin_block(&mut slots, &header(INTERVAL)).unwrap().unwrap();
    let leaf = causeway_peg::withdrawal::withdrawal_leaf(&withdrawal);
    let expected = Checkpoint {
        number: 1,
        prevDigest: B256::ZERO,
        height: INTERVAL,
        blockHash: header(INTERVAL).hash,
        stateRoot: header(INTERVAL).state_root,
        withdrawalRoot: tree::root_of(&[leaf]).unwrap(),
        withdrawalCount: 1,
        depositNonce: 4,
        depositAcc: view.depositAcc,
        epoch: 0,
        nextValset: federation.set.commitment(),
    };
    assert_eq!(built, expected);
    assert_eq!(PegModule::checkpoint(&mut slots, 1).unwrap(), Some(expected));
    assert_eq!(PegModule::checkpoint_digest(&mut slots, 1).unwrap(), domain().checkpoint_digest(&expected));

    let next = module.begin_block(&mut slots, &header(2 * INTERVAL)).unwrap().unwrap();
    assert_eq!(next.prevDigest, domain().checkpoint_digest(&expected), "digests chain");
    assert_eq!(PegModule::checkpoint(&mut slots, 1).unwrap(), Some(expected), "earlier records stay");
}

#[test]
fn checkpoints_of_every_block_form_a_chain() {
    let (_, module, mut slots) = chain();
    slots.insert(layout::CHECKPOINT_INTERVAL, U256::ONE);
    let mut previous = B256::ZERO;
    for number in 1..5 {
        let checkpoint = module.begin_block(&mut slots, &header(number)).unwrap().unwrap();
        assert_eq!((checkpoint.number, checkpoint.prevDigest), (number, previous));
        previous = domain().checkpoint_digest(&checkpoint);
    }
}

#[test]
fn unbuilt_checkpoints_are_unknown() {
    let (_, module, mut slots) = chain();
    module.begin_block(&mut slots, &header(INTERVAL)).unwrap();
    for number in [0, 2, u64::MAX] {
        assert_eq!(PegModule::checkpoint(&mut slots, number).unwrap(), None);
    }
}

#[test]
fn chain_without_a_peg_builds_no_checkpoints() {
    let module = PegModule::new(domain());
    let mut slots = Memory::new();
    for number in 0..20 {
        assert_eq!(module.begin_block(&mut slots, &header(number)).unwrap(), None);
    }
    assert!(slots.is_empty());
}

#[test]
fn certified_checkpoint_is_recorded_once_and_numbers_may_be_skipped() {
    let (federation, module, mut slots) = chain();
    for k in 1..=3 {
        module.begin_block(&mut slots, &header(k * INTERVAL)).unwrap();
    }
    let digest = PegModule::checkpoint_digest(&mut slots, 2).unwrap();
    let signatures = federation.sign(digest, [0, 1, 3]);
    assert_eq!(module.record_checkpoint(&mut slots, 2, 25, &signatures), Ok(CheckpointRecorded { number: 2, digest }));
    assert_eq!(PegModule::recorded_checkpoint_number(&mut slots).unwrap(), 2);
    for number in [0, 1, 2] {
        let own = federation.all(PegModule::checkpoint_digest(&mut slots, number).unwrap());
        assert_eq!(
            module.record_checkpoint(&mut slots, number, 26, &own),
            Err(ModuleError::Refused(PegFault::CheckpointNotNewer { recorded: 2, number }))
        );
    }
    let own = federation.all(PegModule::checkpoint_digest(&mut slots, 3).unwrap());
    assert!(module.record_checkpoint(&mut slots, 3, 35, &own).is_ok());
}

#[test]
fn unknown_uncertified_and_forged_checkpoints_are_not_recorded() {
    let (federation, module, mut slots) = chain();
    let checkpoint = module.begin_block(&mut slots, &header(INTERVAL)).unwrap().unwrap();
    let digest = domain().checkpoint_digest(&checkpoint);
    let before = slots.clone();
    let mut record = |number, signatures: &[_]| {
        let result = module.record_checkpoint(&mut slots, number, INTERVAL + 2, signatures);
        assert_eq!(slots, before, "a refusal writes nothing");
        match result {
            Err(ModuleError::Refused(fault)) => fault,
            other => panic!("{other:?}"),
        }
    };
    // A zero digest may not be certified, though anyone can sign zero.
    assert_eq!(record(2, &federation.all(B256::ZERO)), PegFault::UnknownCheckpoint { number: 2 });
    assert_eq!(record(u64::MAX, &federation.all(B256::ZERO)), PegFault::UnknownCheckpoint { number: u64::MAX });
    assert_eq!(
        record(1, &federation.sign(digest, [0, 1])),
        PegFault::Certificate(CertificateError::NoQuorum { power: 2, total: 4 })
    );
    let forged = Checkpoint { withdrawalRoot: keccak256("forged"), ..checkpoint };
    assert!(matches!(
        record(1, &federation.all(domain().checkpoint_digest(&forged))),
        PegFault::Certificate(CertificateError::WrongSigner { .. })
    ));
}
