//! Requests to an endpoint and answers from it, with their delays and losses.

use alloy_primitives::Bytes;
use causeway_parent::{Answer, ExchangeError};
use serde_json::Value;

use super::{
    Parent, endpoint,
    faults::{Lie, Outage},
    rpc,
    wire::{Exchanged, Posted, Slot},
};

/// An event at its time.
#[derive(Debug)]
pub(super) enum Due {
    /// A request arrives; its answer fills the slot in time, or is too late.
    Serve {
        endpoint: usize,
        body: Vec<u8>,
        max_bytes: usize,
        answer: Option<(u64, Slot<Exchanged>)>,
    },
    Fill(Slot<Exchanged>, Exchanged),
    Wake(Slot<()>),
}

impl Parent {
    fn enqueue(&mut self, due_ms: u64, due: Due) {
        self.posted += 1;
        self.queue.insert((due_ms, self.posted), due);
    }

    pub(super) fn empty_mailbox(&mut self) {
        let (posted, sleeps) = {
            let mut mailbox = self.mailbox.lock();
            (std::mem::take(&mut mailbox.posted), std::mem::take(&mut mailbox.sleeps))
        };
        for (due_ms, slot) in sleeps {
            self.enqueue(due_ms, Due::Wake(slot));
        }
        for posted in posted {
            self.send_off(posted);
        }
    }

    /// Sends a request.
    fn send_off(&mut self, posted: Posted) {
        let Posted { sent_ms, machine, endpoint, body, deadline_ms, max_bytes, slot } = posted;
        let (least, most) = self.plan.latency_ms;
        let mut trip_ms = self.rng.between(least, most);
        let place = endpoint.strip_prefix("parent-").and_then(|place| place.parse().ok());
        let found = place.filter(|_| !self.cut_off.contains(&machine)).and_then(|at: usize| {
            let endpoint = self.endpoints.get(at)?;
            Some((at, &endpoint.faults))
        });
        let late = Err(ExchangeError::Deadline(u128::from(deadline_ms)));
        let failure = match found.map(|(_, faults)| faults.outage) {
            None | Some(Some(Outage::Refused)) => Err(ExchangeError::Connection("connection refused".to_owned())),
            Some(Some(Outage::Silent)) => {
                trip_ms = deadline_ms;
                late
            }
            Some(Some(Outage::Status(status))) => Ok(Answer { status, body: b"<html>try later</html>".to_vec() }),
            Some(None) => {
                let (endpoint, faults) = found.expect("an endpoint without an outage is one");
                trip_ms = trip_ms.saturating_add(faults.slow_ms);
                let in_time = trip_ms <= deadline_ms;
                let answer = if in_time {
                    Some((sent_ms.saturating_add(trip_ms), slot))
                } else {
                    // It arrives and is served nevertheless.
                    self.counters.unanswered += 1;
                    self.enqueue(sent_ms.saturating_add(deadline_ms), Due::Fill(slot, late));
                    None
                };
                let arrives_ms = sent_ms.saturating_add(trip_ms / 2);
                self.enqueue(arrives_ms, Due::Serve { endpoint, body, max_bytes, answer });
                return;
            }
        };
        self.counters.unanswered += 1;
        self.enqueue(sent_ms.saturating_add(trip_ms), Due::Fill(slot, failure));
    }

    /// Handles the due events.
    pub(super) fn take(&mut self, due: Due) {
        match due {
            Due::Wake(slot) => slot.fill(()),
            Due::Fill(slot, exchanged) => slot.fill(exchanged),
            Due::Serve { endpoint, body, max_bytes, answer } => {
                let body = self.serve(endpoint, &body);
                let Some((due_ms, slot)) = answer else { return };
                let faults = &self.endpoints[endpoint].faults;
                let exchanged = if self.rng.percent(faults.cut_percent) {
                    self.counters.unanswered += 1;
                    Err(ExchangeError::Connection("connection reset".to_owned()))
                } else if body.len() > max_bytes || faults.lie == Some(Lie::TooLong) {
                    Err(ExchangeError::TooLarge(max_bytes))
                } else {
                    Ok(Answer { status: 200, body })
                };
                self.enqueue(due_ms, Due::Fill(slot, exchanged));
            }
        }
    }

    /// An endpoint's answer to a request body.
    pub(super) fn serve(&mut self, endpoint: usize, body: &[u8]) -> Vec<u8> {
        self.counters.requests += 1;
        let lie = self.endpoints[endpoint].faults.lie.clone();
        self.counters.lied_to += u64::from(lie.is_some());
        endpoint::serve(lie.as_ref(), body, |method, params| self.answer(endpoint, method, params))
    }

    fn answer(&mut self, endpoint: usize, method: &str, params: &Value) -> rpc::Reply {
        if method == "eth_sendRawTransaction" {
            let raw: Bytes = rpc::parameter(params, 0)?;
            let hash = self.submit_raw(&raw).map_err(|refused| rpc::Refused::new(-32_000, refused.to_string()))?;
            return Ok(format!("\"{hash}\""));
        }
        let endpoint = &self.endpoints[endpoint];
        let branch = endpoint.followed().and_then(|id| self.branches.get(&id));
        endpoint.view(branch.unwrap_or(&self.chain), self.plan.chain_id).answer(method, params)
    }
}
