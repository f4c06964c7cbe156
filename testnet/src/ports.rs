//! Ports of the testnet: the preferred ones, or free ones instead, and the same ones again after a restart.
//!
//! While a node is down, another testnet of this machine must not take its ports: its peers would ask a node of another
//! chain for blocks. So each launcher locks every port that it has assigned, for as long as it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, TryLockError},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    sync::{Mutex, PoisonError},
};

use eyre::WrapErr as _;
use serde::{Deserialize, Serialize};

/// First JSON-RPC port of the validators.
const RPC_FIRST: u16 = 8545;
/// First port of the peer-to-peer network (TCP and UDP).
const P2P_FIRST: u16 = 30_303;
/// First metrics port.
const METRICS_FIRST: u16 = 9090;
/// The embedded parent's ports start this far above the validators'.
const PARENT_OFFSET: u16 = 1000;
/// Number of ports tried above the preferred one. After them the system chooses one.
const NEARBY: u16 = 200;

/// Directory with the lock files of all launchers of this machine, below the directory for temporary files.
const LOCKS: &str = "causeway-testnet-ports";
/// The locks of this process. The system releases them when the process ends.
static HELD: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());

/// Ports of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePorts {
    /// JSON-RPC over HTTP and WebSocket.
    pub rpc: u16,
    /// Peers, TCP and UDP.
    pub p2p: u16,
    /// Prometheus metrics.
    pub metrics: u16,
}

/// Remembered ports by node name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ports {
    nodes: BTreeMap<String, NodePorts>,
}

impl Ports {
    /// Reads the remembered ports: none when there is no file yet.
    pub fn load(file: &Path) -> eyre::Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).wrap_err_with(|| format!("{} is damaged", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).wrap_err_with(|| format!("cannot read {}", file.display())),
        }
    }

    /// Remembers the ports.
    pub fn save(&self, file: &Path) -> eyre::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text).wrap_err_with(|| format!("cannot write {}", file.display()))
    }

    /// Ports of a node.
    pub fn get(&self, name: &str) -> Option<NodePorts> {
        self.nodes.get(name).copied()
    }

    /// Gives each of `names` its remembered ports where they are free now, and free ones where they are not.
    /// Returns a line for each port that was moved.
    pub fn assign(&mut self, names: &[String], parent: Option<&str>) -> eyre::Result<Vec<String>> {
        let mut taken: BTreeSet<u16> = self.others(names, parent);
        let mut moved = Vec::new();
        let slots = names.iter().enumerate().map(|(index, name)| (index, name.as_str(), 0));
        let slots = slots.chain(parent.map(|name| (0, name, PARENT_OFFSET)));
        for (index, name, offset) in slots {
            let index = u16::try_from(index).wrap_err("too many nodes for the ports of one machine")?;
            let wanted = self.get(name).unwrap_or(NodePorts {
                rpc: RPC_FIRST + offset + index,
                p2p: P2P_FIRST + offset + index,
                metrics: METRICS_FIRST + offset + index,
            });
            let ports = NodePorts {
                rpc: choose(wanted.rpc, &mut taken)?,
                p2p: choose(wanted.p2p, &mut taken)?,
                metrics: choose(wanted.metrics, &mut taken)?,
            };
            let pairs = [("JSON-RPC", wanted.rpc, ports.rpc), ("p2p", wanted.p2p, ports.p2p)];
            for (what, from, to) in pairs.into_iter().filter(|(_, from, to)| from != to) {
                moved.push(format!("port {from} is taken: {what} of {name} is at {to}"));
            }
            self.nodes.insert(name.to_owned(), ports);
        }
        Ok(moved)
    }

    fn others(&self, names: &[String], parent: Option<&str>) -> BTreeSet<u16> {
        let ours = |name: &str| names.iter().any(|other| other == name) || parent == Some(name);
        let others = self.nodes.iter().filter(|(name, _)| !ours(name));
        others.flat_map(|(_, ports)| [ports.rpc, ports.p2p, ports.metrics]).collect()
    }
}

fn choose(wanted: u16, taken: &mut BTreeSet<u16>) -> eyre::Result<u16> {
    let nearby = wanted..wanted.saturating_add(NEARBY);
    let near = nearby.into_iter().find(|port| !taken.contains(port) && is_free(*port) && hold(*port));
    let port = match near {
        Some(port) => port,
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).wrap_err("no free port")?.local_addr()?.port(),
    };
    taken.insert(port);
    Ok(port)
}

/// Takes the port for this process, unless another launcher has it. Where locks cannot be made, a port counts as taken only when a process listens on it.
fn hold(port: u16) -> bool {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if held.contains_key(&port) {
        return true;
    }
    let directory = std::env::temp_dir().join(LOCKS);
    let lock = std::fs::create_dir_all(&directory)
        .and_then(|()| File::options().create(true).append(true).open(directory.join(port.to_string())));
    match lock.map(|file| (file.try_lock(), file)) {
        Ok((Ok(()), file)) => {
            held.insert(port, file);
            true
        }
        Ok((Err(TryLockError::WouldBlock), _)) => false,
        Ok((Err(TryLockError::Error(_)), _)) | Err(_) => true,
    }
}

/// Whether nobody listens on the port, on loopback or on all interfaces.
pub fn is_free(port: u16) -> bool {
    let free = |ip: Ipv4Addr| {
        let address = SocketAddr::from((ip, port));
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    free(Ipv4Addr::LOCALHOST) && free(Ipv4Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("validator-{index}")).collect()
    }

    #[test]
    fn no_port_is_given_twice() {
        let mut ports = Ports::default();
        ports.assign(&names(4), Some("parent")).unwrap();
        let all: Vec<u16> = ports.nodes.values().flat_map(|node| [node.rpc, node.p2p, node.metrics]).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 15);
    }

    #[test]
    fn a_taken_port_is_moved_and_said_so() {
        let mut ports = Ports::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        ports.nodes.insert("validator-0".into(), NodePorts { rpc: taken, p2p: 1, metrics: 1 });
        let moved = ports.assign(&names(1), None).unwrap();
        assert_ne!(ports.get("validator-0").unwrap().rpc, taken);
        assert!(moved.iter().any(|line| line.contains(&taken.to_string())), "{moved:?}");
    }

    #[test]
    fn a_port_that_another_launcher_has_given_is_left_alone() {
        let directory = std::env::temp_dir().join(LOCKS);
        std::fs::create_dir_all(&directory).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let theirs = File::options().create(true).append(true).open(directory.join(port.to_string())).unwrap();
        theirs.try_lock().unwrap();
        drop(listener);
        assert!(!hold(port), "its node is down, and the port is its all the same");
        drop(theirs);
        assert!(hold(port) && hold(port), "its launcher is gone");
    }

    #[test]
    fn free_ports_are_kept_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ports.json");
        let mut first = Ports::load(&file).unwrap();
        first.assign(&names(2), Some("parent")).unwrap();
        first.save(&file).unwrap();
        assert_eq!(Ports::load(&file).unwrap(), first);
        std::fs::write(&file, "{").unwrap();
        assert!(Ports::load(&file).is_err());
    }
}
