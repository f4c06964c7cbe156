//! Random sequences of all actions over many epochs.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;
use causeway_staking::{
    IStaking, StakingParams,
    layout::{self, ValidatorField},
    views,
};

use crate::{
    epochs::change,
    oracle::{Move, Oracle, Q, q, ratio},
    world::{World, account, consensus_key, member, operator, params, peg_address, stake},
};

/// Sequences compared with the oracle, and their steps.
const CASES: u64 = 1_600;
const STEPS: u64 = 40;
/// Sequences with extreme parameters, which only check conservation.
const EXTREME_CASES: u64 = 800;

/// Sebastiano Vigna's splitmix64.
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A part of `whole`: all, a few units, or anything between.
    fn part(&mut self, whole: U256) -> U256 {
        match self.below(8) {
            0 => U256::MAX,
            1 => whole,
            2 => whole / U256::from(7),
            _ => whole * U256::from(1 + self.below(999)) / U256::from(2_000),
        }
    }
}

struct Run {
    world: World,
    oracle: Oracle,
    dice: Dice,
    /// Whether every slash settles all redelegations at once, as the oracle does.
    keeper: bool,
    /// Steps and blocks so far: each may add one rounding error for every account.
    events: u64,
    blocks: u64,
    next_number: u64,
    /// Epoch of the last fault.
    fault_epoch: Option<u64>,
    previous_set: Option<(u64, Vec<causeway_staking::Member>)>,
    /// Number of set changes that were compared with the bounds.
    changes: u64,
}

const DELEGATORS: u64 = 4;
const NUMBERS: u64 = 6;

impl Run {
    fn new(seed: u64, params: StakingParams, keeper: bool) -> Self {
        let mut dice = Dice(seed);
        let members: Vec<_> = (1..=3)
            .map(|number| {
                let mut member = member(number, stake(20) + U256::from(dice.next()));
                member.commission_bps = u16::try_from(dice.below(3) * 1_500).unwrap();
                member
            })
            .collect();
        let accounts: Vec<Address> = (1..=DELEGATORS).map(account).chain((1..=NUMBERS).map(operator)).collect();
        let mut alloc: Vec<(Address, U256)> =
            accounts.iter().map(|who| (*who, stake(40) + U256::from(dice.next()))).collect();
        alloc.push((account(8), U256::ZERO));
        let world = World::with(params, &members, &alloc);
        let mut oracle = Oracle::default();
        for (who, amount) in &alloc {
            oracle.pay(*who, &q(*amount));
        }
        for member in &members {
            oracle.bond(member.operator, member.operator, &q(member.stake));
        }
        let mut run = Self {
            world,
            oracle,
            dice,
            keeper,
            events: 0,
            blocks: 0,
            next_number: 4,
            fault_epoch: None,
            previous_set: None,
            changes: 0,
        };
        run.block();
        run
    }

    fn anyone(&mut self) -> Address {
        match self.dice.below(3) {
            0 => operator(1 + self.dice.below(self.next_number - 1)),
            _ => account(1 + self.dice.below(DELEGATORS)),
        }
    }

    fn validator(&mut self) -> Address {
        operator(1 + self.dice.below(self.next_number - 1))
    }

    fn operators(&self) -> Vec<Address> {
        (1..self.next_number).map(operator).collect()
    }

    fn holders(&self) -> Vec<Address> {
        self.world.accounts.iter().copied().collect()
    }

    /// The first lane of a validator's status.
    fn flags(&self, operator: Address) -> u64 {
        self.world.slot(layout::validator(operator, ValidatorField::Status)).as_limbs()[0]
    }

    fn commission(&self, operator: Address) -> Q {
        ratio((self.flags(operator) >> 16) & 0xffff, 10_000)
    }

    fn jailed(&self) -> BTreeSet<Address> {
        self.operators().into_iter().filter(|operator| self.flags(*operator) & 2 != 0).collect()
    }

