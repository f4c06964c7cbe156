//! A node with a remote signer: it validates, keeps running while the signer is down, and signs again when the signer is back.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, U64, U256};
use causeway::config::{DataDir, NodeConfig};
use causeway_genesis::{
    Genesis, NodeKeys, ceremony,
    keys::{self, KeyRole, Keystore, Password, SecretKey, Strength},
};
use jsonrpsee::{
    core::client::ClientT,
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
};

const PATIENCE: Duration = Duration::from_secs(60);

const NODE: &str = env!("CARGO_BIN_EXE_causeway");

/// The signer's program, which another package builds beside the node's.
fn signer_program() -> PathBuf {
    let path = Path::new(NODE).with_file_name("causeway-signer");
    assert!(path.exists(), "{} is missing: cargo build --release -p causeway-signer", path.display());
    path
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .args(["--exit-with-parent", &std::process::id().to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Ends it by SIGKILL and answers what it logged.
    fn killed(mut self) -> String {
        self.0.kill().unwrap();
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A chain of one validator with a fast block interval, a data directory without its keys, and a signer's directory with them, locked.
fn prepare(home: &Path) {
    let node = NodeKeys::generate().unwrap();
    let mut spec = ceremony::new_spec(4_243, "Signed", 1_700_000_000, None);
    spec.block_interval_ms = 100;
    let stake = U256::from(10).pow(U256::from(24));
    spec.validators = vec![ceremony::validator_entry("a", Address::repeat_byte(0xaa), stake, &node)];
    let genesis = Genesis::build(spec).unwrap();
    genesis.spec.save(&home.join("genesis.json")).unwrap();

    let password = home.join("password");
    fs::write(&password, "correct horse\n").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let password = Password::read(&password).unwrap();
    for (role, key) in [(KeyRole::Consensus, &node.consensus), (KeyRole::Peg, &node.peg)] {
        let keystore = Keystore::seal(role, key, &password, Strength::Light).unwrap();
        keys::save_keystore(&home.join("signer").join(role.file_name()), &keystore).unwrap();
    }
    let secret = SecretKey::generate(KeyRole::Signer).unwrap();
    keys::save(&home.join("signer"), KeyRole::Signer, &secret).unwrap();
    keys::save(&home.join("node/keys"), KeyRole::Signer, &secret).unwrap();
    let init = ["init", "--dir", &text(&home.join("node")), "--genesis", &text(&home.join("genesis.json"))];
    assert!(Command::new(NODE).args(init).stdout(Stdio::null()).status().unwrap().success());
    let file = DataDir(home.join("node")).config_file();
    let mut config = NodeConfig::load(&file).unwrap();
    config.p2p.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    config.rpc.listen = "127.0.0.1:0".parse().unwrap();
    config.metrics.listen = "127.0.0.1:0".parse().unwrap();
    config.signer.address = Some("unix:run/signer.sock".parse().unwrap());
    fs::write(&file, config.to_toml().unwrap()).unwrap();
}

fn start_signer(home: &Path, more: &[&str]) -> Process {
    let socket = format!("unix:{}", text(&home.join("node/run/signer.sock")));
    let (genesis, keys) = (text(&home.join("genesis.json")), text(&home.join("signer")));
    let (state, password) = (text(&home.join("state")), text(&home.join("password")));
    let fixed = ["--genesis", &genesis, "--keys", &keys, "--state", &state, "--listen", &socket];
    let mut process = Process::start(&signer_program(), &[&fixed[..], &["--password-file", &password], more].concat());
    let mut line = String::new();
    BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("signing for chain"), "{line}");
    process
}

/// Waits for what a process that runs beside does; there is nothing to be woken by.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn height(rpc: &HttpClient) -> Option<u64> {
    rpc.request::<U64, _>("eth_blockNumber", rpc_params![]).await.ok().map(|height| height.to())
}

#[tokio::test]
async fn a_validator_outlives_its_remote_signer_and_goes_on_when_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    prepare(home);
    let signer = start_signer(home, &["--new-state"]);
    let mut node = Process::start(Path::new(NODE), &["start", "--dir", &text(&home.join("node"))]);
    let rpc = until(async || {
        let run = fs::read_to_string(home.join("node/run/node.json")).ok()?;
        let url = serde_json::from_str::<serde_json::Value>(&run).ok()?["rpc"].as_str()?.to_owned();
        HttpClientBuilder::default().build(format!("http://{url}")).ok()
    })
    .await;
    until(async || height(&rpc).await.filter(|height| *height >= 5)).await;

    // Alone with nobody to sign, the only validator decides nothing; it answers all the same.
    drop(signer);
    let mut last = height(&rpc).await.unwrap();
    let mut still = Instant::now();
    until(async || {
        let now = height(&rpc).await.unwrap();
        if now != last {
            (last, still) = (now, Instant::now());
        }
        (still.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    assert!(node.alive());

    let again = start_signer(home, &[]);
    until(async || height(&rpc).await.filter(|height| *height >= last + 5)).await;
    drop(again);
    let log = node.killed();
    assert!(log.contains("signs nothing until its remote signer answers"), "{log}");
    assert!(log.contains("the remote signer answers again"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
