//! The staking module's rules over slots: any actions of any account, under extreme parameters.
//!
//! A refused action writes nothing; bonded, leaving, liquid and slashed stake and dust add up to the issued stake; the reward
//! pool has exactly the coin that it owes; the accounting is consistent for all amounts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_staking::{
    BlockContext, Done, Env, GenesisMember, ModuleError, StakingFault, StakingModule, StakingParams, check_genesis,
    layout::{self, DelegationField, ValidatorField},
    views,
};

use crate::Target;
use crate::reader::Reader;

/// See the module. Eight bytes of parameters, then actions of four bytes and their amounts.
pub const TARGET: Target = Target { name: "staking_module", check, seeds, max_bytes: 768 };

type Memory = BTreeMap<U256, U256>;
type Ruled<T> = Result<Done<T>, ModuleError<Infallible>>;

const UNIT: u128 = 1_000_000_000_000_000_000;
const START: u64 = 1_700_000_000;
const ACCOUNTS: usize = 6;
const OPERATORS: usize = 6;
const AT_GENESIS: usize = 3;
const MAX_ACTIONS: usize = 96;

fn account(n: usize) -> Address {
    Address::repeat_byte(u8::try_from(n + 1).expect("few accounts"))
}

/// Operators 0 to 5 are the accounts from 6 on.
fn operator(n: usize) -> Address {
    account(ACCOUNTS + n)
}

fn everybody() -> impl Iterator<Item = Address> {
    (0..ACCOUNTS + OPERATORS).map(account)
}

/// Slot numbers of the shares, locked shares and accrued coin of all accounts with one operator. They are kept because each costs
/// two hashes and an audit reads all of them.
type Held = [Vec<U256>; 3];

static HELD: LazyLock<BTreeMap<Address, Held>> = LazyLock::new(|| {
    let slots = |who: Address, field| everybody().map(|a| layout::delegation(a, who, field)).collect();
    let fields = [DelegationField::Shares, DelegationField::Locked, DelegationField::Accrued];
    let held = |who| fields.map(|field| slots(who, field));
    (0..OPERATORS).map(operator).map(|who| (who, held(who))).collect()
});

fn consensus_key(n: usize) -> B256 {
    keccak256([b'c', u8::try_from(n).expect("few operators")])
}

/// See the module.
pub fn check(bytes: &[u8]) {
    run(bytes);
}

/// The world afterwards; `None` when the parameters are invalid.
fn run(bytes: &[u8]) -> Option<World> {
    let mut reader = Reader::new(bytes);
    let mut world = World::new(&mut reader)?;
    for at in 0..MAX_ACTIONS {
        if reader.is_empty() {
            break;
        }
        world.act(&mut reader);
        if at % 16 == 15 {
            world.audit();
        }
    }
    world.audit();
    Some(world)
}

struct World {
    slots: Memory,
    module: StakingModule,
    height: u64,
    time: u64,
    acked: u64,
    /// Balance of the reward pool, and its income since the last hook.
    pool: U256,
    unseen: U256,
    /// Number of successful actions.
    happened: u32,
    /// Bits of operators that neither sign nor propose.
    down: u8,
}

