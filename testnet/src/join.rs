//! `testnet/node add`: a node that joins a running testnet. It follows the chain until its operator registers it as a validator.

use std::{path::Path, time::Duration};

use alloy_primitives::{B256, U64};
use causeway_genesis::{SecretKey, keys, keys::KeyRole};
use eyre::{ensure, eyre};
use serde::Deserialize;
use serde_json::json;

use crate::{
    accounts,
    chain::{self, ValidatorKeys},
    cli::{NodeArgs, NodeCommand},
    control::{self, Request},
    directory::Directory,
    node::{self, Node, Trust},
    node_files::NodeSettings,
    peg::Parent,
    ports::{NodePorts, Ports},
    record::{TestnetRecord, ValidatorRecord},
    rpc::Rpc,
    settings::{AddedNode, Settings},
    supervisor::PARENT,
};

/// Longest name of a node.
const MAX_NAME_BYTES: usize = 32;
/// Deadline for a validator to return its newest block.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// A node that is ready to start.
#[derive(Debug)]
pub struct Joined {
    /// The process.
    pub node: Node,
    /// Text for the person who added it.
    pub text: String,
    record: ValidatorRecord,
    settings: Settings,
}

impl Joined {
    /// Adds the node to the testnet's record, and to its settings, so that each later `up` starts it.
    pub fn remember(&self, directory: &Directory, record: &mut TestnetRecord) -> eyre::Result<()> {
        self.settings.save(directory)?;
        record.rpc.push(self.record.rpc.clone());
        record.ws.push(self.record.rpc.replacen("http", "ws", 1));
        record.validators.push(self.record.clone());
        Ok(())
    }
}

/// Asks the launcher for a node.
pub async fn run(args: &NodeArgs) -> eyre::Result<()> {
    let NodeCommand::Add(args) = &args.command;
    let request = Request::Add { node: args.name.clone(), relay: args.relay };
    say(&control::ask(&Directory::new(&args.dir)?, &request).await?);
    Ok(())
}

/// Prepares keys, ports, settings and the data directory of a node that joins. Files of a failed attempt are used again.
pub async fn prepare(directory: &Directory, record: &TestnetRecord, name: &str, relay: bool) -> eyre::Result<Joined> {
    let mut settings = Settings::load(directory)?;
    check_name(name, &settings)?;
    let dir = directory.validator(name);
    let keys = chain::joiner_keys(name, &dir, settings.added.len())?;
    let mut ports = Ports::load(&directory.ports())?;
    for line in ports.assign(&[name.to_owned()], None)? {
        tracing::info!("{line}");
    }
    ports.save(&directory.ports())?;
    let own = ports.get(name).ok_or_else(|| eyre!("{name} has no ports"))?;
    settings.added.push(AddedNode { name: name.to_owned(), relay });
    if relay {
        pay_relayer(directory, record, &keys).await?;
    }
    let bootnodes = record.validators.iter().map(|validator| validator.p2p.clone()).collect();
    let mut file = NodeSettings::new(name, own, bootnodes, settings.block_interval_ms);
    file.watch_parent(&record.parent.rpc);
    if let Some(position) = settings.relayer_position(name) {
        file.relay(position)?;
    }
    let binary = node::binary()?;
    node::prepare(&binary, &dir, &file, &directory.genesis()).await?;
    let (rpc, trust) = head(record).await?;
    let p2p = node::multiaddr(&binary, &dir, own).await?;
    let joined = node_record(&keys, p2p, own, &dir);
    let text = text(&joined, &rpc);
    Ok(Joined { node: Node::new(name, dir, binary, trust), text, record: joined, settings })
}

/// The entry of `testnet.json` for a node of the sidechain.
pub fn node_record(keys: &ValidatorKeys, p2p: String, ports: NodePorts, dir: &Path) -> ValidatorRecord {
    ValidatorRecord {
        name: keys.name.clone(),
        address: keys.operator,
        rpc: format!("http://127.0.0.1:{}", ports.rpc),
        p2p,
        metrics: format!("http://127.0.0.1:{}/metrics", ports.metrics),
        pid: None,
        dir: dir.to_owned(),
    }
}

fn check_name(name: &str, settings: &Settings) -> eyre::Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed),
        "{name:?} is no name of a node: use 1 to {MAX_NAME_BYTES} of a-z, 0-9 and '-'"
    );
    let taken = name == PARENT || settings.names().iter().any(|other| other == name);
    ensure!(!taken, "there is a node {name} already: choose another name");
    Ok(())
}

/// A node that answers, and its newest block: the launcher knows its nodes, so the new one may trust it.
async fn head(record: &TestnetRecord) -> eyre::Result<(String, Trust)> {
    #[derive(Debug, Deserialize)]
    struct Head {
        number: U64,
        hash: B256,
    }
    for validator in record.validators.iter().filter(|validator| validator.pid.is_some()) {
        let rpc = Rpc::new(&validator.rpc)?;
        let asked = rpc.call::<Head>("eth_getBlockByNumber", json!(["latest", false]));
        match tokio::time::timeout(HEAD_PATIENCE, asked).await {
            Ok(Ok(head)) => {
                let trust = Trust::Checkpoint { height: head.number.to(), hash: head.hash };
                return Ok((validator.rpc.clone(), trust));
            }
            Ok(Err(error)) => tracing::debug!("the new node asks another validator: {error:#}"),
            Err(_) => tracing::debug!("{} does not answer; the new node asks another validator", validator.name),
        }
    }
    Err(eyre!("no validator answers: start one with testnet/fault restart"))
}

/// Gives a relayer coin on the parent, from the launcher's account there.
async fn pay_relayer(directory: &Directory, record: &TestnetRecord, keys: &ValidatorKeys) -> eyre::Result<()> {
    let path = directory.operator_key();
    let payer: SecretKey =
        keys::load_file(&path, KeyRole::Peg)?.ok_or_else(|| eyre!("{} is missing", path.display()))?;
    let parent = Parent::connect(&record.parent.rpc, accounts::signer(&B256::from(*payer.expose()))).await?;
    parent.pay_relayers(&[keys.relayer]).await
}

/// The next step for the operator. The command is sent to a node that is certainly at the head.
fn text(joined: &ValidatorRecord, rpc: &str) -> String {
    let ValidatorRecord { name, rpc: own, dir, .. } = joined;
    let (dir, key) = (dir.display(), chain::operator_key(dir).display().to_string());
    format!(
        "{name} follows the chain at {own}. To make it a validator:\n  \
         causeway stake register --rpc {rpc} --dir {dir} --key-file {key} --self-bond 100000"
    )
}

#[allow(clippy::print_stdout)] // the command's answer to the person who typed it
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn names_are_short_plain_and_new() {
        let Command::Up(args) = Cli::parse_from(["testnet", "up", "--validators", "2"]).command else { panic!() };
        let settings = Settings::choose(&args).unwrap();
        for wrong in ["", "Validator", "a/b", "..", "parent", "validator-1", &"a".repeat(33)] {
            assert!(check_name(wrong, &settings).is_err(), "{wrong}");
        }
        check_name("validator-2", &settings).unwrap();
    }
}
