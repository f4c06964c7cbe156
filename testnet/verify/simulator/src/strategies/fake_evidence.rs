//! Fake evidence: reports against honest members with forged signatures, with pairs that do not conflict, of other chains,
//! against strangers, and without any evidence. Sent as a proposer's system call, and as a user's transaction.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{B256, Bytes, TxKind};
use alloy_signer::SignerSync;
use alloy_sol_types::SolCall;
use causeway_consensus::{Evidence, SignedVote, VoteKind};
use causeway_execution::{ExecutedBlock, RecoveredTx, StateSource, SystemTx, Transaction, transactions_root};
use causeway_genesis::{NodeKeys, addresses::STAKING};
use causeway_network::GossipMessage;
use causeway_staking::IStaking;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    blocks::{Attributes, SYSTEM_TX_GAS, doctored, rebuilt},
    forgery::{Ballot, phantom, vote_of},
};
use crate::setup;

#[derive(Debug)]
pub(super) struct FakeEvidence;

/// Two precommits for different blocks by `keys`, as of `chain`.
fn pair(out: &mut Context<'_>, keys: &NodeKeys, chain: B256) -> (SignedVote, SignedVote) {
    let height = out.head.max(1);
    let mut one =
        || vote_of(keys, chain, Ballot { kind: VoteKind::Precommit, height, round: 0, block: Some(phantom(out.rng)) });
    (one(), one())
}

fn bytes(evidence: &Evidence) -> Vec<u8> {
    borsh::to_vec(evidence).unwrap_or_default()
}

/// The encoding of invalid evidence.
fn fake(out: &mut Context<'_>) -> Vec<u8> {
    let chain = out.genesis.hash;
    let others: Vec<usize> = out.others().collect();
    let victim = out.rng.pick(&others);
    let victim = setup::node_keys(*victim % out.plan.machines().max(1));
    let own = setup::node_keys(out.own.index % out.plan.machines().max(1));
    match out.rng.below(6) {
        // Another member's name over its own signatures.
        0 => {
            let (mut first, mut second) = pair(out, &own, chain);
            first.vote.validator = victim.validator_id();
            second.vote.validator = victim.validator_id();
            bytes(&Evidence::of_votes(first, second))
        }
        // Of another chain, on which the victim runs too.
        1 => {
            let elsewhere = phantom(out.rng);
            let (first, second) = pair(out, &victim, elsewhere);
            bytes(&Evidence::of_votes(first, second))
        }
        // One vote twice: nothing conflicts.
        2 => {
            let storage = out.own.storage();
            let genuine = storage.and_then(|storage| storage.certificate(out.head).ok().flatten());
            let vote = genuine.and_then(|certificate| certificate.votes().next());
            let vote = vote.unwrap_or_else(|| pair(out, &own, chain).0);
            bytes(&Evidence::of_votes(vote.clone(), vote))
        }
        // Against a key that never registered.
        3 => {
            let (first, second) = pair(out, &setup::node_keys(30_000), chain);
            bytes(&Evidence::of_votes(first, second))
        }
        // A genuine vote of the victim and a forged one.
        4 => {
            let storage = out.own.storage();
            let genuine = storage.and_then(|storage| storage.certificate(out.head).ok().flatten());
            let vote = genuine.and_then(|certificate| certificate.votes().last());
            let Some(vote) = vote else { return vec![0; 40] };
            let mut forged = vote.clone();
            forged.vote.block_hash = Some(phantom(out.rng));
            bytes(&Evidence::of_votes(vote, forged))
        }
        _ => phantom(out.rng).to_vec(),
    }
}

/// A user's report, by the member's operator.
fn report(out: &Context<'_>, input: Bytes) -> Option<Arc<RecoveredTx>> {
    let operator = &out.own.operator;
    let state = out.own.storage()?.latest();
    let transaction = TxEip1559 {
        chain_id: crate::world::CHAIN_ID,
        nonce: state.account(operator.address()).ok()??.nonce,
        gas_limit: 3_000_000,
        max_fee_per_gas: 10_000_000_000,
        to: TxKind::Call(STAKING),
        input,
        ..TxEip1559::default()
    };
    let signature = operator.sign_hash_sync(&transaction.signature_hash()).ok()?;
    RecoveredTx::recover(TxEnvelope::from(transaction.into_signed(signature))).ok().map(Arc::new)
}

impl Strategy for FakeEvidence {
    fn outgoing(&mut self, _: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        as_it_is(message)
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        let (evidence, epoch) = (Bytes::from(fake(out)), out.own.node().map_or(0, |node| node.epoch().number));
        let input = Bytes::from(IStaking::reportEvidenceCall { evidence, epoch }.abi_encode());
        if out.rng.percent(50)
            && let Some(report) = report(out, input.clone())
            && let Some(rebuilt) = rebuilt(out, &block, Attributes { more: vec![report], ..Attributes::default() })
        {
            out.acted();
            return rebuilt;
        }
        out.acted();
        doctored(&block, |block| {
            let at = block.transactions.iter().filter(|transaction| transaction.as_system().is_some()).count();
            let call = SystemTx {
                block_number: block.header.number,
                index: u32::try_from(at).unwrap_or(u32::MAX),
                to: STAKING,
                gas_limit: SYSTEM_TX_GAS,
                input,
            };
            block.transactions.insert(at, Transaction::System(call));
            block.header.transactions_root = transactions_root(&block.transactions);
        })
    }
}
