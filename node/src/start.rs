//! Brings a node up from its data directory, in order: lock, keys, database, log, network, servers, loop.

use std::{sync::Arc, time::Duration};

use causeway_consensus::{Height, Host, HostConfig, SignState, Timeouts};
use causeway_execution::{Executor, peg_state};
use causeway_genesis::{
    Genesis,
    keys::{self, AskPassword},
};
use causeway_mempool::{Mempool, PoolConfig};
use causeway_network::{NetworkConfig, NetworkHandle};
use causeway_parent::{ParentConfig, ParentHandle, ParentUpdate, ParentWatcher, Submitter, SubmitterConfig, WatchFrom};
use causeway_peg::{ParentHeaderInfo, PegModule, PegSigner};
use causeway_rpc::{PendingFeed, RpcConfig, RpcContext, RpcLimits};
use causeway_storage::{DirLock, HistoryDepth, PegSignStateFile, SignStateFile, Storage, StorageOptions, Wal};
use eyre::{WrapErr, eyre};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::{
    chain::{Chain, Clocks},
    config::{DataDir, NodeConfig},
    driver::{Driver, EVENT_QUEUE, Inputs},
    evidence,
    handle::{Head, Node, NodeSettings},
    metrics::{self, Metrics},
    peg_desk::{PegDesk, PegProgress, PegSigns},
    relayer::Relayer,
    sets::{NextHeight, Sets},
    signer::{self, Signers},
    status::SharedStatus,
    transactions::Admission,
    trust::Trust,
};

/// Asks the kernel to end this process when its parent, `pid`, ends.
///
/// # Errors
/// When `pid` is not the parent any more, or the kernel refuses.
pub fn die_with_parent(pid: Option<i32>) -> eyre::Result<()> {
    let Some(pid) = pid else { return Ok(()) };
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
    if nix::unistd::getppid().as_raw() != pid {
        return Err(eyre!("process {pid} is not this node's parent any more"));
    }
    Ok(())
}

