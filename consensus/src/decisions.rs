//! Recently decided heights, kept so that a stale message of a lagging peer is answered with certificate and block (pitfall
//! 15).

use std::collections::BTreeMap;

use alloy_primitives::Bytes;

use crate::MAX_KEPT_BYTES;
use crate::certificate::CommitCertificate;
use crate::height::Height;
use crate::message::DecisionNotice;

struct Kept {
    notice: DecisionNotice,
    since_ms: u64,
}

/// The last decided heights, bounded in number and bytes.
pub(crate) struct Decisions {
    kept: BTreeMap<Height, Kept>,
    bytes: usize,
    most: usize,
}

impl Decisions {
    pub(crate) fn new(most: usize) -> Self {
        Self { kept: BTreeMap::new(), bytes: 0, most: most.max(1) }
    }

    /// Keeps a decision and drops the oldest ones beyond the limits. The newest one always stays.
    pub(crate) fn keep(&mut self, certificate: CommitCertificate, body: Bytes, now_ms: u64) {
        let height = certificate.height;
        if self.kept.contains_key(&height) {
            return;
        }
        self.bytes = self.bytes.saturating_add(body.len());
        self.kept.insert(height, Kept { notice: DecisionNotice { certificate, body }, since_ms: now_ms });
        while self.kept.len() > self.most || (self.bytes > MAX_KEPT_BYTES && self.kept.len() > 1) {
            let Some((_, oldest)) = self.kept.pop_first() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.notice.body.len());
        }
    }

    /// Total bytes of the kept bodies.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The decision of `height` and the time at which it was kept.
    pub(crate) fn get(&self, height: Height) -> Option<(&DecisionNotice, u64)> {
        self.kept.get(&height).map(|kept| (&kept.notice, kept.since_ms))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::height::Round;
    use crate::proposal::MAX_BLOCK_BYTES;
    use alloy_primitives::B256;

    fn certificate(height: u64) -> CommitCertificate {
        CommitCertificate { height: Height(height), round: Round(0), block_hash: B256::ZERO, signatures: Vec::new() }
    }

    #[test]
    fn decisions_are_bounded_in_number_and_bytes() {
        let mut decisions = Decisions::new(3);
        for height in 1..=5 {
            decisions.keep(certificate(height), Bytes::from_static(b"x"), height);
        }
        assert!(decisions.get(Height(2)).is_none());
        assert_eq!(decisions.get(Height(5)).unwrap().1, 5);

        let mut decisions = Decisions::new(1000);
        let body = Bytes::from(vec![0; MAX_BLOCK_BYTES]);
        for height in 1..=40 {
            decisions.keep(certificate(height), body.clone(), 0);
        }
        let most = (MAX_KEPT_BYTES / MAX_BLOCK_BYTES) as u64;
        assert!(decisions.get(Height(40 - most)).is_none());
        assert!(decisions.get(Height(41 - most)).is_some());
    }
}