impl World {
    fn new(reader: &mut Reader<'_>) -> Option<Self> {
        let ppm = |reader: &mut Reader<'_>| *reader.pick(&[0, 1, 100, 50_000, 999_999, 1_000_000]);
        let pegged = reader.flag();
        let params = StakingParams {
            min_self_bond: U256::ONE,
            min_delegation: U256::from(1 + reader.below(3)),
            max_validators: *reader.pick(&[1, 2, 4, 100]),
            unbonding_seconds: *reader.pick(&[1, 5, 20, 31_536_000]),
            downtime_window: *reader.pick(&[10, 11, 20]),
            jail_seconds: *reader.pick(&[0, 1, 10]),
            downtime_slash_ppm: ppm(reader),
            double_sign_slash_ppm: ppm(reader),
            reporter_ppm: ppm(reader),
            issuance_ppm: *reader.pick(&[0, 1, 10_000]),
            ..StakingParams::new(1 + u64::try_from(reader.below(6)).ok()?, pegged)
        };
        let members: Vec<_> = (0..AT_GENESIS)
            .map(|n| GenesisMember {
                operator: operator(n),
                consensus_key: consensus_key(n),
                peg_address: Address::repeat_byte(0xa0 + u8::try_from(n).expect("few")),
                stake: U256::from(UNIT) * U256::from(10 + reader.below(200)) + U256::from(reader.below(200)),
                commission_bps: u16::try_from(reader.below(3) * 5_000).expect("at most a whole"),
            })
            .collect();
        let alloc: BTreeMap<_, _> = everybody().map(|who| (who, U256::from(UNIT) * U256::from(100))).collect();
        check_genesis(&params, &members, &alloc).ok()?;
        let slots = StakingModule::genesis_slots(&params, &members, &alloc, START);
        let module = StakingModule::new(params);
        let (pool, unseen) = (U256::ZERO, U256::ZERO);
        let mut world = Self { slots, module, height: 0, time: START, acked: 0, pool, unseen, happened: 0, down: 0 };
        world.block(1, true, true);
        Some(world)
    }

    fn block(&mut self, seconds: u64, handover: bool, open: bool) {
        let members = see(views::active_set(&mut self.slots));
        let down = |who: &Address| (0..OPERATORS).any(|n| operator(n) == *who && self.down >> n & 1 == 1);
        let awake: Vec<_> = members.iter().filter(|member| !down(&member.operator)).collect();
        let first = self.height == 0;
        let signers: Vec<B256> = awake.iter().filter(|_| !first).map(|member| member.consensus_key).collect();
        let turn = usize::try_from(self.height).expect("few blocks") % awake.len().max(1);
        let proposer = awake.get(turn).map(|member| member.operator);
        self.height += 1;
        self.time += seconds;
        let ctx = BlockContext {
            height: self.height,
            timestamp: self.time,
            previous_proposer: proposer.filter(|_| !first),
            previous_signers: &signers,
            reward_pool: self.pool,
            handover_ready: handover || !self.module.params().pegged,
            next_open: open || !self.module.params().pegged,
            acked_epoch: self.acked,
        };
        let outcome = self.module.begin_block(&mut self.slots, &ctx);
        outcome.expect("the hook never refuses");
        self.unseen = U256::ZERO;
    }

    fn act(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.u8();
        let (who, at) = (reader.u8(), reader.u8());
        let who = account(usize::from(who) % (ACCOUNTS + OPERATORS));
        let n = usize::from(at & 15) % OPERATORS;
        let other = usize::from(at >> 4) % OPERATORS;
        let owned = see(views::balance_of(&mut self.slots, who));
        let bonded = see(views::delegation(&mut self.slots, who, operator(n))).tokens;
        match choice % 20 {
            0..=2 => {
                for _ in 0..=usize::from(at) % 24 {
                    self.block(u64::from(choice >> 6) * 3, choice & 32 == 0, choice & 16 == 0);
                }
            }
            3 => self.block(u64::from(at) * 100_000, true, true),
            4 => {
                let amount = amount(reader, owned);
                self.take(who, |m, s, e| m.delegate(s, e, operator(n), amount));
            }
            5 => {
                let amount = amount(reader, bonded);
                self.take(who, |m, s, e| m.undelegate(s, e, operator(n), amount));
            }
            6 => {
                let amount = amount(reader, bonded);
                self.take(who, |m, s, e| m.redelegate(s, e, operator(n), operator(other), amount));
            }
            7 => {
                let id = u64::from(reader.u8());
                self.take(who, |m, s, e| m.settle_redelegation(s, e, id));
            }
            8 => {
                let leave = u64::from(at >> 3) + u64::from(reader.u8());
                self.take(who, |m, s, e| m.claim_unbonded(s, e, operator(n), leave));
            }
            9 => self.take(who, |m, s, e| m.claim_rewards(s, e, operator(n))),
            10 => self.take(operator(n), StakingModule::claim_commission),
            11 => {
                let bps = reader.u16();
                self.take(operator(n), |m, s, e| m.set_commission(s, e, bps));
            }
            12 => {
                let (bond, bps) = (amount(reader, owned), reader.u16() % 10_002);
                let (key, peg) = (consensus_key(other), Address::repeat_byte(0xa0 + (at >> 4)));
                self.take(operator(n), |m, s, e| m.register(s, e, key, peg, bps, bond));
            }
            13 => self.take(operator(n), StakingModule::unjail),
            14 => self.take(operator(n), StakingModule::exit),
            15 => {
                let height =
                    self.height.saturating_sub(u64::from(reader.u8()) % 32).wrapping_add(u64::from(choice == 15));
                let hint = u64::from(reader.u8()) % 8;
                self.take(who, |m, s, e| m.punish_double_sign(s, e, consensus_key(n), height, hint, e.sender));
            }
            16 => {
                let (amount, to) = (amount(reader, owned), account(usize::from(at) % (ACCOUNTS + OPERATORS)));
                if choice & 32 == 0 {
                    self.take(who, |m, s, e| m.transfer(s, e, to, amount));
                } else {
                    self.take(who, |m, s, e| m.approve(s, e, to, amount));
                    self.take(to, |m, s, e| m.transfer_from(s, e, who, to, amount));
                }
            }
            17 => {
                let coin = U256::from(reader.u64());
                self.pool += coin;
                self.unseen += coin;
            }
            18 => self.down = at,
            _ => self.acked = self.epoch(),
        }
    }

