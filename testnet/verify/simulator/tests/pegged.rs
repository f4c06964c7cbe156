//! Pegged chains: deposits and checkpoints, epochs that wait for their handover, sets that the parent acknowledges.

use crate::support::{Scenario, epochs, plan};
use alloy_primitives::{Address, U256};
use causeway_execution::peg_state;
use causeway_peg::PegModule;
use causeway_simulator::{Plan, parent::At, setup::stake};

fn start(validators: usize, others: usize, epoch_length: u64, seed: u64) -> Scenario {
    let pegged = Plan { pegged: true, others, ..plan(validators, seed) };
    Scenario::new(&epochs(pegged, epoch_length))
}

/// The first operator deposits on the parent.
fn deposit(scenario: &mut Scenario, recipient: Address, wei: u64) {
    let depositor = scenario.machine(0).operator.clone();
    scenario.world.parent.as_mut().unwrap().deposit(&depositor, recipient, U256::from(wei)).unwrap();
}

/// Whether these machines see the parent.
fn show_parent(scenario: &mut Scenario, machines: &[usize], shown: bool) {
    for machine in machines {
        scenario.world.parent.as_mut().unwrap().cut_off(*machine, !shown);
    }
}

fn acked(scenario: &Scenario) -> u64 {
    let state = scenario.chain(0).storage.latest();
    PegModule::acked_epoch(&mut peg_state(state.as_ref())).unwrap()
}

#[test]
fn deposits_are_minted_and_checkpoints_recorded_once_two_thirds_attest_them() {
    let mut scenario = start(4, 0, 3_600, 6);
    let recipient = Address::repeat_byte(0x99);
    show_parent(&mut scenario, &[2, 3], false);
    deposit(&mut scenario, recipient, 1_234_567);
    scenario.pass(40_000);
    assert_eq!(scenario.balance(0, recipient), U256::ZERO, "half of the stake must not mint");
    show_parent(&mut scenario, &[2], true);
    let minted = U256::from(1_234_567);
    let all_minted = |scenario: &Scenario| (0..4).all(|index| scenario.balance(index, recipient) == minted);
    assert!(scenario.run(90_000, all_minted));
    scenario.pass(1_000);
    for index in 0..4 {
        let progress = scenario.node(index).federation().unwrap().progress();
        assert_eq!(progress.imported, 1);
        assert!(progress.recorded >= 2, "checkpoints are recorded, the last is {}", progress.recorded);
    }
    let parent = scenario.world.parent.as_mut().unwrap();
    assert!(parent.registry_at(At::Head).number >= 2, "and relayed to the parent");
}

#[test]
fn an_epoch_is_extended_until_a_block_carries_its_handover() {
    let mut scenario = start(4, 0, 10, 41);
    scenario.mute_peg(true);
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(40)), "the parent's federation never stops the chain");
    for index in 0..4 {
        assert_eq!(scenario.epoch(index), 0);
        assert!(scenario.node(index).epoch().extended >= 28, "{:?}", scenario.node(index).epoch());
        let alarms = scenario.node(index).federation().unwrap().alarms();
        assert!(alarms.iter().any(|alarm| alarm.contains("epoch 0 is")), "{alarms:?}");
    }
    scenario.mute_peg(false);
    assert!(scenario.run(60_000, |scenario| (0..4).all(|index| scenario.epoch(index) >= 2)));
    for index in 0..4 {
        assert_eq!(scenario.node(index).epoch().extended, 0);
        let alarms = scenario.node(index).federation().unwrap().alarms();
        assert!(!alarms.iter().any(|alarm| alarm.contains("longer than planned")), "{alarms:?}");
    }
}

#[test]
fn a_joiner_attests_with_its_epoch_and_the_parent_acknowledges_the_set() {
    let mut scenario = start(4, 1, 10, 42);
    let operator = scenario.machine(4).operator.address();
    deposit(&mut scenario, operator, 1_000_000_000_000_000_000);
    assert!(scenario.run(90_000, |scenario| (0..5).all(|index| scenario.balance(index, operator) > U256::ZERO)));
    scenario.register(4, stake(900));
    assert!(scenario.run(120_000, |scenario| scenario.set() == [0, 1, 2, 3, 4]), "{:?}", scenario.set());
    let joined = scenario.epoch(0);
    assert!(scenario.run(10_000, |scenario| (0..5).all(|index| scenario.epoch(index) >= joined)));
    assert!(scenario.run(1_000, |scenario| scenario.node(4).federation().unwrap().is_member()));

    // 4,900 tokens: without the joiner three of the old ones are not more than two thirds.
    let recipient = Address::repeat_byte(0x99);
    show_parent(&mut scenario, &[3, 4], false);
    deposit(&mut scenario, recipient, 5);
    scenario.pass(40_000);
    assert_eq!(scenario.balance(0, recipient), U256::ZERO);
    show_parent(&mut scenario, &[4], true);
    let minted = scenario.run(90_000, |scenario| scenario.balance(0, recipient) == U256::from(5));
    assert!(minted, "the joiner does not count");
    assert!(scenario.run(90_000, |scenario| acked(scenario) >= joined), "acknowledged is {}", acked(&scenario));
}

#[test]
fn deposits_that_wait_over_a_rotation_are_minted_by_the_new_set() {
    let mut scenario = start(4, 0, 10, 43);
    let recipient = Address::repeat_byte(0x98);
    show_parent(&mut scenario, &[2, 3], false);
    deposit(&mut scenario, recipient, 9);
    scenario.pass(40_000);
    assert!(scenario.run(60_000, |scenario| (0..4).all(|index| scenario.epoch(index) >= 2)));
    assert_eq!(scenario.balance(0, recipient), U256::ZERO);
    show_parent(&mut scenario, &[2], true);
    let minted = |scenario: &Scenario| (0..4).all(|index| scenario.balance(index, recipient) == U256::from(9));
    assert!(scenario.run(90_000, minted));
}
