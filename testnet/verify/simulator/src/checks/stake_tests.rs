//! Tests each rule of [`super`] on a valid chain and on a corrupted one.
#![allow(clippy::unwrap_used)]

use alloy_primitives::B256;
use alloy_sol_types::SolCall as _;
use causeway_consensus::{Ed25519Signer, Evidence, Height, Round, SignedVote, Signer as _, Vote, VoteKind};
use causeway_execution::{Account, SystemCall};

use super::*;
use crate::checks::kit::{Kit, Made, USER, keys, operator_key, user_key};

fn tokens(count: u64) -> U256 {
    U256::from(count) * U256::from(10).pow(U256::from(18))
}

/// Runs the check over a block and applies the block.
fn judge(stakes: &mut Stakes, canon: &mut Canon, made: &Made) -> Result<(), Violation> {
    let (_, due) = stakes.read(canon, &made.executed);
    canon.advance(&made.executed, 0).unwrap();
    stakes.decided(canon, &made.executed, &due)
}

/// A chain on which a user delegated, redelegated, began to unbond and claimed rewards. All checks passed.
struct Staking {
    kit: Kit,
    canon: Canon,
    stakes: Stakes,
    nonce: u64,
}

impl Staking {
    fn new() -> Self {
        let (kit, canon) = Kit::standalone_with(|spec| spec.staking.downtime_window = 1_000);
        let stakes = Stakes::new(&kit.genesis);
        let mut staking = Self { kit, canon, stakes, nonce: 0 };
        let (first, second) = (operator_key(1).address(), operator_key(2).address());
        staking.call(&IStaking::delegateCall { validator: first, amount: tokens(400) });
        staking.call(&IStakeToken::transferCall { to: Address::repeat_byte(0x77), amount: tokens(3) });
        staking.call(&IStaking::redelegateCall { from: first, to: second, amount: tokens(7) });
        for _ in 0..9 {
            staking.pass();
        }
        staking.call(&IStaking::undelegateCall { validator: first, amount: tokens(13) });
        staking.call(&IStaking::claimRewardsCall { validator: second });
        staking
    }

    fn call(&mut self, call: &impl alloy_sol_types::SolCall) {
        let to = if call.abi_encode()[..4] == <IStakeToken::transferCall as alloy_sol_types::SolCall>::SELECTOR {
            STAKE_TOKEN
        } else {
            STAKING
        };
        let tx = self.kit.call(&user_key(), self.nonce, to, call);
        self.nonce += 1;
        let made = self.kit.next(&[tx]);
        assert!(made.executed.receipts.iter().all(|receipt| receipt.status), "{:?}", made.executed.receipts);
        judge(&mut self.stakes, &mut self.canon, &made).unwrap();
    }

    fn pass(&mut self) {
        let made = self.kit.next(&[]);
        judge(&mut self.stakes, &mut self.canon, &made).unwrap();
    }