/// Runs the node until SIGTERM or SIGINT. `ask` gives the password of a keystore.
///
/// # Errors
/// What keeps it from starting or going on, and what to do.
pub async fn run(dir: DataDir, config: NodeConfig, ask: AskPassword<'_>) -> eyre::Result<()> {
    let _lock = DirLock::acquire(&dir.0)?;
    let genesis = Arc::new(Genesis::load(&dir.0.join(&config.node.genesis))?);
    tracing::info!(chain = genesis.spec.chain_id, genesis = %genesis.hash, moniker = config.node.moniker, "starting");
    let signers = signer::open(&dir, &config.signer, genesis.hash, ask)?;
    let metrics = Metrics::default();
    let history = config.storage.history_blocks.map_or(HistoryDepth::Archive, HistoryDepth::Blocks);
    let storage = Storage::open(&dir.chain(), &genesis, StorageOptions { history, ..StorageOptions::default() })?;
    let executor = Arc::new(Executor::new(genesis.clone()));
    let (events, jobs) = mpsc::channel(EVENT_QUEUE);
    let chain = Chain {
        genesis: genesis.clone(),
        storage: storage.clone(),
        executor: executor.clone(),
        pool: Arc::new(Mutex::new(Mempool::new(pool_config(&config, &genesis)))),
        sets: Arc::new(Sets::load(&storage)?),
        clocks: Clocks::machine(),
        events,
        metrics: metrics.clone(),
    };

    let (wal, wal_entries) = open_log(&dir, &genesis, &storage)?;
    let sign_state_file = SignStateFile::new(dir.sign_state());
    let peg_signs_file = PegSignStateFile::new(dir.peg_sign_state());
    let (sign_state, peg_signs) = sign_states(signers.is_some(), &sign_state_file, &peg_signs_file)?;
    let validator = signers.as_ref().map(Signers::validator);
    let next = chain.sets.next_height(progress(&genesis, &storage)?);
    match validator {
        Some(id) if next.validators.set.get(&id).is_some() => {
            tracing::info!(validator = %id, epoch = next.epoch.number, "this node validates")
        }
        Some(id) => tracing::info!(
            validator = %id,
            "this node has validator keys that are not in the present validator set: it follows, and signs from the height on at which they are"
        ),
        None => tracing::info!("this node follows"),
    }
    check_peg_key(&genesis, signers.as_ref(), &next)?;
    let trust = trust(&config, &genesis, &storage)?;
    // The host has the signer whether its validator is a member or not: it signs at the heights at which it is.
    let (consensus, peg_signer) = signers.map(|signers| (signers.consensus, signers.peg)).unzip();
    let mut host = Host::new(host_config(&config, &genesis), consensus, sign_state);
    evidence::note_members(&genesis, &storage, &next.validators.set)?;
    for (key, last) in evidence::former_members(&storage)? {
        host.note_key(key, Height(last));
    }
    if let (Some(certificate), Some(block)) =
        (storage.certificate(storage.head().number)?, storage.block(storage.head().number)?)
    {
        host.keep_decided(certificate, block.encode());
    }
    let desk = desk(&genesis, peg_signer, peg_signs, &next);

    let (network, network_events) = causeway_network::start(network_config(&config, &dir, &genesis)?).await?;
    let pending = PendingFeed::default();
    let admission = Admission { chain: chain.clone(), pending: pending.clone(), announce: Arc::new(Notify::new()) };
    let status =
        Arc::new(SharedStatus::new(storage.clone(), metrics.clone(), genesis.spec.block_interval_ms, validator));
    let submit = admission.clone();
    let context = RpcContext {
        genesis: genesis.clone(),
        storage: storage.clone(),
        executor,
        pool: chain.pool.clone(),
        submit: Arc::new(move |transaction| submit.submit(transaction)),
        status: status.clone(),
        pending,
    };
    let rpc_config = RpcConfig {
        listen: config.rpc.listen,
        cors_origins: config.rpc.cors_origins.clone(),
        allowed_hosts: config.rpc.allowed_hosts.clone(),
        limits: RpcLimits::default(),
    };
    let (rpc, rpc_address) = causeway_rpc::start(rpc_config, context)
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

    // The watcher runs as long as its handle lives.
    let (_watcher, parent) = watch_parent(&config, &genesis, desk.as_ref())?.unzip();
    start_relayer(&config, &dir, &genesis, &storage, ask);

    let settings =
        NodeSettings { chain: genesis.hash, validator, block_interval_ms: genesis.spec.block_interval_ms, trust };
    let head = Head { number: storage.head().number, timestamp: storage.head().timestamp };
    let node = Node::new(host, settings, head, next, desk);
    let driver = Driver {
        node,
        chain,
        validator,
        peers: network.watch_peers(),
        network,
        wal,
        sign_state: sign_state_file,
        peg_signs: peg_signs_file,
        admission,
        status,
        fatal: mpsc::channel(1),
    };
    let inputs = Inputs { network: network_events, jobs, parent };
    let result = driver.run(inputs, wal_entries, stop_requested()).await;
    match &result {
        Ok(()) => tracing::info!("stopping"),
        Err(error) => tracing::error!(%error, "stopping: going on would be unsafe"),
    }
    if rpc.stop().is_err() {
        tracing::debug!("JSON-RPC had stopped already");
    }
    result
}

/// Resolves when SIGTERM or SIGINT comes.
pub async fn stop_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals; stop the node with SIGKILL, nothing is lost");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn pool_config(config: &NodeConfig, genesis: &Genesis) -> PoolConfig {
    PoolConfig {
        max_transactions: config.mempool.max_transactions,
        max_bytes: config.mempool.max_bytes,
        per_sender_slots: config.mempool.per_sender,
        ..PoolConfig::new(genesis.spec.chain_id, genesis.spec.gas_limit)
    }
}

fn host_config(config: &NodeConfig, genesis: &Genesis) -> HostConfig {
    let timeouts = Timeouts {
        propose_ms: config.consensus.timeout_propose_ms,
        prevote_ms: config.consensus.timeout_prevote_ms,
        precommit_ms: config.consensus.timeout_precommit_ms,
        delta_ms: config.consensus.timeout_delta_ms,
        rebroadcast_ms: config.consensus.timeout_rebroadcast_ms,
    };
    HostConfig { timeouts, ..HostConfig::new(genesis.hash) }
}

/// A member whose peg key is not the one it has registered would validate and silently attest nothing.
fn check_peg_key(genesis: &Genesis, signers: Option<&Signers>, next: &NextHeight) -> eyre::Result<()> {
    let Some(signers) = signers else { return Ok(()) };
    let Some(registered) = next.validators.peg_addresses.get(&signers.validator()) else { return Ok(()) };
    if signers.peg_address() != *registered {
        let named = genesis.spec.validators.iter().find(|entry| entry.peg_address == *registered);
        let whose = named.map_or("this validator".to_owned(), |entry| format!("validator {:?}", entry.name));
        return Err(eyre!(
            "keys/peg.key is the key of {}, but the chain has {registered} for {whose}: put the right key there",
            signers.peg_address()
        ));
    }
    Ok(())
}

