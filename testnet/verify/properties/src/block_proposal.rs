//! Proposals by a Byzantine validator: a valid block whose transactions, header, certificate or bytes are changed, and
//! whose roots are corrected as far as the other validators would compute them.
//!
//! The others refuse it for a fault of its own, or it equals the block that an honest proposer builds from the same content.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{Header, TxEnvelope};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use causeway_consensus::{CommitCertificate, Round};
use causeway_execution::{
    Block, BlockFault, BuildAttributes, ExecutedBlock, ExecutionError, MAX_BLOCK_BYTES, RecoveredTx, SystemCall,
    SystemTx, Transaction, ValidationContext,
};
use causeway_genesis::addresses::{PEG, STAKING};

use crate::Target;
use crate::calldata;
use crate::chain::{Chain, ETHER, PEGGED, STANDALONE, places, user};
use crate::evm_block::transaction;
use crate::reader::Reader;

/// See the module. A byte of choices, users' transactions, then the changes to the block.
pub const TARGET: Target = Target { name: "block_proposal", check, seeds, max_bytes: 768 };

const MAX_TRANSACTIONS: usize = 4;
const MAX_ALTERATIONS: usize = 4;
/// Header fields that are set to the values expected by the others.
const MAX_REPAIRS: usize = 8;
/// The gas of a system transaction.
const SYSTEM_TX_GAS: u64 = 10_000_000;

type Senders = BTreeMap<B256, Address>;

/// See the module.
pub fn check(bytes: &[u8]) {
    run(bytes);
}

/// The others' verdict.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Undecodable,
    Refused,
    Accepted,
}

fn run(bytes: &[u8]) -> Verdict {
    let mut reader = Reader::new(bytes);
    let shape = reader.u8();
    let chain = if shape & 1 == 0 { &*STANDALONE } else { &*PEGGED };
    let (mut nonces, mut senders) = (BTreeMap::new(), Senders::new());
    let mut list = Vec::new();
    if chain.is_pegged() && shape & 2 != 0 {
        let SystemCall { to, input } = chain.import(&[(user(shape), u128::from(shape) * ETHER)]);
        list.push(Transaction::System(SystemTx { block_number: 0, index: 0, to, gas_limit: 0, input }));
    }
    for _ in 0..usize::from(shape >> 2) % (MAX_TRANSACTIONS + 1) {
        let tx = transaction(chain, &mut nonces, &mut reader);
        senders.insert(tx.hash, tx.sender);
        list.push(Transaction::Ethereum(tx.tx.clone()));
    }
    let mut block = honest(chain, &frame(chain, list), &senders);
    let number = block.header.number;
    for _ in 0..reader.below(MAX_ALTERATIONS) {
        alter_list(&mut block.transactions, number, &mut reader);
    }
    // The roots of the transactions that an honest proposer would take from this list, over the unchanged list.
    let Block { transactions, .. } = block;
    block = honest(chain, &frame(chain, transactions.clone()), &senders);
    block.transactions = transactions;
    for _ in 0..reader.below(MAX_ALTERATIONS) {
        alter_header(&mut block.header, &mut reader);
    }
    for _ in 0..reader.below(MAX_ALTERATIONS) {
        if let Some(certificate) = &mut block.parent_certificate {
            alter_certificate(certificate, &mut reader);
        }
    }
    let repairs = if reader.flag() { MAX_REPAIRS } else { 0 };
    repair(chain, &mut block, &senders, repairs);
    let mut body = block.encode().to_vec();
    for _ in 0..reader.below(MAX_ALTERATIONS) {
        let at = usize::from(reader.u16()) % body.len();
        body[at] ^= reader.u8();
    }
    let Ok(block) = Block::decode(&body) else { return Verdict::Undecodable };
    match judge(chain, &block, &senders) {
        Ok(executed) => {
            let built = honest(chain, &block, &senders);
            assert_eq!((built.hash(), &built), (executed.hash, &block), "no honest proposer builds this");
            Verdict::Accepted
        }
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            Verdict::Refused
        }
    }
}

/// The inputs of a proposer, from a block.
fn frame(chain: &Chain, transactions: Vec<Transaction>) -> Block {
    let header = Header {
        timestamp: chain.head.timestamp + 1,
        beneficiary: chain.operators().into_iter().next().expect("a set is never empty"),
        ..Header::default()
    };
    let certificate = chain.certificate(chain.head.number, chain.head.hash_slow());
    Block { header, transactions, parent_certificate: Some(certificate) }
}

