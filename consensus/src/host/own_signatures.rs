//! Signatures of this validator's key that the sign state does not know: they were made before an old disk snapshot was
//! restored, or by another process. Only the network shows them, so every message that carries this node's own signature is
//! recorded in the sign state before anything else is signed.

use tracing::{error, warn};

use super::actions::step_of;
use super::{Host, Inner};
use crate::height::{Height, Round};
use crate::io::Output;
use crate::keys::{SIGNATURE_BYTES, verify};
use crate::message::ConsensusMessage;
use crate::proposal::SignedProposal;
use crate::sign_state::{SignPermit, SignRefusal, SignRequest, SignStep};
use crate::validators::ValidatorSet;
use crate::vote::SignedVote;

/// The fields of one of our messages that the sign state needs.
struct OwnSignature {
    height: Height,
    round: Round,
    step: SignStep,
    block_hash: Option<alloy_primitives::B256>,
    bytes: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
}

impl Host {
    /// Notes the validators of a height without starting it: [`Host::overhear`] and the check of late votes then know their
    /// keys.
    pub fn note_set(&mut self, height: Height, validators: &ValidatorSet) {
        self.inner.keys.note_set(height, validators);
    }

    /// Notes the key of a former validator, last a member at height `last`, so that its late votes can be verified.
    pub fn note_key(&mut self, key: crate::keys::ConsensusKey, last: Height) {
        self.inner.keys.note(key, last);
    }

    /// Notes the set of the next epoch, when it is known. The messages of its members for the next height are then verified
    /// and buffered too: which set decides the next height is only known after the current block is executed.
    pub fn note_upcoming(&mut self, upcoming: Option<ValidatorSet>) {
        self.inner.upcoming = upcoming;
    }

    /// Records a message in the sign state if it is signed by this node's own key. For use while no height is in progress: a
    /// validator that does this before it signs cannot contradict the earlier signatures that it receives.
    pub fn overhear(&mut self, message: &ConsensusMessage) -> Vec<Output> {
        self.inner.learn_from(message);
        std::mem::take(&mut self.inner.out)
    }
}

impl Inner {
    /// Records one of our messages, of any height, in the sign state. Costs nothing for messages of others and for messages
    /// older than the last signature.
    pub(super) fn learn_from(&mut self, message: &ConsensusMessage) {
        let Some(us) = self.us() else { return };
        let chain = self.config.chain;
        let own = match message {
            ConsensusMessage::Vote(SignedVote { vote, signature }) if vote.validator == us => OwnSignature {
                height: vote.height,
                round: vote.round,
                step: step_of(vote.kind),
                block_hash: vote.block_hash,
                bytes: vote.sign_bytes(chain),
                signature: *signature,
            },
            ConsensusMessage::Proposal(SignedProposal { proposal, signature }) if proposal.proposer == us => {
                OwnSignature {
                    height: proposal.height,
                    round: proposal.round,
                    step: SignStep::Propose,
                    block_hash: Some(proposal.block_hash),
                    bytes: proposal.sign_bytes(chain),
                    signature: *signature,
                }
            }
            _ => return,
        };
        if (own.height, own.round) < self.sign_state.last() || own.round > crate::MAX_ROUND {
            return;
        }
        let request = SignRequest {
            height: own.height,
            round: own.round,
            step: own.step,
            block_hash: own.block_hash,
            pol_round: None,
            bytes: &own.bytes,
        };
        let recorded = match self.sign_state.check(&request) {
            // The signature exists. The lock was checked when it was made, with the proposal at hand.
            Ok(SignPermit::Fresh) | Err(SignRefusal::Locked { .. }) => Ok(()),
            Ok(SignPermit::Again(_)) | Err(SignRefusal::Regression(..)) => return,
            Err(conflict) => Err(conflict),
        };
        let is_ours = self.keys.get(&us).is_some_and(|key| verify(key, &own.bytes, &own.signature));
        if !is_ours {
            return;
        }
        match recorded {
            Ok(()) => {
                warn!(
                    height = %own.height, round = %own.round, step = ?own.step,
                    "a peer sent a signature of our own key that our sign state did not know; nothing older is signed from now on"
                );
                self.sign_state.record(&request, own.signature);
                self.out.push(Output::PersistSignState(self.sign_state.clone()));
            }
            Err(conflict) => {
                error!(height = %own.height, round = %own.round, %conflict, "ANOTHER PROCESS SIGNS WITH OUR KEY");
            }
        }
    }
}
