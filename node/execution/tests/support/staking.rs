//! Operators with wallets, their registrations, the token, and evidence against them.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_consensus::{ConsensusKey, Evidence, Height, Round, SignedVote, Signer as _, Vote, VoteKind};
use causeway_execution::{CallRequest, CallResult, ExecutedBlock, RecoveredTx, SystemCall};
use causeway_fixtures::peg_secret;
use causeway_genesis::{
    AllocAccount, ChainSpec,
    addresses::{REWARD_POOL, STAKE_TOKEN, STAKING},
};
use causeway_peg::sign_digest;
use causeway_staking::{
    abi::{IStakeToken, IStaking},
    registration::{consensus_message, peg_digest},
};

use super::{ETHER, TestChain, consensus_signer, node_keys, wallet};

/// Number of the wallet that operates the validator with the keys `seed`.
pub fn operator_user(seed: u8) -> u64 {
    100 + u64::from(seed)
}

pub fn operator(seed: u8) -> Address {
    wallet::address(operator_user(seed))
}

pub fn stake(tokens: u64) -> U256 {
    U256::from(tokens) * U256::from(ETHER)
}

/// Validators of 1,000 stake whose operators are wallets; wallets 0 to 7 and operators 1 to 12 hold 10,000 liquid stake.
pub fn short_epochs(spec: &mut ChainSpec) {
    spec.epoch_length = 8;
    spec.staking.unbonding_seconds = 20;
    spec.staking.downtime_window = 10;
    spec.staking.jail_seconds = 5;
    for (seed, validator) in (1u8..).zip(&mut spec.validators) {
        validator.operator = operator(seed);
        validator.stake = stake(1_000);
    }
    for user in (0..8).chain((1..=12).map(operator_user)) {
        spec.staking.alloc.insert(wallet::address(user), stake(10_000));
    }
}

/// A standalone chain of [`short_epochs`] on which those wallets hold coin as well.
pub fn standalone() -> TestChain {
    standalone_with(|_| {})
}

pub fn standalone_with(change: impl FnOnce(&mut ChainSpec)) -> TestChain {
    TestChain::standalone_with(8, |spec| {
        short_epochs(spec);
        for seed in 1..=12 {
            let rich = AllocAccount { balance: U256::from(1_000 * ETHER), ..AllocAccount::default() };
            spec.alloc.insert(operator(seed), rich);
        }
        change(spec);
    })
}

pub fn consensus_key(seed: u8) -> B256 {
    B256::from(node_keys(seed).consensus_public().0)
}

/// The registration that `operator` may make with the keys `seed`.
pub fn registration(
    chain: &TestChain,
    operator: Address,
    seed: u8,
    bps: u16,
    self_bond: U256,
) -> IStaking::registerCall {
    let (key, peg_address) = (consensus_key(seed), node_keys(seed).peg_address());
    let signer = consensus_signer(seed);
    assert_eq!(signer.key(), ConsensusKey(key.0));
    let consensus_proof = signer.sign(&consensus_message(chain.genesis.hash, operator, key)).unwrap();
    let digest = peg_digest(chain.genesis.hash, operator, peg_address);
    let peg_proof = sign_digest(&peg_secret(seed), digest).unwrap();
    IStaking::registerCall {
        consensusKey: key,
        consensusProof: consensus_proof.to_vec().into(),
        pegAddress: peg_address,
        pegProof: peg_proof.as_bytes().to_vec().into(),
        commissionBps: bps,
        selfBond: self_bond,
    }
}

/// A transaction of `user` that calls the staking module.
pub fn tx(chain: &TestChain, user: u64, call: &impl SolCall) -> Arc<RecoveredTx> {
    to(chain, user, STAKING, call)
}

/// A transaction of `user` that calls the module at `module`.
pub fn to(chain: &TestChain, user: u64, module: Address, call: &impl SolCall) -> Arc<RecoveredTx> {
    let input: Bytes = call.abi_encode().into();
    wallet::sign(user, wallet::eip1559(chain.nonce(user), TxKind::Call(module), U256::ZERO, input, 3_000_000))
}

/// Puts one call of `user` into a block and expects it to succeed.
pub fn act(chain: &mut TestChain, user: u64, call: &impl SolCall) -> ExecutedBlock {
    let tx = tx(chain, user, call);
    chain.push_ok(&[tx])
}

