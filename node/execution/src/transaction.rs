//! Transactions: Ethereum's envelopes, our unsigned system transaction, and sender recovery.

use std::sync::Arc;

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::{
    Typed2718,
    eip2718::{Decodable2718, Eip2718Error, Eip2718Result, Encodable2718},
};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{BufMut, Decodable, Encodable, Header as RlpHeader};
use rayon::prelude::*;
use thiserror::Error;

/// EIP-2718 type of [`SystemTx`].
pub const SYSTEM_TX_TYPE: u8 = 0x7c;

/// Most bytes of one user transaction in EIP-2718 form that is decoded or carried at all (geth's pool limit as well). The rules of
/// a height may allow less, and never more.
pub const MAX_TRANSACTION_BYTES: usize = 128 * 1024;
const _: () = assert!(MAX_TRANSACTION_BYTES as u64 >= causeway_genesis::rules::MAX_TRANSACTION_BYTES);

const EIP4844_TX_TYPE: u8 = 0x03;

/// Why bytes are not a transaction this chain accepts. The sender of the bytes is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// Longer than [`MAX_TRANSACTION_BYTES`].
    #[error("oversized data: transaction size {0}, limit {MAX_TRANSACTION_BYTES}")]
    TooLarge(usize),
    /// Not an EIP-2718 transaction, or bytes are left over, or the encoding is not canonical.
    #[error("rlp: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// An EIP-2718 type this chain does not have, among them blob transactions (type 3).
    #[error("transaction type not supported: {0:#04x}")]
    UnsupportedType(u8),
    /// System transactions are only ever placed by a proposer.
    #[error("transaction type not supported: system transactions cannot be sent")]
    SystemTransaction,
    /// No sender can be recovered; high `s` values are refused (EIP-2).
    #[error("invalid sender")]
    InvalidSignature,
}

impl From<Eip2718Error> for TransactionError {
    fn from(error: Eip2718Error) -> Self {
        match error {
            Eip2718Error::RlpError(error) => Self::Rlp(error),
            Eip2718Error::UnexpectedType(ty) => Self::UnsupportedType(ty),
            _ => Self::Rlp(alloy_rlp::Error::Custom("not an EIP-2718 transaction")),
        }
    }
}

/// A transaction without signature that only a proposer places, at the head of a block. Sent from the system address
/// to a native module. `block_number` and `index` make its hash unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SystemTx {
    /// Height of the block that carries it.
    pub block_number: u64,
    /// Its position in the block, from 0.
    pub index: u32,
    /// The native module called.
    pub to: Address,
    /// Gas the call may use; counts against the block's gas limit, nobody pays for it.
    pub gas_limit: u64,
    /// ABI-encoded call.
    pub input: Bytes,
}

impl SystemTx {
    fn fields_len(&self) -> usize {
        self.block_number.length()
            + self.index.length()
            + self.to.length()
            + self.gas_limit.length()
            + self.input.length()
    }

    fn rlp_header(&self) -> RlpHeader {
        RlpHeader { list: true, payload_length: self.fields_len() }
    }

    fn rlp_encode(&self, out: &mut dyn BufMut) {
        self.rlp_header().encode(out);
        self.block_number.encode(out);
        self.index.encode(out);
        self.to.encode(out);
        self.gas_limit.encode(out);
        self.input.encode(out);
    }

    fn rlp_decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut payload = RlpHeader::decode_bytes(buf, true)?;
        let tx = Self {
            block_number: Decodable::decode(&mut payload)?,
            index: Decodable::decode(&mut payload)?,
            to: Decodable::decode(&mut payload)?,
            gas_limit: Decodable::decode(&mut payload)?,
            input: Decodable::decode(&mut payload)?,
        };
        if !payload.is_empty() {
            return Err(alloy_rlp::Error::ListLengthMismatch {
                expected: tx.fields_len(),
                got: tx.fields_len() + payload.len(),
            });
        }
        Ok(tx)
    }
}

/// A transaction as blocks carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every transaction is of the large variant; a box each would cost more"
)]
pub enum Transaction {
    /// Signed by a user: legacy, EIP-2930, EIP-1559 or EIP-7702. Never a blob transaction.
    Ethereum(TxEnvelope),
    /// Placed by the proposer.
    System(SystemTx),
}

impl Transaction {
    /// Keccak-256 of the EIP-2718 encoding. Cached for Ethereum transactions, computed for system transactions.
    pub fn hash(&self) -> B256 {
        match self {
            Self::Ethereum(tx) => *tx.tx_hash(),
            Self::System(_) => keccak256(self.encoded_2718()),
        }
    }

    /// The signed envelope, unless this is a system transaction.
    pub const fn as_ethereum(&self) -> Option<&TxEnvelope> {
        match self {
            Self::Ethereum(tx) => Some(tx),
            Self::System(_) => None,
        }
    }

    /// The system transaction, unless this is a user's.
    pub const fn as_system(&self) -> Option<&SystemTx> {
        match self {
            Self::Ethereum(_) => None,
            Self::System(tx) => Some(tx),
        }
    }

