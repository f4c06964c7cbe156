//! The task that follows the parent's finalised blocks.
//!
//! Each poll asks every endpoint for its finalised block, chooses the lowest height, requires the same hash for it from all
//! endpoints, reads the vault's logs up to it from all, and reports the deposits after they match the vault's own
//! accumulator. After any failure nothing of the doubtful range is reported, and the next poll reads it again.

use crate::{
    config::{ConfigError, ParentConfig, UPDATE_CHANNEL, WatchFrom},
    cuts::{Cut, CutError, DepositLog, Folded},
    endpoint::{Endpoint, EndpointError, RegistryView},
    update::{BlockRef, Conflict, ParentStatus, ParentUpdate},
    wire::Wire,
};
use futures::future::try_join_all;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Block hashes requested at the same time while checking the blocks that hold deposits.
const CONCURRENT_BLOCKS: usize = 8;

/// Number of latest accumulators that the vault stores (`PegVault.SNAPSHOTS`).
pub(crate) const VAULT_SNAPSHOTS: u64 = 4096;

/// Follows the parent chain. See [`ParentWatcher::new`].
#[derive(Debug)]
pub struct ParentWatcher {
    config: ParentConfig,
    wire: Arc<dyn Wire>,
    endpoints: Vec<Source>,
    updates: mpsc::Sender<ParentUpdate>,
    status: watch::Sender<ParentStatus>,
    folded: Folded,
    next_height: u64,
    start_checked: bool,
    range: u64,
    anchor: Option<BlockRef>,
    /// Finalised block at which the registry was last read.
    registry_read: Option<BlockRef>,
    failures: u32,
}

/// An endpoint and its remembered state.
#[derive(Debug)]
struct Source {
    endpoint: Endpoint,
    /// Whether the chain id has been checked since the last failed exchange.
    chain_checked: bool,
    /// Greatest height that it has finalised.
    finalized: u64,
}

/// The owner's side of a running watcher. Dropping it (or the receiver) stops the task.
#[derive(Debug)]
pub struct ParentHandle {
    status: watch::Receiver<ParentStatus>,
    task: JoinHandle<()>,
}

impl ParentHandle {
    /// The watcher's current state.
    pub fn status(&self) -> ParentStatus {
        self.status.borrow().clone()
    }

    /// A receiver that follows the status; it can be used after the handle is dropped.
    pub fn subscribe(&self) -> watch::Receiver<ParentStatus> {
        self.status.clone()
    }
}

impl Drop for ParentHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a poll ended early.
#[derive(Debug)]
enum Fault {
    /// The receiver is gone.
    Closed,
    Conflict(Conflict),
    Unreachable(String),
}

impl Fault {
    fn at(endpoint: &Endpoint, error: &EndpointError) -> Self {
        Self::Unreachable(format!("{}: {error}", endpoint.name()))
    }
}

impl ParentWatcher {
    /// Creates a watcher and starts it as a tokio task.
    ///
    /// # Errors
    /// As [`ParentWatcher::new`].
    pub fn spawn(
        config: ParentConfig,
        start: WatchFrom,
        wire: Arc<dyn Wire>,
    ) -> Result<(ParentHandle, mpsc::Receiver<ParentUpdate>), ConfigError> {
        let (watcher, status, receiver) = Self::new(config, start, wire)?;
        let task = tokio::spawn(watcher.run());
        Ok((ParentHandle { status, task }, receiver))
    }

