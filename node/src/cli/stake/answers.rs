//! The fields of the `staking_` methods' answers that the commands use.

use alloy_primitives::{Address, B256, U64, U256};
use serde::Deserialize;

use crate::cli::rpc_client::RpcClient;

/// `staking_epoch`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Epoch {
    pub(super) number: U64,
    pub(super) start_height: U64,
    pub(super) length: U64,
    pub(super) extended: U64,
    pub(super) alarm: Option<String>,
}

impl Epoch {
    /// The epoch `ahead` of this one, and its first height if no epoch is extended.
    pub(super) fn ahead(&self, ahead: u64) -> (u64, u64) {
        let start = self.start_height.to::<u64>();
        let blocks = self.length.to::<u64>().saturating_mul(ahead).saturating_add(self.extended.to::<u64>());
        (self.number.to::<u64>().saturating_add(ahead), start.saturating_add(blocks))
    }
}

/// One of `staking_validators`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Validator {
    pub(super) operator: Address,
    /// The id used by votes and evidence.
    pub(super) validator: Address,
    pub(super) consensus_key: B256,
    pub(super) status: String,
    pub(super) power: U64,
    pub(super) next_power: U64,
    pub(super) stake: U256,
    pub(super) self_bond: U256,
    pub(super) commission_bps: U64,
    pub(super) jailed_until: Option<U64>,
    pub(super) exit_epoch: Option<U64>,
    pub(super) commission: U256,
    pub(super) rewards: U256,
    pub(super) uptime: Option<Uptime>,
}

/// A member's record in the current window of blocks.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Uptime {
    pub(super) certificates: U64,
    pub(super) signed: U64,
    pub(super) proposed: bool,
}

/// One of `staking_delegations`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Delegation {
    pub(super) validator: Address,
    pub(super) tokens: U256,
    pub(super) rewards: U256,
}

/// One of `staking_unbondings`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unbonding {
    pub(super) validator: Address,
    pub(super) leave_epoch: U64,
    pub(super) tokens: U256,
    pub(super) claimable_at: Option<U64>,
    pub(super) claimable: bool,
}

/// One of `staking_redelegations`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Redelegation {
    pub(super) id: U64,
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) leave_epoch: U64,
    pub(super) free_at: Option<U64>,
}

/// Time of the latest block, seconds: the module's time.
pub(super) async fn now(client: &RpcClient) -> eyre::Result<u64> {
    #[derive(Debug, Deserialize)]
    struct Head {
        timestamp: U64,
    }
    let head: Head = client.call("eth_getBlockByNumber", ("latest", false)).await?;
    Ok(head.timestamp.to())
}

/// The current epoch.
pub(super) async fn epoch(client: &RpcClient) -> eyre::Result<Epoch> {
    client.call("staking_epoch", ()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_ahead_begin_later_when_the_present_one_is_extended() {
        let mut epoch = Epoch {
            number: U64::from(3),
            start_height: U64::from(31),
            length: U64::from(10),
            extended: U64::ZERO,
            alarm: None,
        };
        assert_eq!(epoch.ahead(2), (5, 51));
        epoch.extended = U64::from(4);
        assert_eq!(epoch.ahead(1), (4, 45));
    }
}
