// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What the sidechain's validators tell the parent. Field names and order are signed.
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

/// @notice The vault as the registry sees it: what was really deposited.
interface IDepositHistory {
    function depositAccAt(uint64 nonce) external view returns (bytes32);
}

/// @title CheckpointRegistry
/// @notice Accepts checkpoints of one sidechain, signed by more than two thirds of its validators' power.
/// Immutable: no owner, no initialiser, no upgrade. Anyone may submit.
contract CheckpointRegistry {
    /// @notice Where the registry stands; one slot.
    struct Latest {
        uint64 number;
        uint64 height;
        uint64 withdrawalCount;
        uint64 epoch;
    }

    /// @notice What a claim needs to know of an accepted checkpoint.
    struct Accepted {
        bytes32 withdrawalRoot;
        uint64 withdrawalCount;
        uint64 acceptedAt;
    }

    event CheckpointAccepted(
        uint64 indexed number,
        bytes32 digest,
        uint64 height,
        bytes32 stateRoot,
        bytes32 withdrawalRoot,
        uint64 withdrawalCount,
        uint64 depositNonce,
        uint64 epoch
    );
    event ValidatorSetCommitted(uint64 indexed epoch, bytes32 commitment);

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

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)");
    bytes32 private constant NAME_HASH = keccak256("Causeway");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant CHECKPOINT_TYPEHASH = keccak256(
        "Checkpoint(uint64 number,bytes32 prevDigest,uint64 height,bytes32 blockHash,bytes32 stateRoot,bytes32 withdrawalRoot,uint64 withdrawalCount,uint64 depositNonce,bytes32 depositAcc,uint64 epoch,bytes32 nextValset)"
    );
    /// Half of secp256k1's order: above it every signature has a malleable twin.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    /// Bytes of one packed validator: address (20), power (8).
    uint256 private constant ENTRY = 28;
    /// Signers are named by one word.
    uint256 private constant MAX_VALIDATORS = 256;

    /// @notice Hash of the sidechain's genesis block; the domain's salt.
    bytes32 public immutable genesisHash;
    /// @notice The vault whose deposits the sidechain mints.
    IDepositHistory public immutable vault;

    /// @notice The latest accepted checkpoint.
    Latest public latest;
    /// @notice Its digest; zero before the first.
    bytes32 public latestDigest;
    /// @notice keccak256 of the packed validator set of each known epoch.
    mapping(uint64 epoch => bytes32 commitment) public validatorSetOf;
    /// @notice Every accepted checkpoint's withdrawal root, by number; a zero root means unknown.
    mapping(uint64 number => Accepted) public accepted;

    /// @param genesisHash_ hash of the sidechain's genesis block
    /// @param validators the first set: address (20) ++ power (8) each, by falling power, then rising address
    /// @param epoch epoch of that set
    /// @param vault_ address of the vault, which may not be deployed yet
    constructor(bytes32 genesisHash_, bytes memory validators, uint64 epoch, IDepositHistory vault_) {
        if (genesisHash_ == 0) revert ZeroGenesisHash();
        if (address(vault_) == address(0)) revert ZeroVault();
        totalPower(validators);
        genesisHash = genesisHash_;
        vault = vault_;
        latest.epoch = epoch;
        validatorSetOf[epoch] = keccak256(validators);
        emit ValidatorSetCommitted(epoch, keccak256(validators));
    }

    /// @notice Accepts a checkpoint newer than the latest; numbers may be skipped.
    /// @param validators the full committed set, packed
    /// @param signers bit i is set when the i-th validator's signature is given
    /// @param signatures r (32) ++ s (32) ++ v (1) of each signer, in order; those after the quorum are not read
    /// @param laterDeposits leaves of the deposits after the checkpoint's, up to one the vault still
    /// remembers; empty unless the checkpoint is very old
    function submit(
        Checkpoint calldata c,
        bytes calldata validators,
        uint256 signers,
        bytes calldata signatures,
        bytes32[] calldata laterDeposits
    ) external returns (bytes32 digest) {
        Latest memory last = latest;
        if (c.number <= last.number) revert NumberNotNewer(last.number, c.number);
        if (c.height <= last.height) revert HeightNotIncreasing(last.height, c.height);
        if (c.withdrawalCount < last.withdrawalCount || c.withdrawalCount > type(uint32).max) {
            revert WithdrawalCountOutOfRange(last.withdrawalCount, c.withdrawalCount);
        }
        if (c.withdrawalRoot == 0 || c.stateRoot == 0) revert ZeroRoot();
        if (c.number - 1 == last.number && c.prevDigest != latestDigest) {
            revert BrokenDigestChain(latestDigest, c.prevDigest);
        }
        // The new set may follow the old one; once it has, the old one is heard no more.
        if (c.epoch != last.epoch && c.epoch != last.epoch + 1) revert UnknownEpoch(c.epoch);

        digest = checkpointDigest(c);
        requireQuorum(digest, c.epoch, validators, signers, signatures);
        requireDepositHistory(c, laterDeposits);

        if (c.nextValset != 0) commitNextSet(c.epoch + 1, c.nextValset);
        latest = Latest(c.number, c.height, c.withdrawalCount, c.epoch);
        latestDigest = digest;
        accepted[c.number] = Accepted(c.withdrawalRoot, c.withdrawalCount, uint64(block.timestamp));
        emit CheckpointAccepted(
            c.number,
            digest,
            c.height,
            c.stateRoot,
            c.withdrawalRoot,
            c.withdrawalCount,
            c.depositNonce,
            c.epoch
        );
    }

    /// @notice EIP-712 digest that validators sign; also the checkpoint's identity.
    function checkpointDigest(Checkpoint calldata c) public view returns (bytes32) {
        return keccak256(
            abi.encodePacked(hex"1901", domainSeparator(), keccak256(abi.encode(CHECKPOINT_TYPEHASH, c)))
        );
    }

    /// @notice EIP-712 domain separator, from the live chain id: a fork of the parent is another domain.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this), genesisHash)
        );
    }

    function requireQuorum(
        bytes32 digest,
        uint64 epoch,
        bytes memory validators,
        uint256 signers,
        bytes calldata signatures
    ) private view {
        bytes32 commitment = validatorSetOf[epoch];
        if (commitment == 0) revert UnknownEpoch(epoch);
        if (keccak256(validators) != commitment) revert WrongValidatorSet(commitment, keccak256(validators));
        uint256 total = totalPower(validators);
        uint256 count = validators.length / ENTRY;
        if (count < MAX_VALIDATORS && signers >> count != 0) revert UnknownSigner();

        uint256 power = 0;
        uint256 offset = 0;
        for (uint256 i = 0; signers >> i != 0 && i < count; ++i) {
            if ((signers >> i) & 1 == 0) continue;
            (address validator, uint64 share) = entry(validators, i);
            bytes calldata signature = signatures[offset:offset + 65];
            offset += 65;
            if (recover(digest, signature) != validator) revert InvalidSignature(i);
            power += share;
            if (power * 3 > total * 2) return;
        }
        revert NoQuorum(power, total);
    }

    /// @dev Zero on failure; a validator is never the zero address.
    function recover(bytes32 digest, bytes calldata signature) private pure returns (address) {
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > HALF_ORDER || (v != 27 && v != 28)) return address(0);
        return ecrecover(digest, v, bytes32(signature[0:32]), s);
    }

    /// @dev The two-way commitment: a checkpoint on deposits that never happened is refused here, whoever
    /// signed it. The accumulator at a later nonce binds every earlier one.
    function requireDepositHistory(Checkpoint calldata c, bytes32[] calldata laterDeposits) private view {
        bytes32 acc = c.depositAcc;
        for (uint256 i = 0; i < laterDeposits.length; ++i) {
            acc = keccak256(abi.encode(acc, laterDeposits[i]));
        }
        uint64 nonce = c.depositNonce + uint64(laterDeposits.length);
        bytes32 actual = vault.depositAccAt(nonce);
        if (actual != acc) revert DepositHistoryMismatch(nonce, actual, acc);
    }

    function commitNextSet(uint64 epoch, bytes32 commitment) private {
        bytes32 known = validatorSetOf[epoch];
        if (known == commitment) return;
        if (known != 0) revert ConflictingNextSet(known, commitment);
        validatorSetOf[epoch] = commitment;
        emit ValidatorSetCommitted(epoch, commitment);
    }

    /// @dev Checks a packed set (not empty, not too large, strictly ordered, no zero address, no zero power)
    /// and sums it: the commitment to the entries is the commitment to the total.
    function totalPower(bytes memory validators) private pure returns (uint256 total) {
        uint256 count = validators.length / ENTRY;
        if (count == 0 || count > MAX_VALIDATORS || validators.length % ENTRY != 0) revert InvalidValidatorSet();
        uint256 previous = type(uint256).max;
        for (uint256 i = 0; i < count; ++i) {
            (address validator, uint64 power) = entry(validators, i);
            uint256 rank = (uint256(power) << 160) | (type(uint160).max - uint160(validator));
            if (validator == address(0) || power == 0 || rank >= previous) revert InvalidValidatorSet();
            previous = rank;
            total += power;
        }
    }

    /// @dev The caller keeps `i` below the count; the word read past the last entry's end is shifted out.
    function entry(bytes memory validators, uint256 i) private pure returns (address validator, uint64 power) {
        uint256 word;
        assembly ("memory-safe") {
            word := shr(32, mload(add(add(validators, 32), mul(i, ENTRY))))
        }
        return (address(uint160(word >> 64)), uint64(word));
    }
}
