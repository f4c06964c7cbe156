//! `testnet/up`: from nothing, or from an earlier run, to a running testnet.
//!
//! Every step first looks for existing results, so an interrupted run can be repeated.

use std::{collections::BTreeMap, fs::File, io::IsTerminal as _, path::Path, process::Stdio, time::Duration};

use alloy_primitives::{Address, B256};
use causeway_genesis::{Genesis, SecretKey};
use eyre::{WrapErr as _, bail, ensure, eyre};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::{
    accounts,
    chain::{self, ValidatorKeys},
    cli::{UpArgs, coins},
    control::Listener,
    directory::{Directory, Lock},
    join,
    node::{self, Node, Trust},
    node_files::NodeSettings,
    peg::{self, Parent},
    ports::Ports,
    record::{AccountRecord, ParentRecord, TestnetRecord, ValidatorRecord},
    rpc::Rpc,
    settings::Settings,
    summary,
    supervisor::{PARENT, StopSignals, Supervisor},
};

/// Deadline for the nodes to answer and to make their first blocks.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two checks.
const POLL: Duration = Duration::from_millis(50);

/// Starts a testnet and watches it until it is told to end.
pub async fn run(args: UpArgs) -> eyre::Result<()> {
    let log = tracing_subscriber::fmt().with_target(false).with_env_filter(filter());
    log.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    if args.background {
        // A session of its own: closing the terminal does not end the testnet.
        nix::unistd::setsid().wrap_err("cannot leave the terminal")?;
    }
    let (directory, _lock) = open(&args)?;
    let mut stop = StopSignals::new()?;
    let mut supervisor = Supervisor::new(directory.clone());
    let started = tokio::select! {
        started = start(&directory, &args, &mut supervisor) => started,
        () = stop.received() => Err(eyre!("stopped while starting; testnet/up goes on from here")),
    };
    let control = match started {
        Ok(control) => control,
        Err(error) => {
            supervisor.stop(&mut stop).await?;
            return Err(error);
        }
    };
    if !args.background {
        say("\nCtrl-C stops it; testnet/up resumes it.");
    }
    supervisor.run(control, stop, args.exit_with_parent.map(Pid::from_raw)).await
}

