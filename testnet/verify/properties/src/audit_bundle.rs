//! The auditor's bundle: any JSON is a bundle or is refused, and the audit of any bundle ends with a report.

use std::sync::{Arc, LazyLock};

use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable as _;
use causeway_genesis::Genesis;
use causeway_peg_audit::{
    AccountEvidence, BUNDLE_FORMAT, BlockEvidence, Bundle, CommittedSet, LogEvidence, ParentBlock, ParentEvidence,
    ParentValues, RecordEvidence, SetEvidence, SidechainEvidence, SlotEvidence, audit,
};
use serde_json::Value;

use crate::chain::{Chain, ETHER, spec, user};
use crate::evm_block::withdrawal;
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. After a first byte of 0 comes JSON, after any other byte changes to the bundle of a short chain.
pub const TARGET: Target = Target { name: "audit_bundle", check, seeds, max_bytes: 2048 };

const BLOCKS: u64 = 5;

struct Audited {
    genesis: Arc<Genesis>,
    bundle: Value,
}

static AUDITED: LazyLock<Audited> = LazyLock::new(|| {
    let genesis = Arc::new(Genesis::build(spec(true)).expect("a legal spec"));
    let bundle = serde_json::to_value(bundle(&genesis)).expect("a bundle always serialises");
    Audited { genesis, bundle }
});

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let all = &*AUDITED;
    if reader.u8() == 0 {
        match Bundle::from_json(reader.rest()) {
            Ok(bundle) => judge(&bundle),
            Err(error) => answers(error.to_string()),
        }
        return;
    }
    let mut value = all.bundle.clone();
    for _ in 0..=reader.below(6) {
        alter(&mut value, &mut reader);
    }
    let json = value.to_string();
    if let Ok(bundle) = Bundle::from_json(json.as_bytes()) {
        judge(&bundle);
    }
}

pub(crate) fn judge(bundle: &Bundle) {
    let json = serde_json::to_vec(bundle).expect("a bundle always serialises");
    assert_eq!(Bundle::from_json(&json).ok().as_ref(), Some(bundle), "it comes back");
    match audit(bundle, &AUDITED.genesis) {
        Ok(report) => {
            assert_eq!(report.genesis_hash, AUDITED.genesis.hash);
            answers(serde_json::to_vec(&report).expect("a report always serialises"));
        }
        Err(error) => answers(error.to_string()),
    }
    let bundle = Bundle { genesis_hash: AUDITED.genesis.hash, ..bundle.clone() };
    answers(audit(&bundle, &AUDITED.genesis));
}

/// Changes, repeats or removes one value somewhere in the bundle.
fn alter(place: &mut Value, reader: &mut Reader<'_>) {
    let step = usize::from(reader.u8());
    if let Value::Array(items) = place
        && !items.is_empty()
        && step >= 230
    {
        let at = step % items.len();
        match step {
            250.. => drop(items.remove(at)),
            240..250 => items.push(items[at].clone()),
            _ => items.reverse(),
        }
        return;
    }
    if let Some(inner) = inner(place, step) {
        return alter(inner, reader);
    }
    *place = match (&*place, reader.u8()) {
        (Value::String(text), how) if text.starts_with("0x") => Value::String(digits(text, how, reader)),
        (Value::Number(number), 0..=127) => {
            let number = number.as_u64().unwrap_or_default();
            number.wrapping_add(u64::from(reader.u8())).wrapping_sub(u64::from(reader.u8())).into()
        }
        (Value::Number(_), _) => reader.u64().into(),
        (Value::Null, _) => Value::String("0x".to_owned()),
        (_, 0) => Value::Null,
        (other, _) => other.clone(),
    };
}

/// A value inside an array or object, by position.
pub(crate) fn inner(value: &mut Value, place: usize) -> Option<&mut Value> {
    match value {
        Value::Array(items) => {
            let at = place.checked_rem(items.len())?;
            items.get_mut(at)
        }
        Value::Object(fields) => {
            let at = place.checked_rem(fields.len())?;
            fields.values_mut().nth(at)
        }
        _ => None,
    }
}

fn digits(text: &str, how: u8, reader: &mut Reader<'_>) -> String {
    let mut bytes: Vec<u8> = alloy_primitives::hex::decode(text).unwrap_or_default();
    match how % 6 {
        0 => bytes.clear(),
        1 => bytes.truncate(usize::from(reader.u16())),
        2 => bytes.extend_from_slice(reader.short()),
        3 => bytes = reader.short().to_vec(),
        _ => {
            for _ in 0..=how / 64 {
                let at = usize::from(reader.u16()) % bytes.len().max(1);
                let flip = reader.u8();
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= flip);
            }
        }
    }
    if how % 6 == 5 && reader.flag() {
        return format!("{:#x}", reader.u64());
    }
    alloy_primitives::hex::encode_prefixed(bytes)
}

