//! Rules of one host within a height; `heights.rs` covers other heights. Pitfall numbers refer to the table in `lib.rs`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::kit::*;
use alloy_primitives::{B256, Bytes};
use causeway_consensus::*;

const NIL: Option<B256> = None;

fn position(outputs: &[Output], wanted: impl Fn(&Output) -> bool) -> usize {
    outputs.iter().position(wanted).expect("the output is there")
}

#[test]
fn a_valid_proposal_is_prevoted_precommitted_and_decided() {
    let mut kit = Kit::started(4);
    let block = block(1, 100);
    let outputs = kit.propose_valid(1, 0, None, &block);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [Some(block.hash)]);
    let outputs = kit.decide(1, &block);
    assert_eq!(voted(&outputs, VoteKind::Precommit), [Some(block.hash)]);
    let (certificate, body) = decided(&outputs).unwrap();
    assert_eq!(*body, block.body);
    certificate.verify(CHAIN, &kit.set).unwrap();
    assert_eq!(kit.host.status().step, Some(HostStep::Decided));
    assert_eq!(kit.host.next_deadline_ms(), None, "no timer runs after the decision");
}

/// Pitfall 2: the sign state, then the log, then the network.
#[test]
fn a_vote_is_persisted_then_logged_then_broadcast() {
    let mut kit = Kit::started(4);
    let outputs = kit.propose_valid(1, 0, None, &block(1, 100));
    let persisted = position(&outputs, |o| matches!(o, Output::PersistSignState(_)));
    let sent = position(&outputs, |o| matches!(o, Output::Broadcast(ConsensusMessage::Vote(_))));
    let logged = outputs.iter().rposition(|o| matches!(o, Output::AppendWal(_))).unwrap();
    assert!(persisted < logged && logged < sent, "{persisted} {logged} {sent}");
    let body = position(&outputs, |o| matches!(o, Output::AppendWal(entry) if entry.len() > 100));
    assert!(body < persisted, "the body is in the log before any signature for the block");
}

/// Pitfalls 1 and 2: the decision comes after all messages that led to it.
#[test]
fn the_log_is_complete_before_the_decision() {
    let mut kit = Kit::started(4);
    let outputs = kit.decide(1, &block(1, 100));
    let decided = position(&outputs, |o| matches!(o, Output::Decided { .. }));
    assert!(outputs[decided..].iter().all(|o| !matches!(o, Output::AppendWal(_) | Output::PersistSignState(_))));
}

#[test]
fn the_proposer_builds_and_proposes_with_all_parts() {
    let probe = Kit::idle(4, 0);
    let mut kit = Kit::idle(4, probe.proposer(1, 0));
    let outputs = kit.start(1);
    assert!(outputs.contains(&Output::ResetWal { height: Height(1) }));
    let deadline_ms = kit.now_ms + 900;
    assert!(outputs.contains(&Output::BuildBlock { height: Height(1), round: Round(0), deadline_ms }));
    let block = block(1, 2 * PART_BYTES + 1);
    let built =
        Input::BlockBuilt { height: Height(1), round: Round(0), block_hash: block.hash, body: block.body.clone() };
    let outputs = kit.feed(built.clone());
    let broadcast: Vec<_> = outputs
        .iter()
        .filter_map(|o| match o {
            Output::Broadcast(message) => Some(message.name()),
            _ => None,
        })
        .collect();
    assert_eq!(broadcast.iter().filter(|name| **name == "part").count(), 3);
    assert_eq!(broadcast.iter().filter(|name| **name == "proposal").count(), 1);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [Some(block.hash)]);
    assert!(kit.feed(built).is_empty(), "a second answer to one request is ignored");
}

