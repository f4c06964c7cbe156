//! Restarts: a replay of the log restores the host's state, reuses its signatures, and stops on anything inconsistent.

use crate::kit::*;
use causeway_consensus::*;

/// Everything a node keeps on disk.
#[derive(Default, Clone)]
struct Disk {
    log: Vec<Vec<u8>>,
    sign_state: SignState,
}

impl Disk {
    fn keep(&mut self, outputs: &[Output]) {
        self.log.extend(log(outputs));
        if let Some(state) = last_sign_state(outputs) {
            self.sign_state = state;
        }
    }
}

fn restart(kit: &mut Kit, disk: &Disk) -> Result<Vec<Output>, RecoverError> {
    kit.host = Host::new(config(), Some(Box::new(signer(kit.us))), disk.sign_state.clone());
    kit.now_ms += 10_000;
    kit.host.recover(kit.now_ms, Height(1), kit.set.clone(), disk.log.clone())
}

/// A host that has prevoted and precommitted `block` in round 0, and its disk.
fn precommitted() -> (Kit, Block, Disk) {
    let mut kit = Kit::started(4);
    let mut disk = Disk::default();
    let block = block(1, 2 * PART_BYTES);
    disk.keep(&kit.propose_valid(1, 0, None, &block));
    for n in kit.others().into_iter().take(2) {
        disk.keep(&kit.hear(kit.prevote(n, 1, 0, Some(block.hash))));
    }
    (kit, block, disk)
}

fn signatures(outputs: &[Output]) -> Vec<SignedVote> {
    let votes = outputs.iter().filter_map(|o| match o {
        Output::Broadcast(ConsensusMessage::Vote(vote)) => Some(vote.clone()),
        _ => None,
    });
    votes.collect()
}

#[test]
fn a_replay_sends_the_same_messages_and_writes_nothing() {
    let (mut kit, block, disk) = precommitted();
    let outputs = restart(&mut kit, &disk).unwrap();
    assert_eq!(voted(&outputs, VoteKind::Prevote), [Some(block.hash)]);
    assert_eq!(voted(&outputs, VoteKind::Precommit), [Some(block.hash)]);
    for vote in signatures(&outputs) {
        assert!(vote.verify(CHAIN, &kit.set));
    }
    assert!(log(&outputs).is_empty(), "entries of the log are not appended again");
    assert!(last_sign_state(&outputs).is_none());
    assert!(!outputs.iter().any(|o| matches!(o, Output::ResetWal { .. })), "pitfall 3: nothing resets the log");
}

/// Pitfall 11: the log holds the body, so a locked validator can still decide, serve and propose the block.
#[test]
fn a_replayed_host_decides_with_the_body_from_its_log() {
    let (mut kit, block, disk) = precommitted();
    restart(&mut kit, &disk).unwrap();
    let root = PartList::of(&block.body).unwrap().root();
    let request = PartRequest { height: Height(1), root, indices: vec![0, 1] };
    assert_eq!(sent(&kit.hear(ConsensusMessage::PartRequest(request))).len(), 2);
    let mut outputs = Vec::new();
    for n in kit.others() {
        outputs.extend(kit.hear(kit.precommit(n, 1, 0, Some(block.hash))));
    }
    assert_eq!(decided(&outputs).unwrap().1, &block.body);
}

#[test]
fn a_crash_after_the_decision_decides_again() {
    let (mut kit, block, mut disk) = precommitted();
    for n in kit.others() {
        disk.keep(&kit.hear(kit.precommit(n, 1, 0, Some(block.hash))));
    }
    let outputs = restart(&mut kit, &disk).unwrap();
    assert_eq!(decided(&outputs).unwrap().1, &block.body);
}

/// The log may end at any entry after a crash, while the sign state is the last one: no conflicting message is ever signed.
#[test]
fn every_prefix_of_the_log_recovers_without_a_conflict() {
    let (kit, _, disk) = precommitted();
    let before = {
        let (mut kit, _, disk) = precommitted();
        signatures(&restart(&mut kit, &disk).unwrap())
    };
    for kept in 0..=disk.log.len() {
        let mut kit = Kit { host: Host::new(config(), None, SignState::default()), ..kit_like(&kit) };
        let cut = Disk { log: disk.log[..kept].to_vec(), sign_state: disk.sign_state.clone() };
        let mut outputs = restart(&mut kit, &cut).unwrap();
        outputs.extend(kit.wait(5_000)); // all timeouts of round 0
        for vote in signatures(&outputs) {
            let same = |other: &&SignedVote| (other.vote.kind, other.vote.round) == (vote.vote.kind, vote.vote.round);
            if let Some(first) = before.iter().find(same) {
                assert_eq!(first.vote, vote.vote, "{kept} entries kept");
            }
        }
    }
}