/// The block that an honest proposer builds from the content of this one.
fn honest(chain: &Chain, like: &Block, senders: &Senders) -> Block {
    let mut system = Vec::new();
    let mut users = Vec::new();
    for tx in &like.transactions {
        match tx {
            Transaction::System(tx) => system.push(SystemCall { to: tx.to, input: tx.input.clone() }),
            Transaction::Ethereum(tx) => users.extend(recovered(tx, senders)),
        }
    }
    let attributes = BuildAttributes {
        timestamp: like.header.timestamp,
        proposer_operator: like.header.beneficiary,
        parent_certificate: like.parent_certificate.clone(),
        extra_data: like.header.extra_data.clone(),
        stop: None,
        max_bytes: MAX_BLOCK_BYTES,
    };
    let built = chain.executor.build(&chain.head, &*chain.state, attributes, system, users.into_iter());
    Block::clone(&built.expect("state in memory never fails").block)
}

fn recovered(tx: &TxEnvelope, senders: &Senders) -> Option<Arc<RecoveredTx>> {
    use alloy_eips::eip2718::Encodable2718 as _;
    match senders.get(tx.tx_hash()) {
        Some(sender) => {
            let (hash, size) = (*tx.tx_hash(), tx.encode_2718_len());
            Some(Arc::new(RecoveredTx { hash, sender: *sender, size, tx: tx.clone() }))
        }
        None => RecoveredTx::recover(tx.clone()).ok().map(Arc::new),
    }
}

/// The other validators' verdict. They reach one for every block.
fn judge(chain: &Chain, block: &Block, senders: &Senders) -> Result<ExecutedBlock, BlockFault> {
    let operators = chain.operators();
    let checks = ValidationContext {
        now_ms: (chain.head.timestamp + 1) * 1_000,
        parent_validators: &chain.validators,
        operators: &operators,
    };
    let known = |hash: &B256| senders.get(hash).copied();
    let outcome = chain.executor.execute(&chain.head, &*chain.state, Arc::new(block.clone()), &known, &checks);
    outcome.map_err(|error| match error {
        ExecutionError::Invalid(fault) => *fault,
        ExecutionError::Local(error) => panic!("a proposal that nobody can judge: {error}"),
    })
}

/// Sets the header to the values that the others compute, as a proposer can.
fn repair(chain: &Chain, block: &mut Block, senders: &Senders, times: usize) {
    for _ in 0..times {
        let mut header = block.header.clone();
        match judge(chain, block, senders) {
            Err(BlockFault::TransactionsRoot { expected, .. }) => header.transactions_root = expected,
            Err(BlockFault::CertificateHash { expected, .. }) => header.parent_beacon_block_root = Some(expected),
            Err(BlockFault::MixHash { expected, .. }) => header.mix_hash = expected,
            Err(BlockFault::GasUsed { expected, .. }) => header.gas_used = expected,
            Err(BlockFault::ReceiptsRoot { expected, .. }) => header.receipts_root = expected,
            Err(BlockFault::StateRoot { expected, .. }) => header.state_root = expected,
            _ => return,
        }
        block.header = header;
    }
}

/// Removes, repeats, moves or adds a transaction.
fn alter_list(list: &mut Vec<Transaction>, number: u64, reader: &mut Reader<'_>) {
    let (how, at) = (reader.u8(), reader.below(list.len() + 1));
    match how % 6 {
        0 if at < list.len() => drop(list.remove(at)),
        1 if at < list.len() => list.push(list[at].clone()),
        2 if at < list.len() => {
            let other = reader.below(list.len());
            list.swap(at, other);
        }
        3 | 4 => {
            let to = if how & 64 == 0 { PEG } else { STAKING };
            let input = calldata::call(to, reader);
            let index = u32::try_from(at).expect("few transactions");
            let gas_limit = SYSTEM_TX_GAS;
            list.insert(at, Transaction::System(SystemTx { block_number: number, index, to, gas_limit, input }));
        }
        _ => {
            if let Some(Transaction::System(tx)) = list.get_mut(at) {
                let by = reader.u8();
                match how >> 4 & 3 {
                    0 => tx.index ^= u32::from(by),
                    1 => tx.block_number ^= u64::from(by),
                    2 => tx.gas_limit = tx.gas_limit.wrapping_sub(u64::from(by)),
                    _ => tx.input = calldata::call(tx.to, reader),
                }
            }
        }
    }
}

