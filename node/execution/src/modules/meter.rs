//! One call into a native module: metered access to the journal.

use alloy_primitives::{Address, Bytes, Log, LogData, U256};
use alloy_sol_types::{Revert, SolError};
use causeway_genesis::{
    addresses::{REWARD_POOL, SYSTEM},
    rules::ModulePrices,
};
use revm::{
    context_interface::{
        Block as _, Cfg as _, ContextTr, JournalTr,
        journaled_state::{JournalLoadError, account::JournaledAccountTr},
    },
    interpreter::{CallInputs, Gas, gas::LOG},
};

use crate::{context::Ctx, state::SourceError};

/// Why a module call ends without output.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The caller's fault; unused gas returns.
    Revert(Bytes),
    /// All gas is gone.
    OutOfGas,
    /// Local state could not be read: no verdict on anything.
    Fatal(String),
}

/// Revert data `Error(reason)`, as `require` gives it.
pub(crate) fn revert_reason(reason: &str) -> Bytes {
    Revert::from(reason).abi_encode().into()
}

impl Stop {
    fn load(error: JournalLoadError<SourceError>) -> Self {
        match error {
            JournalLoadError::ColdLoadSkipped => Self::OutOfGas,
            JournalLoadError::DBError(error) => Self::Fatal(error.to_string()),
        }
    }
}

/// A call into a module, with what the module may know of it.
pub(crate) struct ModuleCall<'c, 'a> {
    ctx: &'c mut Ctx<'a>,
    gas: Gas,
    address: Address,
    /// Whose storage the module works on.
    storage: Address,
    prices: ModulePrices,
    caller: Address,
    value: U256,
    is_static: bool,
    system: bool,
    /// Whether slots cost nothing from here on.
    free_slots: bool,
}