    /// Gas limit of the transaction.
    pub fn gas_limit(&self) -> u64 {
        match self {
            Self::Ethereum(tx) => tx.gas_limit(),
            Self::System(tx) => tx.gas_limit,
        }
    }

    /// Decodes exactly one EIP-2718 transaction of either kind from `bytes`.
    ///
    /// # Errors
    /// [`TransactionError`] for anything but the canonical encoding of a supported transaction, with nothing after it.
    pub fn decode_exact(bytes: &[u8]) -> Result<Self, TransactionError> {
        let mut rest = bytes;
        let tx = Self::decode_2718(&mut rest)?;
        if !rest.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        Ok(tx)
    }
}

impl Typed2718 for Transaction {
    fn ty(&self) -> u8 {
        match self {
            Self::Ethereum(tx) => tx.ty(),
            Self::System(_) => SYSTEM_TX_TYPE,
        }
    }
}

impl Encodable2718 for Transaction {
    fn encode_2718_len(&self) -> usize {
        match self {
            Self::Ethereum(tx) => tx.encode_2718_len(),
            Self::System(tx) => 1 + tx.rlp_header().length_with_payload(),
        }
    }

    fn encode_2718(&self, out: &mut dyn BufMut) {
        match self {
            Self::Ethereum(tx) => tx.encode_2718(out),
            Self::System(tx) => {
                out.put_u8(SYSTEM_TX_TYPE);
                tx.rlp_encode(out);
            }
        }
    }
}

impl Decodable2718 for Transaction {
    fn typed_decode(ty: u8, buf: &mut &[u8]) -> Eip2718Result<Self> {
        match ty {
            SYSTEM_TX_TYPE => Ok(Self::System(SystemTx::rlp_decode(buf)?)),
            EIP4844_TX_TYPE => Err(Eip2718Error::UnexpectedType(ty)),
            _ => TxEnvelope::typed_decode(ty, buf).map(Self::Ethereum),
        }
    }

    fn fallback_decode(buf: &mut &[u8]) -> Eip2718Result<Self> {
        TxEnvelope::fallback_decode(buf).map(Self::Ethereum)
    }
}

impl Encodable for Transaction {
    fn encode(&self, out: &mut dyn BufMut) {
        self.network_encode(out);
    }

    fn length(&self) -> usize {
        self.network_len()
    }
}

impl Decodable for Transaction {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Self::network_decode(buf).map_err(|error| match error {
            Eip2718Error::RlpError(error) => error,
            _ => alloy_rlp::Error::Custom("transaction type not supported"),
        })
    }
}

/// A user's transaction whose sender is known. Recovered once, at admission, and shared from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredTx {
    /// The signed transaction, never a blob transaction.
    pub tx: TxEnvelope,
    /// Keccak-256 of the EIP-2718 encoding.
    pub hash: B256,
    /// Who signed it.
    pub sender: Address,
    /// Bytes of the EIP-2718 encoding.
    pub size: usize,
}

impl RecoveredTx {
    /// Recovers the sender of `tx` (about 45 us).
    ///
    /// # Errors
    /// [`TransactionError::InvalidSignature`], [`TransactionError::UnsupportedType`] for blob transactions and
    /// [`TransactionError::TooLarge`].
    pub fn recover(tx: TxEnvelope) -> Result<Self, TransactionError> {
        if tx.is_eip4844() {
            return Err(TransactionError::UnsupportedType(EIP4844_TX_TYPE));
        }
        let size = tx.encode_2718_len();
        if size > MAX_TRANSACTION_BYTES {
            return Err(TransactionError::TooLarge(size));
        }
        let sender = tx.recover_signer().map_err(|_| TransactionError::InvalidSignature)?;
        Ok(Self { hash: *tx.tx_hash(), sender, size, tx })
    }

    /// Decodes exactly one user transaction and recovers its sender.
    ///
    /// # Errors
    /// [`TransactionError`]; the sender of the bytes is at fault.
    pub fn decode_2718_and_recover(bytes: &[u8]) -> Result<Self, TransactionError> {
        if bytes.len() > MAX_TRANSACTION_BYTES {
            return Err(TransactionError::TooLarge(bytes.len()));
        }
        match Transaction::decode_exact(bytes)? {
            Transaction::Ethereum(tx) => Self::recover(tx),
            Transaction::System(_) => Err(TransactionError::SystemTransaction),
        }
    }

    /// The EIP-2718 encoding.
    pub fn encoded(&self) -> Bytes {
        self.tx.encoded_2718().into()
    }
}

/// Recovers the senders of `transactions` on all cores, in order.
pub fn recover_all(transactions: Vec<TxEnvelope>) -> Vec<Result<Arc<RecoveredTx>, TransactionError>> {
    transactions.into_par_iter().with_min_len(8).map(|tx| RecoveredTx::recover(tx).map(Arc::new)).collect()
}
