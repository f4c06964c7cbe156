//! The refusals that keep coin and deployments from the wrong chain, against a scripted parent and a scripted node.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolError};
use causeway_contracts::{
    CheckpointRegistry, PegVault, RegistryArgs, VaultArgs, registry_runtime_code, vault_runtime_code,
};
use causeway_genesis::{Genesis, NodeKeys, addresses::PEG, ceremony};
use causeway_peg::IPeg;
use jsonrpsee::RpcModule;
use jsonrpsee::server::{Server, ServerHandle};
use jsonrpsee::types::ErrorObjectOwned;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{deploy, parent::Parent};
use crate::cli::{rpc_client::RpcClient, sidechain::Sidechain};

const PARENT_CHAIN: u64 = 31_337;
const DEPLOYER_NONCE: u64 = 5;
const CLAIM_DELAY_S: u64 = 1_800;

/// What the scripted server answers.
#[derive(Debug, Default)]
struct Script {
    chain_id: u64,
    nonce: u64,
    code: BTreeMap<Address, Bytes>,
    /// Answers of `eth_call` by selector.
    views: BTreeMap<[u8; 4], Bytes>,
    genesis_hash: B256,
    /// What `eth_estimateGas` reverts with.
    revert: Bytes,
}

struct Scripted {
    url: String,
    script: Arc<Mutex<Script>>,
    handle: ServerHandle,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.handle.stop().ok();
    }
}

async fn serve(script: Script) -> Scripted {
    let script = Arc::new(Mutex::new(script));
    let mut module = RpcModule::from_arc(script.clone());
    type Shared = Mutex<Script>;
    let mut answer = |name: &'static str, handler: fn(&Script, &[Value]) -> Result<Value, ErrorObjectOwned>| {
        module
            .register_method(name, move |params, script: &Shared, _| {
                handler(&script.lock(), &params.parse::<Vec<Value>>().unwrap_or_default())
            })
            .unwrap();
    };
    answer("eth_chainId", |script, _| Ok(json!(U64::from(script.chain_id))));
    answer("eth_getTransactionCount", |script, _| Ok(json!(U64::from(script.nonce))));
    answer("eth_getCode", |script, params| {
        let of: Address = serde_json::from_value(params[0].clone()).unwrap();
        Ok(json!(script.code.get(&of).cloned().unwrap_or_default()))
    });
    answer("eth_call", |script, params| {
        let data: Bytes = serde_json::from_value(params[0]["data"].clone()).unwrap();
        let selector: [u8; 4] = data[..4].try_into().unwrap();
        Ok(json!(script.views.get(&selector).cloned().unwrap_or_default()))
    });
    answer("consensus_status", |script, _| Ok(json!({ "genesisHash": script.genesis_hash })));
    answer("eth_estimateGas", |script, _| {
        Err(ErrorObjectOwned::owned(3, "execution reverted", Some(script.revert.clone())))
    });
    let server = Server::builder().build("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    Scripted { url, script, handle: server.start(module) }
}

fn deployer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
}

fn genesis() -> Genesis {
    let peg = ceremony::predicted_peg(PARENT_CHAIN, deployer().address(), DEPLOYER_NONCE);
    let mut spec = ceremony::new_spec(77, "test", 1_700_000_000, peg);
    let keys = NodeKeys::generate().unwrap();
    let stake = U256::from(10).pow(U256::from(20));
    spec.validators.push(ceremony::validator_entry("one", Address::repeat_byte(0x11), stake, &keys));
    Genesis::build(spec).unwrap()
}

/// A parent before the deployment.
fn empty_parent(genesis: &Genesis) -> Script {
    Script { chain_id: PARENT_CHAIN, nonce: DEPLOYER_NONCE, genesis_hash: genesis.hash, ..Script::default() }
}

/// A parent with both contracts.
fn deployed_parent(genesis: &Genesis) -> Script {
    let (peg, set) = (genesis.spec.peg.clone().unwrap(), genesis.peg_validator_set().unwrap());
    let (commitment, genesis_hash) = (set.commitment(), genesis.hash);
    let registry = RegistryArgs { genesis_hash, validators: set, vault: peg.vault };
    let vault = VaultArgs { registry: peg.registry, claim_delay_s: CLAIM_DELAY_S };
    let mut script = empty_parent(genesis);
    script.nonce = DEPLOYER_NONCE + 2;
    script.code.insert(peg.registry, registry_runtime_code(&registry));
    script.code.insert(peg.vault, vault_runtime_code(&vault));
    let word = |number: u64| Bytes::from(U256::from(number).to_be_bytes_vec());
    script.views.insert(PegVault::claimDelayCall::SELECTOR, word(CLAIM_DELAY_S));
    script.views.insert(CheckpointRegistry::validatorSetOfCall::SELECTOR, commitment.0.to_vec().into());
    script.views.insert(CheckpointRegistry::genesisHashCall::SELECTOR, genesis_hash.0.to_vec().into());
    script
}