impl<'c, 'a> ModuleCall<'c, 'a> {
    /// A call to the module at `inputs`' address, whose state is the storage of `storage`.
    pub(crate) fn new(
        ctx: &'c mut Ctx<'a>,
        inputs: &CallInputs,
        storage: Address,
        prices: &ModulePrices,
        system: bool,
    ) -> Self {
        Self {
            ctx,
            gas: Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir),
            address: inputs.bytecode_address,
            storage,
            prices: *prices,
            caller: inputs.caller,
            value: inputs.value.get(),
            is_static: inputs.is_static,
            system: system && inputs.caller == SYSTEM,
            free_slots: false,
        }
    }

    pub(crate) const fn into_gas(self) -> Gas {
        self.gas
    }

    pub(crate) const fn caller(&self) -> Address {
        self.caller
    }

    /// Wei sent along, already credited to the module's account.
    pub(crate) const fn value(&self) -> U256 {
        self.value
    }

    /// Height of the block.
    pub(crate) fn block_number(&self) -> u64 {
        self.ctx.block().number().saturating_to()
    }

    /// Seconds since the Unix epoch of the block.
    pub(crate) fn timestamp(&self) -> u64 {
        self.ctx.block().timestamp().saturating_to()
    }

    /// Operator of the validator that built the block.
    pub(crate) fn beneficiary(&self) -> Address {
        self.ctx.block().beneficiary()
    }

    /// Whether this is the call of a system transaction (not a call further down).
    pub(crate) const fn is_system(&self) -> bool {
        self.system
    }

    /// What the rules charge beside slots.
    pub(crate) const fn prices(&self) -> ModulePrices {
        self.prices
    }

    pub(crate) fn charge(&mut self, gas: u64) -> Result<(), Stop> {
        if self.gas.record_regular_cost(gas) { Ok(()) } else { Err(Stop::OutOfGas) }
    }

    /// Charges nothing for slots from here on: for system calls whose work the module itself bounds.
    pub(crate) const fn stop_metering_slots(&mut self) {
        self.free_slots = true;
    }

    /// Charges `count` times `gas`.
    pub(crate) fn charge_each(&mut self, count: usize, gas: u64) -> Result<(), Stop> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.charge(count.saturating_mul(gas))
    }

    /// Reverts unless the call may change state.
    pub(crate) fn require_mutable(&self) -> Result<(), Stop> {
        if self.is_static { Err(Stop::Revert(revert_reason("state change in a static call"))) } else { Ok(()) }
    }

    /// Runs `read` on the storage of another module.
    pub(crate) fn with_storage_of<T>(
        &mut self,
        module: Address,
        read: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let own = std::mem::replace(&mut self.storage, module);
        let result = self.load_storage().and_then(|()| read(self));
        self.storage = own;
        result
    }

    /// Makes the account whose storage the module works on known to the journal, which has slots of loaded accounts only. It
    /// is warm like all modules.
    pub(crate) fn load_storage(&mut self) -> Result<(), Stop> {
        let storage = self.storage;
        self.ctx.journal_mut().load_account(storage).map(|_| ()).map_err(|error| Stop::Fatal(error.to_string()))
    }

    /// Emits an event from the module's address.
    pub(crate) fn log(&mut self, data: LogData) -> Result<(), Stop> {
        self.log_from(self.address, data)
    }

    /// Emits an event from the address of a module that shares this one's state.
    pub(crate) fn log_from(&mut self, address: Address, data: LogData) -> Result<(), Stop> {
        self.require_mutable()?;
        let topics = u8::try_from(data.topics().len()).unwrap_or(u8::MAX);
        let length = u64::try_from(data.data.len()).unwrap_or(u64::MAX);
        let cost = self.ctx.cfg().gas_params().log_cost(topics, length);
        self.charge(LOG.saturating_add(cost))?;
        self.ctx.journal_mut().log(Log { address, data });
        Ok(())
    }

    /// Moves `amount` wei from the reward pool to `recipient` without calling it.
    pub(crate) fn pay(&mut self, recipient: Address, amount: U256) -> Result<(), Stop> {
        self.require_mutable()?;
        let mut pool =
            self.ctx.journal_mut().load_account_mut(REWARD_POOL).map_err(|error| Stop::Fatal(error.to_string()))?;
        if !pool.data.decr_balance(amount) {
            return Err(Stop::Revert(revert_reason("the reward pool holds less than it owes")));
        }
        self.mint(recipient, amount)
    }

    /// Creates `amount` wei at `recipient` without calling it.
    pub(crate) fn mint(&mut self, recipient: Address, amount: U256) -> Result<(), Stop> {
        self.require_mutable()?;
        let params = self.ctx.cfg().gas_params();
        let (warm, cold) = (params.warm_storage_read_cost(), params.cold_account_additional_cost());
        self.charge(warm.saturating_add(self.prices.credit))?;
        let mut account =
            self.ctx.journal_mut().load_account_mut(recipient).map_err(|error| Stop::Fatal(error.to_string()))?;
        let is_cold = account.is_cold;
        if !account.data.incr_balance(amount) {
            return Err(Stop::Revert(revert_reason("balance overflow")));
        }
        if is_cold { self.charge(cold) } else { Ok(()) }
    }

    /// Destroys `amount` wei of the module's own balance.
    pub(crate) fn burn(&mut self, amount: U256) -> Result<(), Stop> {
        self.require_mutable()?;
        let address = self.address;
        let mut account =
            self.ctx.journal_mut().load_account_mut(address).map_err(|error| Stop::Fatal(error.to_string()))?;
        if account.data.decr_balance(amount) { Ok(()) } else { Err(Stop::Revert(revert_reason("balance underflow"))) }
    }
}

