//! The parent's side of a testnet: contracts, deposits, relayers' gas.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use causeway_contracts::PegVault;
use causeway_genesis::{Genesis, PegSpec};
use causeway_parent::{DeployParams, Http, Submitter, SubmitterConfig};
use eyre::{WrapErr as _, bail, eyre};
use serde_json::{Value, json};

use crate::{
    cli::coins,
    funding::{self, Call},
    rpc::Rpc,
};

/// Gas of a deposit: 45k measured, and the first one of a vault writes more fresh slots.
const DEPOSIT_GAS: u64 = 200_000;
/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Hundredths of a whole coin that a relayer gets: hundreds of checkpoints.
const RELAYER_CENTS: u64 = 50;
/// How often the parent is asked for receipts, in milliseconds.
const POLL_MS: u64 = 100;
/// Pause between two checks for minted coin.
const MINT_POLL: Duration = Duration::from_millis(100);
/// Deadline for deposits to be minted: finality of the parent, and then seconds.
const MINT_PATIENCE: Duration = Duration::from_secs(180);

/// The parent chain with the account that deploys and deposits.
#[derive(Debug)]
pub struct Parent {
    /// The endpoint.
    pub rpc: Rpc,
    /// Its chain id.
    pub chain_id: u64,
    operator: PrivateKeySigner,
}

impl Parent {
    /// Checks that the endpoint can be a parent: it answers, and it knows the `finalized` tag.
    pub async fn connect(url: &str, operator: PrivateKeySigner) -> eyre::Result<Self> {
        let rpc = Rpc::new(url)?;
        let chain_id = rpc.chain_id().await.wrap_err("the parent does not answer")?;
        let finalized: Result<Value, _> = rpc.call("eth_getBlockByNumber", json!(["finalized", false])).await;
        finalized.wrap_err("the parent has no `finalized` tag, so no deposit could ever be attested")?;
        Ok(Self { rpc, chain_id, operator })
    }

    /// Address of the account that deploys and deposits.
    pub fn operator(&self) -> Address {
        self.operator.address()
    }

    /// Where the contracts will be when the operator deploys them next.
    pub async fn plan(&self) -> eyre::Result<PegSpec> {
        let nonce = self.rpc.nonce(self.operator()).await?;
        causeway_genesis::ceremony::predicted_peg(self.chain_id, self.operator(), nonce)
            .ok_or_else(|| eyre!("the nonce of {} is used up", self.operator()))
    }

    /// Deploys registry and vault at the addresses in genesis, or checks the ones that exist.
    pub async fn deploy(&self, genesis: &Genesis) -> eyre::Result<()> {
        let (Some(peg), Some(validators)) = (&genesis.spec.peg, genesis.peg_validator_set()) else {
            bail!("the genesis has no peg: start anew with --clean");
        };
        let config =
            SubmitterConfig { poll_ms: POLL_MS, ..SubmitterConfig::new(self.rpc.url().to_owned(), self.chain_id) };
        let submitter = Submitter::connect(config, self.operator.clone(), Arc::new(Http::new()?)).await?;
        let deployment = submitter
            .deploy(&DeployParams {
                genesis_hash: genesis.hash,
                validators,
                deployer: peg.deployer,
                deployer_nonce: peg.deployer_nonce,
                // A short delay is enough here: no value is at risk, and users want to see their claim.
                claim_delay_s: 0,
            })
            .await
            .wrap_err("cannot deploy the peg's contracts on the parent")?;
        if (deployment.registry, deployment.vault) != (peg.registry, peg.vault) {
            bail!("the contracts are not where genesis names them: start anew with --clean");
        }
        Ok(())
    }

    /// Deposits made so far.
    pub async fn deposits(&self, vault: Address) -> eyre::Result<u64> {
        let data = Bytes::from(PegVault::depositNonceCall {}.abi_encode());
        let answer: Bytes = self.rpc.call("eth_call", json!([{ "to": vault, "data": data }, "latest"])).await?;
        Ok(PegVault::depositNonceCall::abi_decode_returns(&answer)?)
    }

    /// Deposits `amount` wei for each account, all at once.
    pub async fn deposit(&self, vault: Address, accounts: &[Address], amount: U256) -> eyre::Result<()> {
        let calls = accounts.iter().map(|recipient| Call {
            to: TxKind::Call(vault),
            value: amount,
            input: PegVault::depositNativeCall { recipient: *recipient }.abi_encode().into(),
            gas_limit: DEPOSIT_GAS,
        });
        self.afford(accounts.len(), amount).await?;
        let sent = funding::send_all(&self.rpc, &self.operator, &calls.collect::<Vec<_>>()).await;
        sent.wrap_err("cannot deposit")?;
        Ok(())
    }

    /// Sends coin to each relayer that has too little, so that it can pay for its first checkpoints.
    pub async fn pay_relayers(&self, accounts: &[Address]) -> eyre::Result<()> {
        let amount = coins(RELAYER_CENTS) / U256::from(100);
        let mut poor = Vec::new();
        for account in accounts {
            if self.rpc.balance(*account).await? < amount {
                let input = Bytes::new();
                poor.push(Call { to: TxKind::Call(*account), value: amount, input, gas_limit: TRANSFER_GAS });
            }
        }
        self.afford(poor.len(), amount).await?;
        funding::send_all(&self.rpc, &self.operator, &poor).await.wrap_err("cannot pay the relayers")?;
        Ok(())
    }

    async fn afford(&self, count: usize, each: U256) -> eyre::Result<()> {
        let needed = each.saturating_mul(U256::from(count));
        let has = self.rpc.balance(self.operator()).await?;
        if has < needed {
            let (operator, url) = (self.operator(), self.rpc.url());
            bail!("{operator} has {has} wei at {url}, but {needed} are needed: fund it, or choose a smaller --deposit");
        }
        Ok(())
    }
}

/// Waits until each account has its coin on the sidechain. Stops waiting when `alive` fails.
pub async fn minted(
    sidechain: &Rpc,
    accounts: &[Address],
    amount: U256,
    mut alive: impl FnMut() -> eyre::Result<()>,
) -> eyre::Result<()> {
    let deadline = tokio::time::Instant::now() + MINT_PATIENCE;
    for account in accounts {
        while sidechain.balance(*account).await? < amount {
            alive()?;
            if tokio::time::Instant::now() >= deadline {
                bail!(
                    "the deposits are not minted after {} s. Does the parent make blocks, and does its `finalized` tag \
                     advance? (anvil: --block-time 1 --slots-in-an-epoch 1)",
                    MINT_PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(MINT_POLL).await;
        }
    }
    Ok(())
}
