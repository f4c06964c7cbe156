// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A statement of the sidechain's validators to the parent. Field names and order are signed.
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

/// @notice The registry's view of the vault: the actual deposits.
interface IDepositHistory {
    function depositAccAt(uint64 nonce) external view returns (bytes32);
}

/// @title CheckpointRegistry
/// @notice Accepts checkpoints of one sidechain, signed by more than two thirds of its validators' power.
/// Immutable: no owner, no initialiser, no upgrade. Anyone may submit.
contract CheckpointRegistry {
    /// @notice The registry's progress; one slot.
    struct Latest {
        uint64 number;
        uint64 height;
        uint64 withdrawalCount;
        uint64 epoch;
    }

    /// @notice The data of an accepted checkpoint that a claim needs.
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

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)");
    bytes32 private constant NAME_HASH = keccak256("Causeway");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant CHECKPOINT_TYPEHASH = keccak256(
        "Checkpoint(uint64 number,bytes32 prevDigest,uint64 height,bytes32 blockHash,bytes32 stateRoot,bytes32 withdrawalRoot,uint64 withdrawalCount,uint64 depositNonce,bytes32 depositAcc,uint64 epoch,bytes32 nextValset)"
    );
    /// Half of secp256k1's order: a signature with a greater s has a malleable counterpart.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    /// Bytes of one packed validator: address (20), power (8).
    uint256 private constant ENTRY = 28;
    /// Bytes of one signature: r (32), s (32), v (1).
    uint256 private constant SIGNATURE = 65;
    /// One word has a bit for each signer.
    uint256 private constant MAX_VALIDATORS = 256;

    /// @notice Hash of the sidechain's genesis block; the domain's salt.
    bytes32 public immutable genesisHash;
    /// @notice The vault whose deposits the sidechain mints.
    IDepositHistory public immutable vault;

    /// @notice The latest accepted checkpoint.
    Latest public latest;
    /// @notice Its digest; zero before the first one.
    bytes32 public latestDigest;
    /// @notice keccak256 of the packed validator set of each known epoch.
    mapping(uint64 epoch => bytes32 commitment) public validatorSetOf;
    /// @notice Every accepted checkpoint's withdrawal root, by number; a zero root means unknown.
    mapping(uint64 number => Accepted) public accepted;
    /// @notice Accumulators proven by `link`; zero for all others.
    mapping(uint64 nonce => bytes32 acc) public linkedAcc;

    /// @param genesisHash_ hash of the sidechain's genesis block
    /// @param validators the first set: address (20) ++ power (8) each, by descending power, then ascending address
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
    /// @param signatures r (32) ++ s (32) ++ v (1) of each signer, in order; those after the quorum are ignored
    /// @param laterDeposits leaves of the deposits after the checkpoint's last one, up to a deposit that the vault still
    /// stores or that is linked; empty unless the checkpoint is very old
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
        // The new set may follow the old one; after its first checkpoint the old one is refused.
        if (c.epoch != last.epoch && c.epoch != last.epoch + 1) revert UnknownEpoch(c.epoch);

        digest = checkpointDigest(c);
        requireQuorum(digest, c.epoch, validators, signers, signatures);
        requireDepositHistory(c.depositNonce, c.depositAcc, laterDeposits);

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

    /// @notice Proves the accumulator after deposit `nonce` by the later deposits, up to a known one. For checkpoints with
    /// more later deposits than one transaction can hold: parts are linked from the latest one backwards, so a history of
    /// any length can be proven. Anyone may call.
    function link(uint64 nonce, bytes32 acc, bytes32[] calldata laterDeposits) external {
        requireDepositHistory(nonce, acc, laterDeposits);
        linkedAcc[nonce] = acc;
        emit DepositHistoryLinked(nonce, acc);
    }

    /// @notice EIP-712 digest that validators sign; also the checkpoint's identity.
    function checkpointDigest(Checkpoint calldata c) public view returns (bytes32) {
        return keccak256(
            abi.encodePacked(hex"1901", domainSeparator(), keccak256(abi.encode(CHECKPOINT_TYPEHASH, c)))
        );
    }

    /// @notice EIP-712 domain separator with the current chain id: a fork of the parent with another id has another domain.
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

        // At most 256 members with 64-bit powers and 65 bytes each, so nothing here can overflow.
        unchecked {
            uint256 power = 0;
            uint256 offset = 0;
            for (uint256 i = 0; signers != 0 && i < count; ++i) {
                bool signed = signers & 1 != 0;
                signers >>= 1;
                if (!signed) continue;
                uint256 member = entry(validators, i * ENTRY);
                if (recover(digest, signatures, offset) != member >> 64) revert InvalidSignature(i);
                offset += SIGNATURE;
                power += uint64(member);
                if (power * 3 > total * 2) return;
            }
            revert NoQuorum(power, total);
        }
    }

    /// @dev The signer of the signature at `offset`; zero on failure. A validator is never the zero address.
    function recover(bytes32 digest, bytes calldata signatures, uint256 offset) private pure returns (uint256) {
        if (signatures.length < offset + SIGNATURE) return 0;
        bytes32 r;
        uint256 s;
        uint8 v;
        assembly ("memory-safe") {
            let start := add(signatures.offset, offset)
            r := calldataload(start)
            s := calldataload(add(start, 32))
            v := byte(0, calldataload(add(start, 64)))
        }
        if (s > HALF_ORDER || (v != 27 && v != 28)) return 0;
        return uint160(ecrecover(digest, v, r, bytes32(s)));
    }

    /// @dev The two-way commitment: a checkpoint with deposits that never happened is refused, whoever signed it. The
    /// accumulator at a later nonce fixes every earlier one; before the first deposit it is zero.
    function requireDepositHistory(uint64 nonce, bytes32 acc, bytes32[] calldata laterDeposits) private view {
        for (uint256 i = 0; i < laterDeposits.length; ++i) {
            acc = keccak256(abi.encode(acc, laterDeposits[i]));
        }
        nonce += uint64(laterDeposits.length);
        bytes32 actual = 0;
        if (nonce != 0) {
            try vault.depositAccAt(nonce) returns (bytes32 known) {
                actual = known;
            } catch {
                // For any failure of the vault, including lack of gas, only a linked accumulator counts.
                actual = linkedAcc[nonce];
                if (actual == 0) revert UnknownDepositHistory(nonce);
            }
        }
        if (actual != acc) revert DepositHistoryMismatch(nonce, actual, acc);
    }

    function commitNextSet(uint64 epoch, bytes32 commitment) private {
        bytes32 known = validatorSetOf[epoch];
        if (known == commitment) return;
        if (known != 0) revert ConflictingNextSet(known, commitment);
        validatorSetOf[epoch] = commitment;
        emit ValidatorSetCommitted(epoch, commitment);
    }

    /// @dev Checks a packed set (not empty, not too large, strictly ordered, no zero address, no zero power) and sums its
    /// power. The commitment to the entries is also the commitment to the total.
    function totalPower(bytes memory validators) private pure returns (uint256 total) {
        uint256 count = validators.length / ENTRY;
        if (count == 0 || count > MAX_VALIDATORS || validators.length % ENTRY != 0) revert InvalidValidatorSet();
        uint256 previous = type(uint256).max;
        // At most 256 powers of 64 bits.
        unchecked {
            for (uint256 offset = 0; offset < count * ENTRY; offset += ENTRY) {
                uint256 member = entry(validators, offset);
                uint256 validator = member >> 64;
                uint256 power = uint64(member);
                // Descending power, then ascending address.
                uint256 rank = (power << 160) + (type(uint160).max - validator);
                if (validator == 0 || power == 0 || rank >= previous) revert InvalidValidatorSet();
                previous = rank;
                total += power;
            }
        }
    }

    /// @dev Address << 64 | power. `offset` must be the start of an entry; bytes read after the entry are shifted out.
    function entry(bytes memory validators, uint256 offset) private pure returns (uint256 member) {
        assembly ("memory-safe") {
            member := shr(32, mload(add(add(validators, 32), offset)))
        }
    }
}
