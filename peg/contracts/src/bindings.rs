//! The contracts' Solidity interfaces. A test compares them with the compiler's ABI, item by item.

#![expect(clippy::too_many_arguments, reason = "sol! makes constructors of the events' fields")]

use alloy_sol_types::sol;

sol! {
    /// The checkpoint registry on the parent.
    #[derive(Debug, PartialEq, Eq)]
    contract CheckpointRegistry {
        /// As [`causeway_peg::Checkpoint`].
        struct Checkpoint {
            uint64 number;
            bytes32 prevDigest;
            uint64 height;
            bytes32 blockHash;
            bytes32 stateRoot;
            bytes32 withdrawalRoot;
            uint64 withdrawalCount;
            uint64 depositNonce;
            bytes32 depositAcc;
            uint64 epoch;
            bytes32 nextValset;
        }

        /// A checkpoint was accepted.
        event CheckpointAccepted(uint64 indexed number, bytes32 digest, uint64 height, bytes32 stateRoot, bytes32 withdrawalRoot, uint64 withdrawalCount, uint64 depositNonce, uint64 epoch);
        /// The set of an epoch was committed.
        event ValidatorSetCommitted(uint64 indexed epoch, bytes32 commitment);
        /// An accumulator that the vault no longer stores was proven.
        event DepositHistoryLinked(uint64 indexed nonce, bytes32 acc);

        error ZeroGenesisHash();
        error ZeroVault();
        error InvalidValidatorSet();
        error NumberNotNewer(uint64 latest, uint64 number);
        error HeightNotIncreasing(uint64 latest, uint64 height);
        error WithdrawalCountOutOfRange(uint64 latest, uint64 count);
        error ZeroRoot();
        error BrokenDigestChain(bytes32 latest, bytes32 prevDigest);
        error UnknownEpoch(uint64 epoch);
        error WrongValidatorSet(bytes32 expected, bytes32 given);
        error ConflictingNextSet(bytes32 known, bytes32 given);
        error UnknownSigner();
        error InvalidSignature(uint256 position);
        error NoQuorum(uint256 power, uint256 total);
        error DepositHistoryMismatch(uint64 nonce, bytes32 actual, bytes32 claimed);
        error UnknownDepositHistory(uint64 nonce);

        constructor(bytes32 genesisHash_, bytes memory validators, uint64 epoch, address vault_);

        function submit(Checkpoint calldata c, bytes calldata validators, uint256 signers, bytes calldata signatures, bytes32[] calldata laterDeposits) external returns (bytes32 digest);
        function checkpointDigest(Checkpoint calldata c) external view returns (bytes32);
        function domainSeparator() external view returns (bytes32);
        function genesisHash() external view returns (bytes32);
        function vault() external view returns (address);
        function latest() external view returns (uint64 number, uint64 height, uint64 withdrawalCount, uint64 epoch);
        function latestDigest() external view returns (bytes32);
        function validatorSetOf(uint64 epoch) external view returns (bytes32 commitment);
        function linkedAcc(uint64 nonce) external view returns (bytes32 acc);
        function link(uint64 nonce, bytes32 acc, bytes32[] calldata laterDeposits) external;
        function accepted(uint64 number) external view returns (bytes32 withdrawalRoot, uint64 withdrawalCount, uint64 acceptedAt);
    }

    /// The vault on the parent.
    #[derive(Debug, PartialEq, Eq)]
    contract PegVault {
        /// As [`causeway_peg::Withdrawal`].
        struct Withdrawal {
            uint64 index;
            address token;
            address sender;
            address recipient;
            uint256 amount;
            uint256 relayerFee;
        }

        /// A deposit; `depositAcc` is the accumulator after it.
        event Deposited(uint64 indexed nonce, address indexed token, address indexed sender, address recipient, uint256 amount, bytes32 depositAcc);
        /// A paid withdrawal; `amount` includes the relayer's fee.
        event Claimed(uint64 indexed index, address indexed token, address indexed recipient, uint256 amount, uint256 relayerFee, address relayer, uint64 checkpoint);

        error WrongRegistry();
        error ZeroAmount();
        error ZeroRecipient();
        error AmountTooLarge();
        error SnapshotUnavailable(uint64 nonce);
        error Reentered();
        error UnknownCheckpoint(uint64 number);
        error ClaimTooEarly(uint256 notBefore);
        error IndexOutOfRange(uint64 index, uint64 count);
        error InvalidProof();
        error AlreadyClaimed(uint64 index);
        error UnsupportedToken(address token);
        error FeeExceedsAmount();
        error PaymentFailed(address to);

        constructor(address registry_, uint64 claimDelay_);

        function depositNative(address recipient) external payable returns (uint64 nonce);
        function claim(Withdrawal calldata w, uint64 checkpoint, bytes32[] calldata proof) external;
        function locked(address token) external view returns (uint256);
        function depositNonce() external view returns (uint64);
        function depositAcc() external view returns (bytes32);
        function depositAccAt(uint64 nonce) external view returns (bytes32);
        function isClaimed(uint64 index) external view returns (bool);
        function withdrawalLeaf(Withdrawal calldata w) external pure returns (bytes32);
        function registry() external view returns (address);
        function claimDelay() external view returns (uint64);
        function SNAPSHOTS() external view returns (uint64);
    }

    /// ERC-20 for load and client tests; its deployer owns the supply.
    #[derive(Debug, PartialEq, Eq)]
    contract TestToken {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        error InsufficientBalance(uint256 balance, uint256 needed);
        error InsufficientAllowance(uint256 allowance, uint256 needed);
        constructor(uint256 supply);
        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address owner) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
    }

    /// Storage, an event, and each way a call can fail, for client tests.
    #[derive(Debug, PartialEq, Eq)]
    contract TestProbe {
        event ValueSet(address indexed by, uint256 indexed old, uint256 value);
        error Refused(address caller, uint256 value);
        function value() external view returns (uint256);
        function set(uint256 newValue) external payable;
        function failWithReason() external pure;
        function failWithError(uint256 why) external view;
        function failWithPanic(uint256 divisor) external pure returns (uint256);
        function burnGas() external;
    }

    /// A recipient of claims that refuses payments, or makes a call while it is paid.
    #[derive(Debug, PartialEq, Eq)]
    contract TestRecipient {
        function refusing() external view returns (bool);
        function target() external view returns (address);
        function callback() external view returns (bytes memory);
        function callbackSucceeded() external view returns (bool);
        function callbackResult() external view returns (bytes memory);
        function refuse(bool refusing_) external;
        function onPayment(address target_, bytes calldata callback_) external;
        function batch(address target_, bytes[] calldata calls) external;
        receive() external payable;
    }
}

