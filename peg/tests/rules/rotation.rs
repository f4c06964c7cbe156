//! Rotation of the set: until when a set may be announced, which set signs when, and the conditions of an acknowledgement.

use alloy_primitives::U256;
use alloy_sol_types::SolError;
use causeway_peg::{
    CertificateError, CertificateSig, HandoverRecord, IPeg, ModuleError, PegFault, PegModule, PegValidatorSet,
    SetAcknowledged,
    layout::{self, CheckpointField, SetField},
};

use crate::federation::{Federation, INTERVAL, Memory, deposits, domain, genesis, header, view};

struct Chain {
    module: PegModule,
    slots: Memory,
    /// By epoch, the announced one included.
    sets: Vec<Federation>,
}

impl Chain {
    fn new() -> Self {
        let federation = Federation::new(&[1, 1, 1, 1]);
        let (module, slots) = genesis(&federation);
        Self { module, slots, sets: vec![federation, Federation::of_epoch(1, 0, &[1, 1, 1, 1])] }
    }

    fn epoch(&mut self) -> u64 {
        PegModule::epoch(&mut self.slots).unwrap()
    }

    fn current(&mut self) -> &Federation {
        let epoch = usize::try_from(self.epoch()).unwrap();
        &self.sets[epoch]
    }

    /// The block at checkpoint `number`'s height is final, and the next block begins.
    fn build(&mut self, number: u64) -> causeway_peg::Checkpoint {
        self.module.begin_block(&mut self.slots, &header(number * INTERVAL)).unwrap().unwrap()
    }

    fn record(&mut self, number: u64, block: u64) -> Result<(), PegFault> {
        let digest = PegModule::checkpoint_digest(&mut self.slots, number).unwrap();
        let signatures = self.current().all(digest);
        self.record_with(number, block, &signatures)
    }

    fn record_with(&mut self, number: u64, block: u64, signatures: &[CertificateSig]) -> Result<(), PegFault> {
        let (module, before) = (self.module, self.slots.clone());
        let result = module.record_checkpoint(&mut self.slots, number, block, signatures);
        self.refused_or(before, result).map(drop)
    }

    fn announce(&mut self, federation: Federation) -> Result<(), PegFault> {
        let before = self.slots.clone();
        let result = PegModule::announce_next(&mut self.slots, &federation.set);
        self.refused_or(before, result)?;
        let epoch = usize::try_from(federation.set.epoch()).unwrap();
        self.sets.truncate(epoch);
        self.sets.push(federation);
        Ok(())
    }

    fn rotate(&mut self) -> Result<u64, PegFault> {
        let before = self.slots.clone();
        let result = PegModule::rotate(&mut self.slots);
        self.refused_or(before, result)
    }

    fn acknowledge(&mut self, epoch: u64, signatures: &[CertificateSig]) -> Result<SetAcknowledged, PegFault> {
        let (module, before) = (self.module, self.slots.clone());
        let result = module.acknowledge_set(&mut self.slots, epoch, signatures);
        self.refused_or(before, result)
    }

    fn refused_or<T>(
        &self,
        before: Memory,
        result: Result<T, ModuleError<std::convert::Infallible>>,
    ) -> Result<T, PegFault> {
        match result {
            Ok(value) => Ok(value),
            Err(ModuleError::Refused(fault)) => {
                assert_eq!(self.slots, before, "a refusal writes nothing");
                Err(fault)
            }
            Err(ModuleError::Slots(never)) => match never {},
        }
    }

    /// One whole epoch with one recorded checkpoint, and the set after the next announced.
    fn pass_epoch(&mut self, number: u64, announced: Federation) {
        self.build(number);
        self.record(number, number * INTERVAL + 2).unwrap();
        self.rotate().unwrap();
        self.announce(announced).unwrap();
    }
}

fn other(epoch: u64) -> Federation {
    Federation::of_epoch(epoch, 2, &[3, 2, 1])
}

#[test]
fn every_checkpoint_names_the_announced_set() {
    let mut chain = Chain::new();
    let same = chain.sets[1].set.commitment();
    assert_eq!(chain.build(1).nextValset, same, "genesis announces its own set again");
    chain.record(1, 12).unwrap();
    chain.rotate().unwrap();
    chain.announce(other(2)).unwrap();
    for number in [2, 3] {
        let checkpoint = chain.build(number);
        assert_eq!((checkpoint.epoch, checkpoint.nextValset), (1, other(2).set.commitment()));
        assert_eq!(PegModule::checkpoint(&mut chain.slots, number).unwrap(), Some(checkpoint));
    }
}

