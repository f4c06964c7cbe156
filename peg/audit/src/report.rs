//! Verdicts, for people and for machines.

use alloy_primitives::{Address, B256, U256, utils::format_ether};
use serde::{Serialize, Serializer};
use std::fmt;

/// Version of the `--json` output; it increases when a key changes its meaning or is removed.
pub const REPORT_FORMAT: u32 = 1;

/// The object of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A deposit, by its nonce.
    Deposit(u64),
    /// A withdrawal, by its index.
    Withdrawal(u64),
    /// A checkpoint, by its number.
    Checkpoint(u64),
    /// A member (or not) of the peg's validator set.
    Signer(Address),
    /// A block of the sidechain, by its height.
    Block(u64),
    /// A block of the parent, by its height.
    ParentBlock(u64),
    /// The validator set of an epoch.
    ValidatorSet(u64),
    /// A contract on the parent.
    Contract(Address),
    /// The pegged coin as a whole.
    Supply,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposit(nonce) => write!(f, "deposit {nonce}"),
            Self::Withdrawal(index) => write!(f, "withdrawal {index}"),
            Self::Checkpoint(number) => write!(f, "checkpoint {number}"),
            Self::Signer(address) => write!(f, "signer {address}"),
            Self::Block(height) => write!(f, "block {height}"),
            Self::ParentBlock(height) => write!(f, "parent block {height}"),
            Self::ValidatorSet(epoch) => write!(f, "validator set {epoch}"),
            Self::Contract(address) => write!(f, "contract {address}"),
            Self::Supply => f.write_str("supply"),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A failed part of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The object.
    pub object: Object,
    /// The mismatch, with both values.
    pub reason: String,
    /// The next step for the user.
    pub next: String,
}

/// A figure behind a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Wei; a decimal string in JSON.
    Wei(U256),
    /// A count, height or number.
    Count(u64),
    /// Tokens of 18 decimals, in the smallest unit; a decimal string in JSON.
    Tokens(U256),
    /// Parts per million; a decimal string in JSON.
    Ratio(U256),
    /// A hash.
    Hash(B256),
}

/// One, as a [`Figure::Ratio`].
pub(crate) const RATIO_ONE: u64 = 1_000_000;

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wei(wei) | Self::Tokens(wei) => {
                let coins = format_ether(*wei);
                write!(f, "{}", coins.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::Count(count) => write!(f, "{count}"),
            Self::Ratio(ppm) => {
                let (whole, parts) = ppm.div_rem(U256::from(RATIO_ONE));
                write!(f, "{whole}.{parts:06}")
            }
            Self::Hash(hash) => write!(f, "{hash}"),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Wei(wei) | Self::Tokens(wei) | Self::Ratio(wei) => serializer.collect_str(wei),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Hash(hash) => serializer.collect_str(hash),
        }
    }
}

/// The verdict of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Number in the peg's design notes; 0 is the evidence itself.
    pub id: u8,
    /// The statement that it checks.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// The figures compared.
    #[serde(serialize_with = "as_map")]
    pub figures: Vec<(&'static str, Figure)>,
    /// The failures; empty exactly when `holds`.
    pub failures: Vec<Failure>,
    /// Values believed from an endpoint, because no signature or hash covers them.
    pub believed: Vec<String>,
}

fn as_map<S: Serializer>(figures: &[(&'static str, Figure)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|(name, figure)| (name, figure)))
}

impl Check {
    pub(crate) fn new(id: u8, name: &'static str) -> Self {
        Self { id, name, holds: true, figures: Vec::new(), failures: Vec::new(), believed: Vec::new() }
    }

    pub(crate) fn figure(&mut self, name: &'static str, figure: Figure) {
        self.figures.push((name, figure));
    }

    pub(crate) fn fail(&mut self, object: Object, reason: impl Into<String>, next: impl Into<String>) {
        self.holds = false;
        self.failures.push(Failure { object, reason: reason.into(), next: next.into() });
    }

    /// Fails unless the two sums are equal.
    pub(crate) fn require_equal(&mut self, object: Object, what: &str, a: U256, b: U256, next: &str) {
        if a != b {
            self.fail(object, format!("{what}: {a} against {b} wei"), next);
        }
    }

    pub(crate) fn believe(&mut self, what: impl Into<String>) {
        self.believed.push(what.into());
    }
}

/// A block by height and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct At {
    /// Height.
    pub height: u64,
    /// Hash.
    pub hash: B256,
}

/// The whole audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Whether every check holds.
    pub holds: bool,
    /// Hash of the sidechain's genesis block.
    pub genesis_hash: B256,
    /// Sidechain block of the audit.
    pub sidechain: At,
    /// Finalised parent block of the audit.
    pub parent: At,
    /// Latest checkpoint with a valid certificate, if any: values up to it are proven against a signed state root.
    pub certified_checkpoint: Option<u64>,
    /// The checks in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// The `--json` output.
    ///
    /// # Errors
    /// None in practice: every key is a string.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sidechain  {} at block {} {}", self.genesis_hash, self.sidechain.height, self.sidechain.hash)?;
        writeln!(f, "parent     finalised block {} {}", self.parent.height, self.parent.hash)?;
        match self.certified_checkpoint {
            Some(number) => writeln!(f, "proven     up to checkpoint {number}, signed by the validators")?,
            None => writeln!(f, "proven     nothing yet: no checkpoint is certified")?,
        }
        writeln!(f)?;
        writeln!(f, "check  verdict  statement")?;
        for check in &self.checks {
            let verdict = if check.holds { "holds" } else { "FAILS" };
            writeln!(f, "{:>5}  {verdict:<7}  {}", check.id, check.name)?;
            for (name, figure) in &check.figures {
                writeln!(f, "                  {name}: {figure}")?;
            }
            for failure in &check.failures {
                writeln!(f, "                  {}: {}", failure.object, failure.reason)?;
                writeln!(f, "                    next: {}", failure.next)?;
            }
            for believed in &check.believed {
                writeln!(f, "                  believed: {believed}")?;
            }
        }
        writeln!(f)?;
        let failing = self.checks.iter().filter(|check| !check.holds).count();
        match failing {
            0 => writeln!(f, "All {} checks hold.", self.checks.len()),
            _ => writeln!(f, "{failing} of {} checks FAIL.", self.checks.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wei_is_shown_in_coins_without_trailing_zeros() {
        let coins = |wei: u64| Figure::Wei(U256::from(wei)).to_string();
        assert_eq!(coins(1_500_000_000_000_000_000), "1.5");
        assert_eq!(coins(10_000_000_000_000_000_000), "10");
        assert_eq!(coins(1), "0.000000000000000001");
        assert_eq!(coins(0), "0");
    }

    #[test]
    fn ratios_are_shown_with_six_decimals() {
        let ratio = |ppm: u64| Figure::Ratio(U256::from(ppm)).to_string();
        assert_eq!(ratio(0), "0.000000");
        assert_eq!(ratio(1), "0.000001");
        assert_eq!(ratio(12_345_678), "12.345678");
    }
}
