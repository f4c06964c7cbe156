//! The stored data: each schema is a column family with the type of its key and of its value. Only
//! [`crate::engine`] sees bytes.

use crate::codec::{HeaderRow, Key, NodeKey, SlotKey, TransactionPlace, Value, borsh_values};
use crate::logs::LogKey;
use crate::offences::MemberRow;
use crate::peg::{CheckpointRow, DepositRecord, WithdrawalRecord};
use crate::tables::Family;
use alloy_primitives::{Address, B256, Bytes, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::{CommitCertificate, Evidence};
use causeway_execution::{Account, Receipt};

/// Version of the schemas below. Every change of a family, a key or a value increases it.
pub(crate) const SCHEMA_VERSION: u32 = 2;

/// A column family with the types of its keys and values.
pub(crate) trait Schema {
    const FAMILY: Family;
    type Key: Key;
    type Value: Value;
}

/// A part of the state with its latest values in one family and earlier values in another, so that the state of any kept
/// block can be read: see [`crate::view`].
pub(crate) trait Versioned: Schema {
    const HISTORY: Family;
    /// For error messages.
    const WHAT: &'static str;
}

macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident: $family:ident, $key:ty => $value:ty;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;
        impl Schema for $name {
            const FAMILY: Family = Family::$family;
            type Key = $key;
            type Value = $value;
        }
    )+};
}

schemas! {
    /// The chain to which the data belongs.
    IdentityTable: Meta, Only<0> => Identity;
    /// Number of the head.
    HeadTable: Meta, Only<1> => u64;
    /// The oldest block whose state can be read.
    HorizonTable: Meta, Only<2> => u64;
    /// By block number.
    HeadersTable: Headers, u64 => HeaderRow;
    /// By block number: the consensus body.
    BodiesTable: Bodies, u64 => Bytes;
    /// By block number.
    ReceiptsTable: Receipts, u64 => Vec<Receipt>;
    /// By block number: the sender of each transaction.
    SendersTable: Senders, u64 => Vec<Address>;
    /// By block number; none for genesis.
    CertificatesTable: Certificates, u64 => CommitCertificate;
    /// By block hash.
    NumbersTable: NumberByHash, B256 => u64;
    /// By transaction hash.
    TransactionsTable: Transactions, B256 => TransactionPlace;
    /// The latest state's accounts.
    AccountsTable: Accounts, Address => Account;
    /// The latest state's non-zero slots.
    SlotsTable: Slots, SlotKey => U256;
    /// The latest state's trie nodes.
    NodesTable: Nodes, NodeKey => Bytes;
    /// Code by its hash; never removed.
    CodeTable: Code, B256 => Bytes;
    /// Blocks that contain logs of an address or with a topic.
    LogsTable: Logs, LogKey => ();
    /// By index.
    WithdrawalsTable: Withdrawals, u64 => WithdrawalRecord;
    /// By nonce.
    DepositsTable: Deposits, u64 => DepositRecord;
    /// By number: the place of its certificate.
    CheckpointsTable: Checkpoints, u64 => CheckpointRow;
    /// By its hash: evidence that no block carries yet.
    EvidenceTable: Evidence, B256 => Evidence;
    /// By validator id: the keys of current and former validators.
    MembersTable: Members, Address => MemberRow;
}

impl Versioned for AccountsTable {
    const HISTORY: Family = Family::AccountHistory;
    const WHAT: &'static str = "an account";
}

impl Versioned for SlotsTable {
    const HISTORY: Family = Family::SlotHistory;
    const WHAT: &'static str = "a storage slot";
}

impl Versioned for NodesTable {
    const HISTORY: Family = Family::NodeHistory;
    const WHAT: &'static str = "a trie node";
}

/// The key of a row that exists once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Only<const ROW: u8>;

impl<const ROW: u8> Key for Only<ROW> {
    fn encode(&self) -> Vec<u8> {
        vec![ROW]
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes == [ROW]).then_some(Self)
    }
}

/// The chain and version of a directory's data. The version comes first, so that every version of this software can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Identity {
    pub(crate) schema_version: u32,
    pub(crate) chain_id: u64,
    pub(crate) genesis: B256,
}

borsh_values!(Identity, WithdrawalRecord, DepositRecord, CheckpointRow, Evidence, MemberRow);
