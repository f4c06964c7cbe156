//! Performs the faults of the schedule, one after the other, and repairs them.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    time::Duration,
};

use eyre::eyre;
use nix::sys::signal::Signal;
use serde::Serialize;
use tokio::time::Instant;

use crate::chaos::{
    ground::Ground,
    observe::Court,
    relay::{Condition, Cut},
    resources::{self, Sample},
    schedule::{Class, Entry, Fault},
};

/// Pause between two checks of the processes while waiting.
const SLICE: Duration = Duration::from_millis(100);
/// Time between two samples of memory and descriptors.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// How long a node may run on a broken disk: it writes at every block, twice a second.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait until all nodes are at the head again. The bounds in the report are lower.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(60);
/// A chunk that left the relay just before the cut may still arrive in this time.
const UNDER_WAY: Duration = Duration::from_millis(200);
/// The system's error texts that a node must log about its broken disk.
const DISK_WORDS: [&str; 4] = ["No space left on device", "Input/output error", "os error 28", "os error 5"];

/// The outcome of a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// When it began, in milliseconds since the run's start.
    pub at_ms: u64,
    /// Its class.
    pub class: Class,
    /// What was done.
    pub what: String,
    /// Time until it was repaired and all nodes had recovered, in milliseconds.
    pub took_ms: u64,
    /// An observation, if there is one.
    pub note: Option<String>,
}

/// Breaks and repairs a testnet.
#[derive(Debug)]
pub struct Injector<'a> {
    ground: &'a mut Ground,
    court: Court,
    /// Samples of each node.
    pub samples: Vec<Vec<Sample>>,
    /// The machine's load at each sample.
    pub load: Vec<f64>,
    sampled: Option<Instant>,
    /// Nodes that this injector has stopped.
    down: Vec<usize>,
}

impl<'a> Injector<'a> {
    /// Nothing is broken yet.
    pub fn new(ground: &'a mut Ground, court: Court) -> Self {
        let samples = vec![Vec::new(); ground.names.len()];
        Self { ground, court, samples, load: Vec::new(), sampled: None, down: Vec::new() }
    }

    /// Performs a fault, repairs it, waits until all nodes have recovered, and then for the quiet time after it.
    ///
    /// # Errors
    /// When the fault could not be performed. That says nothing about the chain.
    pub async fn perform(&mut self, index: usize, entry: &Entry) -> eyre::Result<Done> {
        let began = self.court.now();
        if entry.may_stop(self.ground.names.len()) {
            self.court.judge().excuse(began);
        }
        let note = self.act(index, entry).await?;
        let deadline = Instant::now() + RECOVERY_PATIENCE;
        while self.court.judge().waits_for().is_some() && Instant::now() < deadline {
            self.wait(SLICE).await?;
        }
        self.court.judge().give_up(self.court.now());
        let took = self.court.now().saturating_sub(began);
        self.wait(Duration::from_millis(entry.quiet_ms)).await?;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(Done { at_ms: ms(began), class: entry.class, what: entry.to_string(), took_ms: ms(took), note })
    }