#[test]
fn announced_set_changes_until_a_checkpoint_of_the_epoch_is_due_and_never_after() {
    let mut chain = Chain::new();
    assert!(PegModule::next_is_open(&mut chain.slots).unwrap());
    chain.announce(other(1)).unwrap();
    chain.announce(Federation::of_epoch(1, 1, &[9, 1])).unwrap();
    let named = chain.build(1).nextValset;
    assert_eq!(named, chain.sets[1].set.commitment());
    // Nothing is signed or recorded yet, but both can happen at any moment.
    assert!(!PegModule::next_is_open(&mut chain.slots).unwrap());
    assert!(!PegModule::handover_ready(&mut chain.slots).unwrap());
    assert_eq!(chain.announce(other(1)), Err(PegFault::NextSetFixed { epoch: 1 }));
    assert_eq!(chain.announce(Federation::of_epoch(1, 1, &[9, 1])), Ok(()), "the same set again");
    chain.build(2);
    chain.record(2, 25).unwrap();
    assert_eq!(chain.announce(other(1)), Err(PegFault::NextSetFixed { epoch: 1 }));
    chain.rotate().unwrap();
    assert!(PegModule::next_is_open(&mut chain.slots).unwrap(), "open again for the next epoch");
    chain.announce(other(2)).unwrap();
    chain.announce(Federation::of_epoch(2, 0, &[1])).unwrap();
}

#[test]
fn smaller_set_leaves_no_member_of_the_larger_one_in_storage() {
    let mut chain = Chain::new();
    chain.announce(Federation::of_epoch(1, 0, &[5, 5, 5, 5, 5, 5])).unwrap();
    chain.announce(other(1)).unwrap();
    let mut fresh = Chain::new();
    fresh.announce(other(1)).unwrap();
    assert_eq!(chain.slots, fresh.slots);
    assert_eq!(PegModule::validator_set_of(&mut chain.slots, 1).unwrap(), Some(other(1).set));
}

#[test]
fn only_the_next_epochs_set_is_announced() {
    let mut chain = Chain::new();
    for got in [0, 2, 3, u64::MAX] {
        assert_eq!(chain.announce(other(got)), Err(PegFault::NotNextEpoch { expected: 1, got }));
    }
    chain.slots.insert(layout::VALIDATOR_EPOCH, U256::from(u64::MAX));
    let fault = PegFault::NotNextEpoch { expected: u64::MAX, got: u64::MAX };
    assert_eq!(chain.announce(other(u64::MAX)), Err(fault), "no epoch follows the last one");
}

#[test]
fn first_recorded_checkpoint_of_an_epoch_is_its_handover() {
    let mut chain = Chain::new();
    chain.build(1);
    chain.build(2);
    assert_eq!(PegModule::handover_of(&mut chain.slots, 0).unwrap(), None);
    assert_eq!(chain.rotate(), Err(PegFault::HandoverNotReady { epoch: 0 }));
    // The first one was never certified.
    chain.record(2, 25).unwrap();
    let handover = Some(HandoverRecord { checkpoint: 2, block: 25 });
    assert_eq!(PegModule::handover_of(&mut chain.slots, 0).unwrap(), handover);
    assert!(PegModule::handover_ready(&mut chain.slots).unwrap());
    chain.build(3);
    chain.record(3, 37).unwrap();
    assert_eq!(PegModule::handover_of(&mut chain.slots, 0).unwrap(), handover, "later checkpoints change nothing");
    assert_eq!(chain.rotate(), Ok(1));
    assert!(!PegModule::handover_ready(&mut chain.slots).unwrap(), "each epoch has its own handover");
    assert_eq!(chain.rotate(), Err(PegFault::HandoverNotReady { epoch: 1 }));
    assert_eq!(PegModule::handover_of(&mut chain.slots, 0).unwrap(), handover, "for ever");
}

