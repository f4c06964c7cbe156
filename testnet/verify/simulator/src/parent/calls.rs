//! Calls that several watchers make at one block are run once.

use std::{cell::RefCell, collections::BTreeMap};

use alloy_primitives::{Address, B256, Bytes, U256};

use super::evm::{Call, End};

/// Most results remembered.
const MAX_CALLS: usize = 256;

/// The block at whose end a call ran, and the call: from, to, value, input.
type Key = (B256, Address, Option<Address>, U256, Bytes);

/// Results of calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(RefCell<BTreeMap<Key, End>>);

impl Calls {
    /// The result of `call` at `block`, from memory or from `run`.
    ///
    /// # Errors
    /// Those of `run`; errors are not remembered.
    pub(super) fn get(
        &self,
        block: B256,
        call: &Call,
        run: impl FnOnce() -> Result<End, String>,
    ) -> Result<End, String> {
        let key = (block, call.from, call.kind.to().copied(), call.value, call.input.clone());
        if let Some(end) = self.0.borrow().get(&key) {
            return Ok(end.clone());
        }
        let end = run()?;
        let mut known = self.0.borrow_mut();
        if known.len() >= MAX_CALLS {
            known.clear();
        }
        known.insert(key, end.clone());
        Ok(end)
    }
}
