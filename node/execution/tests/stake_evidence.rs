//! Evidence of double signatures through blocks: who may bring it, what it costs the offender, and what is refused.

use crate::support::{
    TestChain, consensus_signer, peg,
    staking::{self, act, active, double_vote, liquid, operator, report, stake, system_report, validator},
    wallet,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent, SolInterface};
use causeway_consensus::{
    Evidence, Height, PartList, Proposal, Round, SignedProposal, SignedVote, Signer as _, Vote, VoteKind,
};
use causeway_execution::{Block, BlockFault, ExecutedBlock, SystemCall, Transaction, transactions_root};
use causeway_genesis::addresses::{STAKE_TOKEN, STAKING};
use causeway_staking::abi::IStaking::{self, IStakingErrors as Refused};

fn refusal(chain: &TestChain, call: &impl SolCall) -> Refused {
    Refused::abi_decode(&staking::refusal(chain, wallet::address(0), call)).unwrap()
}

fn slashed(executed: &ExecutedBlock) -> IStaking::Slashed {
    let logs = executed.receipts.iter().flat_map(|receipt| &receipt.logs).filter(|log| log.address == STAKING);
    let mut events =
        logs.filter_map(|log| IStaking::Slashed::decode_raw_log_validate(log.data.topics(), &log.data.data).ok());
    events.next().unwrap()
}

#[test]
fn anybody_brings_evidence_and_the_offender_pays() {
    let mut chain = staking::standalone();
    chain.push(Vec::new(), &[]);
    act(&mut chain, 1, &IStaking::delegateCall { validator: operator(4), amount: stake(1_000) });
    let before = liquid(&chain, wallet::address(0));
    let evidence = double_vote(chain.genesis.hash, 4, 1);
    let executed = act(&mut chain, 0, &report(&evidence, 0));
    let event = slashed(&executed);
    // 5 % of 2,000, of which 5 % go to the reporter.
    assert_eq!((event.operator, event.amount), (operator(4), stake(100)));
    assert_eq!((event.reporter, event.reward), (wallet::address(0), stake(5)));
    assert_eq!(liquid(&chain, wallet::address(0)), before + stake(5));
    let found = validator(&chain, 4);
    assert!(found.tombstoned);
    assert_eq!(found.tokens, stake(1_900));
    let totals = staking::ask(&chain, &IStaking::totalsCall {});
    assert_eq!(totals.slashed, stake(95));
    let tombstoned = executed.receipts[0].logs.iter().any(|log| {
        log.address == STAKING
            && IStaking::Tombstoned::decode_raw_log_validate(log.data.topics(), &log.data.data).is_ok()
    });
    assert!(tombstoned);
    assert!(executed.receipts[0].logs.iter().any(|log| log.address == STAKE_TOKEN), "the reward moves stake");
    staking::assert_stake_conserved(&chain);

    staking::reach_epoch(&mut chain, 1);
    assert!(!active(&chain).contains(&operator(4)), "out of the announced set, too");
    staking::reach_epoch(&mut chain, 2);
    assert_eq!(active(&chain).len(), 3);
}

#[test]
fn the_same_and_any_other_evidence_against_the_tombstoned_is_refused() {
    let mut chain = staking::standalone();
    let first = report(&double_vote(chain.genesis.hash, 4, 1), 0);
    act(&mut chain, 0, &first);
    assert!(matches!(refusal(&chain, &first), Refused::AlreadyTombstoned(_)));
    let other = report(&double_vote(chain.genesis.hash, 4, 2), 0);
    assert!(matches!(refusal(&chain, &other), Refused::AlreadyTombstoned(_)));
    assert_eq!(validator(&chain, 4).tokens, stake(950));
}

#[test]
fn a_proposer_brings_evidence_as_a_system_transaction_and_its_operator_is_rewarded() {
    let mut chain = staking::standalone();
    chain.builder = Some(operator(2));
    let before = liquid(&chain, operator(2));
    let evidence = double_vote(chain.genesis.hash, 4, 1);
    let executed = chain.push(vec![system_report(&evidence, 0)], &[]);
    assert_eq!(executed.receipts.len(), 1);
    let event = slashed(&executed);
    assert_eq!((event.reporter, event.reward), (operator(2), stake(50) / U256::from(20)));
    assert_eq!(liquid(&chain, operator(2)), before + event.reward);
    assert!(validator(&chain, 4).tombstoned);
    // Again: it fails in the builder's own trial and is left out.
    let executed = chain.push(vec![system_report(&evidence, 0)], &[]);
    assert!(executed.receipts.is_empty() && executed.block.transactions.is_empty());
}

