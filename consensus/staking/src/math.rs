//! Products and quotients without intermediate overflow.

use alloy_primitives::{U256, U512};

/// `a * b / c` rounded down; `None` where `c` is zero or the result needs more than 256 bits.
pub(crate) fn mul_div_floor(a: U256, b: U256, c: U256) -> Option<U256> {
    narrow((U512::from(a) * U512::from(b)).checked_div(U512::from(c))?)
}

/// `a * b / c` rounded up; `None` where `c` is zero or the result needs more than 256 bits.
pub(crate) fn mul_div_ceil(a: U256, b: U256, c: U256) -> Option<U256> {
    if c.is_zero() {
        return None;
    }
    let (quotient, remainder) = (U512::from(a) * U512::from(b)).div_rem(U512::from(c));
    narrow(if remainder.is_zero() { quotient } else { quotient + U512::from(1) })
}

/// Spreads `(amount << 128) + carry` over `units`: returns the addition to each unit, in 2^-128, and the remainder.
/// `None` when `units` is zero or the addition needs more than 256 bits.
pub(crate) fn spread(amount: U256, carry: U256, units: U256) -> Option<(U256, U256)> {
    if units.is_zero() {
        return None;
    }
    let scaled = (U512::from(amount) << 128usize) + U512::from(carry);
    let (each, left) = scaled.div_rem(U512::from(units));
    Some((narrow(each)?, narrow(left)?))
}

/// `units * each + carry` in 2^-128: returns whole units and the remaining fraction. `None` when the whole units need more
/// than 256 bits.
pub(crate) fn gather(each: U256, units: U256, carry: U256) -> Option<(U256, U256)> {
    let scaled = (U512::from(each) * U512::from(units)).checked_add(U512::from(carry))?;
    let whole = scaled >> 128usize;
    let fraction = scaled - (whole << 128usize);
    Some((narrow(whole)?, narrow(fraction)?))
}

/// A part of `amount` in parts per million, rounded up.
pub(crate) fn ppm_ceil(amount: U256, ppm: u64) -> Option<U256> {
    mul_div_ceil(amount, U256::from(ppm), U256::from(crate::params::MILLION))
}

/// A part of `amount` in parts per million, rounded down.
pub(crate) fn ppm_floor(amount: U256, ppm: u64) -> Option<U256> {
    mul_div_floor(amount, U256::from(ppm), U256::from(crate::params::MILLION))
}

fn narrow(wide: U512) -> Option<U256> {
    let limbs = wide.as_limbs();
    limbs[4..].iter().all(|limb| *limb == 0).then(|| U256::from_limbs([limbs[0], limbs[1], limbs[2], limbs[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(value: u64) -> U256 {
        U256::from(value)
    }

    #[test]
    fn quotients_round_as_named() {
        assert_eq!(mul_div_floor(n(7), n(3), n(2)), Some(n(10)));
        assert_eq!(mul_div_ceil(n(7), n(3), n(2)), Some(n(11)));
        assert_eq!(mul_div_ceil(n(7), n(4), n(2)), Some(n(14)));
        assert_eq!((ppm_floor(n(1), 1), ppm_ceil(n(1), 1)), (Some(n(0)), Some(n(1))));
        assert_eq!((ppm_floor(n(9), 1_000_000), ppm_ceil(n(9), 1_000_000)), (Some(n(9)), Some(n(9))));
    }

    #[test]
    fn products_beyond_256_bits_are_carried_and_quotients_refused() {
        assert_eq!(mul_div_floor(U256::MAX, U256::MAX, U256::MAX), Some(U256::MAX));
        assert_eq!(mul_div_floor(U256::MAX, n(2), n(1)), None);
        assert_eq!(mul_div_ceil(U256::MAX, n(2), n(1)), None);
        assert_eq!((mul_div_floor(n(1), n(1), n(0)), mul_div_ceil(n(1), n(1), n(0))), (None, None));
    }

    #[test]
    fn what_is_spread_and_gathered_never_grows() {
        let (each, left) = spread(n(10), n(0), n(3)).unwrap_or_default();
        assert_eq!(gather(each, n(3), left), Some((n(10), n(0))));
        assert_eq!(gather(each, n(3), n(0)).map(|(whole, _)| whole), Some(n(9)));
        assert_eq!(spread(n(1), n(0), n(0)), None);
        assert_eq!(spread(U256::MAX, n(0), n(1)), None);
        assert_eq!(gather(U256::MAX, U256::MAX, n(0)), None);
    }
}
