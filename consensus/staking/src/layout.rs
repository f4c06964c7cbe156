//! The storage layout of staking and the stake token: every slot of the account at the staking address.
//!
//! Version 1. Single values are in low fixed slots. `map(key, base)` is `keccak256(abi.encode(key, base))`, as in a
//! Solidity mapping, and `map(a, b, base)` is `map(b, map(a, base))`; the fields of a record follow its slot. A list
//! has its length in its slot `p` and its items from `keccak256(abi.encode(p))` on. Packed values are
//! four 64-bit lanes, least significant first, unless stated otherwise. The unit of fractions is 2^-128. Anyone can prove
//! each value with `eth_getProof`.
//!
//! | slot | value |
//! |---|---|
//! | 0 | layout version |
//! | 1 | epoch: number, start height, start time, blocks it was extended by |
//! | 2 | issued stake |
//! | 3 | bonded stake |
//! | 4 | unbonding stake |
//! | 5 | slashed stake |
//! | 6 | dust of stake: rounding remainders of pools that ended |
//! | 7 | coin per unit of power, accumulated, fraction |
//! | 8 | remainder of that accumulation, fraction |
//! | 9 | coin owed to delegators and operators |
//! | 10 | coin not yet attributed to validators |
//! | 11 | dust of coin |
//! | 12 | downtime window: certificates seen, next set is to be recomputed (0 or 1), 0, 0 |
//! | 13 | number of the last redelegation |
//! | 14 | list: operators of validators neither tombstoned nor fully exited |
//! | 15 | list: operators of former validators |
//! | 0x100 + position / 8 | eight 32-bit counters, least significant first, of the active set's members in the window: signed (bits 0 to 29), proposed (bit 30), not a member throughout (bit 31) |
//! | 0x1000 + 0x400 * (epoch mod 2) | a set: (member count, total power, 0, 0), total stake, then from 0x10 on two slots for each member: `operator << 64 \| power`, stake |
//! | map(operator, 0x10000) | validator, fields [`ValidatorField`] |
//! | map(delegator, operator, 0x10001) | delegation, fields [`DelegationField`] |
//! | map(delegator, 0x10002) | list: operators that the delegator has delegations with |
//! | map(operator, epoch, 0x10003) | leaving pool: stake of a validator that leaves in an epoch: tokens, shares |
//! | map(operator, epoch / 256, 0x10004) | bit `epoch mod 256`: whether the leaving pool exists |
//! | map(delegator, map(operator, epoch, 0x10003)) | a delegator's part of that leaving pool: shares, then (time of the request, position + 1 in the list below, 0, 0) |
//! | map(delegator, 0x10005) | list: `operator << 64 \| epoch` of the delegator's parts |
//! | map(epoch, 0x10006) | stake of set members that leaves in an epoch, as scheduled by the queue |
//! | map(operator, epoch, 0x10007) | stake by which the power of an exiting validator shrinks in an epoch |
//! | map(operator, index, 0x10008) | slash: epoch of the fault, parts per million, kind (1 downtime, 2 double signature), 0 |
//! | map(id, 0x10009) | redelegation, fields [`RedelegationField`] |
//! | map(delegator, 0x1000a) | list: numbers of the delegator's live redelegations |
//! | map(consensus key, 0x1000b) | `operator << 64 \| position in the active set + 1`; the low part is 0 when not a member |
//! | map(peg address, 0x1000c) | operator |
//! | map(last 20 bytes of keccak256(consensus key), 0x1000d) | consensus key |
//! | map(epoch, 0x1000e) | start height, start time, 0, 0 |
//! | map(account, 0x1000f) | liquid stake |
//! | map(owner, spender, 0x10010) | allowance |

use alloy_primitives::{Address, B256, U256, keccak256, uint};

use crate::slots::address_word;

/// The version this code reads and writes.
pub const LAYOUT_VERSION: u64 = 1;

/// [`LAYOUT_VERSION`].
pub const VERSION: U256 = uint!(0_U256);
/// The current epoch.
pub const EPOCH: U256 = uint!(1_U256);
/// Issued stake.
pub const ISSUED: U256 = uint!(2_U256);
/// Bonded stake.
pub const BONDED: U256 = uint!(3_U256);
/// Unbonding stake.
pub const UNBONDING: U256 = uint!(4_U256);
/// Slashed stake.
pub const SLASHED: U256 = uint!(5_U256);
/// Dust of stake.
pub const DUST: U256 = uint!(6_U256);
/// Coin per unit of power.
pub const POWER_INDEX: U256 = uint!(7_U256);
/// Remainder of [`POWER_INDEX`].
pub const POWER_CARRY: U256 = uint!(8_U256);
/// Coin owed.
pub const COIN_OWED: U256 = uint!(9_U256);
/// Coin not yet attributed.
pub const COIN_UNDISTRIBUTED: U256 = uint!(10_U256);
/// Dust of coin.
pub const COIN_DUST: U256 = uint!(11_U256);
/// The downtime window.
pub const WINDOW: U256 = uint!(12_U256);
/// Number of the last redelegation.
pub const LAST_REDELEGATION: U256 = uint!(13_U256);
/// Validators neither tombstoned nor fully exited.
pub const CANDIDATES: U256 = uint!(14_U256);
/// Former validators.
pub const FORMER: U256 = uint!(15_U256);

