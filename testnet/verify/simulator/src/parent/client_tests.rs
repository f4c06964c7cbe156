//! Production clients over a parent without faults beyond those of a normal chain.
#![allow(clippy::unwrap_used)]

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_contracts::PegVault;
use causeway_parent::ParentUpdate;
use serde_json::{Value, json};

use super::{
    At, Lie, Parent, ParentEvent, ParentPlan, PoolError, TxStatus,
    harness::{RECIPIENT, Rig, Side, deployment, ether, parent, user},
};

fn rig(seed: u64) -> Rig {
    Rig::new(parent(ParentPlan::default(), seed))
}

#[test]
fn deposits_are_reported_once_they_are_final_and_not_before() {
    let mut rig = rig(1);
    let watcher = rig.watch(&[0, 1]);
    for number in 0..3 {
        rig.parent.deposit(&user(number), RECIPIENT, ether(1 + u64::from(number))).unwrap();
        rig.run(3_000);
    }
    assert_eq!(rig.parent.vault_deposits(At::Head), 3);
    assert_eq!(rig.reports(watcher).deposits(), [], "none is final yet");
    rig.run(60_000);
    rig.assert_true_and_final(watcher);
    assert_eq!(rig.reports(watcher).deposits().len(), 3);
    assert_eq!(rig.parent.vault_locked(At::Finalized), ether(6));
    assert_eq!(rig.parent.ledger().owed(rig.parent.finalized().height), Some(ether(6)));
    assert_eq!(rig.parent.balance(rig.parent.vault(), At::Head), ether(6));
}

#[test]
fn reorganisation_undoes_a_deposit_that_is_not_final() {
    let mut rig = rig(2);
    let watcher = rig.watch(&[0]);
    let before = rig.parent.balance(user(0).address(), At::Head);
    let hash = rig.parent.deposit(&user(0), RECIPIENT, ether(1)).unwrap();
    rig.run(6_000);
    assert!(matches!(rig.parent.status(&hash), TxStatus::Included { success: true, finalized: false, .. }));
    let head = rig.parent.head();
    rig.parent.faults_mut().drop_percent = 100;
    assert_eq!(rig.parent.reorganise(9), ParentEvent::Reorganised { blocks: 3, deposits: 1 });
    assert_eq!(rig.parent.head().height, head.height);
    assert_ne!(rig.parent.head().hash, head.hash);
    assert_eq!(rig.parent.status(&hash), TxStatus::Unknown);
    assert_eq!(rig.parent.vault_deposits(At::Head), 0);
    assert_eq!(rig.parent.vault_locked(At::Head), U256::ZERO);
    assert_eq!(rig.parent.balance(user(0).address(), At::Head), before);
    rig.run(60_000);
    assert_eq!(rig.reports(watcher).deposits(), [], "it never happened");
    rig.parent.heal();
    rig.parent.deposit(&user(0), RECIPIENT, ether(2)).unwrap();
    rig.run(60_000);
    rig.assert_true_and_final(watcher);
    assert_eq!(rig.reports(watcher).deposits().len(), 1);
}

#[test]
fn final_blocks_survive_every_reorganisation() {
    let mut rig = rig(3);
    rig.parent.faults_mut().reorg_percent = 50;
    rig.parent.faults_mut().reorg_depth = 64;
    let mut finals = Vec::new();
    for _ in 0..200 {
        rig.run(2_000);
        let finalized = rig.parent.finalized();
        assert!(finals.last().is_none_or(|last: &causeway_parent::BlockRef| last.height <= finalized.height));
        finals.push(finalized);
    }
    assert!(rig.parent.counters().reorganisations > 50 && rig.parent.counters().deepest == 6);
    let shown = finals.iter().map(|block| rig.parent.block_at(block.height));
    assert!(shown.eq(finals.iter().copied()), "a block that was final has another hash");
}