    fn epoch(&mut self) -> u64 {
        see(views::epoch(&mut self.slots)).number
    }

    /// An action happens completely or not at all.
    fn take<T>(&mut self, sender: Address, action: impl FnOnce(&StakingModule, &mut Memory, &Env) -> Ruled<T>) {
        let env = Env { sender, timestamp: self.time, height: self.height, acked_epoch: self.acked };
        let before = self.slots.clone();
        match action(&self.module, &mut self.slots, &env) {
            Ok(done) => {
                self.happened += 1;
                for payment in done.payments {
                    assert!(!payment.amount.is_zero(), "a payment of nothing");
                    let left = self.pool.checked_sub(payment.amount);
                    self.pool = left.expect("the pool has what is paid out of it");
                }
            }
            Err(ModuleError::Refused(fault)) => {
                assert_eq!(before, self.slots, "a refused action wrote");
                assert!(fault.revert_data().len() >= 4);
                assert_ne!(fault, StakingFault::Accounting, "the accounts are broken");
            }
            Err(ModuleError::Slots(never)) => match never {},
        }
    }

    fn slot(&self, slot: U256) -> U256 {
        self.slots.get(&slot).copied().unwrap_or_default()
    }

    fn audit(&mut self) {
        let totals = see(views::totals(&mut self.slots));
        let liquid = everybody()
            .map(|who| see(views::balance_of(&mut self.slots, who)))
            .fold(U256::ZERO, |sum, value| sum + value);
        assert_eq!(Some(liquid), totals.liquid(), "bonded, leaving, liquid, slashed and dust are what was issued");
        let operators = see(views::validators(&mut self.slots));
        let (mut bonded, mut unbonding, mut owed) = (U256::ZERO, U256::ZERO, U256::ZERO);
        let last = self.epoch() + 67;
        for who in &operators {
            let field = |field| self.slot(layout::validator(*who, field));
            let [shares, locked, accrued] = HELD[who]
                .each_ref()
                .map(|slots| slots.iter().map(|slot| self.slot(*slot)).fold(U256::ZERO, |a, b| a + b));
            bonded += field(ValidatorField::Tokens);
            assert_eq!(shares, field(ValidatorField::Shares), "shares of {who}");
            assert_eq!(accrued, field(ValidatorField::Accrued));
            assert!(locked <= shares);
            assert!(accrued <= field(ValidatorField::Rewards));
            owed += field(ValidatorField::Rewards) + field(ValidatorField::Commission);
            let words: Vec<_> = (0..=last / 256).map(|word| self.slot(layout::leaving_bits(*who, word))).collect();
            for leave in 0..=last {
                let (word, bit) = (leave / 256, leave % 256);
                let word = usize::try_from(word).ok().and_then(|word| words.get(word)).expect("a word for each epoch");
                if word.bit(usize::try_from(bit).expect("below 256")) {
                    unbonding += self.slot(layout::leaving_pool(*who, leave));
                    let parts = everybody().map(|a| self.slot(layout::leaving_part(a, *who, leave)));
                    let shares = self.slot(layout::leaving_pool_shares(*who, leave));
                    assert_eq!(parts.fold(U256::ZERO, |a, b| a + b), shares);
                }
            }
        }
        assert_eq!((bonded, unbonding), (totals.bonded, totals.unbonding));
        assert_eq!(owed, self.slot(layout::COIN_OWED));
        let coin = see(views::rewards(&mut self.slots));
        assert_eq!(
            coin.owed + coin.undistributed + coin.dust + self.unseen,
            self.pool,
            "the reward pool is accounted for"
        );
        let active = see(views::active_set(&mut self.slots));
        let next = see(views::next_set(&mut self.slots));
        assert!(!active.is_empty() && !next.is_empty());
        assert!(active.iter().chain(&next).all(|member| member.power > 0));
    }
}

