//! The sizes of the federation's buffers, and their limits.

use causeway_peg::{
    attestations::{ACKNOWLEDGEMENTS_OF_ONE, CHECKPOINTS_AHEAD, CHECKPOINTS_BEHIND, VIEW_WINDOW},
    deposit::MAX_DEPOSITS_PER_VIEW,
};

use super::{Federation, MAX_ATTESTED, MAX_UNACKNOWLEDGED, MAX_WAITING_DEPOSITS};

impl Federation {
    /// The sizes of the buffers. Cheap. Each with its name, its size and its limit.
    pub fn sizes(&self) -> Vec<(&'static str, usize, usize)> {
        let views = as_usize(VIEW_WINDOW);
        // An update that arrives while there is room is stored completely.
        let deposits = MAX_WAITING_DEPOSITS.saturating_add(as_usize(MAX_DEPOSITS_PER_VIEW));
        let checkpoints = as_usize(CHECKPOINTS_BEHIND.saturating_add(CHECKPOINTS_AHEAD));
        let of_one = views.saturating_add(checkpoints).saturating_add(ACKNOWLEDGEMENTS_OF_ONE);
        let members = self.progress.set.len();
        vec![
            ("deposits not minted", self.deposits.len(), deposits),
            ("views of deposits not minted", self.views.len(), deposits),
            ("views signed and not minted", self.signs.views.len(), views),
            ("attestations gathered", self.attestations.len(), of_one.saturating_mul(members)),
            ("own attestations remembered", self.attested.len(), MAX_ATTESTED),
            ("checkpoints not recorded", self.progress.unrecorded.len(), checkpoints),
            ("commitments not acknowledged", self.progress.commitments.len(), as_usize(MAX_UNACKNOWLEDGED)),
        ]
    }
}

fn as_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