    /// Creates a watcher, which does nothing until it [runs](Self::run). Updates come in order through a channel of
    /// [`UPDATE_CHANNEL`]; when the channel is full, the watcher waits and drops nothing.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that can never work. An unreachable endpoint is not an error here; it is reported later.
    pub fn new(
        config: ParentConfig,
        start: WatchFrom,
        wire: Arc<dyn Wire>,
    ) -> Result<(Self, watch::Receiver<ParentStatus>, mpsc::Receiver<ParentUpdate>), ConfigError> {
        config.validate()?;
        let endpoints = (0..config.endpoints.len())
            .map(|i| {
                let endpoint = Endpoint::new(&config, i, wire.clone())?;
                Ok(Source { endpoint, chain_checked: false, finalized: 0 })
            })
            .collect::<Result<Vec<_>, ConfigError>>()?;
        let next_height = start.parent_height.max(config.from_height);
        let (updates, receiver) = mpsc::channel(UPDATE_CHANNEL);
        let (status, status_receiver) =
            watch::channel(ParentStatus { deposit_nonce: start.deposit_nonce, next_height, ..Default::default() });
        let watcher = Self {
            range: config.max_log_range,
            wire,
            endpoints,
            updates,
            status,
            folded: Folded { nonce: start.deposit_nonce, acc: start.deposit_acc, height: next_height },
            next_height,
            start_checked: false,
            anchor: None,
            registry_read: None,
            failures: 0,
            config,
        };
        Ok((watcher, status_receiver, receiver))
    }

    /// Polls until the receiver of the updates is gone.
    pub async fn run(mut self) {
        while self.poll().await {
            let pause = self.wire.sleep(self.pause());
            tokio::select! {
                // In order, not at random: a simulator run must replay exactly from its seed.
                biased;
                () = self.updates.closed() => return,
                () = pause => {}
            }
        }
    }

    /// The pause before the next poll: doubled for every failure in a row, up to the configured limit.
    fn pause(&self) -> Duration {
        let factor = 1u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        let backoff = self.config.poll_ms.saturating_mul(factor).min(self.config.max_backoff_ms);
        Duration::from_millis(backoff.max(self.config.poll_ms))
    }

    /// One round. False when the receiver is gone.
    pub(crate) async fn poll(&mut self) -> bool {
        let outcome = self.advance().await;
        let reported = match outcome {
            Ok(()) => {
                self.failures = 0;
                self.clear_trouble().await
            }
            Err(Fault::Closed) => Err(Fault::Closed),
            Err(Fault::Conflict(conflict)) => {
                self.failures = self.failures.saturating_add(1);
                self.report_conflict(conflict).await
            }
            Err(Fault::Unreachable(reason)) => {
                self.failures = self.failures.saturating_add(1);
                self.report_unreachable(reason).await
            }
        };
        reported.is_ok()
    }

    async fn advance(&mut self) -> Result<(), Fault> {
        let (target, heads) = self.settle().await?;
        if self.anchor == Some(target) {
            return self.read_registry(target).await;
        }
        if target.height < self.folded.height {
            return Err(Fault::Unreachable(format!(
                "the parent is final up to block {} only, and reading resumes at block {}: wait for the endpoint to \
                 sync, or correct it",
                target.height, self.folded.height
            )));
        }
        let count = self.count(target).await?;
        if !self.start_checked {
            self.check_accumulator(self.folded, count, target).await?;
            self.start_checked = true;
        }
        while count > self.folded.nonce && self.next_height <= target.height {
            self.scan(count, target).await?;
        }
        if count != self.folded.nonce {
            return Err(self.miscounted(count, target));
        }
        self.next_height = target.height.saturating_add(1);
        for (source, head) in self.endpoints.iter_mut().zip(heads) {
            source.finalized = head.height;
        }
        self.anchor = Some(target);
        self.status.send_modify(|status| status.finalized = Some(target));
        self.send(ParentUpdate::Finalized { height: target.height, hash: target.hash, timestamp: target.timestamp })
            .await?;
        self.read_registry(target).await
    }

