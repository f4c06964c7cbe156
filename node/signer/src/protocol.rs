//! The messages between a node and its signer. One answer to each request, in order.

use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::{ConsensusKey, Round, SIGNATURE_BYTES};
use causeway_peg::{Attestation, Signature65};

/// A node's request.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Request {
    /// "I am a node of this chain (its genesis hash): which keys do you hold?" Always the first request.
    Hello(B256),
    /// "Sign this vote or proposal."
    Consensus {
        /// The bytes to sign; the signer decodes height, round and step from them.
        bytes: Vec<u8>,
        /// The round of the polka on which a voted proposal rests, if any.
        pol_round: Option<Round>,
    },
    /// "Sign this attestation." The signer computes the digest itself.
    Peg(Box<Attestation>),
}

/// A signer's answer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Answer {
    /// Answers a hello.
    Keys(PublicKeys),
    /// Answers a vote or proposal.
    Consensus([u8; SIGNATURE_BYTES]),
    /// Answers an attestation.
    Peg(Signature65),
    /// A refusal with its reason, for the node's log.
    Refused(String),
}

/// The public keys of a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct PublicKeys {
    /// The consensus key.
    pub(super) consensus: ConsensusKey,
    /// The peg key's address.
    pub(super) peg: Address,
}
