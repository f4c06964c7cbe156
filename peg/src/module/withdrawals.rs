//! Withdrawals: a burn is added to the tree as a leaf.

use alloy_primitives::{Address, U256};

use super::{ModuleError, PegFault, PegModule};
use crate::{
    layout,
    slots::{Slots, hash, word},
    tree,
    types::{NATIVE_TOKEN, Withdrawal},
    withdrawal::withdrawal_leaf,
};

impl PegModule {
    /// Records the burn of `amount` wei by `sender`. The call itself has moved the value from the sender to the peg's account,
    /// and execution removes it from there in the same call.
    ///
    /// # Errors
    /// [`PegFault`] `NotPegged`, `ZeroAmount`, `InvalidRecipient`, `FeeExceedsAmount`, `TreeFull` or
    /// `SupplyUnderflow`; errors of the slots.
    pub fn withdraw<S: Slots>(
        &self,
        slots: &mut S,
        sender: Address,
        recipient: Address,
        amount: U256,
        relayer_fee: U256,
    ) -> Result<Withdrawal, ModuleError<S::Error>> {
        if amount.is_zero() {
            return Err(PegFault::ZeroAmount.into());
        }
        if relayer_fee > amount {
            return Err(PegFault::FeeExceedsAmount { relayer_fee, amount }.into());
        }
        let vault = Self::vault(slots).map_err(ModuleError::Slots)?;
        if vault.is_zero() {
            return Err(PegFault::NotPegged.into());
        }
        // Neither contract accepts plain payments, so a claim for them would always revert.
        let registry = Self::registry(slots).map_err(ModuleError::Slots)?;
        if recipient.is_zero() || recipient == vault || recipient == registry {
            return Err(PegFault::InvalidRecipient { recipient }.into());
        }
        let index = Self::withdrawal_count(slots).map_err(ModuleError::Slots)?;
        if index >= tree::MAX_LEAVES {
            return Err(PegFault::TreeFull.into());
        }
        let supply = Self::supply(slots).map_err(ModuleError::Slots)?;
        let remaining = supply.checked_sub(amount).ok_or(PegFault::SupplyUnderflow { supply, amount })?;

        let withdrawal = Withdrawal { index, token: NATIVE_TOKEN, sender, recipient, amount, relayerFee: relayer_fee };
        let (level, node) = tree::append_step(index, withdrawal_leaf(&withdrawal), |level| {
            slots.load(layout::frontier(level)).map(hash)
        })
        .map_err(ModuleError::Slots)?;
        let mut store = |slot, value| slots.store(slot, value).map_err(ModuleError::Slots);
        store(layout::frontier(level), word(node))?;
        store(layout::WITHDRAWAL_COUNT, U256::from(index + 1))?;
        store(layout::SUPPLY, remaining)?;
        Ok(withdrawal)
    }
}