    /// The highest block that all endpoints have finalised with the same hash, and the finalised block of each endpoint.
    async fn settle(&mut self) -> Result<(BlockRef, Vec<BlockRef>), Fault> {
        let heads = try_join_all(self.endpoints.iter_mut().map(|source| async move {
            let head = source.head().await;
            // After any failure another server may answer: check the chain id again.
            source.chain_checked = head.is_ok();
            head.map_err(|error| Fault::at(&source.endpoint, &error))
        }))
        .await?;
        for (source, head) in self.endpoints.iter().zip(&heads) {
            if head.height < source.finalized {
                return Err(Fault::Conflict(Conflict::Regressed {
                    endpoint: source.endpoint.name().to_owned(),
                    from: source.finalized,
                    to: head.height,
                }));
            }
        }
        let lowest = heads.iter().map(|head| head.height).min();
        let target = lowest.ok_or_else(|| Fault::Unreachable(ConfigError::NoEndpoint.to_string()))?;
        let blocks = try_join_all(self.endpoints.iter().zip(&heads).map(|(source, head)| async move {
            if head.height == target { Ok(*head) } else { source.block_at(target).await }
        }))
        .await?;
        self.check_anchor(&blocks).await?;
        let first = blocks[0];
        for (source, block) in self.endpoints.iter().zip(&blocks) {
            if block.hash != first.hash {
                return Err(Fault::Conflict(Conflict::Hash {
                    height: target,
                    a: self.endpoints[0].endpoint.name().to_owned(),
                    a_hash: first.hash,
                    b: source.endpoint.name().to_owned(),
                    b_hash: block.hash,
                }));
            }
        }
        Ok((first, heads))
    }

    /// Checks that the last agreed block is still the same at every endpoint; `blocks` are their blocks at the new height.
    async fn check_anchor(&self, blocks: &[BlockRef]) -> Result<(), Fault> {
        let Some(anchor) = self.anchor else { return Ok(()) };
        try_join_all(self.endpoints.iter().zip(blocks).map(|(source, block)| async move {
            let now = if block.height == anchor.height { *block } else { source.block_at(anchor.height).await? };
            if now.hash == anchor.hash {
                return Ok(());
            }
            Err(Fault::Conflict(Conflict::FinalityBroken {
                endpoint: source.endpoint.name().to_owned(),
                height: anchor.height,
                was: anchor.hash,
                now: now.hash,
            }))
        }))
        .await?;
        Ok(())
    }

    /// Reads one range of logs, checks it and reports its deposits.
    async fn scan(&mut self, count: u64, target: BlockRef) -> Result<(), Fault> {
        let from = self.next_height;
        let to = from.saturating_add(self.range.saturating_sub(1)).min(target.height);
        let logs = match self.read_logs(from, to).await {
            Ok(logs) => logs,
            Err((_, error)) if error.may_be_range() && self.range > 1 => {
                self.range = (to.saturating_sub(from).saturating_add(1) / 2).max(1);
                tracing::debug!(from, to, range = self.range, %error, "the parent refused a log range");
                return Ok(());
            }
            Err((position, error)) => return Err(Fault::at(&self.endpoints[position].endpoint, &error)),
        };
        let (cuts, folded) = match self.agree(logs, from, to).and_then(|logs| self.fold(logs)) {
            Ok(done) => done,
            Err(fault) => {
                self.rewind();
                return Err(fault);
            }
        };
        if !cuts.is_empty() {
            self.check_accumulator(folded, count, target).await?;
            self.check_blocks(&cuts).await?;
        }
        for cut in cuts {
            let nonce = cut.view.depositNonce;
            self.folded = Folded { nonce, acc: cut.view.depositAcc, height: cut.view.parentHeight };
            self.send(ParentUpdate::Deposits { view: cut.view, deposits: cut.deposits }).await?;
            self.status.send_modify(|status| status.deposit_nonce = nonce);
        }
        self.next_height = to.saturating_add(1);
        self.range = self.range.saturating_mul(2).min(self.config.max_log_range);
        let next_height = self.next_height;
        self.status.send_modify(|status| status.next_height = next_height);
        Ok(())
    }

    async fn read_logs(&self, from: u64, to: u64) -> Result<Vec<Vec<DepositLog>>, (usize, EndpointError)> {
        try_join_all(self.endpoints.iter().enumerate().map(|(position, source)| async move {
            source.endpoint.deposits(from, to).await.map_err(|error| (position, error))
        }))
        .await
    }