    async fn act(&mut self, index: usize, entry: &Entry) -> eyre::Result<Option<String>> {
        let lasts = Duration::from_millis(entry.ms);
        let mut note = None;
        let returning = match &entry.fault {
            Fault::Kill(nodes) => {
                self.down.clone_from(nodes);
                // All signals are sent first, so that the nodes die at the same moment.
                for node in nodes {
                    self.ground.node(*node)?.signal(Signal::SIGKILL)?;
                }
                for node in nodes {
                    self.ground.node(*node)?.kill().await?;
                }
                self.wait(lasts).await?;
                self.start(nodes)?;
                nodes.clone()
            }
            Fault::Pause(nodes) => {
                for node in nodes {
                    self.ground.node(*node)?.signal(Signal::SIGSTOP)?;
                }
                self.wait(lasts).await?;
                for node in nodes {
                    self.ground.node(*node)?.signal(Signal::SIGCONT)?;
                }
                nodes.clone()
            }
            Fault::Cut(nodes, cut) => {
                let (away, crossed) = self.cut(nodes, *cut, lasts).await?;
                note = Some(crossed);
                away
            }
            Fault::OneWay(from) => {
                for to in (0..self.ground.names.len()).filter(|to| to != from) {
                    let silent = Condition { cut: Some(Cut::Silent), ..Condition::default() };
                    self.ground.relay.set(*from, to, silent);
                }
                self.wait(lasts).await?;
                self.ground.relay.heal();
                vec![*from]
            }
            Fault::Delay(delay_ms, jitter_ms) => {
                let slow = Condition { delay_ms: *delay_ms, jitter_ms: *jitter_ms, ..Condition::default() };
                self.whole_network(slow, lasts).await?;
                Vec::new()
            }
            Fault::Loss(loss) => {
                self.whole_network(Condition { loss: *loss, ..Condition::default() }, lasts).await?;
                Vec::new()
            }
            Fault::DiskFull(node) => {
                note = Some(self.broken_disk(*node, None, lasts).await?);
                vec![*node]
            }
            Fault::SyncFails(node, more) => {
                note = Some(self.broken_disk(*node, Some(*more), lasts).await?);
                vec![*node]
            }
            Fault::ParentHangs => {
                self.ground.anvil.hang()?;
                self.wait(lasts).await?;
                self.ground.anvil.resume()?;
                Vec::new()
            }
            Fault::ParentGone => {
                self.ground.anvil.stop().await?;
                self.wait(lasts).await?;
                self.ground.anvil.come_back().await?;
                self.ground.remember_processes()?;
                Vec::new()
            }
            Fault::ParentReorg(depth) => {
                let (head, last) = self.ground.anvil.reorganise(*depth).await?;
                note = Some(format!("below head {head}, block {last} was final and stayed"));
                Vec::new()
            }
        };
        self.court.judge().repaired(self.court.now(), index, &returning);
        Ok(note)
    }

    async fn whole_network(&mut self, condition: Condition, lasts: Duration) -> eyre::Result<()> {
        self.ground.relay.set_all(condition);
        self.wait(lasts).await?;
        self.ground.relay.heal();
        Ok(())
    }

    /// Cuts the nodes off from the others, and watches that nothing crosses. Returns the nodes without a quorum, and how many bytes crossed.
    async fn cut(&mut self, nodes: &[usize], cut: Cut, lasts: Duration) -> eyre::Result<(Vec<usize>, String)> {
        let others: Vec<usize> = (0..self.ground.names.len()).filter(|node| !nodes.contains(node)).collect();
        let across = nodes.iter().flat_map(|a| others.iter().flat_map(move |b| [(*a, *b), (*b, *a)]));
        let across: Vec<(usize, usize)> = across.collect();
        for (from, to) in &across {
            self.ground.relay.set(*from, *to, Condition { cut: Some(cut), ..Condition::default() });
        }
        let quorum = |side: &[usize]| side.len().saturating_mul(3) > self.ground.names.len().saturating_mul(2);
        let stand_still = [nodes, others.as_slice()].into_iter().filter(|side| !quorum(side));
        let stand_still: Vec<usize> = stand_still.flatten().copied().collect();
        self.court.judge().cut_off(self.court.now(), &stand_still);
        self.wait(UNDER_WAY.min(lasts)).await?;
        let carried = |ground: &Ground| across.iter().map(|(from, to)| ground.relay.carried(*from, *to)).sum::<u64>();
        let before = carried(self.ground);
        self.wait(lasts.saturating_sub(UNDER_WAY)).await?;
        let crossed = carried(self.ground).saturating_sub(before);
        if crossed > 0 {
            self.court.violate("a cut is a cut", format!("{crossed} bytes crossed between {nodes:?} and {others:?}"));
        }
        self.ground.relay.heal();
        Ok((stand_still, format!("{crossed} bytes crossed")))
    }

