//! The parent of a chaos run: Foundry's anvil, which can hang, stop, start again, and reorganise.
//!
//! With `--slots-in-an-epoch 2` its `finalized` tag is four blocks behind its head, and `anvil_reorg` to a depth of three or less
//! replaces only blocks above it and leaves the head's height as it is. `anvil_rollback` is not used: it moves the head back, and
//! `finalized` with it, which no parent chain may do. When anvil ends in order it keeps its blocks in a file, but not the state
//! after each of them: it can only go back to a block that it made since its last start.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use eyre::{WrapErr as _, bail, ensure, eyre};
use nix::{sys::signal::Signal, unistd::Pid};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{chaos::schedule::Schedule, ports, rpc::Rpc};

/// Slots of an epoch: `finalized` is twice this number of blocks behind the head.
const EPOCH_SLOTS: u64 = 2;
/// First port that is tried.
const FIRST_PORT: u16 = 18_545;
const PORTS_TRIED: u16 = 200;
/// Deadline to answer, and to write its state.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A parent that can be broken.
#[derive(Debug)]
pub struct Anvil {
    binary: PathBuf,
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
    /// Its head when its present process began.
    began_at: u64,
}

/// The program: `CHAOS_ANVIL`, or the one of the tests' clients, or `anvil` on the path.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CHAOS_ANVIL") {
        return path.into();
    }
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let pinned = clients.join(format!("node_modules/@foundry-rs/anvil-linux-{architecture}/bin/anvil"));
    if pinned.exists() { pinned } else { "anvil".into() }
}

impl Anvil {
    /// Starts it with its state in `dir`.
    ///
    /// # Errors
    /// When there is no anvil, no port, or no answer.
    pub async fn start(dir: PathBuf) -> eyre::Result<Self> {
        std::fs::create_dir_all(&dir).wrap_err_with(|| format!("cannot create {}", dir.display()))?;
        let free = (FIRST_PORT..FIRST_PORT.saturating_add(PORTS_TRIED)).find(|port| ports::is_free(*port));
        let port = free.ok_or_else(|| eyre!("no free port for anvil"))?;
        let mut anvil = Self { binary: binary(), dir, port, child: None, began_at: 0 };
        anvil.run().await?;
        Ok(anvil)
    }

    /// URL of its JSON-RPC.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process id; `None` while it is gone.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    async fn run(&mut self) -> eyre::Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("anvil.log"))?;
        // The kernel ends it together with this program. Without setpriv, the next run ends it.
        let mut command = match which_setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.args(["--block-time", "1", "--slots-in-an-epoch", &EPOCH_SLOTS.to_string()]);
        command.args(["--port", &self.port.to_string()]).arg("--state").arg(self.state());
        let spawned = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = spawned.kill_on_drop(true).spawn();
        self.child = Some(child.wrap_err("cannot start anvil: npm ci in testnet/tests/clients, or set CHAOS_ANVIL")?);
        let rpc = Rpc::new(&self.url())?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Ok(head) = rpc.block_number().await {
                self.began_at = head;
                return Ok(());
            }
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || tokio::time::Instant::now() >= deadline {
                bail!("anvil does not answer; see {}", self.dir.join("anvil.log").display());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    fn signal(&self, signal: Signal) -> eyre::Result<()> {
        let pid = self.pid().ok_or_else(|| eyre!("anvil is not running"))?;
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(pid)?), signal).wrap_err("cannot signal anvil")
    }

    /// Pauses it: it no longer answers.
    ///
    /// # Errors
    /// When it is not running.
    pub fn hang(&self) -> eyre::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Resumes it.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resume(&self) -> eyre::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Stops it: it writes its state.
    ///
    /// # Errors
    /// When it does not succeed in time.
    pub async fn stop(&mut self) -> eyre::Result<()> {
        if self.child.is_none() {
            return Ok(());
        }
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)?;
        if let Some(mut child) = self.child.take() {
            tokio::time::timeout(PATIENCE, child.wait()).await.wrap_err("anvil does not end")??;
        }
        ensure!(self.state().exists(), "anvil kept no state");
        Ok(())
    }

    /// Starts it again with the state that it wrote.
    ///
    /// # Errors
    /// When it does not succeed in time.
    pub async fn come_back(&mut self) -> eyre::Result<()> {
        if self.child.is_none() { self.run().await } else { Ok(()) }
    }

    /// Replaces its last blocks by empty ones. Returns the heights of head and finality before.
    ///
    /// # Errors
    /// When that would replace a final block, or has done so.
    pub async fn reorganise(&self, depth: u64) -> eyre::Result<(u64, u64)> {
        ensure!(
            (1..=Schedule::DEEPEST_REORG).contains(&depth),
            "a reorganisation of {depth} blocks touches final ones"
        );
        let rpc = Rpc::new(&self.url())?;
        let block = async |tag: Value| -> eyre::Result<(u64, Value)> {
            let block: Value = rpc.call("eth_getBlockByNumber", json!([tag, false])).await?;
            let number = block["number"].as_str().and_then(|text| u64::from_str_radix(text.get(2..)?, 16).ok());
            Ok((number.ok_or_else(|| eyre!("a block of the parent without a number"))?, block["hash"].clone()))
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while rpc.block_number().await?.saturating_sub(depth) <= self.began_at {
            ensure!(tokio::time::Instant::now() < deadline, "anvil makes no blocks");
            tokio::time::sleep(POLL).await;
        }
        let (head, _) = block(json!("latest")).await?;
        let (last, hash) = block(json!("finalized")).await?;
        ensure!(head.saturating_sub(depth) >= last, "block {last} is final, and {depth} below {head} is not above it");
        let _none: Value = rpc.call("anvil_reorg", json!([depth, []])).await?;
        let (_, after) = block(json!(format!("{last:#x}"))).await?;
        ensure!(after == hash, "anvil replaced block {last}, which was final");
        Ok((head, last))
    }
}

fn which_setpriv() -> Option<PathBuf> {
    ["/usr/bin/setpriv", "/bin/setpriv"].iter().map(PathBuf::from).find(|path| path.exists())
}
