//! What a node and its signer say to each other. One answer to each request, in order.

use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::{ConsensusKey, Round, SIGNATURE_BYTES};
use causeway_peg::{Attestation, Signature65};

/// What a node asks.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Request {
    /// "I am a node of this chain (its genesis hash): which keys do you hold?" Always first.
    Hello(B256),
    /// "Sign this vote or proposal."
    Consensus {
        /// The bytes to sign; the signer reads height, round and step out of them.
        bytes: Vec<u8>,
        /// The round of the polka under a voted proposal, if any.
        pol_round: Option<Round>,
    },
    /// "Sign this attestation." The signer makes the digest itself.
    Peg(Box<Attestation>),
}

/// What a signer answers.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Answer {
    /// To a hello.
    Keys(PublicKeys),
    /// To a vote or proposal.
    Consensus([u8; SIGNATURE_BYTES]),
    /// To an attestation.
    Peg(Signature65),
    /// No, and why: words for the node's log.
    Refused(String),
}

/// The public parts of a signer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct PublicKeys {
    /// The consensus key.
    pub(super) consensus: ConsensusKey,
    /// The peg key's address.
    pub(super) peg: Address,
}
