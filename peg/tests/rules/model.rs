//! Random histories of deposits, imports, withdrawals, checkpoints and attacks, against a model that keeps plain
//! lists. After every step: I7 (locked = supply + deposited-unminted + burned-unclaimed) and I8 (each deposit and
//! each withdrawal happens at most once).

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_peg::{
    Checkpoint, Deposit, ModuleError, ParentHeaderInfo, ParentView, PegFault, PegModule, Withdrawal,
    deposit::fold_deposits, tree, verify_signatures, withdrawal::withdrawal_leaf,
};
use proptest::prelude::*;

use crate::federation::{Federation, INTERVAL, Memory, domain, genesis};

#[derive(Clone, Debug)]
enum Step {
    Deposit {
        amount: u64,
    },
    /// Import up to `count` of what is pending, correctly certified.
    Import {
        count: u64,
    },
    /// An import that must fail.
    BadImport(BadImport),
    Withdraw {
        amount: u64,
        fee: u64,
    },
    Block,
    /// Record the latest checkpoint with this many signatures.
    Record {
        signatures: usize,
    },
    /// Claim this withdrawal on the model's parent, perhaps again.
    Claim {
        pick: u64,
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
            6 => Just(Step::Block),
            2 => (0usize..=4).prop_map(|signatures| Step::Record { signatures }),
            4 => any::<u64>().prop_map(|pick| Step::Claim { pick }),
        ],
        1..60,
    )
}

/// The parent as plain lists, and the sidechain under test.
struct World {
    federation: Federation,
    module: PegModule,
    slots: Memory,
    height: u64,
    // The parent.
    deposits: Vec<Deposit>,
    accepted: Option<Checkpoint>,
    claimed: BTreeSet<u64>,
    // What the model says the sidechain did.
    minted: u64,
    withdrawals: Vec<Withdrawal>,
    recorded: u64,
}

impl World {
    fn new() -> Self {
        let federation = Federation::new(&[1, 1, 1, 1]);
        let (module, slots) = genesis(&federation);
        Self {
            federation,
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
        let signatures = self.federation.sign(domain().parent_view_digest(view), 0..signers);
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
                let result = self.import(&self.view_at(end), &batch, 3);
                if batch.is_empty() {
                    assert_eq!(result, Err(PegFault::NoDeposits));
                } else {
                    assert_eq!(result, Ok(batch.len()));
                    self.minted = end;
                }
            }
            Step::BadImport(bad) => self.bad_import(bad),
            Step::Withdraw { amount, fee } => self.withdraw(amount, fee),
            Step::Block => self.block(),
            Step::Record { signatures } => self.record(signatures),
            Step::Claim { pick } => self.claim(pick),
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
            BadImport::Underpowered if !pending.is_empty() => (self.view_at(all), pending, 2),
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
        let header = ParentHeaderInfo {
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
        }
    }

    fn record(&mut self, signers: usize) {
        let latest = self.height / INTERVAL;
        let digest = PegModule::checkpoint_digest(&mut self.slots, latest).unwrap();
        let signatures = self.federation.sign(digest, 0..signers);
        let result = self.module.record_checkpoint(&mut self.slots, latest, &signatures);
        assert_eq!(result.is_ok(), latest > self.recorded && signers >= 3, "{result:?}");
        if result.is_ok() {
            self.recorded = latest;
            // The relayer submits it; the parent verifies the same signatures.
            assert!(verify_signatures(digest, &signatures, &self.federation.set).is_ok());
            self.accepted = PegModule::checkpoint(&mut self.slots, latest).unwrap();
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
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn backing_holds_and_nothing_happens_twice_in_any_history(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.check();
        }
    }
}
