//! I7, backing: the vault's coin equals the sidechain's coin, the deposits not yet minted and the burns not yet paid.
//!
//! The coin is the sum of all balances, updated by the changes of blocks; deposits and burns are added up one by one. The module's
//! own count of its supply is compared with that sum at every height.

use std::collections::BTreeSet;

use alloy_primitives::U256;
use causeway_genesis::addresses::PEG;

use super::{
    Violation,
    bridge::{Crossings, ParentFacts},
    canon::Canon,
    ensure,
    violation::BACKING,
};
use crate::parent::{At, Parent};

/// Storage slot of the peg module's supply.
const SUPPLY: u64 = 5;

/// The vault at the parent's newest block, wei.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vault {
    /// Coin that the vault counts as locked.
    pub(crate) locked: U256,
    /// The coin in its account.
    pub(crate) balance: U256,
}

impl Vault {
    /// The present state.
    pub(crate) fn of(parent: &Parent) -> Self {
        Self { locked: parent.vault_locked(At::Head), balance: parent.balance(parent.vault(), At::Head) }
    }
}

/// The sidechain's coin after the head.
pub(crate) fn of_sidechain(canon: &Canon, crossings: &Crossings) -> Result<(), Violation> {
    let (height, coin) = (canon.height(), canon.mirror.coin());
    if canon.genesis.spec.peg.is_none() {
        let begun: U256 = canon.genesis.alloc.values().fold(U256::ZERO, |sum, account| sum + account.balance);
        return ensure(coin == begun, BACKING, height, || format!("there are {coin} wei, {begun} were at genesis"));
    }
    let outstanding = crossings.outstanding();
    ensure(outstanding == Some(coin), BACKING, height, || {
        format!("there are {coin} wei, minted and not burned are {outstanding:?}")
    })?;
    let counted = canon.mirror.slot(PEG, U256::from(SUPPLY));
    ensure(counted == coin, BACKING, height, || format!("there are {coin} wei, the module counts {counted}"))
}

/// The present state of both chains.
pub(crate) fn of_both(
    canon: &Canon,
    crossings: &Crossings,
    parent: &ParentFacts<'_>,
    vault: Vault,
) -> Result<(), Violation> {
    let height = canon.height();
    let unminted: U256 =
        parent.deposits.iter().skip(crossings.minted()).fold(U256::ZERO, |sum, made| sum + made.deposit.amount);
    let paid: BTreeSet<u64> = parent.claims.iter().map(|claim| claim.index).collect();
    let unpaid = crossings.burned().iter().filter(|burned| !paid.contains(&burned.index));
    let unclaimed = unpaid.fold(U256::ZERO, |sum, burned| sum + burned.amount);
    let coin = canon.mirror.coin();
    ensure(vault.locked == coin + unminted + unclaimed, BACKING, height, || {
        format!("locked are {} wei, there are {coin}, {unminted} to be minted and {unclaimed} to be paid", vault.locked)
    })?;
    ensure(vault.balance >= vault.locked, BACKING, height, || {
        format!("locked are {} wei, the vault has {}", vault.locked, vault.balance)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::checks::{
        bridge::tests::{Crossed2, crossed},
        kit::{Kit, USER},
    };

    #[test]
    fn the_vault_covers_coin_deposits_and_burns_to_the_wei() {
        let Crossed2 { canon, mut held, crossings, .. } = crossed();
        // The deposits were 2^64 - 1 and 70, the burns 40 and 50.
        let locked = U256::from(u64::MAX) + U256::from(70);
        let vault = |locked: U256| Vault { locked, balance: locked };
        of_sidechain(&canon, &crossings).unwrap();
        of_both(&canon, &crossings, &held.facts(), vault(locked)).unwrap();
        for wrong in [locked - U256::ONE, locked + U256::ONE] {
            let violation = of_both(&canon, &crossings, &held.facts(), vault(wrong)).unwrap_err();
            assert_eq!(violation.invariant, BACKING);
        }
        let short = Vault { locked, balance: locked - U256::ONE };
        assert!(of_both(&canon, &crossings, &held.facts(), short).unwrap_err().text.contains("the vault has"));
        held.pay(&crossings.burned()[1], 1);
        of_both(&canon, &crossings, &held.facts(), vault(locked - U256::from(50))).unwrap();
        assert!(of_both(&canon, &crossings, &held.facts(), vault(locked)).is_err());
    }

    #[test]
    fn a_deposit_that_waits_is_part_of_what_is_locked() {
        let Crossed2 { canon, mut held, crossings, .. } = crossed();
        let mut waiting = held.deposits[1];
        waiting.deposit.nonce = 3;
        held.deposits.push(waiting);
        let locked = U256::from(u64::MAX) + U256::from(140);
        let vault = Vault { locked, balance: locked };
        of_both(&canon, &crossings, &held.facts(), vault).unwrap();
        let gone = Vault { locked: locked - U256::from(70), balance: locked };
        assert!(of_both(&canon, &crossings, &held.facts(), gone).is_err());
    }

    #[test]
    fn coin_from_nowhere_is_noticed_on_either_kind_of_chain() {
        let (mut kit, mut canon) = Kit::standalone();
        let tx = kit.transfer(0, USER, 5);
        let mut made = kit.next(&[tx]);
        let (_, (_, after)) = made.executed.diff.accounts.iter_mut().next().unwrap();
        after.as_mut().unwrap().balance += U256::ONE;
        of_sidechain(&canon, &Crossings::default()).unwrap();
        canon.advance(&made.executed, 0).unwrap();
        assert!(of_sidechain(&canon, &Crossings::default()).unwrap_err().text.contains("were at genesis"));

        let Crossed2 { canon, .. } = crossed();
        let nothing = of_sidechain(&canon, &Crossings::default()).unwrap_err();
        assert!(nothing.text.contains("minted and not burned"));
    }
}
