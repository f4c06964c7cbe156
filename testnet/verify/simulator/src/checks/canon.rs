//! The canonical chain: for each height the block of the first honest node that made it durable. By I1 all others have the same.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Header;
use alloy_primitives::B256;
use causeway_execution::ExecutedBlock;
use causeway_genesis::{Genesis, Rules};

use super::{members::Members, mirror::Mirror};

/// The record of a decided height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The block's hash.
    pub hash: B256,
    /// The root of the state after it.
    pub state_root: B256,
    /// Its timestamp, seconds.
    pub timestamp: u64,
    /// Time at which the first honest node made it durable, milliseconds since the world began.
    pub at_ms: u64,
}

/// The chain up to the highest durable block of an honest node.
#[derive(Debug)]
pub struct Canon {
    /// The chain's rules.
    pub genesis: Arc<Genesis>,
    decided: BTreeMap<u64, Decided>,
    head: Header,
    /// The state after the head.
    pub mirror: Mirror,
    /// Validator sets, by the first height that they decide.
    sets: BTreeMap<u64, Arc<Members>>,
}

impl Canon {
    /// The chain at its genesis.
    ///
    /// # Errors
    /// When the genesis state names no validators, or its root differs from the header's.
    pub fn new(genesis: Arc<Genesis>) -> Result<Self, String> {
        let mirror = Mirror::genesis(&genesis);
        let (root, expected) = (mirror.root()?, genesis.header.state_root);
        if root != expected {
            return Err(format!("the genesis state has the root {root}, its header names {expected}"));
        }
        let first = Decided { hash: genesis.hash, state_root: expected, timestamp: genesis.header.timestamp, at_ms: 0 };
        let sets = BTreeMap::from([(1, Arc::new(Members::of_next(&mirror)?))]);
        let head = genesis.header.clone();
        Ok(Self { genesis, decided: BTreeMap::from([(0, first)]), head, mirror, sets })
    }

    /// The rules of the block at `height`.
    ///
    /// # Panics
    /// When this build does not know them: a plan has none such.
    pub fn rules(&self, height: u64) -> &Rules {
        self.genesis.rules(height).expect("plans change rules within this build's vocabulary")
    }

    /// The greatest decided height.
    pub fn height(&self) -> u64 {
        self.head.number
    }

    /// The header at it.
    pub fn head(&self) -> &Header {
        &self.head
    }

    /// The record of a height.
    pub fn at(&self, height: u64) -> Option<&Decided> {
        self.decided.get(&height)
    }

    /// The set that decides a height, which is at most the one after the head.
    pub fn members(&self, height: u64) -> Option<&Arc<Members>> {
        if height > self.height() + 1 {
            return None;
        }
        self.sets.range(..=height).next_back().map(|(_, set)| set)
    }

    /// Appends the block after the head. Returns whether a new epoch begins with the height after it.
    ///
    /// # Errors
    /// When the block's changes do not fit the state before it, or leave no valid set.
    pub(crate) fn advance(&mut self, executed: &ExecutedBlock, at_ms: u64) -> Result<bool, String> {
        let header = &executed.block.header;
        self.mirror.apply(&executed.diff)?;
        let next = Members::of_next(&self.mirror)?;
        let next_height = header.number + 1;
        let known = self.sets.last_key_value().map(|(_, set)| set.clone());
        let rotated = known.is_none_or(|known| *known != next);
        if rotated {
            self.sets.insert(next_height, Arc::new(next));
        }
        let (hash, state_root, timestamp) = (executed.hash, header.state_root, header.timestamp);
        self.decided.insert(header.number, Decided { hash, state_root, timestamp, at_ms });
        self.head = header.clone();
        Ok(rotated)
    }
}