#[test]
fn stake_spread_over_many_epochs_makes_a_proposers_report_no_dearer() {
    let mut chain = staking::standalone();
    let plain = chain.build(vec![system_report(&double_vote(chain.genesis.hash, 4, 1), 0)], &[]);
    act(&mut chain, 1, &IStaking::delegateCall { validator: operator(4), amount: stake(1_000) });
    for epoch in 0..20 {
        act(&mut chain, 1, &IStaking::undelegateCall { validator: operator(4), amount: stake(10) });
        staking::reach_epoch(&mut chain, epoch + 1);
    }
    let leaving = staking::ask(&chain, &IStaking::unbondingsCall { delegator: wallet::address(1) });
    assert!(leaving.len() >= 20, "{}", leaving.len());
    let slots = &mut causeway_execution::staking_state(&chain.state);
    let (start, _) = causeway_staking::views::epoch_start(slots, 19).unwrap().unwrap();
    let report = system_report(&double_vote(chain.genesis.hash, 4, start), 19);
    let executed = chain.push(vec![report], &[]);
    assert_eq!(executed.receipts.len(), 1);
    // Longer numbers in the call are all that differs.
    let (before, after) = (plain.receipts[0].gas_used, executed.receipts[0].gas_used);
    assert!(before.abs_diff(after) < 200 && after < 30_000, "{before} and {after}");
    let left = staking::ask(&chain, &IStaking::unbondingsCall { delegator: wallet::address(1) });
    let slashed = left.iter().zip(&leaving).filter(|(now, before)| now.tokens < before.tokens).count();
    assert!(slashed >= 2, "what leaves after epoch 19 pays");
    staking::assert_stake_conserved(&chain);
}

#[test]
fn a_block_with_evidence_that_fails_is_invalid() {
    let chain = staking::standalone();
    let good = chain.build(vec![system_report(&double_vote(chain.genesis.hash, 4, 1), 0)], &[]);
    let mut block = Block::clone(&good.block);
    let Transaction::System(tx) = &mut block.transactions[0] else { panic!("a report") };
    let bad = report(&double_vote(B256::repeat_byte(9), 4, 1), 0);
    tx.input = bad.abi_encode().into();
    block.header.transactions_root = transactions_root(&block.transactions);
    let error = chain.execute(block).unwrap_err();
    assert!(matches!(error.fault(), Some(BlockFault::SystemFailed { index: 0, .. })), "{error}");
}

#[test]
fn double_prevotes_and_double_proposals_count_as_well() {
    let sign = |chain: &TestChain, seed: u8, kind, block_hash| {
        let signer = consensus_signer(seed);
        let validator = signer.validator();
        let vote = Vote { kind, height: Height(1), round: Round(3), block_hash, validator };
        let signature = signer.sign(&vote.sign_bytes(chain.genesis.hash)).unwrap();
        SignedVote { vote, signature }
    };
    let propose = |chain: &TestChain, seed: u8, hash: u8| {
        let signer = consensus_signer(seed);
        let proposal = Proposal {
            height: Height(1),
            round: Round(0),
            pol_round: None,
            block_hash: B256::repeat_byte(hash),
            parts: PartList::of(&[hash]).unwrap(),
            proposer: signer.validator(),
        };
        let signature = signer.sign(&proposal.sign_bytes(chain.genesis.hash)).unwrap();
        SignedProposal { proposal, signature }
    };
    let mut chain = staking::standalone();
    let (one, two) = (Some(B256::repeat_byte(1)), Some(B256::repeat_byte(2)));
    let kind = VoteKind::Prevote;
    let prevotes = Evidence::of_votes(sign(&chain, 3, kind, one), sign(&chain, 3, kind, two));
    act(&mut chain, 0, &report(&prevotes, 0));
    assert!(validator(&chain, 3).tombstoned);
    let proposals = Evidence::of_proposals(propose(&chain, 4, 1), propose(&chain, 4, 2));
    act(&mut chain, 0, &report(&proposals, 0));
    assert!(validator(&chain, 4).tombstoned);
    // A prevote and a precommit are no conflict.
    let mixed = Evidence::of_votes(sign(&chain, 2, kind, one), sign(&chain, 2, VoteKind::Precommit, two));
    assert!(matches!(refusal(&chain, &report(&mixed, 0)), Refused::InvalidEvidence(_)));
}

