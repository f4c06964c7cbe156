//! Builds a node from its keys, database and disk, ready for [`Event::Start`](crate::handle::Event): everything between
//! opening the database and starting the network. Synchronous, and without a runtime.

use std::sync::Arc;

use causeway_consensus::{Height, Host, HostConfig, SignState, Timeouts};
use causeway_execution::Executor;
use causeway_federation::Federation;
use causeway_genesis::Genesis;
use causeway_mempool::{Mempool, PendingFeed, PoolConfig};
use causeway_peg::{PegSigner, PegSigns};
use causeway_records::{Disk, PegSignStateFile, SignStateFile, Wal};
use causeway_signer::Signers;
use causeway_storage::Storage;
use eyre::eyre;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    chain::Chain,
    clocks::Clocks,
    config::DataDir,
    evidence,
    handle::{Head, Node, NodeSettings},
    metrics::Metrics,
    perform::{Performer, Records},
    sets::{NextHeight, Sets},
    transactions::Admission,
    trust::Trust,
};

/// The parts of a node.
#[derive(Debug)]
pub struct Assembly {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// Its database.
    pub storage: Arc<Storage>,
    /// The file system of the log and the sign states.
    pub disk: Arc<dyn Disk>,
    /// The data directory on it.
    pub dir: DataDir,
    /// The signers; `None` on a node that only follows.
    pub signers: Option<Signers>,
    /// Consensus time-outs.
    pub timeouts: Timeouts,
    /// The trusted history.
    pub trust: Trust,
    /// Limits of the transaction pool.
    pub pool: PoolConfig,
    /// The time.
    pub clocks: Clocks,
    /// The metrics to update.
    pub metrics: Metrics,
}

/// A node that has not started.
pub struct Assembled {
    /// The node and its disk.
    pub performer: Performer,
    /// Log entries of the height in progress, for [`Event::Start`](crate::handle::Event).
    pub wal_entries: Vec<Vec<u8>>,
    /// Adds transactions to its pool.
    pub admission: Admission,
}

/// Builds a node.
///
/// # Errors
/// The reason why it cannot start, and what to do.
pub fn assemble(parts: Assembly) -> eyre::Result<Assembled> {
    let Assembly { genesis, storage, disk, dir, signers, timeouts, trust, pool, clocks, metrics } = parts;
    let executor = Arc::new(Executor::new(genesis.clone()));
    let rules = executor.next_rules(&storage.head())?;
    if let Some(unknown) = genesis.schedule.unknown() {
        tracing::warn!(
            height = unknown.height,
            version = unknown.version,
            "this node will stop before that height: {unknown}"
        );
    }
    let chain = Chain {
        genesis: genesis.clone(),
        storage: storage.clone(),
        pool: Arc::new(Mutex::new(Mempool::new(pool, rules))),
        executor,
        sets: Arc::new(Sets::load(&storage)?),
        clocks,
        metrics,
    };

    let (wal, wal_entries) = open_log(disk.clone(), &dir, &genesis, &storage)?;
    let records = Records {
        wal,
        sign_state: SignStateFile::new(disk.clone(), dir.sign_state()),
        peg_signs: PegSignStateFile::new(disk, dir.peg_sign_state()),
    };
    let (sign_state, peg_signs) = sign_states(signers.is_some(), &records)?;
    let validator = signers.as_ref().map(Signers::validator);
    let next = chain.next_height()?;
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
    check_trust(&trust, &storage)?;

    // The host gets the signer whether or not its validator is a member: it signs at the heights at which it is one.
    let (consensus, peg_signer) = signers.map(|signers| (signers.consensus, signers.peg)).unzip();
    let mut host = Host::new(HostConfig { timeouts, ..HostConfig::new(genesis.hash) }, consensus, sign_state);
    evidence::note_members(&genesis, &storage, &next.validators.set)?;
    for (key, last) in evidence::former_members(&storage)? {
        host.note_key(key, Height(last));
    }
    let head = storage.head();
    if let (Some(certificate), Some(block)) = (storage.certificate(head.number)?, storage.block(head.number)?) {
        host.keep_decided(certificate, block.encode());
    }
    let federation = federation(&genesis, peg_signer, peg_signs, &next);
    let settings = NodeSettings { chain: genesis.hash, validator, schedule: genesis.schedule.clone(), trust };
    let node = Node::new(host, settings, Head { number: head.number, timestamp: head.timestamp }, next, federation);
    let admission =
        Admission { chain: chain.clone(), pending: PendingFeed::default(), announce: Arc::new(Notify::new()) };
    Ok(Assembled { performer: Performer::new(node, chain, records), wal_entries, admission })
}

/// Writes empty sign states where none exist, for a data directory that has never started. A directory that has lost its sign
/// states must not sign.
///
/// # Errors
/// When a file is damaged or cannot be written.
pub fn create_sign_states(disk: Arc<dyn Disk>, dir: &DataDir) -> eyre::Result<()> {
    let consensus = SignStateFile::new(disk.clone(), dir.sign_state());
    if consensus.load()?.is_none() {
        consensus.store(&SignState::default())?;
    }
    let peg = PegSignStateFile::new(disk, dir.peg_sign_state());
    if peg.load::<PegSigns>()?.is_none() {
        peg.store(&PegSigns::default())?;
    }
    Ok(())
}

/// Refuses a member whose peg key is not the registered one: it would validate and attest nothing, without a sign of that.
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

/// Checks the trusted checkpoint against the blocks that this node has.
fn check_trust(trust: &Trust, storage: &Storage) -> eyre::Result<()> {
    if let Some(checkpoint) = trust.checkpoint
        && let Some(hash) = storage.hash_by_number(checkpoint.height)?
    {
        trust.block(checkpoint.height, hash).map_err(|reason| eyre!(reason))?;
    }
    Ok(())
}

/// Opens the write-ahead log; its entries matter only for the height after the durable head.
fn open_log(
    disk: Arc<dyn Disk>,
    dir: &DataDir,
    genesis: &Genesis,
    storage: &Storage,
) -> eyre::Result<(Wal, Vec<Vec<u8>>)> {
    let deciding = storage.head().number.saturating_add(1);
    let (wal, entries) = Wal::open(disk, &dir.wal(), genesis.hash)?;
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

/// Reads the record of signatures. A validator without its sign state must not sign: it may have signed elsewhere.
fn sign_states(signs: bool, records: &Records) -> eyre::Result<(SignState, PegSigns)> {
    let Records { sign_state, peg_signs, .. } = records;
    let (consensus_state, peg_state) = (sign_state.load()?, peg_signs.load()?);
    if signs && (consensus_state.is_none() || peg_state.is_none()) {
        return Err(eyre!(
            "this directory has validator keys but no sign state ({} or {} is missing), so it cannot know what the keys have signed. Restore the file \
             from where the keys were used last; for keys that never signed anything run `causeway init` in a new directory.",
            sign_state.path().display(),
            peg_signs.path().display()
        ));
    }
    Ok((consensus_state.unwrap_or_default(), peg_state.unwrap_or_default()))
}

fn federation(
    genesis: &Genesis,
    signer: Option<Arc<dyn PegSigner>>,
    signs: PegSigns,
    next: &NextHeight,
) -> Option<Federation> {
    let (Some(domain), Some(progress)) = (genesis.peg_domain(), next.peg.clone()) else { return None };
    Some(Federation::new(domain, signer, signs, progress, next.epoch.into()))
}
