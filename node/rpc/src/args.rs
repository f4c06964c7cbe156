//! Positional parameters, read one by one. A missing or malformed one is refused with geth's error text.

use alloy_eips::{BlockId, BlockNumberOrTag};
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::errors::Fault;

/// Longest part of a decoder's error text that is returned. Such texts may quote the caller's input.
const MAX_DETAIL: usize = 200;

/// The undecoded parameters of one call.
pub(crate) struct Args<'a> {
    values: Vec<&'a RawValue>,
}

impl<'a> Args<'a> {
    /// Splits a JSON array into its elements. `None`, `null` and `[]` all mean no parameters.
    ///
    /// # Errors
    /// [`Fault::Limit`] for a text of more than `max_bytes`. [`Fault::InvalidParams`] for any other JSON value, and for an array
    /// of more than `max` elements.
    pub(crate) fn parse(params: Option<&'a str>, max: usize, max_bytes: usize) -> Result<Self, Fault> {
        let text = params.unwrap_or("[]").trim();
        if text.len() > max_bytes {
            return Err(Fault::Limit(format!("parameters of {} bytes exceed the limit of {max_bytes}", text.len())));
        }
        let text = if text.is_empty() || text == "null" { "[]" } else { text };
        let values = split_array(text, max).map_err(|error| {
            Fault::InvalidParams(match error {
                SplitError::TooMany => format!("too many arguments, want at most {max}"),
                SplitError::NotAnArray => "non-array args".to_owned(),
            })
        })?;
        Ok(Self { values })
    }

    /// The parameter at `index`.
    ///
    /// # Errors
    /// [`Fault::InvalidParams`] if it is absent, null or of another type.
    pub(crate) fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, Fault> {
        match self.raw(index) {
            Some(raw) => decode(index, raw),
            None => Err(Fault::InvalidParams(format!("missing value for required argument {index}"))),
        }
    }

    /// The parameter at `index`; `None` if it is absent or null.
    ///
    /// # Errors
    /// [`Fault::InvalidParams`] if it is of another type.
    pub(crate) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, Fault> {
        self.raw(index).map(|raw| decode(index, raw)).transpose()
    }

    /// The block that the parameter at `index` names; the latest if it is absent.
    ///
    /// # Errors
    /// [`Fault::InvalidParams`] if it is no block number, tag, hash or EIP-1898 object.
    pub(crate) fn block(&self, index: usize) -> Result<BlockId, Fault> {
        Ok(self.optional(index)?.unwrap_or(BlockId::Number(BlockNumberOrTag::Latest)))
    }

    fn raw(&self, index: usize) -> Option<&'a RawValue> {
        self.values.get(index).copied().filter(|raw| raw.get() != "null")
    }
}

fn decode<T: DeserializeOwned>(index: usize, raw: &RawValue) -> Result<T, Fault> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let detail: String = error.to_string().chars().take(MAX_DETAIL).collect();
        Fault::InvalidParams(format!("invalid argument {index}: {detail}"))
    })
}

/// Why a text could not be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SplitError {
    /// The array has more elements than were allowed.
    TooMany,
    /// The text is no JSON array.
    NotAnArray,
}

/// The undecoded elements of a JSON array, at most `max`: a longer array costs no memory beyond its text.
///
/// # Errors
/// [`SplitError`].
pub(crate) fn split_array(text: &str, max: usize) -> Result<Vec<&RawValue>, SplitError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let elements = deserializer.deserialize_any(Split { max });
    let elements = elements.map_err(|error| {
        if error.to_string().starts_with(TOO_MANY) { SplitError::TooMany } else { SplitError::NotAnArray }
    })?;
    deserializer.end().map_err(|_| SplitError::NotAnArray)?;
    Ok(elements)
}

const TOO_MANY: &str = "too many elements";

struct Split {
    max: usize,
}

impl<'de> Visitor<'de> for Split {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while values.len() < self.max {
            match seq.next_element::<&'de RawValue>()? {
                Some(value) => values.push(value),
                None => return Ok(values),
            }
        }
        match seq.next_element::<IgnoredAny>()? {
            Some(_) => Err(serde::de::Error::custom(TOO_MANY)),
            None => Ok(values),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256, U64};

    const MAX_BYTES: usize = 4 << 20;

    fn message<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn absent_null_and_empty_parameters_are_the_same() {
        for params in [None, Some("[]"), Some("null"), Some(""), Some("[null]")] {
            let args = Args::parse(params, 2, MAX_BYTES).unwrap();
            assert_eq!(args.optional::<U64>(0).unwrap(), None);
            assert_eq!(message(args.required::<U64>(0)), "missing value for required argument 0");
            assert_eq!(args.block(0).unwrap(), BlockId::latest());
        }
    }

    #[test]
    fn too_many_parameters_are_refused_by_number() {
        let result = Args::parse(Some("[1,2,3]"), 2, MAX_BYTES).map(|_| ());
        assert_eq!(message(result), "too many arguments, want at most 2");
        let long = format!("[{}1]", "1,".repeat(1_000_000));
        assert_eq!(message(Args::parse(Some(&long), 2, MAX_BYTES).map(|_| ())), "too many arguments, want at most 2");
    }

    #[test]
    fn a_text_beyond_the_limit_is_not_even_parsed() {
        assert_eq!(
            message(Args::parse(Some("[1, 2]"), 2, 5).map(|_| ())),
            "parameters of 6 bytes exceed the limit of 5"
        );
        Args::parse(Some("[1,2]"), 2, 5).unwrap();
    }

    #[test]
    fn anything_but_an_array_is_refused() {
        for params in ["{\"a\":1}", "1", "\"x\"", "["] {
            assert_eq!(message(Args::parse(Some(params), 2, MAX_BYTES).map(|_| ())), "non-array args");
        }
    }

    #[test]
    fn a_malformed_parameter_is_named_by_its_index() {
        let args = Args::parse(Some("[\"0x12\"]"), 1, MAX_BYTES).unwrap();
        assert!(message(args.required::<Address>(0)).starts_with("invalid argument 0: "));
    }

    #[test]
    fn an_error_text_never_grows_with_the_input() {
        let params = format!("[\"{}\"]", "z".repeat(1_000_000));
        let args = Args::parse(Some(&params), 1, MAX_BYTES).unwrap();
        assert!(message(args.block(0)).len() < 300);
    }

    #[test]
    fn blocks_may_be_numbers_tags_hashes_or_eip_1898_objects() {
        let hash = B256::repeat_byte(7);
        let params = format!("[\"0x10\",\"safe\",\"{hash}\",{{\"blockHash\":\"{hash}\"}},{{\"blockNumber\":\"0x1\"}}]");
        let args = Args::parse(Some(&params), 5, MAX_BYTES).unwrap();
        assert_eq!(args.block(0).unwrap(), BlockId::number(16));
        assert_eq!(args.block(1).unwrap(), BlockId::safe());
        assert_eq!(args.block(2).unwrap().as_block_hash(), Some(hash));
        assert_eq!(args.block(3).unwrap().as_block_hash(), Some(hash));
        assert_eq!(args.block(4).unwrap(), BlockId::number(1));
        assert_eq!(args.block(9).unwrap(), BlockId::latest());
    }
}
