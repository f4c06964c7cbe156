//! Everything Solidity knows of the peg on the sidechain: the four structs both chains speak of, and the
//! native module's interface, which wallets, contracts and the proposer call at the peg's address.
//!
//! Field names and order are part of the EIP-712 type strings; changing one changes every digest.

use crate::{
    certificate::CertificateSig,
    signature::{Signature65, SignatureError},
};
use alloy_sol_types::sol;

sol! {
    /// What the validators tell the parent about the sidechain at one height.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct Checkpoint {
        /// height / checkpoint interval; the first is 1.
        uint64 number;
        /// EIP-712 digest of checkpoint `number - 1`; zero for the first.
        bytes32 prevDigest;
        /// Sidechain block height.
        uint64 height;
        /// Hash of that block.
        bytes32 blockHash;
        /// State root of that block.
        bytes32 stateRoot;
        /// Root of the withdrawal tree after that block.
        bytes32 withdrawalRoot;
        /// Leaves in that tree.
        uint64 withdrawalCount;
        /// Deposits minted so far: the nonce of the last one.
        uint64 depositNonce;
        /// The vault's accumulator after that deposit.
        bytes32 depositAcc;
        /// Epoch of the peg validator set that signs.
        uint64 epoch;
        /// Commitment of the next epoch's set, zero when it does not change.
        bytes32 nextValset;
    }

    /// One burned amount, payable once on the parent.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct Withdrawal {
        /// Position in the withdrawal tree, from 0: the nullifier.
        uint64 index;
        /// Asset on the parent; zero is the native coin.
        address token;
        /// Who burned it on the sidechain.
        address sender;
        /// Who is paid on the parent.
        address recipient;
        /// Burned amount in the token's smallest unit, the relayer's fee included.
        uint256 amount;
        /// Part of `amount` paid to whoever submits the claim.
        uint256 relayerFee;
    }

    /// What a validator saw in the parent's finalised chain at a canonical cut point.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct ParentView {
        /// Height of the finalised parent block that holds the last deposit covered.
        uint64 parentHeight;
        /// Hash of that block.
        bytes32 parentHash;
        /// Nonce of the last deposit covered.
        uint64 depositNonce;
        /// The vault's accumulator after that deposit.
        bytes32 depositAcc;
    }

    /// One deposit, field by field as the vault's event has it.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct Deposit {
        /// Gapless, from 1.
        uint64 nonce;
        /// Asset on the parent; zero is the native coin.
        address token;
        /// Who locked it on the parent.
        address sender;
        /// Who is credited on the sidechain.
        address recipient;
        /// Amount received by the vault, in the token's smallest unit.
        uint256 amount;
    }

    /// One signature of a certificate, fixed-width.
    #[derive(Debug, PartialEq, Eq)]
    struct SignatureAbi {
        /// Address of the signer's peg key.
        address signer;
        /// ECDSA r.
        bytes32 r;
        /// ECDSA s, lower half.
        bytes32 s;
        /// 27 or 28.
        uint8 v;
    }

    /// The peg's native module.
    #[derive(Debug, PartialEq, Eq)]
    interface IPeg {
        /// Burns the value sent and records a withdrawal of it, payable to `recipient` on the parent;
        /// `relayerFee` of it goes to whoever submits the claim.
        function withdraw(address recipient, uint256 relayerFee) external payable returns (uint64 index);
        /// Mints certified deposits. From the system address only, at the head of a block.
        function importDeposits(ParentView view_, SignatureAbi[] signatures, Deposit[] deposits) external;
        /// Records that a checkpoint is certified. From the system address only, at the head of a block.
        function recordCheckpoint(uint64 number, SignatureAbi[] signatures) external;

        /// Chain id of the parent.
        function parentChainId() external view returns (uint64);
        /// `PegVault` on the parent.
        function vault() external view returns (address);
        /// `CheckpointRegistry` on the parent.
        function registry() external view returns (address);
        /// Blocks between checkpoints.
        function checkpointInterval() external view returns (uint64);
        /// Pegged coin in existence, wei.
        function supply() external view returns (uint256);
        /// Nonce of the last deposit minted.
        function depositNonce() external view returns (uint64);
        /// Accumulator after that deposit.
        function depositAcc() external view returns (bytes32);
        /// Parent height of the last imported view.
        function lastParentHeight() external view returns (uint64);
        /// Withdrawals so far.
        function withdrawalCount() external view returns (uint64);
        /// Root of the withdrawal tree.
        function withdrawalRoot() external view returns (bytes32);
        /// Number of the latest checkpoint built.
        function latestCheckpoint() external view returns (uint64);
        /// Number of the latest checkpoint whose certificate a block carries.
        function recordedCheckpoint() external view returns (uint64);
        /// A checkpoint by number, with its digest.
        function checkpoint(uint64 number) external view returns (Checkpoint memory checkpoint_, bytes32 digest);

        /// A deposit was minted.
        event DepositMinted(uint64 indexed nonce, address indexed token, address sender, address indexed recipient, uint256 amount);
        /// A withdrawal joined the tree.
        event WithdrawalRequested(uint64 indexed index, address token, address indexed sender, address indexed recipient, uint256 amount, uint256 relayerFee);
        /// A certificate of deposits was imported; the accumulator is now this.
        event DepositsImported(uint64 parentHeight, bytes32 parentHash, uint64 depositNonce, bytes32 depositAcc);
        /// A checkpoint's certificate is in this block.
        event CheckpointRecorded(uint64 indexed number, bytes32 digest);

        /// Nothing was sent to withdraw.
        error ZeroAmount();
        /// Nobody could claim it, or the payment could never succeed.
        error InvalidRecipient(address recipient);
        /// The fee is larger than the amount it is taken from.
        error FeeExceedsAmount(uint256 relayerFee, uint256 amount);
        /// The withdrawal tree is full.
        error TreeFull();
        /// More is burned than was ever minted.
        error SupplyUnderflow(uint256 supply, uint256 amount);
        /// More is minted than a word can count.
        error SupplyOverflow();
        /// A certificate for no deposits.
        error NoDeposits();
        /// More deposits than one import may carry.
        error TooManyDeposits(uint256 count);
        /// Deposits are minted in order, without gaps.
        error UnexpectedNonce(uint64 expected, uint64 got);
        /// An asset this chain does not mint.
        error UnsupportedToken(address token);
        /// The deposits do not lead to the certified accumulator.
        error AccumulatorMismatch(bytes32 computed, bytes32 certified);
        /// A view older than the last imported one, or another block at its height.
        error StaleParentView(uint64 last, uint64 got);
        /// No checkpoint of that number was built.
        error UnknownCheckpoint(uint64 number);
        /// A checkpoint with this number or a greater one is recorded already.
        error CheckpointNotNewer(uint64 recorded, uint64 number);
        /// The certificate does not verify.
        error InvalidCertificate();
        /// Only the system address may call this.
        error OnlySystem();
        /// The function takes no value.
        error NotPayable();
        /// No such function, or its arguments do not decode.
        error InvalidCall();
        /// This chain has no peg.
        error NotPegged();
    }
}

impl From<&CertificateSig> for SignatureAbi {
    fn from(signature: &CertificateSig) -> Self {
        Self {
            signer: signature.signer,
            r: signature.signature.r().into(),
            s: signature.signature.s().into(),
            v: signature.signature.v(),
        }
    }
}

impl TryFrom<&SignatureAbi> for CertificateSig {
    type Error = SignatureError;

    fn try_from(signature: &SignatureAbi) -> Result<Self, SignatureError> {
        Ok(Self {
            signer: signature.signer,
            signature: Signature65::from_parts(signature.r, signature.s, signature.v)?,
        })
    }
}
