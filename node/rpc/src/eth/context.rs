//! The state that only methods of `eth_*` need: installed filters, the suggested tip, the feed of committed blocks.

use std::sync::Arc;

use crate::api::Api;
use crate::eth::head_feed::HeadFeed;
use crate::eth::installed_filters::Filters;
use crate::eth::log_criteria::TermBudget;
use crate::eth::tip_cache::TipCache;

/// The state that the methods of filters, subscriptions and fees share.
pub(crate) struct EthContext {
    pub(crate) api: Arc<Api>,
    pub(crate) filters: Filters,
    pub(crate) terms: TermBudget,
    pub(crate) tip: TipCache,
    pub(crate) heads: HeadFeed,
}

impl EthContext {
    /// Connects the feed to storage: from now on it receives every committed block.
    pub(crate) fn new(api: Arc<Api>) -> Self {
        let heads = HeadFeed::new(api.limits.subscriber_lag);
        let feed = heads.clone();
        api.ctx.storage.on_commit(Box::new(move |executed| feed.committed(executed)));
        Self {
            filters: Filters::new(&api.limits),
            terms: TermBudget::new(&api.limits),
            tip: TipCache::default(),
            heads,
            api,
        }
    }
}

impl AsRef<Api> for EthContext {
    fn as_ref(&self) -> &Api {
        &self.api
    }
}