const COUNTERS: U256 = uint!(0x100_U256);
const SETS: U256 = uint!(0x1000_U256);
const SET_SIZE: u64 = 0x400;
const SET_MEMBERS: u64 = 0x10;

const VALIDATORS: U256 = uint!(0x10000_U256);
const DELEGATIONS: U256 = uint!(0x10001_U256);
const DELEGATED_TO: U256 = uint!(0x10002_U256);
const LEAVING_POOLS: U256 = uint!(0x10003_U256);
const LEAVING_BITS: U256 = uint!(0x10004_U256);
const UNBONDINGS_OF: U256 = uint!(0x10005_U256);
const LEAVE_QUEUE: U256 = uint!(0x10006_U256);
const EXIT_PLANS: U256 = uint!(0x10007_U256);
const SLASHES: U256 = uint!(0x10008_U256);
const REDELEGATIONS: U256 = uint!(0x10009_U256);
const REDELEGATIONS_OF: U256 = uint!(0x1000a_U256);
const CONSENSUS_KEYS: U256 = uint!(0x1000b_U256);
const PEG_ADDRESSES: U256 = uint!(0x1000c_U256);
const KEY_IDS: U256 = uint!(0x1000d_U256);
const EPOCH_STARTS: U256 = uint!(0x1000e_U256);
const BALANCES: U256 = uint!(0x1000f_U256);
const ALLOWANCES: U256 = uint!(0x10010_U256);

/// Counters in one slot.
pub const COUNTERS_PER_SLOT: usize = 8;

/// Fields of a validator's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidatorField {
    /// Packed: flags (bit 0 registered, 1 jailed, 2 tombstoned, 3 exiting, 4 in the list of candidates) with the
    /// commission in basis points in bits 16 to 31 and the position in the list of candidates in bits 32 to 63; time
    /// of the last change of the commission; end of the jail; first epoch without it.
    Status = 0,
    /// Packed: last epoch for which it was selected, plus one; number of slashes; power in the active set; 0.
    Counts,
    /// Ed25519 consensus key.
    ConsensusKey,
    /// Address of the peg key.
    PegAddress,
    /// Bonded stake.
    Tokens,
    /// Shares of these tokens.
    Shares,
    /// The accumulated coin per unit of power at its last settlement.
    PowerIndex,
    /// Remainder of the last settlement, a fraction of coin.
    PowerCarry,
    /// Coin per share, accumulated, fraction.
    ShareIndex,
    /// Remainder of that accumulation, fraction.
    ShareCarry,
    /// Coin owed to its delegators.
    Rewards,
    /// The part of these rewards that is already assigned to single delegators.
    Accrued,
    /// Coin owed to its operator as commission.
    Commission,
    /// Stake that counts in the last set for which it was selected.
    Counted,
}

/// Fields of a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelegationField {
    /// Shares, including locked ones.
    Shares = 0,
    /// Shares locked by redelegations.
    Locked,
    /// The accumulated coin per share at its last settlement.
    ShareIndex,
    /// Assigned coin that is not claimed yet.
    Accrued,
    /// Position + 1 in the delegator's list of operators.
    Listed,
}

/// Fields of a redelegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedelegationField {
    /// Delegator; zero when the redelegation does not exist.
    Delegator = 0,
    /// Operator of the validator that it left.
    From,
    /// Operator of the validator that received it.
    To,
    /// Packed: leave epoch; number of applied slashes of the old validator; time of the move; 0.
    Progress,
    /// Locked shares of the new validator.
    Shares,
}

/// Slot of `key` in the mapping at `base`.
fn map(key: U256, base: U256) -> U256 {
    let mut preimage = [0u8; 64];
    preimage[..32].copy_from_slice(&key.to_be_bytes::<32>());
    preimage[32..].copy_from_slice(&base.to_be_bytes::<32>());
    U256::from_be_bytes(keccak256(preimage).0)
}

fn map_address(key: Address, base: U256) -> U256 {
    map(address_word(key), base)
}

fn field(record: U256, field: u64) -> U256 {
    record.wrapping_add(U256::from(field))
}

/// Item `position` of the list at `list`.
pub fn item(list: U256, position: u64) -> U256 {
    field(U256::from_be_bytes(keccak256(list.to_be_bytes::<32>()).0), position)
}

