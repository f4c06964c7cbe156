//! Rules of one host about heights other than the current one: early messages, late messages, lagging peers. Pitfall numbers
//! refer to the table in `lib.rs`.

use crate::kit::*;
use alloy_primitives::Bytes;
use causeway_consensus::*;

/// Pitfall 5: the buffer for the next height is bounded, and its messages are used when the height starts.
#[test]
fn messages_of_the_next_height_are_verified_and_buffered_up_to_a_bound() {
    let mut kit = Kit::started(4);
    let (one, two) = (block(1, 50), block(2, 50));
    kit.hear(ConsensusMessage::Proposal(kit.proposal(2, 0, None, &two)));
    assert_eq!(kit.host.verdict(), MessageVerdict::Accept);
    for part in kit.parts(2, &two) {
        kit.hear(part);
    }
    for n in kit.others() {
        kit.hear(kit.prevote(n, 2, 0, Some(two.hash)));
        assert_eq!(kit.host.verdict(), MessageVerdict::Accept);
        kit.hear(kit.prevote(n, 2, 1_000, Some(two.hash)));
        assert_eq!(kit.host.verdict(), MessageVerdict::Ignore, "distant rounds are not buffered");
        kit.hear(kit.prevote(n, 3, 0, Some(two.hash)));
        assert_eq!(kit.host.verdict(), MessageVerdict::Ignore, "distant heights are not buffered");
    }
    assert!(decided(&kit.decide(1, &one)).is_some());
    let outputs = kit.start(2);
    assert_eq!(asked(&outputs), [(two.hash, two.body.clone())], "the proposal and its part were buffered");
    let outputs = kit.verdict(2, &two, true);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [Some(two.hash)]);
    assert_eq!(voted(&outputs, VoteKind::Precommit), [Some(two.hash)], "the polka was buffered too");
}

/// A node that waits for a height's start time starts it once an honest member has started it: more than a third must be
/// seen there.
#[test]
fn the_next_height_is_begun_elsewhere_once_more_than_a_third_was_heard_there() {
    let mut kit = Kit::started(4);
    let (set, next, far) = (kit.set.clone(), Height(2), Height(3));
    let others = kit.others();
    assert!(!kit.host.is_begun_elsewhere(next, &set));
    for round in 0..3 {
        kit.hear(kit.prevote(others[0], 2, round, None));
        kit.hear(kit.precommit(others[0], 2, round, None));
        assert!(!kit.host.is_begun_elsewhere(next, &set), "one of four, however often it speaks");
    }
    let mut forged = kit.signed_vote(others[1], VoteKind::Prevote, 2, 0, None);
    forged.signature[5] ^= 1;
    kit.hear(ConsensusMessage::Vote(forged));
    assert!(!kit.host.is_begun_elsewhere(next, &set), "a forged vote does not count");
    kit.hear(kit.prevote(others[1], 2, 0, None));
    assert!(kit.host.is_begun_elsewhere(next, &set));
    assert!(!kit.host.is_begun_elsewhere(far, &set), "no message of that height arrived");
    let stronger =
        ValidatorSet::new(set.iter().map(|member| Validator::new(member.key, weight(&kit, member))).collect());
    assert!(!kit.host.is_begun_elsewhere(next, &stronger.unwrap()), "exactly a third");
    kit.decide(1, &block(1, 50));
    kit.start(2);
    assert!(!kit.host.is_begun_elsewhere(next, &set), "it has started here");

    // A proposal counts as a message too.
    let mut kit = Kit::started(4);
    let proposer = kit.proposer(2, 0);
    kit.hear(ConsensusMessage::Proposal(kit.proposal(2, 0, None, &block(2, 50))));
    assert!(!kit.host.is_begun_elsewhere(next, &set));
    let another = (0..4).find(|n| *n != proposer && kit.others().contains(n)).unwrap();
    kit.hear(kit.prevote(another, 2, 0, None));
    assert!(kit.host.is_begun_elsewhere(next, &set));
}

/// Powers that give the first two other validators a third together.
fn weight(kit: &Kit, member: &Validator) -> u64 {
    if kit.others()[..2].iter().any(|n| kit.id(*n) == member.id) { 1 } else { 2 }
}

/// Pitfall 15.
#[test]
fn a_lagging_peer_gets_certificate_and_body_a_delayed_vote_does_not() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    assert!(decided(&kit.decide(1, &block)).is_some());
    kit.start(2);
    let n = kit.others()[0];
    let straggler = kit.precommit(n, 1, 0, Some(block.hash));
    assert!(sent(&kit.hear(straggler.clone())).is_empty(), "votes still in flight are normal");
    let outputs = kit.hear(kit.prevote(n, 1, 1, None));
    let [ConsensusMessage::Decision(notice)] = sent(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(notice.body, block.body);
    notice.certificate.verify(CHAIN, &kit.set).unwrap();
    assert!(sent(&kit.hear(kit.prevote(n, 1, 2, None))).is_empty(), "not twice in a second");
    kit.now_ms += 1_000;
    assert_eq!(sent(&kit.hear(straggler)).len(), 1, "repeated votes mean it is stuck");
}