/// What the staking module answers.
pub fn ask<C: SolCall>(chain: &TestChain, call: &C) -> C::Return {
    ask_at(chain, STAKING, call)
}

pub fn ask_at<C: SolCall>(chain: &TestChain, module: Address, call: &C) -> C::Return {
    let request = CallRequest { to: Some(module), input: call.abi_encode().into(), ..CallRequest::default() };
    match chain.call(&request) {
        CallResult::Success { output, .. } => C::abi_decode_returns_validate(&output).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Revert data of `call` by `from`.
pub fn refusal(chain: &TestChain, from: Address, call: &impl SolCall) -> Bytes {
    refusal_at(chain, from, STAKING, call)
}

pub fn refusal_at(chain: &TestChain, from: Address, module: Address, call: &impl SolCall) -> Bytes {
    let input = call.abi_encode().into();
    let request = CallRequest { from: Some(from), to: Some(module), input, ..CallRequest::default() };
    match chain.call(&request) {
        CallResult::Revert { output, .. } => output,
        other => panic!("{other:?}"),
    }
}

pub fn liquid(chain: &TestChain, account: Address) -> U256 {
    ask_at(chain, STAKE_TOKEN, &IStakeToken::balanceOfCall { account })
}

pub fn validator(chain: &TestChain, seed: u8) -> causeway_staking::abi::ValidatorInfo {
    ask(chain, &IStaking::validatorCall { operator: operator(seed) })
}

pub fn epoch(chain: &TestChain) -> u64 {
    ask(chain, &IStaking::epochCall {}).number
}

/// Empty blocks until the chain is in `epoch`.
pub fn reach_epoch(chain: &mut TestChain, target: u64) {
    while epoch(chain) < target {
        chain.push(Vec::new(), &[]);
    }
}

/// Operators of the active set in order.
pub fn active(chain: &TestChain) -> Vec<Address> {
    ask(chain, &IStaking::activeSetCall {}).into_iter().map(|member| member.operator).collect()
}

fn vote(genesis_hash: B256, seed: u8, kind: VoteKind, height: u64, block_hash: Option<B256>) -> SignedVote {
    let signer = consensus_signer(seed);
    let vote = Vote { kind, height: Height(height), round: Round(0), block_hash, validator: signer.validator() };
    let signature = signer.sign(&vote.sign_bytes(genesis_hash)).unwrap();
    SignedVote { vote, signature }
}

/// Two precommits of the validator with the keys `seed` for one height of the chain `genesis_hash`.
pub fn double_vote(genesis_hash: B256, seed: u8, height: u64) -> Evidence {
    Evidence::of_votes(
        vote(genesis_hash, seed, VoteKind::Precommit, height, Some(B256::repeat_byte(1))),
        vote(genesis_hash, seed, VoteKind::Precommit, height, None),
    )
}

pub fn report(evidence: &Evidence, epoch: u64) -> IStaking::reportEvidenceCall {
    IStaking::reportEvidenceCall { evidence: borsh::to_vec(evidence).unwrap().into(), epoch }
}

/// The report as a proposer places it.
pub fn system_report(evidence: &Evidence, epoch: u64) -> SystemCall {
    SystemCall { to: STAKING, input: report(evidence, epoch).abi_encode().into() }
}

/// Every token is somewhere: balances of all who may hold some, the module's among them, make up the supply, and the module
/// holds exactly what is not liquid.
pub fn assert_stake_conserved(chain: &TestChain) {
    assert_stake_conserved_with(chain, &[]);
}

/// As [`assert_stake_conserved`] where contracts hold stake, too.
pub fn assert_stake_conserved_with(chain: &TestChain, contracts: &[Address]) {
    let totals = ask(chain, &IStaking::totalsCall {});
    let module = liquid(chain, STAKING);
    let users = (0..8).chain((1..=12).map(operator_user)).map(wallet::address);
    let holders: U256 = users
        .chain(contracts.iter().copied())
        .map(|holder| liquid(chain, holder))
        .fold(U256::ZERO, |sum, held| sum + held);
    assert_eq!(module, totals.bonded + totals.unbonding + totals.slashed + totals.dust);
    assert_eq!(holders + module, totals.issued);
    assert_eq!(totals.issued, ask_at(chain, STAKE_TOKEN, &IStakeToken::totalSupplyCall {}));
}

pub fn reward_pool(chain: &TestChain) -> U256 {
    chain.state.balance(REWARD_POOL)
}
