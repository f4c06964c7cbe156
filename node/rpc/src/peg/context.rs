//! The state that only methods of `peg_*` need: data that proofs and sums keep between calls.

use std::sync::Arc;

use crate::api::Api;
use crate::peg::burned_total::BurnedTotal;
use crate::peg::withdrawal_proofs::WithdrawalProofs;

/// The state of withdrawal proofs and of the summary.
pub(crate) struct PegContext {
    pub(crate) api: Arc<Api>,
    pub(crate) proofs: WithdrawalProofs,
    pub(crate) burned: BurnedTotal,
}

impl PegContext {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api, proofs: WithdrawalProofs::default(), burned: BurnedTotal::default() }
    }
}

impl AsRef<Api> for PegContext {
    fn as_ref(&self) -> &Api {
        &self.api
    }
}
