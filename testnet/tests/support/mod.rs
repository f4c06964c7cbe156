//! What the end-to-end tests share: testnets of real processes, outside clients, patience.
//!
//! One testnet runs at a time (two cores, and latency is measured), and no process or file of a test outlives it.

pub mod anvil;
pub mod clients;
pub mod pegged;
pub mod proxy;
pub mod staking;
pub mod transfer;

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use alloy_primitives::{Address, U256};
use causeway_testnet::{record::TestnetRecord, rpc::Rpc};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// How long a testnet may take to stand.
const UP_PATIENCE: Duration = Duration::from_secs(90);
/// The testnet's directory inside the test's own.
const NET: &str = "net";
/// Pause between two checks.
const POLL: Duration = Duration::from_millis(50);

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other testnet runs. For tests that start one themselves; [`Net`] takes its own turn.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.blocking_lock()
}

/// The launcher that cargo built for these tests.
pub fn launcher() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_causeway-testnet"))
}

/// A binary beside the launcher; built here when a test is run alone.
pub fn sibling(name: &str) -> PathBuf {
    let path = launcher().with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --release -p causeway -p causeway-peg-audit", path.display());
    path
}

/// A running testnet.
pub struct Net {
    dir: Option<TempDir>,
    launcher: Option<Child>,
    pub record: TestnetRecord,
    /// From the launcher's start until the testnet was ready.
    pub took: Duration,
    arguments: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Net {
    /// Starts a testnet in a fresh directory.
    pub async fn up(arguments: &[&str]) -> Self {
        Self::up_in(tempfile::tempdir().unwrap(), arguments).await
    }

    /// Starts or resumes a testnet in a directory.
    pub async fn up_in(dir: TempDir, arguments: &[&str]) -> Self {
        let turn = TURN.lock().await;
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let started = Instant::now();
        let mut launcher = start(&dir.path().join(NET), &arguments);
        let record = ready(&dir.path().join(NET), &mut launcher).await;
        let took = started.elapsed();
        Self { dir: Some(dir), launcher: Some(launcher), record, took, arguments, _turn: turn }
    }

    /// The testnet's directory.
    pub fn dir(&self) -> PathBuf {
        self.dir.as_ref().unwrap().path().join(NET)
    }

    pub fn launcher_pid(&self) -> u32 {
        self.launcher.as_ref().unwrap().id()
    }

    /// JSON-RPC of a validator.
    pub fn rpc(&self, validator: usize) -> Rpc {
        Rpc::new(&self.record.rpc[validator]).unwrap()
    }

    /// JSON-RPC of the parent.
    pub fn parent(&self) -> Rpc {
        Rpc::new(&self.record.parent.rpc).unwrap()
    }

    pub fn genesis(&self) -> String {
        self.record.genesis.display().to_string()
    }

    pub fn account(&self, index: usize) -> Address {
        self.record.accounts[index].address
    }

    /// Private key of a development account, as command lines take it.
    pub fn key(&self, index: usize) -> String {
        self.record.accounts[index].private_key.to_string()
    }

    /// `testnet/fault`.
    pub fn fault(&mut self, kind: &str, node: &str) {
        let dir = self.dir().display().to_string();
        run(launcher(), &["fault", kind, node, "--dir", &dir]);
        self.record = TestnetRecord::load(&self.dir()).unwrap();
    }

    /// `testnet/node add`; returns the node's place in the record.
    pub fn add(&mut self, name: &str, options: &[&str]) -> usize {
        let dir = self.dir().display().to_string();
        run(launcher(), &[["node", "add", name, "--dir", &dir].as_slice(), options].concat());
        self.record = TestnetRecord::load(&self.dir()).unwrap();
        self.record.validators.iter().position(|node| node.name == name).unwrap()
    }

    /// Processes of this testnet: the launcher and every node.
    pub fn pids(&self) -> Vec<u32> {
        let record = TestnetRecord::load(&self.dir()).unwrap();
        let nodes = record.validators.iter().filter_map(|validator| validator.pid).chain(record.parent.pid);
        nodes.chain([self.launcher_pid()]).collect()
    }

    /// Sends a signal to the launcher and waits until it has gone.
    pub fn end_launcher(&mut self, signal: &str) {
        let mut launcher = self.launcher.take().unwrap();
        run(Path::new("kill"), &[signal, &launcher.id().to_string()]);
        launcher.wait().unwrap();
    }

    /// Starts the launcher again in the same directory.
    pub async fn resume(&mut self) {
        let mut launcher = start(&self.dir(), &self.arguments);
        self.record = ready(&self.dir(), &mut launcher).await;
        self.launcher = Some(launcher);
    }

    /// Waits until a validator's head is at least `height`.
    pub async fn at_height(&self, validator: usize, height: u64, patience: Duration) {
        let rpc = self.rpc(validator);
        eventually(patience, &format!("validator-{validator} reaches block {height}"), || async {
            rpc.block_number().await.is_ok_and(|number| number >= height)
        })
        .await;
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if let Some(mut launcher) = self.launcher.take() {
            launcher.kill().unwrap();
            launcher.wait().unwrap();
        }
        if std::thread::panicking() {
            let kept = self.dir.take().unwrap().keep();
            eprintln!("the testnet's logs are in {}", kept.display());
        }
    }
}

fn start(dir: &Path, arguments: &[String]) -> Child {
    let log = std::fs::File::create(dir.with_file_name("launcher.log")).unwrap();
    Command::new(launcher())
        .arg("up")
        .arg("--dir")
        .arg(dir)
        .arg("--exit-with-parent")
        .arg(std::process::id().to_string())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

async fn ready(dir: &Path, launcher: &mut Child) -> TestnetRecord {
    let deadline = Instant::now() + UP_PATIENCE;
    loop {
        let log = || std::fs::read_to_string(dir.with_file_name("launcher.log")).unwrap_or_default();
        if let Some(status) = launcher.try_wait().unwrap() {
            panic!("testnet/up ended ({status}):\n{}", log());
        }
        if let Ok(record) = TestnetRecord::load(dir)
            && record.launcher_pid == launcher.id()
        {
            return record;
        }
        assert!(Instant::now() < deadline, "testnet/up is not ready:\n{}", log());
        tokio::time::sleep(POLL).await;
    }
}

/// Runs a program to its end and returns what it printed. Panics with everything it said when it fails.
pub fn run(program: &Path, arguments: &[&str]) -> String {
    let output = output(program, arguments);
    assert!(
        output.status.success(),
        "{} {} failed ({}):\n{}\n{}",
        program.display(),
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A process that ends with the test.
pub struct Background(Child);

impl Background {
    /// `testnet/load` at a steady rate, until the test is over: fees for the stakers.
    pub fn load(net: &Net, rate: u32) -> Self {
        let (dir, rate) = (net.dir().display().to_string(), rate.to_string());
        let arguments = ["load", "--rate", &rate, "--seconds", "900", "--accounts", "20", "--dir", &dir];
        let mut command = Command::new(launcher());
        Self(command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs a program that must fail, and returns all it said.
pub fn run_failing(program: &Path, arguments: &[&str]) -> String {
    let output = output(program, arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{} {} did not fail:\n{said}", program.display(), arguments.join(" "));
    said
}

fn output(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// `causeway ... --json`, parsed.
pub fn causeway_json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(&sibling("causeway"), arguments)).unwrap()
}

/// Waits until something holds; panics with `what` when it does not.
pub async fn eventually<F, Fut>(patience: Duration, what: &str, mut holds: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + patience;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", patience.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// A block by number, without transactions' bodies.
pub async fn block(rpc: &Rpc, number: u64) -> Value {
    rpc.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await.unwrap()
}

/// Converts whole coins to wei.
pub fn coins(amount: u64) -> U256 {
    causeway_testnet::cli::coins(amount)
}

/// A number that an answer gives as a hex quantity.
pub fn quantity(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