#[test]
fn relay_submits_a_checkpoint_and_the_withdrawal_is_claimed_once() {
    let mut rig = rig(4);
    rig.parent.deposit(&user(0), RECIPIENT, ether(5)).unwrap();
    let side = Side::with_withdrawal(&rig.parent, ether(2));
    assert!(matches!(rig.parent.claim(&user(1), &side.claim()), Err(PoolError::WouldRevert(_))), "unknown checkpoint");
    let watcher = rig.watch(&[0, 1]);
    let looked = rig.relay(side.clone(), user(2), 1);
    rig.run(30_000);
    assert_eq!(rig.parent.registry_at(At::Head).number, 1);
    assert!(rig.parent.accepted_at(1, At::Head).is_some());
    assert!(*looked.borrow() > 5);
    assert_eq!(rig.parent.ledger().checkpoints(u64::MAX).len(), 1, "it is not submitted again");
    rig.parent.claim(&user(1), &side.claim()).unwrap();
    rig.run(30_000);
    assert_eq!(rig.parent.balance(RECIPIENT, At::Finalized), ether(2));
    assert!(rig.parent.vault_claimed(0, At::Finalized));
    assert_eq!(rig.parent.ledger().times_paid(0), 1);
    assert_eq!(rig.parent.vault_locked(At::Head), ether(3));
    assert_eq!(rig.parent.ledger().owed(u64::MAX), Some(ether(3)));
    assert!(matches!(rig.parent.claim(&user(1), &side.claim()), Err(PoolError::WouldRevert(_))), "already claimed");
    let accepted =
        |(_, _, update): &(u64, u64, ParentUpdate)| matches!(update, ParentUpdate::Checkpoint { number: 1, .. });
    assert_eq!(rig.reports(watcher).0.iter().filter(|report| accepted(report)).count(), 1);
}

#[test]
fn same_seed_gives_the_same_chain_and_reports() {
    let run = |seed: u64| {
        let faults = super::ParentFaults::all(3_000, 20_000, vec![1, 2]);
        let mut rig = Rig::new(parent(ParentPlan { faults, ..ParentPlan::default() }, seed));
        let watchers = [rig.watch(&[0, 1]), rig.watch(&[0, 2])];
        let side = Side::with_withdrawal(&rig.parent, ether(1));
        rig.relay(side, user(3), 0);
        let mut events = Vec::new();
        for round in 0..60u8 {
            // Some do not succeed: that must repeat, too.
            rig.parent.deposit(&user(round % 2), RECIPIENT, ether(1)).ok();
            events.extend(rig.run(4_000));
        }
        let reports = watchers.map(|watcher| rig.reports(watcher).clone());
        (rig.parent.head(), events, reports, rig.parent.counters().clone())
    };
    let once = run(5);
    assert_eq!(once, run(5));
    assert_ne!(once.0, run(6).0);
    assert!(once.3.faults.len() > 5, "{:?}", once.3);
}

fn ask(parent: &mut Parent, endpoint: usize, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    serde_json::from_slice(&parent.serve(endpoint, body.as_bytes())).unwrap()
}

#[test]
fn endpoints_answer_the_methods_that_are_used_and_refuse_others() {
    let mut rig = rig(7);
    let hash = rig.parent.deposit(&user(0), RECIPIENT, ether(1)).unwrap();
    rig.run(20_000);
    let parent = &mut rig.parent;
    let (head, finalized) = (parent.head(), parent.finalized());
    let result = |parent: &mut Parent, method: &str, params: Value| ask(parent, 0, method, params)["result"].clone();
    let number = |height: u64| json!(format!("{height:#x}"));
    assert_eq!(result(parent, "eth_chainId", json!([])), json!("0x7a69"));
    assert_eq!(result(parent, "eth_blockNumber", json!([])), number(head.height));
    for (tag, block) in [("latest", head), ("finalized", finalized)] {
        let shown = result(parent, "eth_getBlockByNumber", json!([tag, false]));
        assert_eq!((&shown["number"], &shown["hash"]), (&number(block.height), &json!(block.hash)));
        assert_eq!(result(parent, "eth_getBlockByHash", json!([block.hash, false])), shown);
    }
    assert_eq!(result(parent, "eth_getBlockByNumber", json!(["0xffff", false])), Value::Null);
    let vault = parent.vault();
    assert_eq!(result(parent, "eth_getStorageAt", json!([vault, "0x0", "latest"])), {
        // The deposit's nonce and the sum of deposits share the vault's first slot.
        json!(alloy_primitives::B256::from((ether(1) << 64) | U256::from(1)))
    });
    let code = result(parent, "eth_getCode", json!([vault, "latest"]));
    let args = causeway_contracts::VaultArgs { registry: parent.registry(), claim_delay_s: 0 };
    assert_eq!(code, json!(causeway_contracts::vault_runtime_code(&args)));
    assert_eq!(result(parent, "eth_getTransactionCount", json!([user(0).address(), "latest"])), json!("0x1"));
    assert_eq!(result(parent, "eth_getTransactionCount", json!([deployment().deployer, "latest"])), json!("0x9"));
    let receipt = result(parent, "eth_getTransactionReceipt", json!([hash]));
    let filter = json!([{ "address": vault, "topics": [], "fromBlock": "0x0", "toBlock": "latest" }]);
    assert_eq!(result(parent, "eth_getLogs", filter), receipt["logs"]);
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 1);
    assert_eq!(result(parent, "eth_gasPrice", json!([])), json!("0x4190ab00"));
    assert_eq!(ask(parent, 0, "eth_mining", json!([]))["error"]["code"], json!(-32_601));
    assert_eq!(ask(parent, 0, "eth_getLogs", json!([7]))["error"]["code"], json!(-32_602));
    let batch = br#"[{"id":7,"method":"eth_chainId"},{"id":8,"method":"eth_blockNumber","params":[]}]"#;
    let answers: Value = serde_json::from_slice(&parent.serve(0, batch)).unwrap();
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(7), &json!(8)));
    assert_eq!(serde_json::from_slice::<Value>(&parent.serve(0, b"{")).unwrap()["error"]["code"], json!(-32_700));
}

