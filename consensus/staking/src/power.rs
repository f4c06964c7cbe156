//! Scales stakes (wei, 256 bits) to voting powers that the consensus core can multiply in 64 bits (pitfall 8 of the
//! consensus design: raw wei would panic it).

use alloy_primitives::{U256, U512};

/// Largest total power after scaling: 2^40, so the unit is about a millionth of a millionth.
pub const TOTAL_POWER: u64 = 1 << 40;

/// Most stakes in one call.
pub const MAX_STAKES: usize = 1 << 16;

/// Why stakes cannot be scaled. The author of the list is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// No stake is above zero, so there would be no power.
    #[error("the total stake is zero")]
    NoStake,
    /// More than [`MAX_STAKES`].
    #[error("{0} stakes exceed the maximum of {MAX_STAKES}")]
    TooMany(usize),
    /// The sum does not fit 256 bits.
    #[error("the total stake overflows 256 bits")]
    Overflow,
}

/// Scales `stakes` to powers in the same order, with a total of at most [`TOTAL_POWER`].
///
/// Stakes that already fit are not changed. Otherwise each power is the stake's exact share of the total power by
/// largest remainder (ties go to the earlier stake), so it is off by less than one unit, and a stake above zero never
/// gets power zero.
///
/// # Errors
/// [`PowerError`], see its variants.
pub fn scale_power(stakes: &[U256]) -> Result<Vec<u64>, PowerError> {
    if stakes.len() > MAX_STAKES {
        return Err(PowerError::TooMany(stakes.len()));
    }
    let total = stakes.iter().try_fold(U256::ZERO, |sum, stake| sum.checked_add(*stake)).ok_or(PowerError::Overflow)?;
    if total.is_zero() {
        return Err(PowerError::NoStake);
    }
    if total <= U256::from(TOTAL_POWER) {
        return Ok(stakes.iter().map(|stake| stake.saturating_to()).collect());
    }
    // Each non-zero stake may have to be raised from zero to one, so one unit is reserved for each.
    let stakers = stakes.iter().filter(|stake| !stake.is_zero()).count() as u64;
    let shared = TOTAL_POWER - stakers;
    let (wide_total, wide_shared) = (U512::from(total), U512::from(shared));
    let mut left = shared;
    let mut powers = Vec::with_capacity(stakes.len());
    let mut remainders = Vec::with_capacity(stakes.len());
    for (at, stake) in stakes.iter().enumerate() {
        let (quotient, remainder) = (U512::from(*stake) * wide_shared).div_rem(wide_total);
        let power: u64 = quotient.saturating_to(); // at most `shared`, as stake <= total
        left -= power;
        powers.push(power);
        remainders.push((remainder, at));
    }
    // Largest remainder first, then the earlier stake. Remainders add up to `left` totals, so `left` < stakes.len().
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, at) in remainders.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        powers[at] += 1;
    }
    for (power, stake) in powers.iter_mut().zip(stakes) {
        if *power == 0 && !stake.is_zero() {
            *power = 1;
        }
    }
    Ok(powers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn wei(n: u128) -> U256 {
        U256::from(n)
    }

    #[test]
    fn small_stakes_are_their_own_powers() {
        assert_eq!(scale_power(&[wei(3), wei(0), wei(7)]), Ok(vec![3, 0, 7]));
        assert_eq!(scale_power(&[wei(1 << 40)]), Ok(vec![TOTAL_POWER]));
    }

    #[test]
    fn equal_stakes_of_ether_size_get_equal_powers() {
        let powers = scale_power(&[wei(32 * 10u128.pow(18)); 4]).unwrap();
        assert!(powers.iter().all(|p| *p == powers[0]));
    }

    #[test]
    fn dust_beside_a_whale_still_counts() {
        assert_eq!(scale_power(&[U256::MAX - wei(1), wei(1)]).unwrap()[1], 1);
        assert_eq!(scale_power(&[U256::MAX - wei(1), wei(0)]).unwrap()[1], 0);
    }

    #[test]
    fn impossible_lists_are_refused() {
        assert_eq!(scale_power(&[]), Err(PowerError::NoStake));
        assert_eq!(scale_power(&[wei(0)]), Err(PowerError::NoStake));
        assert_eq!(scale_power(&[U256::MAX, wei(1)]), Err(PowerError::Overflow));
        let many = vec![wei(1); MAX_STAKES + 1];
        assert_eq!(scale_power(&many), Err(PowerError::TooMany(MAX_STAKES + 1)));
    }

    fn stake() -> impl Strategy<Value = U256> {
        prop_oneof![
            Just(U256::ZERO),
            (0u128..1000).prop_map(U256::from),
            any::<u128>().prop_map(U256::from),
            any::<[u64; 4]>().prop_map(|limbs| U256::from_limbs(limbs) >> 8),
        ]
    }

    proptest! {
        #[test]
        fn powers_keep_ratios_order_and_the_total(stakes in prop::collection::vec(stake(), 1..40)) {
            let Ok(powers) = scale_power(&stakes) else {
                prop_assert!(stakes.iter().all(U256::is_zero));
                return Ok(());
            };
            let sum: u64 = powers.iter().sum();
            prop_assert!(sum <= TOTAL_POWER);
            let total: U512 = stakes.iter().fold(U512::ZERO, |sum, s| sum + U512::from(*s));
            for (stake, power) in stakes.iter().zip(&powers) {
                prop_assert_eq!(stake.is_zero(), *power == 0);
                if total > U512::from(TOTAL_POWER) {
                    // |power / TOTAL_POWER - stake / total| <= (stakers + 1) / TOTAL_POWER, without fractions.
                    let exact = U512::from(*stake) * U512::from(TOTAL_POWER);
                    let given = U512::from(*power) * total;
                    prop_assert!(exact.abs_diff(given) <= total * U512::from(stakes.len() + 1));
                }
            }
            for (a, p) in stakes.iter().zip(&powers) {
                for (b, q) in stakes.iter().zip(&powers) {
                    prop_assert!(a <= b || p >= q, "more stake never means less power");
                }
            }
        }
    }
}