#[test]
fn checkpoint_that_does_not_name_the_announced_set_is_no_handover() {
    // The rules exclude this state; with broken slots the sidechain's rotation must stop, so that the parent does not.
    for named in [U256::ZERO, U256::from(7)] {
        let mut chain = Chain::new();
        chain.build(1);
        chain.slots.insert(layout::checkpoint(1, CheckpointField::NextValset), named);
        chain.record(1, 12).unwrap();
        assert_eq!(chain.rotate(), Err(PegFault::HandoverNotReady { epoch: 0 }));
    }
    // No set was announced.
    let mut chain = Chain::new();
    chain.slots.remove(&layout::validator_set(1, SetField::Commitment));
    assert!(chain.build(1).nextValset.is_zero());
    chain.record(1, 12).unwrap();
    assert_eq!(chain.rotate(), Err(PegFault::HandoverNotReady { epoch: 0 }));
}

#[test]
fn new_set_signs_from_its_epoch_on_and_the_old_one_no_longer() {
    let mut chain = Chain::new();
    chain.announce(other(1)).unwrap();
    chain.build(1);
    chain.build(2);
    let old = Federation::new(&[1, 1, 1, 1]);
    let digest = PegModule::checkpoint_digest(&mut chain.slots, 2).unwrap();
    let by_incoming = other(1).all(digest);
    assert!(matches!(chain.record_with(2, 22, &by_incoming), Err(PegFault::Certificate(_))), "not before its epoch");
    chain.record(1, 23).unwrap();
    chain.rotate().unwrap();
    assert_eq!(PegModule::validator_set(&mut chain.slots).unwrap(), other(1).set);
    // Certified by the set of that epoch, but the epoch is over.
    let late = chain.record_with(2, 24, &old.all(digest));
    assert_eq!(late, Err(PegFault::StaleEpoch { current: 1, epoch: 0 }));
    chain.announce(other(2)).unwrap();
    let checkpoint = chain.build(3);
    assert_eq!(checkpoint.epoch, 1);
    let by_old = old.all(domain().checkpoint_digest(&checkpoint));
    let fault = chain.record_with(3, 33, &by_old).unwrap_err();
    assert!(matches!(fault, PegFault::Certificate(CertificateError::UnknownSigner { epoch: 1, .. })), "{fault:?}");
    chain.record(3, 33).unwrap();

    let batch = deposits(1, 2);
    let view = view(9, Default::default(), &batch);
    let digest = domain().parent_view_digest(&view);
    let module = chain.module;
    assert!(module.import_deposits(&mut chain.slots, &view, &old.all(digest), &batch).is_err());
    assert!(module.import_deposits(&mut chain.slots, &view, &other(1).all(digest), &batch).is_ok());
}

#[test]
fn checkpoint_due_in_the_last_block_of_an_epoch_belongs_to_the_next_one() {
    // The hook of the epoch's last block rotates; the state after that block is the next epoch's.
    let mut chain = Chain::new();
    chain.build(1);
    chain.record(1, 12).unwrap();
    chain.rotate().unwrap();
    chain.announce(other(2)).unwrap();
    let checkpoint = chain.build(2);
    assert_eq!((checkpoint.epoch, checkpoint.nextValset), (1, other(2).set.commitment()));
    assert_eq!(chain.announce(Federation::of_epoch(2, 0, &[1])), Err(PegFault::NextSetFixed { epoch: 2 }));
}

#[test]
fn sets_and_handovers_of_all_epochs_are_kept() {
    let mut chain = Chain::new();
    let set = |epoch: u64| Federation::of_epoch(epoch, usize::try_from(epoch).unwrap(), &[4, 2, 1]);
    chain.announce(set(1)).unwrap();
    for epoch in 0..20 {
        chain.pass_epoch(epoch + 1, set(epoch + 2));
    }
    let first = PegValidatorSet::new(0, Federation::new(&[1, 1, 1, 1]).set.validators().to_vec()).unwrap();
    assert_eq!(PegModule::validator_set_of(&mut chain.slots, 0).unwrap(), Some(first));
    for epoch in 1..=21 {
        assert_eq!(PegModule::validator_set_of(&mut chain.slots, epoch).unwrap(), Some(set(epoch).set));
        let commitment = PegModule::validator_set_commitment(&mut chain.slots, epoch).unwrap();
        assert_eq!(commitment, set(epoch).set.commitment());
        let handover = PegModule::handover_of(&mut chain.slots, epoch - 1).unwrap();
        assert_eq!(handover.map(|handover| handover.checkpoint), (epoch <= 20).then_some(epoch));
    }
    assert_eq!(PegModule::validator_set_of(&mut chain.slots, 22).unwrap(), None);
}