    fn block(&mut self) {
        self.blocks += 1;
        self.events += 1;
        let set = views::active_set(&mut self.world.slots).unwrap();
        let power: u64 = set.iter().map(|member| member.power).sum();
        let fees = q(self.world.unseen);
        let (epoch, jailed) = (self.world.epoch(), self.jailed());
        let outcome = self.world.block();
        for member in &set {
            let commission = self.commission(member.operator);
            self.oracle.earn(member.operator, &(&fees * ratio(member.power, power)), &commission);
        }
        let params = *self.world.module.params();
        let fraction = ratio(params.downtime_slash_ppm, 1_000_000);
        let now_jailed = self.jailed();
        for operator in now_jailed.difference(&jailed) {
            self.oracle.slash(*operator, epoch, &fraction);
            self.fault_epoch = Some(epoch);
        }
        if outcome.rotated_to.is_some() {
            let total = self.oracle.total_bonded() * ratio(params.issuance_ppm, 1_000_000);
            for member in &set {
                let validator = self.world.validator(member.operator);
                if !validator.jailed && !validator.tombstoned && !validator.shares.is_zero() {
                    let commission = self.commission(member.operator);
                    self.oracle.issue(member.operator, &(&total * ratio(member.power, power)), &commission);
                }
            }
        }
        for operator in now_jailed.difference(&jailed) {
            self.oracle.slash_moved(*operator, epoch, &fraction);
        }
        if self.keeper && now_jailed != jailed {
            self.settle_all();
        }
        if let Some((epoch, next)) = outcome.next {
            self.check_change(epoch, next);
        }
    }

    /// Members with more than two thirds of a set hold more than a third of the previous set. Exceptions are faults:
    /// slashes, and members that are jailed, tombstoned, or slashed below their minimum.
    fn check_change(&mut self, epoch: u64, next: Vec<causeway_staking::Member>) {
        if let Some((before, old)) = self.previous_set.take()
            && before + 1 == epoch
            && self.fault_epoch.is_none_or(|fault| fault + 3 < epoch)
            && old.iter().all(|member| self.is_sound(member.operator))
        {
            let total = old.iter().fold(U256::ZERO, |sum, member| sum + member.stake);
            let (gained, lost) = change(&old, &next);
            // Dust of pools that end needs no room in the queue.
            let slack = U256::from(4 * self.events);
            assert!(gained + lost + lost <= total + slack, "epoch {epoch}: {gained} {lost} of {total}");
            self.changes += 1;
        }
        self.previous_set = Some((epoch, next));
    }

    fn is_sound(&mut self, operator: Address) -> bool {
        let validator = self.world.validator(operator);
        let bonded = validator.exit_epoch.is_some() || validator.self_bond >= self.world.module.params().min_self_bond;
        bonded && !validator.jailed && !validator.tombstoned
    }

    fn live_moves(&mut self) -> BTreeMap<u64, (Address, views::RedelegationView)> {
        let holders = self.holders();
        let moves = holders.into_iter().flat_map(|who| {
            self.world.redelegations(who).into_iter().map(move |made| (made.id, (who, made))).collect::<Vec<_>>()
        });
        moves.collect()
    }

    fn settle_all(&mut self) {
        for id in self.live_moves().into_keys() {
            self.world.settle(id).unwrap();
            self.events += 1;
        }
        self.forget_settled();
    }

    /// Redelegations that ended become ordinary stake.
    fn forget_settled(&mut self) {
        let live = self.live_moves();
        let ended: Vec<u64> = self.oracle.moves.keys().filter(|id| !live.contains_key(id)).copied().collect();
        ended.into_iter().for_each(|id| self.oracle.free(id));
    }

    fn free_shares(&mut self, who: Address, with: Address) -> U256 {
        let held = views::delegation(&mut self.world.slots, who, with).unwrap();
        held.shares - held.locked
    }

