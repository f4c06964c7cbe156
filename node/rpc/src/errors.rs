//! Every way a request can fail, with geth's codes and wording: clients match on both.

use alloy_primitives::Bytes;
use alloy_sol_types::decode_revert_reason;
use causeway_execution::UnknownRules;
use jsonrpsee::types::ErrorObjectOwned;

/// Code of a revert: `data` holds what the contract returned.
pub(crate) const CODE_REVERTED: i32 = 3;
/// Code of an answer that needs history this node has pruned.
pub(crate) const CODE_PRUNED: i32 = 4444;
/// Code of what the server refuses or cannot find.
pub(crate) const CODE_SERVER: i32 = -32000;
/// Code of a request beyond one of the server's limits.
pub(crate) const CODE_LIMIT: i32 = -32005;
/// Code of parameters that do not fit the method.
pub(crate) const CODE_INVALID_PARAMS: i32 = -32602;
/// Code of a fault of this node.
pub(crate) const CODE_INTERNAL: i32 = -32603;

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The caller's parameters do not parse or contradict each other.
    #[error("{0}")]
    InvalidParams(String),
    /// The named block is not in the chain (yet).
    #[error("header not found")]
    HeaderNotFound,
    /// The state or the bodies of that height are pruned.
    #[error("pruned history unavailable: block {number} is older than the oldest kept block {oldest}")]
    Pruned {
        /// Height that was asked for.
        number: u64,
        /// Oldest height that this node still has.
        oldest: u64,
    },
    /// The call reverted; the bytes are what it returned.
    #[error("{}", revert_message(.0))]
    Reverted(Bytes),
    /// The call, transaction or query was refused; the text is what clients match on.
    #[error("{0}")]
    Refused(String),
    /// The filter never existed or its time is over.
    #[error("filter not found")]
    FilterNotFound,
    /// A limit of the server was met; the text names it.
    #[error("{0}")]
    Limit(String),
    /// The request ran out of time.
    #[error("request timed out after {limit_ms} ms")]
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// This node failed: the details are in its log, not in the answer.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl Fault {
    /// A fault of this node: `detail` goes to the log, the caller learns only which part failed.
    pub(crate) fn internal(part: &'static str, detail: impl std::fmt::Display) -> Self {
        tracing::error!(part, %detail, "a request failed for a reason of this node");
        Self::Internal(part)
    }

    const fn code(&self) -> i32 {
        match self {
            Self::InvalidParams(_) => CODE_INVALID_PARAMS,
            Self::HeaderNotFound | Self::Refused(_) | Self::FilterNotFound | Self::TimedOut { .. } => CODE_SERVER,
            Self::Pruned { .. } => CODE_PRUNED,
            Self::Reverted(_) => CODE_REVERTED,
            Self::Limit(_) => CODE_LIMIT,
            Self::Internal(_) => CODE_INTERNAL,
        }
    }
}

impl From<UnknownRules> for Fault {
    fn from(unknown: UnknownRules) -> Self {
        Self::Refused(unknown.to_string())
    }
}

impl From<Fault> for ErrorObjectOwned {
    fn from(fault: Fault) -> Self {
        let data = match &fault {
            Fault::Reverted(output) => Some(output.clone()),
            _ => None,
        };
        ErrorObjectOwned::owned(fault.code(), fault.to_string(), data)
    }
}

/// "execution reverted: reason" where the output is a reason, a panic code or plain text; "execution reverted" otherwise.
fn revert_message(output: &Bytes) -> String {
    const PREFIX: &str = "execution reverted";
    // Custom errors carry data that only the caller's ABI can name, so nothing is appended for them.
    let known = [[0x08, 0xc3, 0x79, 0xa0], [0x4e, 0x48, 0x7b, 0x71]];
    let is_known = output.get(..4).is_some_and(|selector| known.iter().any(|k| selector == k));
    if !is_known {
        return PREFIX.to_owned();
    }
    match decode_revert_reason(output) {
        Some(reason) => format!("{PREFIX}: {}", strip_reason(&reason)),
        None => PREFIX.to_owned(),
    }
}

/// The decoder's own prefix repeats ours.
fn strip_reason(reason: &str) -> &str {
    reason.strip_prefix("revert: ").unwrap_or(reason)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use alloy_sol_types::{Revert, SolError};

    #[test]
    fn a_revert_with_a_reason_is_code_3_with_the_reason_and_its_data() {
        let output = Bytes::from(Revert::from("no money").abi_encode());
        let object = ErrorObjectOwned::from(Fault::Reverted(output.clone()));
        assert_eq!(object.code(), 3);
        assert_eq!(object.message(), "execution reverted: no money");
        assert_eq!(object.data().unwrap().get(), format!("\"{output}\""));
    }

    #[test]
    fn a_revert_with_a_custom_error_names_no_reason() {
        let fault = Fault::Reverted(Bytes::from(hex!("deadbeef0102").to_vec()));
        assert_eq!(fault.to_string(), "execution reverted");
        assert_eq!(Fault::Reverted(Bytes::new()).to_string(), "execution reverted");
    }

    #[test]
    fn a_truncated_reason_does_not_panic() {
        assert_eq!(Fault::Reverted(Bytes::from(hex!("08c379a0").to_vec())).to_string(), "execution reverted");
    }

    #[test]
    fn codes_are_the_ones_clients_know() {
        let code = |fault: Fault| ErrorObjectOwned::from(fault).code();
        assert_eq!(code(Fault::FilterNotFound), -32000);
        assert_eq!(code(Fault::HeaderNotFound), -32000);
        assert_eq!(code(Fault::Pruned { number: 1, oldest: 2 }), 4444);
        assert_eq!(code(Fault::InvalidParams(String::new())), -32602);
        assert_eq!(code(Fault::Limit(String::new())), -32005);
        assert_eq!(code(Fault::Internal("storage")), -32603);
    }
}