#[test]
fn acknowledgements_increase_may_skip_epochs_and_need_the_current_set() {
    let mut chain = Chain::new();
    let set = |epoch: u64| Federation::of_epoch(epoch, usize::try_from(epoch).unwrap(), &[1, 1, 1, 1]);
    chain.announce(set(1)).unwrap();
    for epoch in 0..4 {
        chain.pass_epoch(epoch + 1, set(epoch + 2));
    }
    assert_eq!((chain.epoch(), PegModule::acked_epoch(&mut chain.slots).unwrap()), (4, 0));
    let seen = |epoch: u64| SetAcknowledged { epoch, commitment: set(epoch).set.commitment() };
    let by = |signers: &Federation, epoch: u64| signers.all(domain().set_acknowledged_digest(&seen(epoch)));
    assert_eq!(chain.acknowledge(0, &by(&set(4), 1)), Err(PegFault::EpochNotNewer { acked: 0, epoch: 0 }));
    for epoch in [5, 6, u64::MAX] {
        assert_eq!(chain.acknowledge(epoch, &by(&set(4), 4)), Err(PegFault::UnknownEpoch { current: 4, epoch }));
    }
    assert!(
        matches!(chain.acknowledge(2, &by(&set(2), 2)), Err(PegFault::Certificate(_))),
        "the set cannot acknowledge itself"
    );
    let half = &by(&set(4), 2)[..2];
    let fault = PegFault::Certificate(CertificateError::NoQuorum { power: 2, total: 4 });
    assert_eq!(chain.acknowledge(2, half), Err(fault));
    let another = SetAcknowledged { epoch: 2, commitment: set(3).set.commitment() };
    let forged = set(4).all(domain().set_acknowledged_digest(&another));
    assert!(
        matches!(chain.acknowledge(2, &forged), Err(PegFault::Certificate(_))),
        "only this chain's own set is accepted"
    );
    assert!(
        matches!(chain.acknowledge(3, &by(&set(4), 2)), Err(PegFault::Certificate(_))),
        "only the set of this epoch is accepted"
    );
    assert_eq!(chain.acknowledge(2, &by(&set(4), 2)), Ok(seen(2)));
    for epoch in [1, 2] {
        let fault = PegFault::EpochNotNewer { acked: 2, epoch };
        assert_eq!(chain.acknowledge(epoch, &by(&set(4), epoch)), Err(fault));
    }
    assert_eq!(chain.acknowledge(4, &by(&set(4), 4)), Ok(seen(4)), "epoch 3 may be skipped");
    assert_eq!(PegModule::acked_epoch(&mut chain.slots).unwrap(), 4);
}

#[test]
fn chain_without_a_peg_rotates_nothing() {
    let mut slots = Memory::new();
    let refused = |fault| Err(ModuleError::Refused(fault));
    assert_eq!(PegModule::announce_next(&mut slots, &other(1).set), refused(PegFault::NotPegged));
    assert_eq!(PegModule::rotate(&mut slots), Err(ModuleError::Refused(PegFault::HandoverNotReady { epoch: 0 })));
    let module = PegModule::new(domain());
    assert!(module.acknowledge_set(&mut slots, 1, &[]).is_err());
    assert_eq!(PegModule::validator_set_of(&mut slots, 0), Ok(None));
    assert!(slots.is_empty());
}

#[test]
fn refusals_have_named_errors_in_revert_data() {
    let cases: [(PegFault, Vec<u8>); 6] = [
        (PegFault::StaleEpoch { current: 2, epoch: 1 }, IPeg::StaleEpoch { current: 2, epoch: 1 }.abi_encode()),
        (PegFault::NotNextEpoch { expected: 2, got: 1 }, IPeg::NotNextEpoch { expected: 2, got: 1 }.abi_encode()),
        (PegFault::NextSetFixed { epoch: 3 }, IPeg::NextSetFixed { epoch: 3 }.abi_encode()),
        (PegFault::HandoverNotReady { epoch: 3 }, IPeg::HandoverNotReady { epoch: 3 }.abi_encode()),
        (PegFault::UnknownEpoch { current: 2, epoch: 9 }, IPeg::UnknownEpoch { current: 2, epoch: 9 }.abi_encode()),
        (PegFault::EpochNotNewer { acked: 2, epoch: 1 }, IPeg::EpochNotNewer { acked: 2, epoch: 1 }.abi_encode()),
    ];
    for (fault, data) in cases {
        assert_eq!(fault.revert_data().as_ref(), data, "{fault}");
    }
}
