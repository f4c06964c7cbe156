//! Sync requests of nodes that catch up, and the answers.

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::CommitCertificate;
use thiserror::Error;

use crate::limits::{MAX_SYNC_BLOCKS, MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES};
use crate::message::DecodeError;

/// A request from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SyncRequest {
    /// The last decided block.
    Status,
    /// Decided blocks from a height upwards.
    Blocks {
        /// First height wanted.
        from: u64,
        /// Most blocks wanted. The answer may have fewer.
        max: u32,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SyncResponse {
    /// The answer to [`SyncRequest::Status`].
    Status {
        /// Height of the last decided block.
        head: u64,
        /// Its hash.
        hash: B256,
    },
    /// The answer to [`SyncRequest::Blocks`]: consecutive bodies from the requested height, with the certificates that
    /// decided them. Empty if the node does not have the block (not yet, or not any more).
    Blocks(Vec<(Bytes, CommitCertificate)>),
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The peer is not connected, or the connection closed meanwhile.
    #[error("the peer is not connected")]
    NotConnected,
    /// No answer within the deadline.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The peer refused to answer.
    #[error("the peer closed the request without an answer")]
    Refused,
    /// The answer could not be decoded. The peer was penalised.
    #[error("the peer's answer is malformed: {0}")]
    Malformed(String),
    /// Too many requests wait already.
    #[error("too many requests in flight")]
    Busy,
}

impl SyncRequest {
    /// The encoding in a frame.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    /// Decodes exactly one request from a frame of at most [`MAX_SYNC_REQUEST_BYTES`].
    ///
    /// # Errors
    /// [`DecodeError`]; the peer that sent the bytes is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, MAX_SYNC_REQUEST_BYTES)
    }
}

fn decode<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { length: bytes.len(), limit });
    }
    borsh::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))
}

impl SyncResponse {
    /// The encoding in a frame.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    /// Decodes exactly one response from a frame of at most [`MAX_SYNC_RESPONSE_BYTES`].
    ///
    /// # Errors
    /// [`DecodeError`]; the peer that sent the bytes is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, MAX_SYNC_RESPONSE_BYTES)
    }

    /// Removes blocks from the end of a list until it fits in a response.
    pub fn fit(mut self) -> Self {
        if let Self::Blocks(blocks) = &mut self {
            blocks.truncate(MAX_SYNC_BLOCKS);
            // The tag of the variant and the count. Each body has its own length.
            let mut size = 1 + 4;
            let fitting = blocks.iter().take_while(|(body, certificate)| {
                size += 4 + body.len() + borsh::object_length(certificate).unwrap_or(MAX_SYNC_RESPONSE_BYTES);
                size <= MAX_SYNC_RESPONSE_BYTES
            });
            let count = fitting.count();
            blocks.truncate(count);
        }
        self
    }

    /// Whether the answer has the requested kind and no more blocks than requested.
    pub fn answers(&self, request: &SyncRequest) -> bool {
        match (self, request) {
            (Self::Status { .. }, SyncRequest::Status) => true,
            (Self::Blocks(blocks), SyncRequest::Blocks { max, .. }) => {
                u32::try_from(blocks.len()).is_ok_and(|count| count <= *max)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_consensus::{Height, Round};
    use proptest::prelude::*;

    use super::*;

    fn certificate() -> CommitCertificate {
        CommitCertificate {
            height: Height(7),
            round: Round(0),
            block_hash: B256::repeat_byte(3),
            signatures: Vec::new(),
        }
    }

    #[test]
    fn blocks_are_cut_to_the_largest_response() {
        let body = Bytes::from(vec![0u8; 3 * 1024 * 1024]);
        let response = SyncResponse::Blocks(vec![(body, certificate()); 4]).fit();
        let SyncResponse::Blocks(blocks) = &response else { panic!("kind changed") };
        assert_eq!(blocks.len(), 2);
        assert!(borsh::to_vec(&response).unwrap().len() <= MAX_SYNC_RESPONSE_BYTES);
    }

    #[test]
    fn answer_of_another_kind_or_with_more_blocks_is_none() {
        let asked = SyncRequest::Blocks { from: 3, max: 1 };
        let block = (Bytes::from(vec![1]), certificate());
        assert!(SyncResponse::Blocks(vec![block.clone()]).answers(&asked));
        assert!(!SyncResponse::Blocks(vec![block.clone(), block]).answers(&asked));
        assert!(!SyncResponse::Status { head: 3, hash: B256::ZERO }.answers(&asked));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(request) = SyncRequest::decode(&data) {
                prop_assert_eq!(request.encode(), data.clone());
            }
            if let Ok(response) = SyncResponse::decode(&data) {
                prop_assert_eq!(response.encode(), data);
            }
        }
    }
}
