//! Check 11: the locked amount for each bonded token.

use crate::{
    audit::Facts,
    report::{Check, Figure, RATIO_ONE},
    sidechain::staking_slots::{BONDED, LAYOUT, UNBONDING, VERSION},
};
use alloy_primitives::U256;

/// Check 11: locked coin against bonded stake. It informs and never fails: neither chain knows the value of the stake, so the
/// ratio compares coins and tokens one to one.
pub(crate) fn stake(facts: &Facts<'_>) -> Check {
    let mut check = Check::new(11, "value locked against bonded stake (for information)");
    let proven =
        facts.proven_heights().into_iter().find_map(|height| Some((height, facts.chain.staking.get(&height)?)));
    let slots = proven.filter(|(_, slots)| slots.get(&VERSION) == Some(&LAYOUT));
    let Some((height, slots)) = slots else {
        check.believe("no value: there is no proof of the staking module's state, or its layout is unknown");
        return check;
    };
    if height == facts.chain.head {
        check.believe("the stake at the head (not proven against a certified checkpoint)");
    }
    let locked = facts.bundle.parent.values.locked;
    let slot = |slot| slots.get(&slot).copied().unwrap_or_default();
    let bonded: U256 = slot(BONDED);
    check.figure("locked", Figure::Wei(locked));
    check.figure("bonded stake", Figure::Tokens(bonded));
    check.figure("unbonding stake, still slashable", Figure::Tokens(slot(UNBONDING)));
    check.figure("at block", Figure::Count(height));
    // No ratio when nothing is bonded, or when more coin is locked than can exist.
    let ratio = locked.checked_mul(U256::from(RATIO_ONE)).and_then(|scaled| scaled.checked_div(bonded));
    if let Some(ratio) = ratio {
        check.figure("locked for each bonded token", Figure::Ratio(ratio));
    }
    check
}