fn kit_like(kit: &Kit) -> Kit {
    Kit::idle(kit.signers.len(), kit.us)
}

/// The log is lost and only the sign state remains.
#[test]
fn a_host_with_a_lost_log_signs_nothing_new_where_it_signed() {
    let (mut kit, block, mut disk) = precommitted();
    disk.log.clear();
    restart(&mut kit, &disk).unwrap();
    let other = crate::kit::block(9, 10);
    let mut outputs = kit.propose_valid(1, 0, None, &other);
    outputs.extend(kit.wait(2_000));
    // It repeats the messages that it signed and sends no others.
    assert!(!votes(&outputs).is_empty(), "others may wait for these votes");
    assert!(votes(&outputs).iter().all(|vote| vote.block_hash == Some(block.hash)), "{:?}", votes(&outputs));
    assert!(kit.host.status().last_refusal.is_some());
    // In a later round it signs again, but keeps its lock.
    for n in kit.others() {
        kit.hear(kit.precommit(n, 1, 0, None));
    }
    kit.wait(600);
    assert_eq!(kit.host.status().round, Round(1));
    if kit.proposer(1, 1) != kit.us {
        let outputs = kit.propose_valid(1, 1, None, &other);
        assert_eq!(voted(&outputs, VoteKind::Prevote), [None], "locked on {}", block.hash);
    }
}

/// A sign state restored from a backup is updated from the log.
#[test]
fn an_old_sign_state_is_updated_from_the_log() {
    let (mut kit, _, mut disk) = precommitted();
    let newest = std::mem::take(&mut disk.sign_state);
    let outputs = restart(&mut kit, &disk).unwrap();
    assert_eq!(last_sign_state(&outputs), Some(newest));
}

#[test]
fn a_sign_state_that_contradicts_the_log_stops_the_node() {
    let (mut kit, _, mut disk) = precommitted();
    // Another process signed nil with the same key in the same round.
    let mut twin = Kit::idle(4, kit.us);
    twin.start(1);
    let mut outputs = twin.wait(900);
    for n in twin.others() {
        outputs.extend(twin.hear(twin.prevote(n, 1, 0, None)));
    }
    disk.sign_state = last_sign_state(&outputs).unwrap();
    assert!(matches!(restart(&mut kit, &disk), Err(RecoverError::Diverged { .. })));
}

#[test]
fn a_corrupt_entry_stops_the_node_with_its_place() {
    let (mut kit, _, disk) = precommitted();
    for (index, entry) in disk.log.iter().enumerate() {
        let mut broken = disk.clone();
        broken.log[index] = entry[..entry.len() - 1].to_vec();
        let error = restart(&mut kit, &broken).unwrap_err();
        assert!(matches!(error, RecoverError::Corrupt { index: at, .. } if at == index), "{error}");
        let mut longer = disk.clone();
        longer.log[index].push(0);
        assert!(matches!(restart(&mut kit, &longer), Err(RecoverError::Corrupt { .. })));
        let mut unknown = disk.clone();
        unknown.log[index][0] = 250;
        assert!(matches!(restart(&mut kit, &unknown), Err(RecoverError::Corrupt { .. })));
    }
}

/// A flipped byte in a signed entry is detected; no flipped byte causes a panic.
#[test]
fn a_flipped_byte_never_panics_and_signed_entries_notice_it() {
    let (mut kit, _, disk) = precommitted();
    for (index, entry) in disk.log.iter().enumerate().filter(|(_, entry)| entry.len() < 200) {
        for byte in 0..entry.len() {
            let mut broken = disk.clone();
            broken.log[index][byte] ^= 0x40;
            let result = restart(&mut kit, &broken);
            if matches!(entry[0], 0 | 1 | 6 | 7) {
                assert!(result.is_err(), "entry {index}, byte {byte}");
            }
        }
    }
}

