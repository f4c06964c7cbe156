//! Settings of the watcher: contracts, endpoints and read limits.

use alloy_primitives::{Address, B256};

/// Longest list of endpoints the watcher cross-checks.
pub const MAX_ENDPOINTS: usize = 8;
/// Capacity of the channel of [`crate::ParentWatcher::new`]; when it is full, the watcher waits for its reader.
pub const UPDATE_CHANNEL: usize = 64;

/// Settings of a [`crate::ParentWatcher`]. [`ParentConfig::new`] gives the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentConfig {
    /// HTTP(S) JSON-RPC endpoints, 1 to [`MAX_ENDPOINTS`]. With two or more, **all** of them must answer and agree before a
    /// deposit is attested: a failed endpoint must not leave another one as the only witness.
    pub endpoints: Vec<String>,
    /// Chain id every endpoint has to report.
    pub chain_id: u64,
    /// The vault whose deposits are followed.
    pub vault: Address,
    /// The registry whose latest checkpoint is reported.
    pub registry: Address,
    /// First block that can hold a deposit (the vault's deployment block); 0 reads from the parent's genesis.
    pub from_height: u64,
    /// Pause between two polls, ms.
    pub poll_ms: u64,
    /// Longest pause after failures, ms. The pause doubles from `poll_ms` up to this.
    pub max_backoff_ms: u64,
    /// Deadline of a single request, ms.
    pub request_timeout_ms: u64,
    /// Longest answer read from an endpoint, bytes.
    pub max_response_bytes: usize,
    /// Most blocks in one `eth_getLogs` request. Halved when refused, doubled again after success.
    pub max_log_range: u64,
}

impl ParentConfig {
    /// Defaults: poll every second, back off to 30 s, 10 s and 16 MiB per answer, 10,000 blocks per log range.
    pub fn new(endpoints: Vec<String>, chain_id: u64, vault: Address, registry: Address) -> Self {
        Self {
            endpoints,
            chain_id,
            vault,
            registry,
            from_height: 0,
            poll_ms: 1_000,
            max_backoff_ms: 30_000,
            request_timeout_ms: 10_000,
            max_response_bytes: 16 << 20,
            max_log_range: 10_000,
        }
    }

    /// Refuses settings with which the watcher can never work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        if self.endpoints.len() > MAX_ENDPOINTS {
            return Err(ConfigError::TooManyEndpoints(self.endpoints.len()));
        }
        for (i, endpoint) in self.endpoints.iter().enumerate() {
            if self.endpoints[..i].contains(endpoint) {
                return Err(ConfigError::DuplicateEndpoint(redact(endpoint)));
            }
        }
        for (name, value) in [
            ("poll_ms", self.poll_ms),
            ("max_backoff_ms", self.max_backoff_ms),
            ("request_timeout_ms", self.request_timeout_ms),
            ("max_log_range", self.max_log_range),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        if self.max_response_bytes == 0 {
            return Err(ConfigError::Zero("max_response_bytes"));
        }
        Ok(())
    }
}

/// The state that the sidechain has already imported, where reading resumes. All zero for a chain that has imported nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchFrom {
    /// Height of the last imported parent view. That block is read again: it may hold deposits after the view's cut.
    pub parent_height: u64,
    /// Nonce of the last imported deposit.
    pub deposit_nonce: u64,
    /// Accumulator after that deposit.
    pub deposit_acc: B256,
}

/// Settings that cannot work. The operator is at fault; the text says which line to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The list is empty.
    #[error("no parent endpoint is configured: name at least one JSON-RPC URL")]
    NoEndpoint,
    /// More than [`MAX_ENDPOINTS`].
    #[error("{0} parent endpoints are configured, but at most {MAX_ENDPOINTS} are allowed")]
    TooManyEndpoints(usize),
    /// The same URL twice: this would cross-check nothing.
    #[error("parent endpoint {0} is configured twice: name a different second endpoint")]
    DuplicateEndpoint(String),
    /// Not an HTTP(S) URL.
    #[error("parent endpoint {endpoint} is not an http(s) URL: {reason}")]
    BadUrl {
        /// The URL without its secrets.
        endpoint: String,
        /// The parser's message.
        reason: String,
    },
    /// A setting that must be positive is zero.
    #[error("parent setting {0} must not be 0")]
    Zero(&'static str),
    /// The HTTP client could not be created, for example because no root certificates were found.
    #[error("the HTTP client could not be created: {0}")]
    Client(String),
}

/// An endpoint's URL for logs. Providers put API keys into user info, path and query, so only scheme, host and port stay.
pub fn redact(endpoint: &str) -> String {
    match reqwest::Url::parse(endpoint) {
        Ok(url) => match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
            (Some(host), None) => format!("{}://{host}", url.scheme()),
            (None, _) => "<no host>".to_owned(),
        },
        Err(_) => "<not a URL>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoints: &[&str]) -> ParentConfig {
        let endpoints = endpoints.iter().map(|e| (*e).to_owned()).collect();
        ParentConfig::new(endpoints, 1, Address::repeat_byte(1), Address::repeat_byte(2))
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(config(&["http://localhost:8545"]).validate(), Ok(()));
    }

    #[test]
    fn empty_long_and_repeated_endpoint_lists_are_refused() {
        assert_eq!(config(&[]).validate(), Err(ConfigError::NoEndpoint));
        assert!(matches!(config(&["http://a", "http://a"]).validate(), Err(ConfigError::DuplicateEndpoint(_))));
        let many: Vec<String> = (0..9).map(|i| format!("http://h{i}")).collect();
        let refs: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(config(&refs).validate(), Err(ConfigError::TooManyEndpoints(9)));
    }

    #[test]
    fn zero_settings_are_refused() {
        let mut zero = config(&["http://a"]);
        zero.max_log_range = 0;
        assert_eq!(zero.validate(), Err(ConfigError::Zero("max_log_range")));
    }

    #[test]
    fn logged_endpoints_carry_no_key() {
        assert_eq!(redact("https://user:secret@node.example:8545/v3/KEY?k=KEY"), "https://node.example:8545");
        assert_eq!(redact("http://node.example/KEY"), "http://node.example");
        assert_eq!(redact("nonsense"), "<not a URL>");
    }
}