/// Starts a testnet in the background and returns when it runs.
pub async fn detach(args: UpArgs) -> eyre::Result<()> {
    let directory = {
        let (directory, _lock) = open(&args)?;
        directory
    };
    let log = File::create(directory.launcher_log()).wrap_err("cannot write launcher.log")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--background");
    let spawned = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    let mut launcher = spawned.wrap_err("cannot start the launcher")?;
    let pid = launcher.id().ok_or_else(|| eyre!("the launcher ended at once"))?;
    loop {
        if let Some(status) = launcher.try_wait()? {
            let log = std::fs::read_to_string(directory.launcher_log()).unwrap_or_default();
            bail!("the testnet did not start ({status}):\n{log}");
        }
        if TestnetRecord::load(directory.root()).is_ok_and(|record| record.launcher_pid == pid) {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    say(&std::fs::read_to_string(directory.launcher_log())?);
    say(&format!("It runs in the background as process {pid}; testnet/down stops it."));
    Ok(())
}

fn open(args: &UpArgs) -> eyre::Result<(Directory, Lock)> {
    let directory = Directory::new(&args.dir)?;
    directory.create()?;
    let lock = directory.lock()?;
    // The background launcher must not remove the files that the summary has just named.
    if args.clean {
        directory.clean()?;
    }
    Ok((directory, lock))
}

async fn start(directory: &Directory, args: &UpArgs, supervisor: &mut Supervisor) -> eyre::Result<Listener> {
    let record = build(directory, args, supervisor, &Fitting::default()).await?;
    let control = Listener::open(directory)?;
    let deposit = Settings::load(directory)?.deposit;
    say(&summary::text(&record, directory.root(), Some(deposit)));
    supervisor.publish(record)?;
    Ok(control)
}

/// Extra settings of the validators, used by the chaos run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fitting {
    /// Peers are reached over TCP alone.
    pub(crate) tcp_only: bool,
    /// Environment variables of each validator, by its name.
    pub(crate) environment: BTreeMap<String, Vec<(String, String)>>,
}

/// Starts all processes, waits for blocks, and funds the accounts. Returns what runs.
pub(crate) async fn build(
    directory: &Directory,
    args: &UpArgs,
    supervisor: &mut Supervisor,
    fitting: &Fitting,
) -> eyre::Result<TestnetRecord> {
    let settings = Settings::resolve(directory, args)?;
    let binary = node::binary()?;
    let names = settings.names();
    let embedded = settings.parent.is_none().then_some(PARENT);
    let ports = assign_ports(directory, &names, embedded)?;
    let validators: Vec<ValidatorKeys> =
        names.iter().map(|name| chain::validator_keys(name, &directory.validator(name))).collect::<Result<_, _>>()?;
    let operator = operator_key(directory, args.parent_key)?;
    let relays = |keys: &&ValidatorKeys| settings.relayer_position(&keys.name).is_some();
    let relayers: Vec<Address> = validators.iter().filter(relays).map(|keys| keys.relayer).collect();
    if embedded.is_some() {
        start_parent(directory, &ports, &operator, &relayers, &binary, supervisor).await?;
    }
    let parent = connect_parent(&settings, &ports, &operator, supervisor).await?;
    // A chain that was down for longer than the unbonding period still resumes: all its nodes belong to this testnet.
    let trust = if directory.genesis().exists() { Trust::History } else { Trust::Nothing };
    let genesis = sidechain_genesis(directory, &settings, &validators, &parent).await?;
    let deployment = genesis.spec.peg.clone().ok_or_else(|| eyre!("the genesis has no peg: use --clean"))?;
    // The nodes start while the parent includes the contracts: both take time.
    let addresses = addresses(directory, &names, &ports, &binary).await?;
    for (name, mut file) in nodes(&settings, &ports, &addresses, &parent)? {
        let dir = directory.validator(&name);
        if fitting.tcp_only {
            file.only_tcp();
        }
        node::prepare(&binary, &dir, &file, &directory.genesis()).await?;
        let environment = fitting.environment.get(&name).cloned().unwrap_or_default();
        supervisor.start(Node::new(&name, dir, binary.clone(), trust).with_environment(environment))?;
    }
    parent.deploy(&genesis).await?;
    if settings.parent.is_some() {
        parent.pay_relayers(&relayers).await?;
    }
    let rpcs = wait_for_blocks(&names, &ports, supervisor).await?;
    fund_accounts(&settings, &parent, deployment.vault, &rpcs, supervisor).await?;
    record(directory, &genesis, &parent, &validators, &ports, &addresses)
}

/// Assigns ports to every node: the same ones as before where they are free.
pub(crate) fn assign_ports(directory: &Directory, names: &[String], parent: Option<&str>) -> eyre::Result<Ports> {
    let mut ports = Ports::load(&directory.ports())?;
    for line in ports.assign(names, parent)? {
        tracing::info!("{line}");
    }
    ports.save(&directory.ports())?;
    Ok(ports)
}

/// The key that deploys and deposits: made for the embedded parent, given for another, and remembered in both cases.
fn operator_key(directory: &Directory, given: Option<B256>) -> eyre::Result<SecretKey> {
    let path = directory.operator_key();
    if let Some(given) = given.filter(|_| !path.exists()) {
        chain::write_key(&path, &SecretKey::from_bytes(given.0))?;
    }
    chain::account_key(&path)
}

async fn start_parent(
    directory: &Directory,
    ports: &Ports,
    operator: &SecretKey,
    relayers: &[Address],
    binary: &Path,
    supervisor: &mut Supervisor,
) -> eyre::Result<()> {
    let dir = directory.parent();
    let validator = chain::validator_keys(PARENT, &dir)?;
    let genesis = dir.join("genesis.json");
    let trust = if genesis.exists() { Trust::History } else { Trust::Nothing };
    if !genesis.exists() {
        chain::parent_genesis(&validator, chain::address(operator), relayers)?.spec.save(&genesis)?;
    }
    let ports = ports.get(PARENT).ok_or_else(|| eyre!("the parent has no ports"))?;
    let file = NodeSettings::new(PARENT, ports, Vec::new(), chain::PARENT_BLOCK_INTERVAL_MS);
    node::prepare(binary, &dir, &file, &genesis).await?;
    supervisor.start(Node::new(PARENT, dir, binary.to_owned(), trust))
}

async fn connect_parent(
    settings: &Settings,
    ports: &Ports,
    operator: &SecretKey,
    supervisor: &mut Supervisor,
) -> eyre::Result<Parent> {
    let signer = accounts::signer(&B256::from(*operator.expose()));
    if let Some(url) = &settings.parent {
        return Parent::connect(url, signer).await;
    }
    let ports = ports.get(PARENT).ok_or_else(|| eyre!("the parent has no ports"))?;
    let url = format!("http://127.0.0.1:{}", ports.rpc);
    first_block(&Rpc::new(&url)?, supervisor).await?;
    Parent::connect(&url, signer).await
}

async fn sidechain_genesis(
    directory: &Directory,
    settings: &Settings,
    validators: &[ValidatorKeys],
    parent: &Parent,
) -> eyre::Result<Genesis> {
    let path = directory.genesis();
    if path.exists() {
        return Genesis::load(&path).wrap_err("the testnet's genesis file is damaged: use --clean");
    }
    // Added nodes are not in genesis: nodes can be added only after the genesis file was made.
    let genesis = chain::sidechain_genesis(validators, parent.plan().await?, settings.choices())?;
    genesis.spec.save(&path)?;
    Ok(genesis)
}

/// The peer-to-peer address of each node of the sidechain, by name.
async fn addresses(
    directory: &Directory,
    names: &[String],
    ports: &Ports,
    binary: &Path,
) -> eyre::Result<BTreeMap<String, String>> {
    let mut addresses = BTreeMap::new();
    for name in names {
        let own = ports.get(name).ok_or_else(|| eyre!("{name} has no ports"))?;
        addresses.insert(name.clone(), node::multiaddr(binary, &directory.validator(name), own).await?);
    }
    Ok(addresses)
}

/// Settings of every node of the sidechain, by name.
fn nodes(
    settings: &Settings,
    ports: &Ports,
    addresses: &BTreeMap<String, String>,
    parent: &Parent,
) -> eyre::Result<Vec<(String, NodeSettings)>> {
    let file = |name: &String| {
        let own = ports.get(name).ok_or_else(|| eyre!("{name} has no ports"))?;
        let others = addresses.iter().filter(|(other, _)| *other != name);
        let bootnodes = others.map(|(_, address)| address.clone()).collect();
        let mut file = NodeSettings::new(name, own, bootnodes, settings.block_interval_ms);
        file.watch_parent(parent.rpc.url());
        if let Some(position) = settings.relayer_position(name) {
            file.relay(position)?;
        }
        Ok((name.clone(), file))
    };
    settings.names().iter().map(file).collect()
}

async fn wait_for_blocks(names: &[String], ports: &Ports, supervisor: &mut Supervisor) -> eyre::Result<Vec<Rpc>> {
    let mut rpcs = Vec::with_capacity(names.len());
    for name in names {
        let ports = ports.get(name).ok_or_else(|| eyre!("{name} has no ports"))?;
        let rpc = Rpc::new(&format!("http://127.0.0.1:{}", ports.rpc))?;
        first_block(&rpc, supervisor).await.wrap_err_with(|| format!("{name} makes no blocks"))?;
        rpcs.push(rpc);
    }
    Ok(rpcs)
}

/// Waits until the node has one block more than at its first answer.
async fn first_block(rpc: &Rpc, supervisor: &mut Supervisor) -> eyre::Result<()> {
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    let mut first = None;
    loop {
        supervisor.all_alive()?;
        match (rpc.block_number().await, first) {
            (Ok(number), Some(first)) if number > first => return Ok(()),
            (Ok(number), None) => first = Some(number),
            (Err(error), _) if tokio::time::Instant::now() >= deadline => return Err(error),
            _ => {}
        }
        ensure!(tokio::time::Instant::now() < deadline, "{} stands still at block {first:?}", rpc.url());
        tokio::time::sleep(POLL).await;
    }
}

/// Deposits for the accounts that have had no deposit yet, and waits for the coin.
async fn fund_accounts(
    settings: &Settings,
    parent: &Parent,
    vault: Address,
    rpcs: &[Rpc],
    supervisor: &mut Supervisor,
) -> eyre::Result<()> {
    let accounts = accounts::addresses();
    let amount = coins(settings.deposit);
    // The launcher's deposits are the vault's first, in the order of the accounts.
    let done = usize::try_from(parent.deposits(vault).await?)?;
    let Some(missing) = accounts.get(done..).filter(|missing| !missing.is_empty()) else { return Ok(()) };
    parent.deposit(vault, missing, amount).await?;
    let sidechain = rpcs.first().ok_or_else(|| eyre!("no validators"))?;
    peg::minted(sidechain, missing, amount, || supervisor.all_alive()).await
}

fn record(
    directory: &Directory,
    genesis: &Genesis,
    parent: &Parent,
    validators: &[ValidatorKeys],
    ports: &Ports,
    addresses: &BTreeMap<String, String>,
) -> eyre::Result<TestnetRecord> {
    let peg = genesis.spec.peg.clone().ok_or_else(|| eyre!("the genesis has no peg"))?;
    let validators = validators.iter().map(|validator| {
        let own = ports.get(&validator.name).ok_or_else(|| eyre!("{} has no ports", validator.name))?;
        let p2p = addresses.get(&validator.name).ok_or_else(|| eyre!("{} has no address", validator.name))?;
        Ok(join::node_record(validator, p2p.clone(), own, &directory.validator(&validator.name)))
    });
    let validators: Vec<ValidatorRecord> = validators.collect::<eyre::Result<_>>()?;
    let embedded = ports.get(PARENT).filter(|ports| parent.rpc.url() == format!("http://127.0.0.1:{}", ports.rpc));
    let accounts = accounts::TEST_KEYS.iter().zip(accounts::addresses());
    Ok(TestnetRecord {
        chain_id: genesis.spec.chain_id,
        genesis_hash: genesis.hash,
        rpc: validators.iter().map(|validator| validator.rpc.clone()).collect(),
        ws: validators.iter().map(|validator| validator.rpc.replacen("http", "ws", 1)).collect(),
        parent: ParentRecord {
            rpc: parent.rpc.url().to_owned(),
            chain_id: parent.chain_id,
            vault: peg.vault,
            registry: peg.registry,
            pid: None,
            dir: embedded.map(|_| directory.parent()),
        },
        accounts: accounts.map(|(key, address)| AccountRecord { address, private_key: *key }).collect(),
        validators,
        genesis: directory.genesis(),
        launcher_pid: std::process::id(),
    })
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,causeway_testnet=info"))
}

#[allow(clippy::print_stdout)] // the command's answer to the person who typed it
fn say(text: &str) {
    println!("{text}");
}
