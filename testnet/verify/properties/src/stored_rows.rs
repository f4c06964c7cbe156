//! The database's rows, with one of them changed: every read returns or fails, and opening refuses or goes on.

use std::sync::{Arc, LazyLock};

use alloy_primitives::{B256, U256, keccak256};
use causeway_execution::{StateSource as _, Transaction};
use causeway_genesis::Genesis;
use causeway_genesis::addresses::PEG;
use causeway_storage::{LogCaps, LogFilter, Storage, StorageOptions};

use crate::chain::{Chain, ETHER, places, spec, user};
use crate::evm_block::withdrawal;
use crate::memory::Rows;
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. The row, the change, and its bytes.
pub const TARGET: Target = Target { name: "stored_rows", check, seeds, max_bytes: 512 };

const BLOCKS: u64 = 6;

struct Stored {
    genesis: Arc<Genesis>,
    rows: Rows,
    hashes: Vec<B256>,
    transactions: Vec<B256>,
}

static STORED: LazyLock<Stored> = LazyLock::new(|| {
    let genesis = Arc::new(Genesis::build(spec(true)).expect("a legal spec"));
    let rows = Rows::default();
    let storage = Storage::open_on(Box::new(rows.clone()), &genesis, StorageOptions::default()).expect("empty tables");
    let mut chain = Chain::at_genesis(genesis.clone());
    let mut hashes = vec![genesis.hash];
    let mut transactions = Vec::new();
    for height in 1..=BLOCKS {
        let system = if height % 2 == 1 { vec![chain.import(&[(user(0), 5 * ETHER)])] } else { Vec::new() };
        let txs = if height > 1 { vec![withdrawal(&chain)] } else { Vec::new() };
        let executed = Arc::new(chain.build(system, &txs, 1));
        let certificate = chain.certificate(height, executed.hash);
        storage.commit(&executed, &certificate).expect("tables in memory");
        hashes.push(executed.hash);
        transactions.extend(executed.block.transactions.iter().map(Transaction::hash));
        chain = chain.after(executed);
    }
    Stored { genesis, rows, hashes, transactions }
});

/// See the module.
pub fn check(bytes: &[u8]) {
    let stored = &*STORED;
    let mut reader = Reader::new(bytes);
    let rows = stored.rows.copy();
    for _ in 0..=reader.below(2) {
        let at = usize::from(reader.u16()) % rows.len();
        let how = reader.u8();
        let mut reader_in = reader;
        rows.tamper(at, |_, mut key, mut value| {
            match how % 8 {
                0 => value = reader_in.rest().to_vec(),
                1 => value.truncate(usize::from(reader_in.u8())),
                2 => value.extend_from_slice(reader_in.short()),
                3 => {
                    let place = usize::from(reader_in.u16()) % key.len().max(1);
                    key.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << (how >> 5));
                }
                4 => return None,
                5 => {
                    let end = reader_in.short();
                    let from = value.len().saturating_sub(end.len());
                    value.truncate(from);
                    value.extend_from_slice(end);
                }
                _ => {
                    for _ in 0..=how >> 5 {
                        let place = usize::from(reader_in.u16()) % value.len().max(1);
                        let flip = reader_in.u8();
                        value.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= flip);
                    }
                }
            }
            Some((key, value))
        });
        reader = reader_in;
    }
    match Storage::open_on(Box::new(rows), &stored.genesis, StorageOptions::default()) {
        Ok(storage) => read_all(&storage, stored),
        Err(error) => answers(error.to_string()),
    }
}

fn read_all(storage: &Storage, stored: &Stored) {
    answers((storage.head(), storage.head_number(), storage.head_hash(), storage.oldest_state()));
    for number in 0..=BLOCKS + 1 {
        answers((storage.header_by_number(number), storage.hash_by_number(number), storage.block(number)));
        answers((storage.body(number), storage.receipts(number), storage.senders(number), storage.certificate(number)));
        if let Ok(state) = storage.state_at(number) {
            for place in places() {
                if let Ok(Some(account)) = state.account(place) {
                    answers(state.code(account.code_hash));
                }
                answers(state.storage(place, U256::ZERO));
            }
            let proven = storage.header_by_number(number).ok().flatten().zip(state.account(PEG).ok().flatten());
            if let Some((header, account)) = proven {
                let (owner, slot) = (keccak256(PEG), keccak256(B256::ZERO));
                answers(causeway_trie::prove(&*state, None, header.state_root, owner));
                answers(causeway_trie::prove(&*state, Some(owner), account.storage_root, slot));
            }
        }
    }
    for hash in &stored.hashes {
        answers(storage.number_by_hash(hash));
    }
    for hash in &stored.transactions {
        answers(storage.transaction(hash));
    }
    let filter = LogFilter { addresses: vec![PEG], ..LogFilter::default() };
    answers(storage.logs(0, BLOCKS, &filter, &LogCaps { max_blocks: 100, max_logs: 100 }));
    for n in 0..4 {
        answers((storage.deposit(n), storage.withdrawal(n), storage.checkpoint(n)));
    }
    answers((storage.withdrawals(0, 9), storage.latest_checkpoint()));
    answers((storage.pending_evidence(), storage.former_members()));
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0, 0, 0, 4], vec![1, 0, 0, 4, 9, 0, 1, 3]];
    for at in (0..200u16).step_by(40) {
        for how in [0u8, 2, 6] {
            seeds.push([vec![0], at.to_le_bytes().to_vec(), vec![how, 2, 1, 7]].concat());
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_nobody_touched_are_read() {
        let storage = Storage::open_on(Box::new(STORED.rows.copy()), &STORED.genesis, StorageOptions::default());
        let storage = storage.expect("sound rows");
        assert_eq!((storage.head_number(), storage.block(BLOCKS).is_ok()), (BLOCKS, true));
        assert!(matches!(storage.withdrawal(1), Ok(Some(_))));
        read_all(&storage, &STORED);
    }
}
