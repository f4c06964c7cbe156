//! Starts a node from its data directory, in order: lock, keys, database, log, network, servers, loop.

use std::{sync::Arc, time::Duration};

use causeway_consensus::Timeouts;
use causeway_execution::peg_state;
use causeway_federation::Federation;
use causeway_genesis::{
    Genesis,
    keys::{self, AskPassword},
};
use causeway_mempool::PoolConfig;
use causeway_network::{NetworkConfig, NetworkHandle};
use causeway_parent::{
    ClaimReader, Claims, Http, ParentConfig, ParentHandle, ParentUpdate, ParentWatcher, Submitter, SubmitterConfig,
    Wire,
};
use causeway_peg::PegModule;
use causeway_records::{DirLock, OsDisk};
use causeway_rpc::RpcContext;
use causeway_signer::process;
use causeway_storage::{HistoryDepth, Storage, StorageOptions};
use eyre::{WrapErr, eyre};
use tokio::sync::mpsc;

use crate::{
    assemble::{Assembled, Assembly, assemble},
    clocks::Clocks,
    config::{DataDir, NodeConfig},
    driver::{Driver, Inputs},
    handle::watch_from,
    metrics::{self, Metrics},
    relayer::Relayer,
    status::SharedStatus,
    trust::Trust,
};

/// Runs the node until SIGTERM or SIGINT. `ask` provides the password of a keystore.
///
/// # Errors
/// The reason why it cannot start or continue, and what to do.
pub async fn run(dir: DataDir, config: NodeConfig, ask: AskPassword<'_>) -> eyre::Result<()> {
    let _lock = DirLock::acquire(&dir.0)?;
    let genesis = Arc::new(Genesis::load(&dir.0.join(&config.node.genesis))?);
    tracing::info!(chain = genesis.spec.chain_id, genesis = %genesis.hash, moniker = config.node.moniker, "starting");
    let signers = causeway_signer::open(&dir.0, &config.signer, genesis.hash, ask)?;
    let metrics = Metrics::default();
    let history = config.storage.history_blocks.map_or(HistoryDepth::Archive, HistoryDepth::Blocks);
    let storage = Storage::open(&dir.chain(), &genesis, StorageOptions { history, ..StorageOptions::default() })?;
    let parts = Assembly {
        genesis: genesis.clone(),
        storage: storage.clone(),
        disk: Arc::new(OsDisk),
        dir: dir.clone(),
        signers,
        timeouts: timeouts(&config),
        trust: trust(&config, &genesis)?,
        pool: pool_config(&config, &genesis),
        clocks: Clocks::machine(),
        metrics: metrics.clone(),
    };
    let Assembled { performer, wal_entries, admission } = assemble(parts)?;

    let (network, network_events) = causeway_network::start(network_config(&config, &dir, &genesis)?).await?;
    let validator = performer.validator();
    let parent = parent_config(&config, &genesis)?;
    let claims = parent.as_ref().map(|parent| read_claims(parent, &storage)).transpose()?;
    let status = Arc::new(SharedStatus::new(genesis.clone(), storage.clone(), metrics.clone(), validator, claims));
    let submit = admission.clone();
    let context = RpcContext {
        genesis: genesis.clone(),
        storage: storage.clone(),
        executor: performer.chain.executor.clone(),
        pool: performer.chain.pool.clone(),
        submit: Arc::new(move |transaction| submit.submit(transaction)),
        status: status.clone(),
        pending: admission.pending.clone(),
    };
    let (rpc, rpc_address) = causeway_rpc::start(config.rpc.server(), context)
        .await
        .wrap_err_with(|| format!("JSON-RPC at {}", config.rpc.listen))?;
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    network.metrics().register(registry.sub_registry_with_prefix("causeway"));
    let metrics_address = metrics::serve(config.metrics.listen, registry, status.clone())
        .await
        .wrap_err_with(|| format!("cannot listen for metrics at {}; set metrics.listen", config.metrics.listen))?;
    write_run_files(&dir, &rpc_address.to_string(), &metrics_address.to_string(), &network)?;
    tracing::info!(rpc = %rpc_address, metrics = %metrics_address, peer = %network.local_peer_id(), head = storage.head().number, "serving");

    // The watcher runs until its handle is dropped.
    let (_watcher, parent) = watch_parent(parent, performer.node.federation())?.unzip();
    start_relayer(&config, &dir, &genesis, &storage, ask);

    let driver = Driver { performer, admission, network, status };
    let inputs = Inputs { network: network_events, parent };
    let result = driver.run(inputs, wal_entries, process::stop_requested()).await;
    match &result {
        Ok(()) => tracing::info!("stopping"),
        Err(error) => tracing::error!(%error, "stopping: going on would be unsafe"),
    }
    if rpc.stop().is_err() {
        tracing::debug!("JSON-RPC had stopped already");
    }
    result
}

fn pool_config(config: &NodeConfig, genesis: &Genesis) -> PoolConfig {
    PoolConfig {
        max_transactions: config.mempool.max_transactions,
        max_bytes: config.mempool.max_bytes,
        per_sender_slots: config.mempool.per_sender,
        ..PoolConfig::new(genesis.spec.chain_id)
    }
}

fn timeouts(config: &NodeConfig) -> Timeouts {
    Timeouts {
        propose_ms: config.consensus.timeout_propose_ms,
        prevote_ms: config.consensus.timeout_prevote_ms,
        precommit_ms: config.consensus.timeout_precommit_ms,
        delta_ms: config.consensus.timeout_delta_ms,
        rebroadcast_ms: config.consensus.timeout_rebroadcast_ms,
    }
}

