//! The parent's JSON-RPC answers, true or false: the watcher goes on, and its reports are consistent.
//!
//! Two endpoints serve one small chain; each answer may be cut, altered, replaced by any bytes or refused. Where they agree
//! on a lie the watcher believes it, but deposits still come without gaps and with the matching accumulator.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolEvent as _, SolValue as _};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_parent::{ParentConfig, ParentUpdate, ParentWatcher, WatchFrom};
use causeway_peg::Deposit;
use causeway_peg::deposit::{MAX_DEPOSITS_PER_VIEW, fold_deposits};
use serde_json::{Value, json};

use crate::Target;
use crate::parent_wire::ScriptedParent;

/// See the module. For each answer one byte that chooses its change, and the bytes of that change.
pub const TARGET: Target = Target { name: "parent_answers", check, seeds, max_bytes: 1024 };

const CHAIN_ID: u64 = 31_337;
const VAULT: Address = Address::repeat_byte(0xaa);
const REGISTRY: Address = Address::repeat_byte(0xbb);
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const HEAD: u64 = 12;

/// See the module.
pub fn check(bytes: &[u8]) {
    watch(bytes);
}

fn watch(script: &[u8]) -> Told {
    let parent = ScriptedParent::new(script, honest);
    let mut config =
        ParentConfig::new(vec!["http://parent-0".to_owned(), "http://parent-1".to_owned()], CHAIN_ID, VAULT, REGISTRY);
    config.max_response_bytes = MAX_ANSWER_BYTES;
    let from = WatchFrom { parent_height: 0, deposit_nonce: 0, deposit_acc: B256::ZERO };
    let (watcher, status, mut updates) = ParentWatcher::new(config, from, parent).expect("legal settings");
    let mut running = pin!(watcher.run());
    let mut context = Context::from_waker(Waker::noop());
    let mut told = Told::default();
    // In each round it stops when the channel is full or the endpoints are silent.
    for _ in 0..8 {
        assert!(running.as_mut().poll(&mut context).is_pending(), "it watches for ever");
        let mut any = false;
        while let Ok(update) = updates.try_recv() {
            told.note(&update);
            any = true;
        }
        if !any {
            break;
        }
    }
    assert_eq!(status.borrow().deposit_nonce, told.nonce);
    told
}

/// The watcher's reports so far.
#[derive(Default)]
struct Told {
    nonce: u64,
    acc: B256,
    finalized: u64,
}

impl Told {
    fn note(&mut self, update: &ParentUpdate) {
        match update {
            ParentUpdate::Deposits { view, deposits } => {
                assert!(!deposits.is_empty() && deposits.len() as u64 <= MAX_DEPOSITS_PER_VIEW);
                for deposit in deposits {
                    self.nonce += 1;
                    assert_eq!(deposit.nonce, self.nonce, "a deposit is missing or comes twice");
                }
                self.acc = fold_deposits(self.acc, deposits);
                assert_eq!((view.depositNonce, view.depositAcc), (self.nonce, self.acc), "a view of other deposits");
            }
            ParentUpdate::Finalized { height, .. } => {
                assert!(*height >= self.finalized, "finality went back");
                self.finalized = *height;
            }
            ParentUpdate::Conflict(conflict) => assert!(!conflict.to_string().is_empty()),
            ParentUpdate::Unreachable { reason, .. } => {
                assert!(reason.len() < 4_096, "{} bytes of reason", reason.len())
            }
            ParentUpdate::Recovered | ParentUpdate::Checkpoint { .. } | ParentUpdate::SetCommitted { .. } => {}
        }
    }
}

fn hash(height: u64) -> B256 {
    keccak256(height.to_be_bytes())
}

/// Three deposits, in blocks 3, 3 and 7.
fn deposits() -> Vec<(u64, Deposit, B256)> {
    let mut acc = B256::ZERO;
    let deposit = |nonce: u64| Deposit {
        nonce,
        token: Address::ZERO,
        sender: Address::repeat_byte(3),
        recipient: Address::repeat_byte(4),
        amount: U256::from(1_000 * nonce),
    };
    let heights = [3, 3, 7].into_iter().zip(1..);
    heights
        .map(|(height, nonce)| {
            let deposit = deposit(nonce);
            acc = fold_deposits(acc, [&deposit]);
            (height, deposit, acc)
        })
        .collect()
}

fn honest(method: &str, params: &Value) -> Value {
    let height = |tag: &Value| match tag.as_str() {
        Some("finalized") | None => HEAD,
        Some(number) => u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap_or(HEAD),
    };
    match method {
        "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
        "eth_getBlockByNumber" => {
            let height = height(&params[0]);
            json!({ "number": format!("{height:#x}"), "hash": hash(height), "timestamp": "0x10" })
        }
        "eth_getLogs" => {
            let (from, to) = (height(&params[0]["fromBlock"]), height(&params[0]["toBlock"]));
            let logs = deposits().into_iter().zip(0u64..).filter(|((at, ..), _)| (from..=to).contains(at));
            logs.map(|((height, deposit, acc), index)| log(height, &deposit, acc, index)).collect()
        }
        "eth_call" => {
            let data: Bytes = params[0]["data"].as_str().unwrap_or_default().parse().unwrap_or_default();
            json!(call(&data, height(&params[1])))
        }
        _ => Value::Null,
    }
}

fn log(height: u64, deposit: &Deposit, acc: B256, index: u64) -> Value {
    let event = PegVault::Deposited {
        nonce: deposit.nonce,
        token: deposit.token,
        sender: deposit.sender,
        recipient: deposit.recipient,
        amount: deposit.amount,
        depositAcc: acc,
    }
    .encode_log_data();
    json!({
        "address": VAULT, "topics": event.topics(), "data": event.data, "blockNumber": format!("{height:#x}"),
        "blockHash": hash(height), "logIndex": format!("{index:#x}"), "removed": false,
    })
}

fn call(data: &[u8], height: u64) -> Bytes {
    let known: Vec<_> = deposits().into_iter().filter(|(at, ..)| *at <= height).collect();
    let output = if PegVault::depositNonceCall::abi_decode(data).is_ok() {
        (known.len() as u64).abi_encode()
    } else if let Ok(call) = PegVault::depositAccAtCall::abi_decode(data) {
        let acc = known.iter().find(|(_, deposit, _)| deposit.nonce == call.nonce).map(|(.., acc)| *acc);
        acc.unwrap_or_default().abi_encode()
    } else if CheckpointRegistry::latestCall::abi_decode(data).is_ok() {
        (2u64, 8u64, 0u64, 1u64).abi_encode_params()
    } else {
        B256::repeat_byte(0x5e).abi_encode()
    };
    output.into()
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for place in (0..14).step_by(2) {
        for lie in [4u8, 9] {
            seeds.push([vec![0; place], vec![lie, 7, 0, 99]].concat());
        }
        seeds.push([vec![0; place], vec![7, 0, 2, 1, 1, 2]].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_endpoints_are_believed_to_the_end() {
        let told = watch(&[]);
        assert_eq!((told.nonce, told.finalized), (3, HEAD));
    }
}
