//! Double-sign protection for a signer in its own process.
//!
//! It trusts no separate fields: height, round, step and block are decoded from the bytes to be signed, and bytes that are
//! not a message of its chain are not signed. Two nodes that share such a signer share its [`SignState`], so a request for a
//! second, different signature at the same height, round and step is refused.

use alloy_primitives::B256;
use borsh::BorshDeserialize;

use crate::height::{Height, Round};
use crate::keys::{SIGNATURE_BYTES, Signer};
use crate::proposal::PartList;
use crate::sign_bytes::{DOMAIN, SignTag};
use crate::sign_state::{SignPermit, SignRefusal, SignRequest, SignState, SignStep};

/// A signature permitted by the sign state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// ed25519 over the bytes.
    pub signature: [u8; SIGNATURE_BYTES],
    /// The sign state that must be durable before the signature leaves; `None` when the same bytes were signed before.
    pub state: Option<SignState>,
}

/// Why nothing is signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardRefusal {
    /// Neither a vote nor a proposal. The requester is at fault.
    #[error("the bytes are neither a vote nor a proposal")]
    Malformed,
    /// A message of another chain. The requester is at fault.
    #[error("the message is of chain {0}, which is not this signer's")]
    OtherChain(B256),
    /// The sign state or the signer refuses.
    #[error(transparent)]
    Refused(#[from] SignRefusal),
}

/// The fields at the start of all signed bytes.
#[derive(BorshDeserialize)]
struct Head {
    domain: [u8; 8],
    tag: u8,
    chain: B256,
}

/// The content of a vote's bytes.
#[derive(BorshDeserialize)]
struct VoteBytes {
    height: Height,
    round: Round,
    block_hash: Option<B256>,
}

/// The content of a proposal's bytes.
#[derive(BorshDeserialize)]
struct ProposalBytes {
    height: Height,
    round: Round,
    pol_round: Option<Round>,
    block_hash: B256,
    parts: PartList,
}

/// Signs `bytes` for `chain` if `state` permits it. `pol_round` is the round of the polka for the voted proposal, as claimed
/// by the requester. It may release the validator from a block that it precommitted, and is not part of a vote's bytes.
///
/// # Errors
/// [`GuardRefusal`]; nothing changes.
pub fn sign_guarded(
    state: &SignState,
    chain: B256,
    signer: &dyn Signer,
    bytes: &[u8],
    pol_round: Option<Round>,
) -> Result<Guarded, GuardRefusal> {
    let request = read(chain, bytes, pol_round)?;
    match state.check(&request)? {
        SignPermit::Again(signature) => Ok(Guarded { signature, state: None }),
        SignPermit::Fresh => {
            let signature = signer.sign(bytes).map_err(SignRefusal::from)?;
            let mut state = state.clone();
            state.record(&request, signature);
            Ok(Guarded { signature, state: Some(state) })
        }
    }
}