/// The operator's trust in history.
fn trust(config: &NodeConfig, genesis: &Genesis) -> eyre::Result<Trust> {
    Ok(Trust {
        checkpoint: config.sync.trusted_checkpoint()?,
        history: config.sync.trust_history,
        // No entry of the rules changes it.
        unbonding_s: genesis.schedule.first().staking.unbonding_seconds,
    })
}

fn network_config(config: &NodeConfig, dir: &DataDir, genesis: &Genesis) -> eyre::Result<NetworkConfig> {
    let addresses = |texts: &[String], key: &str| {
        texts
            .iter()
            .map(|text| text.parse().map_err(|error| eyre!("{key}: {text:?} is not a multiaddress: {error}")))
            .collect::<eyre::Result<Vec<_>>>()
    };
    let key = *keys::load_or_generate_p2p(&dir.keys())?.expose();
    let listen = addresses(&config.p2p.listen, "p2p.listen")?;
    let bootnodes = addresses(&config.p2p.bootnodes, "p2p.bootnodes")?;
    let agent = format!("causeway/{}", crate::cli::VERSION);
    Ok(NetworkConfig {
        listen,
        bootnodes,
        heartbeat_ms: config.p2p.heartbeat_ms,
        agent,
        ..NetworkConfig::new(genesis.hash, key)
    })
}

fn write_run_files(dir: &DataDir, rpc: &str, metrics: &str, network: &NetworkHandle) -> eyre::Result<()> {
    let run = dir.run();
    std::fs::create_dir_all(&run).wrap_err_with(|| format!("cannot create {}", run.display()))?;
    let peer = network.local_peer_id();
    let p2p: Vec<String> = network.listen_addrs().iter().map(ToString::to_string).collect();
    let addresses = serde_json::json!({ "pid": std::process::id(), "rpc": rpc, "metrics": metrics, "p2p": p2p, "peerId": peer.to_string() });
    let (new, path) = (run.join("node.json.new"), run.join("node.json"));
    std::fs::write(&new, format!("{addresses:#}\n"))
        .and_then(|()| std::fs::rename(&new, &path))
        .wrap_err_with(|| format!("cannot write {}", path.display()))
}

/// The settings for reading the parent, on a pegged chain with endpoints.
fn parent_config(config: &NodeConfig, genesis: &Genesis) -> eyre::Result<Option<ParentConfig>> {
    let Some(peg) = &genesis.spec.peg else { return Ok(None) };
    if config.parent.endpoints.is_empty() {
        tracing::info!("no parent endpoint is set: this node attests no deposits and verifies them from certificates");
        return Ok(None);
    }
    let parent = ParentConfig {
        poll_ms: config.parent.poll_ms,
        from_height: config.parent.from_height,
        ..ParentConfig::new(config.parent.endpoints.clone(), peg.parent_chain_id, peg.vault, peg.registry)
    };
    parent.validate()?;
    Ok(Some(parent))
}

/// Reads continuously which withdrawals are paid, for `peg_status`.
fn read_claims(parent: &ParentConfig, storage: &Arc<Storage>) -> eyre::Result<Claims> {
    let storage = storage.clone();
    let burned = move || PegModule::withdrawal_count(&mut peg_state(storage.latest().as_ref())).ok();
    let (claims, _reading) = ClaimReader::spawn(parent.clone(), Arc::new(Http::new()?), Box::new(burned))?;
    Ok(claims)
}

fn watch_parent(
    parent: Option<ParentConfig>,
    federation: Option<&Federation>,
) -> eyre::Result<Option<(ParentHandle, mpsc::Receiver<ParentUpdate>)>> {
    let (Some(parent), Some(federation)) = (parent, federation) else { return Ok(None) };
    Ok(Some(ParentWatcher::spawn(parent, watch_from(federation.progress()), Arc::new(Http::new()?))?))
}

/// Starts the relayer if a key is configured. The parent may be down at start: connecting is retried until it works.
fn start_relayer(
    config: &NodeConfig,
    dir: &DataDir,
    genesis: &Arc<Genesis>,
    storage: &Arc<Storage>,
    ask: AskPassword<'_>,
) {
    let (Some(key_file), Some(peg)) = (&config.relayer.key_file, &genesis.spec.peg) else { return };
    let Some(endpoint) = config.parent.endpoints.first().cloned() else {
        tracing::warn!("relayer.key_file is set but parent.endpoints is empty: nothing is relayed");
        return;
    };
    let path = dir.0.join(key_file);
    let (chain_id, registry, storage) = (peg.parent_chain_id, peg.registry, storage.clone());
    let delay = Duration::from_secs(config.relayer.delay_s);
    let key = match keys::unlock_file(&path, keys::KeyRole::Operator, ask) {
        Ok(Some(key)) => key,
        Ok(None) => {
            return tracing::error!(path = %path.display(), "the relayer's key file does not exist: nothing is relayed");
        }
        Err(error) => return tracing::error!(%error, "the relayer's key cannot be read: nothing is relayed"),
    };
    let signer = match alloy_signer_local::PrivateKeySigner::from_slice(key.expose()) {
        Ok(signer) => signer,
        Err(error) => return tracing::error!(%error, "the relayer's key is no secp256k1 key: nothing is relayed"),
    };
    let wire: Arc<dyn Wire> = match Http::new() {
        Ok(http) => Arc::new(http),
        Err(error) => return tracing::error!(%error, "nothing is relayed"),
    };
    tokio::spawn(async move {
        loop {
            let config = SubmitterConfig::new(endpoint.clone(), chain_id);
            match Submitter::connect(config, signer.clone(), wire.clone()).await {
                Ok(submitter) => return Relayer { storage, submitter, registry, delay }.run().await,
                Err(error) => tracing::warn!(%error, "the relayer cannot reach the parent; it is tried again"),
            }
            wire.sleep(Duration::from_secs(5)).await;
        }
    });
}
