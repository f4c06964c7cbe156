//! The last signatures of this validator. The sign state is written and synced before a signature may leave the node, so
//! that no crash, lost log or restored backup of the log makes an honest key sign two conflicting messages.
//!
//! It works without the write-ahead log. It refuses:
//! - a message older than the last signed height, round and step,
//! - other bytes for the same height, round and step,
//! - a prevote against the last non-nil precommit of the height (the lock) without a newer polka.
//!
//! For the same bytes it returns the same signature again.

use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::height::{Height, Round};
use crate::keys::{SIGNATURE_BYTES, SignerError, ValidatorId};
use crate::vote::{SignedVote, Vote, VoteKind};

/// The three messages that a validator signs in a round, in the order in which it may sign them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum SignStep {
    /// Proposes a block.
    Propose,
    /// Prevotes.
    Prevote,
    /// Precommits.
    Precommit,
}

/// A signature given at the last signed height and round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Given {
    step: SignStep,
    /// The block voted for or proposed; `None` for nil.
    block_hash: Option<B256>,
    /// keccak256 of the signed bytes.
    digest: B256,
    signature: [u8; SIGNATURE_BYTES],
}

/// The block of the last non-nil precommit at the last signed height.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Lock {
    round: Round,
    block_hash: B256,
}

/// The last signatures of a validator. `Default` has signed nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignState {
    height: Height,
    round: Round,
    given: Vec<Given>,
    lock: Option<Lock>,
}

/// A request for a signature.
#[derive(Copy, Clone, Debug)]
pub(crate) struct SignRequest<'a> {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) step: SignStep,
    /// The block voted for or proposed; `None` for nil.
    pub(crate) block_hash: Option<B256>,
    /// For a prevote: the round of the polka the proposal rests on, if any.
    pub(crate) pol_round: Option<Round>,
    pub(crate) bytes: &'a [u8],
}

/// The sign state's answer to a request that it does not refuse.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SignPermit {
    /// The request is permitted: sign, record, persist.
    Fresh,
    /// The same bytes were signed before; this is the signature.
    Again([u8; SIGNATURE_BYTES]),
}

/// Why no signature is given. This is not always a fault: a node that restarts without its log gets refusals, and stays
/// silent until the network has passed the height and round that it signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignRefusal {
    /// Older than the last signed message.
    #[error("already signed at height {0}, round {1}")]
    Regression(Height, Round),
    /// Different bytes were signed for the same height, round and step.
    #[error("signed another {2:?} at height {0}, round {1}")]
    Conflict(Height, Round, SignStep),
    /// The prevote is against the block precommitted in an earlier round.
    #[error("locked on block {block_hash} since round {round}")]
    Locked {
        /// Round of the precommit.
        round: Round,
        /// The precommitted block.
        block_hash: B256,
    },
    /// The node has a commit certificate of the height.
    #[error("height {0} is decided; its block is being fetched")]
    Decided(Height),
    /// The signer failed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// This node has no signer.
    #[error("this node has no signer")]
    NoSigner,
}

impl SignState {
    /// The height and round of the last signature; both 0 when nothing was signed.
    pub fn last(&self) -> (Height, Round) {
        (self.height, self.round)
    }

    /// Checks whether `request` may be signed.
    pub(crate) fn check(&self, request: &SignRequest<'_>) -> Result<SignPermit, SignRefusal> {
        let at = (request.height, request.round);
        if at < self.last() {
            return Err(SignRefusal::Regression(self.height, self.round));
        }
        if at == self.last() {
            if let Some(given) = self.given.iter().find(|g| g.step == request.step) {
                return if given.digest == keccak256(request.bytes) {
                    Ok(SignPermit::Again(given.signature))
                } else {
                    Err(SignRefusal::Conflict(at.0, at.1, request.step))
                };
            }
            if self.given.iter().any(|given| given.step > request.step) {
                return Err(SignRefusal::Regression(self.height, self.round));
            }
        }
        self.check_lock(request)?;
        Ok(SignPermit::Fresh)
    }

    /// Tendermint's rule for prevotes (paper, lines 23 and 29): a locked validator prevotes another block only on a polka at
    /// least as new as its lock. The core applies the rule too, but loses its lock with a lost log.
    fn check_lock(&self, request: &SignRequest<'_>) -> Result<(), SignRefusal> {
        let (Some(lock), Some(block_hash)) = (&self.lock, request.block_hash) else {
            return Ok(());
        };
        let betrayed = request.step == SignStep::Prevote
            && request.height == self.height
            && block_hash != lock.block_hash
            && request.pol_round.is_none_or(|pol| pol < lock.round);
        if betrayed {
            return Err(SignRefusal::Locked { round: lock.round, block_hash: lock.block_hash });
        }
        Ok(())
    }

    /// Records a signature that [`SignState::check`] called fresh.
    pub(crate) fn record(&mut self, request: &SignRequest<'_>, signature: [u8; SIGNATURE_BYTES]) {
        if request.height != self.height {
            self.lock = None;
        }
        if (request.height, request.round) != self.last() {
            self.given.clear();
        }
        (self.height, self.round) = (request.height, request.round);
        if let (SignStep::Precommit, Some(block_hash)) = (request.step, request.block_hash) {
            self.lock = Some(Lock { round: request.round, block_hash });
        }
        self.given.push(Given {
            step: request.step,
            block_hash: request.block_hash,
            digest: keccak256(request.bytes),
            signature,
        });
    }