#[test]
fn a_block_built_too_late_or_too_large_is_not_proposed() {
    let probe = Kit::idle(4, 0);
    let mut kit = Kit::idle(4, probe.proposer(1, 0));
    kit.start(1);
    let huge = block(1, MAX_BLOCK_BYTES + 1);
    let built =
        |b: &Block, round| Input::BlockBuilt { height: Height(1), round, block_hash: b.hash, body: b.body.clone() };
    assert!(kit.feed(built(&huge, Round(0))).is_empty());

    let mut kit = Kit::idle(4, probe.proposer(1, 0));
    kit.start(1);
    let outputs = kit.wait(1_000);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [NIL]);
    let late = block(1, 10);
    let outputs = kit.feed(built(&late, Round(0)));
    // Our own prevote is nil already, but the proposal may still help others, and it is not a second signature of the same
    // step.
    assert!(voted(&outputs, VoteKind::Prevote).is_empty());
}

#[test]
fn a_silent_proposer_leads_to_nil_and_the_next_round() {
    let mut kit = Kit::started(4);
    let outputs = kit.wait(1_000);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [NIL]);
    for n in kit.others() {
        kit.hear(kit.prevote(n, 1, 0, None));
    }
    for n in kit.others() {
        kit.hear(kit.precommit(n, 1, 0, None));
    }
    kit.wait(600);
    assert_eq!(kit.host.status().round, Round(1));
    assert_eq!(kit.host.status().proposer, Some(kit.set.proposer(Height(1), Round(1)).id));
}

#[test]
fn timeouts_grow_with_rounds_up_to_a_limit() {
    let timeouts = config().timeouts;
    let mut kit = Kit::started(4);
    let certificate = kit.round_certificate(RoundCertificateKind::Skip, 1, 5, 2);
    kit.hear(ConsensusMessage::RoundCertificate(certificate));
    assert_eq!(kit.host.status().round, Round(5), "more than a third is there");
    let due = kit.host.next_deadline_ms().unwrap() - kit.now_ms;
    assert_eq!(
        due.min(timeouts.rebroadcast_ms),
        timeouts.rebroadcast_ms.min(timeouts.propose_ms + 5 * timeouts.delta_ms)
    );
    let far = kit.round_certificate(RoundCertificateKind::Skip, 1, MAX_ROUND.0, 2);
    kit.hear(ConsensusMessage::RoundCertificate(far));
    assert_eq!(kit.host.status().round, MAX_ROUND);
}

#[test]
fn rounds_beyond_the_limit_are_refused() {
    let mut kit = Kit::started(4);
    for round in [MAX_ROUND.0 + 1, u32::MAX] {
        let outputs = kit.hear(kit.prevote(0, 1, round, None));
        assert_eq!(blamed(&outputs), Some(&Misbehaviour::RoundTooHigh));
    }
}

/// Pitfall 5: an unverified vote reaches neither the core nor a buffer.
#[test]
fn votes_are_verified_at_ingress() {
    for height in [1, 2] {
        let mut kit = Kit::started(4);
        let n = kit.others()[0];
        let ConsensusMessage::Vote(mut vote) = kit.prevote(n, height, 0, None) else { unreachable!() };
        vote.signature[5] ^= 1;
        let outputs = kit.hear(ConsensusMessage::Vote(vote.clone()));
        assert_eq!(blamed(&outputs), Some(&Misbehaviour::InvalidSignature("vote")));
        assert_eq!(kit.host.verdict(), MessageVerdict::Reject);
        assert!(log(&outputs).is_empty());
        // The same bytes from another validator: also invalid.
        vote.signature[5] ^= 1;
        vote.vote.validator = kit.id(kit.others()[1]);
        assert!(blamed(&kit.hear(ConsensusMessage::Vote(vote))).is_some());
    }
}

/// Pitfall 7: a signature for another chain or another message type is invalid.
#[test]
fn signatures_are_bound_to_chain_kind_height_and_round() {
    let kit = Kit::started(4);
    let signed = kit.signed_vote(0, VoteKind::Prevote, 1, 0, Some(B256::ZERO));
    assert!(signed.verify(CHAIN, &kit.set));
    assert!(!signed.verify(B256::ZERO, &kit.set));
    let change: [fn(&mut Vote); 5] = [
        |v| v.kind = VoteKind::Precommit,
        |v| v.height = Height(2),
        |v| v.round = Round(1),
        |v| v.block_hash = None,
        |v| v.block_hash = Some(B256::repeat_byte(1)),
    ];
    for change in change {
        let mut other = signed.clone();
        change(&mut other.vote);
        assert!(!other.verify(CHAIN, &kit.set), "{other:?}");
    }
}

