//! The staking module's slots, read by the table in its documentation without any function of the module. So a
//! module that writes and reads the same wrong slot is detected.

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_genesis::addresses::{PEG, STAKING};

use super::mirror::Mirror;

/// Slot 1: the epoch.
const EPOCH: u64 = 1;
/// Slots 2 to 6: the totals of stake.
const ISSUED: u64 = 2;
const BONDED: u64 = 3;
const UNBONDING: u64 = 4;
const SLASHED: u64 = 5;
const DUST: u64 = 6;
/// Slots 9 to 11: the reward pool's coin.
const COIN_OWED: u64 = 9;
const COIN_UNDISTRIBUTED: u64 = 10;
const COIN_DUST: u64 = 11;
/// Lists of operators.
const CANDIDATES: u64 = 14;
const FORMER: u64 = 15;
/// Two tables of sets, by the epoch's parity.
const SETS: u64 = 0x1000;
const SET_SIZE: u64 = 0x400;
const SET_MEMBERS: u64 = 0x10;
/// Mappings.
const VALIDATORS: u64 = 0x10000;
const DELEGATIONS: u64 = 0x10001;
const LEAVING_POOLS: u64 = 0x10003;
const LEAVING_BITS: u64 = 0x10004;
const EPOCH_STARTS: u64 = 0x1000e;
const BALANCES: u64 = 0x1000f;

/// Fields of a validator.
const STATUS: u64 = 0;
const COUNTS: u64 = 1;
const CONSENSUS_KEY: u64 = 2;
const PEG_ADDRESS: u64 = 3;
const TOKENS: u64 = 4;
const SHARES: u64 = 5;
const SHARE_INDEX: u64 = 8;
const REWARDS: u64 = 10;

/// The mirror's staking account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StakeSlots<'a>(pub(crate) &'a Mirror);

/// An epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochWord {
    pub(crate) number: u64,
    pub(crate) start_height: u64,
    pub(crate) extended: u64,
}

/// The totals of stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StakeTotals {
    pub(crate) issued: U256,
    pub(crate) bonded: U256,
    pub(crate) unbonding: U256,
    pub(crate) slashed: U256,
    pub(crate) dust: U256,
}

/// An entry of a set's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) operator: Address,
    pub(crate) power: u64,
    pub(crate) stake: U256,
}

/// A validator's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) jailed: bool,
    pub(crate) tombstoned: bool,
    pub(crate) power: u64,
    pub(crate) key: B256,
    pub(crate) peg: Address,
    pub(crate) tokens: U256,
    pub(crate) shares: U256,
    pub(crate) share_index: U256,
    pub(crate) rewards: U256,
}

/// The flags of a validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) registered: bool,
    pub(crate) jailed: bool,
    pub(crate) tombstoned: bool,
}

impl Marks {
    /// The flags in a status word.
    pub(crate) fn of(status: U256) -> Self {
        let flags = lane(status, 0);
        Self { registered: flags & 1 != 0, jailed: flags & 2 != 0, tombstoned: flags & 4 != 0 }
    }
}

/// A delegation's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DelegationRecord {
    pub(crate) shares: U256,
    pub(crate) share_index: U256,
    pub(crate) accrued: U256,
}

/// `keccak256(abi.encode(key, base))`.
fn map(key: U256, base: U256) -> U256 {
    U256::from_be_bytes(keccak256([key.to_be_bytes::<32>(), base.to_be_bytes::<32>()].concat()).0)
}

fn word(address: Address) -> U256 {
    U256::from_be_slice(address.as_slice())
}

fn address(word: U256) -> Address {
    Address::from_slice(&word.to_be_bytes::<32>()[12..])
}

/// The 64-bit lane `at`, the least significant first.
fn lane(word: U256, at: usize) -> u64 {
    let shifted: U256 = word >> (64 * at);
    (shifted & U256::from(u64::MAX)).to::<u64>()
}