#[test]
fn forged_evidence_is_refused() {
    let chain = staking::standalone();
    let hash = chain.genesis.hash;
    let refuse = |evidence: &Evidence| {
        assert!(matches!(refusal(&chain, &report(evidence, 0)), Refused::InvalidEvidence(_)), "{evidence:?}");
    };
    // Of another chain, or by somebody who is no validator here.
    refuse(&double_vote(B256::repeat_byte(9), 4, 1));
    refuse(&double_vote(hash, 30, 1));
    let Evidence::Votes(first, second) = double_vote(hash, 4, 1) else { panic!("votes") };
    // Twice the same vote, out of order, a broken signature, another's name on it.
    refuse(&Evidence::Votes(first.clone(), first.clone()));
    refuse(&Evidence::Votes(second.clone(), first.clone()));
    let mut broken = second.clone();
    broken.signature[7] ^= 1;
    refuse(&Evidence::of_votes(first.clone(), broken));
    let mut blamed = [first.clone(), second.clone()];
    for vote in &mut blamed {
        vote.vote.validator = crate::support::validator_id(1);
    }
    let [a, b] = blamed;
    refuse(&Evidence::of_votes(a, b));
    // Votes of different heights or validators are no conflict.
    let Evidence::Votes(other_height, _) = double_vote(hash, 4, 2) else { panic!("votes") };
    refuse(&Evidence::of_votes(other_height, second.clone()));
    let Evidence::Votes(other, _) = double_vote(hash, 3, 1) else { panic!("votes") };
    refuse(&Evidence::of_votes(other, second));
    // Bytes that are no evidence, or evidence and more.
    let sound = borsh::to_vec(&double_vote(hash, 4, 1)).unwrap();
    for bytes in [Vec::new(), vec![0; 40], vec![9; 400], sound[..sound.len() - 1].to_vec(), [&sound[..], &[0]].concat()]
    {
        let call = IStaking::reportEvidenceCall { evidence: Bytes::from(bytes), epoch: 0 };
        assert!(matches!(refusal(&chain, &call), Refused::InvalidEvidence(_)));
    }
    assert!(!validator(&chain, 4).tombstoned && !validator(&chain, 1).tombstoned);
}

#[test]
fn evidence_names_the_epoch_of_its_height() {
    let mut chain = staking::standalone();
    staking::reach_epoch(&mut chain, 2);
    let hash = chain.genesis.hash;
    let old = double_vote(hash, 4, 3);
    for wrong in [1, 2, 3, u64::MAX] {
        let refused = refusal(&chain, &report(&old, wrong));
        assert!(matches!(refused, Refused::WrongEvidenceEpoch(_)), "{wrong}");
    }
    let recent = double_vote(hash, 3, chain.head.number);
    let refused = refusal(&chain, &report(&recent, 0));
    assert!(matches!(refused, Refused::WrongEvidenceEpoch(_)));
    act(&mut chain, 0, &report(&old, 0));
    assert!(validator(&chain, 4).tombstoned);
}

#[test]
fn evidence_expires_with_the_unbonding_period() {
    let mut chain = staking::standalone();
    let evidence = report(&double_vote(chain.genesis.hash, 4, 2), 0);
    staking::reach_epoch(&mut chain, 1);
    let end = staking::ask(&chain, &IStaking::epochCall {}).startTime;
    let last = end + chain.genesis.spec.staking.unbonding_seconds;
    while chain.head.timestamp + 1 < last {
        chain.push(Vec::new(), &[]);
    }
    let tx = staking::tx(&chain, 0, &evidence);
    let in_time = chain.build(Vec::new(), &[tx]);
    assert_eq!(in_time.block.header.timestamp, last);
    for _ in 0..2 {
        chain.push(Vec::new(), &[]);
    }
    assert!(chain.head.timestamp > last);
    assert!(matches!(refusal(&chain, &evidence), Refused::EvidenceExpired(_)));
    let executed = chain.push(vec![SystemCall { to: STAKING, input: evidence.abi_encode().into() }], &[]);
    assert!(executed.receipts.is_empty());
    assert!(!validator(&chain, 4).tombstoned);
}

