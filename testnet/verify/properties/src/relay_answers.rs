//! The parent's answers to a relayer, a depositor, a deployer of the contracts and the reader of paid withdrawals: each of them ends,
//! and signs only the requested transaction, for any answers about the registry and the vault.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, SolEvent as _, SolValue as _};
use causeway_contracts::{
    CheckpointRegistry, PegVault, RegistryArgs, VaultArgs, predicted_addresses, registry_runtime_code,
    vault_runtime_code,
};
use causeway_parent::relay::{Certified, Relay, Source, SourceError};
use causeway_parent::{ClaimReader, DeployParams, ParentConfig, SubmitError, Submitter, SubmitterConfig};
use causeway_peg::{CertificateSig, Checkpoint, PegSigner as _, RegistryState};
use serde_json::{Value, json};

use crate::parent_wire::{ScriptedParent, offered, offered_bytes, ordinary};
use crate::peg_module::FEDERATION;
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. The client; then for each answer one byte that chooses its change, and the bytes of that change.
pub const TARGET: Target = Target { name: "relay_answers", check, seeds, max_bytes: 1024 };

const CHAIN_ID: u64 = 31_337;
const MAX_FEE: u128 = 300_000_000_000;
const AMOUNT: u64 = 5_000;
const CLAIM_DELAY_S: u64 = 7;
const FIRST_NONCE: u64 = 3;
const CHECKPOINTS: u64 = 6;
/// Deposits of the sidechain's last checkpoint: enough that the vault has forgotten older ones.
const DEPOSITS: u64 = 9_000;
/// Withdrawals burned on the sidechain, and those of them that the vault has paid.
const BURNED: u64 = 100;
const PAID: [u64; 3] = [0, 5, 99];
const RECIPIENT: Address = Address::repeat_byte(0x7e);

static SIGNER: LazyLock<PrivateKeySigner> =
    LazyLock::new(|| PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).expect("a legal secret"));

/// Registry and vault.
static PLACES: LazyLock<(Address, Address)> = LazyLock::new(|| predicted_addresses(SIGNER.address(), FIRST_NONCE));

static CODES: LazyLock<(Bytes, Bytes)> = LazyLock::new(|| {
    let (registry, vault) = *PLACES;
    let genesis_hash = FEDERATION.domain().genesis_hash;
    let registry_code = registry_runtime_code(&RegistryArgs { genesis_hash, validators: FEDERATION.set(), vault });
    (registry_code, vault_runtime_code(&VaultArgs { registry, claim_delay_s: CLAIM_DELAY_S }))
});

/// Two checkpoints in each epoch, certified by all members.
static RECORDED: LazyLock<Vec<Certified>> = LazyLock::new(|| {
    let (set, domain) = (FEDERATION.set(), FEDERATION.domain());
    (1..=CHECKPOINTS)
        .map(|number| {
            let checkpoint = Checkpoint {
                number,
                height: number * 10,
                epoch: (number - 1) / 2,
                nextValset: B256::repeat_byte(1),
                withdrawalCount: number / 4,
                depositNonce: number / CHECKPOINTS * 100,
                ..Checkpoint::default()
            };
            let digest = domain.checkpoint_digest(&checkpoint);
            let signed = set.validators().iter().map(|member| {
                let signer = (0..set.validators().len()).map(|n| FEDERATION.signer(n));
                let signer = signer.into_iter().find(|signer| signer.address() == member.address).expect("a member");
                CertificateSig { signer: member.address, signature: signer.sign(digest).expect("a key signs") }
            });
            Certified { checkpoint, signatures: signed.collect(), set: set.clone() }
        })
        .collect()
});

/// The sidechain as its node has stored it.
struct Side;

impl Source for Side {
    fn epoch(&self) -> Result<u64, SourceError> {
        Ok(RECORDED.last().map_or(0, |last| last.checkpoint.epoch))
    }

