//! Everything Solidity knows of the peg on the sidechain: the structs both chains speak of, and the
//! native module's interface, which wallets, contracts and the proposer call at the peg's address.
//!
//! Field names and order are part of the EIP-712 type strings; changing one changes every digest.

use crate::{
    certificate::CertificateSig,
    signature::{Signature65, SignatureError},
    validators::PegValidator,
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
        /// Commitment of the next epoch's set, always given on a pegged chain: whoever accepts the checkpoint knows
        /// from then on who signs after this epoch.
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

    /// What a validator saw at the parent: the registry has the set of this epoch in force (it accepted a checkpoint
    /// signed by it, so no earlier set is heard there any more).
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct SetAcknowledged {
        /// The epoch.
        uint64 epoch;
        /// The registry's commitment to its set.
        bytes32 commitment;
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

    /// One member of a validator set.
    #[derive(Debug, PartialEq, Eq)]
    struct PegMember {
        /// Address of its peg key.
        address validator;
        /// Its power.
        uint64 power;
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
        /// Records that the parent has an epoch's set in force. From the system address only, at the head of a block.
        function acknowledgeSet(uint64 epoch, SignatureAbi[] signatures) external;

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
        /// Epoch of the validator set in force.
        function epoch() external view returns (uint64);
        /// Latest epoch whose set the parent is certified to have in force.
        function ackedEpoch() external view returns (uint64);
        /// The validator set of a past epoch, the current or the next one, in committed order, and its commitment.
        function validatorSet(uint64 epoch_) external view returns (PegMember[] memory validators, bytes32 commitment);
        /// The first checkpoint recorded in an epoch, which hands over to the next one's set, and the block that carries
        /// its certificate; zeros while there is none.
        function handover(uint64 epoch_) external view returns (uint64 checkpoint_, uint64 block_);

        /// A deposit was minted.
        event DepositMinted(uint64 indexed nonce, address indexed token, address sender, address indexed recipient, uint256 amount);
        /// A withdrawal joined the tree.
        event WithdrawalRequested(uint64 indexed index, address token, address indexed sender, address indexed recipient, uint256 amount, uint256 relayerFee);
        /// A certificate of deposits was imported; the accumulator is now this.
        event DepositsImported(uint64 parentHeight, bytes32 parentHash, uint64 depositNonce, bytes32 depositAcc);
        /// A checkpoint's certificate is in this block.
        event CheckpointRecorded(uint64 indexed number, bytes32 digest);
        /// The parent is certified to have the set of this epoch in force.
        event ValidatorSetAcknowledged(uint64 indexed epoch, bytes32 commitment);

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
        /// A checkpoint of another epoch than the current one.
        error StaleEpoch(uint64 current, uint64 epoch);
        /// A set announced for another epoch than the next one.
        error NotNextEpoch(uint64 expected, uint64 got);
        /// The set of that epoch is named by a checkpoint and cannot change any more.
        error NextSetFixed(uint64 epoch);
        /// No certificate of that epoch names the next set yet.
        error HandoverNotReady(uint64 epoch);
        /// An epoch that has not begun, or has no set.
        error UnknownEpoch(uint64 current, uint64 epoch);
        /// An epoch that is acknowledged already, or an earlier one.
        error EpochNotNewer(uint64 acked, uint64 epoch);
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

impl From<&PegValidator> for PegMember {
    fn from(member: &PegValidator) -> Self {
        Self { validator: member.address, power: member.power }
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