#[test]
fn stake_on_its_way_out_is_slashed_too() {
    let mut chain = staking::standalone();
    act(&mut chain, 1, &IStaking::delegateCall { validator: operator(4), amount: stake(100) });
    act(&mut chain, 1, &IStaking::undelegateCall { validator: operator(4), amount: stake(40) });
    let height = chain.head.number;
    let evidence = double_vote(chain.genesis.hash, 4, height);
    act(&mut chain, 0, &report(&evidence, 0));
    let unbondings = staking::ask(&chain, &IStaking::unbondingsCall { delegator: wallet::address(1) });
    assert_eq!(unbondings[0].tokens, stake(38));
    let left = IStaking::delegationCall { delegator: wallet::address(1), validator: operator(4) };
    assert_eq!(staking::ask(&chain, &left).tokens, stake(57));
    staking::assert_stake_conserved(&chain);
}

/// A pegged chain at a height whose block may carry all four kinds of system transactions.
fn eventful() -> (TestChain, Vec<SystemCall>) {
    let mut chain = TestChain::pegged_with(|spec| {
        staking::short_epochs(spec);
        spec.checkpoint_interval = 4;
    });
    while chain.head.number < 5 {
        chain.push(Vec::new(), &[]);
    }
    // Checkpoint 1 hands over to epoch 1; the next one can then be recorded beside the acknowledgement.
    let record = peg::record(&chain, 1);
    chain.push(vec![record], &[]);
    while staking::epoch(&chain) < 1 || chain.head.number % 4 != 1 {
        chain.push(Vec::new(), &[]);
    }
    let latest = chain.head.number / 4;
    let import = peg::import(&chain, &[(wallet::address(0), 5)]);
    let evidence = system_report(&double_vote(chain.genesis.hash, 4, 1), 0);
    let calls = vec![evidence, peg::acknowledge(&chain, 1), peg::record(&chain, latest), import];
    (chain, calls)
}

#[test]
fn all_kinds_of_system_transactions_fit_one_block_in_their_order() {
    let (mut chain, calls) = eventful();
    let executed = chain.push(calls.clone(), &[]);
    let inputs: Vec<Bytes> =
        executed.block.transactions.iter().map(|tx| tx.as_system().unwrap().input.clone()).collect();
    let expected: Vec<Bytes> = calls.into_iter().rev().map(|call| call.input).collect();
    assert_eq!(inputs, expected, "the builder sorts them");
    let slots = &mut causeway_execution::peg_state(&chain.state);
    assert_eq!(causeway_peg::PegModule::acked_epoch(slots).unwrap(), 1);
    assert!(validator(&chain, 4).tombstoned);
}

#[test]
fn system_transactions_out_of_order_are_a_fault() {
    let (chain, calls) = eventful();
    let built = chain.build(calls, &[]);
    for at in 0..3 {
        let mut block = Block::clone(&built.block);
        block.transactions.swap(at, at + 1);
        for (index, tx) in block.transactions.iter_mut().enumerate() {
            let Transaction::System(tx) = tx else { panic!("system transactions only") };
            tx.index = u32::try_from(index).unwrap();
        }
        block.header.transactions_root = transactions_root(&block.transactions);
        let error = chain.execute(block).unwrap_err();
        assert_eq!(error.fault(), Some(&BlockFault::SystemOrder(at + 1)));
    }
}

#[test]
fn an_acknowledgement_comes_from_the_system_only() {
    let (chain, calls) = eventful();
    let request = causeway_execution::CallRequest {
        from: Some(Address::repeat_byte(1)),
        to: Some(calls[1].to),
        input: calls[1].input.clone(),
        ..Default::default()
    };
    let causeway_execution::CallResult::Revert { output, .. } = chain.call(&request) else { panic!("accepted") };
    let refused = causeway_peg::IPeg::IPegErrors::abi_decode(&output).unwrap();
    assert!(matches!(refused, causeway_peg::IPeg::IPegErrors::OnlySystem(_)));
}
