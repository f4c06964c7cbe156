//! The testnet of a chaos run: nodes whose links go through the relay, anvil as the parent, and everything that has to be cleaned up.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use alloy_primitives::{B256, b256};
use eyre::{WrapErr as _, eyre};
use nix::{sys::signal::Signal, unistd::Pid};
use serde::{Deserialize, Serialize};

use crate::{
    chaos::{anvil::Anvil, disk, disk::SmallDisk, preload::Preload, preload::Switches, relay::Relay},
    cli::{ChaosArgs, UpArgs},
    directory::{Directory, Lock},
    node::{self, Node},
    record::TestnetRecord,
    rpc::Rpc,
    settings::Settings,
    supervisor::{StopSignals, Supervisor},
    up::{self, Fitting},
};

/// Anvil's ninth account deploys, deposits for the others, and pays the relayers.
const OPERATOR_KEY: B256 = b256!("dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97");
/// Block interval in milliseconds: short, for many heights.
const BLOCK_INTERVAL_MS: u64 = 500;
/// Blocks between checkpoints.
const CHECKPOINT_INTERVAL: u64 = 10;
/// Coin deposited for each development account.
const DEPOSIT_COINS: u64 = 500;

/// Everything that runs. Dropping it kills the processes and unmounts the disks.
#[derive(Debug)]
pub struct Ground {
    /// The nodes.
    pub supervisor: Supervisor,
    /// The parent.
    pub anvil: Anvil,
    /// The links.
    pub relay: Relay,
    /// Switches of the faults inside each node.
    pub switches: Vec<Switches>,
    /// The data directory that can become full: the last validator's.
    pub small_disk: SmallDisk,
    /// The validators' names.
    pub names: Vec<String>,
    /// JSON-RPC of each.
    pub rpcs: Vec<Rpc>,
    /// The content of `testnet.json`.
    pub record: TestnetRecord,
    /// Ports to which only the relay may connect.
    pub p2p_ports: BTreeSet<u16>,
    directory: Directory,
    _lock: Lock,
}

impl Ground {
    /// Starts everything in a directory of its own, after removing leftovers of an earlier run.
    ///
    /// # Errors
    /// When another run holds the directory, or something does not start.
    pub async fn start(args: &ChaosArgs, seed: u64) -> eyre::Result<Self> {
        let directory = Directory::new(&args.dir)?;
        directory.create()?;
        let lock = directory.lock()?;
        sweep(&directory)?;
        directory.clean()?;
        let anvil = Anvil::start(directory.root().join("anvil")).await?;
        let mut processes: Vec<u32> = anvil.pid().into_iter().collect();
        remember(&directory, &processes)?;
        let up = up_args(args, anvil.url());
        let names = Settings::resolve(&directory, &up)?.names();
        let ports = up::assign_ports(&directory, &names, None)?;
        let p2p: Vec<u16> = names.iter().filter_map(|name| ports.get(name)).map(|ports| ports.p2p).collect();
        let targets: Vec<SocketAddr> = p2p.iter().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).collect();
        let relay = Relay::start(&targets, seed).wrap_err("cannot start the relay")?;
        let preload = Preload::compile(directory.root())?;
        let (mut switches, mut environment) = (Vec::new(), BTreeMap::new());
        for (from, name) in names.iter().enumerate() {
            let own = Switches::create(&directory.root().join(format!("{name}.switches")))?;
            let redirects = p2p.iter().enumerate().filter_map(|(to, port)| Some((*port, relay.port(from, to)?)));
            environment.insert(name.clone(), preload.environment(&own, &redirects.collect::<Vec<_>>()));
            switches.push(own);
        }
        let last = names.last().ok_or_else(|| eyre!("no validators"))?;
        let small_disk = SmallDisk::new(&directory.validator(last).join("data"), !args.rootless)?;
        let mut supervisor = Supervisor::new(directory.clone());
        let fitting = Fitting { tcp_only: true, environment };
        let record = up::build(&directory, &up, &mut supervisor, &fitting).await?;
        supervisor.publish(record.clone())?;
        processes.extend(names.iter().filter_map(|name| supervisor.pid(name)));
        remember(&directory, &processes)?;
        let rpcs = record.rpc.iter().map(|url| Rpc::new(url)).collect::<eyre::Result<_>>()?;
        let p2p_ports = p2p.into_iter().collect();
        let mut ground = Self {
            supervisor,
            anvil,
            relay,
            switches,
            small_disk,
            names,
            rpcs,
            record,
            p2p_ports,
            directory,
            _lock: lock,
        };
        ground.remember_processes()?;
        Ok(ground)
    }

    /// A validator by its number.
    ///
    /// # Errors
    /// When it is empty.
    pub fn node(&mut self, node: usize) -> eyre::Result<&mut Node> {
        let name = self.names.get(node).ok_or_else(|| eyre!("there is no validator {node}"))?;
        self.supervisor.node(name)
    }

    /// Process ids of the validators that run.
    pub fn pids(&self) -> Vec<(usize, u32)> {
        let named = self.names.iter().enumerate();
        named.filter_map(|(node, name)| Some((node, self.supervisor.pid(name)?))).collect()
    }

    /// Writes down the processes, so that the next run can end them when this one is killed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember_processes(&mut self) -> eyre::Result<()> {
        let processes: Vec<u32> = self.pids().into_iter().map(|(_, pid)| pid).chain(self.anvil.pid()).collect();
        remember(&self.directory, &processes)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        self.directory.root()
    }

    /// Stops everything in order.
    ///
    /// # Errors
    /// When a process cannot be ended.
    pub async fn stop(mut self, again: &mut StopSignals) -> eyre::Result<()> {
        self.relay.heal();
        self.supervisor.stop(again).await?;
        self.anvil.stop().await?;
        forget(&self.directory)
    }
}

