//! What wallets and contracts see: the staking module's interface and the stake token's.
//!
//! Amounts are in the smallest unit (18 decimals). A validator is named by its operator's address.

use alloy_sol_types::sol;

sol! {
    /// A member of a validator set.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct SetMember {
        /// Operator.
        address operator;
        /// Ed25519 consensus key.
        bytes32 consensusKey;
        /// Address of the peg key.
        address pegAddress;
        /// Voting power.
        uint64 power;
        /// Stake that the power was scaled from.
        uint256 stake;
    }

    /// Everything about one validator.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct ValidatorInfo {
        /// Operator.
        address operator;
        /// Ed25519 consensus key.
        bytes32 consensusKey;
        /// Address of the peg key.
        address pegAddress;
        /// Commission in basis points.
        uint16 commissionBps;
        /// Bonded stake.
        uint256 tokens;
        /// Shares of the bonded stake.
        uint256 shares;
        /// The operator's own part of the bonded stake.
        uint256 selfBond;
        /// Power in the active set; zero when not a member.
        uint64 power;
        /// Whether it is in jail for downtime.
        bool jailed;
        /// When it may leave the jail, seconds.
        uint64 jailedUntil;
        /// Whether it double-signed: out for ever.
        bool tombstoned;
        /// The epoch it is out from; zero when it is not leaving.
        uint64 exitEpoch;
        /// Commission accrued, coin.
        uint256 commission;
        /// Rewards that its delegators have not claimed, coin.
        uint256 rewards;
    }

    /// Stake on its way out.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Unbonding {
        /// Validator it leaves.
        address validator;
        /// First epoch in which it no longer counts.
        uint64 leaveEpoch;
        /// What it is worth now.
        uint256 tokens;
        /// When it can be claimed, seconds; zero while that is not known.
        uint64 claimableAt;
    }

    /// A move that still answers for the validator it came from.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct RedelegationInfo {
        /// Its number.
        uint64 id;
        /// Validator it left.
        address from;
        /// Validator it went to.
        address to;
        /// First epoch whose faults of `from` it does not answer for.
        uint64 leaveEpoch;
        /// Shares of `to` that are locked.
        uint256 shares;
        /// When they are free, seconds; zero while that is not known.
        uint64 freeAt;
    }

    /// Parameters from genesis.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Params {
        uint64 epochLength;
        uint64 maxValidators;
        uint256 minSelfBond;
        uint256 minDelegation;
        uint64 unbondingSeconds;
        uint64 downtimeWindow;
        uint64 downtimeSlashPpm;
        uint64 jailSeconds;
        uint64 doubleSignSlashPpm;
        uint64 reporterPpm;
        uint64 issuancePpm;
        uint16 maxCommissionChangeBps;
    }

    /// The staking module.
    #[derive(Debug, PartialEq, Eq)]
    interface IStaking {
        /// Registers the caller as a validator, with its keys for ever and its first self-bond.
        function register(bytes32 consensusKey, bytes consensusProof, address pegAddress, bytes pegProof, uint16 commissionBps, uint256 selfBond) external;
        /// Bonds liquid stake with a validator.
        function delegate(address validator, uint256 amount) external;
        /// Starts to unbond; the largest number means everything. Returns the epochs it leaves in.
        function undelegate(address validator, uint256 amount) external returns (uint64 firstEpoch, uint64 lastEpoch);
        /// Moves bonded stake at once; it still answers for the faults of `from`.
        function redelegate(address from, address to, uint256 amount) external returns (uint64 id);
        /// Applies the slashes of the validator it left to a move, and frees it when its time is over.
        function settleRedelegation(uint64 id) external;
        /// Takes unbonded stake back.
        function claimUnbonded(address validator, uint64 leaveEpoch) external returns (uint256 amount);
        /// Takes the caller's rewards from a validator.
        function claimRewards(address validator) external returns (uint256 coin);
        /// Takes the caller's commission.
        function claimCommission() external returns (uint256 coin);
        /// Changes the caller's commission, once a day and not by much.
        function setCommission(uint16 bps) external;
        /// Leaves the jail.
        function unjail() external;
        /// Leaves for ever: out of the sets from the epoch returned, in which the self-bond leaves too.
        function exit() external returns (uint64 exitEpoch);
        /// Proves that a validator signed twice. `epoch` is the epoch of the height it did so at.
        function reportEvidence(bytes evidence, uint64 epoch) external;

        /// The current epoch, and by how many blocks it was extended.
        function epoch() external view returns (uint64 number, uint64 startHeight, uint64 startTime, uint64 extended);
        /// The set that decides the next height.
        function activeSet() external view returns (SetMember[] memory);
        /// The set of the next epoch.
        function nextSet() external view returns (SetMember[] memory);
        /// One validator.
        function validator(address operator) external view returns (ValidatorInfo memory);
        /// Operators of all validators, and of up to 1,024 former ones after them.
        function validators() external view returns (address[] memory);
        /// A delegation in shares, and what they are worth.
        function delegation(address delegator, address validator) external view returns (uint256 shares, uint256 tokens);
        /// Rewards that could be claimed now, coin.
        function pendingRewards(address delegator, address validator) external view returns (uint256 coin);
        /// Stake of a delegator on its way out.
        function unbondings(address delegator) external view returns (Unbonding[] memory);
        /// Moves of a delegator that still answer for the validator they left.
        function redelegations(address delegator) external view returns (RedelegationInfo[] memory);
        /// Where all stake is; the rest of `issued` is liquid.
        function totals() external view returns (uint256 issued, uint256 bonded, uint256 unbonding, uint256 slashed, uint256 dust);
        /// Parameters from genesis.
        function params() external view returns (Params memory);

        /// A new validator.
        event Registered(address indexed operator, bytes32 consensusKey, address pegAddress, uint16 commissionBps, uint256 selfBond);
        /// Stake was bonded.
        event Delegated(address indexed delegator, address indexed validator, uint256 amount, uint256 shares);
        /// Stake began to leave.
        event Undelegated(address indexed delegator, address indexed validator, uint256 amount, uint64 leaveEpoch);
        /// Stake moved.
        event Redelegated(uint64 indexed id, address indexed delegator, address from, address to, uint256 amount);
        /// A move was brought up to date: so much of it was slashed, and whether it is free now.
        event RedelegationSettled(uint64 indexed id, uint256 slashed, bool free);
        /// Stake was taken back.
        event UnbondedClaimed(address indexed delegator, address indexed validator, uint64 leaveEpoch, uint256 amount);
        /// Rewards were paid.
        event RewardsClaimed(address indexed delegator, address indexed validator, uint256 coin);
        /// Commission was paid.
        event CommissionClaimed(address indexed operator, uint256 coin);
        /// A commission changed.
        event CommissionChanged(address indexed operator, uint16 bps);
        /// Stake of a validator was slashed for a fault in an epoch.
        event Slashed(address indexed operator, uint64 epoch, uint256 amount, address reporter, uint256 reward);
        /// A validator is out for ever.
        event Tombstoned(address indexed operator, bytes32 consensusKey, uint64 height);
        /// A validator left the jail.
        event Unjailed(address indexed operator);
        /// A validator leaves.
        event Exited(address indexed operator, uint64 exitEpoch);

        /// An amount of zero.
        error ZeroAmount();
        /// Below the least allowed.
        error BelowMinimum(uint256 amount, uint256 minimum);
        /// More than the caller has to move.
        error InsufficientStake(uint256 available, uint256 needed);
        /// Nobody registered so.
        error UnknownValidator(address operator);
        /// One registration for each operator.
        error AlreadyRegistered(address operator);
        /// The consensus key is zero or was registered before.
        error ConsensusKeyTaken(bytes32 consensusKey);
        /// The peg key is zero or was registered before.
        error PegAddressTaken(address pegAddress);
        /// A key's proof of possession does not verify.
        error InvalidProof();
        /// No place for another validator.
        error TooManyValidators();
        /// A commission above the whole, a second change in a day, or too large a change.
        error CommissionRefused(uint16 bps);
        /// The self-bond would fall below the least allowed: exit instead.
        error SelfBondTooLow(uint256 remaining, uint256 minimum);
        /// The validator double-signed and is out for ever.
        error IsTombstoned(address operator);
        /// The validator leaves or has left.
        error IsExiting(address operator);
        /// Everything bonded with the validator was slashed.
        error FullySlashed(address operator);
        /// The validator has more shares than can be counted.
        error SharesOverflow();
        /// From and to are one validator.
        error SameValidator();
        /// More stake leaves within the next epochs than the bounds allow; try again next epoch.
        error ExitQueueFull();
        /// More would move in this epoch than the bounds allow: at most `room` now.
        error RedelegationLimit(uint256 room);
        /// Too many moves at once.
        error TooManyRedelegations();
        /// Too many unbondings at once.
        error TooManyUnbondings();
        /// No such move.
        error UnknownRedelegation(uint64 id);
        /// Nothing leaves so.
        error NothingUnbonding();
        /// Not yet.
        error NotClaimable(uint64 leaveEpoch);
        /// The validator is not in jail.
        error NotJailed();
        /// Not yet.
        error StillJailed(uint64 until);
        /// The evidence does not verify.
        error InvalidEvidence();
        /// The evidence's height is not in that epoch.
        error WrongEvidenceEpoch(uint64 height, uint64 epoch);
        /// The evidence is too old.
        error EvidenceExpired(uint64 epoch);
        /// Nobody registered that consensus key.
        error UnknownConsensusKey(bytes32 consensusKey);
        /// The validator was punished for a double signature before.
        error AlreadyTombstoned(address operator);
        /// The staking accounts are broken: a bug of the chain.
        error Accounting();
        /// The function takes no value.
        error NotPayable();
        /// No such function, or its arguments do not decode.
        error InvalidCall();
    }

    /// The stake token: ERC-20, with the errors of ERC-6093.
    #[derive(Debug, PartialEq, Eq)]
    interface IStakeToken {
        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function decimals() external view returns (uint8);
        /// Everything issued.
        function totalSupply() external view returns (uint256);
        /// Liquid stake of an account; all that is not liquid belongs to the staking module.
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 amount) external returns (bool);
        function approve(address spender, uint256 amount) external returns (bool);
        function transferFrom(address from, address to, uint256 amount) external returns (bool);

        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);

        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
        error ERC20InvalidReceiver(address receiver);
        error ERC20InvalidSpender(address spender);
        error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
        /// The function takes no value.
        error NotPayable();
        /// No such function, or its arguments do not decode.
        error InvalidCall();
    }
}

/// Name of the stake token.
pub const TOKEN_NAME: &str = "Causeway Stake";
/// Symbol of the stake token.
pub const TOKEN_SYMBOL: &str = "STAKE";
/// Decimals of the stake token.
pub const TOKEN_DECIMALS: u8 = 18;
