//! One node process: its files, how it starts, how it ends.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use alloy_primitives::B256;
use eyre::{WrapErr as _, bail, eyre};
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::process::{Child, Command};

use crate::{
    node_files::{NodeFiles, NodeSettings},
    ports::NodePorts,
};

/// Deadline for a node to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait until a started node serves.
const SERVE_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two checks whether it serves.
const POLL: Duration = Duration::from_millis(20);
/// Log filter of the nodes unless `CAUSEWAY_LOG` is set: everything of the node, and only warnings of the consensus core.
const LOG_FILTER: &str = "info,arc_malachitebft_core_consensus=warn";
/// Bytes of a log that are shown when a node dies.
const LOG_TAIL_BYTES: u64 = 3_000;

/// Why a node may trust the history of its peers when its own head is older than the unbonding period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It trusts no history: it starts together with the chain.
    Nothing,
    /// All its peers are nodes of this testnet.
    History,
    /// This block is known to be part of the chain.
    Checkpoint {
        /// Its number.
        height: u64,
        /// Its hash.
        hash: B256,
    },
}

impl Trust {
    fn arguments(self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::History => vec!["--trust-history".into()],
            Self::Checkpoint { height, hash } => vec!["--trusted-checkpoint".into(), format!("{height}:{hash}")],
        }
    }
}

/// A node on this machine.
#[derive(Debug)]
pub struct Node {
    name: String,
    dir: PathBuf,
    binary: PathBuf,
    trust: Trust,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Node {
    /// A node that is not started yet. `trust` holds for its first start; later starts trust the peers' history, because a node
    /// that was down for long returns to the same peers.
    pub fn new(name: &str, dir: PathBuf, binary: PathBuf, trust: Trust) -> Self {
        Self { name: name.to_owned(), dir, binary, trust, environment: Vec::new(), child: None }
    }

    /// The same node with more environment variables.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Its name in genesis and for `testnet/fault`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its log file.
    pub fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }

    /// Its process id; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Starts the process. It gets a process group of its own, so that Ctrl-C reaches only the launcher, which then stops the
    /// nodes in order; and it ends by itself when the launcher dies, however that dies.
    ///
    /// Must be called on the launcher's main thread: Linux sends the death signal when the starting thread ends.
    pub fn start(&mut self) -> eyre::Result<()> {
        if self.child.is_some() {
            bail!("{} runs already", self.name);
        }
        // A killed process could not remove the file.
        self.forget_addresses();
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.wrap_err_with(|| format!("cannot open {}", self.log().display()))?;
        let child = Command::new(&self.binary)
            .arg("start")
            .arg("--dir")
            .arg(&self.dir)
            .arg("--exit-with-parent")
            .arg(std::process::id().to_string())
            .args(self.trust.arguments())
            .envs(std::env::var_os("CAUSEWAY_LOG").is_none().then_some(("CAUSEWAY_LOG", LOG_FILTER)))
            // Logs go to files.
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .wrap_err_with(|| {
                format!("cannot start {}: build it with `cargo build --release`", self.binary.display())
            })?;
        self.child = Some(child);
        self.trust = Trust::History;
        Ok(())
    }

    /// Waits until the started process serves. Returns false when it does not yet serve after a while; it may do so later.
    ///
    /// # Errors
    /// When the process has ended, with the end of its log.
    pub async fn serving(&mut self) -> eyre::Result<bool> {
        let deadline = tokio::time::Instant::now() + SERVE_PATIENCE;
        loop {
            if let Some(status) = self.ended()? {
                bail!("{} ended at its start ({status}); {}:\n{}", self.name, self.log().display(), self.log_tail());
            }
            if self.addresses().exists() {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// File in which a running node names its addresses.
    fn addresses(&self) -> PathBuf {
        NodeFiles(self.dir.clone()).addresses()
    }

    /// Removes that file: the addresses are no longer served.
    fn forget_addresses(&self) {
        if let Err(error) = std::fs::remove_file(self.addresses())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot remove {}", self.addresses().display());
        }
    }

    /// The exit status, once, when the process has ended by itself.
    pub fn ended(&mut self) -> eyre::Result<Option<ExitStatus>> {
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
            self.forget_addresses();
        }
        Ok(status)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> eyre::Result<()> {
        let pid = self.pid().ok_or_else(|| eyre!("{} is not running", self.name))?;
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(pid)?), signal)
            .wrap_err_with(|| format!("cannot signal {}", self.name))
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(&mut self) -> eyre::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait().await
    }

