// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CheckpointRegistry} from "./CheckpointRegistry.sol";

/// @notice An amount burned on the sidechain; it is paid once. Field names and order are hashed.
struct Withdrawal {
    uint64 index;
    address token;
    address sender;
    address recipient;
    uint256 amount;
    uint256 relayerFee;
}

/// @title PegVault
/// @notice Holds the coin that backs the sidechain's pegged coin. Immutable: no owner, no upgrade. Coin leaves only by a
/// claim that is proven against an accepted checkpoint.
contract PegVault {
    /// @notice A deposit; `depositAcc` is the accumulator after it.
    event Deposited(
        uint64 indexed nonce,
        address indexed token,
        address indexed sender,
        address recipient,
        uint256 amount,
        bytes32 depositAcc
    );
    /// @notice A paid withdrawal; `amount` includes the relayer's fee.
    event Claimed(
        uint64 indexed index,
        address indexed token,
        address indexed recipient,
        uint256 amount,
        uint256 relayerFee,
        address relayer,
        uint64 checkpoint
    );

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

    bytes32 private constant DEPOSIT_TYPEHASH =
        keccak256("Deposit(uint64 nonce,address token,address sender,address recipient,uint256 amount)");
    bytes32 private constant WITHDRAWAL_TYPEHASH = keccak256(
        "Withdrawal(uint64 index,address token,address sender,address recipient,uint256 amount,uint256 relayerFee)"
    );
    /// The parent's native coin, as a token.
    address private constant NATIVE = address(0);

    /// @notice How many of the last accumulators the vault stores. They are in a ring, so that a deposit rewrites a slot and
    /// does not open a new one; older checkpoints are proven with the leaves of the later deposits.
    uint64 public constant SNAPSHOTS = 4096;

    /// @notice The registry whose checkpoints count.
    CheckpointRegistry public immutable registry;
    /// @notice Seconds between a checkpoint's acceptance and the claims against it.
    uint64 public immutable claimDelay;

    /// @notice Nonce of the last deposit; the first is 1.
    uint64 public depositNonce;
    uint192 private lockedNative;
    bytes32[SNAPSHOTS] private snapshots;
    mapping(uint256 word => uint256 bits) private claimed;
    bool private transient entered;

    /// @param registry_ the registry, deployed with this vault's future address
    /// @param claimDelay_ seconds; gives users and guardians time to notice a forged checkpoint
    constructor(CheckpointRegistry registry_, uint64 claimDelay_) {
        if (address(registry_.vault()) != address(this)) revert WrongRegistry();
        registry = registry_;
        claimDelay = claimDelay_;
    }

    /// @notice Locks the coin sent; the sidechain mints the same amount to `recipient`.
    function depositNative(address recipient) external payable returns (uint64 nonce) {
        if (msg.value == 0) revert ZeroAmount();
        if (recipient == address(0)) revert ZeroRecipient();
        uint256 sum = lockedNative + msg.value;
        if (sum > type(uint192).max) revert AmountTooLarge();
        nonce = depositNonce + 1;
        bytes32 leaf = keccak256(abi.encode(DEPOSIT_TYPEHASH, nonce, NATIVE, msg.sender, recipient, msg.value));
        bytes32 acc = hashPair(snapshots[(nonce - 1) % SNAPSHOTS], leaf);
        depositNonce = nonce;
        lockedNative = uint192(sum);
        snapshots[nonce % SNAPSHOTS] = acc;
        emit Deposited(nonce, NATIVE, msg.sender, recipient, msg.value, acc);
    }

    /// @notice Pays a withdrawal, once. Anyone may call and earns the relayer's fee. When a payment fails, everything is
    /// reverted and the withdrawal stays claimable.
    /// @param checkpoint number of any accepted checkpoint that includes the withdrawal
    /// @param proof the leaf's siblings, from the lowest level up; empty subtrees at the end may be left out
    function claim(Withdrawal calldata w, uint64 checkpoint, bytes32[] calldata proof) external {
        if (entered) revert Reentered();
        entered = true;

        (bytes32 root, uint64 count, uint64 acceptedAt) = registry.accepted(checkpoint);
        if (root == 0) revert UnknownCheckpoint(checkpoint);
        uint256 notBefore = uint256(acceptedAt) + claimDelay;
        if (block.timestamp < notBefore) revert ClaimTooEarly(notBefore);
        if (w.index >= count) revert IndexOutOfRange(w.index, count);
        if (rootOf(withdrawalLeaf(w), w.index, proof) != root) revert InvalidProof();
        if (w.token != NATIVE) revert UnsupportedToken(w.token);
        if (w.relayerFee > w.amount) revert FeeExceedsAmount();

        // The nullifier is the index, so no part of the proof's bytes affects it.
        uint256 bit = 1 << (w.index & 0xff);
        uint256 bits = claimed[w.index >> 8];
        if (bits & bit != 0) revert AlreadyClaimed(w.index);
        claimed[w.index >> 8] = bits | bit;
        lockedNative = uint192(lockedNative - w.amount);
        emit Claimed(w.index, NATIVE, w.recipient, w.amount, w.relayerFee, msg.sender, checkpoint);

        pay(w.recipient, w.amount - w.relayerFee);
        if (w.relayerFee != 0) pay(msg.sender, w.relayerFee);
        entered = false;
    }

    /// @notice The vault's debt for a token: deposits minus claims. Coin that arrived by other ways than `depositNative` is
    /// surplus and does not count.
    function locked(address token) external view returns (uint256) {
        return token == NATIVE ? lockedNative : 0;
    }

    /// @notice The accumulator after the deposit `nonce`, for the last `SNAPSHOTS` nonces.
    function depositAccAt(uint64 nonce) external view returns (bytes32) {
        if (nonce > depositNonce || depositNonce - nonce >= SNAPSHOTS) revert SnapshotUnavailable(nonce);
        return snapshots[nonce % SNAPSHOTS];
    }

    /// @notice The accumulator after the last deposit.
    function depositAcc() external view returns (bytes32) {
        return snapshots[depositNonce % SNAPSHOTS];
    }

    /// @notice Whether a withdrawal was paid.
    function isClaimed(uint64 index) external view returns (bool) {
        return (claimed[index >> 8] >> (index & 0xff)) & 1 != 0;
    }

    /// @notice The withdrawal's leaf: hashed twice, so that an inner node cannot be used as a leaf.
    function withdrawalLeaf(Withdrawal calldata w) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(WITHDRAWAL_TYPEHASH, w))));
    }

    /// @dev The index decides the side of each sibling; the caller checks `index` against the count. Siblings left out of
    /// the proof are empty subtrees, whose hashes are computed here.
    function rootOf(bytes32 node, uint256 index, bytes32[] calldata proof) private pure returns (bytes32) {
        if (proof.length > 32) revert InvalidProof();
        // Scratch memory holds the pair; bit `level` of the index puts the node in its left or right half.
        assembly ("memory-safe") {
            let empty := 0
            for { let level := 0 } lt(level, 32) { level := add(level, 1) } {
                let sibling := empty
                if lt(level, proof.length) { sibling := calldataload(add(proof.offset, shl(5, level))) }
                let half := shl(5, and(shr(level, index), 1))
                mstore(half, node)
                mstore(xor(half, 32), sibling)
                node := keccak256(0, 64)
                mstore(0, empty)
                mstore(32, empty)
                empty := keccak256(0, 64)
            }
        }
        return node;
    }

    /// @dev keccak256(abi.encode(left, right)) in scratch memory.
    function hashPair(bytes32 left, bytes32 right) private pure returns (bytes32 node) {
        assembly ("memory-safe") {
            mstore(0, left)
            mstore(32, right)
            node := keccak256(0, 64)
        }
    }

    /// @dev A bare call: data returned by the recipient is not copied.
    function pay(address to, uint256 amount) private {
        bool ok;
        assembly ("memory-safe") {
            ok := call(gas(), to, amount, 0, 0, 0, 0)
        }
        if (!ok) revert PaymentFailed(to);
    }
}
