//! Invalid blocks: each breaks one randomly drawn rule, and is otherwise consistent.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, Bloom, Bytes, Signature, TxKind, U256};
use causeway_consensus::Round;
use causeway_execution::{Block, ExecutedBlock, SystemCall, Transaction};
use causeway_genesis::addresses::{PEG, STAKING};
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    blocks::{doctored, seal_transactions, system_transaction},
    forgery::phantom,
};
use crate::rng::Rng;

#[derive(Debug)]
pub(super) struct InvalidBlock;

impl Strategy for InvalidBlock {
    fn outgoing(&mut self, _: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        as_it_is(message)
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        if out.rng.percent(10) {
            // A valid body under another hash.
            out.acted();
            return Arc::new(ExecutedBlock { hash: phantom(out.rng), ..ExecutedBlock::clone(&block) });
        }
        let flaw = *out.rng.pick(FLAWS);
        let mut rng = out.rng.clone();
        let spoilt = doctored(&block, |block| flaw(block, &mut rng));
        *out.rng = rng;
        if spoilt.hash == block.hash {
            // The block has no place for this flaw.
            return doctored(&block, |block| block.header.gas_used += 1);
        }
        out.acted();
        spoilt
    }
}

type Flaw = fn(&mut Block, &mut Rng);

const FLAWS: &[Flaw] = &[
    |block, rng| block.header.gas_used += rng.between(1, 30_000),
    |block, _| block.header.gas_used = block.header.gas_limit + 1,
    |block, _| block.header.gas_limit *= 2,
    |block, _| block.header.gas_limit -= 1,
    |block, _| block.header.base_fee_per_gas = block.header.base_fee_per_gas.map(|fee| fee + 1),
    |block, _| block.header.base_fee_per_gas = Some(0),
    |block, _| block.header.base_fee_per_gas = None,
    |block, rng| block.header.beneficiary = Address::from_slice(&phantom(rng)[12..]),
    |block, _| block.header.beneficiary = Address::ZERO,
    |block, _| block.header.number += 1,
    |block, _| block.header.number -= 1,
    |block, rng| block.header.parent_hash = phantom(rng),
    |block, _| block.header.extra_data = Bytes::from(vec![7; 33]),
    |block, rng| block.header.receipts_root = phantom(rng),
    |block, rng| block.header.transactions_root = phantom(rng),
    |block, _| block.header.logs_bloom = Bloom::repeat_byte(0xff),
    |block, rng| block.header.mix_hash = phantom(rng),
    |block, rng| block.header.parent_beacon_block_root = Some(phantom(rng)),
    |block, rng| block.header.ommers_hash = phantom(rng),
    |block, rng| block.header.withdrawals_root = Some(phantom(rng)),
    |block, rng| block.header.requests_hash = Some(phantom(rng)),
    |block, _| block.header.difficulty = U256::from(1),
    |block, _| block.header.blob_gas_used = Some(131_072),
    |block, _| block.header.timestamp = 1,
    without_certificate,
    |block, _| certificate(block, |signatures| signatures.truncate(signatures.len() / 2)),
    |block, _| certificate(block, |signatures| signatures.reverse()),
    |block, rng| {
        let at = rng.index(64);
        certificate(block, |signatures| signatures[0].signature[at] ^= 1);
    },
    |block, _| {
        block.parent_certificate = block.parent_certificate.take().map(|mut certificate| {
            certificate.round = Round(certificate.round.0 + 1);
            certificate
        });
        seal_certificate(block);
    },
    without_first,
    without_last,
    repeated,
    |block, _| system(block, 0, STAKING, Bytes::from_static(&[1, 2, 3, 4])),
    |block, _| system(block, 0, PEG, Bytes::new()),
    |block, _| {
        let last = block.transactions.len();
        system(block, last, PEG, Bytes::from_static(&[9; 36]));
    },
    unsigned,
];

/// Sets the certificate's hash and the derived randomness in the header, by the rules.
fn seal_certificate(block: &mut Block) {
    let hash = block.parent_certificate.as_ref().map_or(B256::ZERO, causeway_consensus::CommitCertificate::hash);
    block.header.parent_beacon_block_root = Some(hash);
    block.header.mix_hash = causeway_execution::header::mix_hash(block.header.parent_hash, hash);
}

fn certificate(block: &mut Block, change: impl FnOnce(&mut Vec<causeway_consensus::CommitSignature>)) {
    if let Some(certificate) =
        block.parent_certificate.as_mut().filter(|certificate| !certificate.signatures.is_empty())
    {
        change(&mut certificate.signatures);
        seal_certificate(block);
    }
}

fn without_certificate(block: &mut Block, _: &mut Rng) {
    block.parent_certificate = None;
    seal_certificate(block);
}

/// A due system call or a user's transaction is missing, while the roots include it.
fn without_first(block: &mut Block, _: &mut Rng) {
    if !block.transactions.is_empty() {
        block.transactions.remove(0);
        seal_transactions(block);
    }
}

fn without_last(block: &mut Block, _: &mut Rng) {
    block.transactions.pop();
    seal_transactions(block);
}

/// The same transaction twice.
fn repeated(block: &mut Block, rng: &mut Rng) {
    if !block.transactions.is_empty() {
        let again = rng.pick(&block.transactions).clone();
        block.transactions.push(again);
        seal_transactions(block);
    }
}

/// A system call that the chain does not know, or in a wrong place.
fn system(block: &mut Block, at: usize, to: Address, input: Bytes) {
    let call = system_transaction(block.header.number, at, SystemCall { to, input });
    block.transactions.insert(at, call);
    seal_transactions(block);
}

/// A transaction with an invalid signature.
fn unsigned(block: &mut Block, rng: &mut Rng) {
    let transaction = TxEip1559 {
        chain_id: crate::world::CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000_000,
        to: TxKind::Call(Address::repeat_byte(1)),
        ..TxEip1559::default()
    };
    let signature = Signature::new(U256::from(rng.bits()), U256::from(rng.bits()), rng.percent(50));
    block.transactions.push(Transaction::Ethereum(TxEnvelope::from(transaction.into_signed(signature))));
    seal_transactions(block);
}