impl ModuleCall<'_, '_> {
    /// As SLOAD: 100 gas, 2,100 for the first access in the transaction.
    fn sload(&mut self, slot: U256) -> Result<U256, Stop> {
        if self.free_slots {
            let load = self.ctx.journal_mut().sload(self.storage, slot);
            return load.map(|load| load.data).map_err(|error| Stop::Fatal(error.to_string()));
        }
        let params = self.ctx.cfg().gas_params();
        let (warm, cold) = (params.warm_storage_read_cost(), params.cold_storage_additional_cost());
        self.charge(warm)?;
        // The read is skipped when its price could not be paid, so that gas bounds the disk's work.
        let skip_cold = self.gas.remaining() < cold;
        let load = self.ctx.journal_mut().sload_skip_cold_load(self.storage, slot, skip_cold).map_err(Stop::load)?;
        if load.is_cold {
            self.charge(cold)?;
        }
        Ok(load.data)
    }

    /// As SSTORE: EIP-2200's stipend rule, EIP-2929's cold access, EIP-3529's refunds.
    fn sstore(&mut self, slot: U256, value: U256) -> Result<(), Stop> {
        self.require_mutable()?;
        if self.free_slots {
            let stored = self.ctx.journal_mut().sstore(self.storage, slot, value);
            return stored.map(|_| ()).map_err(|error| Stop::Fatal(error.to_string()));
        }
        let params = self.ctx.cfg().gas_params();
        let (stipend, base, cold) = (params.call_stipend(), params.sstore_static_gas(), params.cold_storage_cost());
        if self.gas.remaining() <= stipend {
            return Err(Stop::OutOfGas);
        }
        self.charge(base)?;
        let skip_cold = self.gas.remaining() < cold;
        let load =
            self.ctx.journal_mut().sstore_skip_cold_load(self.storage, slot, value, skip_cold).map_err(Stop::load)?;
        let params = self.ctx.cfg().gas_params();
        let (cost, refund) =
            (params.sstore_dynamic_gas(true, &load.data, load.is_cold), params.sstore_refund(true, &load.data));
        self.charge(cost)?;
        self.gas.record_refund(refund);
        Ok(())
    }
}

impl causeway_peg::Slots for ModuleCall<'_, '_> {
    type Error = Stop;

    fn load(&mut self, slot: U256) -> Result<U256, Stop> {
        self.sload(slot)
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), Stop> {
        self.sstore(slot, value)
    }
}

impl causeway_staking::Slots for ModuleCall<'_, '_> {
    type Error = Stop;

    fn load(&mut self, slot: U256) -> Result<U256, Stop> {
        self.sload(slot)
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), Stop> {
        self.sstore(slot, value)
    }
}

/// The module's slots outside any transaction: block hooks. Nothing is charged.
pub(crate) struct HookSlots<'c, 'a> {
    ctx: &'c mut Ctx<'a>,
    address: Address,
}

impl<'c, 'a> HookSlots<'c, 'a> {
    /// Slots of the module at `address`, which is loaded: the journal has slots of loaded accounts only.
    pub(crate) fn load_module(ctx: &'c mut Ctx<'a>, address: Address) -> Result<Self, SourceError> {
        ctx.journal_mut().load_account(address)?;
        Ok(Self { ctx, address })
    }

    fn sload(&mut self, slot: U256) -> Result<U256, SourceError> {
        Ok(self.ctx.journal_mut().sload(self.address, slot)?.data)
    }

    fn sstore(&mut self, slot: U256, value: U256) -> Result<(), SourceError> {
        self.ctx.journal_mut().sstore(self.address, slot, value)?;
        Ok(())
    }
}

impl causeway_peg::Slots for HookSlots<'_, '_> {
    type Error = SourceError;

    fn load(&mut self, slot: U256) -> Result<U256, SourceError> {
        self.sload(slot)
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), SourceError> {
        self.sstore(slot, value)
    }
}

impl causeway_staking::Slots for HookSlots<'_, '_> {
    type Error = SourceError;

    fn load(&mut self, slot: U256) -> Result<U256, SourceError> {
        self.sload(slot)
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), SourceError> {
        self.sstore(slot, value)
    }
}
