//! Amounts on the command line: whole coins or stake tokens with up to 18 decimals.

use alloy_primitives::{U256, utils::format_ether, utils::parse_ether};
use eyre::eyre;

/// Decimals of the coin and of the stake token.
const DECIMALS: usize = 18;

/// The unit of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// The chain's coin.
    Coin,
    /// The stake token.
    Stake,
}

impl Unit {
    const fn one(self) -> &'static str {
        match self {
            Self::Coin => "a coin",
            Self::Stake => "a stake token",
        }
    }

    const fn many(self) -> &'static str {
        match self {
            Self::Coin => "coins",
            Self::Stake => "stake tokens",
        }
    }

    /// Converts `text` to the smallest units.
    ///
    /// # Errors
    /// `text` is not a decimal number, is negative, has more than 18 decimals, or is too large; the error names the unit.
    pub(super) fn parse(self, text: &str) -> eyre::Result<U256> {
        let not_one = || eyre!("{text:?} is not an amount of {} (such as 1.5)", self.many());
        if text.starts_with("0x") {
            return Err(eyre!(
                "{text:?} is hexadecimal: give whole {} with decimals (such as 1.5), not smallest units",
                self.many()
            ));
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if !whole.chars().chain(decimals.chars()).all(|digit| digit.is_ascii_digit()) || whole.is_empty() {
            return Err(not_one());
        }
        if decimals.len() > DECIMALS {
            return Err(eyre!("{text:?} has {} decimals; {} has {DECIMALS}", decimals.len(), self.one()));
        }
        parse_ether(text).map_err(|_| not_one())
    }

    /// As [`Self::parse`], and not zero.
    ///
    /// # Errors
    /// As [`Self::parse`]; the amount is zero.
    pub(super) fn parse_some(self, text: &str) -> eyre::Result<U256> {
        match self.parse(text)? {
            U256::ZERO => Err(eyre!("{text:?} is nothing: give an amount of {} above zero", self.many())),
            amount => Ok(amount),
        }
    }
}

/// Smallest units as whole units with decimals, without trailing zeros.
pub(super) fn whole(amount: U256) -> String {
    let text = format_ether(amount);
    let text = text.trim_end_matches('0');
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_up_to_eighteen_decimals() {
        let one = U256::from(1_000_000_000_000_000_000u64);
        assert_eq!(Unit::Coin.parse("1").unwrap(), one);
        assert_eq!(Unit::Coin.parse("1.5").unwrap(), one + one / U256::from(2));
        assert_eq!(Unit::Stake.parse("0.000000000000000001").unwrap(), U256::from(1));
        assert_eq!(Unit::Stake.parse("0").unwrap(), U256::ZERO);
    }

    #[test]
    fn errors_name_the_unit_and_what_is_wrong() {
        let error = |unit: Unit, text: &str| unit.parse(text).unwrap_err().to_string();
        assert_eq!(
            error(Unit::Coin, "0.0000000000000000001"),
            "\"0.0000000000000000001\" has 19 decimals; a coin has 18"
        );
        assert_eq!(error(Unit::Stake, "ten"), "\"ten\" is not an amount of stake tokens (such as 1.5)");
        for text in ["", "-1", "+1", "1,5", "1.5.2", ".", "1e18", " 1", "1 "] {
            assert!(error(Unit::Coin, text).contains("is not an amount of coins"), "{text:?}");
        }
        assert!(error(Unit::Stake, "0x10").contains("is hexadecimal: give whole stake tokens"));
        assert!(error(Unit::Coin, &"9".repeat(70)).contains("is not an amount of coins"));
        assert!(Unit::Stake.parse_some("0.0").unwrap_err().to_string().contains("is nothing"));
    }

    #[test]
    fn whole_units_are_written_without_trailing_zeros_and_parse_back() {
        for (text, written) in
            [("1", "1"), ("1.50", "1.5"), ("0.000000000000000001", "0.000000000000000001"), ("0", "0")]
        {
            let amount = Unit::Stake.parse(text).unwrap();
            assert_eq!(whole(amount), written);
            assert_eq!(Unit::Stake.parse(&whole(amount)).unwrap(), amount);
        }
        assert_eq!(whole(Unit::Coin.parse("100").unwrap()), "100");
    }
}
