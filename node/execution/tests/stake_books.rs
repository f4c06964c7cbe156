//! Random blocks of staking actions: the stake adds up to what was issued, and the reward pool holds exactly what it owes.

use std::collections::BTreeMap;

use crate::support::{
    TestChain,
    staking::{self, operator, operator_user, registration, reward_pool},
    wallet,
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{ExecutedBlock, staking_state};
use causeway_genesis::addresses::{STAKE_TOKEN, STAKING};
use causeway_staking::{
    abi::{IStakeToken, IStaking},
    views,
};
use proptest::{prelude::*, sample::Index};

/// Users 0 to 3 and operators 1 to 6.
const USERS: u64 = 4;

#[derive(Debug, Clone)]
enum Action {
    Register {
        seed: u8,
        bps: u16,
        bond: U256,
    },
    Delegate {
        user: u64,
        to: u8,
        amount: U256,
    },
    /// A part in percent of one of the user's delegations.
    Undelegate {
        user: u64,
        from: Index,
        percent: u64,
    },
    Redelegate {
        user: u64,
        from: Index,
        to: u8,
        percent: u64,
    },
    /// One of the user's moves.
    Settle {
        user: u64,
        which: Index,
    },
    /// One of the user's unbondings.
    ClaimUnbonded {
        user: u64,
        which: Index,
    },
    ClaimRewards {
        user: u64,
        from: u8,
    },
    ClaimCommission {
        seed: u8,
    },
    SetCommission {
        seed: u8,
        bps: u16,
    },
    Unjail {
        seed: u8,
    },
    Exit {
        seed: u8,
    },
    /// For a double signature so many blocks back.
    Report {
        seed: u8,
        back: u64,
    },
    Transfer {
        user: u64,
        to: u64,
        amount: U256,
    },
    Pay {
        user: u64,
        amount: u128,
    },
}

fn amount() -> impl Strategy<Value = U256> {
    prop_oneof![
        (1..2_000u64).prop_map(staking::stake),
        (0..3_000_000_000_000_000u128).prop_map(U256::from),
        (1..u128::from(u64::MAX)).prop_map(|odd| staking::stake(3) + U256::from(odd)),
        Just(U256::MAX),
    ]
}

/// Numbers of users: 0 to 3 are plain, operators follow.
fn user() -> impl Strategy<Value = u64> {
    prop_oneof![0..USERS, (1..=6u8).prop_map(operator_user)]
}

fn action() -> impl Strategy<Value = Action> {
    let seed = 1..=6u8;
    prop_oneof![
        1 => (5..=6u8, 0..2_000u16, amount()).prop_map(|(seed, bps, bond)| Action::Register { seed, bps, bond }),
        4 => (user(), seed.clone(), amount()).prop_map(|(user, to, amount)| Action::Delegate { user, to, amount }),
        3 => (user(), any::<Index>(), 1..=100u64)
            .prop_map(|(user, from, percent)| Action::Undelegate { user, from, percent }),
        2 => (user(), any::<Index>(), seed.clone(), 1..=100u64)
            .prop_map(|(user, from, to, percent)| Action::Redelegate { user, from, to, percent }),
        1 => (user(), any::<Index>()).prop_map(|(user, which)| Action::Settle { user, which }),
        2 => (user(), any::<Index>()).prop_map(|(user, which)| Action::ClaimUnbonded { user, which }),
        3 => (user(), seed.clone()).prop_map(|(user, from)| Action::ClaimRewards { user, from }),
        2 => seed.clone().prop_map(|seed| Action::ClaimCommission { seed }),
        1 => (seed.clone(), 0..300u16).prop_map(|(seed, bps)| Action::SetCommission { seed, bps }),
        1 => seed.clone().prop_map(|seed| Action::Unjail { seed }),
        1 => (3..=6u8).prop_map(|seed| Action::Exit { seed }),
        1 => (4..=6u8, 0..20u64).prop_map(|(seed, back)| Action::Report { seed, back }),
        1 => (user(), 0..USERS, amount()).prop_map(|(user, to, amount)| Action::Transfer { user, to, amount }),
        1 => (user(), 0..5_000u128).prop_map(|(user, amount)| Action::Pay { user, amount }),
    ]
}

#[derive(Debug, Clone)]
struct Turn {
    actions: Vec<Action>,
    /// Empty blocks afterwards.
    pause: u8,
    /// Whether validator 2 signs in this turn.
    silent: bool,
    /// Whether a day passes before it.
    leap: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (prop::collection::vec(action(), 1..7), 0..9u8, any::<bool>(), prop::bool::weighted(0.2))
        .prop_map(|(actions, pause, silent, leap)| Turn { actions, pause, silent, leap })
}

/// Sender, module, call and coin sent.
fn request(chain: &TestChain, action: &Action) -> (u64, Address, Bytes, u128) {
    let stake = |user, call: Vec<u8>| (user, STAKING, call.into(), 0);
    match action.clone() {
        Action::Register { seed, bps, bond } => {
            stake(operator_user(seed), registration(chain, operator(seed), seed, bps, bond).abi_encode())
        }
        Action::Delegate { user, to, amount } => {
            stake(user, IStaking::delegateCall { validator: operator(to), amount }.abi_encode())
        }
        Action::Undelegate { user, from, percent } => {
            let (validator, amount) = delegated(chain, user, from, percent);
            stake(user, IStaking::undelegateCall { validator, amount }.abi_encode())
        }
        Action::Redelegate { user, from, to, percent } => {
            let (from, amount) = delegated(chain, user, from, percent);
            stake(user, IStaking::redelegateCall { from, to: operator(to), amount }.abi_encode())
        }
        Action::Settle { user, which } => {
            let moves = staking::ask(chain, &IStaking::redelegationsCall { delegator: wallet::address(user) });
            let id = if moves.is_empty() { 9 } else { which.get(&moves).id };
            stake(3, IStaking::settleRedelegationCall { id }.abi_encode())
        }
        Action::ClaimUnbonded { user, which } => {
            let leaving = staking::ask(chain, &IStaking::unbondingsCall { delegator: wallet::address(user) });
            let (validator, epoch) = match leaving.as_slice() {
                [] => (operator(1), 2),
                some => (which.get(some).validator, which.get(some).leaveEpoch),
            };
            stake(user, IStaking::claimUnbondedCall { validator, leaveEpoch: epoch }.abi_encode())
        }
        Action::ClaimRewards { user, from } => {
            stake(user, IStaking::claimRewardsCall { validator: operator(from) }.abi_encode())
        }
        Action::ClaimCommission { seed } => stake(operator_user(seed), IStaking::claimCommissionCall {}.abi_encode()),
        Action::SetCommission { seed, bps } => {
            stake(operator_user(seed), IStaking::setCommissionCall { bps }.abi_encode())
        }
        Action::Unjail { seed } => stake(operator_user(seed), IStaking::unjailCall {}.abi_encode()),
        Action::Exit { seed } => stake(operator_user(seed), IStaking::exitCall {}.abi_encode()),
        Action::Report { seed, back } => {
            let height = chain.head.number.saturating_sub(back).max(1);
            let slots = &mut staking_state(&chain.state);
            let started =
                |epoch: &u64| views::epoch_start(slots, *epoch).unwrap().is_some_and(|(start, _)| start <= height);
            let epoch = (0..=staking::epoch(chain)).rev().find(started).unwrap();
            stake(2, staking::report(&staking::double_vote(chain.genesis.hash, seed, height), epoch).abi_encode())
        }
        Action::Transfer { user, to, amount } => {
            let call = IStakeToken::transferCall { to: wallet::address(to), amount };
            (user, STAKE_TOKEN, call.abi_encode().into(), 0)
        }
        Action::Pay { user, amount } => (user, causeway_genesis::addresses::REWARD_POOL, Bytes::new(), amount),
    }
}

/// One of the user's delegations, or validator 1, and an amount.
fn delegated(chain: &TestChain, user: u64, which: Index, percent: u64) -> (Address, U256) {
    let found = views::delegations(&mut staking_state(&chain.state), wallet::address(user)).unwrap();
    match found.as_slice() {
        [] => (operator(1), staking::stake(1)),
        _ if percent == 100 => (which.get(&found).0, U256::MAX),
        some => (which.get(some).0, which.get(some).1.tokens * U256::from(percent) / U256::from(100)),
    }
}

/// What came into the pool in this block and waits for the next one's hook.
fn fresh(executed: &ExecutedBlock) -> U256 {
    let fee =
        |receipt: &causeway_execution::Receipt| U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    let gifts = executed.block.transactions.iter().zip(&executed.receipts).filter_map(|(tx, receipt)| {
        let tx = tx.as_ethereum()?;
        let to = alloy_consensus::Transaction::to(tx)?;
        let gift = receipt.status && to == causeway_genesis::addresses::REWARD_POOL;
        gift.then(|| alloy_consensus::Transaction::value(tx))
    });
    executed.receipts.iter().map(fee).chain(gifts).fold(U256::ZERO, |sum, part| sum + part)
}

fn check(chain: &TestChain, executed: &ExecutedBlock) {
    staking::assert_stake_conserved(chain);
    let books = views::rewards(&mut staking_state(&chain.state)).unwrap();
    let owed = books.owed + books.undistributed + books.dust;
    assert_eq!(reward_pool(chain), owed + fresh(executed), "{books:?}");
}

/// Plays `turns` and returns how often actions of each kind succeeded.
fn play(turns: &[Turn]) -> BTreeMap<String, usize> {
    let mut chain = staking::standalone_with(|spec| {
        spec.staking.issuance_ppm = 1_000;
        spec.staking.unbonding_seconds = 10;
        spec.validators[1].commission_bps = 1_000;
    });
    let mut successes: BTreeMap<String, usize> = BTreeMap::new();
    for turn in turns {
        chain.silent = if turn.silent { [2].into() } else { Default::default() };
        chain.builder = staking::active(&chain).first().copied();
        chain.interval = if turn.leap { 86_400 } else { 1 };
        let mut nonces = BTreeMap::new();
        let mut txs = Vec::new();
        for action in &turn.actions {
            let (user, to, input, value) = request(&chain, action);
            let nonce = nonces.entry(user).or_insert_with(|| chain.nonce(user));
            txs.push(wallet::call_gas(user, *nonce, to, value, input, 1_500_000));
            *nonce += 1;
        }
        let executed = chain.push(Vec::new(), &txs);
        assert_eq!(executed.receipts.len(), txs.len());
        for (action, _) in turn.actions.iter().zip(&executed.receipts).filter(|(_, receipt)| receipt.status) {
            let kind = format!("{action:?}").split_whitespace().next().unwrap_or_default().to_owned();
            *successes.entry(kind).or_default() += 1;
        }
        check(&chain, &executed);
        chain.interval = 1;
        for _ in 0..turn.pause {
            chain.builder = staking::active(&chain).first().copied();
            let executed = chain.push(Vec::new(), &[]);
            check(&chain, &executed);
        }
    }
    // In the end everybody takes what is shown, and the pool can pay it.
    chain.silent.clear();
    for user in (0..USERS).chain((1..=6).map(operator_user)) {
        chain.builder = staking::active(&chain).first().copied();
        let mut txs = Vec::new();
        for (nonce, seed) in (chain.nonce(user)..).zip(1..=6) {
            let call = IStaking::claimRewardsCall { validator: operator(seed) }.abi_encode();
            txs.push(wallet::call_gas(user, nonce, STAKING, 0, call, 1_500_000));
        }
        let executed = chain.push(Vec::new(), &txs);
        check(&chain, &executed);
    }
    successes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stake_and_rewards_are_accounted_for_to_the_last_unit(turns in prop::collection::vec(turn(), 1..7)) {
        play(&turns);
    }
}

#[test]
fn the_random_histories_reach_every_action() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut successes = BTreeMap::new();
    for _ in 0..16 {
        let turns: Vec<_> = (0..16).map(|_| turn().new_tree(&mut runner).unwrap().current()).collect();
        for (kind, count) in play(&turns) {
            *successes.entry(kind).or_insert(0) += count;
        }
    }
    assert_eq!(successes.len(), 14, "{successes:?}");
}