    /// Records stake that started to leave, according to the logs.
    fn leave(&mut self, who: Address, from: Address) {
        let parts: Vec<(u64, U256)> = self
            .world
            .logs
            .iter()
            .filter_map(|log| IStaking::Undelegated::decode_log(log).ok())
            .map(|event| (event.leaveEpoch, event.amount))
            .collect();
        let total = parts.iter().fold(U256::ZERO, |sum, (_, part)| sum + part);
        let all = self.free_shares(who, from).is_zero();
        let taken = self.oracle.take(who, from, q(total), all);
        let mut left = taken;
        for (at, (leave, part)) in parts.iter().enumerate() {
            let part = if at + 1 == parts.len() { left.clone() } else { q(*part) };
            left -= &part;
            *self.oracle.leaving.entry((who, from, *leave)).or_default() += part;
        }
    }

    fn step(&mut self) {
        let (kind, who, with) = (self.dice.below(24), self.anyone(), self.validator());
        self.take(kind, who, with);
    }

    fn take(&mut self, kind: u64, who: Address, with: Address) {
        self.events += 1;
        match kind {
            0..=3 => {
                let amount = self.world.liquid(who) / U256::from(1 + self.dice.below(6));
                if self.world.delegate(who, with, amount).is_ok() {
                    self.forget_settled();
                    self.oracle.pay(who, &-q(amount));
                    self.oracle.bond(who, with, &q(amount));
                }
            }
            4..=6 => {
                let amount = self.world.bonded(who, with);
                let amount = self.dice.part(amount);
                if self.world.undelegate(who, with, amount).is_ok() {
                    self.forget_settled();
                    self.leave(who, with);
                }
            }
            7..=8 => {
                let (to, amount) = (self.validator(), self.world.bonded(who, with));
                let amount = self.dice.part(amount);
                if let Ok(id) = self.world.redelegate(who, with, to, amount) {
                    self.forget_settled();
                    let log = self.world.logs.last().unwrap();
                    let moved = IStaking::Redelegated::decode_log(log).unwrap().data.amount;
                    let all = self.free_shares(who, with).is_zero();
                    let amount = self.oracle.take(who, with, q(moved), all);
                    let leave = self.world.epoch() + 2;
                    self.oracle.moves.insert(id, Move { delegator: who, from: with, to, leave, amount });
                }
            }
            9..=10 => {
                for part in self.world.unbondings(who) {
                    if self.world.claim_unbonded(who, part.validator, part.leave_epoch).is_ok() {
                        let key = (who, part.validator, part.leave_epoch);
                        let amount = self.oracle.leaving.remove(&key).unwrap_or_default();
                        self.oracle.pay(who, &amount);
                    }
                }
            }
            11 => {
                self.world.claim_rewards(who, with).unwrap();
                self.forget_settled();
            }
            12 => {
                self.world.claim_commission(with).unwrap();
            }
            13 => {
                let bps = u16::try_from(self.dice.below(3_000)).unwrap();
                let _refused = self.world.set_commission(with, bps);
            }
            14 => {
                if self.world.unjail(with).is_ok() {
                    self.world.down.remove(&with);
                }
            }
            15 => {
                self.world.down.insert(with);
            }
            16 if self.dice.below(3) == 0 => {
                if self.world.exit(with).is_ok() {
                    self.forget_settled();
                    self.leave(with, with);
                }
            }
            17 => self.register(),
            18 if self.dice.below(3) == 0 => self.punish(),
            19 => {
                let amount = self.world.liquid(who) / U256::from(5);
                let sent = self.world.act(who, |module, slots, env| module.transfer(slots, env, with, amount));
                if sent.is_ok() {
                    self.oracle.pay(who, &-q(amount));
                    self.oracle.pay(with, &q(amount));
                }
            }
            20 => self.world.time += self.dice.below(60),
            21 => {
                let epoch = self.world.epoch();
                while self.world.epoch() == epoch {
                    self.block();
                }
            }
            _ => {
                for _ in 0..=self.dice.below(4) {
                    let amount = U256::from(self.dice.next() >> self.dice.below(64));
                    self.world.fees(amount);
                    self.block();
                }
            }
        }
    }

