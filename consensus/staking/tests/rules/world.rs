//! A chain without blocks: slots, a clock, a reward pool, and the validators that are online.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_staking::{
    BlockContext, BlockOutcome, Done, Env, GenesisMember, ModuleError, StakingFault, StakingModule, StakingParams,
    layout::{self, DelegationField, ValidatorField},
    views,
};

use crate::oracle::{Q, q};

pub type Memory = BTreeMap<U256, U256>;
pub type Answer<T> = Result<T, StakingFault>;

pub const UNIT: u64 = 1_000_000_000_000_000_000;
pub const START: u64 = 1_700_000_000;

/// `units` of stake.
pub fn stake(units: u64) -> U256 {
    U256::from(units) * U256::from(UNIT)
}

pub fn account(name: u64) -> Address {
    Address::from_slice(&keccak256(name.to_be_bytes())[12..])
}

/// The operator of genesis validator or later registration `number`.
pub fn operator(number: u64) -> Address {
    account(1_000 + number)
}

pub fn consensus_key(number: u64) -> B256 {
    keccak256([b'c', u8::try_from(number).unwrap()])
}

pub fn peg_address(number: u64) -> Address {
    account(2_000 + number)
}

pub fn member(number: u64, amount: U256) -> GenesisMember {
    GenesisMember {
        operator: operator(number),
        consensus_key: consensus_key(number),
        peg_address: peg_address(number),
        stake: amount,
        commission_bps: 0,
    }
}

/// Epochs of ten blocks, windows of twenty, unbonding in 100 seconds; blocks take one second.
pub fn params() -> StakingParams {
    StakingParams { unbonding_seconds: 100, downtime_window: 20, ..StakingParams::new(10, false) }
}

#[derive(Clone)]
pub struct World {
    pub slots: Memory,
    pub module: StakingModule,
    pub height: u64,
    pub time: u64,
    pub acked: u64,
    pub handover: bool,
    pub open: bool,
    /// Balance of the reward pool.
    pub pool: U256,
    /// Coin that the pool received since the hook last ran.
    pub unseen: U256,
    pub paid: BTreeMap<Address, U256>,
    pub accounts: BTreeSet<Address>,
    /// Operators that neither sign nor propose.
    pub down: BTreeSet<Address>,
    pub logs: Vec<alloy_primitives::Log>,
}

impl World {
    pub fn with(params: StakingParams, members: &[GenesisMember], alloc: &[(Address, U256)]) -> Self {
        let alloc: BTreeMap<Address, U256> = alloc.iter().copied().collect();
        let slots = StakingModule::genesis_slots(&params, members, &alloc, START);
        let accounts = members.iter().map(|member| member.operator).chain(alloc.keys().copied()).collect();
        Self {
            slots,
            module: StakingModule::new(params),
            height: 0,
            time: START,
            acked: 0,
            handover: !params.pegged,
            open: true,
            pool: U256::ZERO,
            unseen: U256::ZERO,
            paid: BTreeMap::new(),
            accounts,
            down: BTreeSet::new(),
            logs: Vec::new(),
        }
    }

    /// Validators 1 to `count` with 100 units each, and accounts 1 to 9 and operators 11 to 29 with 1,000 units.
    pub fn new(count: u64) -> Self {
        Self::under(params(), count)
    }

    pub fn under(params: StakingParams, count: u64) -> Self {
        let members: Vec<GenesisMember> = (1..=count).map(|number| member(number, stake(100))).collect();
        let accounts = (1..=9).map(account).chain((1..=29).map(operator));
        let alloc: Vec<(Address, U256)> = accounts.map(|account| (account, stake(1_000))).collect();
        let mut world = Self::with(params, &members, &alloc);
        world.block();
        world
    }

    pub fn env(&self, sender: Address) -> Env {
        Env { sender, timestamp: self.time, height: self.height, acked_epoch: self.acked }
    }

    /// The next block, one second later.
    pub fn block(&mut self) -> BlockOutcome {
        let members = views::active_set(&mut self.slots).unwrap();
        let awake: Vec<_> = members.iter().filter(|member| !self.down.contains(&member.operator)).collect();
        let signers: Vec<B256> =
            if self.height == 0 { Vec::new() } else { awake.iter().map(|member| member.consensus_key).collect() };
        let turn = usize::try_from(self.height).unwrap();
        let proposer = if awake.is_empty() { None } else { Some(awake[turn % awake.len()].operator) };
        self.height += 1;
        self.time += 1;
        let ctx = BlockContext {
            height: self.height,
            timestamp: self.time,
            previous_proposer: proposer.filter(|_| self.height > 1),
            previous_signers: &signers,
            reward_pool: self.pool,
            handover_ready: self.handover,
            next_open: self.open,
            acked_epoch: self.acked,
        };
        let outcome = self.module.begin_block(&mut self.slots, &ctx).unwrap();
        self.unseen = U256::ZERO;
        outcome
    }