    fn handover(&self, registry: &RegistryState) -> Result<Option<Certified>, SourceError> {
        let epoch = registry.epoch.saturating_add(u64::from(registry.knows_next));
        let first = RECORDED.iter().find(|certified| certified.checkpoint.epoch == epoch);
        Ok(first.filter(|first| first.checkpoint.number > registry.number).cloned())
    }

    fn latest(&self) -> Result<Option<Certified>, SourceError> {
        Ok(RECORDED.last().cloned())
    }

    fn recorded(&self, number: u64) -> Result<Option<Checkpoint>, SourceError> {
        Ok(RECORDED.iter().map(|certified| certified.checkpoint).find(|checkpoint| checkpoint.number == number))
    }

    fn minted(&self) -> Result<u64, SourceError> {
        Ok(DEPOSITS)
    }

    fn deposit_leaf(&self, nonce: u64) -> Result<B256, SourceError> {
        Ok(B256::from(U256::from(nonce)))
    }
}

/// An honest endpoint's chain.
#[derive(Default)]
struct Ledger {
    transactions: BTreeMap<B256, TxEnvelope>,
    /// The registry's latest checkpoint.
    number: u64,
    epoch: u64,
}

/// See the module.
pub fn check(bytes: &[u8]) {
    run(bytes);
}

/// The sent transaction; `Err` when the request failed, `None` when the endpoint stopped answering.
fn run(bytes: &[u8]) -> (Vec<TxEnvelope>, Option<Result<(), String>>) {
    let mut reader = Reader::new(bytes);
    let who = reader.u8();
    if who % 5 == 4 {
        read_claims(reader.rest());
        return (Vec::new(), None);
    }
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let parent = {
        let ledger = ledger.clone();
        ScriptedParent::new(reader.rest(), move |method, params| {
            honest(&mut ledger.lock().unwrap_or_else(PoisonError::into_inner), method, params)
        })
    };
    let mut config = SubmitterConfig::new("http://parent-0".to_owned(), CHAIN_ID);
    config.max_fee_per_gas = MAX_FEE;
    config.max_response_bytes = 64 * 1024;
    let asking = async {
        let submitter = Submitter::connect(config, SIGNER.clone(), parent.clone()).await.map_err(told)?;
        ask(who, &submitter).await
    };
    let outcome = match pin!(asking).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    };
    if let Some(Err(text)) = &outcome {
        assert!(!text.is_empty() && text.len() < 4_096, "{} bytes of an error", text.len());
    }
    let sent: Vec<TxEnvelope> = parent.asked("eth_sendRawTransaction").iter().map(offered).collect();
    sent.iter().for_each(|tx| asked_for(who, tx));
    (sent, outcome)
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));

/// Number of burned withdrawals that the reader takes for paid, and for unpaid.
fn read_claims(script: &[u8]) -> (usize, usize) {
    let parent = ScriptedParent::new(script, |method, params| honest(&mut Ledger::default(), method, params));
    let (registry, vault) = *PLACES;
    let mut config = ParentConfig::new(vec!["http://parent-0".to_owned()], CHAIN_ID, vault, registry);
    config.max_response_bytes = 64 * 1024;
    RUNTIME.block_on(async {
        let (claims, reading) = ClaimReader::spawn(config, parent, Box::new(|| Some(BURNED))).expect("legal settings");
        // It runs until the endpoint stops answering.
        tokio::task::yield_now().await;
        assert!(!reading.is_finished(), "it reads for ever");
        reading.abort();
        assert_ne!(claims.is_paid(BURNED), Some(true), "nobody burned it");
        let count = |paid: bool| (0..BURNED).filter(|index| claims.is_paid(*index) == Some(paid)).count();
        (count(true), count(false))
    })
}

fn told(error: SubmitError) -> String {
    error.to_string()
}

