//! The frauds that a world may commit.

/// A fraud by the validators, done consistently: every hash, root and signature is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fraud {
    /// The event of this mint credits one wei more.
    MintAmount(u64),
    /// The event of this mint credits another account.
    MintRecipient(u64),
    /// This block creates one wei without a deposit.
    Inflate(u64),
    /// The checkpoint of this number is signed with another withdrawal root and accepted by the parent.
    WithdrawalRoot(u64),
    /// The checkpoint of this number is signed by three of four validators, the third twice.
    RepeatedSigner(u64),
    /// The vault pays this withdrawal twice.
    PaidTwice(u64),
    /// The vault pays this withdrawal one wei too much.
    Overpaid(u64),
    /// The handover certificate of this epoch is signed by the set of the next epoch.
    ForgedHandover(u64),
    /// The set after this epoch takes over without a certificate by this epoch's set.
    NoHandover(u64),
    /// The import in this block is certified by the set of the previous epoch.
    StaleImport(u64),
    /// Block 22 records the certificate of an earlier epoch's checkpoint, the fourth.
    StaleRecord,
    /// Block 27 acknowledges a set that is not in force on the parent.
    EarlyAcknowledgement,
    /// Block 27 acknowledges with the signatures of an earlier set.
    StaleAcknowledgement,
    /// The staking module records that epoch 3 began one checkpoint later.
    OtherStart,
    /// The checkpoint of this number is signed with another next set and accepted by the parent.
    NextSet(u64),
    /// This block has the gas limit of the rules before its own.
    OldRules(u64),
}