    pub fn blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.block();
        }
    }

    /// Produces blocks until the epoch is at least `number`.
    pub fn reach(&mut self, number: u64) {
        while self.epoch() < number {
            self.block();
        }
    }

    pub fn epoch(&mut self) -> u64 {
        views::epoch(&mut self.slots).unwrap().number
    }

    /// Adds coin to the reward pool.
    pub fn fees(&mut self, amount: U256) {
        self.pool += amount;
        self.unseen += amount;
    }

    /// Applies the result of an action: pays and keeps the logs. A refused action must have changed nothing.
    pub fn act<T>(
        &mut self,
        sender: Address,
        action: impl FnOnce(&StakingModule, &mut Memory, &Env) -> Result<Done<T>, ModuleError<std::convert::Infallible>>,
    ) -> Answer<T> {
        let env = self.env(sender);
        let before = self.slots.clone();
        match action(&self.module, &mut self.slots, &env) {
            Ok(done) => {
                for payment in done.payments {
                    assert!(!payment.amount.is_zero());
                    self.pool -= payment.amount;
                    *self.paid.entry(payment.to).or_default() += payment.amount;
                }
                self.logs = done.logs;
                Ok(done.value)
            }
            Err(ModuleError::Refused(fault)) => {
                assert_eq!(before, self.slots, "a refused action changed a slot");
                assert!(fault.revert_data().len() >= 4);
                assert_ne!(fault, StakingFault::Accounting, "the accounts do not balance");
                Err(fault)
            }
            Err(ModuleError::Slots(never)) => match never {},
        }
    }

    pub fn delegate(&mut self, who: Address, to: Address, amount: U256) -> Answer<()> {
        self.act(who, |module, slots, env| module.delegate(slots, env, to, amount))
    }

    pub fn undelegate(&mut self, who: Address, from: Address, amount: U256) -> Answer<(u64, u64)> {
        self.act(who, |module, slots, env| module.undelegate(slots, env, from, amount))
    }

    pub fn redelegate(&mut self, who: Address, from: Address, to: Address, amount: U256) -> Answer<u64> {
        self.act(who, |module, slots, env| module.redelegate(slots, env, from, to, amount))
    }

    pub fn settle(&mut self, id: u64) -> Answer<()> {
        self.act(account(9), |module, slots, env| module.settle_redelegation(slots, env, id))
    }

    pub fn claim_unbonded(&mut self, who: Address, from: Address, leave: u64) -> Answer<U256> {
        self.act(who, |module, slots, env| module.claim_unbonded(slots, env, from, leave))
    }

    pub fn claim_rewards(&mut self, who: Address, from: Address) -> Answer<U256> {
        self.act(who, |module, slots, env| module.claim_rewards(slots, env, from))
    }

    pub fn claim_commission(&mut self, who: Address) -> Answer<U256> {
        self.act(who, |module, slots, env| module.claim_commission(slots, env))
    }

    pub fn set_commission(&mut self, who: Address, bps: u16) -> Answer<()> {
        self.act(who, |module, slots, env| module.set_commission(slots, env, bps))
    }

    pub fn register(&mut self, number: u64, amount: U256) -> Answer<()> {
        self.act(operator(number), |module, slots, env| {
            module.register(slots, env, consensus_key(number), peg_address(number), 0, amount)
        })
    }

    pub fn unjail(&mut self, who: Address) -> Answer<()> {
        self.act(who, |module, slots, env| module.unjail(slots, env))
    }

    pub fn exit(&mut self, who: Address) -> Answer<u64> {
        self.act(who, |module, slots, env| module.exit(slots, env))
    }

    /// Evidence against validator `number`, from account 8.
    pub fn punish(&mut self, number: u64, height: u64, epoch: u64) -> Answer<U256> {
        self.act(account(8), |module, slots, env| {
            module.punish_double_sign(slots, env, consensus_key(number), height, epoch, env.sender)
        })
    }

    pub fn liquid(&mut self, who: Address) -> U256 {
        views::balance_of(&mut self.slots, who).unwrap()
    }

    /// The value of a delegation.
    pub fn bonded(&mut self, who: Address, with: Address) -> U256 {
        views::delegation(&mut self.slots, who, with).unwrap().tokens
    }

    pub fn tokens(&mut self, operator: Address) -> U256 {
        self.validator(operator).tokens
    }

    pub fn validator(&mut self, operator: Address) -> views::ValidatorView {
        views::validator(&mut self.slots, operator).unwrap().unwrap()
    }

    pub fn totals(&mut self) -> views::Totals {
        views::totals(&mut self.slots).unwrap()
    }

    pub fn unbondings(&mut self, who: Address) -> Vec<views::UnbondingView> {
        let params = *self.module.params();
        views::unbondings(&mut self.slots, &params, self.acked, who).unwrap()
    }

    pub fn redelegations(&mut self, who: Address) -> Vec<views::RedelegationView> {
        let params = *self.module.params();
        views::redelegations(&mut self.slots, &params, who).unwrap()
    }

    /// Operators of the active and of the next set.
    pub fn sets(&mut self) -> [Vec<Address>; 2] {
        [views::active_set(&mut self.slots).unwrap(), views::next_set(&mut self.slots).unwrap()]
            .map(|set| set.into_iter().map(|member| member.operator).collect())
    }

    pub fn slot(&self, slot: U256) -> U256 {
        self.slots.get(&slot).copied().unwrap_or_default()
    }

    /// The exact stake of an account: shares are worth fractions of a unit.
    pub fn wealth(&mut self, who: Address) -> Q {
        let mut sum = q(self.liquid(who));
        for operator in views::validators(&mut self.slots).unwrap() {
            let shares = self.slot(layout::delegation(who, operator, DelegationField::Shares));
            if !shares.is_zero() {
                let tokens = self.slot(layout::validator(operator, ValidatorField::Tokens));
                let all = self.slot(layout::validator(operator, ValidatorField::Shares));
                sum += q(shares) * q(tokens) / q(all);
            }
        }
        for part in self.unbondings(who) {
            let slot = |slot| q(self.slot(slot));
            let shares = slot(layout::leaving_part(who, part.validator, part.leave_epoch));
            let tokens = slot(layout::leaving_pool(part.validator, part.leave_epoch));
            sum += shares * tokens / slot(layout::leaving_pool_shares(part.validator, part.leave_epoch));
        }
        sum
    }

    /// Checks that all accounts balance exactly: stake, coin, shares, sets.
    pub fn audit(&mut self) {
        let totals = self.totals();
        let operators = views::validators(&mut self.slots).unwrap();
        let accounts: Vec<Address> = self.accounts.iter().copied().collect();
        let sum = |values: Vec<U256>| values.into_iter().fold(U256::ZERO, |sum, value| sum + value);

        let liquid = sum(accounts.iter().map(|account| self.liquid(*account)).collect());
        assert_eq!(Some(liquid), totals.liquid(), "bonded + unbonding + liquid + slashed + dust = issued");
        let field = |operator, field| self.slot(layout::validator(operator, field));
        let bonded = operators.iter().map(|operator| field(*operator, ValidatorField::Tokens)).collect();
        assert_eq!(sum(bonded), totals.bonded);

        let mut unbonding = U256::ZERO;
        let mut owed = U256::ZERO;
        for operator in &operators {
            let held = |which| {
                sum(accounts.iter().map(|account| self.slot(layout::delegation(*account, *operator, which))).collect())
            };
            assert_eq!(held(DelegationField::Shares), field(*operator, ValidatorField::Shares));
            assert_eq!(held(DelegationField::Accrued), field(*operator, ValidatorField::Accrued));
            assert!(held(DelegationField::Locked) <= held(DelegationField::Shares));
            assert!(field(*operator, ValidatorField::Accrued) <= field(*operator, ValidatorField::Rewards));
            owed += field(*operator, ValidatorField::Rewards) + field(*operator, ValidatorField::Commission);
            let last = self.slot(layout::EPOCH).as_limbs()[0] + 67;
            let bits = |leave: u64| self.slot(layout::leaving_bits(*operator, leave / 256));
            // The sum would miss a pool without its bit.
            for leave in (0..=last).filter(|leave| bits(*leave).bit(usize::try_from(leave % 256).unwrap())) {
                let pool = self.slot(layout::leaving_pool(*operator, leave));
                unbonding += pool;
                let parts = accounts.iter().map(|account| self.slot(layout::leaving_part(*account, *operator, leave)));
                let shares = self.slot(layout::leaving_pool_shares(*operator, leave));
                assert_eq!(sum(parts.collect()), shares);
                assert!(!shares.is_zero());
            }
        }
        assert_eq!(unbonding, totals.unbonding);
        assert_eq!(owed, self.slot(layout::COIN_OWED));
        let coin = views::rewards(&mut self.slots).unwrap();
        assert_eq!(
            coin.owed + coin.undistributed + coin.dust + self.unseen,
            self.pool,
            "owed + undistributed + dust + new coin = balance of the pool"
        );

        for set in [views::active_set(&mut self.slots).unwrap(), views::next_set(&mut self.slots).unwrap()] {
            assert!(!set.is_empty());
            let stakes: Vec<U256> = set.iter().map(|member| member.stake).collect();
            let powers: Vec<u64> = set.iter().map(|member| member.power).collect();
            assert_eq!(causeway_staking::scale_power(&stakes).unwrap(), powers);
            assert!(powers.iter().all(|power| *power > 0));
        }
    }
}