async fn connect(server: &Scripted, genesis: &Genesis, key: PrivateKeySigner) -> eyre::Result<Parent> {
    Parent::connect(genesis.clone(), server.url.clone(), key).await
}

async fn refusal(parent: &Parent) -> String {
    deploy::deployable(parent).await.unwrap_err().to_string()
}

#[tokio::test]
async fn contracts_are_deployed_where_genesis_expects_them_or_not_at_all() {
    let genesis = genesis();
    let peg = genesis.spec.peg.clone().unwrap();
    let server = serve(empty_parent(&genesis)).await;
    let parent = connect(&server, &genesis, deployer()).await.unwrap();
    deploy::deployable(&parent).await.unwrap();
    // Another key.
    let stranger = connect(&server, &genesis, PrivateKeySigner::random()).await.unwrap();
    assert!(refusal(&stranger).await.contains("use the deployer's key"));
    // A nonce that is to come, and one that has passed.
    server.script.lock().nonce = DEPLOYER_NONCE - 2;
    assert!(refusal(&parent).await.contains("needs its nonce 5: send 2 others first"));
    server.script.lock().nonce = DEPLOYER_NONCE + 1;
    assert!(refusal(&parent).await.contains("nonce 5, which is used up"));
    // The registry alone: a deployment that was cut short goes on.
    server.script.lock().code.insert(peg.registry, Bytes::from_static(&[1]));
    deploy::deployable(&parent).await.unwrap();
    server.script.lock().nonce = DEPLOYER_NONCE + 2;
    assert!(refusal(&parent).await.contains("nonce 6, which is used up"));
    // The vault alone.
    server.script.lock().code = BTreeMap::from([(peg.vault, Bytes::from_static(&[1]))]);
    assert!(refusal(&parent).await.contains("something stands at the vault's address"));
}

#[tokio::test]
async fn what_stands_already_is_said_and_so_is_what_is_another_contract() {
    let genesis = genesis();
    let server = serve(deployed_parent(&genesis)).await;
    let parent = connect(&server, &genesis, deployer()).await.unwrap();
    let told = refusal(&parent).await;
    assert!(told.starts_with("already deployed: ") && told.ends_with("Nothing was sent."), "{told}");
    server.script.lock().code.insert(parent.peg.registry, Bytes::from_static(&[1]));
    assert!(refusal(&parent).await.contains("is not the registry of this release for this genesis"));
}

#[tokio::test]
async fn a_parent_of_another_chain_id_is_refused() {
    let genesis = genesis();
    let server = serve(Script { chain_id: 1, ..empty_parent(&genesis) }).await;
    let error = connect(&server, &genesis, deployer()).await.err().unwrap().to_string();
    assert!(error.contains("it serves chain 1, not 31337"), "{error}");
}

#[tokio::test]
async fn transfers_are_refused_unless_file_registry_and_node_are_of_one_chain() {
    let genesis = genesis();
    let server = serve(deployed_parent(&genesis)).await;
    let parent = connect(&server, &genesis, deployer()).await.unwrap();
    let node = RpcClient::new(&server.url).unwrap();
    parent.same_chain(None).await.unwrap();
    parent.same_chain(Some(&node)).await.unwrap();
    server.script.lock().genesis_hash = B256::repeat_byte(1);
    let error = parent.same_chain(Some(&node)).await.unwrap_err().to_string();
    assert!(
        error.contains("is on the chain with genesis 0x0101") && error.contains("use a node of that chain"),
        "{error}"
    );
    let foreign = B256::repeat_byte(2).0.to_vec().into();
    server.script.lock().views.insert(CheckpointRegistry::genesisHashCall::SELECTOR, foreign);
    let error = parent.same_chain(None).await.unwrap_err().to_string();
    assert!(error.contains("belongs to the chain with genesis 0x0202"), "{error}");
    server.script.lock().code.clear();
    let error = parent.same_chain(None).await.unwrap_err().to_string();
    assert!(error.contains("deploy it first (causeway peg deploy)"), "{error}");
}

#[tokio::test]
async fn the_sidechains_refusal_is_a_sentence_that_names_the_sidechain() {
    let genesis = genesis();
    let server = serve(empty_parent(&genesis)).await;
    server.script.lock().revert = IPeg::NotPegged {}.abi_encode().into();
    let sidechain = Sidechain::connect(&server.url, deployer()).await.unwrap();
    let error = sidechain.send(PEG, U256::from(1), Bytes::new()).await.unwrap_err().to_string();
    assert_eq!(error, "the sidechain refuses: this chain has no peg");
}
