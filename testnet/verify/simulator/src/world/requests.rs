//! Requests between machines for catching up.

use causeway::{handle::Event as NodeEvent, serve};
use causeway_consensus::PeerToken;
use causeway_network::{SyncRequest, SyncResponse};

use super::{
    World,
    event::{Event, Life},
};
use crate::{
    Violation,
    setup::{machine_of, token},
};

/// A request without an answer fails after this long.
const REQUEST_TIMEOUT_MS: u64 = 10_000;

impl World {
    /// A node asks a peer.
    pub(super) fn ask(&mut self, index: usize, peer: PeerToken, request: SyncRequest) {
        self.coverage.hit("sync_request");
        let from = self.life(index);
        let to = machine_of(peer);
        let reachable = to < self.machines.len() && self.machines[to].is_up();
        let passage = if reachable { self.network.pass(&mut self.streams.network, index, to).arrives_ms } else { None };
        match passage {
            Some(delay_ms) => {
                let to = self.life(to);
                self.schedule.after(delay_ms, Event::Request { to, from, request });
            }
            None => {
                let failed = Event::Node(from, Box::new(NodeEvent::RequestFailed { from: peer }));
                self.schedule.after(REQUEST_TIMEOUT_MS, failed);
            }
        }
    }

    /// A request arrives at a peer, which answers it from its database.
    pub(super) fn asked(&mut self, to: Life, from: Life, request: &SyncRequest) -> Result<(), Violation> {
        let answer = self.answer(to, request)?;
        let passage = self.network.pass(&mut self.streams.network, to.machine, from.machine).arrives_ms;
        let peer = token(to.machine);
        let (event, delay_ms) = match (answer, passage) {
            (Some(answer), Some(delay_ms)) => {
                let bytes = borsh::to_vec(&answer).expect("writing to memory cannot fail");
                let answer: SyncResponse = borsh::from_slice(&bytes).expect("what a node encodes, its peers decode");
                self.trace.note((self.now_ms, to.machine, from.machine, bytes.len()));
                (NodeEvent::answered(peer, answer), delay_ms)
            }
            _ => (NodeEvent::RequestFailed { from: peer }, REQUEST_TIMEOUT_MS),
        };
        self.schedule.after(delay_ms, Event::Node(from, Box::new(event)));
        Ok(())
    }

    fn answer(&mut self, to: Life, request: &SyncRequest) -> Result<Option<SyncResponse>, Violation> {
        if !self.is_current(to) {
            return Ok(None);
        }
        let Some(storage) = self.machines[to.machine].storage() else { return Ok(None) };
        let honest = serve::answer(storage, request)
            .map_err(|error| self.violation(to.machine, "storage", format!("it cannot answer a peer: {error}")))?;
        let Some(mut strategy) = self.machines[to.machine].strategy.take() else { return Ok(Some(honest)) };
        let (mut context, _) = self.context(to.machine);
        let answer = strategy.answer(&mut context, request, honest);
        self.machines[to.machine].strategy = Some(strategy);
        Ok(answer)
    }
}
