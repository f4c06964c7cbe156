//! Both chains together under random histories, honest and malicious: the bytecode of vault and registry, and the module's
//! rules. After every step, I7 (locked = supply + deposited-unminted + burned-unclaimed) is compared with the vault's own
//! figures, and I8 (each withdrawal is paid at most once) with the recipients' balances.
//!
//! `PEG_INVARIANT_CASES=10000 cargo test --release -p causeway-contracts invariants` runs longer.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_peg::{Checkpoint, ParentView, PegModule};
use proptest::prelude::*;

use crate::world::{ALICE, BOB, RELAYER, World};

#[derive(Clone, Debug)]
enum Step {
    Deposit {
        amount: u64,
    },
    /// Mint up to this number of pending deposits.
    Import {
        count: usize,
    },
    Withdraw {
        amount: u64,
        fee: u64,
    },
    Checkpoint,
    /// Submit one of the built checkpoints with the signers of this bitmap.
    Submit {
        pick: usize,
        signers: u8,
    },
    /// The same with a changed field, signed by fewer than a quorum or only in its original form.
    Forge {
        pick: usize,
        field: u8,
    },
    Claim {
        pick: usize,
        checkpoint: usize,
    },
    /// A claim with changed fields.
    ForgeClaim {
        pick: usize,
        field: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1u64..1000).prop_map(|amount| Step::Deposit { amount }),
        3 => (1usize..4).prop_map(|count| Step::Import { count }),
        4 => (1u64..600, 0u64..30).prop_map(|(amount, fee)| Step::Withdraw { amount, fee }),
        3 => Just(Step::Checkpoint),
        4 => (any::<usize>(), any::<u8>()).prop_map(|(pick, signers)| Step::Submit { pick, signers: signers & 0xf }),
        1 => (any::<usize>(), 0u8..5).prop_map(|(pick, field)| Step::Forge { pick, field }),
        6 => (any::<usize>(), any::<usize>()).prop_map(|(pick, checkpoint)| Step::Claim { pick, checkpoint }),
        2 => (any::<usize>(), 0u8..5).prop_map(|(pick, field)| Step::ForgeClaim { pick, field }),
    ];
    prop::collection::vec(step, 1..80)
}

struct Model {
    world: World,
    imported: usize,
    accepted: BTreeSet<u64>,
    claimed: BTreeSet<usize>,
    bob: U256,
    relayer: U256,
}