#[test]
fn a_vote_of_a_non_member_is_ignored() {
    let mut kit = Kit::started(4);
    let stranger = signer(99);
    let vote = Vote {
        kind: VoteKind::Prevote,
        height: Height(1),
        round: Round(0),
        block_hash: None,
        validator: stranger.validator(),
    };
    let signature = stranger.sign(&vote.sign_bytes(CHAIN)).unwrap();
    assert!(kit.hear(ConsensusMessage::Vote(SignedVote { vote, signature })).is_empty());
    assert_eq!(kit.host.verdict(), MessageVerdict::Ignore);
}

#[test]
fn a_known_vote_is_forwarded_again_at_a_limited_rate() {
    let mut kit = Kit::started(4);
    let vote = kit.prevote(kit.others()[0], 1, 0, None);
    let outputs = kit.hear(vote.clone());
    assert_eq!((log(&outputs).len(), kit.host.verdict()), (1, MessageVerdict::Accept));
    let outputs = kit.hear(vote.clone());
    assert_eq!((log(&outputs).len(), kit.host.verdict()), (0, MessageVerdict::Accept), "a rebroadcast is forwarded");
    kit.hear(vote.clone());
    assert_eq!(kit.host.verdict(), MessageVerdict::Ignore, "but at a limited rate");
    kit.now_ms += 500;
    kit.hear(vote);
    assert_eq!(kit.host.verdict(), MessageVerdict::Accept);
}

/// Pitfall 9, and the order of proposers.
#[test]
fn a_proposal_out_of_turn_or_with_an_impossible_polka_is_refused() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    let wrong = (kit.proposer(1, 0) + 1) % 4;
    let mut proposal = kit.proposal(1, 0, None, &block).proposal;
    proposal.proposer = kit.id(wrong);
    let signed = kit.sign_proposal(wrong, proposal);
    assert_eq!(blamed(&kit.hear(ConsensusMessage::Proposal(signed))), Some(&Misbehaviour::WrongProposer));
    for pol_round in [1, 2] {
        let signed = kit.proposal(1, 1, Some(pol_round), &block);
        assert_eq!(blamed(&kit.hear(ConsensusMessage::Proposal(signed))), Some(&Misbehaviour::WrongPolRound));
    }
    let mut signed = kit.proposal(1, 0, None, &block);
    signed.proposal.parts.total_bytes += 1; // still one part, but not the signed length
    assert_eq!(
        blamed(&kit.hear(ConsensusMessage::Proposal(signed))),
        Some(&Misbehaviour::InvalidSignature("proposal"))
    );
    let mut signed = kit.proposal(1, 0, None, &block);
    signed.proposal.parts.hashes.clear();
    assert_eq!(blamed(&kit.hear(ConsensusMessage::Proposal(signed))), Some(&Misbehaviour::OverLimit));
}

/// Pitfall 17.
#[test]
fn a_part_with_other_bytes_or_another_index_is_refused() {
    let mut kit = Kit::started(4);
    let block = block(1, 2 * PART_BYTES);
    kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 0, None, &block)));
    let ConsensusMessage::Part(part) = kit.parts(1, &block)[0].clone() else { unreachable!() };
    let mut other = part.clone();
    other.bytes = Bytes::from(vec![9; PART_BYTES]);
    assert_eq!(blamed(&kit.hear(ConsensusMessage::Part(other))), Some(&Misbehaviour::WrongPart));
    let mut other = part.clone();
    other.index = 2;
    assert_eq!(blamed(&kit.hear(ConsensusMessage::Part(other))), Some(&Misbehaviour::WrongPart));
    let mut other = part;
    other.index = u32::MAX;
    assert_eq!(blamed(&kit.hear(ConsensusMessage::Part(other))), Some(&Misbehaviour::OverLimit));
}

