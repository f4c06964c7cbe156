//! Deploys the peg's contracts in the order that genesis expects, and verifies the code at their addresses.
//!
//! Genesis names the contracts, and the contracts commit to genesis. This is possible because the addresses follow from
//! (deployer, nonce): the registry is created at the deployer's nonce n, the vault at n + 1.

use crate::submitter::{SubmitError, Submitter};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use causeway_contracts::{
    CheckpointRegistry, PegVault, RegistryArgs, VaultArgs, predicted_addresses, registry_deploy_code,
    registry_runtime_code, vault_deploy_code, vault_runtime_code,
};
use causeway_peg::PegValidatorSet;

/// The values that a deployment commits to. All of them except the delay follow from genesis.
#[derive(Clone, Debug)]
pub struct DeployParams {
    /// Hash of the sidechain's genesis block.
    pub genesis_hash: B256,
    /// The first validator set.
    pub validators: PegValidatorSet,
    /// The account that deploys.
    pub deployer: Address,
    /// Nonce of the registry's deployment; the vault's deployment has the next nonce.
    pub deployer_nonce: u64,
    /// Seconds between a checkpoint's acceptance and claims against it. Use 0 only for a testnet.
    pub claim_delay_s: u64,
}

/// A verified deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The registry.
    pub registry: Address,
    /// The vault.
    pub vault: Address,
    /// The vault's claim delay, seconds.
    pub claim_delay_s: u64,
}

impl DeployParams {
    fn addresses(&self) -> (Address, Address) {
        predicted_addresses(self.deployer, self.deployer_nonce)
    }
}

impl Submitter {
    /// Deploys the missing contracts (none, the vault, or both) and verifies the result. Calling it again resumes an
    /// interrupted deployment.
    ///
    /// # Errors
    /// [`SubmitError`]; `Unexpected` when this key is not the expected deployer or the expected nonce was already used.
    pub async fn deploy(&self, params: &DeployParams) -> Result<Deployment, SubmitError> {
        let (registry, vault) = params.addresses();
        if self.address() != params.deployer {
            return Err(SubmitError::Unexpected(format!(
                "genesis expects the deployer {}, but this key is {}: use the deployer's key",
                params.deployer,
                self.address()
            )));
        }
        if self.code(registry).await?.is_empty() {
            let args = RegistryArgs { genesis_hash: params.genesis_hash, validators: params.validators.clone(), vault };
            self.create("registry", params.deployer_nonce, registry, registry_deploy_code(&args)).await?;
        }
        if self.code(vault).await?.is_empty() {
            let args = VaultArgs { registry, claim_delay_s: params.claim_delay_s };
            self.create("vault", params.deployer_nonce.saturating_add(1), vault, vault_deploy_code(&args)).await?;
        }
        let deployment = self.verify_deployment(params.genesis_hash, &params.validators, registry, vault).await?;
        if deployment.claim_delay_s != params.claim_delay_s {
            return Err(SubmitError::Unexpected(format!(
                "vault {vault} has a claim delay of {} s, but {} s was requested: the delay is immutable, so request the vault's delay or make \
                 a new genesis",
                deployment.claim_delay_s, params.claim_delay_s
            )));
        }
        Ok(deployment)
    }

    async fn create(&self, name: &str, nonce: u64, address: Address, code: Bytes) -> Result<(), SubmitError> {
        let found = self.nonce(self.address()).await?;
        if found != nonce {
            return Err(SubmitError::Unexpected(format!(
                "the {name} must be deployed with nonce {nonce} of {}, whose next nonce is {found}: make a genesis for \
                 that nonce, or use a fresh deployer",
                self.address()
            )));
        }
        let included = self.send(TxKind::Create, U256::ZERO, code).await?;
        match included.contract {
            Some(created) if created == address => {
                tracing::info!(%name, %address, height = included.height, "deployed on the parent");
                Ok(())
            }
            other => Err(SubmitError::Unexpected(format!(
                "the {name} was created at {other:?} instead of {address}: another process uses the deployer's key too"
            ))),
        }
    }

    /// Checks at the parent's head that the code at the addresses is exactly that of the contracts, and that they commit to
    /// this genesis, to this validator set and to each other.
    ///
    /// # Errors
    /// [`SubmitError`]; `Unexpected` names the difference.
    pub async fn verify_deployment(
        &self,
        genesis_hash: B256,
        validators: &PegValidatorSet,
        registry: Address,
        vault: Address,
    ) -> Result<Deployment, SubmitError> {
        let args = RegistryArgs { genesis_hash, validators: validators.clone(), vault };
        self.same_code("registry", registry, &registry_runtime_code(&args)).await?;
        if self.code(vault).await?.is_empty() {
            return Err(SubmitError::Unexpected(format!("there is no vault at {vault}: deploy it")));
        }
        let claim_delay_s = self.view(vault, PegVault::claimDelayCall {}).await?;
        let args = VaultArgs { registry, claim_delay_s };
        self.same_code("vault", vault, &vault_runtime_code(&args)).await?;
        let epoch = validators.epoch();
        let committed = self.view(registry, CheckpointRegistry::validatorSetOfCall { epoch }).await?;
        if committed != validators.commitment() {
            return Err(SubmitError::Unexpected(format!(
                "registry {registry} commits to the validator set {committed} in epoch {epoch}, but genesis has {}: it \
                 belongs to another sidechain",
                validators.commitment()
            )));
        }
        Ok(Deployment { registry, vault, claim_delay_s })
    }

    async fn same_code(&self, name: &str, address: Address, expected: &Bytes) -> Result<(), SubmitError> {
        let found = self.code(address).await?;
        if found == *expected {
            return Ok(());
        }
        let fault = if found.is_empty() {
            format!("there is no {name} at {address}: deploy it, or check the parent chain")
        } else {
            format!(
                "the code at {address} is not the {name} of this release for this genesis: do not deposit; check the \
                 genesis file and the release"
            )
        };
        Err(SubmitError::Unexpected(fault))
    }
}