impl Model {
    fn new() -> Self {
        let world = World::new(&[2, 1, 1, 1]);
        let (bob, relayer) = (world.chain.balance(BOB), world.chain.balance(RELAYER));
        Self { world, imported: 0, accepted: BTreeSet::new(), claimed: BTreeSet::new(), bob, relayer }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Deposit { amount } => assert!(self.world.deposit(ALICE, ALICE, U256::from(amount)).ok()),
            Step::Import { count } => self.import(count),
            Step::Withdraw { amount, fee } => {
                let (amount, fee) = (U256::from(amount), U256::from(fee));
                let slots = &mut self.world.slots;
                if let Ok(withdrawal) = self.world.module.withdraw(slots, ALICE, BOB, amount, fee) {
                    self.world.withdrawals.push(withdrawal);
                }
            }
            Step::Checkpoint => {
                self.world.checkpoint();
            }
            Step::Submit { pick, signers } => self.submit(pick, signers),
            Step::Forge { pick, field } => self.forge(pick, field),
            Step::Claim { pick, checkpoint } => self.claim(pick, checkpoint),
            Step::ForgeClaim { pick, field } => self.forge_claim(pick, field),
        }
    }

    fn import(&mut self, count: usize) {
        let end = self.world.deposits.len().min(self.imported + count);
        if end == self.imported {
            return;
        }
        let batch = self.world.deposits[self.imported..end].to_vec();
        let view = ParentView {
            parentHeight: self.world.chain.number,
            parentHash: B256::repeat_byte(1),
            depositNonce: batch.last().unwrap().nonce,
            // The vault's own accumulator: the module must compute the same one.
            depositAcc: self.acc_on_parent(batch.last().unwrap().nonce),
        };
        // Imports at one parent height must have one hash; here heights increase with every transaction.
        let signatures = self.world.sign(self.world.domain().parent_view_digest(&view), &[0, 1, 2, 3]);
        let slots = &mut self.world.slots;
        self.world.module.import_deposits(slots, &view, &signatures, &batch).unwrap();
        self.imported = end;
    }

    fn acc_on_parent(&mut self, nonce: u64) -> B256 {
        self.world.chain.view(self.world.vault, &PegVault::depositAccAtCall { nonce })
    }

    fn pick(&self, pick: usize) -> Option<Checkpoint> {
        let all = &self.world.checkpoints;
        (!all.is_empty()).then(|| all[pick % all.len()])
    }

    fn submit(&mut self, pick: usize, signers: u8) {
        let Some(checkpoint) = self.pick(pick) else { return };
        let who: Vec<usize> = (0..4).filter(|i| (signers >> i) & 1 == 1).collect();
        let power: u64 = who.iter().map(|i| self.world.set.validators()[*i].power).sum();
        let newer = self.accepted.last().is_none_or(|latest| checkpoint.number > *latest);
        let ok = self.world.submit(&checkpoint, &who).ok();
        assert_eq!(ok, newer && power * 3 > 5 * 2, "{checkpoint:?} {who:?}");
        if ok {
            self.accepted.insert(checkpoint.number);
        }
    }

    fn forge(&mut self, pick: usize, field: u8) {
        let Some(honest) = self.pick(pick) else { return };
        let junk = B256::repeat_byte(0x66);
        let forged = match field {
            0 => Checkpoint { withdrawalRoot: junk, ..honest },
            1 => Checkpoint { withdrawalCount: honest.withdrawalCount + 1, ..honest },
            2 => Checkpoint { number: honest.number + 1000, ..honest },
            3 => Checkpoint { nextValset: junk, ..honest },
            // This one is refused even with all signatures.
            _ => Checkpoint { depositAcc: junk, number: honest.number + 1000, height: u64::MAX, ..honest },
        };
        if field >= 4 {
            assert!(!self.world.submit(&forged, &[0, 1, 2, 3]).ok());
            return;
        }
        assert!(!self.world.submit(&forged, &[1, 2, 3]).ok(), "three of five");
        let mut call = self.world.submission(&honest, &[0, 1, 2, 3]);
        call.c = (&forged).into();
        assert!(!self.world.chain.send(RELAYER, self.world.registry, U256::ZERO, &call).ok());
    }

    fn claim(&mut self, pick: usize, checkpoint: usize) {
        let (count, built) = (self.world.withdrawals.len(), self.world.checkpoints.len());
        if count == 0 || built == 0 {
            return;
        }
        let (index, number) = (pick % count, u64::try_from(checkpoint % built).unwrap() + 1);
        let covered = self.world.checkpoints[checkpoint % built].withdrawalCount;
        let covers = u64::try_from(index).unwrap() < covered;
        // Uses the existing proof, or an invalid one if there is none.
        let call = if covers {
            self.world.claim_against(index, number)
        } else {
            let proof = [B256::repeat_byte(3); 32];
            causeway_contracts::claim_call(&self.world.withdrawals[index], number, &proof)
        };
        let ok = self.world.claim_with(&call).ok();
        assert_eq!(ok, covers && self.accepted.contains(&number) && !self.claimed.contains(&index));
        if ok {
            self.claimed.insert(index);
            let withdrawal = &self.world.withdrawals[index];
            self.bob += withdrawal.amount - withdrawal.relayerFee;
            self.relayer += withdrawal.relayerFee;
        }
    }

    fn forge_claim(&mut self, pick: usize, field: u8) {
        let Some(number) = self.accepted.last().copied() else { return };
        let covered = self.world.checkpoints[usize::try_from(number).unwrap() - 1].withdrawalCount;
        if covered == 0 {
            return;
        }
        let mut call = self.world.claim_against(pick % usize::try_from(covered).unwrap(), number);
        match field {
            0 => call.w.amount += U256::ONE,
            1 => call.w.recipient = Address::repeat_byte(0x66),
            2 => call.w.index += covered,
            3 => call.w.relayerFee += U256::ONE,
            _ => call.proof.push(B256::repeat_byte(0x66)),
        }
        assert!(!self.world.claim_with(&call).ok());
    }

    fn check(&mut self) {
        let sum = |amounts: &mut dyn Iterator<Item = U256>| amounts.fold(U256::ZERO, |sum, amount| sum + amount);
        let locked = self.world.locked();
        let supply = PegModule::supply(&mut self.world.slots).unwrap();
        let world = &self.world;
        let deposited = sum(&mut world.deposits.iter().map(|deposit| deposit.amount));
        let unminted = sum(&mut world.deposits[self.imported..].iter().map(|deposit| deposit.amount));
        let paid = sum(&mut self.claimed.iter().map(|index| world.withdrawals[*index].amount));
        let burned = sum(&mut world.withdrawals.iter().map(|withdrawal| withdrawal.amount));
        assert_eq!(locked, deposited - paid, "the vault's accounting equals its events");
        assert_eq!(locked, supply + unminted + (burned - paid), "I7");
        assert_eq!(world.chain.balance(world.vault), locked, "without donations there is no surplus");
        assert_eq!(world.chain.balance(BOB), self.bob, "I8");
        assert_eq!(world.chain.balance(RELAYER), self.relayer, "I8");
        let latest = self.accepted.last().copied().unwrap_or(0);
        let registry = self.world.registry;
        assert_eq!(self.world.chain.view(registry, &CheckpointRegistry::latestCall {}).number, latest);
    }
}

fn cases() -> u32 {
    option_env!("PEG_INVARIANT_CASES").and_then(|cases| cases.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn vault_backs_the_sidechain_in_any_history(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
            model.check();
        }
    }
}
