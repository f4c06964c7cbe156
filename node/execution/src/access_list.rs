//! `eth_createAccessList`: what a call touches, as an EIP-2930 list that makes those touches warm.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::Header;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, U256};
use causeway_genesis::addresses::REWARD_POOL;
use revm::{
    Database,
    context_interface::{ContextTr, JournalTr},
    handler::PrecompileProvider,
};

use crate::{
    call::{CALL_GAS_CAP, CallError, CallRequest, CallResult, call_evm, check_request, run_call},
    executor::Executor,
    fault::LocalError,
    overrides::Overrides,
    state::StateSource,
};

/// A list changes gas, gas may change what is touched: after this many rounds the list is what it is.
const MAX_ROUNDS: usize = 8;

/// What a call touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessListResult {
    /// Accounts and slots in ascending order.
    pub access_list: AccessList,
    /// Gas used with the list in place.
    pub gas_used: u64,
    /// Why the call failed, if it did; the list then holds what it touched until then.
    pub error: Option<String>,
}

type Touched = BTreeMap<Address, BTreeSet<U256>>;

impl Executor {
    /// The access list of `request`, grown until it covers what the call touches when it is given that list.
    ///
    /// Left out as in geth, unless slots of them are touched: the sender, the callee and the precompiles, which are warm
    /// anyway.
    ///
    /// # Errors
    /// [`CallError`] when the call cannot start.
    pub fn create_access_list(
        &self,
        header: &Header,
        state: &dyn StateSource,
        request: &CallRequest,
        overrides: &Overrides,
    ) -> Result<AccessListResult, CallError> {
        check_request(request, overrides)?;
        let setting = self.setting(header.number)?;
        let gas = request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
        let mut touched = touched_by(request.access_list.as_ref());
        let mut request = request.clone();
        let mut rounds = 0usize;
        loop {
            rounds = rounds.saturating_add(1);
            request.access_list = Some(list_of(&touched));
            let mut evm = call_evm(setting, header, state, &request, overrides);
            let from = request.from.unwrap_or_default();
            let callee = match request.to {
                Some(to) => to,
                None => {
                    let account = evm.ctx.db_mut().basic(from).map_err(LocalError::Source)?;
                    from.create(account.map_or(0, |account| account.nonce))
                }
            };
            let (result, _) = run_call(&mut evm, &request, gas)?;
            let mut grown = touched.clone();
            for (address, account) in evm.ctx.journal_mut().finalize() {
                // The pool is loaded for the fee, after the call.
                let warm = evm.precompiles.warm_addresses().contains(&address);
                let implied = warm || address == from || address == callee || address == REWARD_POOL;
                if implied && account.storage.is_empty() {
                    continue;
                }
                grown.entry(address).or_default().extend(account.storage.keys().copied());
            }
            if grown == touched || rounds >= MAX_ROUNDS {
                let (gas_used, error) = match result {
                    CallResult::Success { gas_used, .. } => (gas_used, None),
                    CallResult::Revert { gas_used, .. } => (gas_used, Some("execution reverted".into())),
                    CallResult::Halt { gas_used, reason, .. } => (gas_used, Some(reason)),
                };
                return Ok(AccessListResult { access_list: list_of(&grown), gas_used, error });
            }
            touched = grown;
        }
    }
}

fn touched_by(list: Option<&AccessList>) -> Touched {
    let mut touched = Touched::new();
    for item in list.iter().flat_map(|list| list.iter()) {
        let slots = item.storage_keys.iter().map(|key| U256::from_be_bytes(key.0));
        touched.entry(item.address).or_default().extend(slots);
    }
    touched
}

fn list_of(touched: &Touched) -> AccessList {
    let item = |(address, slots): (&Address, &BTreeSet<U256>)| AccessListItem {
        address: *address,
        storage_keys: slots.iter().map(|slot| B256::from(*slot)).collect(),
    };
    AccessList(touched.iter().map(item).collect())
}
