//! The users' own books: every account's coin, computed from mints, fees and the intent of each
//! transaction. A node's balances have to agree to the wei.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use causeway_execution::Receipt;
use causeway_genesis::addresses::REWARD_POOL;
use causeway_peg::Withdrawal;

use super::{code::Contract, intent::Effect};

/// Coin by account.
#[derive(Debug, Default)]
pub(crate) struct Books {
    coin: BTreeMap<Address, U256>,
    /// Accounts that are also spent from elsewhere: their coin is not compared.
    shared: BTreeSet<Address>,
    /// Withdrawals burned, by index.
    burned: Vec<Withdrawal>,
    /// Deployed contracts.
    contracts: Vec<(Address, Contract)>,
}

impl Books {
    /// Marks an account that is also spent from elsewhere.
    pub(crate) fn share(&mut self, account: Address) {
        self.shared.insert(account);
    }

    /// Whether an account is also spent from elsewhere.
    pub(crate) fn is_shared(&self, account: Address) -> bool {
        self.shared.contains(&account)
    }

    /// The coin of an account.
    pub(crate) fn of(&self, account: Address) -> U256 {
        self.coin.get(&account).copied().unwrap_or_default()
    }

    /// Every account that ever had coin, or whose coin matters.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Address, U256)> + '_ {
        self.coin.iter().map(|(account, coin)| (*account, *coin))
    }

    /// Withdrawals burned so far, by index.
    pub(crate) fn burned(&self) -> &[Withdrawal] {
        &self.burned
    }

    /// Deployed contracts, the oldest first.
    pub(crate) fn contracts(&self) -> &[(Address, Contract)] {
        &self.contracts
    }

    /// Coin for an account, minted or from genesis.
    pub(crate) fn credit(&mut self, account: Address, coin: U256) {
        *self.coin.entry(account).or_default() += coin;
    }

    fn debit(&mut self, account: Address, coin: U256) -> Result<(), String> {
        let has = self.of(account);
        let rest = has.checked_sub(coin).ok_or_else(|| format!("{account} spent {coin} of {has}"))?;
        self.coin.insert(account, rest);
        Ok(())
    }

    /// An included transaction of `sender` with `value`, and what it did.
    ///
    /// # Errors
    /// When an account spent more than it had, or a withdrawal is not the next one.
    pub(crate) fn settle(
        &mut self,
        sender: Address,
        value: U256,
        effect: &Effect,
        receipt: &Receipt,
    ) -> Result<(), String> {
        let fee = U256::from(receipt.effective_gas_price) * U256::from(receipt.gas_used);
        self.debit(sender, fee)?;
        match effect {
            Effect::None => {}
            Effect::Paid(to) => {
                self.debit(sender, value)?;
                self.credit(*to, value);
            }
            Effect::Deployed(at, contract) => {
                self.credit(*at, U256::ZERO);
                self.contracts.push((*at, *contract));
            }
            Effect::Burned(withdrawal) => {
                self.debit(sender, value)?;
                if usize::try_from(withdrawal.index) != Ok(self.burned.len()) {
                    return Err(format!(
                        "withdrawal {} was burned where {} was due",
                        withdrawal.index,
                        self.burned.len()
                    ));
                }
                self.burned.push(*withdrawal);
            }
            Effect::Rewarded(coin) => {
                self.credit(sender, *coin);
            }
        }
        // The checks compare the reward pool's coin with its debts; here it belongs to no account.
        self.coin.remove(&REWARD_POOL);
        Ok(())
    }

    /// The first account whose `balance` differs.
    pub(crate) fn differs(&self, mut balance: impl FnMut(Address) -> U256) -> Option<(Address, U256, U256)> {
        self.accounts().filter(|(account, _)| !self.is_shared(*account)).find_map(|(account, kept)| {
            let found = balance(account);
            (found != kept).then_some((account, kept, found))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ALICE: Address = Address::repeat_byte(1);
    const BOB: Address = Address::repeat_byte(2);

    fn receipt(gas_used: u64) -> Receipt {
        Receipt {
            tx_type: 2,
            status: true,
            cumulative_gas_used: gas_used,
            gas_used,
            effective_gas_price: 2,
            contract_address: None,
            logs: Vec::new(),
            bloom: Default::default(),
        }
    }

    #[test]
    fn a_wei_too_many_or_too_few_is_noticed() {
        let mut books = Books::default();
        books.credit(ALICE, U256::from(100));
        books.settle(ALICE, U256::from(10), &Effect::Paid(BOB), &receipt(5)).unwrap();
        books.settle(ALICE, U256::from(7), &Effect::None, &receipt(1)).unwrap();
        books.settle(ALICE, U256::ZERO, &Effect::Rewarded(U256::from(3)), &receipt(0)).unwrap();
        assert_eq!((books.of(ALICE), books.of(BOB)), (U256::from(81), U256::from(10)));
        let balance = |wrong: Option<Address>| {
            move |account: Address| {
                let right = if account == ALICE { 81u64 } else { 10 };
                U256::from(right) + U256::from(u64::from(wrong == Some(account)))
            }
        };
        assert_eq!(books.differs(balance(None)), None);
        assert_eq!(books.differs(balance(Some(BOB))), Some((BOB, U256::from(10), U256::from(11))));
        books.share(BOB);
        assert_eq!(books.differs(balance(Some(BOB))), None);
        assert!(books.settle(ALICE, U256::from(100), &Effect::Paid(BOB), &receipt(0)).unwrap_err().contains("spent"));
    }

    #[test]
    fn withdrawals_follow_one_another() {
        let mut books = Books::default();
        books.credit(ALICE, U256::from(100));
        let burn = |index| Effect::Burned(Withdrawal { index, ..Withdrawal::default() });
        books.settle(ALICE, U256::from(10), &burn(0), &receipt(0)).unwrap();
        assert!(books.settle(ALICE, U256::from(10), &burn(0), &receipt(0)).is_err());
        assert_eq!(books.of(ALICE), U256::from(80));
    }
}
