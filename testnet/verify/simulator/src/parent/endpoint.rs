//! A JSON-RPC endpoint: it answers request bodies, under the endpoint's faults.

use serde_json::Value;

use super::{
    chain::Chain,
    faults::{BranchId, EndpointFaults, Lie},
    lies,
    rpc::{self, Refused, Reply, Request, View},
};

/// An endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoint {
    pub(super) faults: EndpointFaults,
}

impl Endpoint {
    /// The branch it follows instead of the chain.
    pub(super) fn followed(&self) -> Option<BranchId> {
        match self.faults.lie {
            Some(Lie::Branch(id)) => Some(id),
            _ => None,
        }
    }

    /// The part of `chain` that it shows.
    pub(super) fn view<'a>(&'a self, chain: &'a Chain, chain_id: u64) -> View<'a> {
        let newest = chain.head().height;
        let head = newest.saturating_sub(self.faults.lag).min(self.faults.stalled_at.unwrap_or(u64::MAX));
        View {
            chain,
            head,
            indexed: head.saturating_sub(self.faults.unindexed),
            max_log_range: self.faults.max_log_range,
            chain_id,
            lie: self.faults.lie.as_ref(),
        }
    }
}

/// Answers a body, single or batch; `answer` answers one method with its parameters.
pub(super) fn serve(lie: Option<&Lie>, body: &[u8], mut answer: impl FnMut(&str, &Value) -> Reply) -> Vec<u8> {
    if lie == Some(&Lie::NotJsonRpc) {
        return b"<html>\0 it works </html>".to_vec();
    }
    let mut one = |request: &Request| {
        let honest = answer(&request.method, &request.params);
        rpc::response(&request.id, &lies::reply(lie, honest))
    };
    let text = if body.first() == Some(&b'[') {
        match serde_json::from_slice::<Vec<Request>>(body) {
            Ok(batch) => format!("[{}]", batch.iter().map(one).collect::<Vec<_>>().join(",")),
            Err(_) => unreadable(),
        }
    } else {
        serde_json::from_slice::<Request>(body).map_or_else(|_| unreadable(), |request| one(&request))
    };
    text.into_bytes()
}

fn unreadable() -> String {
    rpc::response(&Value::Null, &Err(Refused::new(-32_700, "parse error")))
}