#[test]
fn states_are_kept_as_far_back_as_planned() {
    let mut rig = Rig::new(parent(ParentPlan { state_blocks: 10, ..ParentPlan::default() }, 8));
    rig.parent.deposit(&user(0), RECIPIENT, ether(1)).unwrap();
    rig.run(100_000);
    let finalized = rig.parent.finalized().height;
    let call = |height: u64| {
        let data = Bytes::from(PegVault::depositNonceCall {}.abi_encode());
        let data = json!({ "to": rig.parent.vault(), "data": data });
        json!([data, format!("{height:#x}")])
    };
    let (kept, gone) = (call(finalized - 10), call(finalized - 11));
    assert!(ask(&mut rig.parent, 0, "eth_call", kept)["result"].is_string());
    assert_eq!(ask(&mut rig.parent, 0, "eth_call", gone)["error"]["code"], json!(-32_000));
}

#[test]
fn cut_off_machine_reaches_nobody_and_catches_up() {
    let mut rig = rig(9);
    let (cut, other) = (rig.watch(&[0]), rig.watch(&[0]));
    rig.parent.cut_off(cut, true);
    rig.parent.deposit(&user(0), RECIPIENT, ether(1)).unwrap();
    rig.run(60_000);
    assert_eq!((rig.reports(cut).deposits().len(), rig.reports(other).deposits().len()), (0, 1));
    rig.parent.cut_off(cut, false);
    rig.run(60_000);
    rig.assert_true_and_final(cut);
    assert_eq!(rig.reports(cut).deposits().len(), 1);
}

#[test]
fn consistent_branch_is_believed_by_who_asks_nobody_else() {
    let mut rig = rig(10);
    let (fooled, careful) = (rig.watch(&[1]), rig.watch(&[0, 1]));
    rig.run(10_000);
    let forged = super::ForgedDeposit { recipient: RECIPIENT, amount: ether(1_000) };
    let branch = rig.parent.branch_off(2, Some(forged)).unwrap();
    rig.parent.endpoint_mut(1).lie = Some(Lie::Branch(branch));
    rig.run(60_000);
    assert_eq!(rig.reports(fooled).deposits().len(), 1, "which is why a validator asks two");
    assert_eq!(rig.reports(careful).deposits(), []);
    let split = |(_, _, update): &(u64, u64, ParentUpdate)| matches!(update, ParentUpdate::Conflict(_));
    assert!(rig.reports(careful).0.iter().any(split));
    assert_eq!(rig.parent.vault_deposits(At::Head), 0);
}

#[test]
fn block_called_final_too_early_is_believed_by_who_asks_nobody_else() {
    let mut rig = rig(11);
    let (fooled, careful) = (rig.watch(&[1]), rig.watch(&[0, 1]));
    rig.parent.endpoint_mut(1).lie = Some(Lie::FinalizedAhead(64));
    rig.parent.deposit(&user(0), RECIPIENT, ether(1)).unwrap();
    rig.run(8_000);
    rig.parent.faults_mut().drop_percent = 100;
    rig.parent.reorganise(6);
    rig.run(60_000);
    assert_eq!(rig.reports(fooled).deposits().len(), 1, "which is why a validator asks two");
    assert_eq!(rig.reports(careful).deposits(), []);
    assert_eq!(rig.final_deposits(), []);
}

#[test]
fn transaction_that_does_not_pay_the_base_fee_waits_for_a_calmer_time() {
    let mut rig = rig(12);
    let hash = rig.parent.deposit(&user(0), RECIPIENT, ether(1)).unwrap();
    rig.parent.faults_mut().fee_factor = 3;
    rig.run(20_000);
    assert_eq!(rig.parent.status(&hash), TxStatus::Waiting);
    let dear = rig.parent.deposit(&user(1), RECIPIENT, ether(1)).unwrap();
    rig.run(10_000);
    assert!(matches!(rig.parent.status(&dear), TxStatus::Included { success: true, .. }));
    assert_eq!(rig.parent.status(&hash), TxStatus::Waiting);
    rig.parent.faults_mut().fee_factor = 1;
    rig.run(4_000);
    assert!(matches!(rig.parent.status(&hash), TxStatus::Included { success: true, .. }));
}
