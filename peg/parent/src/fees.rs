//! EIP-1559 fees below a cap. Pure.

/// Fees of one attempt, wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    /// `maxFeePerGas`.
    pub(crate) max_fee: u128,
    /// `maxPriorityFeePerGas`, never above `max_fee`.
    pub(crate) tip: u128,
}

impl Fees {
    /// Fees that allow the base fee to double, plus the tip, up to the cap. `None` when the current base fee is above the
    /// cap.
    pub(crate) fn new(base_fee: u128, tip: u128, cap: u128) -> Option<Self> {
        if base_fee > cap {
            return None;
        }
        let max_fee = base_fee.saturating_mul(2).saturating_add(tip).min(cap);
        Some(Self { max_fee, tip: tip.min(max_fee) })
    }

    /// Both fees raised by an eighth (pools require at least a tenth for a replacement). `None` when the cap leaves no room.
    pub(crate) fn bumped(self, cap: u128) -> Option<Self> {
        let raise = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let max_fee = raise(self.max_fee);
        (max_fee <= cap).then(|| Self { max_fee, tip: raise(self.tip).min(max_fee) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fees_leave_room_for_the_base_fee_to_double() {
        assert_eq!(Fees::new(100, 7, 1_000), Some(Fees { max_fee: 207, tip: 7 }));
    }

    #[test]
    fn the_cap_holds_for_both_fees() {
        assert_eq!(Fees::new(100, 500, 150), Some(Fees { max_fee: 150, tip: 150 }));
        assert_eq!(Fees::new(151, 1, 150), None);
        assert_eq!(Fees { max_fee: 140, tip: 1 }.bumped(150), None);
    }

    #[test]
    fn a_bump_raises_both_fees_by_more_than_a_tenth() {
        for fee in [0u128, 1, 9, 10, 1_000_000_007, u128::MAX / 4] {
            let bumped = Fees { max_fee: fee, tip: fee }.bumped(u128::MAX).unwrap();
            assert!(bumped.max_fee > fee + fee / 10 && bumped.tip > fee + fee / 10);
        }
    }
}
