//! The storage layout of the peg: every slot of the account at the peg's address.
//!
//! Version 2. Single values are in low fixed slots, and the tree's frontier starts at its own base. The records of
//! checkpoints and of validator sets are at `keccak256(abi.encode(number or epoch, base)) + field`, as in Solidity
//! mappings of structs. Validator sets are never deleted, so a certificate of any epoch can be verified from the state
//! alone. Anyone can prove each value with `eth_getProof`.
//!
//! | slot | value |
//! |---|---|
//! | 0 | layout version |
//! | 1 | parent chain id |
//! | 2 | vault address |
//! | 3 | registry address |
//! | 4 | checkpoint interval in blocks |
//! | 5 | supply: pegged coin in existence on the sidechain, wei |
//! | 6 | nonce of the last deposit minted |
//! | 7 | deposit accumulator after it |
//! | 8 | parent height of the last imported view |
//! | 9 | parent hash of the last imported view |
//! | 10 | withdrawals so far |
//! | 11 | number of the latest checkpoint built |
//! | 12 | number of the latest checkpoint whose certificate a block carries |
//! | 13 | epoch of the validator set in force |
//! | 14 | latest epoch for which a certificate shows that its set is in force on the parent |
//! | 0x100 + level | withdrawal tree frontier, levels 0 to 31 |
//! | mapping at 0x10000 | checkpoint records, by number ([`CheckpointField`]) |
//! | mapping at 0x20000 | validator sets, by epoch ([`SetField`]) |

use alloy_primitives::{U256, keccak256, uint};

/// The version this code reads and writes.
pub const LAYOUT_VERSION: u64 = 2;

/// [`LAYOUT_VERSION`].
pub const VERSION: U256 = uint!(0_U256);
/// Parent chain id.
pub const PARENT_CHAIN_ID: U256 = uint!(1_U256);
/// `PegVault` on the parent.
pub const VAULT: U256 = uint!(2_U256);
/// `CheckpointRegistry` on the parent.
pub const REGISTRY: U256 = uint!(3_U256);
/// Blocks between checkpoints.
pub const CHECKPOINT_INTERVAL: U256 = uint!(4_U256);
/// Pegged coin in existence, wei.
pub const SUPPLY: U256 = uint!(5_U256);
/// Nonce of the last deposit minted.
pub const DEPOSIT_NONCE: U256 = uint!(6_U256);
/// Accumulator after that deposit.
pub const DEPOSIT_ACC: U256 = uint!(7_U256);
/// Parent height of the last imported view.
pub const PARENT_HEIGHT: U256 = uint!(8_U256);
/// Parent hash of the last imported view.
pub const PARENT_HASH: U256 = uint!(9_U256);
/// Withdrawals so far.
pub const WITHDRAWAL_COUNT: U256 = uint!(10_U256);
/// Latest checkpoint built.
pub const LATEST_CHECKPOINT: U256 = uint!(11_U256);
/// Latest checkpoint whose certificate a block carries.
pub const RECORDED_CHECKPOINT: U256 = uint!(12_U256);
/// Epoch of the validator set in force.
pub const VALIDATOR_EPOCH: U256 = uint!(13_U256);
/// Latest epoch for which a certificate shows that its set is in force on the parent.
pub const ACKED_EPOCH: U256 = uint!(14_U256);

const FRONTIER: U256 = uint!(0x100_U256);
const CHECKPOINTS: U256 = uint!(0x10000_U256);
const VALIDATOR_SETS: U256 = uint!(0x20000_U256);

/// Frontier node at `level` of the withdrawal tree.
pub fn frontier(level: usize) -> U256 {
    FRONTIER + U256::from(level)
}

/// Fields of a checkpoint's record. `prevDigest` is the previous record's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointField {
    /// EIP-712 digest; zero when no such checkpoint exists.
    Digest,
    /// Four 64-bit lanes, least significant first: height, withdrawalCount, depositNonce, epoch.
    Counters,
    /// Block hash.
    BlockHash,
    /// State root.
    StateRoot,
    /// Withdrawal tree root.
    WithdrawalRoot,
    /// Deposit accumulator.
    DepositAcc,
    /// Commitment of the next validator set, or zero.
    NextValset,
}

/// Slot of one field of the record of checkpoint `number`.
pub fn checkpoint(number: u64, field: CheckpointField) -> U256 {
    let offset: u64 = match field {
        CheckpointField::Digest => 0,
        CheckpointField::Counters => 1,
        CheckpointField::BlockHash => 2,
        CheckpointField::StateRoot => 3,
        CheckpointField::WithdrawalRoot => 4,
        CheckpointField::DepositAcc => 5,
        CheckpointField::NextValset => 6,
    };
    mapped(number, CHECKPOINTS).wrapping_add(U256::from(offset))
}

/// Fields of the record of an epoch's validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetField {
    /// `keccak256` of the packed set, as in checkpoints and in the registry; zero when the epoch has no set.
    Commitment,
    /// Number of members.
    Count,
    /// Three 64-bit lanes, least significant first: number of the first checkpoint built in this epoch (0: none yet, so
    /// the next epoch's set may still change), number of the first one recorded (0: none yet), and height of the block that
    /// carries its certificate.
    Handover,
    /// Member at this position in committed order: `address << 64 | power`.
    Member(usize),
}

/// Offset of the first member in a set's record.
const FIRST_MEMBER: U256 = uint!(0x100_U256);

/// Slot of one field of the validator set of `epoch`.
pub fn validator_set(epoch: u64, field: SetField) -> U256 {
    let offset = match field {
        SetField::Commitment => U256::ZERO,
        SetField::Count => uint!(1_U256),
        SetField::Handover => uint!(2_U256),
        SetField::Member(position) => FIRST_MEMBER.wrapping_add(U256::from(position)),
    };
    mapped(epoch, VALIDATOR_SETS).wrapping_add(offset)
}

/// Slot of the value of `key` in a Solidity `mapping(uint64 => ...)` at slot `base`.
fn mapped(key: u64, base: U256) -> U256 {
    let mut preimage = [0u8; 64];
    preimage[24..32].copy_from_slice(&key.to_be_bytes());
    preimage[32..].copy_from_slice(&base.to_be_bytes::<32>());
    U256::from_be_bytes(keccak256(preimage).0)
}