#[test]
fn a_log_of_another_height_or_of_other_validators_stops_the_node() {
    let (mut kit, _, disk) = precommitted();
    kit.host = Host::new(config(), Some(Box::new(signer(kit.us))), disk.sign_state.clone());
    let error = kit.host.recover(kit.now_ms, Height(2), kit.set.clone(), disk.log.clone()).unwrap_err();
    assert!(matches!(error, RecoverError::WrongHeight { index: 0, found: Height(1), expected: Height(2) }));
    let strangers = ValidatorSet::new((50..54).map(|n| Validator::new(signer(n).key(), 10)).collect()).unwrap();
    kit.host = Host::new(config(), Some(Box::new(signer(kit.us))), disk.sign_state.clone());
    let error = kit.host.recover(kit.now_ms, Height(1), strangers, disk.log).unwrap_err();
    assert!(matches!(error, RecoverError::Unverifiable { .. }), "{error}");
}

/// The recorded own vote differs from the vote that the entries before it derive.
#[test]
fn a_log_whose_replay_diverges_stops_the_node() {
    let (mut kit, block, mut disk) = precommitted();
    let ours = disk.log.iter().position(|entry| {
        borsh::from_slice::<SignedVote>(&entry[1..]).is_ok_and(|v| v.vote.validator == kit.id(kit.us))
    });
    let at = ours.expect("our prevote is logged");
    let nil = kit.signed_vote(kit.us, VoteKind::Prevote, 1, 0, None);
    let mut entry = vec![disk.log[at][0]];
    entry.extend(borsh::to_vec(&nil).unwrap());
    disk.log[at] = entry;
    disk.sign_state = SignState::default();
    let error = restart(&mut kit, &disk).unwrap_err();
    assert!(matches!(error, RecoverError::Diverged { .. }), "{error}");
    let _ = block;
}

#[test]
fn a_restarted_proposer_proposes_its_own_block_again() {
    let probe = Kit::idle(4, 0);
    let us = probe.proposer(1, 0);
    let mut kit = Kit::idle(4, us);
    let mut disk = Disk::default();
    disk.keep(&kit.start(1));
    let block = block(3, PART_BYTES + 9);
    let built =
        Input::BlockBuilt { height: Height(1), round: Round(0), block_hash: block.hash, body: block.body.clone() };
    let outputs = kit.feed(built);
    let all = Disk { log: log(&outputs), sign_state: last_sign_state(&outputs).unwrap() };
    let proposal_of = |outputs: &[Output]| {
        outputs.iter().find_map(|o| match o {
            Output::Broadcast(ConsensusMessage::Proposal(signed)) => Some(signed.clone()),
            _ => None,
        })
    };
    let first = proposal_of(&outputs).unwrap();
    for kept in 0..=all.log.len() {
        let cut = Disk { log: all.log[..kept].to_vec(), sign_state: all.sign_state.clone() };
        let outputs = restart(&mut kit, &cut).unwrap();
        let asked_to_build = outputs.iter().any(|o| matches!(o, Output::BuildBlock { .. }));
        match kept {
            // Body, then verdict: with both the block is ours to propose again, with the same signature.
            0 | 1 => assert!(asked_to_build, "{kept} entries"),
            2 => assert_eq!(proposal_of(&outputs), Some(first.clone())),
            _ => assert!(!asked_to_build, "{kept} entries"),
        }
        if asked_to_build {
            // A new block in the same round would be a second proposal: the sign state refuses.
            let new = crate::kit::block(4, 10);
            let built = Input::BlockBuilt { height: Height(1), round: Round(0), block_hash: new.hash, body: new.body };
            assert_eq!(proposal_of(&kit.feed(built)), None);
        }
    }
}

/// Found by fuzzing the host: the block was called invalid, but after a restart it was logged as our own valid one without a
/// body, so the next restart refused the log.
#[test]
fn a_refused_body_of_a_block_certified_for_our_round_is_not_proposed_after_a_restart() {
    let us = Kit::idle(4, 0).proposer(1, 0);
    let mut kit = Kit::idle(4, us);
    let mut disk = Disk::default();
    disk.keep(&kit.start(1));
    let block = block(3, 10);
    let certificate = kit.certificate(1, 0, block.hash, 3);
    disk.keep(&kit.feed(Input::SyncedBlock { from: 1, certificate, body: block.body.clone() }));
    disk.keep(&kit.verdict(1, &block, false));
    assert_eq!(disk.log.len(), 1, "the verdict");
    for _ in 0..2 {
        let outputs = restart(&mut kit, &disk).unwrap();
        assert!(outputs.iter().any(|o| matches!(o, Output::BuildBlock { .. })), "a block is still needed");
        assert!(log(&outputs).is_empty(), "nothing happened meanwhile");
        disk.keep(&outputs);
    }
}