/// Pitfall 17: a missing part is requested by index from a peer that has shown to have it.
#[test]
fn missing_parts_and_proposals_are_pulled_and_served() {
    let mut kit = Kit::started(4);
    let block = block(1, 3 * PART_BYTES);
    let n = kit.others()[0];
    kit.hear(kit.prevote(n, 1, 0, Some(block.hash)));
    let outputs = kit.wait(200);
    let request = ProposalRequest { height: Height(1), round: Round(0) };
    assert_eq!(sent(&outputs), [&ConsensusMessage::ProposalRequest(request)]);
    kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 0, None, &block)));
    let parts = kit.parts(1, &block);
    kit.hear(parts[1].clone());
    let outputs = kit.wait(200);
    let root = PartList::of(&block.body).unwrap().root();
    let pull = PartRequest { height: Height(1), root, indices: vec![0, 2] };
    assert_eq!(sent(&outputs), [&ConsensusMessage::PartRequest(pull.clone())]);
    kit.hear(parts[0].clone());
    let outputs = kit.hear(parts[2].clone());
    assert_eq!(asked(&outputs), [(block.hash, block.body.clone())]);
    // Now this host has them and serves them, even before it knows whether the block is valid.
    let outputs = kit.hear(ConsensusMessage::PartRequest(pull));
    assert_eq!(sent(&outputs), [&parts[0], &parts[2]]);
    let outputs = kit.hear(ConsensusMessage::ProposalRequest(request));
    assert_eq!(sent(&outputs).len(), 1);
}

#[test]
fn part_requests_out_of_order_or_for_unknown_bodies_get_nothing() {
    let mut kit = Kit::started(4);
    let unknown = PartRequest { height: Height(1), root: B256::ZERO, indices: vec![0, 1, 63] };
    assert!(kit.hear(ConsensusMessage::PartRequest(unknown.clone())).is_empty());
    for indices in [vec![], vec![1, 1], vec![2, 1], (0..100).collect()] {
        let request = PartRequest { indices, ..unknown.clone() };
        assert_eq!(blamed(&kit.hear(ConsensusMessage::PartRequest(request))), Some(&Misbehaviour::OverLimit));
    }
}

/// Pitfall 14: no verdict counts neither as valid nor as invalid.
#[test]
fn without_a_verdict_the_block_is_neither_accepted_nor_refused() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 0, None, &block)));
    for part in kit.parts(1, &block) {
        let outputs = kit.hear(part);
        assert!(votes(&outputs).is_empty() && log(&outputs).is_empty());
    }
    let outputs = kit.wait(1_000);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [NIL], "only the timeout causes a vote");
    // The others accept and decide the block: this host follows once it can validate it.
    for n in kit.others() {
        kit.hear(kit.prevote(n, 1, 0, Some(block.hash)));
    }
    for n in kit.others() {
        kit.hear(kit.precommit(n, 1, 0, Some(block.hash)));
    }
    let outputs = kit.verdict(1, &block, true);
    assert!(decided(&outputs).is_some());
}

#[test]
fn an_invalid_block_is_prevoted_nil_at_once() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 0, None, &block)));
    for part in kit.parts(1, &block) {
        kit.hear(part);
    }
    let outputs = kit.verdict(1, &block, false);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [NIL]);
}

/// A proposer that sends garbage under an honest block's hash cannot exclude that block.
#[test]
fn a_garbage_body_under_a_blocks_hash_does_not_exclude_the_block() {
    let mut kit = Kit::started(4);
    let honest = block(1, 10);
    let garbage = Block { hash: honest.hash, body: Bytes::from_static(b"garbage") };
    kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 0, None, &garbage)));
    for part in kit.parts(1, &garbage) {
        kit.hear(part);
    }
    // Before the verdict on the garbage, a second proposal of the same round brings the real body.
    let outputs = kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 0, None, &honest)));
    assert!(matches!(outputs[0], Output::Equivocation(_)));
    for part in kit.parts(1, &honest) {
        assert!(asked(&kit.hear(part)).is_empty(), "one body of a block is validated at a time");
    }
    let outputs = kit.verdict(1, &honest, false);
    assert_eq!(asked(&outputs), [(honest.hash, honest.body.clone())]);
    kit.verdict(1, &honest, true);
    for n in kit.others() {
        kit.hear(kit.prevote(n, 1, 0, Some(honest.hash)));
    }
    let mut outputs = Vec::new();
    for n in kit.others() {
        outputs.extend(kit.hear(kit.precommit(n, 1, 0, Some(honest.hash))));
    }
    assert_eq!(decided(&outputs).unwrap().1, &honest.body);
}

