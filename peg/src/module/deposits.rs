//! Imports deposits: verifies a certificate in a block and mints.

use alloy_primitives::{Address, U256};

use super::{ModuleError, PegFault, PegModule};
use crate::{
    certificate::{CertificateSig, verify_signatures},
    deposit::{MAX_DEPOSITS_PER_VIEW, fold_deposits},
    layout,
    slots::{Slots, hash, word},
    types::{Deposit, NATIVE_TOKEN, ParentView},
};

/// Coin to create: execution credits `recipient` and emits a `DepositMinted` event. It cannot fail and
/// calls no contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mint {
    /// The deposit's nonce.
    pub nonce: u64,
    /// Asset on the parent; zero is the native coin.
    pub token: Address,
    /// The account that locked it on the parent.
    pub sender: Address,
    /// The account to credit.
    pub recipient: Address,
    /// Amount in wei.
    pub amount: U256,
}

impl PegModule {
    /// Mints the deposits after the last minted one up to the view's, when the view is certified and the deposits
    /// are exactly the certified ones.
    ///
    /// # Errors
    /// [`PegFault`] `NotPegged`, `NoDeposits`, `TooManyDeposits`, `StaleParentView`, `UnexpectedNonce`,
    /// `UnsupportedToken`, `AccumulatorMismatch`, `Certificate` or `SupplyOverflow`; errors of the slots.
    pub fn import_deposits<S: Slots>(
        &self,
        slots: &mut S,
        view: &ParentView,
        signatures: &[CertificateSig],
        deposits: &[Deposit],
    ) -> Result<Vec<Mint>, ModuleError<S::Error>> {
        check_size(deposits)?;
        check_freshness(slots, view)?;

        let imported = Self::deposit_nonce(slots).map_err(ModuleError::Slots)?;
        check_nonces(imported, view, deposits)?;

        let acc = Self::deposit_acc(slots).map_err(ModuleError::Slots)?;
        let computed = fold_deposits(acc, deposits);
        if computed != view.depositAcc {
            return Err(PegFault::AccumulatorMismatch { computed, certified: view.depositAcc }.into());
        }

        let set = Self::validator_set(slots)?;
        verify_signatures(self.domain.parent_view_digest(view), signatures, &set).map_err(PegFault::Certificate)?;

        let mut supply = Self::supply(slots).map_err(ModuleError::Slots)?;
        let mut mints = Vec::with_capacity(deposits.len());
        for deposit in deposits {
            supply = supply.checked_add(deposit.amount).ok_or(PegFault::SupplyOverflow)?;
            mints.push(Mint {
                nonce: deposit.nonce,
                token: deposit.token,
                sender: deposit.sender,
                recipient: deposit.recipient,
                amount: deposit.amount,
            });
        }

        let mut store = |slot, value| slots.store(slot, value).map_err(ModuleError::Slots);
        store(layout::SUPPLY, supply)?;
        store(layout::DEPOSIT_NONCE, U256::from(view.depositNonce))?;
        store(layout::DEPOSIT_ACC, word(computed))?;
        store(layout::PARENT_HEIGHT, U256::from(view.parentHeight))?;
        store(layout::PARENT_HASH, word(view.parentHash))?;
        Ok(mints)
    }
}

fn check_size(deposits: &[Deposit]) -> Result<(), PegFault> {
    if deposits.is_empty() {
        return Err(PegFault::NoDeposits);
    }
    let count = deposits.len();
    if u64::try_from(count).is_ok_and(|count| count <= MAX_DEPOSITS_PER_VIEW) {
        Ok(())
    } else {
        Err(PegFault::TooManyDeposits { count })
    }
}

/// Views never go back. Two cut points inside one parent block have the same height, and then must have the same hash.
fn check_freshness<S: Slots>(slots: &mut S, view: &ParentView) -> Result<(), ModuleError<S::Error>> {
    let last = PegModule::last_parent_height(slots).map_err(ModuleError::Slots)?;
    let last_hash = hash(slots.load(layout::PARENT_HASH).map_err(ModuleError::Slots)?);
    let same_block = view.parentHeight == last && view.parentHash == last_hash;
    if view.parentHeight > last || same_block {
        Ok(())
    } else {
        Err(PegFault::StaleParentView { last, got: view.parentHeight }.into())
    }
}

/// Checks that nonces continue from the last imported one without gaps and end at the view's, and that all assets are known.
fn check_nonces(imported: u64, view: &ParentView, deposits: &[Deposit]) -> Result<(), PegFault> {
    let mut last = imported;
    for deposit in deposits {
        let expected = last.saturating_add(1);
        if deposit.nonce != expected || last == u64::MAX {
            return Err(PegFault::UnexpectedNonce { expected, got: deposit.nonce });
        }
        if deposit.token != NATIVE_TOKEN {
            return Err(PegFault::UnsupportedToken { token: deposit.token });
        }
        last = expected;
    }
    if view.depositNonce != last {
        return Err(PegFault::UnexpectedNonce { expected: last, got: view.depositNonce });
    }
    Ok(())
}