/// A bundle of the first blocks, without proofs.
fn bundle(genesis: &Arc<Genesis>) -> Bundle {
    let mut chain = Chain::at_genesis(genesis.clone());
    let mut headers = Vec::new();
    let mut blocks = Vec::new();
    for height in 1..=BLOCKS {
        let system = if height == 1 { vec![chain.import(&[(user(0), 5 * ETHER)])] } else { Vec::new() };
        let txs = if height > 1 { vec![withdrawal(&chain)] } else { Vec::new() };
        let executed = Arc::new(chain.build(system, &txs, 1));
        let mut header = Vec::new();
        executed.block.header.encode(&mut header);
        headers.push(Bytes::from(header));
        let receipt = |receipt: &causeway_execution::Receipt| {
            let mut bytes = Vec::new();
            receipt.encode_2718(&mut bytes);
            Bytes::from(bytes)
        };
        blocks.push(BlockEvidence {
            number: height,
            transactions: executed.block.transactions.iter().map(|tx| tx.encoded_2718().into()).collect(),
            receipts: executed.receipts.iter().map(receipt).collect(),
        });
        chain = chain.after(executed);
    }
    let account = proven(&chain);
    let spec = genesis.spec.peg.as_ref().expect("a pegged chain");
    let log = LogEvidence {
        address: spec.vault,
        topics: vec![B256::repeat_byte(5); 4],
        data: Bytes::from_static(&[0; 96]),
        height: 3,
        block_hash: B256::repeat_byte(6),
        log_index: 0,
    };
    Bundle {
        format: BUNDLE_FORMAT,
        genesis_hash: genesis.hash,
        sidechain: SidechainEvidence {
            chain_id: genesis.spec.chain_id,
            head: BLOCKS,
            headers,
            records: vec![RecordEvidence {
                number: 4,
                transaction: blocks[0].transactions[0].clone(),
                digest: B256::repeat_byte(9),
            }],
            blocks,
            validator_sets: vec![SetEvidence {
                epoch: 1,
                commitment: B256::repeat_byte(8),
                first_checkpoint: Some(2),
                validators: genesis.peg_validator_set().expect("a pegged chain").validators().to_vec(),
            }],
            proofs: vec![account.clone()],
        },
        parent: ParentEvidence {
            chain_id: spec.parent_chain_id,
            finalized: ParentBlock {
                height: 9,
                hash: B256::repeat_byte(3),
                state_root: B256::repeat_byte(4),
                header: None,
            },
            from: 1,
            logs: vec![log],
            values: ParentValues {
                vault_balance: U256::from(5 * ETHER),
                locked: U256::from(5 * ETHER),
                deposit_nonce: 1,
                deposit_acc: B256::repeat_byte(7),
                claim_delay_s: 0,
                checkpoint: 0,
                checkpoint_digest: B256::ZERO,
                epoch: 0,
                validator_sets: vec![CommittedSet { epoch: 0, commitment: B256::repeat_byte(8) }],
            },
            vault_code: Bytes::new(),
            registry_code: Bytes::new(),
            proofs: vec![AccountEvidence { address: Address::repeat_byte(1), ..account }],
        },
    }
}

/// A proof of the peg's account at the head, with one slot.
fn proven(chain: &Chain) -> AccountEvidence {
    let (state, address) = (&*chain.state, causeway_genesis::addresses::PEG);
    let account = state.account(address).ok().flatten().expect("a pegged chain");
    let prove = |owner, root, key| causeway_trie::prove(state, owner, root, key).expect("state in memory");
    let (owner, slot) = (keccak256(address), causeway_peg::layout::SUPPLY);
    AccountEvidence {
        height: chain.head.number,
        address,
        nonce: account.nonce,
        balance: account.balance,
        code_hash: account.code_hash,
        storage_root: account.storage_root,
        account_proof: prove(None, chain.head.state_root, owner),
        storage: vec![SlotEvidence {
            slot,
            value: state.storage(address, slot).expect("state in memory"),
            proof: prove(Some(owner), account.storage_root, keccak256(B256::from(slot))),
        }],
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds =
        vec![[vec![0], b"{\"format\":2}".to_vec()].concat(), [vec![0], b"{\"format\":1}".to_vec()].concat()];
    seeds.extend((0..40u8).step_by(4).map(|n| vec![1, n % 3, n, n / 2, n / 3, 0, n, 1, 0, 3, 1]));
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_audited() {
        let bundle = Bundle::from_json(AUDITED.bundle.to_string().as_bytes()).expect("a bundle");
        let report = audit(&bundle, &AUDITED.genesis).expect("evidence of this chain");
        assert!(!report.holds, "it lacks every proof");
        assert!(report.checks.iter().any(|check| check.holds), "{report:?}");
    }
}