    /// Breaks a node's disk, waits until it stops, and starts it again on a healthy one.
    async fn broken_disk(&mut self, node: usize, syncs: Option<u32>, lasts: Duration) -> eyre::Result<String> {
        let log = self.ground.node(node)?.log();
        let said_before = std::fs::metadata(&log).map_or(0, |about| about.len());
        self.down = vec![node];
        let switches = self.ground.switches.get(node).ok_or_else(|| eyre!("validator {node} has no switches"))?;
        match syncs {
            Some(more) => switches.fail_syncs(more)?,
            None => self.ground.small_disk.fill(switches)?,
        }
        let (began, deadline) = (Instant::now(), Instant::now() + STOP_PATIENCE);
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            self.wait(SLICE).await?;
            status = self.ground.node(node)?.ended()?;
        }
        let stopped_ms = began.elapsed().as_millis();
        if status.is_none() {
            let seen = format!("validator-{node} still runs {} s after its disk broke", STOP_PATIENCE.as_secs());
            self.court.violate("a broken disk stops the node", seen);
            self.ground.node(node)?.kill().await?;
        }
        self.wait(lasts).await?;
        let said = text_from(&log, said_before);
        let reason = said.lines().rfind(|line| DISK_WORDS.iter().any(|words| line.contains(words)));
        if reason.is_none() && status.is_some() {
            let last = said.lines().last().unwrap_or_default();
            self.court.violate("a node says why it stops", format!("validator-{node}, at last: {last:?}"));
        }
        let switches = self.ground.switches.get(node).ok_or_else(|| eyre!("validator {node} has no switches"))?;
        match syncs {
            Some(_) => switches.heal()?,
            None => self.ground.small_disk.heal(switches)?,
        }
        self.start(&[node])?;
        let ended = status.map_or_else(|| "killed".to_owned(), |status| status.to_string());
        Ok(format!("stopped after {stopped_ms} ms ({ended}): {}", reason.unwrap_or("without a reason").trim()))
    }

    fn start(&mut self, nodes: &[usize]) -> eyre::Result<()> {
        for node in nodes {
            self.ground.node(*node)?.start()?;
        }
        self.down.clear();
        self.ground.remember_processes()
    }

    /// Waits, and meanwhile checks the processes: none may end by itself, and none may connect past the relay.
    ///
    /// # Errors
    /// When a process cannot be inspected.
    pub async fn wait(&mut self, time: Duration) -> eyre::Result<()> {
        let until = Instant::now() + time;
        loop {
            self.look()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }

    fn look(&mut self) -> eyre::Result<()> {
        for node in 0..self.ground.names.len() {
            if self.down.contains(&node) {
                continue;
            }
            if let Some(status) = self.ground.node(node)?.ended()? {
                let tail = self.ground.node(node)?.log_tail();
                self.court.violate("no node ends by itself", format!("validator-{node} ended ({status}):\n{tail}"));
                self.start(&[node])?;
            }
        }
        if self.sampled.is_some_and(|at| at.elapsed() < SAMPLE_EVERY) {
            return Ok(());
        }
        self.sampled = Some(Instant::now());
        self.load.push(resources::load_average());
        for (node, pid) in self.ground.pids() {
            let direct = resources::direct_connections(pid, &self.ground.p2p_ports);
            if direct > 0 {
                let seen = format!("validator-{node} has {direct} connections past the relay");
                self.court.violate("every link runs over the relay", seen);
            }
            if let (Some(samples), Some(sample)) = (self.samples.get_mut(node), Sample::take(self.court.now(), pid)) {
                samples.push(sample);
            }
        }
        Ok(())
    }
}

/// The text appended to a log after its first `from` bytes.
fn text_from(log: &std::path::Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}