    /// The logs, if all endpoints gave the same ones.
    fn agree(&self, answers: Vec<Vec<DepositLog>>, from: u64, to: u64) -> Result<Vec<DepositLog>, Fault> {
        let mut answers = answers.into_iter();
        let first = answers.next().unwrap_or_default();
        for (other, source) in answers.zip(self.endpoints.iter().skip(1)) {
            if other != first {
                return Err(Fault::Conflict(Conflict::Deposits {
                    from,
                    to,
                    a: self.endpoints[0].endpoint.name().to_owned(),
                    b: source.endpoint.name().to_owned(),
                }));
            }
        }
        Ok(first)
    }

    fn fold(&self, logs: Vec<DepositLog>) -> Result<(Vec<Cut>, Folded), Fault> {
        self.folded.fold(logs).map_err(|fault| match fault {
            // An endpoint that has not indexed everything yet leaves out logs; this is temporary.
            CutError::Gap { .. } => Fault::Unreachable(format!("deposit logs are missing: {fault}")),
            fault => self.history(fault),
        })
    }

    fn history(&self, fault: CutError) -> Fault {
        let endpoint = self.endpoints[0].endpoint.name().to_owned();
        Fault::Conflict(Conflict::History { endpoint, fault })
    }

    /// Continues reading at the last reported deposit: a later log was missing or wrong.
    fn rewind(&mut self) {
        self.next_height = self.folded.height.max(self.config.from_height);
    }

    /// Compares the folded accumulator with the vault's own snapshot at every endpoint. An accumulator older than the
    /// vault's snapshots is fixed by the later ones, down to the one that is checked here at the end of the catch-up.
    async fn check_accumulator(&self, folded: Folded, count: u64, target: BlockRef) -> Result<(), Fault> {
        if folded.nonce == 0 || count.saturating_sub(folded.nonce) >= VAULT_SNAPSHOTS {
            return Ok(());
        }
        try_join_all(self.endpoints.iter().map(|source| async move {
            let claimed = source.read(source.endpoint.deposit_acc_at(folded.nonce, target.height)).await?;
            if claimed == folded.acc {
                return Ok(());
            }
            let endpoint = source.endpoint.name().to_owned();
            let fault = CutError::Accumulator { nonce: folded.nonce, computed: folded.acc, claimed };
            Err(Fault::Conflict(Conflict::History { endpoint, fault }))
        }))
        .await?;
        Ok(())
    }

    /// Checks that the blocks named by the logs are blocks of the finalised chain.
    async fn check_blocks(&self, cuts: &[Cut]) -> Result<(), Fault> {
        let source = &self.endpoints[0];
        let mut named: Vec<_> = cuts.iter().map(|cut| (cut.view.parentHeight, cut.view.parentHash)).collect();
        named.dedup();
        for some in named.chunks(CONCURRENT_BLOCKS) {
            try_join_all(some.iter().map(|(height, hash)| async move {
                let block = source.block_at(*height).await?;
                if block.hash == *hash {
                    return Ok(());
                }
                Err(Fault::Unreachable(format!(
                    "{}: its logs contain a deposit of block {height} {hash}, but that block is {}",
                    source.endpoint.name(),
                    block.hash
                )))
            }))
            .await?;
        }
        Ok(())
    }

    /// The vault's own count of deposits at the end of the block, equal at every endpoint.
    ///
    /// It is read before the logs: if it has not changed, no log must be read, however far the parent has advanced.
    async fn count(&self, target: BlockRef) -> Result<u64, Fault> {
        let counts =
            try_join_all(self.endpoints.iter().map(|source| source.read(source.endpoint.deposit_nonce(target.height))))
                .await?;
        let first = counts[0];
        for (source, count) in self.endpoints.iter().zip(counts) {
            let endpoint = source.endpoint.name().to_owned();
            if count < self.folded.nonce {
                return Err(Fault::Conflict(Conflict::Unknown { endpoint, known: self.folded.nonce, count }));
            }
            if count != first {
                return Err(Fault::Conflict(Conflict::Deposits {
                    from: self.next_height,
                    to: target.height,
                    a: self.endpoints[0].endpoint.name().to_owned(),
                    b: endpoint,
                }));
            }
        }
        Ok(first)
    }

