//! The criteria for logs: parsed as in geth, limited in size, and counted against a budget while a filter keeps them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use causeway_storage::LogFilter;
use serde::Deserialize;

use crate::config::RpcLimits;
use crate::errors::Fault;

/// Most topics of a log, and so most positions of a filter.
const MAX_POSITIONS: usize = 4;

/// A log query in JSON. As in geth, unknown fields are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LogQuery {
    pub(crate) from_block: Option<BlockNumberOrTag>,
    pub(crate) to_block: Option<BlockNumberOrTag>,
    pub(crate) block_hash: Option<B256>,
    address: Option<OneOrMany<Address>>,
    topics: Option<Vec<Option<OneOrMany<Option<B256>>>>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(term) => vec![term],
            Self::Many(terms) => terms,
        }
    }
}

/// Addresses and topics to match. An empty position matches everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Criteria {
    addresses: Terms<Address>,
    topics: Vec<Terms<B256>>,
}

/// The alternatives for one position, with the bloom bits of each.
#[derive(Debug, Clone)]
struct Terms<T> {
    terms: BTreeSet<T>,
    blooms: Vec<Bloom>,
}

impl<T> Default for Terms<T> {
    fn default() -> Self {
        Self { terms: BTreeSet::new(), blooms: Vec::new() }
    }
}

impl<T: Ord + AsRef<[u8]>> Terms<T> {
    fn new(terms: Vec<T>, limit: usize) -> Result<Self, Fault> {
        if terms.len() > limit {
            return Err(Fault::InvalidParams(format!("exceed max addresses or topics per search position: {limit}")));
        }
        let terms: BTreeSet<T> = terms.into_iter().collect();
        let blooms = terms.iter().map(|term| Bloom::from(BloomInput::Raw(term.as_ref()))).collect();
        Ok(Self { terms, blooms })
    }

    fn matches(&self, value: &T) -> bool {
        self.terms.is_empty() || self.terms.contains(value)
    }

    fn may_match(&self, bloom: &Bloom) -> bool {
        self.blooms.is_empty() || self.blooms.iter().any(|bits| bloom.contains(bits))
    }
}

impl Criteria {
    /// `terms_per_position` limits the addresses, and the topics of each position.
    ///
    /// # Errors
    /// [`Fault::InvalidParams`] for more than four positions, or too many addresses or topics in one position.
    pub(crate) fn new(query: LogQuery, terms_per_position: usize) -> Result<Self, Fault> {
        let addresses = query.address.map(OneOrMany::into_vec).unwrap_or_default();
        let addresses = Terms::new(addresses, terms_per_position)?;
        let positions = query.topics.unwrap_or_default();
        if positions.len() > MAX_POSITIONS {
            return Err(Fault::InvalidParams(format!("exceed max topics: {MAX_POSITIONS}")));
        }
        let topics = positions
            .into_iter()
            .map(|position| {
                let alternatives = position.map(OneOrMany::into_vec).unwrap_or_default();
                // A null among the alternatives makes the position match everything.
                let terms = alternatives.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default();
                Terms::new(terms, terms_per_position)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { addresses, topics })
    }

    /// A cheap test on the bloom filter of a block. `false` means that no log of the block matches.
    pub(crate) fn may_match(&self, bloom: &Bloom) -> bool {
        self.addresses.may_match(bloom) && self.topics.iter().all(|terms| terms.may_match(bloom))
    }

    /// Whether a log matches. As in geth, criteria with more positions than the log has topics do not match it.
    pub(crate) fn matches(&self, log: &Log) -> bool {
        let topics = log.topics();
        self.topics.len() <= topics.len()
            && self.addresses.matches(&log.address)
            && self.topics.iter().zip(topics).all(|(terms, topic)| terms.matches(topic))
    }

    /// The same criteria for storage.
    pub(crate) fn to_filter(&self) -> LogFilter {
        LogFilter {
            addresses: self.addresses.terms.iter().copied().collect(),
            topics: self.topics.iter().map(|position| position.terms.iter().copied().collect()).collect(),
        }
    }

    fn terms(&self) -> usize {
        self.topics.iter().map(|terms| terms.terms.len()).sum::<usize>().saturating_add(self.addresses.terms.len())
    }
}

/// The addresses and topics that all installed filters and subscriptions keep in memory, counted against one limit.
#[derive(Debug, Clone)]
pub(crate) struct TermBudget {
    held: Arc<AtomicUsize>,
    limit: usize,
}

/// Criteria that a filter or subscription keeps. Dropping them gives their share of the budget back.
#[derive(Debug)]
pub(crate) struct HeldCriteria {
    criteria: Criteria,
    budget: TermBudget,
}

impl std::ops::Deref for HeldCriteria {
    type Target = Criteria;

