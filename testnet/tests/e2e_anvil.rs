//! The whole flow with somebody else's parent chain, and with deposits that it takes back.

use std::time::Duration;

use crate::support::{
    Net,
    anvil::Anvil,
    coins, eventually,
    pegged::{arrives, claim, claimable, deposit, withdraw},
    quantity, run, sibling,
};
use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

/// Finality of this anvil (two blocks of a second) and then ten seconds.
const MINT_BOUND: Duration = Duration::from_secs(13);
const CLAIM_PATIENCE: Duration = Duration::from_secs(60);
/// Anvil's ninth account pays for the deployment.
const PARENT_KEY: &str = "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97";

async fn finalized(anvil: &Anvil) -> u64 {
    let block: Value = anvil.rpc().call("eth_getBlockByNumber", json!(["finalized", false])).await.unwrap();
    quantity(&block["number"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anvil_can_be_the_parent_and_what_it_takes_back_is_never_minted() {
    let anvil = Anvil::start(&["--block-time", "1"]);
    let arguments =
        ["--validators", "3", "--parent", &anvil.url, "--parent-key", PARENT_KEY, "--checkpoint-interval", "5"];
    let net = Net::up(&arguments).await;
    assert_eq!(net.record.parent.chain_id, 31_337);
    assert_eq!(net.rpc(0).balance(net.account(9)).await.unwrap(), coins(100));

    // A deposit in a block that is not final yet, and then never was.
    let ghost = Address::repeat_byte(0xc1);
    let snapshot: Value = anvil.rpc().call("evm_snapshot", json!([])).await.unwrap();
    let undone = deposit(&net, 0, ghost, "3");
    let reverted: bool = anvil.rpc().call("evm_revert", json!([snapshot])).await.unwrap();
    assert!(reverted);

    // Another one, taken back by a reorganisation.
    let second_ghost = Address::repeat_byte(0xc2);
    let undone_again = deposit(&net, 0, second_ghost, "4");
    assert_eq!(undone, undone_again, "the nonce is free again");
    let _none: Value = anvil.rpc().call("anvil_reorg", json!([1, []])).await.unwrap();

    // The same nonce once more, and this one stays.
    let guest = Address::repeat_byte(0xc3);
    let nonce = deposit(&net, 0, guest, "5.5");
    assert_eq!(nonce, undone);
    arrives(&net.rpc(1), guest, coins(5) + coins(1) / U256::from(2), MINT_BOUND).await;
    let final_height = finalized(&anvil).await;
    eventually(Duration::from_secs(15), "the parent is final beyond the ghosts", || async {
        finalized(&anvil).await > final_height + 3
    })
    .await;
    for validator in 0..3 {
        assert_eq!(net.rpc(validator).balance(ghost).await.unwrap(), U256::ZERO);
        assert_eq!(net.rpc(validator).balance(second_ghost).await.unwrap(), U256::ZERO);
    }

    let returnee = Address::repeat_byte(0xd4);
    let index = withdraw(&net, 2, returnee, "1.25");
    claimable(&net, index, CLAIM_PATIENCE).await;
    claim(&net, 5, index);
    assert_eq!(anvil.rpc().balance(returnee).await.unwrap(), coins(5) / U256::from(4));

    // The claim has to be final before an audit sees it.
    let claimed_at = anvil.rpc().block_number().await.unwrap();
    eventually(Duration::from_secs(15), "the claim is final", || async { finalized(&anvil).await >= claimed_at }).await;
    let (genesis, sidechain) = (net.genesis(), net.record.rpc[0].as_str());
    let arguments = ["--genesis", &genesis, "--sidechain", sidechain, "--parent", &anvil.url, "--json"];
    let report: Value = serde_json::from_str(&run(&sibling("peg-audit"), &arguments)).unwrap();
    assert_eq!(report["holds"], true, "{report}");
}
