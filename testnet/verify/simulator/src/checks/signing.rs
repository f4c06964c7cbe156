//! I5, signing: an honest consensus key never signs two conflicting messages, also over crashes, and keeps its locks.
//!
//! Everything that leaves an honest machine is recorded here for the whole run, without any sign state, log or index of a node. In addition to
//! equivocations (two prevotes, precommits or proposals of one height and round), the locking rules of the paper
//! are checked: a precommit of a block needs a polka of its own round, and after it a prevote of another block needs a polka of that
//! block in the lock's round or a later one. Votes of Byzantine members are ignored: they count as having prevoted everything,
//! so a polka is reported as impossible only when it really is.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, keccak256};
use causeway_consensus::{CommitCertificate, ConsensusMessage, SignedProposal, SignedVote, VoteKind};

use super::{Violation, canon::Canon, members::Members, violation::SIGNING};

/// Number of heights below the head whose prevotes and locks are remembered: no node signs further back, and signatures
/// are remembered for the whole run.
const LOCKED_HEIGHTS: u64 = 64;

/// The kind of message within a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Propose,
    Prevote,
    Precommit,
}

/// The messages of one height's honest members.
#[derive(Debug, Default)]
struct Said {
    prevoted: BTreeMap<(u32, B256), BTreeSet<Address>>,
    /// The latest precommit of a block, by member: round and block.
    locks: BTreeMap<Address, (u32, B256)>,
}

/// The signatures of honest consensus keys.
#[derive(Debug)]
pub(crate) struct Signatures {
    honest: BTreeSet<Address>,
    signed: BTreeMap<(u64, Address, u32, Step), B256>,
    heights: BTreeMap<u64, Said>,
}

/// An event of a message, for coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// Nothing.
    Usual,
    /// A block was proposed again, with its polka.
    ProposedAgain,
    /// A member precommitted another block than before.
    LockChanged,
    /// A member signed in a round above the first.
    LaterRound,
}

impl Signatures {
    /// Starts with the validators of these ids.
    pub(crate) fn new(honest: impl IntoIterator<Item = Address>) -> Self {
        Self { honest: honest.into_iter().collect(), signed: BTreeMap::new(), heights: BTreeMap::new() }
    }

    /// An honest machine has sent a message. Only signatures of honest keys are checked.
    pub(crate) fn sent(&mut self, canon: &Canon, message: &ConsensusMessage) -> Result<Noted, Violation> {
        let noted = match message {
            ConsensusMessage::Vote(vote) => self.vote(canon, vote)?,
            ConsensusMessage::Proposal(proposal) => self.proposal(proposal)?,
            ConsensusMessage::PolkaCertificate(polka) => {
                polka.votes().try_for_each(|vote| self.vote(canon, &vote).map(drop))?;
                Noted::Usual
            }
            ConsensusMessage::RoundCertificate(round) => {
                round.votes().try_for_each(|vote| self.vote(canon, &vote).map(drop))?;
                Noted::Usual
            }
            ConsensusMessage::Decision(decision) => {
                self.certificate(canon, &decision.certificate)?;
                Noted::Usual
            }
            ConsensusMessage::Part(_) | ConsensusMessage::PartRequest(_) | ConsensusMessage::ProposalRequest(_) => {
                Noted::Usual
            }
        };
        Ok(noted)
    }

    /// A certificate that decided a block, whatever the source of its signatures.
    pub(crate) fn certificate(&mut self, canon: &Canon, certificate: &CommitCertificate) -> Result<(), Violation> {
        certificate.votes().try_for_each(|vote| self.vote(canon, &vote).map(drop))
    }

    /// Forgets locks of heights that get no more votes.
    pub(crate) fn committed(&mut self, height: u64) {
        let oldest = height.saturating_sub(LOCKED_HEIGHTS);
        self.heights = self.heights.split_off(&oldest);
    }

