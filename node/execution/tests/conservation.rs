//! Coin appears by the peg's mints and disappears by its burns, and in no other way: random blocks against a model that knows
//! balances, fees, deposits and withdrawals, and nothing of the EVM.

use std::collections::BTreeMap;

use crate::support::{
    ETHER, TestChain,
    asm::{self, Asm},
    peg, wallet,
};
use alloy_primitives::{Address, Bytes, U256};
use causeway_execution::{Receipt, Transaction};
use causeway_genesis::addresses::{PEG, REWARD_POOL};
use proptest::prelude::*;

const USERS: u64 = 4;

#[derive(Debug, Clone)]
enum Action {
    /// Coin to another user or to a stranger.
    Transfer { from: u64, to: u64, amount: u128 },
    /// A withdrawal by the user itself.
    Withdraw { from: u64, amount: u128, fee: u128 },
    /// A withdrawal through a contract that forwards and keeps what fails.
    Forwarded { from: u64, amount: u128, fee: u128 },
    /// A withdrawal through a contract that withdraws and then reverts.
    Reverted { from: u64, amount: u128 },
    /// A withdrawal with little gas.
    Starved { from: u64, amount: u128, gas: u64 },
    /// A plain payment to the peg, which bounces.
    Misdirected { from: u64, amount: u128 },
}

fn action() -> impl Strategy<Value = Action> {
    let user = 0..USERS;
    let amount = prop_oneof![0..3u128, 0..2 * ETHER];
    prop_oneof![
        (user.clone(), 0..USERS + 2, amount.clone()).prop_map(|(from, to, amount)| Action::Transfer {
            from,
            to,
            amount
        }),
        (user.clone(), amount.clone(), 0..4u128).prop_map(|(from, amount, fee)| Action::Withdraw { from, amount, fee }),
        (user.clone(), amount.clone(), 0..4u128).prop_map(|(from, amount, fee)| Action::Forwarded {
            from,
            amount,
            fee
        }),
        (user.clone(), amount.clone()).prop_map(|(from, amount)| Action::Reverted { from, amount }),
        (user.clone(), amount.clone(), 22_000..140_000u64).prop_map(|(from, amount, gas)| Action::Starved {
            from,
            amount,
            gas
        }),
        (user, amount).prop_map(|(from, amount)| Action::Misdirected { from, amount }),
    ]
}

#[derive(Debug, Clone)]
struct Turn {
    deposits: Vec<(u64, u128)>,
    actions: Vec<Action>,
}

fn turn() -> impl Strategy<Value = Turn> {
    (prop::collection::vec((0..USERS, 1..5 * ETHER), 0..3), prop::collection::vec(action(), 0..8))
        .prop_map(|(deposits, actions)| Turn { deposits, actions })
}

/// Balances as anybody with pen and paper would keep them.
#[derive(Default)]
struct Ledger {
    balances: BTreeMap<Address, U256>,
    supply: U256,
    withdrawals: usize,
}

impl Ledger {
    fn balance(&self, address: Address) -> U256 {
        self.balances.get(&address).copied().unwrap_or_default()
    }

    fn credit(&mut self, address: Address, amount: U256) {
        *self.balances.entry(address).or_default() += amount;
    }

    fn debit(&mut self, address: Address, amount: U256) {
        *self.balances.entry(address).or_default() -= amount;
    }

    fn mint(&mut self, address: Address, amount: U256) {
        self.credit(address, amount);
        self.supply += amount;
    }

    fn burn(&mut self, address: Address, amount: U256) {
        self.debit(address, amount);
        self.supply -= amount;
        self.withdrawals += 1;
    }

    fn fee(&mut self, from: Address, receipt: &Receipt) {
        let fee = U256::from(receipt.effective_gas_price) * U256::from(receipt.gas_used);
        self.debit(from, fee);
        self.credit(REWARD_POOL, fee);
    }
}

struct Scene {
    chain: TestChain,
    ledger: Ledger,
    forwarder: Address,
    reverter: Address,
}

/// Calls the peg with all of the call's data and coin.
fn pass_on() -> Asm {
    Asm::new().calldata_to_memory().forward(asm::CALL, PEG, Some(Asm::new().op(asm::CALLVALUE)))
}

fn scene() -> Scene {
    let mut chain = TestChain::pegged();
    let mut ledger = Ledger::default();
    let funds: Vec<_> = (0..USERS).map(|user| (wallet::address(user), 10 * ETHER)).collect();
    for (address, amount) in &funds {
        ledger.mint(*address, U256::from(*amount));
    }
    chain.push(vec![peg::import(&chain, &funds)], &[]);
    let forwarder = pass_on().op(asm::STOP).bytes();
    let reverter = pass_on().push(0u64).push(0u64).op(asm::REVERT).bytes();
    let deployer = wallet::address(0);
    let executed =
        chain.push_ok(&[wallet::create(0, 0, asm::deploy(&forwarder)), wallet::create(0, 1, asm::deploy(&reverter))]);
    for receipt in &executed.receipts {
        ledger.fee(deployer, receipt);
    }
    Scene { chain, ledger, forwarder: deployer.create(0), reverter: deployer.create(1) }
}