    fn deref(&self) -> &Criteria {
        &self.criteria
    }
}

impl TermBudget {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        Self { held: Arc::default(), limit: limits.filter_terms }
    }

    /// Takes the share of `criteria` from the budget. It comes back when the answer is dropped.
    ///
    /// # Errors
    /// [`Fault::Limit`] when too little is left.
    pub(crate) fn hold(&self, criteria: Criteria) -> Result<HeldCriteria, Fault> {
        let (terms, limit) = (criteria.terms(), self.limit);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(terms).filter(|sum| *sum <= limit)
            })
            .map_err(|_| {
                Fault::Limit(format!("filters and subscriptions together hold more than {limit} addresses and topics"))
            })?;
        Ok(HeldCriteria { criteria, budget: self.clone() })
    }
}

impl Drop for HeldCriteria {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.criteria.terms(), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{LogData, U256};

    fn parse(text: &str) -> Result<Criteria, Fault> {
        Criteria::new(serde_json::from_str(text).unwrap(), 1_000)
    }

    fn addresses(count: u64) -> String {
        let all: Vec<_> = (0..count).map(|i| Address::left_padding_from(&i.to_be_bytes())).collect();
        format!("{{\"address\":{}}}", serde_json::to_string(&all).unwrap())
    }

    #[test]
    fn a_position_holds_a_thousand_terms_and_no_more() {
        parse(&addresses(1_000)).unwrap();
        let error = parse(&addresses(1_001)).unwrap_err();
        assert_eq!(error.to_string(), "exceed max addresses or topics per search position: 1000");
        assert_eq!(parse("{\"topics\":[[],[],[],[],[]]}").unwrap_err().to_string(), "exceed max topics: 4");
    }

    #[test]
    fn the_budget_is_given_back() {
        let budget = TermBudget::new(&RpcLimits::default());
        let criteria = parse(&addresses(1_000)).unwrap();
        let held: Vec<_> = (0..500).map(|_| budget.hold(criteria.clone()).unwrap()).collect();
        assert!(matches!(budget.hold(criteria.clone()), Err(Fault::Limit(_))));
        drop(held);
        budget.hold(criteria).unwrap();
    }

    #[test]
    fn unknown_fields_and_nulls_are_ignored() {
        let criteria = parse("{\"limit\":5,\"address\":null,\"topics\":null,\"fromBlock\":null}").unwrap();
        assert!(criteria.matches(&Log::default()));
    }

    #[test]
    fn topics_match_by_position_and_null_matches_all() {
        let topic = |n: u8| B256::from(U256::from(n));
        let log =
            Log { address: Address::ZERO, data: LogData::new_unchecked(vec![topic(1), topic(2)], Default::default()) };
        let (one, two, zero, other) = (topic(1), topic(2), Address::ZERO, Address::repeat_byte(1));
        let mut bloom = Bloom::ZERO;
        bloom.accrue_log(&log);
        for (text, expected) in [
            ("{}".to_owned(), true),
            ("{\"topics\":[]}".to_owned(), true),
            (format!("{{\"topics\":[\"{one}\"]}}"), true),
            (format!("{{\"topics\":[\"{two}\"]}}"), false),
            (format!("{{\"topics\":[null,\"{two}\"]}}"), true),
            (format!("{{\"topics\":[[],\"{two}\"]}}"), true),
            (format!("{{\"topics\":[[null],\"{two}\"]}}"), true),
            (format!("{{\"topics\":[[\"{two}\",\"{one}\"],[\"{two}\"]]}}"), true),
            (format!("{{\"topics\":[null,null,\"{one}\"]}}"), false),
            // More positions than topics never match, even if the additional ones are null.
            ("{\"topics\":[null,null,null]}".to_owned(), false),
            (format!("{{\"address\":\"{zero}\"}}"), true),
            (format!("{{\"address\":[\"{other}\"]}}"), false),
            (format!("{{\"address\":[\"{other}\",\"{zero}\"]}}"), true),
        ] {
            let criteria = parse(&text).unwrap();
            assert_eq!(criteria.matches(&log), expected, "{text}");
            assert!(!expected || criteria.may_match(&bloom), "{text}");
        }
        assert!(!parse(&format!("{{\"address\":[\"{other}\"]}}")).unwrap().may_match(&bloom));
    }
}