    fn register(&mut self) {
        if self.next_number > NUMBERS {
            return;
        }
        let number = self.next_number;
        let who = operator(number);
        let amount = self.world.liquid(who) / U256::from(1 + self.dice.below(4));
        let bps = u16::try_from(self.dice.below(2_000)).unwrap();
        let registered = self.world.act(who, |module, slots, env| {
            module.register(slots, env, consensus_key(number), peg_address(number), bps, amount)
        });
        if registered.is_ok() {
            self.next_number += 1;
            self.oracle.pay(who, &-q(amount));
            self.oracle.bond(who, who, &q(amount));
        }
    }

    fn punish(&mut self) {
        let number = 1 + self.dice.below(self.next_number - 1);
        let height = 1 + self.dice.below(self.world.height);
        let starts: Vec<u64> = (0..=self.world.epoch())
            .map(|epoch| views::epoch_start(&mut self.world.slots, epoch).unwrap().unwrap().0)
            .collect();
        let epoch = u64::try_from(starts.iter().filter(|start| **start <= height).count() - 1).unwrap();
        if self.world.punish(number, height, epoch).is_ok() {
            let params = *self.world.module.params();
            let fraction = ratio(params.double_sign_slash_ppm, 1_000_000);
            let slashed = self.oracle.slash(operator(number), epoch, &fraction);
            self.oracle.slash_moved(operator(number), epoch, &fraction);
            self.oracle.pay(account(8), &(slashed * ratio(params.reporter_ppm, 1_000_000)));
            self.fault_epoch = Some(self.world.epoch());
            if self.keeper {
                self.settle_all();
            }
        }
    }

    /// Rounding never favours the acting account, and takes nothing from other accounts.
    fn step_without_gain(&mut self) {
        let (kind, who, with) = (self.dice.below(11), self.anyone(), self.validator());
        let holders = self.holders();
        let before: Vec<Q> = holders.iter().map(|who| self.world.wealth(*who)).collect();
        self.take(kind, who, with);
        for (holder, before) in holders.into_iter().zip(before) {
            let after = self.world.wealth(holder);
            if holder == who {
                assert!(after <= before, "action {kind} gained {}", after - before);
            } else {
                assert!(after >= before, "action {kind} took {}", before - after);
            }
        }
    }

    fn compare(&mut self) {
        let near = |real: U256, exact: &Q, tolerance: u64, what: &str| {
            let off = q(real) - exact;
            let bound = Q::from_integer(tolerance.into());
            assert!(off <= bound && -off <= bound, "{what}: {real} instead of {}", exact.floor());
        };
        let tolerance = 8 + 4 * self.events;
        let (holders, operators) = (self.holders(), self.operators());
        for who in &holders {
            let liquid = self.oracle.liquid.get(who).cloned().unwrap_or_default();
            near(self.world.liquid(*who), &liquid, tolerance, "liquid");
            let mut coin = self.world.paid.get(who).copied().unwrap_or_default();
            for operator in &operators {
                let exact = self.oracle.bonded_by(*who, *operator);
                near(self.world.bonded(*who, *operator), &exact, tolerance, "bonded");
                coin += views::pending_rewards(&mut self.world.slots, *who, *operator).unwrap();
            }
            if operators.contains(who) {
                coin += self.world.validator(*who).commission;
            }
            let exact = self.oracle.coin.get(who).cloned().unwrap_or_default();
            // Fees are below 2^64, and an error of one unit in 10^15 of stake changes them by the same fraction.
            near(coin, &exact, 50_000 * (self.events + self.blocks), "coin");
            for part in self.world.unbondings(*who) {
                let exact = &self.oracle.leaving[&(*who, part.validator, part.leave_epoch)];
                near(part.tokens, exact, tolerance, "leaving");
            }
        }
    }

