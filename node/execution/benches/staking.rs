//! What the modules cost at the boundary of two epochs, and what reading staking costs: 100 validators of a pegged chain, with
//! their self-bonds alone and with 1,000,000 delegations more. The figures of one run compare with each other.
//!
//! - `rules`: the staking hook over slots in memory.
//! - `empty block`: building the block, with all hooks (the peg's too) through the EVM's journal, and the state root.
//!
//! The ordinary block carries the 100 signatures of its parent's certificate and spreads its fees. The rotating block, the next
//! one, does so too, closes a downtime window, stores a checkpoint, settles and issues to every member, puts the next set in
//! force in staking and peg, and selects and announces the set after it.
//!
//! Run: `cargo bench -p causeway-execution -p causeway-unify --bench staking` (half a minute and 4 GB of memory
//! go into the state)
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "written for the tests, of which a benchmark uses a part")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::{collections::BTreeMap, convert::Infallible, hint::black_box, time::Duration};

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_execution::{StateSource, staking_state};
use causeway_genesis::{
    addresses::{REWARD_POOL, STAKING},
    ceremony,
};
use causeway_peg::PegModule;
use causeway_staking::{BlockContext, BlockOutcome, Env, IStaking, Slots, StakingModule, layout, views};
use causeway_trie::{StateChanges, TrieAccount, state_root_after};
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use support::{ETHER, MemoryState, TestChain, peg, staking, wallet};

const VALIDATORS: u8 = 100;
const DELEGATIONS: u64 = 1_000_000;

/// The block of this number is the last of epoch 0.
const EPOCH: u64 = 21;

/// Slots of staking over a state, and what was written since.
struct Written<'a> {
    state: &'a MemoryState,
    slots: BTreeMap<U256, U256>,
}

impl<'a> Written<'a> {
    fn over(state: &'a MemoryState) -> Self {
        Self { state, slots: BTreeMap::new() }
    }
}

impl Slots for Written<'_> {
    type Error = Infallible;

    fn load(&mut self, slot: U256) -> Result<U256, Infallible> {
        let written = self.slots.get(&slot).copied();
        Ok(written.unwrap_or_else(|| self.state.storage(STAKING, slot).unwrap()))
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), Infallible> {
        self.slots.insert(slot, value);
        Ok(())
    }
}

/// A chain that an ordinary block follows, and the rotating block after that.
fn chain() -> TestChain {
    let mut chain = TestChain::pegged_with(|spec| {
        spec.epoch_length = EPOCH;
        spec.checkpoint_interval = 10;
        spec.staking.downtime_window = EPOCH - 1;
        spec.staking.unbonding_seconds = 20;
        spec.staking.issuance_ppm = 100;
        spec.validators = (1..=VALIDATORS)
            .map(|seed| {
                let (operator, stake) = (staking::operator(seed), staking::stake(1_000_000 + u64::from(seed)));
                let keys = support::node_keys(seed);
                ceremony::validator_entry(&format!("validator-{seed}"), operator, stake, &keys)
            })
            .collect();
    });
    let deposit = peg::import(&chain, &[(wallet::address(0), 1_000 * ETHER)]);
    chain.push(vec![deposit], &[]);
    while chain.head.number < EPOCH - 3 {
        let slots = &mut causeway_execution::peg_state(&chain.state);
        let latest = PegModule::latest_checkpoint_number(slots).unwrap();
        let recorded = PegModule::recorded_checkpoint_number(slots).unwrap();
        let system = if latest > recorded { vec![peg::record(&chain, latest)] } else { Vec::new() };
        chain.push(system, &[]);
    }
    chain.push_ok(&[pay_fee(&chain)]);
    chain
}

fn pay_fee(chain: &TestChain) -> std::sync::Arc<causeway_execution::RecoveredTx> {
    wallet::transfer(0, chain.nonce(0), Address::repeat_byte(0x77), 1)
}

fn delegator(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

fn validator_of(number: u64) -> Address {
    staking::operator(u8::try_from(number % u64::from(VALIDATORS)).unwrap() + 1)
}

/// Changes the head's state as if as many accounts had got stake and delegated it, by the rules of staking.
fn delegate(chain: &mut TestChain, count: u64) {
    let module = StakingModule::new(chain.genesis.schedule.first().staking);
    let operators: Vec<Address> = (0..u64::from(VALIDATORS)).map(validator_of).collect();
    let mut slots = Written::over(&chain.state);
    for (number, operator) in (0..count).zip(operators.iter().cycle()) {
        let (sender, amount) = (delegator(number), staking::stake(1 + number % 5));
        let issued = slots.load(layout::ISSUED).unwrap() + amount;
        slots.store(layout::ISSUED, issued).unwrap();
        slots.store(layout::balance(sender), amount).unwrap();
        let env = Env { sender, timestamp: chain.head.timestamp, height: chain.head.number, acked_epoch: 0 };
        module.delegate(&mut slots, &env, *operator, amount).unwrap();
    }
    let written = slots.slots;
    let account = chain.state.accounts[&STAKING];
    let leaf = TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: account.storage_root,
        code_hash: account.code_hash,
    };
    let owner = keccak256(STAKING);
    let mut changes = StateChanges::default();
    changes.accounts.insert(owner, Some(leaf));
    let hashed = written.iter().map(|(slot, value)| (keccak256(B256::from(*slot)), *value)).collect();
    changes.storages.insert(owner, hashed);
    let after = state_root_after(&chain.state, chain.head.state_root, &changes).unwrap();
    chain.state.accounts.get_mut(&STAKING).unwrap().storage_root = after.storage_roots[&owner];
    chain.state.nodes.apply(after.updates);
    for (slot, value) in written {
        if value.is_zero() {
            chain.state.storage.remove(&(STAKING, slot));
        } else {
            chain.state.storage.insert((STAKING, slot), value);
        }
    }
    chain.head.state_root = after.root;
}

