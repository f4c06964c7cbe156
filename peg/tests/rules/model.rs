//! Random histories of deposits, imports, withdrawals, checkpoints and attacks, against a model that keeps plain
//! lists. After every step: I7 (locked = supply + deposited-unminted + burned-unclaimed) and I8 (each deposit and
//! each withdrawal happens at most once).
//!
//! Validator sets rotate meanwhile. A holder of a set's signatures submits any checkpoint that the set could have signed,
//! recorded or not. The model's registry never gets a second commitment for one epoch's set, can follow a relayer through all
//! epochs, and accepts nothing from former sets.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_peg::{
    Checkpoint, CheckpointBlock, Deposit, HandoverRecord, ModuleError, ParentView, PegFault, PegModule, RegistryState,
    SetAcknowledged, Withdrawal, deposit::fold_deposits, next_handover, tree, verify_signatures,
    withdrawal::withdrawal_leaf,
};
use proptest::prelude::*;

use crate::federation::{Federation, INTERVAL, Memory, domain, genesis};

#[derive(Clone, Debug)]
enum Step {
    Deposit {
        amount: u64,
    },
    /// Import up to `count` pending deposits, correctly certified.
    Import {
        count: u64,
    },
    /// An import that must fail.
    BadImport(BadImport),
    Withdraw {
        amount: u64,
        fee: u64,
    },
    Blocks {
        count: u64,
    },
    /// Record the latest checkpoint with this many signatures.
    Record {
        signatures: usize,
    },
    /// Claim this withdrawal on the model's parent, perhaps again.
    Claim {
        pick: u64,
    },
    /// Record any checkpoint, signed by all of the current set or of the checkpoint's own.
    RecordAny {
        pick: usize,
        own_set: bool,
    },
    /// Announce another set for the next epoch.
    Announce {
        first_key: usize,
        powers: [u64; 3],
    },
    /// End the epoch, and announce a set for the one after the next.
    Rotate {
        first_key: usize,
    },
    /// Submit any checkpoint that its epoch's set could have certified.
    Submit {
        pick: usize,
    },
    /// A relayer brings the registry up to date.
    CatchUp,
    /// The current set certifies that the parent has the set of this epoch in force.
    Acknowledge {
        epoch: u64,
        signatures: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum BadImport {
    Again,
    Skip,
    Inflated,
    Reordered,
    Underpowered,
    Unsigned,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bad = prop_oneof![
        Just(BadImport::Again),
        Just(BadImport::Skip),
        Just(BadImport::Inflated),
        Just(BadImport::Reordered),
        Just(BadImport::Underpowered),
        Just(BadImport::Unsigned),
    ];
    prop::collection::vec(
        prop_oneof![
            4 => (1u64..1000).prop_map(|amount| Step::Deposit { amount }),
            4 => (1u64..6).prop_map(|count| Step::Import { count }),
            2 => bad.prop_map(Step::BadImport),
            4 => (0u64..1500, 0u64..20).prop_map(|(amount, fee)| Step::Withdraw { amount, fee }),
            8 => (1..=INTERVAL).prop_map(|count| Step::Blocks { count }),
            8 => (0usize..=4).prop_map(|signatures| Step::Record { signatures }),
            4 => any::<u64>().prop_map(|pick| Step::Claim { pick }),
            1 => (any::<usize>(), any::<bool>()).prop_map(|(pick, own_set)| Step::RecordAny { pick, own_set }),
            2 => (0usize..5, [1u64..4, 1u64..4, 1u64..4])
                .prop_map(|(first_key, powers)| Step::Announce { first_key, powers }),
            5 => (0usize..5).prop_map(|first_key| Step::Rotate { first_key }),
            3 => any::<usize>().prop_map(|pick| Step::Submit { pick }),
            2 => Just(Step::CatchUp),
            3 => (0u64..6, 2usize..=4).prop_map(|(epoch, signatures)| Step::Acknowledge { epoch, signatures }),
        ],
        1..200,
    )
}

/// The registry's rules about epochs and numbers only.
struct Registry {
    number: u64,
    epoch: u64,
    /// Commitments by epoch.
    sets: Vec<B256>,
}

/// The parent as plain lists, and the sidechain under test.
struct World {
    /// By epoch: every set so far, the current one and the announced one.
    sets: Vec<Federation>,
    epoch: u64,
    /// Checkpoints by number, from 1.
    checkpoints: Vec<Checkpoint>,
    /// First recorded checkpoint by epoch, and the block.
    handovers: Vec<Option<HandoverRecord>>,
    acked: u64,
    registry: Registry,
    module: PegModule,
    slots: Memory,
    height: u64,
    // The parent.
    deposits: Vec<Deposit>,
    accepted: Option<Checkpoint>,
    claimed: BTreeSet<u64>,
    // The sidechain's history according to the model.
    minted: u64,
    withdrawals: Vec<Withdrawal>,
    recorded: u64,
}

impl World {
    fn new() -> Self {
        let federation = Federation::new(&[1, 1, 1, 1]);
        let (module, slots) = genesis(&federation);
        let registry = Registry { number: 0, epoch: 0, sets: vec![federation.set.commitment()] };
        Self {
            sets: vec![federation, Federation::of_epoch(1, 0, &[1, 1, 1, 1])],
            epoch: 0,
            checkpoints: Vec::new(),
            handovers: vec![None],
            acked: 0,
            registry,
            module,
            slots,
            height: 0,
            deposits: Vec::new(),
            accepted: None,
            claimed: BTreeSet::new(),
            minted: 0,
            withdrawals: Vec::new(),
            recorded: 0,
        }
    }

    fn current(&self) -> &Federation {
        &self.sets[Self::place(self.epoch)]
    }

    /// Whether the first `signers` members of the current set are a quorum.
    fn is_quorum(&self, signers: usize) -> bool {
        let powers: Vec<u64> = self.current().set.validators().iter().map(|member| member.power).collect();
        let signed: u64 = powers.iter().take(signers).sum();
        signed * 3 > powers.iter().sum::<u64>() * 2
    }

    fn place(nonce: u64) -> usize {
        usize::try_from(nonce).unwrap()
    }

    fn view_at(&self, nonce: u64) -> ParentView {
        ParentView {
            parentHeight: 1000 + nonce,
            parentHash: keccak256(nonce.to_be_bytes()),
            depositNonce: nonce,
            depositAcc: fold_deposits(B256::ZERO, &self.deposits[..Self::place(nonce)]),
        }
    }

    fn import(&mut self, view: &ParentView, deposits: &[Deposit], signers: usize) -> Result<usize, PegFault> {
        let signatures = self.current().first(domain().parent_view_digest(view), signers);
        let before = self.slots.clone();
        match self.module.import_deposits(&mut self.slots, view, &signatures, deposits) {
            Ok(mints) => Ok(mints.len()),
            Err(ModuleError::Refused(fault)) => {
                assert_eq!(self.slots, before, "a refusal writes nothing");
                Err(fault)
            }
            Err(ModuleError::Slots(never)) => match never {},
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Deposit { amount } => {
                let nonce = u64::try_from(self.deposits.len()).unwrap() + 1;
                let recipient = Address::from_slice(&keccak256(nonce.to_be_bytes())[12..]);
                let deposit = Deposit { nonce, recipient, amount: U256::from(amount), ..Deposit::default() };
                self.deposits.push(deposit);
            }
            Step::Import { count } => {
                let pending = u64::try_from(self.deposits.len()).unwrap() - self.minted;
                let end = self.minted + count.min(pending);
                let batch = self.deposits[Self::place(self.minted)..Self::place(end)].to_vec();
                let result = self.import(&self.view_at(end), &batch, 4);
                if batch.is_empty() {
                    assert_eq!(result, Err(PegFault::NoDeposits));
                } else {
                    assert_eq!(result, Ok(batch.len()));
                    self.minted = end;
                }
            }
            Step::BadImport(bad) => self.bad_import(bad),
            Step::Withdraw { amount, fee } => self.withdraw(amount, fee),
            Step::Blocks { count } => (0..count).for_each(|_| self.block()),
            Step::Record { signatures } => self.record(signatures),
            Step::Claim { pick } => self.claim(pick),
            Step::RecordAny { pick, own_set } => self.record_any(pick, own_set),
            Step::Announce { first_key, mut powers } => {
                powers.sort_unstable_by(|a, b| b.cmp(a));
                self.announce(first_key, &powers);
            }
            Step::Rotate { first_key } => self.rotate(first_key),
            Step::Submit { pick } => {
                if !self.checkpoints.is_empty() {
                    let checkpoint = self.checkpoints[pick % self.checkpoints.len()];
                    self.submit(&checkpoint);
                }
            }
            Step::CatchUp => self.catch_up(),
            Step::Acknowledge { epoch, signatures } => self.acknowledge(epoch, signatures),
        }
    }

    fn bad_import(&mut self, bad: BadImport) {
        let all = u64::try_from(self.deposits.len()).unwrap();
        let pending = self.deposits[Self::place(self.minted)..].to_vec();
        let (view, batch, signers) = match bad {
            BadImport::Again if self.minted > 0 => {
                (self.view_at(self.minted), self.deposits[..Self::place(self.minted)].to_vec(), 4)
            }
            BadImport::Skip if pending.len() > 1 => (self.view_at(all), pending[1..].to_vec(), 4),
            BadImport::Inflated if !pending.is_empty() => {
                let mut batch = pending;
                batch[0].amount += U256::ONE;
                (self.view_at(all), batch, 4)
            }
            BadImport::Reordered if pending.len() > 1 => {
                let mut batch = pending;
                batch.swap(0, 1);
                (self.view_at(all), batch, 4)
            }
            BadImport::Underpowered if !pending.is_empty() => {
                let signers = (0..).find(|signers| self.is_quorum(*signers)).unwrap() - 1;
                (self.view_at(all), pending, signers)
            }
            BadImport::Unsigned if !pending.is_empty() => (self.view_at(all), pending, 0),
            _ => return,
        };
        assert!(self.import(&view, &batch, signers).is_err(), "{bad:?}");
    }

    fn withdraw(&mut self, amount: u64, fee: u64) {
        let (sender, recipient) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (amount, fee) = (U256::from(amount), U256::from(fee));
        let supply = self.model_supply();
        let result = self.module.withdraw(&mut self.slots, sender, recipient, amount, fee);
        assert_eq!(result.is_ok(), !amount.is_zero() && fee <= amount && amount <= supply, "{result:?}");
        self.withdrawals.extend(result);
    }

    fn block(&mut self) {
        self.height += 1;
        let header = CheckpointBlock {
            number: self.height,
            hash: keccak256(self.height.to_be_bytes()),
            state_root: keccak256([7]),
        };
        let due = self.module.checkpoint_due(&mut self.slots, &header).unwrap();
        assert_eq!(self.module.begin_block(&mut self.slots, &header).unwrap(), due);
        assert_eq!(due.is_some(), self.height.is_multiple_of(INTERVAL));
        if let Some(checkpoint) = due {
            assert_eq!(checkpoint.depositNonce, self.minted);
            assert_eq!(checkpoint.depositAcc, fold_deposits(B256::ZERO, &self.deposits[..Self::place(self.minted)]));
            let leaves: Vec<B256> = self.withdrawals.iter().map(withdrawal_leaf).collect();
            assert_eq!(checkpoint.withdrawalRoot, tree::root_of(&leaves).unwrap());
            assert_eq!(checkpoint.epoch, self.epoch);
            assert_eq!(checkpoint.nextValset, self.sets.last().unwrap().set.commitment());
            self.checkpoints.push(checkpoint);
        }
    }

    fn record(&mut self, signers: usize) {
        let latest = self.height / INTERVAL;
        let digest = PegModule::checkpoint_digest(&mut self.slots, latest).unwrap();
        let signatures = self.current().first(digest, signers);
        let block = self.height + 1;
        let result = self.module.record_checkpoint(&mut self.slots, latest, block, &signatures);
        let of_this_epoch = self.checkpoints.last().is_some_and(|checkpoint| checkpoint.epoch == self.epoch);
        assert_eq!(result.is_ok(), latest > self.recorded && of_this_epoch && self.is_quorum(signers), "{result:?}");
        if result.is_ok() {
            self.recorded_as(latest);
            // The relayer submits it; the parent verifies the same signatures.
            assert!(verify_signatures(digest, &signatures, &self.current().set).is_ok());
            self.accepted = PegModule::checkpoint(&mut self.slots, latest).unwrap();
        }
    }

    fn record_any(&mut self, pick: usize, own_set: bool) {
        if self.checkpoints.is_empty() {
            return;
        }
        let checkpoint = self.checkpoints[pick % self.checkpoints.len()];
        let by = if own_set { checkpoint.epoch } else { self.epoch };
        let signatures = self.sets[Self::place(by)].all(domain().checkpoint_digest(&checkpoint));
        let before = self.slots.clone();
        let result = self.module.record_checkpoint(&mut self.slots, checkpoint.number, self.height + 1, &signatures);
        let expected = checkpoint.number > self.recorded && checkpoint.epoch == self.epoch;
        assert_eq!(result.is_ok(), expected, "{result:?}");
        if expected {
            self.recorded_as(checkpoint.number);
        } else {
            assert_eq!(self.slots, before, "a refusal writes nothing");
        }
    }

    fn recorded_as(&mut self, number: u64) {
        self.recorded = number;
        let handover = self.handovers.last_mut().unwrap();
        handover.get_or_insert(HandoverRecord { checkpoint: number, block: self.height + 1 });
    }

    fn announce(&mut self, first_key: usize, powers: &[u64]) {
        let named = self.checkpoints.last().is_some_and(|checkpoint| checkpoint.epoch == self.epoch);
        assert_eq!(PegModule::next_is_open(&mut self.slots).unwrap(), !named);
        let federation = Federation::of_epoch(self.epoch + 1, first_key, powers);
        let same = self.sets.last().unwrap().set == federation.set;
        let result = PegModule::announce_next(&mut self.slots, &federation.set);
        assert_eq!(result.is_ok(), !named || same, "{result:?}");
        if result.is_ok() {
            *self.sets.last_mut().unwrap() = federation;
        }
    }

    fn rotate(&mut self, first_key: usize) {
        let ready = self.handovers.last().unwrap().is_some();
        assert_eq!(PegModule::handover_ready(&mut self.slots).unwrap(), ready);
        let result = PegModule::rotate(&mut self.slots);
        assert_eq!(result.is_ok(), ready, "{result:?}");
        if ready {
            self.epoch += 1;
            let federation = Federation::of_epoch(self.epoch + 1, first_key, &[2, 1, 1, 1]);
            PegModule::announce_next(&mut self.slots, &federation.set).unwrap();
            self.sets.push(federation);
            self.handovers.push(None);
        }
    }

    /// Applies the registry's rules to a checkpoint certified by its epoch's set. Returns whether it was accepted.
    fn submit(&mut self, checkpoint: &Checkpoint) -> bool {
        let registry = &mut self.registry;
        let known = registry.sets.get(Self::place(checkpoint.epoch)).copied();
        let heard = checkpoint.epoch == registry.epoch || checkpoint.epoch == registry.epoch + 1;
        if checkpoint.number <= registry.number || !heard {
            return false;
        }
        let Some(known) = known else { return false };
        assert_eq!(known, self.sets[Self::place(checkpoint.epoch)].set.commitment(), "the parent knows our own set");
        let next = Self::place(checkpoint.epoch + 1);
        match registry.sets.get(next) {
            Some(named) => assert_eq!(*named, checkpoint.nextValset, "one name for each epoch's set"),
            None => registry.sets.push(checkpoint.nextValset),
        }
        (registry.number, registry.epoch) = (checkpoint.number, checkpoint.epoch);
        true
    }

    fn catch_up(&mut self) {
        loop {
            let knows_next = self.registry.sets.len() > Self::place(self.registry.epoch) + 1;
            let registry = RegistryState { number: self.registry.number, epoch: self.registry.epoch, knows_next };
            let Some((epoch, handover)) = next_handover(&mut self.slots, &registry).unwrap() else { break };
            let checkpoint = self.checkpoints[Self::place(handover.checkpoint) - 1];
            assert_eq!((checkpoint.epoch, Some(handover)), (epoch, self.handovers[Self::place(epoch)]));
            assert!(self.submit(&checkpoint), "every step is accepted");
        }
        // It is in the last epoch that has a handover, so it can accept the latest recorded checkpoint.
        assert!(self.registry.epoch + 1 >= self.epoch);
        let handed_over = self.handovers.last().unwrap().is_some();
        assert!(self.registry.epoch == self.epoch || !handed_over);
        if let Some(checkpoint) = self.recorded.checked_sub(1).map(|place| self.checkpoints[Self::place(place)]) {
            assert!(self.registry.number >= checkpoint.number || self.submit(&checkpoint));
        }
    }

    fn acknowledge(&mut self, epoch: u64, signers: usize) {
        let commitment = self.sets.get(Self::place(epoch)).map(|federation| federation.set.commitment());
        let seen = SetAcknowledged { epoch, commitment: commitment.unwrap_or_default() };
        let signatures = self.current().first(domain().set_acknowledged_digest(&seen), signers);
        let result = self.module.acknowledge_set(&mut self.slots, epoch, &signatures);
        let expected = self.acked < epoch && epoch <= self.epoch && self.is_quorum(signers);
        assert_eq!(result.is_ok(), expected, "{result:?}");
        if let Ok(recorded) = result {
            assert_eq!(recorded, seen);
            self.acked = epoch;
        }
    }

    fn claim(&mut self, pick: u64) {
        let (Some(checkpoint), false) = (self.accepted, self.withdrawals.is_empty()) else { return };
        let index = pick % u64::try_from(self.withdrawals.len()).unwrap();
        let leaves: Vec<B256> = self.withdrawals.iter().map(withdrawal_leaf).collect();
        let proof = tree::prove(&leaves, index, checkpoint.withdrawalCount);
        assert_eq!(proof.is_some(), index < checkpoint.withdrawalCount);
        let Some(proof) = proof else { return };
        let leaf = leaves[Self::place(index)];
        assert!(tree::verify(checkpoint.withdrawalRoot, checkpoint.withdrawalCount, leaf, index, &proof));
        self.claimed.insert(index);
    }

    fn model_supply(&self) -> U256 {
        let minted: U256 = self.deposits[..Self::place(self.minted)].iter().map(|deposit| deposit.amount).sum();
        let burned: U256 = self.withdrawals.iter().map(|withdrawal| withdrawal.amount).sum();
        minted - burned
    }

    fn check(&mut self) {
        let supply = PegModule::supply(&mut self.slots).unwrap();
        assert_eq!(supply, self.model_supply());
        let sum = |amounts: &mut dyn Iterator<Item = U256>| amounts.fold(U256::ZERO, |sum, amount| sum + amount);
        let deposited = sum(&mut self.deposits.iter().map(|deposit| deposit.amount));
        let claimed = sum(&mut self.claimed.iter().map(|index| self.withdrawals[Self::place(*index)].amount));
        let locked = deposited - claimed;
        let unminted = sum(&mut self.deposits[Self::place(self.minted)..].iter().map(|deposit| deposit.amount));
        let unclaimed = sum(&mut self
            .withdrawals
            .iter()
            .filter(|withdrawal| !self.claimed.contains(&withdrawal.index))
            .map(|withdrawal| withdrawal.amount));
        assert_eq!(locked, supply + unminted + unclaimed, "I7");
        assert_eq!(PegModule::deposit_nonce(&mut self.slots).unwrap(), self.minted, "I8");
        let count = u64::try_from(self.withdrawals.len()).unwrap();
        assert_eq!(PegModule::withdrawal_count(&mut self.slots).unwrap(), count, "I8");
        assert_eq!(PegModule::recorded_checkpoint_number(&mut self.slots).unwrap(), self.recorded);
        assert_eq!(PegModule::epoch(&mut self.slots).unwrap(), self.epoch);
        assert_eq!(PegModule::acked_epoch(&mut self.slots).unwrap(), self.acked);
        for (epoch, federation) in (0u64..).zip(&self.sets) {
            let commitment = PegModule::validator_set_commitment(&mut self.slots, epoch).unwrap();
            assert_eq!(commitment, federation.set.commitment());
        }
        for (epoch, handover) in (0u64..).zip(&self.handovers) {
            assert_eq!(PegModule::handover_of(&mut self.slots, epoch).unwrap(), *handover);
        }
        let epoch = self.epoch;
        for epoch in [0, epoch, epoch + 1] {
            let set = PegModule::validator_set_of(&mut self.slots, epoch).unwrap();
            assert_eq!(set.as_ref(), Some(&self.sets[Self::place(epoch)].set));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn backing_and_exactly_once_hold_in_any_history(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.check();
        }
    }
}