/// Pitfall 6: found at ingress, even when the second vote arrives after the height is decided.
#[test]
fn a_double_vote_is_evidence_once_even_when_late() {
    for late in [false, true] {
        let mut kit = Kit::started(4);
        let block = block(1, 10);
        let n = kit.others()[0];
        kit.hear(kit.prevote(n, 1, 0, Some(block.hash)));
        if late {
            assert!(decided(&kit.decide(1, &block)).is_some());
            kit.start(2);
        }
        let outputs = kit.hear(kit.prevote(n, 1, 0, None));
        let Some(Output::Equivocation(evidence)) = outputs.first() else { panic!("late {late}: {outputs:?}") };
        assert_eq!(evidence.validator(), kit.id(n));
        evidence.verify(CHAIN, &kit.signers[n].key()).unwrap();
        let again = kit.hear(kit.prevote(n, 1, 0, Some(B256::repeat_byte(5))));
        assert!(!again.iter().any(|o| matches!(o, Output::Equivocation(_))), "one pair is enough");
    }
}

#[test]
fn a_double_vote_hidden_in_a_certificate_is_evidence() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    kit.hear(kit.prevote(kit.others()[0], 1, 0, None));
    let outputs = kit.hear(ConsensusMessage::PolkaCertificate(kit.polka(1, 0, block.hash, 4)));
    assert!(outputs.iter().any(|o| matches!(o, Output::Equivocation(_))));
}

#[test]
fn certificates_are_verified_before_the_core_sees_them() {
    let mut kit = Kit::started(4);
    let mut polka = kit.polka(1, 0, B256::ZERO, 2);
    assert!(blamed(&kit.hear(ConsensusMessage::PolkaCertificate(polka.clone()))).is_some(), "two of four");
    polka = kit.polka(1, 0, B256::ZERO, 3);
    polka.signatures[1].signature[0] ^= 1;
    assert!(blamed(&kit.hear(ConsensusMessage::PolkaCertificate(polka))).is_some());
    let mut round = kit.round_certificate(RoundCertificateKind::Precommit, 1, 3, 2);
    assert!(blamed(&kit.hear(ConsensusMessage::RoundCertificate(round.clone()))).is_some());
    round.kind = RoundCertificateKind::Skip;
    round.signatures[0].kind = VoteKind::Prevote;
    assert!(blamed(&kit.hear(ConsensusMessage::RoundCertificate(round))).is_some());
    assert_eq!(kit.host.status().round, Round(0));
}

/// The lock, and the polka that releases it (paper, lines 22 to 33).
#[test]
fn a_locked_validator_prevotes_nil_for_another_block_without_a_newer_polka() {
    let (mut kit, one, two) = locked_in_round_0();
    let outputs = kit.propose_valid(1, 1, None, &two);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [NIL]);
    let _ = one;
}

#[test]
fn a_locked_validator_prevotes_its_own_block_again() {
    let (mut kit, one, _) = locked_in_round_0();
    let outputs = kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 1, Some(0), &one)));
    assert_eq!(voted(&outputs, VoteKind::Prevote), [Some(one.hash)], "with the body it has");
}

#[test]
fn a_locked_validator_follows_a_newer_polka() {
    let (mut kit, _, two) = locked_in_round_0();
    kit.hear(ConsensusMessage::PolkaCertificate(kit.polka(1, 1, two.hash, 3)));
    let certificate = kit.round_certificate(RoundCertificateKind::Precommit, 1, 1, 3);
    kit.hear(ConsensusMessage::RoundCertificate(certificate));
    kit.wait(700);
    assert_eq!(kit.host.status().round, Round(2));
    if kit.proposer(1, 2) == kit.us {
        return; // we are the proposer in this case, so there is no proposal to follow
    }
    let outputs = kit.propose_valid(1, 2, Some(1), &two);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [Some(two.hash)]);
}

