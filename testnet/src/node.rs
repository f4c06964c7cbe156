//! One node process: its files, how it starts, how it ends.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use causeway::config::{DataDir, NodeConfig};
use eyre::{WrapErr as _, bail, eyre};
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::process::{Child, Command};

/// How long a node may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// What nodes log unless `CAUSEWAY_LOG` says otherwise: their own doings, and only trouble from the consensus core.
const LOG_FILTER: &str = "info,arc_malachitebft_core_consensus=warn";
/// Bytes of a log that are shown when a node dies.
const LOG_TAIL_BYTES: u64 = 3_000;

/// A node on this machine.
#[derive(Debug)]
pub struct Node {
    name: String,
    dir: PathBuf,
    binary: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A node that is not started yet.
    pub fn new(name: &str, dir: PathBuf, binary: PathBuf) -> Self {
        Self { name: name.to_owned(), dir, binary, child: None }
    }

    /// Its name in genesis and for `testnet/fault`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it prints.
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
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.wrap_err_with(|| format!("cannot open {}", self.log().display()))?;
        let child = Command::new(&self.binary)
            .arg("start")
            .arg("--dir")
            .arg(&self.dir)
            .arg("--exit-with-parent")
            .arg(std::process::id().to_string())
            .envs(std::env::var_os("CAUSEWAY_LOG").is_none().then_some(("CAUSEWAY_LOG", LOG_FILTER)))
            // Logs go to files.
            .env("NO_COLOR", "1")
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
        Ok(())
    }

    /// The exit status, once, when the process has ended by itself.
    pub fn ended(&mut self) -> eyre::Result<Option<ExitStatus>> {
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
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

/// Makes a data directory with `causeway init` where there is none, and writes the settings anew: ports move.
pub async fn prepare(binary: &Path, dir: &Path, config: &NodeConfig, genesis: &Path) -> eyre::Result<()> {
    let file = DataDir(dir.to_owned()).config_file();
    if !file.exists() {
        let mut init = Command::new(binary);
        init.arg("init").arg("--dir").arg(dir).arg("--genesis").arg(genesis).arg("--moniker").arg(&config.node.moniker);
        let output = init.output().await.wrap_err_with(|| format!("cannot run {}", binary.display()))?;
        if !output.status.success() {
            bail!("causeway init --dir {} failed: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
        }
    }
    std::fs::write(&file, config.to_toml()?).wrap_err_with(|| format!("cannot write {}", file.display()))
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
