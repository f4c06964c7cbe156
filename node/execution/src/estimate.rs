//! `eth_estimateGas` as geth does it: the least gas limit with which the call succeeds, within 1.5 %.

use std::borrow::Cow;

use alloy_consensus::Header;
use alloy_primitives::{Bytes, U256};
use causeway_genesis::addresses::STAKING;
use revm::{Database, context_interface::ContextTr};
use thiserror::Error;

use crate::{
    call::{CALL_GAS_CAP, CallError, CallRequest, CallResult, call_evm, check_request, run_call},
    evm::{ChainEvm, Setting},
    executor::Executor,
    fault::LocalError,
    hooks, limits,
    overrides::Overrides,
    state::StateSource,
};

/// The search stops when the answer is known to one part in this many (geth: 0.015).
const ERROR_PARTS: u64 = 66;

/// Why there is no estimate.
#[derive(Debug, Error)]
pub enum EstimateError {
    /// The call cannot start.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The call reverts whatever the gas.
    #[error("execution reverted")]
    Reverted(Bytes),
    /// The call halts whatever the gas.
    #[error("{0}")]
    Halted(String),
    /// More gas is needed than the sender, the request or the block allows.
    #[error("gas required exceeds allowance ({0})")]
    ExceedsAllowance(u64),
}

impl Executor {
    /// The gas limit to send `request` with.
    ///
    /// # Errors
    /// [`EstimateError`].
    pub fn estimate_gas(
        &self,
        header: &Header,
        state: &dyn StateSource,
        request: &CallRequest,
        overrides: &Overrides,
    ) -> Result<u64, EstimateError> {
        check_request(request, overrides)?;
        let overrides = Cow::Borrowed(overrides);
        // The transaction will run in the next block at the earliest.
        let setting = self.setting(header.number.saturating_add(1)).map_err(CallError::from)?;
        let transfer_gas = limits::least_gas(setting.rules);
        let mut probe = Probe { setting, header, state, request, overrides, stakes: false };
        let mut high = match request.gas {
            Some(gas) if gas >= transfer_gas => gas,
            _ => probe.overrides.block.gas_limit.unwrap_or(setting.rules.block.gas_limit),
        };
        high = high.min(CALL_GAS_CAP).min(setting.rules.transaction_gas_cap().unwrap_or(u64::MAX));
        high = high.min(probe.affordable_gas()?);

        if probe.is_plain_transfer()?
            && high >= transfer_gas
            && let Ok((CallResult::Success { .. }, _)) = probe.run(transfer_gas)
        {
            return Ok(transfer_gas);
        }

        let mut first = probe.run(high);
        if probe.stakes {
            probe.look_ahead()?;
            first = probe.run(high);
        }
        let (used, refund) = match first {
            Ok((CallResult::Success { gas_used, .. }, refund)) => (gas_used, refund),
            Ok((CallResult::Revert { output, .. }, _)) => return Err(EstimateError::Reverted(output)),
            Ok((CallResult::Halt { out_of_gas: true, .. }, _)) => return Err(EstimateError::ExceedsAllowance(high)),
            Ok((CallResult::Halt { reason, .. }, _)) => return Err(EstimateError::Halted(reason)),
            Err(CallError::IntrinsicGas { .. }) => return Err(EstimateError::ExceedsAllowance(high)),
            Err(error) => return Err(error.into()),
        };
        let mut low = used.saturating_sub(1);
        // What was used, plus what EIP-150 holds back at each call, is right nearly always.
        let guess =
            used.saturating_add(refund).saturating_add(limits::call_stipend(setting.rules)).saturating_mul(64) / 63;
        if guess < high {
            if probe.succeeds(guess)? {
                high = guess;
            } else {
                low = guess;
            }
        }
        while low.saturating_add(1) < high {
            if high.saturating_sub(low) < high / ERROR_PARTS {
                break;
            }
            // Most transactions need little: look near the low end first.
            let middle = (low.saturating_add(high) / 2).min(low.saturating_mul(2));
            if probe.succeeds(middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }
}

struct Probe<'a> {
    setting: Setting<'a>,
    header: &'a Header,
    state: &'a dyn StateSource,
    request: &'a CallRequest,
    overrides: Cow<'a, Overrides>,
    /// Whether the last run read staking slots.
    stakes: bool,
}

impl Probe<'_> {
    fn evm(&self) -> ChainEvm<'_> {
        call_evm(self.setting, self.header, self.state, self.request, &self.overrides)
    }

    fn run(&mut self, gas: u64) -> Result<(CallResult, u64), CallError> {
        let mut evm = self.evm();
        let result = run_call(&mut evm, self.request, gas);
        let stakes = evm.ctx.journal_ref().state.get(&STAKING).is_some_and(|module| !module.storage.is_empty());
        drop(evm);
        self.stakes = stakes;
        result
    }

    /// Lets further runs see the staking slots as the next block's hooks will have left them: with rewards handed out since, an
    /// action has more to settle than it has now, and an estimate for now would be too low.
    fn look_ahead(&mut self) -> Result<(), CallError> {
        let upcoming = hooks::upcoming_stake(self.setting, self.header, self.state)?;
        let module = self.overrides.to_mut().state.accounts.entry(STAKING).or_default();
        // Who replaces the whole storage means that one, and a replaced slot is meant, too.
        if module.state.is_none() {
            for (slot, value) in upcoming {
                module.state_diff.entry(slot).or_insert(value);
            }
        }
        Ok(())
    }

    fn succeeds(&mut self, gas: u64) -> Result<bool, CallError> {
        match self.run(gas) {
            Ok((result, _)) => Ok(matches!(result, CallResult::Success { .. })),
            Err(CallError::IntrinsicGas { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gas the sender can pay at its fee cap after sending the value; unlimited for a free call.
    fn affordable_gas(&self) -> Result<u64, CallError> {
        let fee_cap = self.request.fee_cap();
        if fee_cap == 0 {
            return Ok(u64::MAX);
        }
        let from = self.request.from.unwrap_or_default();
        let balance = self
            .evm()
            .ctx
            .db_mut()
            .basic(from)
            .map_err(LocalError::Source)?
            .map_or(U256::ZERO, |account| account.balance);
        let available = balance.checked_sub(self.request.value).ok_or(CallError::InsufficientFunds {
            from,
            balance,
            cost: self.request.value,
        })?;
        Ok(u64::try_from(available / U256::from(fee_cap)).unwrap_or(u64::MAX))
    }

    fn is_plain_transfer(&self) -> Result<bool, CallError> {
        let Some(to) = self.request.to else { return Ok(false) };
        if !self.request.input.is_empty()
            || self.request.access_list.is_some()
            || !self.request.authorization_list.is_empty()
        {
            return Ok(false);
        }
        let account = self.evm().ctx.db_mut().basic(to).map_err(LocalError::Source)?;
        Ok(account.is_none_or(|account| account.is_empty_code_hash()))
    }
}