    /// Records a signature. Returns whether it is new.
    fn write(&mut self, at: (u64, Address, u32, Step), content: B256) -> Result<bool, Violation> {
        match self.signed.insert(at, content) {
            None => Ok(true),
            Some(before) if before == content => Ok(false),
            Some(before) => {
                let (height, signer, round, step) = at;
                let text = format!("{signer} signed two {step:?} in round {round}: {before} and {content}");
                Err(Violation::new(SIGNING, height, text))
            }
        }
    }

    fn vote(&mut self, canon: &Canon, signed: &SignedVote) -> Result<Noted, Violation> {
        let vote = &signed.vote;
        let (height, round, signer) = (vote.height.0, vote.round.0, vote.validator);
        if !self.honest.contains(&signer) {
            return Ok(Noted::Usual);
        }
        let step = if vote.kind == VoteKind::Prevote { Step::Prevote } else { Step::Precommit };
        // Nil is represented by the hash zero, which no block has.
        let news = self.write((height, signer, round, step), vote.block_hash.unwrap_or_default())?;
        let (true, Some(block)) = (news, vote.block_hash) else { return Ok(later(round)) };
        let Some(members) = canon.members(height) else {
            let text = format!("{signer} voted above the height after the head {}", canon.height());
            return Err(Violation::new(SIGNING, height, text));
        };
        if height <= canon.height().saturating_sub(LOCKED_HEIGHTS) {
            return Ok(later(round));
        }
        // In one step a node may send its precommit before its prevote: its own prevote counts as cast unless it was for something else.
        let own = |round: u32| {
            let prevoted = self.signed.get(&(height, signer, round, Step::Prevote));
            prevoted.is_none_or(|prevoted| *prevoted == block).then_some(signer)
        };
        let said = self.heights.entry(height).or_default();
        let fail = |text: String| Err(Violation::new(SIGNING, height, text));
        if vote.kind == VoteKind::Prevote {
            said.prevoted.entry((round, block)).or_default().insert(signer);
            return match said.locks.get(&signer).copied() {
                Some((locked, other)) if locked < round && other != block => {
                    match (locked..round)
                        .any(|polka| said.polka_possible(members, &self.honest, polka, block, own(polka)))
                    {
                        true => Ok(later(round)),
                        false => fail(format!(
                            "{signer}, locked on {other} since round {locked}, prevoted {block} in round {round} without a polka"
                        )),
                    }
                }
                _ => Ok(later(round)),
            };
        }
        if !said.polka_possible(members, &self.honest, round, block, own(round)) {
            return fail(format!("{signer} precommitted {block} in round {round} without a polka"));
        }
        let changed = match said.locks.get(&signer) {
            Some((locked, _)) if *locked > round => false,
            known => {
                let changed = known.is_some_and(|(_, other)| *other != block);
                said.locks.insert(signer, (round, block));
                changed
            }
        };
        Ok(if changed { Noted::LockChanged } else { later(round) })
    }

    fn proposal(&mut self, signed: &SignedProposal) -> Result<Noted, Violation> {
        let proposal = &signed.proposal;
        if !self.honest.contains(&proposal.proposer) {
            return Ok(Noted::Usual);
        }
        let (height, round) = (proposal.height.0, proposal.round.0);
        // All signed fields: the parts and the polka's round must be equal, too.
        let content = keccak256(proposal.sign_bytes(B256::ZERO));
        let news = self.write((height, proposal.proposer, round, Step::Propose), content)?;
        Ok(if news && proposal.pol_round.is_some() { Noted::ProposedAgain } else { later(round) })
    }
}

fn later(round: u32) -> Noted {
    if round > 0 { Noted::LaterRound } else { Noted::Usual }
}