async fn ask(who: u8, submitter: &Submitter) -> Result<(), String> {
    let (registry, vault) = *PLACES;
    match who % 5 {
        0 => {
            let delay = Duration::from_secs(u64::from(who >> 7));
            Relay { source: &Side, submitter, registry, vault, delay }.look().await.map_err(|error| error.to_string())
        }
        1 => {
            let receipt = submitter.deposit_native(vault, RECIPIENT, U256::from(AMOUNT)).await.map_err(told)?;
            assert_eq!((receipt.deposit.recipient, receipt.deposit.amount), (RECIPIENT, U256::from(AMOUNT)));
            Ok(())
        }
        2 => {
            let params = DeployParams {
                genesis_hash: FEDERATION.domain().genesis_hash,
                validators: FEDERATION.set(),
                deployer: SIGNER.address(),
                deployer_nonce: FIRST_NONCE,
                claim_delay_s: CLAIM_DELAY_S,
            };
            let deployment = submitter.deploy(&params).await.map_err(told)?;
            assert_eq!((deployment.registry, deployment.vault), *PLACES);
            Ok(())
        }
        _ => {
            answers((submitter.registry_state(registry).await, submitter.latest_checkpoint(registry).await));
            answers((submitter.is_claimed(vault, 3).await, submitter.oldest_remembered_deposit(vault).await));
            answers((submitter.balance(RECIPIENT).await, submitter.nonce(RECIPIENT).await));
            Ok(())
        }
    }
}

/// A transaction is the requested one, at an allowed price.
fn asked_for(who: u8, tx: &TxEnvelope) {
    let (registry, vault) = *PLACES;
    assert!(tx.max_fee_per_gas() <= MAX_FEE, "offers {} wei per gas", tx.max_fee_per_gas());
    assert_eq!(tx.chain_id(), Some(CHAIN_ID));
    match who % 5 {
        0 => {
            assert_eq!((tx.to(), tx.value()), (Some(registry), U256::ZERO));
            if let Ok(call) = CheckpointRegistry::submitCall::abi_decode(tx.input()) {
                let known = RECORDED.iter().find(|known| known.checkpoint.number == call.c.number);
                let known = known.expect("a checkpoint that nobody recorded");
                assert_eq!(known.checkpoint.abi_encode(), call.c.abi_encode(), "another than was recorded");
            } else {
                assert!(CheckpointRegistry::linkCall::abi_decode(tx.input()).is_ok(), "neither submits nor links");
            }
        }
        1 => assert_eq!((tx.to(), tx.value()), (Some(vault), U256::from(AMOUNT))),
        2 => assert_eq!((tx.kind(), tx.value()), (TxKind::Create, U256::ZERO)),
        _ => panic!("a question sent a transaction"),
    }
}

fn honest(ledger: &mut Ledger, method: &str, params: &Value) -> Value {
    match method {
        "eth_getBalance" => json!("0xde0b6b3a7640000"),
        "eth_getTransactionCount" => json!(format!("{:#x}", FIRST_NONCE + ledger.transactions.len() as u64)),
        "eth_getCode" => json!(code(ledger, params)),
        "eth_call" => {
            let data: Bytes = params[0]["data"].as_str().unwrap_or_default().parse().unwrap_or_default();
            json!(call(ledger, &data))
        }
        "eth_sendRawTransaction" => {
            let (tx, hash) = (offered(params), keccak256(offered_bytes(params)));
            if let Ok(call) = CheckpointRegistry::submitCall::abi_decode(tx.input()) {
                (ledger.number, ledger.epoch) = (call.c.number, call.c.epoch);
            }
            ledger.transactions.insert(hash, tx);
            json!(hash)
        }
        "eth_getTransactionReceipt" => receipt(ledger, &params[0]),
        "eth_getLogs" => PAID.into_iter().map(paid).collect(),
        method => ordinary(CHAIN_ID, method).unwrap_or_default(),
    }
}

/// Registry and vault exist there once both nonces are used.
fn code(ledger: &Ledger, params: &Value) -> Bytes {
    let created = ledger.transactions.values().filter(|tx| TxEnvelope::to(tx).is_none()).count();
    let at: Option<Address> = params[0].as_str().and_then(|text| text.parse().ok());
    match at {
        Some(at) if at == PLACES.0 && created > 0 => CODES.0.clone(),
        Some(at) if at == PLACES.1 && created > 1 => CODES.1.clone(),
        _ => Bytes::new(),
    }
}

