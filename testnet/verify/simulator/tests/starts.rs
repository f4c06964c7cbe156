//! Dangerous starts: from an old snapshot, and from a head too old to trust peers.

use crate::support::{Scenario, epochs, plan};
use alloy_primitives::{B256, Bytes};
use causeway::{handle::Event, hold, trust::TrustedCheckpoint};
use causeway_consensus::{CommitCertificate, ConsensusMessage, DecisionNotice, Height, Round};
use causeway_execution::{Block, SystemTx, Transaction};
use causeway_genesis::addresses::PEG;
use causeway_simulator::{Plan, plan::NetworkFaults, setup::token};

#[test]
fn a_restored_snapshot_catches_up_before_it_signs_and_signs_nothing_twice() {
    for (seed, loss_percent) in [(31, 0), (32, 0), (33, 10), (34, 25)] {
        let lossy = NetworkFaults { loss_percent, delay_ms: (1, 20), ..NetworkFaults::default() };
        let mut scenario = Scenario::new(&epochs(Plan { network: lossy, ..plan(4, seed) }, 10));
        assert!(scenario.run(60_000, |scenario| scenario.all_reached(7)));
        scenario.crash(3);
        let snapshot = scenario.snapshot(3);
        scenario.start(3);
        assert!(scenario.run(100_000, |scenario| scenario.all_reached(30)));
        let proven = scenario.head(0);
        scenario.crash(3);
        scenario.restore(3, snapshot);
        scenario.start(3);
        let target = proven + 20;
        assert!(scenario.run(200_000, |scenario| scenario.all_reached(target)), "seed {seed}");
        let lowest = scenario.lowest_signed(3);
        assert!(lowest.is_none_or(|lowest| lowest >= proven), "seed {seed}: signed at {lowest:?}, proven {proven}");
        let height = scenario.head(0) + 5;
        assert!(scenario.run(60_000, |scenario| scenario.all_reached(height)));
    }
}

#[test]
fn a_validator_signs_nothing_before_it_has_heard_of_a_peer_and_listened_to_it() {
    let mut scenario = Scenario::new(&plan(2, 35));
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(5)));
    scenario.crash(0);
    scenario.crash(1);
    scenario.start(1);
    assert!(!scenario.run(100_000, |scenario| !scenario.node(1).is_held()), "it goes on without a peer");
    scenario.start(0);
    scenario.pass(hold::MIN_LISTEN_MS - 1);
    for index in 0..2 {
        assert_eq!(scenario.lowest_signed(index), None, "it signs while it should listen");
    }
    let height = scenario.head(1) + 5;
    assert!(scenario.run(20_000, |scenario| scenario.all_reached(height)));
}

#[test]
fn a_peer_that_claims_a_head_it_cannot_show_delays_a_start_and_no_more() {
    let mut scenario = Scenario::new(&plan(4, 40));
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(5)));
    scenario.crash(3);
    assert!(scenario.run(10_000, |scenario| scenario.head(0) >= 12));
    scenario.start(3);
    let liar = token(1_000);
    scenario.happens(3, 2, Event::PeerConnected(liar));
    // It claims again after each detection.
    for seconds in 0..120 {
        scenario.happens(3, 3 + seconds * 1_000, Event::PeerHead { from: liar, head: u64::MAX });
    }
    let signs = scenario.run(3 * hold::CLAIM_HOLD_MS, |scenario| scenario.lowest_signed(3).is_some());
    assert!(signs, "held at {} for ever", scenario.head(3));
}

#[test]
fn a_peer_that_claims_heads_it_cannot_show_does_not_quicken_blocks() {
    let mut scenario = Scenario::new(&Plan { block_interval_ms: 1_000, ..plan(4, 41) });
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(5)));
    let liar = token(1_000);
    for machine in 0..4 {
        scenario.happens(machine, 1, Event::PeerConnected(liar));
        for tenths in 0..100 {
            scenario.happens(machine, 2 + tenths * 100, Event::PeerHead { from: liar, head: u64::MAX });
        }
    }
    let before = scenario.head(0);
    scenario.pass(10_000);
    let decided = scenario.head(0) - before;
    assert!((9..=10).contains(&decided), "{decided} blocks in ten intervals");
}

#[test]
fn peers_that_come_with_blocks_that_nobody_decided_do_not_quicken_blocks() {
    let mut scenario = Scenario::new(&Plan { block_interval_ms: 1_000, ..plan(4, 42) });
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(5)));
    let false_one = |height| {
        let certificate = CommitCertificate {
            height: Height(height),
            round: Round(0),
            block_hash: B256::repeat_byte(7),
            signatures: Vec::new(),
        };
        (Bytes::from_static(b"none"), certificate)
    };
    let blocks: Vec<_> = (1..=60).map(false_one).collect();
    for machine in 0..4 {
        for tenths in 0..100 {
            // Each peer is disconnected for it; the next one has another identity.
            let liar = token(1_000 + tenths);
            let at_ms = 2 + tenths as u64 * 100;
            scenario.happens(machine, at_ms, Event::PeerConnected(liar));
            scenario.happens(machine, at_ms + 1, Event::PeerHead { from: liar, head: u64::MAX });
            scenario.happens(machine, at_ms + 50, Event::Blocks { from: liar, blocks: blocks.clone() });
        }
    }
    let before = scenario.head(0);
    scenario.pass(10_000);
    let decided = scenario.head(0) - before;
    assert!((9..=10).contains(&decided), "{decided} blocks in ten intervals");
}