impl Said {
    /// Whether honest prevotes for `block` in `round`, with that of `own`, are more than two thirds of the power together with all
    /// of the others'.
    fn polka_possible(
        &self,
        members: &Members,
        honest: &BTreeSet<Address>,
        round: u32,
        block: B256,
        own: Option<Address>,
    ) -> bool {
        let prevoted = self.prevoted.get(&(round, block));
        let may_have =
            |id: &Address| !honest.contains(id) || own == Some(*id) || prevoted.is_some_and(|ids| ids.contains(id));
        let power = members.iter().filter(|member| may_have(&member.id)).map(|member| u128::from(member.power)).sum();
        members.is_quorum(power)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use causeway_consensus::{
        CommitSignature, Height, PartList, PolkaCertificate, Proposal, Round, SIGNATURE_BYTES, Vote,
    };
    use causeway_genesis::addresses::PEG;

    use super::*;
    use crate::checks::kit::{Kit, keys};

    const A: Option<B256> = Some(B256::repeat_byte(0xaa));
    const B: Option<B256> = Some(B256::repeat_byte(0xbb));
    use VoteKind::{Precommit, Prevote};

    /// Four validators of equal power; the first three are honest.
    fn fresh() -> (Canon, Signatures) {
        let (_, canon) = Kit::standalone();
        (canon, Signatures::new((1..=3).map(id)))
    }

    fn id(seed: u8) -> Address {
        keys(seed).validator_id()
    }

    fn vote(seed: u8, kind: VoteKind, round: u32, block_hash: Option<B256>) -> SignedVote {
        let vote = Vote { kind, height: Height(1), round: Round(round), block_hash, validator: id(seed) };
        SignedVote { vote, signature: [0; SIGNATURE_BYTES] }
    }

    fn say(canon: &Canon, signatures: &mut Signatures, vote: SignedVote) -> Result<Noted, Violation> {
        signatures.sent(canon, &ConsensusMessage::Vote(vote))
    }

    #[test]
    fn two_votes_of_one_kind_and_round_conflict_and_the_same_again_does_not() {
        for kind in [Prevote, Precommit] {
            let (canon, mut signatures) = fresh();
            say(&canon, &mut signatures, vote(1, kind, 2, None)).unwrap();
            say(&canon, &mut signatures, vote(1, kind, 2, None)).unwrap();
            say(&canon, &mut signatures, vote(2, kind, 2, None)).unwrap();
            assert_eq!(say(&canon, &mut signatures, vote(1, kind, 2, A)).unwrap_err().invariant, SIGNING);
        }
        let (canon, mut signatures) = fresh();
        say(&canon, &mut signatures, vote(4, Prevote, 0, A)).unwrap();
        say(&canon, &mut signatures, vote(4, Prevote, 0, B)).unwrap();
    }

    #[test]
    fn a_conflict_is_found_wherever_the_second_signature_shows() {
        let (canon, mut signatures) = fresh();
        say(&canon, &mut signatures, vote(1, Precommit, 0, None)).unwrap();
        let signature = CommitSignature { validator: id(1), signature: [0; SIGNATURE_BYTES] };
        let (height, round, block_hash) = (Height(1), Round(0), A.unwrap());
        let signatures_ = vec![signature];
        let certificate = CommitCertificate { height, round, block_hash, signatures: signatures_.clone() };
        assert!(signatures.certificate(&canon, &certificate).unwrap_err().text.contains("two Precommit"));
        say(&canon, &mut signatures, vote(1, Prevote, 0, B)).unwrap();
        let polka = PolkaCertificate { height, round, block_hash, signatures: signatures_ };
        let sent = signatures.sent(&canon, &ConsensusMessage::PolkaCertificate(polka));
        assert!(sent.unwrap_err().text.contains("two Prevote"));
    }

    #[test]
    fn two_proposals_of_one_round_conflict_if_anything_signed_differs() {
        let proposal = |pol_round: Option<u32>, body: &[u8]| {
            let proposal = Proposal {
                height: Height(1),
                round: Round(1),
                pol_round: pol_round.map(Round),
                block_hash: A.unwrap(),
                parts: PartList::of(body).unwrap(),
                proposer: id(1),
            };
            ConsensusMessage::Proposal(SignedProposal { proposal, signature: [0; SIGNATURE_BYTES] })
        };
        let (canon, mut signatures) = fresh();
        assert_eq!(signatures.sent(&canon, &proposal(Some(0), b"a")), Ok(Noted::ProposedAgain));
        signatures.sent(&canon, &proposal(Some(0), b"a")).unwrap();
        assert!(signatures.sent(&canon, &proposal(None, b"a")).is_err());
        let (canon, mut signatures) = fresh();
        signatures.sent(&canon, &proposal(None, b"a")).unwrap();
        assert!(signatures.sent(&canon, &proposal(None, b"b")).is_err());
    }

    /// All honest validators prevote a block; together with the Byzantine one that is a polka.
    fn polka(canon: &Canon, signatures: &mut Signatures, round: u32, block: Option<B256>, seeds: &[u8]) {
        for seed in seeds {
            say(canon, signatures, vote(*seed, Prevote, round, block)).unwrap();
        }
    }

    #[test]
    fn a_precommit_needs_a_polka_of_its_round() {
        let (canon, mut signatures) = fresh();
        polka(&canon, &mut signatures, 0, A, &[1]);
        assert!(say(&canon, &mut signatures, vote(1, Precommit, 0, A)).unwrap_err().text.contains("without a polka"));
        let (canon, mut signatures) = fresh();
        polka(&canon, &mut signatures, 0, A, &[1, 2]);
        say(&canon, &mut signatures, vote(1, Precommit, 0, A)).unwrap();
        assert!(say(&canon, &mut signatures, vote(2, Precommit, 1, A)).is_err(), "a polka of another round");
        // The prevote may be sent after the precommit, but it must be for the same block.
        let (canon, mut signatures) = fresh();
        polka(&canon, &mut signatures, 0, A, &[2]);
        say(&canon, &mut signatures, vote(1, Precommit, 0, A)).unwrap();
        let (canon, mut signatures) = fresh();
        polka(&canon, &mut signatures, 0, A, &[2]);
        say(&canon, &mut signatures, vote(1, Prevote, 0, None)).unwrap();
        assert!(say(&canon, &mut signatures, vote(1, Precommit, 0, A)).is_err());
    }

    #[test]
    fn a_lock_is_left_on_a_polka_from_its_round_on_alone() {
        let locked = || {
            let (canon, mut signatures) = fresh();
            polka(&canon, &mut signatures, 1, A, &[1, 2]);
            say(&canon, &mut signatures, vote(1, Precommit, 1, A)).unwrap();
            (canon, signatures)
        };
        let (canon, mut signatures) = locked();
        let betrayal = say(&canon, &mut signatures, vote(1, Prevote, 3, B)).unwrap_err();
        assert!(betrayal.text.contains("locked on"), "{betrayal}");
        let (canon, mut signatures) = locked();
        say(&canon, &mut signatures, vote(1, Prevote, 3, None)).unwrap();
        say(&canon, &mut signatures, vote(1, Prevote, 4, A)).unwrap();
        let (canon, mut signatures) = locked();
        polka(&canon, &mut signatures, 2, B, &[2, 3]);
        say(&canon, &mut signatures, vote(1, Prevote, 3, B)).unwrap();
        polka(&canon, &mut signatures, 3, B, &[2, 3]);
        assert_eq!(say(&canon, &mut signatures, vote(1, Precommit, 3, B)), Ok(Noted::LockChanged));
        // An earlier polka does not release a lock.
        let (canon, mut signatures) = fresh();
        polka(&canon, &mut signatures, 0, B, &[2, 3]);
        polka(&canon, &mut signatures, 1, A, &[1, 2]);
        say(&canon, &mut signatures, vote(1, Precommit, 1, A)).unwrap();
        assert!(say(&canon, &mut signatures, vote(1, Prevote, 2, B)).is_err());
    }

    #[test]
    fn nobody_votes_beyond_the_next_height() {
        let (canon, mut signatures) = fresh();
        let mut far = vote(1, Prevote, 0, A);
        far.vote.height = Height(2);
        assert!(say(&canon, &mut signatures, far).unwrap_err().text.contains("above the height"));
        let mut stranger = vote(1, Prevote, 0, A);
        stranger.vote.validator = PEG;
        say(&canon, &mut signatures, stranger).unwrap();
    }
}