/// What the operator believes of the past, checked against the blocks this node has.
fn trust(config: &NodeConfig, genesis: &Genesis, storage: &Storage) -> eyre::Result<Trust> {
    let trust = Trust {
        checkpoint: config.sync.trusted_checkpoint()?,
        history: config.sync.trust_history,
        unbonding_s: genesis.spec.staking.unbonding_seconds,
    };
    if let Some(checkpoint) = trust.checkpoint
        && let Some(hash) = storage.hash_by_number(checkpoint.height)?
    {
        trust.block(checkpoint.height, hash).map_err(|reason| eyre!(reason))?;
    }
    Ok(trust)
}

/// Opens the write-ahead log; its entries matter only for the height after the durable head.
fn open_log(dir: &DataDir, genesis: &Genesis, storage: &Storage) -> eyre::Result<(Wal, Vec<Vec<u8>>)> {
    let deciding = storage.head().number.saturating_add(1);
    let (wal, entries) = Wal::open(&dir.wal(), genesis.hash)?;
    if wal.height() > deciding {
        return Err(eyre!(
            "the write-ahead log is at height {}, the database only at block {}: the database was replaced by an older one. Restore the database that \
             belongs to this log, or move both {} and {} away and sync from the network.",
            wal.height(),
            storage.head().number,
            dir.wal().display(),
            dir.chain().display()
        ));
    }
    let entries = if wal.height() == deciding { entries } else { Vec::new() };
    if !entries.is_empty() {
        tracing::info!(height = deciding, entries = entries.len(), "replaying the write-ahead log");
    }
    Ok((wal, entries))
}

/// Reads what the keys have signed. A validator without its sign state must not sign: it may have signed elsewhere.
fn sign_states(signs: bool, consensus: &SignStateFile, peg: &PegSignStateFile) -> eyre::Result<(SignState, PegSigns)> {
    let (consensus_state, peg_state) = (consensus.load()?, peg.load()?);
    if signs && (consensus_state.is_none() || peg_state.is_none()) {
        return Err(eyre!(
            "this directory has validator keys but no sign state ({} or {} is missing), so it cannot know what the keys have signed. Restore the file \
             from where the keys were used last; for keys that never signed anything run `causeway init` in a new directory.",
            consensus.path().display(),
            peg.path().display()
        ));
    }
    Ok((consensus_state.unwrap_or_default(), peg_state.unwrap_or_default()))
}

fn desk(genesis: &Genesis, signer: Option<Arc<dyn PegSigner>>, signs: PegSigns, next: &NextHeight) -> Option<PegDesk> {
    let (Some(domain), Some(progress)) = (genesis.peg_domain(), next.peg.clone()) else { return None };
    Some(PegDesk::new(domain, signer, signs, progress, next.epoch))
}

/// What the durable head says of the peg; none on a standalone chain.
///
/// # Errors
/// When the database cannot be read.
pub fn progress(genesis: &Genesis, storage: &Storage) -> eyre::Result<Option<PegProgress>> {
    let Some(domain) = genesis.peg_domain() else { return Ok(None) };
    let state = storage.latest();
    let head = storage.head();
    let info = ParentHeaderInfo { number: head.number, hash: storage.head_hash(), state_root: head.state_root };
    Ok(Some(PegProgress::read(&PegModule::new(domain), &mut peg_state(state.as_ref()), &info)?))
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

fn watch_parent(
    config: &NodeConfig,
    genesis: &Genesis,
    desk: Option<&PegDesk>,
) -> eyre::Result<Option<(ParentHandle, mpsc::Receiver<ParentUpdate>)>> {
    let (Some(peg), Some(desk)) = (&genesis.spec.peg, desk) else { return Ok(None) };
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
    let progress = desk.progress();
    let from = WatchFrom {
        parent_height: progress.parent_height,
        deposit_nonce: progress.imported,
        deposit_acc: progress.imported_acc,
    };
    Ok(Some(ParentWatcher::spawn(parent, from)?))
}

/// Starts relaying where a key is configured. The parent may be down at start: connecting is tried until it works.
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
    tokio::spawn(async move {
        loop {
            match Submitter::connect(SubmitterConfig::new(endpoint.clone(), chain_id), signer.clone()).await {
                Ok(submitter) => return Relayer { storage, submitter, registry, delay }.run().await,
                Err(error) => tracing::warn!(%error, "the relayer cannot reach the parent; it is tried again"),
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
}