    /// A block that changes one more slot of the staking module, at a height at which everything is summed.
    fn with_slot(mut self, change: impl Fn(StakeSlots<'_>) -> (U256, U256)) -> Result<(), Violation> {
        while !(self.canon.height() + 1).is_multiple_of(ALL_EVERY) {
            self.pass();
        }
        let mut made = self.kit.next(&[]);
        let mut ahead = self.canon.mirror.clone();
        ahead.apply(&made.executed.diff).unwrap();
        let (slot, value) = change(StakeSlots(&ahead));
        let before = self.canon.mirror.slot(STAKING, slot);
        made.executed.diff.storage.insert((STAKING, slot), (before, value));
        judge(&mut self.stakes, &mut self.canon, &made)
    }
}

fn text(outcome: Result<(), Violation>) -> String {
    let violation = outcome.unwrap_err();
    assert_eq!(violation.invariant, STAKE);
    violation.text
}

use causeway_staking::layout::{self, DelegationField, ValidatorField};

#[test]
fn a_token_more_or_less_anywhere_is_noticed() {
    let one = U256::ONE;
    let totals = [layout::ISSUED, layout::BONDED, layout::UNBONDING, layout::SLASHED, layout::DUST];
    for slot in totals.into_iter().chain([layout::balance(USER), layout::balance(Address::repeat_byte(0x77))]) {
        let changed = Staking::new().with_slot(|slots| (slot, slots.0.slot(STAKING, slot) + one));
        assert!(text(changed).contains("issued are"), "{slot}");
    }
}

#[test]
fn pools_and_delegations_have_to_add_up() {
    let operator = operator_key(1).address();
    for slot in [layout::validator(operator, ValidatorField::Tokens), layout::leaving_pool(operator, 4)] {
        let changed = Staking::new().with_slot(|slots| {
            let leaving = slots.leaving(operator, 70);
            let slot = if slot == layout::leaving_pool(operator, 4) {
                layout::leaving_pool(operator, leaving[0].0)
            } else {
                slot
            };
            (slot, slots.0.slot(STAKING, slot) + U256::ONE)
        });
        assert!(text(changed).contains("validators hold"), "{slot}");
    }
    for slot in [
        layout::validator(operator, ValidatorField::Shares),
        layout::delegation(USER, operator, DelegationField::Shares),
    ] {
        let changed = Staking::new().with_slot(|slots| (slot, slots.0.slot(STAKING, slot) + U256::ONE));
        assert!(text(changed).contains("its delegators"), "{slot}");
    }
    let accrued = layout::delegation(USER, operator, DelegationField::Accrued);
    let changed = Staking::new().with_slot(|_| (accrued, tokens(1)));
    assert!(text(changed).contains("owes its delegators"));
}

#[test]
fn powers_follow_from_stakes() {
    let seat = |slots: StakeSlots<'_>, more: u64| {
        let slot = layout::set_member(slots.epoch().number, 1);
        (slot, slots.0.slot(STAKING, slot) + U256::from(more))
    };
    assert!(text(Staking::new().with_slot(|slots| seat(slots, 1))).contains("its stakes give"));
    let power = layout::validator(operator_key(2).address(), ValidatorField::Counts);
    let changed = Staking::new().with_slot(|slots| (power, slots.0.slot(STAKING, power) + (U256::ONE << 128)));
    assert!(text(changed).contains("has power"));
}

#[test]
fn the_split_of_powers_is_the_chain_s() {
    let lists: [&[u128]; 7] = [
        &[3, 0, 7],
        &[1 << 40],
        &[32_000_000_000_000_000_000; 4],
        &[u128::MAX / 4, 1, 0, 77],
        &[1_000_000_000_000_000_000_000, 999_999_999_999_999_999_999, 333_333_333_333_333_333_333],
        &[7; 100],
        &[1_000_000_000_000_000_000_000 / 3, 1_000_000_000_000_000_000_000, 17_000_000_000_000_000_000],
    ];
    for list in lists {
        let stakes: Vec<U256> = list.iter().map(|stake| U256::from(*stake)).collect();
        assert_eq!(powers(&stakes), causeway_staking::scale_power(&stakes).unwrap(), "{list:?}");
    }
}

#[test]
fn the_reward_pool_owes_what_it_has() {
    let mut staking = Staking::new();
    let tx = staking.kit.transfer(staking.nonce, USER, 5);
    let mut made = staking.kit.next(&[tx]);
    let (_, after) = made.executed.diff.accounts.get_mut(&REWARD_POOL).unwrap();
    *after = after.map(|account| Account { balance: account.balance - U256::ONE, ..account });
    assert!(text(judge(&mut staking.stakes, &mut staking.canon, &made)).contains("reward pool has"));
    let owed =
        Staking::new().with_slot(|slots| (layout::COIN_OWED, slots.0.slot(STAKING, layout::COIN_OWED) + U256::ONE));
    assert!(text(owed).contains("reward pool has"));
}

#[test]
fn nothing_is_issued_where_nothing_is_to_be() {
    let mut staking = Staking::new();
    let mut made = staking.kit.next(&[]);
    let mirror = &staking.canon.mirror;
    for slot in [layout::ISSUED, layout::balance(USER)] {
        let before = mirror.slot(STAKING, slot);
        made.executed.diff.storage.insert((STAKING, slot), (before, before + U256::ONE));
    }
    assert!(text(judge(&mut staking.stakes, &mut staking.canon, &made)).contains("there was"));
}