fn alter_header(header: &mut Header, reader: &mut Reader<'_>) {
    let (field, value) = (reader.u8(), reader.u8());
    let word = B256::repeat_byte(value);
    match field % 26 {
        0 => header.parent_hash = word,
        1 => header.ommers_hash = word,
        2 => header.beneficiary = places()[usize::from(value) % places().len()],
        3 => header.state_root = word,
        4 => header.transactions_root = word,
        5 => header.receipts_root = word,
        6 => header.logs_bloom = Bloom::repeat_byte(value),
        7 => header.difficulty = U256::from_be_bytes(word.0),
        8 => header.number = reader.u64(),
        9 => header.gas_limit = reader.u64(),
        10 => header.gas_used = reader.u64(),
        11 => header.timestamp = header.timestamp.wrapping_add(u64::from(value)).wrapping_sub(2),
        12 => header.timestamp = reader.u64(),
        13 => header.extra_data = Bytes::copy_from_slice(reader.short()),
        14 => header.mix_hash = word,
        15 => header.nonce = B64::repeat_byte(value),
        16 => header.base_fee_per_gas = (value & 1 == 0).then(|| reader.u64()),
        17 => header.withdrawals_root = (value & 1 == 0).then_some(word),
        18 => header.blob_gas_used = (value & 1 == 0).then(|| reader.u64()),
        19 => header.excess_blob_gas = (value & 1 == 0).then(|| reader.u64()),
        20 => header.parent_beacon_block_root = (value & 1 == 0).then_some(word),
        21 => header.requests_hash = (value & 1 == 0).then_some(word),
        22 => header.block_access_list_hash = (value & 1 == 0).then_some(word),
        23 => header.slot_number = (value & 1 == 0).then(|| reader.u64()),
        24 => header.number = header.number.wrapping_add(u64::from(value)).wrapping_sub(1),
        _ => header.gas_used = header.gas_used.wrapping_add(u64::from(value)),
    }
}

/// Still valid, as long as more than two thirds are unchanged.
fn alter_certificate(certificate: &mut CommitCertificate, reader: &mut Reader<'_>) {
    let (how, by) = (reader.u8(), reader.u8());
    let signatures = &mut certificate.signatures;
    let Some(at) = usize::from(by >> 4).checked_rem(signatures.len()) else { return };
    match how % 8 {
        0..=2 => drop(signatures.remove(at)),
        3 => signatures.push(signatures[at].clone()),
        4 => signatures.reverse(),
        5 => signatures[at].signature[usize::from(reader.u8()) % 64] ^= by,
        6 => certificate.round = Round(u32::from(by)),
        _ => certificate.height.0 ^= u64::from(by),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    // A transfer by a user, as in `evm_block`.
    let transfer = |who: u8, value: u8| vec![32 + who, 7, value, 7, 0];
    let none = [0, 0, 0, 0, 0];
    let mut seeds = vec![
        none.to_vec(),
        [vec![3], none.to_vec()].concat(),
        [vec![4], transfer(0, 65), none.to_vec()].concat(),
        [vec![15 | 8], transfer(0, 65), transfer(1, 70), transfer(2, 0), none.to_vec()].concat(),
        // One of three transactions omitted, one repeated.
        [vec![11], transfer(0, 65), transfer(1, 66), vec![1, 0, 0, 0, 0, 1, 0]].concat(),
        [vec![11], transfer(0, 65), transfer(1, 66), vec![1, 1, 1, 0, 0, 1, 0]].concat(),
        // A later time, one signature omitted, the roots corrected.
        vec![1, 0, 1, 11, 3, 0, 1, 0],
        vec![1, 0, 0, 1, 0, 16, 1, 0],
        vec![3, 1, 3, 1, 9, 0, 0, 0, 0, 1, 0],
        vec![3, 0, 0, 0, 0, 1, 40, 0, 1],
    ];
    for field in 0..26 {
        seeds.push(vec![3, 0, 1, field, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_lead_to_accepted_and_to_refused_proposals() {
        let verdicts: Vec<_> = seeds().iter().map(|seed| run(seed)).collect();
        assert_eq!(verdicts[..4], [Verdict::Accepted, Verdict::Accepted, Verdict::Accepted, Verdict::Accepted]);
        let accepted = verdicts[4..].iter().filter(|verdict| **verdict == Verdict::Accepted).count();
        assert!(accepted >= 3, "{verdicts:?}");
        assert!(verdicts.contains(&Verdict::Refused), "{verdicts:?}");
    }
}