fn receipt(ledger: &Ledger, hash: &Value) -> Value {
    let known: Option<B256> = hash.as_str().and_then(|text| text.parse().ok());
    let Some(tx) = known.and_then(|hash| ledger.transactions.get(&hash)) else { return Value::Null };
    let created = tx.kind().is_create().then(|| SIGNER.address().create(tx.nonce()));
    let event = PegVault::Deposited {
        nonce: 1,
        token: Address::ZERO,
        sender: SIGNER.address(),
        recipient: RECIPIENT,
        amount: tx.value(),
        depositAcc: B256::repeat_byte(4),
    }
    .encode_log_data();
    let log = json!({ "address": PLACES.1, "topics": event.topics(), "data": event.data });
    let logs = if tx.value().is_zero() { json!([]) } else { json!([log]) };
    json!({
        "transactionHash": hash, "blockNumber": "0x6", "blockHash": B256::repeat_byte(2), "status": "0x1",
        "gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca00", "contractAddress": created, "logs": logs,
    })
}

fn paid(index: u64) -> Value {
    let event = PegVault::Claimed {
        index,
        token: Address::ZERO,
        recipient: RECIPIENT,
        amount: U256::from(AMOUNT),
        relayerFee: U256::ZERO,
        relayer: RECIPIENT,
        checkpoint: 1,
    }
    .encode_log_data();
    json!({
        "address": PLACES.1, "topics": event.topics(), "data": event.data, "blockNumber": "0x3",
        "blockHash": B256::repeat_byte(2), "logIndex": format!("{index:#x}"), "removed": false,
    })
}

fn call(ledger: &Ledger, data: &[u8]) -> Bytes {
    let output = if CheckpointRegistry::latestCall::abi_decode(data).is_ok() {
        (ledger.number, ledger.number * 10, 0u64, ledger.epoch).abi_encode_params()
    } else if let Ok(call) = CheckpointRegistry::validatorSetOfCall::abi_decode(data) {
        // The set of the next epoch is known from the first checkpoint of this one on.
        let known = call.epoch == 0 || (call.epoch <= ledger.epoch + 1 && ledger.number > 0);
        if known { FEDERATION.set().commitment() } else { B256::ZERO }.abi_encode()
    } else if PegVault::depositNonceCall::abi_decode(data).is_ok() {
        DEPOSITS.abi_encode()
    } else if PegVault::claimDelayCall::abi_decode(data).is_ok() {
        CLAIM_DELAY_S.abi_encode()
    } else if PegVault::isClaimedCall::abi_decode(data).is_ok() {
        true.abi_encode()
    } else {
        B256::ZERO.abi_encode()
    };
    output.into()
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1], vec![2], vec![3], vec![4], vec![140]];
    for who in 0..5u8 {
        for place in (1..13).step_by(4) {
            seeds.push([vec![who], vec![0; place], vec![4]].concat());
            seeds.push([vec![who], vec![0; place], vec![7, 0, 2]].concat());
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_endpoints_lead_to_what_was_asked_for() {
        let numbers = |sent: &[TxEnvelope]| -> Vec<u64> {
            let calls = sent.iter().filter_map(|tx| CheckpointRegistry::submitCall::abi_decode(tx.input()).ok());
            calls.map(|call| call.c.number).collect()
        };
        let (sent, outcome) = run(&[0]);
        assert_eq!((numbers(&sent), outcome), (vec![1, 3, 5, 6], Some(Ok(()))), "handovers, then deposits");
        for (who, count) in [(1, 1), (2, 2), (3, 0)] {
            let (sent, outcome) = run(&[who]);
            assert_eq!((sent.len(), outcome), (count, Some(Ok(()))), "{who}");
        }
        assert_eq!(read_claims(&[]), (PAID.len(), usize::try_from(BURNED).expect("few") - PAID.len()));
    }
}