/// A host locked on the first block since round 0, now in round 1, where it is not the proposer.
fn locked_in_round_0() -> (Kit, Block, Block) {
    let probe = Kit::idle(4, 0);
    let us = (0..4).find(|n| *n != probe.proposer(1, 0) && *n != probe.proposer(1, 1)).unwrap();
    let mut kit = Kit::idle(4, us);
    kit.start(1);
    let (one, two) = (block(1, 50), block(2, 50));
    kit.propose_valid(1, 0, None, &one);
    let mut outputs = Vec::new();
    for n in kit.others() {
        outputs.extend(kit.hear(kit.prevote(n, 1, 0, Some(one.hash))));
    }
    assert_eq!(voted(&outputs, VoteKind::Precommit), [Some(one.hash)]);
    for n in kit.others() {
        kit.hear(kit.precommit(n, 1, 0, None));
    }
    kit.wait(600);
    assert_eq!(kit.host.status().round, Round(1));
    (kit, one, two)
}

/// Pitfall 11: a block is proposed again with its original parts.
#[test]
fn a_block_is_proposed_again_with_its_original_parts() {
    let probe = Kit::idle(4, 0);
    let mut kit = Kit::idle(4, probe.proposer(1, 1));
    assert_ne!(kit.us, kit.proposer(1, 0), "equal validators take turns");
    kit.start(1);
    let block = block(1, 2 * PART_BYTES);
    kit.propose_valid(1, 0, None, &block);
    for n in kit.others() {
        kit.hear(kit.prevote(n, 1, 0, Some(block.hash)));
    }
    for n in kit.others() {
        kit.hear(kit.precommit(n, 1, 0, None));
    }
    let outputs = kit.wait(600);
    assert_eq!(kit.host.status().round, Round(1));
    let broadcast: Vec<_> = outputs
        .iter()
        .filter_map(|o| match o {
            Output::Broadcast(message) => Some(message.clone()),
            _ => None,
        })
        .collect();
    let again = broadcast.iter().find_map(|m| match m {
        ConsensusMessage::Proposal(signed) => Some(&signed.proposal),
        _ => None,
    });
    let again = again.expect("the valid block is proposed again");
    assert_eq!((again.block_hash, again.pol_round), (block.hash, Some(Round(0))));
    assert_eq!(again.parts, PartList::of(&block.body).unwrap());
    for part in kit.parts(1, &block) {
        assert!(broadcast.contains(&part));
    }
    assert!(broadcast.iter().any(|m| matches!(m, ConsensusMessage::PolkaCertificate(_))), "with its polka");
    assert!(!outputs.iter().any(|o| matches!(o, Output::BuildBlock { .. })));
}

#[test]
fn a_host_without_a_key_decides_and_sends_nothing() {
    let mut kit = Kit::idle(4, 0);
    kit.host = Host::new(config(), None, SignState::default());
    kit.start(1);
    let block = block(1, 10);
    let mut outputs = kit.decide(1, &block);
    outputs.extend(kit.hear(kit.precommit(0, 1, 0, Some(block.hash))));
    assert!(decided(&outputs).is_some());
    assert!(!outputs.iter().any(|o| matches!(o, Output::Broadcast(_) | Output::PersistSignState(_))));
}

#[test]
fn a_validator_outside_the_set_follows_silently() {
    let mut kit = Kit::idle(4, 0);
    kit.host = Host::new(config(), Some(Box::new(signer(50))), SignState::default());
    kit.start(1);
    assert!(!kit.host.status().validating);
    let outputs = kit.propose_valid(1, 0, None, &block(1, 10));
    assert!(votes(&outputs).is_empty());
}

#[test]
fn a_lone_validator_decides_within_the_step_of_its_own_block() {
    let mut kit = Kit::idle(1, 0);
    kit.start(1);
    let block = block(1, 10);
    let built =
        Input::BlockBuilt { height: Height(1), round: Round(0), block_hash: block.hash, body: block.body.clone() };
    let outputs = kit.feed(built);
    assert_eq!(decided(&outputs).unwrap().0.signatures.len(), 1);
    assert_eq!(outputs.iter().filter(|o| matches!(o, Output::PersistSignState(_))).count(), 3);
}