    /// Asks the process to end, also when it is paused; kills it when it does not.
    pub async fn stop(&mut self) -> eyre::Result<()> {
        if self.child.is_none() {
            return Ok(());
        }
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)?;
        if tokio::time::timeout(STOP_PATIENCE, self.wait()).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> eyre::Result<()> {
        if let Some(child) = self.child.as_mut() {
            child.wait().await?;
            self.forget_addresses();
        }
        self.child = None;
        Ok(())
    }

    /// The end of the log, for a person to read.
    pub fn log_tail(&self) -> String {
        let tail = || -> std::io::Result<String> {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        tail().unwrap_or_else(|error| format!("(cannot read {}: {error})", self.log().display()))
    }
}

impl Drop for Node {
    /// A second Ctrl-C drops the nodes, which kills them.
    fn drop(&mut self) {
        if self.child.is_some() {
            self.forget_addresses();
        }
    }
}

/// Makes a data directory with `causeway init` where there is none, and writes the settings anew: ports move.
pub async fn prepare(binary: &Path, dir: &Path, settings: &NodeSettings, genesis: &Path) -> eyre::Result<()> {
    let file = NodeFiles(dir.to_owned()).config();
    if !file.exists() {
        let mut init = Command::new(binary);
        init.arg("init").arg("--dir").arg(dir).arg("--genesis").arg(genesis).arg("--moniker").arg(settings.moniker());
        let output = init.output().await.wrap_err_with(|| format!("cannot run {}", binary.display()))?;
        if !output.status.success() {
            bail!("causeway init --dir {} failed: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
        }
    }
    std::fs::write(&file, settings.to_toml()?).wrap_err_with(|| format!("cannot write {}", file.display()))
}

/// The peer-to-peer address of a node on this machine. The node's own command line prints the peer id.
pub async fn multiaddr(binary: &Path, dir: &Path, ports: NodePorts) -> eyre::Result<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown {
        peer_id: String,
    }
    let keys = NodeFiles(dir.to_owned()).keys();
    let shown = Command::new(binary).args(["keys", "show", "--json", "--keys"]).arg(&keys).output().await;
    let shown = shown.wrap_err_with(|| format!("cannot run {}", binary.display()))?;
    if !shown.status.success() {
        bail!("causeway keys show --keys {} failed: {}", keys.display(), String::from_utf8_lossy(&shown.stderr));
    }
    let Shown { peer_id } = serde_json::from_slice(&shown.stdout)?;
    Ok(format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer_id}", ports.p2p))
}

/// The node's binary: `CAUSEWAY_BIN`, or the one that was built beside the launcher.
pub fn binary() -> eyre::Result<PathBuf> {
    if let Some(path) = std::env::var_os("CAUSEWAY_BIN") {
        return Ok(path.into());
    }
    let launcher = std::env::current_exe().wrap_err("cannot tell where the launcher is")?;
    let binary = launcher.with_file_name("causeway");
    if !binary.exists() {
        bail!("{} is missing: run `cargo build --release -p causeway`", binary.display());
    }
    Ok(binary)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A script in place of a node.
    fn node(script: &str) -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let binary = dir.path().join("program");
        std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o700)).unwrap();
        let node = Node::new("v", dir.path().to_owned(), binary, Trust::Nothing);
        (dir, node)
    }

    #[tokio::test]
    async fn a_node_that_ends_at_its_start_says_why() {
        let (_dir, mut node) = node("echo the key is missing; exit 3");
        node.start().unwrap();
        let error = node.serving().await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("the key is missing"), "{error}");
        assert_eq!(node.pid(), None);
    }

    #[tokio::test]
    async fn addresses_of_a_node_that_stopped_or_was_killed_do_not_stay() {
        let (_dir, mut node) = node("echo {} > $3/run/node.json; exec sleep 600");
        for kill in [false, true] {
            std::fs::write(node.addresses(), "{}").unwrap();
            node.start().unwrap();
            assert!(node.serving().await.unwrap() && node.addresses().exists());
            if kill {
                node.kill().await.unwrap();
            } else {
                node.stop().await.unwrap();
            }
            assert!(!node.addresses().exists());
        }
    }

    #[tokio::test]
    async fn what_is_trusted_is_said_at_the_first_start_and_history_later() {
        let (dir, mut node) = node("echo \"$@\" >> $3/arguments; echo {} > $3/run/node.json");
        node.trust = Trust::Checkpoint { height: 7, hash: B256::repeat_byte(1) };
        for _ in 0..2 {
            node.start().unwrap();
            node.wait().await.unwrap();
        }
        let arguments = std::fs::read_to_string(dir.path().join("arguments")).unwrap();
        let lines: Vec<&str> = arguments.lines().collect();
        assert!(lines[0].ends_with(&format!("--trusted-checkpoint 7:{}", B256::repeat_byte(1))), "{arguments}");
        assert!(lines[1].ends_with("--trust-history"), "{arguments}");
    }
}
