//! Gossip messages, their topics, and their bounded decoding.

use alloy_primitives::{B256, Bytes};
use causeway_consensus::ConsensusMessage;
use causeway_execution::MAX_TRANSACTION_BYTES;
use causeway_peg::PegMessage;
use libp2p::gossipsub::{IdentTopic, TopicHash};
use thiserror::Error;

use crate::limits::{
    GOSSIP_FRAME_OVERHEAD_BYTES, MAX_BATCH_TRANSACTIONS, MAX_CONSENSUS_BYTES, MAX_PEG_BYTES, MAX_TRANSACTIONS_BYTES,
};

/// A gossip message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GossipMessage {
    /// Signed transactions in their EIP-2718 encoding. Small lists are collected into batches before they are sent.
    Transactions(Vec<Bytes>),
    /// A consensus message. One with a whole block is too large for gossip.
    Consensus(ConsensusMessage),
    /// An attestation of the peg.
    Peg(PegMessage),
}

/// Why bytes on a topic are no message. The peer that sent them is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Longer than the topic allows.
    #[error("{length} bytes on a topic that allows {limit}")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// The topic's limit.
        limit: usize,
    },
    /// The batch has no transactions or too many, or one of them is empty or too long.
    #[error("a batch of {0} transactions, or one of them empty or too long")]
    BadBatch(u64),
    /// The bytes are no encoding of the topic's type.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// The three topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Batches of signed transactions.
    Transactions,
    /// Consensus messages.
    Consensus,
    /// The peg's attestations.
    Peg,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 3] = [Self::Transactions, Self::Consensus, Self::Peg];

    /// The name of the topic. It contains the chain, so chains never mix.
    pub(crate) fn ident(self, chain: &B256) -> IdentTopic {
        let name = match self {
            Self::Transactions => "transactions",
            Self::Consensus => "consensus",
            Self::Peg => "peg",
        };
        IdentTopic::new(format!("causeway/1/{}/{name}", hex::encode(chain)))
    }

    /// Largest data on the topic, in bytes.
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Transactions => MAX_TRANSACTIONS_BYTES,
            Self::Consensus => MAX_CONSENSUS_BYTES,
            Self::Peg => MAX_PEG_BYTES,
        }
    }

    /// Largest frame with a message of the topic, in bytes.
    pub(crate) fn max_frame_bytes(self) -> usize {
        self.max_bytes() + GOSSIP_FRAME_OVERHEAD_BYTES
    }

    /// Decodes exactly one message of the topic.
    ///
    /// # Errors
    /// [`DecodeError`]; the peer that sent the bytes is at fault.
    pub fn decode(self, data: &[u8]) -> Result<GossipMessage, DecodeError> {
        if data.len() > self.max_bytes() {
            return Err(DecodeError::TooLong { length: data.len(), limit: self.max_bytes() });
        }
        match self {
            Self::Transactions => decode_batch(data).map(GossipMessage::Transactions),
            Self::Consensus => ConsensusMessage::decode(data)
                .map(GossipMessage::Consensus)
                .map_err(|error| DecodeError::Malformed(error.to_string())),
            Self::Peg => PegMessage::decode(data)
                .map(GossipMessage::Peg)
                .map_err(|error| DecodeError::Malformed(error.to_string())),
        }
    }
}

impl GossipMessage {
    /// The topic of the message.
    pub fn topic(&self) -> Topic {
        match self {
            Self::Transactions(_) => Topic::Transactions,
            Self::Consensus(_) => Topic::Consensus,
            Self::Peg(_) => Topic::Peg,
        }
    }

    /// The encoding of the message on its topic.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Transactions(batch) => encode_batch(batch),
            Self::Consensus(message) => message.encode(),
            Self::Peg(message) => message.encode(),
        }
    }
}

/// Topics by the hash that frames contain.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    entries: [(TopicHash, Topic); 3],
}

impl Topics {
    pub(crate) fn new(chain: &B256) -> Self {
        Self { entries: Topic::ALL.map(|topic| (topic.ident(chain).hash(), topic)) }
    }

    pub(crate) fn find(&self, hash: &TopicHash) -> Option<Topic> {
        self.entries.iter().find(|(known, _)| known == hash).map(|(_, topic)| *topic)
    }
}

fn encode_batch(batch: &[Bytes]) -> Vec<u8> {
    borsh::to_vec(batch).expect("writing to memory cannot fail")
}

/// The count is checked before memory is allocated for it.
fn decode_batch(data: &[u8]) -> Result<Vec<Bytes>, DecodeError> {
    let (head, _) = data.split_first_chunk().ok_or_else(|| DecodeError::Malformed("no count".into()))?;
    let count = u64::from(u32::from_le_bytes(*head));
    if count == 0 || count > MAX_BATCH_TRANSACTIONS as u64 {
        return Err(DecodeError::BadBatch(count));
    }
    let batch: Vec<Bytes> = borsh::from_slice(data).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if batch.iter().any(|tx| tx.is_empty() || tx.len() > MAX_TRANSACTION_BYTES) {
        return Err(DecodeError::BadBatch(count));
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn topics_of_two_chains_differ() {
        let (one, two) = (Topics::new(&B256::repeat_byte(1)), Topics::new(&B256::repeat_byte(2)));
        for topic in Topic::ALL {
            assert_eq!(one.find(&topic.ident(&B256::repeat_byte(1)).hash()), Some(topic));
            assert_eq!(two.find(&topic.ident(&B256::repeat_byte(1)).hash()), None);
        }
    }

    #[test]
    fn batch_without_or_with_empty_transactions_is_refused() {
        assert_eq!(decode_batch(&encode_batch(&[])), Err(DecodeError::BadBatch(0)));
        assert_eq!(decode_batch(&encode_batch(&[Bytes::new()])), Err(DecodeError::BadBatch(1)));
    }

    #[test]
    fn batch_that_claims_too_many_is_refused_before_allocation() {
        assert_eq!(decode_batch(&u32::MAX.to_le_bytes()), Err(DecodeError::BadBatch(u64::from(u32::MAX))));
    }

    #[test]
    fn data_above_the_topics_limit_is_refused() {
        for topic in Topic::ALL {
            let data = vec![0; topic.max_bytes() + 1];
            assert!(matches!(topic.decode(&data), Err(DecodeError::TooLong { .. })));
        }
    }

    #[test]
    fn largest_batch_passes() {
        let batch =
            vec![Bytes::from(vec![1; crate::limits::MAX_BATCH_BYTES / MAX_BATCH_TRANSACTIONS]); MAX_BATCH_TRANSACTIONS];
        let data = encode_batch(&batch);
        assert_eq!(Topic::Transactions.decode(&data), Ok(GossipMessage::Transactions(batch)));
    }

    proptest! {
        #[test]
        fn batches_round_trip(batch in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80).prop_map(Bytes::from), 1..20)) {
            let message = GossipMessage::Transactions(batch);
            prop_assert_eq!(message.topic().decode(&message.encode()).unwrap(), message);
        }

        #[test]
        fn no_bytes_make_decoding_panic(data in prop::collection::vec(any::<u8>(), 0..600)) {
            for topic in Topic::ALL {
                if let Ok(message) = topic.decode(&data) {
                    prop_assert_eq!(message.encode(), data.clone());
                }
            }
        }
    }
}