fn target(to: u64) -> Address {
    if to < USERS { wallet::address(to) } else { Address::repeat_byte(0xd0 + u8::try_from(to).unwrap()) }
}

/// The transaction of an action: (recipient, value, input, gas).
fn request(scene: &Scene, action: &Action) -> (u64, Address, u128, Bytes, u64) {
    let recipient = Address::repeat_byte(0xee);
    let enough = 400_000;
    match action {
        Action::Transfer { from, to, amount } => (*from, target(*to), *amount, Bytes::new(), enough),
        Action::Withdraw { from, amount, fee } => (*from, PEG, *amount, peg::withdraw_input(recipient, *fee), enough),
        Action::Forwarded { from, amount, fee } => {
            (*from, scene.forwarder, *amount, peg::withdraw_input(recipient, *fee), enough)
        }
        Action::Reverted { from, amount } => {
            (*from, scene.reverter, *amount, peg::withdraw_input(recipient, 0), enough)
        }
        Action::Starved { from, amount, gas } => (*from, PEG, *amount, peg::withdraw_input(recipient, 0), *gas),
        Action::Misdirected { from, amount } => (*from, PEG, *amount, Bytes::new(), enough),
    }
}

/// What the ledger says of an included action.
fn settle(ledger: &mut Ledger, scene_forwarder: Address, action: &Action, receipt: &Receipt) {
    match action {
        Action::Transfer { from, to, amount } => {
            assert!(receipt.status);
            ledger.debit(wallet::address(*from), U256::from(*amount));
            ledger.credit(target(*to), U256::from(*amount));
        }
        Action::Withdraw { from, amount, fee } => {
            assert_eq!(receipt.status, *amount > 0 && fee <= amount);
            if receipt.status {
                ledger.burn(wallet::address(*from), U256::from(*amount));
            }
        }
        Action::Forwarded { from, amount, fee } => {
            assert!(receipt.status);
            let burned = *amount > 0 && fee <= amount;
            assert_eq!(receipt.logs.len(), usize::from(burned));
            if burned {
                ledger.burn(wallet::address(*from), U256::from(*amount));
            } else {
                ledger.debit(wallet::address(*from), U256::from(*amount));
                ledger.credit(scene_forwarder, U256::from(*amount));
            }
        }
        Action::Starved { from, amount, .. } => {
            assert!(*amount > 0 || !receipt.status);
            // Whether the gas was enough is the one thing the ledger cannot know.
            if receipt.status {
                ledger.burn(wallet::address(*from), U256::from(*amount));
            }
        }
        Action::Reverted { .. } | Action::Misdirected { .. } => assert!(!receipt.status),
    }
}

fn play(turns: &[Turn]) {
    let mut scene = scene();
    for turn in turns {
        let credits: Vec<_> = turn.deposits.iter().map(|(user, amount)| (wallet::address(*user), *amount)).collect();
        let system = if credits.is_empty() { Vec::new() } else { vec![peg::import(&scene.chain, &credits)] };
        let mut nonces: Vec<_> = (0..USERS).map(|user| scene.chain.nonce(user)).collect();
        let mut txs = Vec::new();
        let mut by_hash = BTreeMap::new();
        for action in &turn.actions {
            let (from, to, value, input, gas) = request(&scene, action);
            let index = usize::try_from(from).unwrap();
            let tx = wallet::call_gas(from, nonces[index], to, value, input, gas);
            nonces[index] += 1;
            by_hash.insert(tx.hash, (from, action.clone()));
            txs.push(tx);
        }
        let executed = scene.chain.push(system, &txs);
        for (address, amount) in &credits {
            scene.ledger.mint(*address, U256::from(*amount));
        }
        let before = scene.ledger.withdrawals;
        for (tx, receipt) in executed.block.transactions.iter().zip(&executed.receipts) {
            if matches!(tx, Transaction::System(_)) {
                continue;
            }
            let (from, action) = &by_hash[&tx.hash()];
            settle(&mut scene.ledger, scene.forwarder, action, receipt);
            scene.ledger.fee(wallet::address(*from), receipt);
        }
        let withdrawals = executed
            .peg_events
            .iter()
            .filter(|event| matches!(event.kind, causeway_execution::PegEventKind::WithdrawalRequested(_)))
            .count();
        assert_eq!(withdrawals, scene.ledger.withdrawals - before);
        assert_eq!(peg::supply(&scene.chain), scene.ledger.supply);
        assert_eq!(scene.chain.state.total_balance(), scene.ledger.supply, "no coin from elsewhere");
        for address in scene.ledger.balances.keys() {
            assert_eq!(scene.chain.state.balance(*address), scene.ledger.balance(*address), "{address}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn supply_equals_the_sum_of_balances_and_a_ledger_agrees(turns in prop::collection::vec(turn(), 1..5)) {
        play(&turns);
    }
}
