//! Starts that could do harm: from an old snapshot, from a head too old to judge its peers.

use alloy_primitives::B256;

use super::cluster::{Cluster, Plan, token};
use crate::{handle::Event, trust::TrustedCheckpoint};

#[test]
fn a_restored_snapshot_catches_up_before_it_signs_and_signs_nothing_twice() {
    for (seed, loss_percent) in [(31, 0), (32, 0), (33, 10), (34, 25)] {
        let mut cluster = Plan::new(4, seed).epochs(10).start();
        assert!(cluster.run(10_000, |cluster| cluster.all_reached(7)));
        cluster.crash(3);
        let snapshot = cluster.members[3].disk.snapshot();
        cluster.start(3);
        assert!(cluster.run(60_000, |cluster| cluster.all_reached(30)));
        let proven = cluster.head(0);
        cluster.crash(3);
        cluster.members[3].disk = snapshot;
        cluster.loss_percent = loss_percent;
        cluster.start(3);
        let target = proven + 20;
        assert!(cluster.run(200_000, |cluster| cluster.all_reached(target)), "seed {seed}");
        let lowest = cluster.lowest_signed.get(&(3, cluster.lives[3])).copied();
        assert!(lowest.is_none_or(|lowest| lowest >= proven), "seed {seed}: signed at {lowest:?}, proven {proven}");
        let height = cluster.head(0) + 5;
        assert!(cluster.run(60_000, |cluster| cluster.all_reached(height)));
        cluster.assert_agreement();
    }
}

#[test]
fn a_validator_listens_before_it_signs_and_a_lonely_one_goes_on_after_that() {
    let mut cluster = Plan::new(2, 35).start();
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(5)));
    cluster.crash(0);
    cluster.crash(1);
    cluster.queue.clear();
    cluster.start(1);
    let until = cluster.now() + crate::hold::MIN_LISTEN_MS - 1;
    cluster.run(2_000, |cluster| cluster.now() >= until);
    assert!(!cluster.lowest_signed.contains_key(&(1, cluster.lives[1])), "it signs while it should listen");
    assert!(cluster.run(1_000, |cluster| !cluster.node(1).is_held()), "it listens for ever");
    cluster.start(0);
    let height = cluster.head(1) + 5;
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(height)));
}

#[test]
fn a_peer_that_claims_a_head_it_cannot_show_delays_a_start_and_no_more() {
    let mut cluster = Plan::new(4, 40).start();
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(5)));
    cluster.crash(3);
    assert!(cluster.run(10_000, |cluster| cluster.head(0) >= 12));
    cluster.start(3);
    let liar = token(1_000);
    cluster.schedule(2, 3, Event::PeerConnected(liar));
    cluster.schedule(3, 3, Event::PeerHead { from: liar, head: u64::MAX });
    // It claims again whenever it was found out.
    for seconds in 1..120 {
        cluster.schedule(seconds * 1_000, 3, Event::PeerHead { from: liar, head: u64::MAX });
    }
    let signs = |cluster: &Cluster| cluster.lowest_signed.contains_key(&(3, cluster.lives[3]));
    assert!(cluster.run(3 * crate::hold::CLAIM_HOLD_MS, signs), "held at {} for ever", cluster.head(3));
}

const FIFTEEN_DAYS_MS: u64 = 15 * 86_400_000;

/// Three of four go on; the fourth comes back when its head is fifteen days old by its clock.
fn stale(seed: u64) -> Cluster {
    let mut cluster = Plan::new(4, seed).start();
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(5)));
    cluster.crash(3);
    assert!(cluster.run(60_000, |cluster| cluster.head(0) >= 30));
    cluster.members[3].ahead_ms = FIFTEEN_DAYS_MS;
    cluster.may_halt = true;
    cluster
}

fn halt_of(cluster: &mut Cluster) -> String {
    cluster.start(3);
    assert!(cluster.run(30_000, |cluster| cluster.members[3].halted.is_some()), "it goes on");
    cluster.members[3].halted.clone().unwrap()
}

fn trust_block(cluster: &mut Cluster, height: u64, hash: B256) {
    cluster.members[3].trust.checkpoint = Some(TrustedCheckpoint { height, hash });
}

#[test]
fn a_head_older_than_the_unbonding_period_believes_no_peer() {
    let mut cluster = stale(36);
    let reason = halt_of(&mut cluster);
    assert!(reason.contains("--trusted-checkpoint") && reason.contains("--trust-history"), "{reason}");
    assert!(reason.contains("15 days"), "{reason}");
}

#[test]
fn a_trusted_checkpoint_leads_to_it_and_no_further_when_it_is_as_old() {
    let mut cluster = stale(37);
    let hash = cluster.chain(0).storage.hash_by_number(20).unwrap().unwrap();
    trust_block(&mut cluster, 20, hash);
    let reason = halt_of(&mut cluster);
    assert!(reason.contains("20:") && reason.contains("that old as well"), "{reason}");
    // With a clock that is right the head is young, and it goes on.
    cluster.members[3].ahead_ms = 0;
    cluster.start(3);
    let height = cluster.head(0) + 10;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(height)));
    cluster.assert_agreement();
}

#[test]
fn another_history_than_the_trusted_one_stops_the_node_with_both_hashes() {
    let mut cluster = stale(38);
    let (right, wrong) = (cluster.chain(0).storage.hash_by_number(20).unwrap().unwrap(), B256::repeat_byte(0xbd));
    trust_block(&mut cluster, 20, wrong);
    let reason = halt_of(&mut cluster);
    assert!(reason.contains(&right.to_string()) && reason.contains(&wrong.to_string()), "{reason}");
}

#[test]
fn trusted_history_is_followed_however_old_the_head_is() {
    let mut cluster = stale(39);
    cluster.members[3].trust.history = true;
    cluster.start(3);
    assert!(cluster.run(60_000, |cluster| cluster.head(3) >= 30), "at {}", cluster.head(3));
    assert_eq!(cluster.members[3].halted, None);
}