impl StakeSlots<'_> {
    fn at(self, slot: U256) -> U256 {
        self.0.slot(STAKING, slot)
    }

    fn low(self, slot: u64) -> U256 {
        self.at(U256::from(slot))
    }

    /// The current epoch.
    pub(crate) fn epoch(self) -> EpochWord {
        let epoch = self.low(EPOCH);
        EpochWord { number: lane(epoch, 0), start_height: lane(epoch, 1), extended: lane(epoch, 3) }
    }

    /// Start time of an epoch; `None` where it has not begun.
    pub(crate) fn epoch_started(self, epoch: u64) -> Option<u64> {
        let start = self.at(map(U256::from(epoch), U256::from(EPOCH_STARTS)));
        (epoch <= self.epoch().number).then(|| lane(start, 1))
    }

    /// The totals of stake.
    pub(crate) fn totals(self) -> StakeTotals {
        StakeTotals {
            issued: self.low(ISSUED),
            bonded: self.low(BONDED),
            unbonding: self.low(UNBONDING),
            slashed: self.low(SLASHED),
            dust: self.low(DUST),
        }
    }

    /// Coin of the reward pool that is owed.
    pub(crate) fn counted_coin(self) -> U256 {
        self.low(COIN_OWED) + self.low(COIN_UNDISTRIBUTED) + self.low(COIN_DUST)
    }

    /// The set of `epoch`, which is the current one or the next.
    pub(crate) fn seats(self, epoch: u64) -> Vec<Seat> {
        let base = SETS + SET_SIZE * (epoch % 2);
        let count = lane(self.low(base), 0).min(SET_SIZE);
        let seat = |position: u64| {
            let at = base + SET_MEMBERS + 2 * position;
            let member = self.low(at);
            Seat { operator: address(member >> 64), power: lane(member, 0), stake: self.low(at + 1) }
        };
        (0..count).map(seat).collect()
    }

    /// Operators of all validators, including former ones.
    pub(crate) fn operators(self) -> Vec<Address> {
        [CANDIDATES, FORMER].into_iter().flat_map(|list| self.list(list)).map(address).collect()
    }

    fn list(self, list: u64) -> Vec<U256> {
        let first = U256::from_be_bytes(keccak256(U256::from(list).to_be_bytes::<32>()).0);
        let length = self.low(list).saturating_to::<u64>();
        (0..length).map(|position| self.at(first.wrapping_add(U256::from(position)))).collect()
    }

    /// The slot of a validator's status word.
    pub(crate) fn marks_slot(operator: Address) -> U256 {
        map(word(operator), U256::from(VALIDATORS)).wrapping_add(U256::from(STATUS))
    }

    /// The flags of a validator.
    pub(crate) fn marks(self, operator: Address) -> Marks {
        Marks::of(self.at(Self::marks_slot(operator)))
    }

    /// A validator's record; `None` when it never registered.
    pub(crate) fn record(self, operator: Address) -> Option<Record> {
        let base = map(word(operator), U256::from(VALIDATORS));
        let field = |field: u64| self.at(base.wrapping_add(U256::from(field)));
        let Marks { registered, jailed, tombstoned } = Marks::of(field(STATUS));
        registered.then(|| Record {
            jailed,
            tombstoned,
            power: lane(field(COUNTS), 2),
            key: B256::from(field(CONSENSUS_KEY)),
            peg: address(field(PEG_ADDRESS)),
            tokens: field(TOKENS),
            shares: field(SHARES),
            share_index: field(SHARE_INDEX),
            rewards: field(REWARDS),
        })
    }

    /// A delegation's record; zeros when there is none.
    pub(crate) fn delegation(self, delegator: Address, operator: Address) -> DelegationRecord {
        let base = map(word(operator), map(word(delegator), U256::from(DELEGATIONS)));
        let field = |field: u64| self.at(base.wrapping_add(U256::from(field)));
        DelegationRecord { shares: field(0), share_index: field(2), accrued: field(3) }
    }

    /// Tokens and shares that leave a validator, by epoch, among the epochs from 0 to `last`.
    pub(crate) fn leaving(self, operator: Address, last: u64) -> Vec<(u64, U256, U256)> {
        let bits = map(word(operator), U256::from(LEAVING_BITS));
        let pools = map(word(operator), U256::from(LEAVING_POOLS));
        let mut found = Vec::new();
        for group in 0..=last / 256 {
            let marks = self.at(map(U256::from(group), bits));
            for bit in (0..256u64).filter(|bit| marks.bit(usize::try_from(*bit).unwrap_or(0))) {
                let epoch = group * 256 + bit;
                let pool = map(U256::from(epoch), pools);
                found.push((epoch, self.at(pool), self.at(pool.wrapping_add(U256::ONE))));
            }
        }
        found
    }

    /// Time at which a delegator asked for its part of the stake that leaves a validator in an epoch, seconds.
    pub(crate) fn asked(self, delegator: Address, operator: Address, epoch: u64) -> u64 {
        let pool = map(U256::from(epoch), map(word(operator), U256::from(LEAVING_POOLS)));
        lane(self.at(map(word(delegator), pool).wrapping_add(U256::ONE)), 0)
    }

    /// Liquid stake of an account.
    pub(crate) fn liquid(self, account: Address) -> U256 {
        self.at(map(word(account), U256::from(BALANCES)))
    }
}

/// Members of the peg's federation of an epoch, from the peg module's slots: mapping 0x20000, count in field 1, members
/// from field 0x100 on.
pub(crate) fn federation(mirror: &Mirror, epoch: u64) -> Vec<(Address, u64)> {
    let base = map(U256::from(epoch), U256::from(0x20000));
    let field = |field: u64| mirror.slot(PEG, base.wrapping_add(U256::from(field)));
    let count = lane(field(1), 0).min(0x100);
    (0..count).map(|position| field(0x100 + position)).map(|word| (address(word >> 64), lane(word, 0))).collect()
}
