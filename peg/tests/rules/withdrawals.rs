use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolError;
use causeway_peg::{
    IPeg, ModuleError, PegFault, PegModule, Slots, layout, tree, types::NATIVE_TOKEN, withdrawal::withdrawal_leaf,
};

use crate::federation::{ALICE, BOB, Federation, Memory, REGISTRY, VAULT, deposit, domain, genesis, view};

/// A chain on which `amount` was minted.
fn chain(amount: u64) -> (PegModule, Memory) {
    let federation = Federation::new(&[1]);
    let (module, mut slots) = genesis(&federation);
    let batch = [deposit(1, amount)];
    let view = view(1, B256::ZERO, &batch);
    let signatures = federation.all(domain().parent_view_digest(&view));
    module.import_deposits(&mut slots, &view, &signatures, &batch).unwrap();
    (module, slots)
}

fn wei(amount: u64) -> U256 {
    U256::from(amount)
}

#[test]
fn withdrawals_take_indices_in_order_and_burn_their_amount() {
    let (module, mut slots) = chain(100);
    let mut leaves = Vec::new();
    for index in 0..5u64 {
        let withdrawal = module.withdraw(&mut slots, ALICE, BOB, wei(10), wei(index)).unwrap();
        assert_eq!((withdrawal.index, withdrawal.token), (index, NATIVE_TOKEN));
        assert_eq!((withdrawal.sender, withdrawal.recipient), (ALICE, BOB));
        assert_eq!((withdrawal.amount, withdrawal.relayerFee), (wei(10), wei(index)));
        leaves.push(withdrawal_leaf(&withdrawal));
        assert_eq!(PegModule::withdrawal_count(&mut slots).unwrap(), index + 1);
        assert_eq!(PegModule::withdrawal_root(&mut slots).unwrap(), tree::root_of(&leaves).unwrap());
        assert_eq!(PegModule::supply(&mut slots).unwrap(), wei(100 - 10 * (index + 1)));
    }
}

#[test]
fn refused_withdrawals_change_nothing_and_give_the_reason() {
    let (module, slots) = chain(100);
    let refused = |sender, recipient, amount: u64, fee: u64| {
        let mut after = slots.clone();
        let error = module.withdraw(&mut after, sender, recipient, wei(amount), wei(fee)).unwrap_err();
        assert_eq!(after, slots, "a refusal writes nothing");
        match error {
            ModuleError::Refused(fault) => fault,
            ModuleError::Slots(never) => match never {},
        }
    };
    assert_eq!(refused(ALICE, BOB, 0, 0), PegFault::ZeroAmount);
    for recipient in [Address::ZERO, VAULT, REGISTRY] {
        assert_eq!(refused(ALICE, recipient, 1, 0), PegFault::InvalidRecipient { recipient });
    }
    let fault = PegFault::FeeExceedsAmount { relayer_fee: wei(2), amount: wei(1) };
    assert_eq!(refused(ALICE, BOB, 1, 2), fault);
    let data = IPeg::FeeExceedsAmount { relayerFee: wei(2), amount: wei(1) }.abi_encode();
    assert_eq!(fault.revert_data().as_ref(), data);
    assert_eq!(refused(ALICE, BOB, 101, 0), PegFault::SupplyUnderflow { supply: wei(100), amount: wei(101) });
}

#[test]
fn whole_supply_and_whole_fee_are_allowed() {
    let (module, mut slots) = chain(100);
    assert!(module.withdraw(&mut slots, ALICE, BOB, wei(100), wei(100)).is_ok());
    assert_eq!(PegModule::supply(&mut slots).unwrap(), U256::ZERO);
}

#[test]
fn full_tree_refuses_another_leaf() {
    let (module, mut slots) = chain(100);
    slots.insert(layout::WITHDRAWAL_COUNT, U256::from(tree::MAX_LEAVES - 1));
    assert!(module.withdraw(&mut slots, ALICE, BOB, wei(1), wei(0)).is_ok());
    assert_eq!(module.withdraw(&mut slots, ALICE, BOB, wei(1), wei(0)), Err(ModuleError::Refused(PegFault::TreeFull)));
}

#[test]
fn chain_without_a_peg_burns_nothing() {
    let module = PegModule::new(domain());
    assert_eq!(
        module.withdraw(&mut Memory::new(), ALICE, BOB, wei(1), wei(0)),
        Err(ModuleError::Refused(PegFault::NotPegged))
    );
}

/// Slots that fail at the n-th access, like a journal that is out of gas.
struct Failing {
    slots: Memory,
    accesses_left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OutOfGas;

impl Failing {
    fn spend(&mut self) -> Result<(), OutOfGas> {
        self.accesses_left = self.accesses_left.checked_sub(1).ok_or(OutOfGas)?;
        Ok(())
    }
}

impl Slots for Failing {
    type Error = OutOfGas;

    fn load(&mut self, slot: U256) -> Result<U256, OutOfGas> {
        self.spend()?;
        let Ok(value) = self.slots.load(slot);
        Ok(value)
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), OutOfGas> {
        self.spend()?;
        let Ok(()) = self.slots.store(slot, value);
        Ok(())
    }
}

#[test]
fn storage_failures_are_never_verdicts() {
    let (module, slots) = chain(100);
    let mut successes = 0;
    for accesses_left in 0..20 {
        let mut failing = Failing { slots: slots.clone(), accesses_left };
        match module.withdraw(&mut failing, ALICE, BOB, wei(1), wei(0)) {
            Ok(_) => successes += 1,
            Err(error) => assert_eq!(error, ModuleError::Slots(OutOfGas)),
        }
    }
    assert!(successes > 0, "20 accesses are enough");
}
