//! Spam: validly signed votes and proposals of old heights, future heights and distant rounds; parts of unknown bodies;
//! requests; repeated old votes of others; invalid transactions, and valid ones that fill pools and replace each other.
//! Bounded, and far more than an honest member sends.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Bytes, TxKind};
use alloy_signer::SignerSync;
use causeway_consensus::{
    ConsensusMessage, Height, MAX_ROUND, PartList, PartRequest, Proposal, ProposalPart, ProposalRequest, Round,
    VoteKind,
};
use causeway_execution::StateSource as _;
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{Ballot, phantom, propose, say, vote},
    hearsay::Hearsay,
};
use crate::world::CHAIN_ID;

/// Most messages of one tick, each to one machine.
const MOST: u64 = 12;
/// Most valid transactions in one message, their largest nonce gap, and their smallest fee per gas.
const MOST_DEAR: u64 = 8;
const NONCES_AHEAD: u64 = 16;
const TIP: u128 = 100_000_000;

#[derive(Debug, Default)]
pub(super) struct Spam {
    heard: Hearsay,
}

/// A near or distant height, in the past or in the future.
fn some_height(out: &mut Context<'_>) -> u64 {
    let head = out.head;
    match out.rng.below(8) {
        0 => 0,
        1 => out.rng.between(1, head.max(1)),
        2 => head.max(1),
        3 => head + 2,
        4 => head + out.rng.between(3, 2_000),
        5 => u64::MAX - out.rng.below(3),
        _ => head + 1,
    }
}

fn some_round(out: &mut Context<'_>) -> u32 {
    let round = out.round();
    match out.rng.below(6) {
        0 => MAX_ROUND.0,
        1 => MAX_ROUND.0 + 1,
        2 => u32::MAX,
        3 => round + u32::try_from(out.rng.between(1, 100)).unwrap_or(1),
        _ => u32::try_from(out.rng.below(u64::from(round) + 3)).unwrap_or(0),
    }
}

/// A payment of zero coin to itself by the member's operator, with one of the next nonces and a random fee.
fn dear(out: &mut Context<'_>) -> Option<Bytes> {
    let operator = &out.own.operator;
    let known = out.own.storage()?.latest().account(operator.address()).ok()?;
    let tip = u128::from(out.rng.between(1, 100)) * TIP;
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: known.map_or(0, |account| account.nonce) + out.rng.below(NONCES_AHEAD),
        gas_limit: 21_000,
        max_fee_per_gas: 100 * TIP + tip,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(operator.address()),
        ..TxEip1559::default()
    };
    let signature = operator.sign_hash_sync(&transaction.signature_hash()).ok()?;
    Some(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into())
}

impl Spam {
    fn message(&self, out: &mut Context<'_>) -> GossipMessage {
        let (height, round) = (some_height(out), some_round(out));
        let body = phantom(out.rng);
        match out.rng.below(10) {
            0 => {
                let proposal = Proposal {
                    height: Height(height),
                    round: Round(round),
                    pol_round: out.rng.percent(20).then(|| Round(round.wrapping_sub(1))),
                    block_hash: body,
                    parts: PartList { total_bytes: 32, hashes: vec![body] },
                    proposer: out.id(),
                };
                say(ConsensusMessage::Proposal(propose(out, proposal)))
            }
            1 => {
                let index = u32::try_from(out.rng.below(64)).unwrap_or(0);
                let bytes = Bytes::from(vec![7; out.rng.index(64 * 1_024) + 1]);
                say(ConsensusMessage::Part(ProposalPart { height: Height(height), root: body, index, bytes }))
            }
            2 => {
                let indices = (0..64).filter(|_| out.rng.percent(30)).chain([64]).take(64).filter(|index| *index < 64);
                let mut indices: Vec<u32> = indices.collect();
                if indices.is_empty() {
                    indices.push(0);
                }
                say(ConsensusMessage::PartRequest(PartRequest { height: Height(height), root: body, indices }))
            }
            3 => {
                say(ConsensusMessage::ProposalRequest(ProposalRequest { height: Height(height), round: Round(round) }))
            }
            4 => {
                // Earlier messages of others.
                let votes: Vec<_> = self.heard.all_votes().cloned().collect();
                match votes.is_empty() {
                    true => GossipMessage::Transactions(vec![Bytes::from_static(b"none")]),
                    false => say(ConsensusMessage::Vote(out.rng.pick(&votes).clone())),
                }
            }
            5 => {
                let most = out.rng.index(20) + 1;
                let one = |_| Bytes::copy_from_slice(&phantom(out.rng).0);
                GossipMessage::Transactions((0..most).map(one).collect())
            }
            6 => GossipMessage::Transactions((0..=out.rng.below(MOST_DEAR)).filter_map(|_| dear(out)).collect()),
            _ => {
                let kind = if out.rng.percent(50) { VoteKind::Prevote } else { VoteKind::Precommit };
                let block = out.rng.percent(50).then_some(body);
                vote(out, Ballot { kind, height, round, block })
            }
        }
    }
}

impl Strategy for Spam {
    fn outgoing(&mut self, _: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        as_it_is(message)
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        self.heard.note(out.head, message);
        !out.is_own(message)
    }

    fn tick(&mut self, out: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        let times = out.rng.below(MOST + 1);
        let mut said = Vec::new();
        for _ in 0..times {
            let to = out.rng.index(out.machines);
            said.push((to, self.message(out)));
            out.acted();
        }
        said
    }
}