fn read(chain: B256, bytes: &[u8], pol_round: Option<Round>) -> Result<SignRequest<'_>, GuardRefusal> {
    let malformed = |_| GuardRefusal::Malformed;
    let mut content = bytes;
    let head = Head::deserialize(&mut content).map_err(malformed)?;
    if head.domain != DOMAIN {
        return Err(GuardRefusal::Malformed);
    }
    let step = [
        (SignTag::Prevote, SignStep::Prevote),
        (SignTag::Precommit, SignStep::Precommit),
        (SignTag::Proposal, SignStep::Propose),
    ]
    .into_iter()
    .find_map(|(tag, step)| (tag as u8 == head.tag).then_some(step))
    .ok_or(GuardRefusal::Malformed)?;
    let request = if step == SignStep::Propose {
        let proposal: ProposalBytes = borsh::from_slice(content).map_err(malformed)?;
        if !proposal.parts.is_well_formed() {
            return Err(GuardRefusal::Malformed);
        }
        let ProposalBytes { height, round, pol_round, block_hash, .. } = proposal;
        SignRequest { height, round, step, block_hash: Some(block_hash), pol_round, bytes }
    } else {
        let VoteBytes { height, round, block_hash } = borsh::from_slice(content).map_err(malformed)?;
        // A polka of the vote's own round or a later one does not justify a vote for an older proposal.
        let pol_round = pol_round.filter(|polka| *polka < round);
        SignRequest { height, round, step, block_hash, pol_round, bytes }
    };
    if head.chain == chain { Ok(request) } else { Err(GuardRefusal::OtherChain(head.chain)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::keys::{Ed25519Signer, ValidatorId};
    use crate::proposal::Proposal;
    use crate::vote::{Vote, VoteKind};

    const CHAIN: B256 = B256::repeat_byte(1);

    fn vote(kind: VoteKind, height: u64, round: u32, block: Option<u8>) -> Vec<u8> {
        let block_hash = block.map(B256::repeat_byte);
        let (height, round) = (Height(height), Round(round));
        Vote { kind, height, round, block_hash, validator: ValidatorId::ZERO }.sign_bytes(CHAIN)
    }

    fn proposal(height: u64, round: u32, pol_round: Option<u32>, block: u8) -> Vec<u8> {
        Proposal {
            height: Height(height),
            round: Round(round),
            pol_round: pol_round.map(Round),
            block_hash: B256::repeat_byte(block),
            parts: PartList::of(&[block]).unwrap(),
            proposer: ValidatorId::ZERO,
        }
        .sign_bytes(CHAIN)
    }

    /// Signs as a signer process does and keeps the new state.
    fn ask(state: &mut SignState, bytes: &[u8], polka: Option<u32>) -> Result<[u8; SIGNATURE_BYTES], GuardRefusal> {
        let guarded = sign_guarded(state, CHAIN, &Ed25519Signer::new(&[7; 32]), bytes, polka.map(Round))?;
        if let Some(next) = guarded.state {
            *state = next;
        }
        Ok(guarded.signature)
    }

    #[test]
    fn height_round_step_and_block_come_from_the_bytes() {
        use VoteKind::{Precommit, Prevote};
        let mut state = SignState::default();
        let signature = ask(&mut state, &proposal(3, 1, None, 0xaa), None).unwrap();
        assert!(Ed25519Signer::new(&[7; 32]).key().verifies(&proposal(3, 1, None, 0xaa), &signature));
        assert_eq!(ask(&mut state, &proposal(3, 1, None, 0xaa), None), Ok(signature), "the same again");
        let conflict = |step| Err(SignRefusal::Conflict(Height(3), Round(1), step).into());
        assert_eq!(ask(&mut state, &proposal(3, 1, None, 0xbb), None), conflict(SignStep::Propose));
        assert_eq!(ask(&mut state, &proposal(3, 1, Some(0), 0xaa), None), conflict(SignStep::Propose));
        ask(&mut state, &vote(Prevote, 3, 1, Some(0xaa)), None).unwrap();
        assert_eq!(ask(&mut state, &vote(Prevote, 3, 1, None), None), conflict(SignStep::Prevote));
        ask(&mut state, &vote(Precommit, 3, 1, Some(0xaa)), None).unwrap();
        assert_eq!(ask(&mut state, &vote(Precommit, 3, 1, Some(0xbb)), None), conflict(SignStep::Precommit));
        let regression = Err(SignRefusal::Regression(Height(3), Round(1)).into());
        assert_eq!(ask(&mut state, &vote(Precommit, 3, 0, None), None), regression);
        assert_eq!(ask(&mut state, &vote(Precommit, 2, 9, None), None), regression);
        ask(&mut state, &vote(Prevote, 4, 0, None), None).unwrap();
    }

    #[test]
    fn a_lock_is_left_on_a_polka_at_least_as_new_and_older_than_the_vote() {
        use VoteKind::{Precommit, Prevote};
        let mut locked = SignState::default();
        ask(&mut locked, &vote(Precommit, 5, 2, Some(0xaa)), None).unwrap();
        for polka in [None, Some(0), Some(1), Some(3), Some(9)] {
            let refused = ask(&mut locked.clone(), &vote(Prevote, 5, 3, Some(0xbb)), polka);
            assert!(matches!(refused, Err(GuardRefusal::Refused(SignRefusal::Locked { .. }))), "{polka:?}");
        }
        ask(&mut locked.clone(), &vote(Prevote, 5, 3, Some(0xbb)), Some(2)).unwrap();
        ask(&mut locked.clone(), &vote(Prevote, 5, 3, Some(0xaa)), None).unwrap();
        ask(&mut locked, &vote(Prevote, 5, 3, None), None).unwrap();
    }

    #[test]
    fn only_messages_of_the_chain_are_signed() {
        let good = vote(VoteKind::Prevote, 1, 0, Some(0xaa));
        let mut state = SignState::default();
        for cut in 0..good.len() {
            assert_eq!(ask(&mut state, &good[..cut], None), Err(GuardRefusal::Malformed), "cut at {cut}");
        }
        let longer = [good.as_slice(), &[0]].concat();
        let registration = [b"causeway/register-consensus/1".as_slice(), &[0; 84]].concat();
        let mut other_tag = good.clone();
        other_tag[8] = 4;
        for bad in [longer, registration, other_tag, Vec::new(), vec![0; 100]] {
            assert_eq!(ask(&mut state, &bad, None), Err(GuardRefusal::Malformed));
        }
        let vote = Vote {
            kind: VoteKind::Prevote,
            height: Height(1),
            round: Round(0),
            block_hash: None,
            validator: ValidatorId::ZERO,
        };
        let other = B256::repeat_byte(2);
        assert_eq!(ask(&mut state, &vote.sign_bytes(other), None), Err(GuardRefusal::OtherChain(other)));
        assert_eq!(state, SignState::default());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), tag in 0u8..5) {
            let mut state = SignState::default();
            let _unimportant = ask(&mut state, &bytes, None).is_ok();
            let framed = [DOMAIN.as_slice(), &[tag], CHAIN.as_slice(), &bytes].concat();
            let _unimportant = ask(&mut state, &framed, None).is_ok();
        }

        #[test]
        fn no_order_of_requests_gets_two_signatures_for_one_place(
            requests in prop::collection::vec((1u64..4, 0u32..3, 0u8..3, prop::option::of(0u8..3), prop::option::of(0u32..3)), 1..60),
        ) {
            let mut state = SignState::default();
            let mut given = std::collections::BTreeMap::new();
            for (height, round, step, block, polka) in requests {
                let bytes = match step {
                    0 => proposal(height, round, polka, block.unwrap_or(0)),
                    1 => vote(VoteKind::Prevote, height, round, block),
                    _ => vote(VoteKind::Precommit, height, round, block),
                };
                if ask(&mut state, &bytes, polka).is_ok() {
                    let first = given.entry((height, round, step)).or_insert_with(|| bytes.clone());
                    prop_assert_eq!(&*first, &bytes);
                }
            }
        }
    }
}
