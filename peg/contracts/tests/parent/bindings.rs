//! The bindings have exactly the names of the compiler's ABI.

use std::collections::BTreeSet;

use alloy_primitives::keccak256;
use alloy_sol_types::{SolEventInterface, SolInterface};
use causeway_contracts::{
    Artifact, CheckpointRegistry, PegVault, artifact,
    bindings::{TestProbe, TestRecipient, TestToken},
    test_contracts,
};
use serde_json::Value;

fn canonical(parameter: &Value) -> String {
    let kind = parameter["type"].as_str().unwrap();
    match kind.strip_prefix("tuple") {
        Some(suffix) => format!("({}){suffix}", signature(&parameter["components"])),
        None => kind.to_owned(),
    }
}

fn signature(parameters: &Value) -> String {
    parameters.as_array().unwrap().iter().map(canonical).collect::<Vec<_>>().join(",")
}

/// Selectors of the ABI's items of one kind; events by their full topic.
fn of_abi(artifact: &Artifact, kind: &str, length: usize) -> BTreeSet<Vec<u8>> {
    artifact
        .abi
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["type"] == kind)
        .map(|item| {
            let text = format!("{}({})", item["name"].as_str().unwrap(), signature(&item["inputs"]));
            keccak256(text)[..length].to_vec()
        })
        .collect()
}

fn agree<Calls: SolInterface, Errors: SolInterface, Events: SolEventInterface>(
    artifact: &Artifact,
    topics: &[[u8; 32]],
) {
    let selectors = |all: Vec<[u8; 4]>| -> BTreeSet<Vec<u8>> { all.into_iter().map(|s| s.to_vec()).collect() };
    assert_eq!(selectors(Calls::selectors().collect()), of_abi(artifact, "function", 4), "{}", artifact.contract_name);
    assert_eq!(selectors(Errors::selectors().collect()), of_abi(artifact, "error", 4), "{}", artifact.contract_name);
    let topics: BTreeSet<Vec<u8>> = topics.iter().map(|topic| topic.to_vec()).collect();
    assert_eq!(topics.len(), Events::COUNT);
    assert_eq!(topics, of_abi(artifact, "event", 32), "{}", artifact.contract_name);
}

#[test]
fn bindings_have_the_compilers_names() {
    agree::<
        CheckpointRegistry::CheckpointRegistryCalls,
        CheckpointRegistry::CheckpointRegistryErrors,
        CheckpointRegistry::CheckpointRegistryEvents,
    >(&artifact::REGISTRY, CheckpointRegistry::CheckpointRegistryEvents::SELECTORS);
    agree::<PegVault::PegVaultCalls, PegVault::PegVaultErrors, PegVault::PegVaultEvents>(
        &artifact::VAULT,
        PegVault::PegVaultEvents::SELECTORS,
    );
    agree::<TestToken::TestTokenCalls, TestToken::TestTokenErrors, TestToken::TestTokenEvents>(
        &test_contracts::TOKEN,
        TestToken::TestTokenEvents::SELECTORS,
    );
    agree::<TestProbe::TestProbeCalls, TestProbe::TestProbeErrors, TestProbe::TestProbeEvents>(
        &test_contracts::PROBE,
        TestProbe::TestProbeEvents::SELECTORS,
    );
    let calls: BTreeSet<Vec<u8>> =
        TestRecipient::TestRecipientCalls::selectors().map(|selector| selector.to_vec()).collect();
    assert_eq!(calls, of_abi(&test_contracts::RECIPIENT, "function", 4));
}

#[test]
fn only_deposits_are_payable() {
    for artifact in [&artifact::REGISTRY, &artifact::VAULT] {
        for item in artifact.abi.as_array().unwrap() {
            let payable = item["stateMutability"] == "payable";
            assert_eq!(payable, item["name"] == "depositNative", "{item}");
        }
    }
}