/// Pitfall 15, seen from the lagging peer.
#[test]
fn a_decision_notice_decides_after_validation() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    let certificate = kit.certificate(1, 3, block.hash, 3);
    let notice = DecisionNotice { certificate: certificate.clone(), body: block.body.clone() };
    let outputs = kit.hear(ConsensusMessage::Decision(notice.clone()));
    assert_eq!(asked(&outputs), [(block.hash, block.body.clone())]);
    assert!(kit.hear(ConsensusMessage::Decision(notice)).is_empty(), "asked once");
    let outputs = kit.verdict(1, &block, true);
    assert_eq!(decided(&outputs), Some((&certificate, &block.body)));
    assert!(kit.hear(kit.prevote(0, 1, 0, None)).iter().all(|o| !matches!(o, Output::AppendWal(_))));
}

#[test]
fn a_decision_of_a_block_that_is_valid_here_needs_no_second_verdict() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    kit.propose_valid(1, 0, None, &block);
    let certificate = kit.certificate(1, 0, block.hash, 3);
    let outputs = kit.feed(Input::SyncedBlock { from: PEER, certificate, body: Bytes::from_static(b"any other body") });
    assert_eq!(decided(&outputs).unwrap().1, &block.body, "our own copy is the validated one");
}

#[test]
fn forged_decisions_are_blamed_and_decide_nothing() {
    let mut kit = Kit::started(4);
    let block = block(1, 10);
    let body = block.body.clone();
    let weak = kit.certificate(1, 0, block.hash, 2);
    let outputs = kit.feed(Input::SyncedBlock { from: PEER, certificate: weak, body: body.clone() });
    assert_eq!(blamed(&outputs), Some(&Misbehaviour::InvalidCertificate("commit certificate")));
    let mut forged = kit.certificate(1, 0, block.hash, 3);
    forged.signatures[2].signature[40] ^= 1;
    let outputs = kit.feed(Input::SyncedBlock { from: PEER, certificate: forged, body: body.clone() });
    assert!(blamed(&outputs).is_some());
    // A valid certificate with a wrong body: the body is found invalid, the peer is blamed, the right body still decides.
    let certificate = kit.certificate(1, 0, block.hash, 3);
    let wrong = Bytes::from_static(b"wrong");
    let outputs = kit.feed(Input::SyncedBlock { from: PEER, certificate: certificate.clone(), body: wrong });
    assert_eq!(asked(&outputs).len(), 1);
    assert_eq!(blamed(&kit.verdict(1, &block, false)), Some(&Misbehaviour::WrongBody));
    let outputs = kit.feed(Input::SyncedBlock { from: 78, certificate, body });
    assert_eq!(asked(&outputs).len(), 1);
    assert!(decided(&kit.verdict(1, &block, true)).is_some());
}

#[test]
fn a_greater_height_is_reported_at_a_limited_rate() {
    let mut kit = Kit::started(4);
    let behind = |outputs: &[Output]| outputs.contains(&Output::Behind { peer: PEER, height: Height(9) });
    assert!(behind(&kit.hear(kit.prevote(0, 9, 0, None))));
    assert!(!behind(&kit.hear(kit.prevote(0, 9, 0, None))));
    kit.now_ms += 500;
    assert!(behind(&kit.hear(kit.prevote(0, 9, 0, None))));
    // The next height alone is normal for a while.
    let mut kit = Kit::started(4);
    let n = kit.others()[0];
    let next = |outputs: &[Output]| outputs.contains(&Output::Behind { peer: PEER, height: Height(2) });
    assert!(!next(&kit.hear(kit.prevote(n, 2, 0, None))));
    kit.now_ms += 600;
    assert!(next(&kit.hear(kit.prevote(n, 2, 0, None))));
}

#[test]
fn starting_an_old_height_again_is_ignored() {
    let mut kit = Kit::started(4);
    assert!(kit.start(1).is_empty());
    assert!(kit.start(0).is_empty());
    assert!(!kit.start(7).is_empty(), "heights decided elsewhere may be skipped");
    assert_eq!(kit.host.status().height, Height(7));
}

#[test]
fn before_the_first_height_everything_is_ignored() {
    let mut kit = Kit::idle(4, 0);
    assert!(kit.hear(kit.prevote(1, 1, 0, None)).is_empty());
    assert!(kit.feed(Input::Tick).is_empty());
    assert!(kit.verdict(1, &block(1, 1), true).is_empty());
    assert_eq!(kit.host.next_deadline_ms(), None);
    assert_eq!(kit.host.status().step, None);
}
