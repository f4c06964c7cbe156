//! The Solidity interfaces of the staking module and the stake token, for wallets and contracts.
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
        /// The stake from which the power was scaled.
        uint256 stake;
    }

    /// The state of one validator.
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
        /// The earliest time of its release from jail, seconds.
        uint64 jailedUntil;
        /// Whether it double-signed and is excluded permanently.
        bool tombstoned;
        /// The first epoch without it; zero when it is not leaving.
        uint64 exitEpoch;
        /// Commission accrued, coin.
        uint256 commission;
        /// Unclaimed rewards of its delegators, coin.
        uint256 rewards;
    }

    /// Stake that is leaving a validator.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Unbonding {
        /// The validator that it leaves.
        address validator;
        /// First epoch in which it no longer counts.
        uint64 leaveEpoch;
        /// Its current value.
        uint256 tokens;
        /// The earliest time of the claim, seconds; zero while not known.
        uint64 claimableAt;
    }

    /// A redelegation that is still liable for the validator that it left.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct RedelegationInfo {
        /// Its number.
        uint64 id;
        /// The validator that it left.
        address from;
        /// The validator that received it.
        address to;
        /// First epoch for whose faults of `from` it is not liable.
        uint64 leaveEpoch;
        /// Locked shares of `to`.
        uint256 shares;
        /// When the shares are unlocked, seconds; zero while not known.
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
        /// Registers the caller as a validator, with its permanent keys and its first self-bond.
        function register(bytes32 consensusKey, bytes consensusProof, address pegAddress, bytes pegProof, uint16 commissionBps, uint256 selfBond) external;
        /// Bonds liquid stake with a validator.
        function delegate(address validator, uint256 amount) external;
        /// Starts to unbond; the largest number means all stake. Returns the first and last epoch in which it leaves.
        function undelegate(address validator, uint256 amount) external returns (uint64 firstEpoch, uint64 lastEpoch);
        /// Moves bonded stake at once. The stake stays liable for the faults of `from`.
        function redelegate(address from, address to, uint256 amount) external returns (uint64 id);
        /// Applies the slashes of the old validator to a redelegation, and unlocks it when its time is over.
        function settleRedelegation(uint64 id) external;
        /// Claims unbonded stake.
        function claimUnbonded(address validator, uint64 leaveEpoch) external returns (uint256 amount);
        /// Claims the caller's rewards from a validator.
        function claimRewards(address validator) external returns (uint256 coin);
        /// Claims the caller's commission.
        function claimCommission() external returns (uint256 coin);
        /// Changes the caller's commission, at most once a day and by a limited step.
        function setCommission(uint16 bps) external;
        /// Leaves the jail.
        function unjail() external;
        /// Exits permanently: the validator is in no set from the returned epoch on, in which its self-bond leaves too.
        function exit() external returns (uint64 exitEpoch);
        /// Proves that a validator signed twice. `epoch` is the epoch of the height of the offence.
        function reportEvidence(bytes evidence, uint64 epoch) external;

        /// The current epoch, and the number of blocks by which it was extended.
        function epoch() external view returns (uint64 number, uint64 startHeight, uint64 startTime, uint64 extended);
        /// The set that decides the next height.
        function activeSet() external view returns (SetMember[] memory);
        /// The set of the next epoch.
        function nextSet() external view returns (SetMember[] memory);
        /// One validator.
        function validator(address operator) external view returns (ValidatorInfo memory);
        /// Operators of all validators, and of up to 1,024 former ones after them.
        function validators() external view returns (address[] memory);
        /// The shares of a delegation, and their value.
        function delegation(address delegator, address validator) external view returns (uint256 shares, uint256 tokens);
        /// Claimable rewards, coin.
        function pendingRewards(address delegator, address validator) external view returns (uint256 coin);
        /// A delegator's stake that is leaving.
        function unbondings(address delegator) external view returns (Unbonding[] memory);
        /// A delegator's redelegations that are still liable for the validator they left.
        function redelegations(address delegator) external view returns (RedelegationInfo[] memory);
        /// The distribution of all stake; the rest of `issued` is liquid.
        function totals() external view returns (uint256 issued, uint256 bonded, uint256 unbonding, uint256 slashed, uint256 dust);
        /// Parameters from genesis.
        function params() external view returns (Params memory);

        /// A validator registered.
        event Registered(address indexed operator, bytes32 consensusKey, address pegAddress, uint16 commissionBps, uint256 selfBond);
        /// Stake was bonded.
        event Delegated(address indexed delegator, address indexed validator, uint256 amount, uint256 shares);
        /// Stake started to unbond.
        event Undelegated(address indexed delegator, address indexed validator, uint256 amount, uint64 leaveEpoch);
        /// Stake moved.
        event Redelegated(uint64 indexed id, address indexed delegator, address from, address to, uint256 amount);
        /// A redelegation was settled: the slashed amount, and whether it is unlocked now.
        event RedelegationSettled(uint64 indexed id, uint256 slashed, bool free);
        /// Unbonded stake was claimed.
        event UnbondedClaimed(address indexed delegator, address indexed validator, uint64 leaveEpoch, uint256 amount);
        /// Rewards were paid.
        event RewardsClaimed(address indexed delegator, address indexed validator, uint256 coin);
        /// Commission was paid.
        event CommissionClaimed(address indexed operator, uint256 coin);
        /// A commission changed.
        event CommissionChanged(address indexed operator, uint16 bps);
        /// Stake of a validator was slashed for a fault in an epoch.
        event Slashed(address indexed operator, uint64 epoch, uint256 amount, address reporter, uint256 reward);
        /// A validator is excluded permanently.
        event Tombstoned(address indexed operator, bytes32 consensusKey, uint64 height);
        /// A validator left the jail.
        event Unjailed(address indexed operator);
        /// A validator started to exit.
        event Exited(address indexed operator, uint64 exitEpoch);

        /// The amount is zero.
        error ZeroAmount();
        /// The amount is below the minimum.
        error BelowMinimum(uint256 amount, uint256 minimum);
        /// The caller has less stake than needed.
        error InsufficientStake(uint256 available, uint256 needed);
        /// No validator with this operator is registered.
        error UnknownValidator(address operator);
        /// The operator already has a validator.
        error AlreadyRegistered(address operator);
        /// The consensus key is zero or was registered before.
        error ConsensusKeyTaken(bytes32 consensusKey);
        /// The peg key is zero or was registered before.
        error PegAddressTaken(address pegAddress);
        /// A key's proof of possession does not verify.
        error InvalidProof();
        /// The limit of validators is reached.
        error TooManyValidators();
        /// The commission exceeds 100 %, changes a second time in a day, or changes by too large a step.
        error CommissionRefused(uint16 bps);
        /// The self-bond would fall below the minimum: exit instead.
        error SelfBondTooLow(uint256 remaining, uint256 minimum);
        /// The validator double-signed and is excluded permanently.
        error IsTombstoned(address operator);
        /// The validator is exiting or has exited.
        error IsExiting(address operator);
        /// All stake bonded with the validator was slashed.
        error FullySlashed(address operator);
        /// The validator has more shares than can be counted.
        error SharesOverflow();
        /// Both validators are the same.
        error SameValidator();
        /// More stake is leaving in the next epochs than the bounds allow; try again in the next epoch.
        error ExitQueueFull();
        /// More stake would move in this epoch than the bounds allow: at most `room` can move now.
        error RedelegationLimit(uint256 room);
        /// The limit of live redelegations is reached.
        error TooManyRedelegations();
        /// The limit of live unbondings is reached.
        error TooManyUnbondings();
        /// No live redelegation has this id.
        error UnknownRedelegation(uint64 id);
        /// No such stake is unbonding.
        error NothingUnbonding();
        /// The stake cannot be claimed yet.
        error NotClaimable(uint64 leaveEpoch);
        /// The validator is not in jail.
        error NotJailed();
        /// The jail time is not over.
        error StillJailed(uint64 until);
        /// The evidence does not verify.
        error InvalidEvidence();
        /// The evidence's height is not in that epoch.
        error WrongEvidenceEpoch(uint64 height, uint64 epoch);
        /// The evidence is too old.
        error EvidenceExpired(uint64 epoch);
        /// The consensus key was never registered.
        error UnknownConsensusKey(bytes32 consensusKey);
        /// The validator was already punished for a double signature.
        error AlreadyTombstoned(address operator);
        /// The staking accounts are inconsistent: a bug of the chain.
        error Accounting();
        /// The function takes no value.
        error NotPayable();
        /// The function does not exist, or its arguments do not decode.
        error InvalidCall();
    }

    /// The stake token: ERC-20, with the errors of ERC-6093.
    #[derive(Debug, PartialEq, Eq)]
    interface IStakeToken {
        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function decimals() external view returns (uint8);
        /// All issued stake.
        function totalSupply() external view returns (uint256);
        /// Liquid stake of an account; the staking module owns all other stake.
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
        /// The function does not exist, or its arguments do not decode.
        error InvalidCall();
    }
}

/// Name of the stake token.
pub const TOKEN_NAME: &str = "Causeway Stake";
/// Symbol of the stake token.
pub const TOKEN_SYMBOL: &str = "STAKE";
/// Decimals of the stake token.
pub const TOKEN_DECIMALS: u8 = 18;
