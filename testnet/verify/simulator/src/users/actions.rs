//! Users' actions on the sidechain.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::SolCall;
use causeway_execution::RecoveredTx;
use causeway_genesis::addresses::{PEG, STAKING};
use causeway_peg::IPeg;

use super::{
    USERS, Users,
    code::{Contract, Outcome},
    intent::Intent,
    parent_side::Known,
    wallet::{Order, Wallet},
};
use crate::{rng::Rng, world::Scene};

/// Gas of a plain payment, of a withdrawal, direct or through a contract, and of a deployment.
const PAYMENT_GAS: u64 = 21_000;
const CALL_GAS: u64 = 400_000;
const DEPLOY_GAS: u64 = 300_000;
/// Coin that a user keeps for fees, wei.
const RESERVE: u64 = 100_000_000_000_000_000;
/// Percentages of turns that flood the pools, and that replace a transaction.
const SPAM_PERCENT: u64 = 2;
const REPLACE_PERCENT: u64 = 8;
/// Number of transactions in a flood that can never run, and their nonce gap.
const STRAYS: u64 = 24;
const STRAY_AHEAD: u64 = 10_000;
/// Most contracts that users deploy.
const MOST_CONTRACTS: usize = 6;

impl Users {
    /// One user acts.
    pub(super) fn user_turn(&mut self, scene: &mut Scene<'_>, rng: &mut Rng, sends: &mut Vec<Arc<RecoveredTx>>) {
        let user = rng.index(USERS);
        if let Some(parent) = scene.parent.as_deref_mut() {
            let known = Known { wallets: &self.wallets, books: &self.books };
            self.parent.act(known, parent, scene.coverage, rng, scene.now_ms);
        }
        if rng.percent(SPAM_PERCENT) {
            let wallet = &self.wallets[user];
            let first = STRAY_AHEAD + rng.below(STRAY_AHEAD);
            sends.extend((0..STRAYS).map(|stray| wallet.stray(first + stray)));
            scene.coverage.hit("spam");
        }
        let spare = self.spare(user);
        let pegged = scene.genesis.spec.peg.is_some();
        if rng.percent(REPLACE_PERCENT) {
            let amount = amount(rng, spare);
            let order = self.payment(rng, amount);
            let replaced = self.wallets[user].replace(order, scene.now_ms);
            sends.extend(replaced);
            return;
        }
        let Some(order) = self.order(user, spare, pegged, rng) else { return };
        if self.wallets[user].is_free() {
            sends.push(self.wallets[user].send(order, scene.now_ms));
        }
    }

    /// Coin that an account may spend, after its pending transactions and its reserve.
    pub(super) fn spare(&self, place: usize) -> U256 {
        let wallet = &self.wallets[place];
        let kept = wallet.promised() + Wallet::fees(CALL_GAS) + U256::from(RESERVE);
        self.books.of(wallet.address).saturating_sub(kept)
    }

    fn order(&self, user: usize, spare: U256, pegged: bool, rng: &mut Rng) -> Option<Order> {
        if spare.is_zero() {
            return None;
        }
        let (own, value) = (self.wallets[user].address, amount(rng, spare));
        let contract = |rng: &mut Rng, outcome: Outcome| self.contract(rng, Contract { target: PEG, outcome });
        let order = match rng.below(100) {
            0..40 => self.payment(rng, value),
            40..70 if pegged => {
                let (to, burner) = match contract(rng, Outcome::PassedOn).filter(|_| rng.percent(30)) {
                    Some(contract) => (contract, contract),
                    None => (PEG, own),
                };
                let (recipient, relayer_fee) = (stranger(rng), value / U256::from(1 + rng.below(50)));
                let intent = Intent::Withdraw { burner, recipient, relayer_fee };
                call(to, value, withdraw(recipient, relayer_fee), intent)
            }
            70..78 if self.books.contracts().len() < MOST_CONTRACTS => {
                let contract = self.next_contract();
                let (to, input, intent) = (TxKind::Create, contract.init_code(), Intent::Deploy(contract));
                Order { to, value: U256::ZERO, input, gas: DEPLOY_GAS, tip: 0, intent }
            }
            // A fee above the amount: the module refuses.
            78..84 => {
                let input = withdraw(own, value + U256::ONE);
                match contract(rng, Outcome::Swallowed) {
                    Some(by) => call(by, value, input, Intent::Kept { by }),
                    None => call(PEG, value, input, Intent::Fails),
                }
            }
            84..90 => {
                let to = contract(rng, Outcome::Undone)?;
                call(to, value, withdraw(own, U256::ZERO), Intent::Fails)
            }
            // Coin to a module, and calls that only the protocol may make.
            90..95 => call(PEG, value, Bytes::new(), Intent::Fails),
            95..100 => {
                let acknowledge = IPeg::acknowledgeSetCall { epoch: 9, signatures: Vec::new() }.abi_encode();
                call(PEG, U256::ZERO, acknowledge.into(), Intent::Fails)
            }
            _ => self.payment(rng, value),
        };
        Some(Order { tip: tip(rng), ..order })
    }

    /// Coin for another user, or for a new account.
    fn payment(&self, rng: &mut Rng, value: U256) -> Order {
        let to = match rng.below(10) {
            0 => stranger(rng),
            _ => self.wallets[rng.index(self.wallets.len())].address,
        };
        let intent = Intent::Transfer { to };
        Order { to: TxKind::Call(to), value, input: Bytes::new(), gas: PAYMENT_GAS, tip: tip(rng), intent }
    }

    /// Contracts are deployed in turn.
    fn next_contract(&self) -> Contract {
        let (target, outcome) = match self.books.contracts().len() % 4 {
            0 => (PEG, Outcome::PassedOn),
            1 => (PEG, Outcome::Swallowed),
            2 => (PEG, Outcome::Undone),
            _ => (STAKING, Outcome::PassedOn),
        };
        Contract { target, outcome }
    }

    /// One of the contracts that forward the call.
    pub(super) fn contract(&self, rng: &mut Rng, wanted: Contract) -> Option<Address> {
        let such = self.books.contracts().iter().filter(|(_, contract)| *contract == wanted);
        let such: Vec<Address> = such.map(|(at, _)| *at).collect();
        (!such.is_empty()).then(|| *rng.pick(&such))
    }
}

/// A new account.
fn stranger(rng: &mut Rng) -> Address {
    Address::from_slice(&keccak256(rng.bits().to_be_bytes())[12..])
}

fn withdraw(recipient: Address, relayer_fee: U256) -> Bytes {
    IPeg::withdrawCall { recipient, relayerFee: relayer_fee }.abi_encode().into()
}

fn call(to: Address, value: U256, input: Bytes, intent: Intent) -> Order {
    Order { to: TxKind::Call(to), value, input, gas: CALL_GAS, tip: 0, intent }
}

pub(super) fn tip(rng: &mut Rng) -> u128 {
    u128::from(rng.between(1, 3_000_000_000))
}

/// A part of an amount, often odd to the wei; at least 1.
fn amount(rng: &mut Rng, spare: U256) -> U256 {
    let part = spare / U256::from(rng.between(4, 40));
    match rng.below(8) {
        0 => U256::ONE,
        1 => part | U256::ONE,
        _ => part.max(U256::ONE),
    }
}
