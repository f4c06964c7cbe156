use super::*;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn block(number: u64, mark: u8) -> ShownBlock {
    ShownBlock {
        number,
        hash: B256::with_last_byte(u8::try_from(number).unwrap_or(u8::MAX)),
        parent: B256::with_last_byte(u8::try_from(number.saturating_sub(1)).unwrap_or(u8::MAX)),
        state_root: B256::repeat_byte(1),
        transactions: vec![B256::from([mark; 32])],
    }
}

fn rules(judge: &Judge) -> Vec<&'static str> {
    judge.violations().0.iter().map(|violation| violation.rule).collect()
}

#[test]
fn an_honest_chain_violates_nothing() {
    let mut judge = Judge::default();
    for number in 1..=20u64 {
        for node in 0..4 {
            judge.head(at(number * 500), node, number);
            judge.finalised(at(number * 500), node, number);
            judge.block(at(number * 500), node, block(number, number as u8));
        }
    }
    assert_eq!(rules(&judge), Vec::<&str>::new());
    assert_eq!((judge.highest(), judge.transactions()), (20, 20));
    assert_eq!(judge.longest_gaps_ms(at(10_000)), (500, 500));
}

#[test]
fn two_hashes_of_a_height_are_a_fork() {
    let mut judge = Judge::default();
    judge.block(at(1), 0, block(5, 1));
    judge.block(at(2), 1, ShownBlock { hash: B256::repeat_byte(9), ..block(5, 1) });
    assert_eq!(rules(&judge), ["one block a height"]);
}

#[test]
fn another_state_root_or_other_transactions_under_the_same_hash_are_noticed() {
    for altered in [
        ShownBlock { state_root: B256::repeat_byte(2), ..block(5, 1) },
        ShownBlock { transactions: Vec::new(), ..block(5, 1) },
    ] {
        let mut judge = Judge::default();
        judge.block(at(1), 0, block(5, 1));
        judge.block(at(2), 1, altered);
        assert_eq!(rules(&judge), ["equal blocks"]);
    }
}

#[test]
fn blocks_that_do_not_link_are_noticed_in_both_orders() {
    let stray = ShownBlock { parent: B256::repeat_byte(9), ..block(6, 2) };
    for order in [[block(5, 1), stray.clone()], [stray, block(5, 1)]] {
        let mut judge = Judge::default();
        order.into_iter().for_each(|block| judge.block(at(1), 0, block));
        assert_eq!(rules(&judge), ["one chain"]);
    }
}

#[test]
fn a_transaction_in_two_blocks_is_noticed() {
    let mut judge = Judge::default();
    judge.block(at(1), 0, block(5, 1));
    judge.block(at(1), 0, block(6, 1));
    assert_eq!(rules(&judge), ["a transaction once"]);
}

#[test]
fn heads_and_final_blocks_that_go_back_are_noticed() {
    let mut judge = Judge::default();
    judge.head(at(1), 0, 7);
    judge.head(at(2), 1, 6);
    judge.finalised(at(2), 0, 7);
    assert!(rules(&judge).is_empty(), "another node may be behind");
    judge.head(at(3), 0, 6);
    judge.finalised(at(3), 0, 5);
    assert_eq!(rules(&judge), ["a head never goes back", "a final block never goes back"]);
}

#[test]
fn a_node_that_is_cut_off_and_goes_on_is_noticed() {
    let mut judge = Judge::default();
    judge.head(at(0), 2, 10);
    judge.cut_off(at(0), &[2]);
    judge.head(at(1_000), 2, 11);
    judge.head(at(2_100), 2, 12);
    judge.head(at(2_200), 3, 15);
    assert!(rules(&judge).is_empty(), "what was under way may arrive, and others go on");
    judge.head(at(3_000), 2, 13);
    assert_eq!(rules(&judge), ["a cut is a cut"]);
    judge.repaired(at(3_500), 0, &[2]);
    judge.head(at(3_600), 2, 15);
    assert_eq!(rules(&judge).len(), 1);
}

#[test]
fn a_node_has_rejoined_when_it_is_within_one_block_of_the_head() {
    let mut judge = Judge::default();
    judge.head(at(0), 0, 50);
    judge.head(at(0), 1, 20);
    judge.repaired(at(1_000), 4, &[1]);
    judge.head(at(1_500), 1, 48);
    assert!(judge.waits_for().is_some());
    judge.head(at(2_000), 0, 51);
    judge.head(at(3_200), 1, 50);
    assert_eq!(judge.waits_for(), None);
    assert_eq!(judge.rejoins(), [Rejoin { node: 1, fault: 4, ms: 2_200 }]);
}

#[test]
fn blocks_resume_with_the_first_new_height_and_excuse_no_later_gap() {
    let mut judge = Judge::default();
    judge.head(at(1_000), 0, 10);
    judge.excuse(at(1_200));
    judge.repaired(at(9_000), 0, &[0]);
    judge.head(at(9_500), 0, 10);
    assert!(judge.waits_for().is_some());
    judge.head(at(10_400), 0, 11);
    assert_eq!((judge.waits_for(), judge.resumptions_ms()), (None, [1_400].as_slice()));
    judge.head(at(13_000), 0, 12);
    assert_eq!(judge.longest_gaps_ms(at(13_500)), (9_400, 2_600));
}

#[test]
fn a_standstill_at_the_end_is_a_gap_too() {
    let mut judge = Judge::default();
    judge.head(at(1_000), 0, 10);
    assert_eq!(judge.longest_gaps_ms(at(20_000)), (19_000, 19_000));
}

#[test]
fn who_never_recovers_is_a_violation_and_counts_with_the_whole_wait() {
    let mut judge = Judge::default();
    judge.head(at(0), 0, 50);
    judge.repaired(at(1_000), 7, &[3]);
    judge.give_up(at(31_000));
    assert_eq!(rules(&judge), ["everybody recovers"]);
    assert_eq!(judge.rejoins(), [Rejoin { node: 3, fault: 7, ms: 30_000 }]);
    assert_eq!(judge.waits_for(), None);
}
