//! Which logs a caller wants: parsed as geth parses it, bounded, and paid for from a common budget while it is held.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use causeway_storage::LogFilter;
use serde::Deserialize;

use crate::errors::Fault;

/// Addresses, or topics in one position, of one filter (as in geth).
pub(crate) const MAX_TERMS_PER_POSITION: usize = 1_000;
/// Addresses and topics that all filters and subscriptions together may hold.
pub(crate) const MAX_TERMS_HELD: usize = 500_000;
/// Topics of a log, hence positions of a filter.
const MAX_POSITIONS: usize = 4;

/// A log query as callers write it. Unknown fields are ignored, as geth does.
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

/// Alternatives for one position, with the bloom bits of each.
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
    fn new(terms: Vec<T>) -> Result<Self, Fault> {
        if terms.len() > MAX_TERMS_PER_POSITION {
            return Err(Fault::InvalidParams(format!(
                "exceed max addresses or topics per search position: {MAX_TERMS_PER_POSITION}"
            )));
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
    /// # Errors
    /// [`Fault::InvalidParams`] when there are too many positions, or alternatives in one.
    pub(crate) fn new(query: LogQuery) -> Result<Self, Fault> {
        let addresses = Terms::new(query.address.map(OneOrMany::into_vec).unwrap_or_default())?;
        let positions = query.topics.unwrap_or_default();
        if positions.len() > MAX_POSITIONS {
            return Err(Fault::InvalidParams(format!("exceed max topics: {MAX_POSITIONS}")));
        }
        let topics = positions
            .into_iter()
            .map(|position| {
                let alternatives = position.map(OneOrMany::into_vec).unwrap_or_default();
                // A null among the alternatives makes the position match everything.
                Terms::new(alternatives.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { addresses, topics })
    }

    /// A cheap test on a block's bloom: `false` means that none of its logs matches.
    pub(crate) fn may_match(&self, bloom: &Bloom) -> bool {
        self.addresses.may_match(bloom) && self.topics.iter().all(|terms| terms.may_match(bloom))
    }

    /// Whether a log matches, wherever it is. A filter with more positions than the log has topics does not (as in geth).
    pub(crate) fn matches(&self, log: &Log) -> bool {
        let topics = log.topics();
        self.topics.len() <= topics.len()
            && self.addresses.matches(&log.address)
            && self.topics.iter().zip(topics).all(|(terms, topic)| terms.matches(topic))
    }

    /// The same as storage takes it.
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

/// The memory that installed filters and subscriptions may take in all.
#[derive(Debug, Clone, Default)]
pub(crate) struct TermBudget {
    held: Arc<AtomicUsize>,
}

/// Criteria that a filter or subscription keeps; their part of the budget is given back on drop.
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
    /// Takes what `criteria` need for as long as the answer lives.
    ///
    /// # Errors
    /// [`Fault::Limit`] when nothing is left.
    pub(crate) fn hold(&self, criteria: Criteria) -> Result<HeldCriteria, Fault> {
        let terms = criteria.terms();
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(terms).filter(|sum| *sum <= MAX_TERMS_HELD)
            })
            .map_err(|_| {
                Fault::Limit(format!(
                    "filters and subscriptions together hold more than {MAX_TERMS_HELD} addresses and topics"
                ))
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
        Criteria::new(serde_json::from_str(text).unwrap())
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
        let budget = TermBudget::default();
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
            // More positions than topics never match, even when the rest is null.
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