/// Makes the block with a transfer that follows the head the new head.
fn advance(chain: &mut TestChain) {
    let built = chain.build(Vec::new(), &[pay_fee(chain)]);
    chain.state.apply(&built);
    chain.head = built.block.header.clone();
}

/// The hook of the block after the head.
fn hook(chain: &TestChain, group: &mut BenchmarkGroup<'_, WallTime>, name: &str) -> BlockOutcome {
    let module = StakingModule::new(chain.genesis.schedule.first().staking);
    let keys = views::active_set(&mut staking_state(&chain.state)).unwrap();
    let keys: Vec<B256> = keys.iter().map(|member| member.consensus_key).collect();
    let slots = &mut causeway_execution::peg_state(&chain.state);
    let ctx = BlockContext {
        height: chain.head.number + 1,
        timestamp: chain.head.timestamp + 1,
        previous_proposer: Some(chain.head.beneficiary),
        previous_signers: &keys,
        reward_pool: chain.state.balance(REWARD_POOL),
        handover_ready: PegModule::handover_ready(slots).unwrap(),
        next_open: PegModule::next_is_open(slots).unwrap(),
        acked_epoch: 0,
    };
    let begin = || {
        let mut slots = Written::over(&chain.state);
        let outcome = module.begin_block(&mut slots, &ctx).unwrap();
        (outcome, slots.slots)
    };
    group.bench_function(format!("rules, {name}"), |b| b.iter_with_large_drop(begin));
    group.bench_function(format!("empty block, {name}"), |b| {
        let build = |attributes| {
            let nothing = std::iter::empty();
            chain.executor.build(&chain.head, &chain.state, attributes, Vec::new(), nothing).unwrap()
        };
        b.iter_batched(|| chain.attributes(), build, BatchSize::PerIteration);
    });
    begin().0
}

fn boundary(c: &mut Criterion) {
    for delegations in [0, DELEGATIONS] {
        let mut chain = chain();
        delegate(&mut chain, delegations);
        let mut group = c.benchmark_group(format!("boundary, 100 validators, {delegations} delegations"));
        group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
        assert_eq!(hook(&chain, &mut group, "ordinary").rotated_to, None);
        advance(&mut chain);
        let outcome = hook(&chain, &mut group, "rotating");
        assert_eq!(outcome.rotated_to, Some(1));
        assert!(!outcome.issued.is_zero());
        assert_eq!(outcome.next.unwrap().1.len(), usize::from(VALIDATORS));
        group.finish();
        if delegations > 0 {
            reading(c, &chain);
        }
    }
}

/// Views of the state, over its slots and through `eth_call`.
fn reading(c: &mut Criterion, chain: &TestChain) {
    let (delegator, operator) = (delegator(4_711), validator_of(4_711));
    let slots = || staking_state(&chain.state);
    assert!(!views::pending_rewards(&mut slots(), delegator, operator).unwrap().is_zero());
    let mut group = c.benchmark_group(format!("views, 100 validators, {DELEGATIONS} delegations"));
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    group.bench_function("active set", |b| b.iter(|| views::active_set(&mut slots()).unwrap()));
    group.bench_function("validator", |b| b.iter(|| views::validator(&mut slots(), black_box(operator)).unwrap()));
    group.bench_function("delegation", |b| {
        b.iter(|| views::delegation(&mut slots(), black_box(delegator), operator).unwrap());
    });
    group.bench_function("pending rewards", |b| {
        b.iter(|| views::pending_rewards(&mut slots(), black_box(delegator), operator).unwrap());
    });
    group.bench_function("active set, eth_call", |b| b.iter(|| staking::ask(chain, &IStaking::activeSetCall {})));
    let call = IStaking::validatorCall { operator };
    group.bench_function("validator, eth_call", |b| b.iter(|| staking::ask(chain, &call)));
    let call = IStaking::delegationCall { delegator, validator: operator };
    group.bench_function("delegation, eth_call", |b| b.iter(|| staking::ask(chain, &call)));
    let call = IStaking::pendingRewardsCall { delegator, validator: operator };
    group.bench_function("pending rewards, eth_call", |b| b.iter(|| staking::ask(chain, &call)));
    group.finish();
}

criterion_group!(benches, boundary);
criterion_main!(benches);
