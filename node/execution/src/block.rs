//! Blocks and their canonical encodings.
//!
//! Two encodings exist: Ethereum's RLP block (for tools), and the consensus body, borsh of that RLP and the parent's
//! commit certificate. Both decode only from the bytes they encode to.

use alloy_consensus::Header;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable, Header as RlpHeader};
use alloy_trie::root::ordered_trie_root_with_encoder;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::CommitCertificate;
use thiserror::Error;

use crate::transaction::Transaction;

/// Most bytes of an encoded block, certificate included, that is decoded at all: what consensus carries. The rules of a height may
/// allow less, and never more.
pub const MAX_BLOCK_BYTES: usize = causeway_consensus::MAX_BLOCK_BYTES;

/// Empty RLP list: the ommers and the withdrawals of every block.
const EMPTY_LIST: u8 = 0xc0;

/// Why bytes are not a block. Whoever sent them is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Longer than [`MAX_BLOCK_BYTES`].
    #[error("block of {0} bytes, limit {MAX_BLOCK_BYTES}")]
    TooLarge(usize),
    /// The envelope is not borsh of a block and an optional certificate.
    #[error("block envelope: {0}")]
    Envelope(String),
    /// The block is not Ethereum's RLP.
    #[error("block rlp: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// The bytes decode but are not the ones this block encodes to.
    #[error("block encoding is not canonical")]
    NotCanonical,
}

/// A block: header, transactions, and the certificate that decided its parent (none in blocks 0 and 1).
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Ethereum header; its hash is the block's hash and consensus value.
    pub header: Header,
    /// System transactions first, then users'.
    pub transactions: Vec<Transaction>,
    /// Commit certificate of the parent; its hash is `header.parent_beacon_block_root`.
    pub parent_certificate: Option<CommitCertificate>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Envelope {
    rlp: Vec<u8>,
    parent_certificate: Option<CommitCertificate>,
}

impl Block {
    /// Keccak-256 of the RLP header.
    pub fn hash(&self) -> B256 {
        self.header.hash_slow()
    }

    /// Whether transactions and parent certificate are those that the header commits to. Where they are not, the block's hash
    /// says nothing of them: they may be anybody's.
    pub fn is_what_its_header_commits_to(&self) -> bool {
        let certificate = self.parent_certificate.as_ref().map_or(B256::ZERO, CommitCertificate::hash);
        self.header.parent_beacon_block_root == Some(certificate)
            && self.header.transactions_root == transactions_root(&self.transactions)
    }

    /// Ethereum's RLP block: `[header, transactions, ommers = [], withdrawals = []]`.
    pub fn rlp(&self) -> Vec<u8> {
        let list = RlpHeader { list: true, payload_length: self.rlp_payload_length() };
        let mut out = Vec::with_capacity(list.length_with_payload());
        list.encode(&mut out);
        self.header.encode(&mut out);
        self.transactions.encode(&mut out);
        out.extend_from_slice(&[EMPTY_LIST, EMPTY_LIST]);
        out
    }

    fn rlp_payload_length(&self) -> usize {
        self.header.length() + self.transactions.length() + 2
    }

    /// Bytes of [`Self::rlp`], without encoding.
    pub fn size(&self) -> usize {
        RlpHeader { list: true, payload_length: self.rlp_payload_length() }.length_with_payload()
    }

    /// The consensus body.
    pub fn encode(&self) -> Bytes {
        let envelope = Envelope { rlp: self.rlp(), parent_certificate: self.parent_certificate.clone() };
        borsh::to_vec(&envelope).expect("writing to memory does not fail").into()
    }

    /// Decodes a consensus body.
    ///
    /// # Errors
    /// [`DecodeError`] unless `bytes` is exactly what [`Self::encode`] gives for the block returned.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let envelope: Envelope = borsh::from_slice(bytes).map_err(|error| DecodeError::Envelope(error.to_string()))?;
        let (header, transactions) = decode_rlp(&envelope.rlp)?;
        let block = Self { header, transactions, parent_certificate: envelope.parent_certificate };
        // RLP decoders differ in what they tolerate; comparing closes every such gap at once.
        if block.encode().as_ref() != bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(block)
    }
}

/// Root of the transactions trie of a block.
pub fn transactions_root(transactions: &[Transaction]) -> B256 {
    ordered_trie_root_with_encoder(transactions, |tx, out| tx.encode_2718(out))
}

fn decode_rlp(bytes: &[u8]) -> Result<(Header, Vec<Transaction>), DecodeError> {
    let mut rest = bytes;
    let mut payload = RlpHeader::decode_bytes(&mut rest, true)?;
    if !rest.is_empty() {
        return Err(DecodeError::NotCanonical);
    }
    let header = Header::decode(&mut payload)?;
    let transactions = Vec::<Transaction>::decode(&mut payload)?;
    if payload != [EMPTY_LIST, EMPTY_LIST] {
        return Err(DecodeError::NotCanonical);
    }
    Ok((header, transactions))
}
