//! Pegged chains: deposits and checkpoints, epochs that wait for their handover, sets that the parent acknowledges.

use alloy_primitives::{Address, B256, U256};
use causeway_execution::peg_state;
use causeway_parent::ParentUpdate;
use causeway_peg::{Deposit, ParentView, PegModule, deposit};

use super::cluster::{Cluster, Plan, stake};
use crate::handle::Event;

/// Deposits on the simulated parent: each in a block of its own.
struct Parent {
    acc: B256,
    nonce: u64,
}

impl Parent {
    fn deposit(&mut self, recipient: Address, wei: U256) -> (ParentView, Deposit) {
        self.nonce += 1;
        let deposit = Deposit {
            nonce: self.nonce,
            token: Address::ZERO,
            sender: Address::repeat_byte(1),
            recipient,
            amount: wei,
        };
        self.acc = deposit::extend_acc(self.acc, deposit::deposit_leaf(&deposit));
        let view = ParentView {
            parentHeight: 10 * self.nonce,
            parentHash: B256::repeat_byte(7),
            depositNonce: self.nonce,
            depositAcc: self.acc,
        };
        (view, deposit)
    }
}

fn parent() -> Parent {
    Parent { acc: B256::ZERO, nonce: 0 }
}

fn see(cluster: &mut Cluster, index: usize, view: ParentView, deposit: Deposit) {
    cluster.schedule(5, index, Event::Parent(ParentUpdate::Deposits { view, deposits: vec![deposit] }));
}

#[test]
fn deposits_are_minted_and_checkpoints_recorded_once_two_thirds_attest_them() {
    let mut cluster = Plan::new(4, 6).pegged().start();
    let recipient = Address::repeat_byte(0x99);
    let (view, deposit) = parent().deposit(recipient, U256::from(1_234_567));
    for index in 0..2 {
        see(&mut cluster, index, view, deposit);
    }
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(12)));
    assert_eq!(cluster.balance(0, recipient), U256::ZERO, "half of the stake must not mint");
    see(&mut cluster, 2, view, deposit);
    let (height, minted) = (cluster.head(0) + 12, U256::from(1_234_567));
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(height)));
    for index in 0..4 {
        assert_eq!(cluster.balance(index, recipient), minted);
        let progress = cluster.node(index).desk().unwrap().progress();
        assert_eq!(progress.imported, 1);
        assert!(progress.recorded >= 2, "checkpoints are recorded, the last is {}", progress.recorded);
    }
    cluster.assert_agreement();
}

#[test]
fn an_epoch_is_extended_until_a_block_carries_its_handover() {
    let mut cluster = Plan::new(4, 41).pegged().epochs(10).start();
    cluster.peg_muted = true;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(40)), "the parent's federation never stops the chain");
    for index in 0..4 {
        assert_eq!(cluster.epoch(index), 0);
        assert!(cluster.node(index).epoch().extended >= 30, "{:?}", cluster.node(index).epoch());
        let alarms = cluster.node(index).desk().unwrap().alarms();
        assert!(alarms.iter().any(|alarm| alarm.contains("epoch 0 is")), "{alarms:?}");
    }
    cluster.peg_muted = false;
    assert!(cluster.run(60_000, |cluster| (0..4).all(|index| cluster.epoch(index) >= 2)));
    for index in 0..4 {
        assert_eq!(cluster.node(index).epoch().extended, 0);
        let alarms = cluster.node(index).desk().unwrap().alarms();
        assert!(!alarms.iter().any(|alarm| alarm.contains("longer than planned")), "{alarms:?}");
    }
    cluster.assert_agreement();
}

#[test]
fn a_joiner_attests_with_its_epoch_and_the_parent_acknowledges_the_set() {
    let mut cluster = Plan::new(4, 42).others(1).pegged().epochs(10).start();
    let mut parent = parent();
    let operator = cluster.members[4].operator.address();
    let (view, deposit) = parent.deposit(operator, U256::from(10).pow(U256::from(18)));
    for index in 0..5 {
        see(&mut cluster, index, view, deposit);
    }
    assert!(cluster.run(20_000, |cluster| (0..5).all(|index| cluster.balance(index, operator) > U256::ZERO)));
    cluster.register(4, stake(900));
    assert!(cluster.run(120_000, |cluster| cluster.set() == [0, 1, 2, 3, 4]), "{:?}", cluster.set());
    let joined = cluster.epoch(0);
    assert!(cluster.run(10_000, |cluster| (0..5).all(|index| cluster.epoch(index) >= joined)));
    assert!(cluster.node(4).desk().unwrap().is_member());

    // 4,900 tokens: without the joiner three of the old ones are not more than two thirds.
    let recipient = Address::repeat_byte(0x99);
    let (view, deposit) = parent.deposit(recipient, U256::from(5));
    for index in [0, 1, 2] {
        see(&mut cluster, index, view, deposit);
    }
    let height = cluster.head(0) + 8;
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(height)));
    assert_eq!(cluster.balance(0, recipient), U256::ZERO);
    see(&mut cluster, 4, view, deposit);
    assert!(cluster.run(20_000, |cluster| cluster.balance(0, recipient) == U256::from(5)), "the joiner does not count");

    let state = cluster.chain(0).storage.latest();
    let commitment = PegModule::validator_set_commitment(&mut peg_state(state.as_ref()), joined).unwrap();
    assert!(!commitment.is_zero());
    for index in 0..5 {
        let update = ParentUpdate::SetCommitted { epoch: joined, commitment };
        cluster.schedule(5, index, Event::Parent(update));
    }
    let acked = |cluster: &Cluster| {
        let state = cluster.chain(0).storage.latest();
        PegModule::acked_epoch(&mut peg_state(state.as_ref())).unwrap()
    };
    assert!(cluster.run(30_000, |cluster| acked(cluster) == joined), "acknowledged is {}", acked(&cluster));
    cluster.assert_agreement();
}

#[test]
fn deposits_that_wait_over_a_rotation_are_minted_by_the_new_set() {
    let mut cluster = Plan::new(4, 43).pegged().epochs(10).start();
    let recipient = Address::repeat_byte(0x98);
    let (view, deposit) = parent().deposit(recipient, U256::from(9));
    for index in 0..2 {
        see(&mut cluster, index, view, deposit);
    }
    assert!(cluster.run(60_000, |cluster| (0..4).all(|index| cluster.epoch(index) >= 2)));
    assert_eq!(cluster.balance(0, recipient), U256::ZERO);
    see(&mut cluster, 2, view, deposit);
    let minted = |cluster: &Cluster| (0..4).all(|index| cluster.balance(index, recipient) == U256::from(9));
    assert!(cluster.run(20_000, minted));
    cluster.assert_agreement();
}
