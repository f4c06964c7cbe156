//! What runs until Ctrl-C: it owns the node processes, reports when one ends, and carries out the requests of `testnet/fault`.
//!
//! It never restarts a node by itself. A testnet shows how the chain behaves without a node.

use std::time::Duration;

use eyre::{WrapErr as _, bail, eyre};
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    control::{Answer, Listener, Request},
    directory::Directory,
    join,
    node::Node,
    record::TestnetRecord,
};

/// Pause between two checks of the processes.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// Name of the embedded parent's node.
pub const PARENT: &str = "parent";

/// All processes of a testnet: the embedded parent first, when there is one, then the validators and the nodes that joined.
#[derive(Debug)]
pub struct Supervisor {
    directory: Directory,
    nodes: Vec<Node>,
    record: Option<TestnetRecord>,
}

impl Supervisor {
    /// Watches nothing yet.
    pub fn new(directory: Directory) -> Self {
        Self { directory, nodes: Vec::new(), record: None }
    }

    /// Starts a node and watches it from now on.
    pub fn start(&mut self, mut node: Node) -> eyre::Result<()> {
        node.start()?;
        self.nodes.push(node);
        Ok(())
    }

    /// Process id of a node.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.nodes.iter().find(|node| node.name() == name).and_then(Node::pid)
    }

    /// Fails when a node has ended, with the end of its log. Used while the testnet starts, when every node must run.
    pub fn all_alive(&mut self) -> eyre::Result<()> {
        for node in &mut self.nodes {
            if let Some(status) = node.ended()? {
                bail!("{} ended at its start ({status}); {}:\n{}", node.name(), node.log().display(), node.log_tail());
            }
        }
        Ok(())
    }

    /// Writes `testnet.json`, and keeps the process ids in it true from now on.
    pub fn publish(&mut self, record: TestnetRecord) -> eyre::Result<()> {
        self.record = Some(record);
        self.write_record()
    }

    /// Runs until it is told to end, or until the process `parent` has ended. Then it stops everything in order.
    pub async fn run(mut self, mut control: Listener, mut stop: StopSignals, parent: Option<Pid>) -> eyre::Result<()> {
        let mut watch = tokio::time::interval(WATCH_INTERVAL);
        loop {
            tokio::select! {
                () = stop.received() => break,
                _ = watch.tick() => {
                    if parent.is_some_and(|parent| parent != nix::unistd::getppid()) {
                        break;
                    }
                    self.look()?;
                }
                pending = control.next() => {
                    let pending = pending?;
                    if pending.request == Request::Stop {
                        let stopped = self.stop(&mut stop).await;
                        let answer = match &stopped {
                            Ok(()) => Answer::Done("stopped; testnet/up resumes it, testnet/up --clean starts anew".into()),
                            Err(error) => Answer::Failed(format!("{error:#}")),
                        };
                        pending.answer(&answer).await;
                        return stopped;
                    }
                    let answer = match self.perform(&pending.request).await {
                        Ok(text) => Answer::Done(text),
                        Err(error) => Answer::Failed(format!("{error:#}")),
                    };
                    pending.answer(&answer).await;
                }
            }
        }
        self.stop(&mut stop).await
    }

    /// Stops the chain's nodes, then the parent they watch. A second signal kills what is left.
    pub async fn stop(&mut self, again: &mut StopSignals) -> eyre::Result<()> {
        let (parent, nodes): (Vec<_>, Vec<_>) = self.nodes.iter_mut().partition(|node| node.name() == PARENT);
        let orderly = async {
            for group in [nodes, parent] {
                for ended in futures::future::join_all(group.into_iter().map(Node::stop)).await {
                    ended?;
                }
            }
            Ok::<(), eyre::Report>(())
        };
        tokio::select! {
            done = orderly => done?,
            // Dropping the processes kills them.
            () = again.received() => self.nodes.clear(),
        }
        self.write_record()
    }

    fn look(&mut self) -> eyre::Result<()> {
        let mut changed = false;
        for node in &mut self.nodes {
            if let Some(status) = node.ended()? {
                changed = true;
                let (name, log) = (node.name(), node.log());
                tracing::warn!(
                    "{name} ended by itself ({status}); see {}; testnet/fault restart {name} starts it",
                    log.display()
                );
            }
        }
        if changed { self.write_record() } else { Ok(()) }
    }

    async fn perform(&mut self, request: &Request) -> eyre::Result<String> {
        let done = match request {
            Request::Kill { node } => {
                let node = self.node(node)?;
                node.kill().await?;
                format!("{} is killed; testnet/fault restart {} starts it again", node.name(), node.name())
            }
            Request::Pause { node } => {
                let node = self.node(node)?;
                node.signal(Signal::SIGSTOP)?;
                format!("{} is paused; testnet/fault resume {} lets it go on", node.name(), node.name())
            }
            Request::Resume { node } => {
                let node = self.node(node)?;
                node.signal(Signal::SIGCONT)?;
                format!("{} goes on", node.name())
            }
            Request::Restart { node } => {
                let node = self.node(node)?;
                node.stop().await?;
                node.start()?;
                // The record must be written also when the node ended again: it no longer runs.
                let serving = node.serving().await;
                let done = serving.map(|serving| match serving {
                    true => format!("{} is started", node.name()),
                    false => format!("{} is started but does not serve yet; see {}", node.name(), node.log().display()),
                });
                self.write_record()?;
                done?
            }
            Request::Add { node, relay } => self.add(node, *relay).await?,
            Request::Stop => bail!("a stop is no fault"),
        };
        tracing::info!("{done}");
        self.write_record()?;
        Ok(done)
    }

    async fn add(&mut self, name: &str, relay: bool) -> eyre::Result<String> {
        let record = self.record.as_mut().ok_or_else(|| eyre!("the testnet is still starting"))?;
        let mut joined = join::prepare(&self.directory, record, name, relay).await?;
        joined.node.start()?;
        joined.node.serving().await?;
        joined.remember(&self.directory, record)?;
        self.nodes.push(joined.node);
        Ok(joined.text)
    }

    /// A node by its name or number.
    ///
    /// # Errors
    /// When it is empty.
    pub fn node(&mut self, wanted: &str) -> eyre::Result<&mut Node> {
        let numbered = format!("validator-{wanted}");
        let names: Vec<&str> = self.nodes.iter().map(Node::name).collect();
        let index = names.iter().position(|name| *name == wanted || *name == numbered);
        let index = index.ok_or_else(|| eyre!("there is no node {wanted:?}; there are {}", names.join(", ")))?;
        self.nodes.get_mut(index).ok_or_else(|| eyre!("there is no node {wanted:?}"))
    }

    fn write_record(&mut self) -> eyre::Result<()> {
        let Some(record) = self.record.as_mut() else { return Ok(()) };
        let pid = |name: &str| self.nodes.iter().find(|node| node.name() == name).and_then(Node::pid);
        for validator in &mut record.validators {
            validator.pid = pid(&validator.name);
        }
        record.parent.pid = pid(PARENT);
        record.save(self.directory.root())
    }
}

/// SIGINT, SIGTERM and SIGHUP: each of them ends the testnet.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Catches the signals from now on.
    pub fn new() -> eyre::Result<Self> {
        let catch = |kind| signal(kind).wrap_err("cannot catch signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