#[test]
fn stake_is_free_when_its_time_is_over_and_no_earlier() {
    let mut staking = Staking::new();
    let operator = operator_key(1).address();
    let leave = StakeSlots(&staking.canon.mirror).leaving(operator, 70)[0].0;
    let claimed =
        IStaking::UnbondedClaimed { delegator: USER, validator: operator, leaveEpoch: leave, amount: U256::ONE };
    let log = alloy_primitives::Log { address: STAKING, data: claimed.encode_log_data() };
    let tx = staking.kit.transfer(staking.nonce, USER, 5);
    let mut made = staking.kit.next(&[tx]);
    made.executed.receipts[0].logs.push(log);
    assert!(text(judge(&mut staking.stakes, &mut staking.canon, &made)).contains("took back"));
    // The call, after the epoch has begun and 20 seconds have passed.
    let mut staking = Staking::new();
    for _ in 0..20 {
        staking.pass();
    }
    staking.call(&IStaking::claimUnbondedCall { validator: operator, leaveEpoch: leave });
}

/// The block after `staking`, with a report that the first validator signed twice in the first block of its epoch.
fn punishing(staking: &mut Staking) -> Made {
    let (kit, epoch) = (&staking.kit, StakeSlots(&staking.canon.mirror).epoch());
    let signer = Ed25519Signer::new(keys(1).consensus.expose());
    let vote = |block_hash| {
        let (height, validator) = (Height(epoch.start_height), signer.key().id());
        let vote = Vote { kind: VoteKind::Precommit, height, round: Round(0), block_hash, validator };
        SignedVote { signature: signer.sign(&vote.sign_bytes(kit.genesis.hash)).unwrap(), vote }
    };
    let evidence = Evidence::of_votes(vote(None), vote(Some(B256::repeat_byte(1))));
    let evidence = borsh::to_vec(&evidence).unwrap().into();
    let report = IStaking::reportEvidenceCall { evidence, epoch: epoch.number };
    let report = SystemCall { to: STAKING, input: report.abi_encode().into() };
    let made = staking.kit.next_with(vec![report], &[]);
    assert!(made.executed.receipts.iter().all(|receipt| receipt.status), "{:?}", made.executed.receipts);
    made
}

#[test]
fn who_is_punished_loses_its_part_of_what_leaves_too() {
    let mut staking = Staking::new();
    let made = punishing(&mut staking);
    let (staked, _) = Stakes::new(&staking.kit.genesis).read(&staking.canon, &made.executed);
    assert_eq!((staked.tombstoned, staked.slashed_leaving), (1, 1));
    judge(&mut staking.stakes, &mut staking.canon, &made).unwrap();

    let operator = operator_key(1).address();
    let bonded = layout::validator(operator, ValidatorField::Tokens);
    for leaves in [false, true] {
        let mut staking = Staking::new();
        let slots = StakeSlots(&staking.canon.mirror);
        let leave = slots.leaving(operator, 70)[0].0;
        let slot = if leaves { layout::leaving_pool(operator, leave) } else { bonded };
        let mut made = punishing(&mut staking);
        let spared = made.executed.diff.storage.get_mut(&(STAKING, slot)).unwrap();
        spared.1 += U256::ONE;
        assert!(text(judge(&mut staking.stakes, &mut staking.canon, &made)).contains("was punished"), "{leaves}");
    }
}

#[test]
fn who_came_into_jail_is_judged_by_the_smaller_part() {
    let mut staking = Staking::new();
    let operator = operator_key(1).address();
    let status = StakeSlots::marks_slot(operator);
    let mut made = staking.kit.next(&[]);
    let before = staking.canon.mirror.slot(STAKING, status);
    made.executed.diff.storage.insert((STAKING, status), (before, before | U256::from(2)));
    assert!(text(judge(&mut staking.stakes, &mut staking.canon, &made)).contains("was punished"));
}

#[test]
fn the_federation_is_the_set() {
    let (mut kit, mut canon) = Kit::pegged();
    let mut stakes = Stakes::new(&kit.genesis);
    for _ in 0..7 {
        let made = kit.next(&[]);
        judge(&mut stakes, &mut canon, &made).unwrap();
    }
    let mut made = kit.next(&[]);
    let slot = causeway_peg::layout::validator_set(0, causeway_peg::layout::SetField::Member(2));
    let before = canon.mirror.slot(PEG, slot);
    made.executed.diff.storage.insert((PEG, slot), (before, before + U256::ONE));
    assert!(text(judge(&mut stakes, &mut canon, &made)).contains("the federation of epoch 0"));
}

#[test]
fn an_operator_that_never_registered_is_noticed() {
    let changed = Staking::new().with_slot(|_| {
        (layout::item(layout::CANDIDATES, 1), U256::from_be_bytes(B256::repeat_byte(1).0) & (U256::MAX >> 96))
    });
    assert!(text(changed).contains("never registered"));
}