/// The slot with the counters of the member at `position` of the active set.
pub fn counters(position: usize) -> U256 {
    COUNTERS + U256::from(position / COUNTERS_PER_SLOT)
}

fn set(epoch: u64, offset: u64) -> U256 {
    SETS + U256::from(SET_SIZE * (epoch % 2) + offset)
}

/// Number of members of the set of `epoch`, and their power.
pub fn set_head(epoch: u64) -> U256 {
    set(epoch, 0)
}

/// Total stake of the set of `epoch`.
pub fn set_stake(epoch: u64) -> U256 {
    set(epoch, 1)
}

/// Operator and power of the member at `position`.
pub fn set_member(epoch: u64, position: u64) -> U256 {
    set(epoch, SET_MEMBERS + 2 * position)
}

/// Stake of the member at `position`.
pub fn set_member_stake(epoch: u64, position: u64) -> U256 {
    set(epoch, SET_MEMBERS + 2 * position + 1)
}

/// A field of a validator.
pub fn validator(operator: Address, which: ValidatorField) -> U256 {
    field(map_address(operator, VALIDATORS), which as u64)
}

/// A field of a delegation.
pub fn delegation(delegator: Address, operator: Address, which: DelegationField) -> U256 {
    field(map_address(operator, map_address(delegator, DELEGATIONS)), which as u64)
}

/// List of the operators with whose validators a delegator has delegations.
pub fn delegated_to(delegator: Address) -> U256 {
    map_address(delegator, DELEGATED_TO)
}

/// Tokens that leave a validator in an epoch; their shares are in the next slot.
pub fn leaving_pool(operator: Address, epoch: u64) -> U256 {
    map(U256::from(epoch), map_address(operator, LEAVING_POOLS))
}

/// Shares of [`leaving_pool`].
pub fn leaving_pool_shares(operator: Address, epoch: u64) -> U256 {
    field(leaving_pool(operator, epoch), 1)
}

/// Bits that tell which leaving pools of a validator exist: 256 epochs from `256 * word` on.
pub fn leaving_bits(operator: Address, word: u64) -> U256 {
    map(U256::from(word), map_address(operator, LEAVING_BITS))
}

/// A delegator's shares of a leaving pool; time and position are in the next slot.
pub fn leaving_part(delegator: Address, operator: Address, epoch: u64) -> U256 {
    map_address(delegator, leaving_pool(operator, epoch))
}

/// Time and position of [`leaving_part`].
pub fn leaving_part_meta(delegator: Address, operator: Address, epoch: u64) -> U256 {
    field(leaving_part(delegator, operator, epoch), 1)
}

/// List of a delegator's parts of leaving pools.
pub fn unbondings_of(delegator: Address) -> U256 {
    map_address(delegator, UNBONDINGS_OF)
}

/// Stake that leaves in an epoch according to the queue.
pub fn leave_queue(epoch: u64) -> U256 {
    map(U256::from(epoch), LEAVE_QUEUE)
}

/// Stake by which an exiting validator's power shrinks in an epoch.
pub fn exit_plan(operator: Address, epoch: u64) -> U256 {
    map(U256::from(epoch), map_address(operator, EXIT_PLANS))
}

/// A slash of a validator.
pub fn slash(operator: Address, index: u64) -> U256 {
    map(U256::from(index), map_address(operator, SLASHES))
}

/// A field of a redelegation.
pub fn redelegation(id: u64, which: RedelegationField) -> U256 {
    field(map(U256::from(id), REDELEGATIONS), which as u64)
}

/// List of a delegator's live redelegations.
pub fn redelegations_of(delegator: Address) -> U256 {
    map_address(delegator, REDELEGATIONS_OF)
}

/// Operator and position of a consensus key.
pub fn consensus_key(key: B256) -> U256 {
    map(U256::from_be_bytes(key.0), CONSENSUS_KEYS)
}

/// Operator of a peg key.
pub fn peg_address(address: Address) -> U256 {
    map_address(address, PEG_ADDRESSES)
}

/// Consensus key of the validator id `id`.
pub fn key_id(id: Address) -> U256 {
    map_address(id, KEY_IDS)
}

/// The id that votes and evidence use for a consensus key: the last 20 bytes of its keccak256.
pub fn id_of_key(key: B256) -> Address {
    Address::from_slice(&keccak256(key)[12..])
}

/// Start of an epoch.
pub fn epoch_start(epoch: u64) -> U256 {
    map(U256::from(epoch), EPOCH_STARTS)
}

/// Liquid stake of an account.
pub fn balance(account: Address) -> U256 {
    map_address(account, BALANCES)
}

/// The allowance of `spender` from `owner`.
pub fn allowance(owner: Address, spender: Address) -> U256 {
    map_address(spender, map_address(owner, ALLOWANCES))
}