    /// The votes of the last signed round, as signed by `validator`.
    pub(crate) fn votes(&self, validator: ValidatorId) -> Vec<SignedVote> {
        let votes = self.given.iter().filter_map(|given| {
            let kind = match given.step {
                SignStep::Propose => return None,
                SignStep::Prevote => VoteKind::Prevote,
                SignStep::Precommit => VoteKind::Precommit,
            };
            let (height, round, block_hash) = (self.height, self.round, given.block_hash);
            let vote = Vote { kind, height, round, block_hash, validator };
            Some(SignedVote { vote, signature: given.signature })
        });
        votes.collect()
    }

    /// The block precommitted last at `height`, if any: its body must be kept.
    pub(crate) fn locked_block(&self, height: Height) -> Option<B256> {
        let lock = self.lock.as_ref().filter(|_| self.height == height);
        lock.map(|lock| lock.block_hash)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use SignStep::{Precommit, Prevote, Propose};

    const A: Option<B256> = Some(B256::repeat_byte(0xaa));
    const B: Option<B256> = Some(B256::repeat_byte(0xbb));

    fn request(
        height: u64,
        round: u32,
        step: SignStep,
        block_hash: Option<B256>,
        pol_round: Option<u32>,
        bytes: &[u8],
    ) -> SignRequest<'_> {
        SignRequest {
            height: Height(height),
            round: Round(round),
            step,
            block_hash,
            pol_round: pol_round.map(Round),
            bytes,
        }
    }

    fn sign(state: &mut SignState, request: SignRequest<'_>) -> Result<[u8; 64], SignRefusal> {
        match state.check(&request)? {
            SignPermit::Again(signature) => Ok(signature),
            SignPermit::Fresh => {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(keccak256(request.bytes).as_slice());
                state.record(&request, signature);
                Ok(signature)
            }
        }
    }

    #[test]
    fn the_same_bytes_get_the_same_signature_and_others_none() {
        let mut state = SignState::default();
        let first = sign(&mut state, request(1, 0, Prevote, A, None, b"a")).unwrap();
        let state_before = state.clone();
        assert_eq!(sign(&mut state, request(1, 0, Prevote, A, None, b"a")), Ok(first));
        assert_eq!(
            sign(&mut state, request(1, 0, Prevote, B, None, b"b")),
            Err(SignRefusal::Conflict(Height(1), Round(0), Prevote))
        );
        assert_eq!(
            sign(&mut state, request(1, 0, Prevote, None, None, b"nil")),
            Err(SignRefusal::Conflict(Height(1), Round(0), Prevote))
        );
        assert_eq!(state, state_before);
    }

    #[test]
    fn steps_rounds_and_heights_only_go_forward() {
        let mut state = SignState::default();
        sign(&mut state, request(5, 3, Precommit, None, None, b"x")).unwrap();
        let refused = Err(SignRefusal::Regression(Height(5), Round(3)));
        assert_eq!(sign(&mut state, request(5, 3, Prevote, None, None, b"y")), refused);
        assert_eq!(sign(&mut state, request(5, 2, Precommit, None, None, b"y")), refused);
        assert_eq!(sign(&mut state, request(4, 9, Precommit, None, None, b"y")), refused);
        sign(&mut state, request(5, 4, Propose, A, None, b"y")).unwrap();
        sign(&mut state, request(5, 4, Prevote, A, None, b"z")).unwrap();
        sign(&mut state, request(6, 0, Prevote, A, None, b"w")).unwrap();
    }

    #[test]
    fn an_earlier_step_of_the_round_gets_its_own_signature_again() {
        let mut state = SignState::default();
        let proposal = sign(&mut state, request(1, 0, Propose, A, None, b"p")).unwrap();
        sign(&mut state, request(1, 0, Prevote, A, None, b"v")).unwrap();
        assert_eq!(sign(&mut state, request(1, 0, Propose, A, None, b"p")), Ok(proposal));
    }

    #[test]
    fn a_lock_is_only_left_on_a_polka_as_new() {
        let mut state = SignState::default();
        sign(&mut state, request(1, 2, Precommit, A, None, b"lock")).unwrap();
        let locked = Err(SignRefusal::Locked { round: Round(2), block_hash: A.unwrap() });
        assert_eq!(sign(&mut state, request(1, 3, Prevote, B, None, b"1")), locked);
        assert_eq!(sign(&mut state, request(1, 3, Prevote, B, Some(1), b"1")), locked);
        sign(&mut state, request(1, 3, Prevote, None, None, b"nil")).unwrap();
        sign(&mut state, request(1, 4, Prevote, A, None, b"same block")).unwrap();
        sign(&mut state, request(1, 5, Prevote, B, Some(2), b"new polka")).unwrap();
        // The lock does not apply to another height.
        assert_eq!(state.locked_block(Height(1)), A);
        sign(&mut state, request(2, 0, Prevote, B, None, b"2")).unwrap();
        assert_eq!(state.locked_block(Height(2)), None);
    }

    #[test]
    fn a_sign_state_round_trips() {
        let mut state = SignState::default();
        sign(&mut state, request(1, 2, Precommit, A, None, b"lock")).unwrap();
        let bytes = borsh::to_vec(&state).unwrap();
        assert_eq!(borsh::from_slice::<SignState>(&bytes).unwrap(), state);
        assert!(borsh::from_slice::<SignState>(&bytes[1..]).is_err());
    }
}
