//! The Solidity view of the peg on the sidechain: the structs that both chains use, and the interface of the native module,
//! which wallets, contracts and the proposer call at the peg's address.
//!
//! Field names and order are part of the EIP-712 type strings; changing one changes every digest.

use crate::{
    certificate::CertificateSig,
    signature::{Signature65, SignatureError},
    validators::PegValidator,
};
use alloy_sol_types::sol;

sol! {
    /// The validators' statement to the parent about the sidechain at one height.
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
        /// Commitment of the next epoch's set; never zero on a pegged chain. A contract that accepts the checkpoint learns
        /// from it which set signs after this epoch.
        bytes32 nextValset;
    }

    /// One burned amount, payable once on the parent.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct Withdrawal {
        /// Position in the withdrawal tree, from 0: the nullifier.
        uint64 index;
        /// Asset on the parent; zero is the native coin.
        address token;
        /// The account that burned it on the sidechain.
        address sender;
        /// The account that is paid on the parent.
        address recipient;
        /// Burned amount in the token's smallest unit, including the relayer's fee.
        uint256 amount;
        /// Part of `amount` that is paid to the submitter of the claim.
        uint256 relayerFee;
    }

    /// A validator's observation of the parent's finalised chain at a canonical cut point.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct ParentView {
        /// Height of the finalised parent block that contains the last covered deposit.
        uint64 parentHeight;
        /// Hash of that block.
        bytes32 parentHash;
        /// Nonce of the last deposit covered.
        uint64 depositNonce;
        /// The vault's accumulator after that deposit.
        bytes32 depositAcc;
    }

    /// A validator's observation of the parent: the registry has the set of this epoch in force. The registry has accepted a
    /// checkpoint signed by that set, so it accepts no earlier set any more.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct SetAcknowledged {
        /// The epoch.
        uint64 epoch;
        /// The registry's commitment to its set.
        bytes32 commitment;
    }

    /// One deposit, with the fields of the vault's event.
    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct Deposit {
        /// Starts at 1, without gaps.
        uint64 nonce;
        /// Asset on the parent; zero is the native coin.
        address token;
        /// The account that locked it on the parent.
        address sender;
        /// The account that is credited on the sidechain.
        address recipient;
        /// The amount that the vault received, in the token's smallest unit.
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
        /// ECDSA s, in the lower half of the curve's order.
        bytes32 s;
        /// 27 or 28.
        uint8 v;
    }

    /// The peg's native module.
    #[derive(Debug, PartialEq, Eq)]
    interface IPeg {
        /// Burns the value sent and records a withdrawal of it, payable to `recipient` on the parent.
        /// `relayerFee` is the part of it that is paid to the submitter of the claim.
        function withdraw(address recipient, uint256 relayerFee) external payable returns (uint64 index);
        /// Mints certified deposits. Only the system address may call it, at the start of a block.
        function importDeposits(ParentView view_, SignatureAbi[] signatures, Deposit[] deposits) external;
        /// Records that a checkpoint is certified. Only the system address may call it, at the start of a block.
        function recordCheckpoint(uint64 number, SignatureAbi[] signatures) external;
        /// Records that the parent has the set of an epoch in force. Only the system address may call it, at the start of a block.
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
        /// Latest epoch for which a certificate shows that its set is in force on the parent.
        function ackedEpoch() external view returns (uint64);
        /// The validator set of a past epoch, the current or the next one, in committed order, and its commitment.
        function validatorSet(uint64 epoch_) external view returns (PegMember[] memory validators, bytes32 commitment);
        /// The first checkpoint recorded in an epoch, which hands over to the next epoch's set, and the block that carries
        /// its certificate; both zero when none is recorded yet.
        function handover(uint64 epoch_) external view returns (uint64 checkpoint_, uint64 block_);

        /// A deposit was minted.
        event DepositMinted(uint64 indexed nonce, address indexed token, address sender, address indexed recipient, uint256 amount);
        /// A withdrawal was added to the tree.
        event WithdrawalRequested(uint64 indexed index, address token, address indexed sender, address indexed recipient, uint256 amount, uint256 relayerFee);
        /// A certificate of deposits was imported; the event holds the new accumulator.
        event DepositsImported(uint64 parentHeight, bytes32 parentHash, uint64 depositNonce, bytes32 depositAcc);
        /// This block carries the certificate of a checkpoint.
        event CheckpointRecorded(uint64 indexed number, bytes32 digest);
        /// A certificate shows that the parent has the set of this epoch in force.
        event ValidatorSetAcknowledged(uint64 indexed epoch, bytes32 commitment);

        /// The withdrawal's value is zero.
        error ZeroAmount();
        /// The recipient is the zero address or a contract of the peg, to which a payment could never succeed.
        error InvalidRecipient(address recipient);
        /// The fee is larger than the amount from which it is taken.
        error FeeExceedsAmount(uint256 relayerFee, uint256 amount);
        /// The withdrawal tree is full.
        error TreeFull();
        /// The burn exceeds the supply.
        error SupplyUnderflow(uint256 supply, uint256 amount);
        /// The supply would exceed 256 bits.
        error SupplyOverflow();
        /// The certificate covers no new deposits.
        error NoDeposits();
        /// The import has more deposits than the limit.
        error TooManyDeposits(uint256 count);
        /// A nonce is out of order: deposits are minted in order, without gaps.
        error UnexpectedNonce(uint64 expected, uint64 got);
        /// The sidechain does not mint this asset.
        error UnsupportedToken(address token);
        /// The accumulator over the deposits differs from the certified one.
        error AccumulatorMismatch(bytes32 computed, bytes32 certified);
        /// The view is older than the last imported one, or names another block at the same height.
        error StaleParentView(uint64 last, uint64 got);
        /// No checkpoint with this number was built.
        error UnknownCheckpoint(uint64 number);
        /// This checkpoint or a later one is already recorded.
        error CheckpointNotNewer(uint64 recorded, uint64 number);
        /// The checkpoint is not of the current epoch.
        error StaleEpoch(uint64 current, uint64 epoch);
        /// The announced set is not for the next epoch.
        error NotNextEpoch(uint64 expected, uint64 got);
        /// A checkpoint names the set of this epoch, so the set cannot change any more.
        error NextSetFixed(uint64 epoch);
        /// No certificate of this epoch names the next set yet.
        error HandoverNotReady(uint64 epoch);
        /// The epoch has not begun, or has no set.
        error UnknownEpoch(uint64 current, uint64 epoch);
        /// This epoch or a later one is already acknowledged.
        error EpochNotNewer(uint64 acked, uint64 epoch);
        /// The certificate does not verify.
        error InvalidCertificate();
        /// Only the system address may call this.
        error OnlySystem();
        /// The function takes no value.
        error NotPayable();
        /// The function does not exist, or its arguments do not decode.
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