/// Found by fuzzing the host: the validator of round 1 proposes the same block that we build for round 0. The live core did
/// not match the two, but the core in a replay did, and derived a prevote that differed from the signed one.
#[test]
fn our_block_proposed_for_a_later_round_before_we_built_it_replays() {
    let us = Kit::idle(4, 0).proposer(1, 0);
    let mut kit = Kit::idle(4, us);
    let mut disk = Disk::default();
    disk.keep(&kit.start(1));
    let block = block(3, 10);
    disk.keep(&kit.hear(ConsensusMessage::Proposal(kit.proposal(1, 1, None, &block))));
    let built =
        Input::BlockBuilt { height: Height(1), round: Round(0), block_hash: block.hash, body: block.body.clone() };
    disk.keep(&kit.feed(built));
    for n in kit.others() {
        disk.keep(&kit.hear(kit.prevote(n, 1, 1, Some(block.hash))));
    }
    disk.keep(&kit.wait(60_000));
    assert!(disk.sign_state.last() >= (Height(1), Round(1)), "voted in round 1");
    restart(&mut kit, &disk).unwrap();
}

/// Found by seed 10003 of the chaos test: after a lost log, peers send back our own old vote. The new log holds it, but its
/// replay cannot derive it. The vote must count, and the replay must not expect to derive it.
#[test]
fn an_own_vote_sent_back_by_peers_does_not_break_the_next_replay() {
    let (mut kit, block, mut disk) = precommitted();
    disk.log.clear();
    restart(&mut kit, &disk).unwrap();
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        let old = kit.signed_vote(kit.us, kind, 1, 0, Some(block.hash));
        disk.keep(&kit.hear(ConsensusMessage::Vote(old)));
    }
    disk.keep(&kit.wait(900)); // the propose timeout: a prevote for nil is derived, and refused by the sign state
    assert!(kit.host.status().last_refusal.is_some());
    assert!(disk.log.len() >= 3, "two old votes and a timeout");
    let outputs = restart(&mut kit, &disk).unwrap();
    assert!(votes(&outputs).iter().all(|vote| vote.block_hash == Some(block.hash)));
    let proposal = kit.proposer(1, 0);
    assert_ne!(proposal, kit.us);
}

/// An old disk: neither sign state nor log knows the signatures of this key, but the peers have them.
#[test]
fn with_an_old_disk_restored_a_host_learns_its_votes_from_peers() {
    let (mut kit, block, _) = precommitted();
    kit.host = Host::new(config(), Some(Box::new(signer(kit.us))), SignState::default());
    kit.start(1);
    let old = kit.signed_vote(kit.us, VoteKind::Prevote, 1, 0, Some(block.hash));
    let outputs = kit.hear(ConsensusMessage::Vote(old));
    assert!(last_sign_state(&outputs).is_some());
    let outputs = kit.wait(2_000);
    assert!(votes(&outputs).iter().all(|vote| vote.block_hash == Some(block.hash)), "never nil in this round");
    assert!(!votes(&outputs).is_empty());
}

/// A proposer whose proposal is refused must not wait for it, although the core has already cancelled the propose timeout.
#[test]
fn a_refused_proposal_still_times_out() {
    let probe = Kit::idle(4, 0);
    let us = probe.proposer(1, 0);
    let build = |kit: &mut Kit, seed: u8| {
        let block = crate::kit::block(seed, 10);
        kit.feed(Input::BlockBuilt { height: Height(1), round: Round(0), block_hash: block.hash, body: block.body })
    };
    // The crash came right after the proposal was signed.
    let mut kit = Kit::idle(4, us);
    kit.start(1);
    let outputs = build(&mut kit, 1);
    let proposed = outputs.iter().find_map(|output| match output {
        Output::PersistSignState(state) => Some(state.clone()),
        _ => None,
    });
    kit.host = Host::new(config(), Some(Box::new(signer(us))), proposed.unwrap());
    kit.start(1);
    assert!(votes(&build(&mut kit, 2)).is_empty());
    let outputs = kit.wait(1_000);
    assert_eq!(voted(&outputs, VoteKind::Prevote), [None]);
}