impl From<&causeway_peg::Checkpoint> for CheckpointRegistry::Checkpoint {
    fn from(checkpoint: &causeway_peg::Checkpoint) -> Self {
        Self {
            number: checkpoint.number,
            prevDigest: checkpoint.prevDigest,
            height: checkpoint.height,
            blockHash: checkpoint.blockHash,
            stateRoot: checkpoint.stateRoot,
            withdrawalRoot: checkpoint.withdrawalRoot,
            withdrawalCount: checkpoint.withdrawalCount,
            depositNonce: checkpoint.depositNonce,
            depositAcc: checkpoint.depositAcc,
            epoch: checkpoint.epoch,
            nextValset: checkpoint.nextValset,
        }
    }
}

impl From<&CheckpointRegistry::Checkpoint> for causeway_peg::Checkpoint {
    fn from(checkpoint: &CheckpointRegistry::Checkpoint) -> Self {
        Self {
            number: checkpoint.number,
            prevDigest: checkpoint.prevDigest,
            height: checkpoint.height,
            blockHash: checkpoint.blockHash,
            stateRoot: checkpoint.stateRoot,
            withdrawalRoot: checkpoint.withdrawalRoot,
            withdrawalCount: checkpoint.withdrawalCount,
            depositNonce: checkpoint.depositNonce,
            depositAcc: checkpoint.depositAcc,
            epoch: checkpoint.epoch,
            nextValset: checkpoint.nextValset,
        }
    }
}

impl From<&causeway_peg::Withdrawal> for PegVault::Withdrawal {
    fn from(withdrawal: &causeway_peg::Withdrawal) -> Self {
        Self {
            index: withdrawal.index,
            token: withdrawal.token,
            sender: withdrawal.sender,
            recipient: withdrawal.recipient,
            amount: withdrawal.amount,
            relayerFee: withdrawal.relayerFee,
        }
    }
}

impl From<&PegVault::Withdrawal> for causeway_peg::Withdrawal {
    fn from(withdrawal: &PegVault::Withdrawal) -> Self {
        Self {
            index: withdrawal.index,
            token: withdrawal.token,
            sender: withdrawal.sender,
            recipient: withdrawal.recipient,
            amount: withdrawal.amount,
            relayerFee: withdrawal.relayerFee,
        }
    }
}
