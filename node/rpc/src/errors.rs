//! Why a request fails. Codes and texts are geth's, since clients match on both.

use alloy_primitives::Bytes;
use alloy_sol_types::decode_revert_reason;
use causeway_execution::UnknownRules;
use jsonrpsee::types::ErrorObjectOwned;

/// Code of a revert. `data` is the output of the contract.
pub(crate) const CODE_REVERTED: i32 = 3;
/// Code of a request for history that this node has pruned.
pub(crate) const CODE_PRUNED: i32 = 4444;
/// Code of a refusal, and of an object that does not exist.
pub(crate) const CODE_SERVER: i32 = -32000;
/// Code of a request that exceeds a limit of the server.
pub(crate) const CODE_LIMIT: i32 = -32005;
/// Code of invalid parameters.
pub(crate) const CODE_INVALID_PARAMS: i32 = -32602;
/// Code of a fault of this node.
pub(crate) const CODE_INTERNAL: i32 = -32603;

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The parameters cannot be parsed, or contradict each other.
    #[error("{0}")]
    InvalidParams(String),
    /// The block is not in the chain.
    #[error("header not found")]
    HeaderNotFound,
    /// The state or the blocks of this height are pruned.
    #[error("pruned history unavailable: block {number} is older than the oldest kept block {oldest}")]
    Pruned {
        /// The requested height.
        number: u64,
        /// The oldest height that this node has.
        oldest: u64,
    },
    /// The call reverted. The bytes are its output.
    #[error("{}", revert_message(.0))]
    Reverted(Bytes),
    /// The call, transaction or query was refused. Clients match on the text.
    #[error("{0}")]
    Refused(String),
    /// The filter does not exist or has expired.
    #[error("filter not found")]
    FilterNotFound,
    /// The request exceeds a limit of the server. The text names the limit.
    #[error("{0}")]
    Limit(String),
    /// The request took too long.
    #[error("request timed out after {limit_ms} ms")]
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// This node failed. The details are in its log only.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl Fault {
    /// A fault of this node. `detail` goes to the log; the caller learns only which part failed.
    pub(crate) fn internal(part: &'static str, detail: impl std::fmt::Display) -> Self {
        tracing::error!(part, %detail, "a request failed through a fault of this node");
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

/// "execution reverted: reason" if the output is an encoded reason or a panic code; otherwise "execution reverted".
fn revert_message(output: &Bytes) -> String {
    const PREFIX: &str = "execution reverted";
    // Only the caller's ABI can name a custom error, so nothing is appended for one.
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

/// Removes the decoder's prefix, which repeats ours.
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