    /// Every account withdraws everything: the accounts balance to the last unit.
    fn drain(&mut self) {
        self.world.down.clear();
        let (holders, operators) = (self.holders(), self.operators());
        for who in &holders {
            for operator in &operators {
                self.world.claim_rewards(*who, *operator).unwrap();
            }
            if operators.contains(who) {
                self.world.claim_commission(*who).unwrap();
            }
        }
        self.world.audit();
        for who in &holders {
            for part in self.world.unbondings(*who) {
                let _refused = self.world.claim_unbonded(*who, part.validator, part.leave_epoch);
            }
        }
        self.world.audit();
    }
}

fn parameters(dice: &mut Dice) -> StakingParams {
    StakingParams {
        epoch_length: 4,
        downtime_window: 10,
        unbonding_seconds: 1 + dice.below(80),
        jail_seconds: dice.below(20),
        downtime_slash_ppm: dice.below(200_000),
        double_sign_slash_ppm: dice.below(900_000),
        reporter_ppm: dice.below(1_000_001),
        issuance_ppm: [0, 0, 10_000, 777][usize::try_from(dice.below(4)).unwrap()],
        max_commission_change_bps: 3_000,
        max_validators: 3 + dice.below(4),
        ..params()
    }
}

/// Runs `cases` and names the first that fails; returns the number of set changes that were compared with the bounds.
fn run_all(cases: std::ops::Range<u64>, start: impl Fn(u64) -> Run, go: impl Fn(&mut Run)) -> u64 {
    let mut changes = 0;
    for case in cases {
        let mut run = start(case);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| go(&mut run)));
        assert!(result.is_ok(), "case {case} failed");
        changes += run.changes;
    }
    changes
}

/// Compares sequences with the oracle.
fn agree(cases: std::ops::Range<u64>) {
    let start = |case| {
        let mut dice = Dice(case ^ 0x5eed);
        let params = parameters(&mut dice);
        Run::new(dice.next(), params, true)
    };
    let go = |run: &mut Run| {
        for step in 0..STEPS {
            if step % 4 == 0 {
                run.step_without_gain()
            } else {
                run.step()
            }
            if step % 10 == 9 {
                run.compare();
                run.world.audit();
            }
        }
        run.drain();
    };
    let count = cases.end - cases.start;
    let changes = run_all(cases, start, go);
    eprintln!("{count} sequences of {STEPS} steps agreed with the oracle, {changes} rotations within the bounds");
    assert!(changes > count);
}

#[test]
fn random_sequences_agree_with_the_oracle() {
    agree(0..CASES / 2);
}

// Split into two tests, to use two cores.
#[test]
fn more_random_sequences_agree_with_the_oracle() {
    agree(CASES / 2..CASES);
}

#[test]
fn extreme_sequences_conserve_stake_and_coin() {
    let start = |case| {
        let mut dice = Dice(case ^ 0xbad);
        let extremes = [0, 1, 999_999, 1_000_000];
        let params = StakingParams {
            min_self_bond: U256::ONE,
            min_delegation: U256::ONE,
            downtime_slash_ppm: extremes[usize::try_from(dice.below(4)).unwrap()],
            double_sign_slash_ppm: extremes[usize::try_from(dice.below(4)).unwrap()],
            ..parameters(&mut dice)
        };
        Run::new(dice.next(), params, false)
    };
    let go = |run: &mut Run| {
        for step in 0..STEPS {
            run.step();
            if step % 10 == 9 {
                run.world.audit();
            }
        }
        run.drain();
    };
    let changes = run_all(0..EXTREME_CASES, start, go);
    eprintln!("{EXTREME_CASES} extreme sequences conserved stake and coin, {changes} rotations within the bounds");
}
