//! For any request, the answer is a result or an error of the caller. It is never a panic or an internal error.

use alloy_primitives::{Address, B256};
use jsonrpsee::server::Methods;
use proptest::prelude::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::fixture::*;

/// Parameter lists tried on each method.
const LISTS_PER_METHOD: usize = 60;

/// Values that are valid for some method, values at limits, and random ones.
fn value() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec![
        json!(LOGGER),
        json!(STORE),
        json!(REVERTER),
        json!(rich().address()),
        json!(Address::ZERO),
        json!(B256::ZERO),
        json!("latest"),
        json!("pending"),
        json!("earliest"),
        json!("0x0"),
        json!("0x1"),
        json!("0xffffffffffffffff"),
        json!("0x10000000000000000"),
        json!(B256::repeat_byte(0xff)),
        json!("0x"),
        json!("0x00"),
        json!("0x02f86b"),
        json!(u64::MAX),
        json!(-1),
        json!(1.5),
        json!(true),
        json!(null),
        json!([]),
        json!({}),
        json!(""),
        json!("newHeads"),
        json!({ "deposit": u64::MAX }),
        json!({ "withdrawal": "0xffffffffffffffff" }),
    ]);
    let noise = prop_oneof![any::<u64>().prop_map(|n| json!(format!("{n:#x}"))), ".{0,20}".prop_map(Value::String)];
    prop_oneof![6 => known, 1 => noise].prop_recursive(3, 24, 6, |inner| {
        let name = prop::sample::select(vec![
            "to",
            "from",
            "data",
            "input",
            "value",
            "gas",
            "gasPrice",
            "maxFeePerGas",
            "maxPriorityFeePerGas",
            "accessList",
            "authorizationList",
            "fromBlock",
            "toBlock",
            "blockHash",
            "address",
            "topics",
            "state",
            "stateDiff",
            "balance",
            "nonce",
            "code",
            "number",
            "time",
            "baseFeePerGas",
            "blockNumber",
            "requireCanonical",
            "type",
            "chainId",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner.clone(), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            (prop::sample::select(vec![LOGGER, STORE]), inner)
                .prop_map(|(key, value)| json!({ key.to_string(): value })),
        ]
    })
}

async fn ask(module: &Methods, method: &str, params: &Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let (answer, _) = module.raw_json_request(&request, 1).await.unwrap();
    serde_json::from_str(answer.get()).unwrap()
}

#[tokio::test]
async fn no_parameters_make_any_method_fail_for_a_reason_of_ours() {
    for f in [Fixture::standalone().await, Fixture::pegged().await] {
        if f.ctx.genesis.spec.peg.is_none() {
            f.push_all(&[invoke(0, LOGGER, word(1)), invoke(1, STORE, word(2))]);
        }
        let module = f.module();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let lists = prop::collection::vec(value(), 0..5);
        let mut methods: Vec<_> = module.method_names().collect();
        methods.sort_unstable();
        for method in methods.into_iter().filter(|name| !name.contains("subscribe")) {
            for _ in 0..LISTS_PER_METHOD {
                let mut params = lists.new_tree(&mut runner).unwrap().current();
                if method == "eth_sendRawTransactionSync" {
                    params.truncate(1);
                }
                let params = Value::Array(params);
                let answer = ask(&module, method, &params).await;
                let code = answer["error"]["code"].as_i64().unwrap_or_default();
                assert_ne!(code, -32603, "{method}{params}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_dropped_and_nobody_waits_for_it() {
    let f = Fixture::limited(|limits| limits.subscriber_lag = 4).await;
    let module = f.module();
    let mut slow = module.subscribe("eth_subscribe", ["newHeads"], 1).await.unwrap();
    let mut quick = module.subscribe("eth_subscribe", ["newHeads"], 64).await.unwrap();
    // There is no await here, so all blocks are committed before a subscriber runs.
    f.push_empty(20);
    while let Some(event) = slow.next::<Value>().await {
        event.unwrap();
    }
    while let Some(event) = quick.next::<Value>().await {
        event.unwrap();
    }
    // The server goes on, and a client can subscribe again.
    let mut again = module.subscribe("eth_subscribe", ["newHeads"], 64).await.unwrap();
    f.push_empty(1);
    assert_eq!(again.next::<Value>().await.unwrap().unwrap().0["number"], "0x15");
}
