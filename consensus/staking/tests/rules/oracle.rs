//! A second implementation without pools, shares, indices or lazy updates: it keeps the exact property of every account in
//! rational numbers.
//!
//! A slash at once reduces the stake of every holder, wherever it has moved; rewards are distributed block by block. The
//! rules may differ from it only by rounding. Fractions are rounded to 2^-200 to keep them short.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use num_bigint::BigInt;
use num_rational::BigRational;

pub type Q = BigRational;

pub fn q(value: U256) -> Q {
    Q::from_integer(BigInt::from_bytes_be(num_bigint::Sign::Plus, &value.to_be_bytes::<32>()))
}

pub fn ratio(part: u64, whole: u64) -> Q {
    Q::new(part.into(), whole.into())
}

fn cut(value: &Q) -> Q {
    let unit = BigInt::from(1) << 200usize;
    Q::new((value * Q::from_integer(unit.clone())).floor().to_integer(), unit)
}

#[derive(Clone, Debug)]
pub struct Move {
    pub delegator: Address,
    pub from: Address,
    pub to: Address,
    pub leave: u64,
    pub amount: Q,
}

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub liquid: BTreeMap<Address, Q>,
    /// Free bonded stake by delegator and validator.
    pub bonded: BTreeMap<(Address, Address), Q>,
    pub moves: BTreeMap<u64, Move>,
    pub leaving: BTreeMap<(Address, Address, u64), Q>,
    /// All coin earned so far.
    pub coin: BTreeMap<Address, Q>,
}

impl Oracle {
    pub fn bonded_by(&self, who: Address, with: Address) -> Q {
        let free = self.bonded.get(&(who, with)).cloned().unwrap_or_default();
        let moved = self.moves.values().filter(|made| made.delegator == who && made.to == with);
        moved.fold(free, |sum, made| sum + &made.amount)
    }

    fn holders(&self, with: Address) -> BTreeMap<Address, Q> {
        let mut held: BTreeMap<Address, Q> = BTreeMap::new();
        for ((who, validator), amount) in &self.bonded {
            if *validator == with {
                *held.entry(*who).or_default() += amount;
            }
        }
        for made in self.moves.values().filter(|made| made.to == with) {
            *held.entry(made.delegator).or_default() += &made.amount;
        }
        held
    }

    pub fn pay(&mut self, who: Address, amount: &Q) {
        let balance = self.liquid.entry(who).or_default();
        *balance = cut(&(&*balance + amount));
    }

    pub fn bond(&mut self, who: Address, with: Address, amount: &Q) {
        *self.bonded.entry((who, with)).or_default() += amount;
    }

    /// Takes free stake; all of it if `all`.
    pub fn take(&mut self, who: Address, with: Address, amount: Q, all: bool) -> Q {
        let free = self.bonded.entry((who, with)).or_default();
        let taken = if all { free.clone() } else { amount };
        *free -= &taken;
        taken
    }

    /// Ends a redelegation that no longer answers for its old validator.
    pub fn free(&mut self, id: u64) {
        if let Some(made) = self.moves.remove(&id) {
            self.bond(made.delegator, made.to, &made.amount);
        }
    }

    /// Slashes the stake that is bonded with a validator or left it later than `epoch`; returns the slashed amount.
    pub fn slash(&mut self, validator: Address, epoch: u64, fraction: &Q) -> Q {
        let mut slashed = Q::default();
        let mut burn = |amount: &mut Q| {
            let part = &*amount * fraction;
            slashed += &part;
            *amount = cut(&(&*amount - part));
        };
        self.bonded.iter_mut().filter(|((_, with), _)| *with == validator).for_each(|(_, amount)| burn(amount));
        self.moves.values_mut().filter(|made| made.to == validator).for_each(|made| burn(&mut made.amount));
        let leaving = self.leaving.iter_mut();
        leaving.filter(|((_, with, leave), _)| *with == validator && *leave > epoch).for_each(|(_, part)| burn(part));
        slashed
    }

    /// Slashes the stake that moved away from a validator with effect after `epoch`.
    pub fn slash_moved(&mut self, validator: Address, epoch: u64, fraction: &Q) {
        for made in self.moves.values_mut().filter(|made| made.from == validator && made.leave > epoch) {
            made.amount = cut(&(&made.amount - &made.amount * fraction));
        }
    }

    /// Distributes a validator's earnings.
    pub fn earn(&mut self, validator: Address, earned: &Q, commission: &Q) {
        let holders = self.holders(validator);
        let total: Q = holders.values().sum();
        if total <= Q::default() {
            return;
        }
        let to_operator = earned * commission;
        let rest = earned - &to_operator;
        *self.coin.entry(validator).or_default() += to_operator;
        for (who, amount) in holders {
            let coin = self.coin.entry(who).or_default();
            *coin = cut(&(&*coin + &rest * amount / &total));
        }
    }

    /// Issues stake to a validator: the commission to its operator, the rest to all holders.
    pub fn issue(&mut self, validator: Address, amount: &Q, commission: &Q) {
        let total: Q = self.holders(validator).values().sum();
        if total <= Q::default() {
            return;
        }
        let to_operator = amount * commission;
        let factor = (&total + amount - &to_operator) / &total;
        let grow = |held: &mut Q| *held = cut(&(&*held * &factor));
        self.bonded.iter_mut().filter(|((_, with), _)| *with == validator).for_each(|(_, held)| grow(held));
        self.moves.values_mut().filter(|made| made.to == validator).for_each(|made| grow(&mut made.amount));
        self.bond(validator, validator, &to_operator);
    }

    pub fn total_bonded(&self) -> Q {
        self.bonded.values().sum::<Q>() + self.moves.values().map(|made| &made.amount).sum::<Q>()
    }
}