#[test]
fn another_body_under_a_genuine_header_costs_its_sender_and_not_the_node_that_catches_up() {
    let alterations: [fn(&mut Block); 3] = [
        |block| block.parent_certificate.as_mut().unwrap().signatures.clear(),
        |block| block.parent_certificate = None,
        |block| block.transactions.push(Transaction::System(stray())),
    ];
    for (seed, alter) in (50..).zip(alterations) {
        let mut scenario = Scenario::new(&plan(4, seed));
        assert!(scenario.run(10_000, |scenario| scenario.all_reached(5)));
        scenario.crash(3);
        assert!(scenario.run(10_000, |scenario| scenario.head(0) >= 12));
        scenario.start(3);
        let (height, storage) = (scenario.head(3) + 1, &scenario.chain(0).storage);
        let certificate = storage.certificate(height).unwrap().unwrap();
        let mut block = Block::clone(&storage.block(height).unwrap().unwrap());
        alter(&mut block);
        assert_eq!(block.hash(), certificate.block_hash);
        let notice = DecisionNotice { certificate, body: block.encode() };
        let liar = token(1_000);
        scenario.happens(3, 1, Event::Consensus { from: liar, message: ConsensusMessage::Decision(notice) });
        assert!(scenario.run(20_000, |scenario| scenario.head(3) >= 20), "seed {seed}");
    }
}

/// A system transaction that no rule requires.
fn stray() -> SystemTx {
    SystemTx { block_number: 1, index: 0, to: PEG, gas_limit: 1, input: Bytes::new() }
}

const FIFTEEN_DAYS_MS: i64 = 15 * 86_400_000;

/// Three of four go on; the fourth comes back when its head is fifteen days old by its clock.
fn stale(seed: u64) -> Scenario {
    let mut scenario = Scenario::new(&Plan { unbonding_s: 14 * 86_400, ..plan(4, seed) });
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(5)));
    scenario.crash(3);
    assert!(scenario.run(60_000, |scenario| scenario.head(0) >= 30));
    scenario.world.machines[3].clock.jump(FIFTEEN_DAYS_MS);
    scenario.world.may_stop = true;
    scenario
}

fn halt_of(scenario: &mut Scenario) -> String {
    scenario.start(3);
    assert!(scenario.run(30_000, |scenario| scenario.machine(3).stopped.is_some()), "it goes on");
    scenario.machine(3).stopped.clone().unwrap()
}

fn trust_block(scenario: &mut Scenario, height: u64, hash: B256) {
    scenario.world.machines[3].trust.checkpoint = Some(TrustedCheckpoint { height, hash });
}

#[test]
fn a_head_older_than_the_unbonding_period_believes_no_peer() {
    let mut scenario = stale(36);
    let reason = halt_of(&mut scenario);
    assert!(reason.contains("--trusted-checkpoint") && reason.contains("--trust-history"), "{reason}");
    assert!(reason.contains("15 days"), "{reason}");
}

#[test]
fn a_trusted_checkpoint_leads_to_it_and_no_further_when_it_is_as_old() {
    let mut scenario = stale(37);
    let hash = scenario.hash(0, 20);
    trust_block(&mut scenario, 20, hash);
    let reason = halt_of(&mut scenario);
    assert!(reason.contains("20:") && reason.contains("that old as well"), "{reason}");
    // With a correct clock the head is recent, and it goes on.
    scenario.world.machines[3].clock.set_right();
    scenario.start(3);
    let height = scenario.head(0) + 10;
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(height)));
}

#[test]
fn another_history_than_the_trusted_one_stops_the_node_with_both_hashes() {
    let mut scenario = stale(38);
    let (right, wrong) = (scenario.hash(0, 20), B256::repeat_byte(0xbd));
    trust_block(&mut scenario, 20, wrong);
    let reason = halt_of(&mut scenario);
    assert!(reason.contains(&right.to_string()) && reason.contains(&wrong.to_string()), "{reason}");
}

#[test]
fn trusted_history_is_followed_however_old_the_head_is() {
    let mut scenario = stale(39);
    scenario.world.machines[3].trust.history = true;
    scenario.start(3);
    assert!(scenario.run(60_000, |scenario| scenario.head(3) >= 30), "at {}", scenario.head(3));
    assert_eq!(scenario.machine(3).stopped, None);
}