fn up_args(args: &ChaosArgs, parent: String) -> UpArgs {
    UpArgs {
        validators: Some(args.validators),
        parent: Some(parent),
        parent_key: Some(OPERATOR_KEY),
        deposit: Some(DEPOSIT_COINS),
        dir: args.dir.clone(),
        clean: false,
        detach: false,
        block_interval_ms: Some(BLOCK_INTERVAL_MS),
        checkpoint_interval: Some(CHECKPOINT_INTERVAL),
        gas_limit: None,
        epoch_length: None,
        unbonding_seconds: None,
        downtime_window: None,
        jail_seconds: None,
        relayers: None,
        background: false,
        exit_with_parent: None,
    }
}

/// A process, identified by its id and the moment of its start, because ids are reused.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: u32,
    started: u64,
}

fn processes_file(directory: &Directory) -> std::path::PathBuf {
    directory.run().join("chaos.json")
}

/// The kernel's clock ticks at which a process started.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the start is the 20th field after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn remember(directory: &Directory, pids: &[u32]) -> eyre::Result<()> {
    let processes = pids.iter().filter_map(|pid| Some(Process { pid: *pid, started: started(*pid)? }));
    let text = serde_json::to_string(&processes.collect::<Vec<_>>())?;
    std::fs::write(processes_file(directory), text).wrap_err("cannot write down what runs")
}

fn forget(directory: &Directory) -> eyre::Result<()> {
    std::fs::remove_file(processes_file(directory)).wrap_err("cannot remove the list of what runs")
}

/// Ends processes and removes mounts that a killed run left behind. This run holds the lock, so the earlier one has ended.
fn sweep(directory: &Directory) -> eyre::Result<()> {
    let text = std::fs::read_to_string(processes_file(directory)).unwrap_or_default();
    let left: Vec<Process> = serde_json::from_str(&text).unwrap_or_default();
    for process in left.iter().filter(|process| started(process.pid) == Some(process.started)) {
        tracing::warn!("process {} of an earlier run still runs: it is killed", process.pid);
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(process.pid)?), Signal::SIGKILL)
            .wrap_err("cannot kill a process of an earlier run")?;
    }
    let mounts = disk::sweep(directory.root())?;
    if mounts > 0 {
        tracing::warn!("{mounts} mounts of an earlier run are taken away");
    }
    Ok(())
}

/// The auditor's binary, beside this one.
///
/// # Errors
/// When it is not there.
pub fn auditor() -> eyre::Result<std::path::PathBuf> {
    let auditor = node::binary()?.with_file_name("peg-audit");
    eyre::ensure!(auditor.exists(), "{} is missing: cargo build --release -p causeway-peg-audit", auditor.display());
    Ok(auditor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_killed_run_left_is_swept_and_a_stranger_with_its_process_id_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(&parent.path().join("net")).unwrap();
        directory.create().unwrap();
        let sleeper = || Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let (mut left, mut stranger) = (sleeper(), sleeper());
        let known = |pid| Process { pid, started: started(pid).unwrap() };
        let list = [known(left.id()), Process { started: 1, ..known(stranger.id()) }];
        std::fs::write(processes_file(&directory), serde_json::to_string(&list).unwrap()).unwrap();
        sweep(&directory).unwrap();
        assert!(!left.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
