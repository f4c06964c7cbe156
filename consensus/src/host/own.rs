//! What this validator's key has signed elsewhere: in an earlier life of which this disk knows nothing (an old snapshot was
//! restored), or in another process. The network is the only witness, so every message that carries this node's own
//! signature is taken into the sign state before anything else is signed.

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

/// The parts of a message of ours that the sign state is about.
struct Own {
    height: Height,
    round: Round,
    step: SignStep,
    block_hash: Option<alloy_primitives::B256>,
    bytes: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
}

impl Host {
    /// Notes the validators of a height without starting it: their keys are then known to [`Host::overhear`] and to the
    /// check of late votes.
    pub fn note_set(&mut self, height: Height, validators: &ValidatorSet) {
        self.inner.keys.note_set(height, validators);
    }

    /// Notes the key of a former validator, last a member at height `last`: its late votes can then be verified.
    pub fn note_key(&mut self, key: crate::keys::ConsensusKey, last: Height) {
        self.inner.keys.note(key, last);
    }

    /// The set of the next epoch, when it is known: its members' messages for the next height are verified and held too,
    /// for whether the next height is already theirs is known only when the present one is executed.
    pub fn note_upcoming(&mut self, upcoming: Option<ValidatorSet>) {
        self.inner.upcoming = upcoming;
    }

    /// Hears a message while no height is under way: if it is signed by this node's own key, the sign state remembers it.
    /// A signer that listens so before it signs cannot contradict what it still meets of its past.
    pub fn overhear(&mut self, message: &ConsensusMessage) -> Vec<Output> {
        self.inner.learn_from(message);
        std::mem::take(&mut self.inner.out)
    }
}

impl Inner {
    /// Takes a message of ours, of whatever height, into the sign state. Costs nothing for messages of others and for what
    /// is older than the last signature.
    pub(super) fn learn_from(&mut self, message: &ConsensusMessage) {
        let Some(us) = self.us() else { return };
        let chain = self.config.chain;
        let own = match message {
            ConsensusMessage::Vote(SignedVote { vote, signature }) if vote.validator == us => Own {
                height: vote.height,
                round: vote.round,
                step: step_of(vote.kind),
                block_hash: vote.block_hash,
                bytes: vote.sign_bytes(chain),
                signature: *signature,
            },
            ConsensusMessage::Proposal(SignedProposal { proposal, signature }) if proposal.proposer == us => Own {
                height: proposal.height,
                round: proposal.round,
                step: SignStep::Propose,
                block_hash: Some(proposal.block_hash),
                bytes: proposal.sign_bytes(chain),
                signature: *signature,
            },
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
        let news = match self.sign_state.check(&request) {
            // It was signed: the lock was judged then, with the proposal at hand.
            Ok(SignPermit::Fresh) | Err(SignRefusal::Locked { .. }) => Ok(()),
            Ok(SignPermit::Again(_)) | Err(SignRefusal::Regression(..)) => return,
            Err(conflict) => Err(conflict),
        };
        let is_ours = self.keys.get(&us).is_some_and(|key| verify(key, &own.bytes, &own.signature));
        if !is_ours {
            return;
        }
        match news {
            Ok(()) => {
                warn!(
                    height = %own.height, round = %own.round, step = ?own.step,
                    "this node's key signed here before and this node did not know: it signs nothing older"
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