struct Broken;

impl Signer for Broken {
    fn validator(&self) -> ValidatorId {
        signer(0).validator()
    }

    fn sign(&self, _bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SignerError> {
        Err(SignerError::Unavailable("the token was removed".to_owned()))
    }
}

#[test]
fn a_validator_with_a_broken_signer_only_follows() {
    let mut kit = Kit::idle(4, 0);
    kit.host = Host::new(config(), Some(Box::new(Broken)), SignState::default());
    kit.start(1);
    let block = block(1, 10);
    let mut outputs = kit.wait(1_000);
    outputs.extend(kit.decide(1, &block));
    assert!(decided(&outputs).is_some());
    assert!(votes(&outputs).is_empty());
    assert!(!outputs.iter().any(|o| matches!(o, Output::PersistSignState(_))));
}

/// A signer that is unavailable while the flag is set.
struct Away(Ed25519Signer, Arc<AtomicBool>);

impl Signer for Away {
    fn validator(&self) -> ValidatorId {
        self.0.validator()
    }

    fn sign(&self, bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SignerError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(SignerError::Unavailable("away".to_owned()));
        }
        self.0.sign(bytes)
    }
}

#[test]
fn a_vote_missed_by_an_unavailable_signer_is_signed_when_it_returns_and_repeated() {
    let mut kit = Kit::idle(4, 0);
    let us = (0..4).find(|n| *n != kit.proposer(1, 0)).unwrap();
    let away = Arc::new(AtomicBool::new(true));
    kit.us = us;
    kit.host = Host::new(config(), Some(Box::new(Away(signer(us), away.clone()))), SignState::default());
    kit.start(1);
    assert!(votes(&kit.wait(2_500)).is_empty());
    away.store(false, Ordering::Relaxed);
    let outputs = kit.wait(1_000);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [NIL]);
    assert!(last_sign_state(&outputs).is_some(), "durable before it leaves");
    assert_eq!(voted(&kit.wait(1_000), VoteKind::Prevote), [NIL], "repeated while nothing happens");
    // The core counts it: two more votes make the quorum that ends the step.
    let others = kit.others();
    kit.hear(kit.prevote(others[0], 1, 0, None));
    let outputs = kit.hear(kit.prevote(others[1], 1, 0, None));
    assert_eq!(voted(&outputs, VoteKind::Precommit), [NIL]);
}

#[test]
fn a_lone_validator_continues_when_its_signer_returns() {
    let mut kit = Kit::idle(1, 0);
    let away = Arc::new(AtomicBool::new(true));
    kit.host = Host::new(config(), Some(Box::new(Away(signer(0), away.clone()))), SignState::default());
    kit.start(1);
    let block = block(1, 10);
    let built = |round| Input::BlockBuilt {
        height: Height(1),
        round: Round(round),
        block_hash: block.hash,
        body: block.body.clone(),
    };
    let mut outputs = kit.feed(built(0));
    outputs.extend(kit.wait(5_000));
    assert!(votes(&outputs).is_empty() && decided(&outputs).is_none());
    away.store(false, Ordering::Relaxed);
    let outputs = kit.wait(1_600);
    assert!(outputs.iter().any(|o| matches!(o, Output::BuildBlock { round: Round(1), .. })), "{outputs:?}");
    assert!(decided(&kit.feed(built(1))).is_some());
}

#[test]
fn the_clock_may_step_back() {
    let mut kit = Kit::started(4);
    let deadline = kit.host.next_deadline_ms();
    assert!(kit.host.step(0, Input::Tick).is_empty());
    assert_eq!(kit.host.next_deadline_ms(), deadline);
}

#[test]
fn own_votes_are_repeated_while_nothing_happens() {
    let mut kit = Kit::started(4);
    kit.wait(1_000);
    let outputs = kit.wait(1_100);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [NIL]);
    assert!(last_sign_state(&outputs).is_none(), "the same signature again");
}