/// Views of valid slots never fail.
fn see<T>(view: Result<T, ModuleError<Infallible>>) -> T {
    view.expect("the slots are sound")
}

/// A part of an account's amount, a small amount, too much, or an arbitrary one.
fn amount(reader: &mut Reader<'_>, of: U256) -> U256 {
    let choice = reader.u8();
    match choice & 7 {
        0 => of,
        1 => of + U256::ONE,
        2 => U256::from(choice >> 3),
        3 => U256::MAX >> (8 * usize::from(choice >> 3)),
        4 => U256::from_le_bytes(reader.array::<32>()),
        _ => of / U256::from(1 + (choice >> 3)),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let params = [0u8, 0, 2, 0, 0, 1, 2, 2, 3, 2, 3, 90, 1, 0, 100, 2, 1, 110, 3, 1];
    let with = |actions: &[u8]| [params.as_slice(), actions].concat();
    let mut pegged = with(&[0, 0, 20, 19, 0, 0, 0, 0, 20, 5, 6, 0, 5, 0, 0, 23, 19, 0, 0, 8, 6, 0, 3]);
    pegged[0] = 1;
    vec![
        with(&[
            4, 0, 0, 13, 4, 1, 1, 13, 0, 0, 23, 17, 0, 0, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 7, 9, 0, 0, 10, 0, 0, 5, 0, 0,
            13, 6, 1, 0x21, 13, 16, 2, 3, 13, 0, 0, 23, 14, 0, 2, 0, 0, 23, 9, 1, 1, 12, 9, 0x33, 0, 10, 0,
        ]),
        with(&[4, 0, 0, 0, 17, 0, 0, 9, 9, 9, 9, 9, 0, 0, 0, 0, 12, 9, 0, 0, 10, 0, 0]),
        with(&[4, 1, 1, 5, 0, 0, 9, 6, 1, 0x21, 13, 0, 0, 23, 7, 1, 0, 0]),
        with(&[18, 0, 1, 0, 0, 23, 0, 0, 23, 13, 0, 0, 18, 0, 0, 0, 0, 23]),
        with(&[15, 1, 0, 2, 0, 14, 0, 1, 0, 0, 23, 8, 7, 1, 3]),
        with(&[12, 3, 0x33, 5, 44, 1, 16, 1, 2, 5, 48, 1, 2, 5]),
        pegged,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_lead_to_actions_epochs_and_slashes() {
        let mut worlds: Vec<_> = seeds().iter().filter_map(|seed| run(seed)).collect();
        assert_eq!(worlds.len(), seeds().len(), "every seed is a world");
        let happened: u32 = worlds.iter().map(|world| world.happened).sum();
        let epochs: u64 = worlds.iter_mut().map(World::epoch).sum();
        let totals = worlds.iter_mut().map(|world| see(views::totals(&mut world.slots)));
        let slashed = totals.filter(|totals| !totals.slashed.is_zero()).count();
        assert!(happened >= 8 && epochs >= 20 && slashed > 0, "{happened} actions, {epochs} epochs, {slashed} slashed");
    }
}