    /// The fault when all logs are read but do not reach the vault's own count: the source leaves out logs.
    fn miscounted(&mut self, count: u64, target: BlockRef) -> Fault {
        let reason = format!(
            "{}: the vault counts {count} deposits at block {}, but its logs give {}: logs are missing",
            self.endpoints[0].endpoint.name(),
            target.height,
            self.folded.nonce
        );
        self.rewind();
        Fault::Unreachable(reason)
    }

    /// Reads the registry once for each finalised block, requires equal answers from all endpoints, and reports changes. A
    /// failed read is repeated in the next poll, even if the parent does not advance.
    async fn read_registry(&mut self, target: BlockRef) -> Result<(), Fault> {
        if self.registry_read == Some(target) {
            return Ok(());
        }
        let views =
            try_join_all(self.endpoints.iter().map(|source| source.read(source.endpoint.registry(target.height))))
                .await?;
        let first = views[0];
        for (source, view) in self.endpoints.iter().zip(views) {
            if view != first {
                return Err(Fault::Conflict(Conflict::Registry {
                    height: target.height,
                    a: self.endpoints[0].endpoint.name().to_owned(),
                    b: source.endpoint.name().to_owned(),
                }));
            }
        }
        self.registry_read = Some(target);
        let RegistryView { checkpoint, set } = first;
        let (known_checkpoint, known_set) = {
            let status = self.status.borrow();
            (status.checkpoint, status.set_in_force)
        };
        if known_set != Some(set) {
            self.status.send_modify(|status| status.set_in_force = Some(set));
            self.send(ParentUpdate::SetCommitted { epoch: set.0, commitment: set.1 }).await?;
        }
        if known_checkpoint != Some(checkpoint) {
            self.status.send_modify(|status| status.checkpoint = Some(checkpoint));
            self.send(ParentUpdate::Checkpoint { number: checkpoint.0, digest: checkpoint.1 }).await?;
        }
        Ok(())
    }

    async fn send(&self, update: ParentUpdate) -> Result<(), Fault> {
        self.updates.send(update).await.map_err(|_| Fault::Closed)
    }

    async fn clear_trouble(&mut self) -> Result<(), Fault> {
        let troubled = {
            let status = self.status.borrow();
            status.conflict.is_some() || status.unreachable.is_some()
        };
        if !troubled {
            return Ok(());
        }
        tracing::info!("the parent endpoints work and agree again");
        self.status.send_modify(|status| {
            status.conflict = None;
            status.unreachable = None;
        });
        self.send(ParentUpdate::Recovered).await
    }

    async fn report_conflict(&mut self, conflict: Conflict) -> Result<(), Fault> {
        if self.status.borrow().conflict.as_ref() == Some(&conflict) {
            return Ok(());
        }
        tracing::error!(%conflict, "the parent endpoints are in conflict: deposits wait");
        let update = ParentUpdate::Conflict(conflict.clone());
        self.status.send_modify(|status| status.conflict = Some(conflict));
        self.send(update).await
    }

    /// Reports the first failure of an outage; later failures only change the status.
    async fn report_unreachable(&mut self, reason: String) -> Result<(), Fault> {
        let known = self.status.borrow().unreachable.clone();
        let since_ms = known.as_ref().map_or_else(|| self.wire.unix_ms(), |(since, _)| *since);
        self.status.send_modify(|status| status.unreachable = Some((since_ms, reason.clone())));
        if known.is_some() {
            return Ok(());
        }
        tracing::warn!(%reason, "the parent cannot be read: deposits wait");
        self.send(ParentUpdate::Unreachable { since_ms, reason }).await
    }
}

impl Source {
    async fn head(&mut self) -> Result<BlockRef, EndpointError> {
        if !self.chain_checked {
            self.endpoint.check_chain().await?;
        }
        self.endpoint.finalized().await
    }

    async fn read<T>(&self, read: impl Future<Output = Result<T, EndpointError>>) -> Result<T, Fault> {
        read.await.map_err(|error| Fault::at(&self.endpoint, &error))
    }

    async fn block_at(&self, height: u64) -> Result<BlockRef, Fault> {
        self.read(self.endpoint.block_at(height)).await
    }
}
