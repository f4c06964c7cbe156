//! The code to deploy, its future addresses, and the expected code at these addresses.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolConstructor;
use causeway_peg::PegValidatorSet;

use crate::{
    artifact::{Artifact, REGISTRY, VAULT, test_contracts},
    bindings::{CheckpointRegistry, PegVault, TestToken},
};

/// The registry's constructor arguments.
#[derive(Clone, Debug)]
pub struct RegistryArgs {
    /// Hash of the sidechain's genesis block.
    pub genesis_hash: B256,
    /// The first validator set.
    pub validators: PegValidatorSet,
    /// The vault's (future) address.
    pub vault: Address,
}

/// The vault's constructor arguments.
#[derive(Clone, Copy, Debug)]
pub struct VaultArgs {
    /// The registry, deployed before.
    pub registry: Address,
    /// Seconds between a checkpoint's acceptance and claims against it. Use 0 only for a testnet. With value at stake, it is
    /// the time in which people can notice a forged checkpoint; 30 minutes are recommended.
    pub claim_delay_s: u64,
}

/// The future addresses of the contracts, `(registry, vault)`, when `deployer` sends the registry's creation with `nonce`
/// and the vault's with `nonce + 1`.
pub fn predicted_addresses(deployer: Address, nonce: u64) -> (Address, Address) {
    // EIP-2681 keeps account nonces below 2^64 - 1.
    (deployer.create(nonce), deployer.create(nonce.saturating_add(1)))
}

/// Creation code of the registry with its arguments.
pub fn registry_deploy_code(args: &RegistryArgs) -> Bytes {
    let arguments = CheckpointRegistry::constructorCall {
        genesisHash_: args.genesis_hash,
        validators: args.validators.packed().into(),
        epoch: args.validators.epoch(),
        vault_: args.vault,
    };
    creation(&REGISTRY, &arguments.abi_encode())
}

/// Creation code of the vault with its arguments.
pub fn vault_deploy_code(args: &VaultArgs) -> Bytes {
    let arguments = PegVault::constructorCall { registry_: args.registry, claimDelay_: args.claim_delay_s };
    creation(&VAULT, &arguments.abi_encode())
}

/// The expected code at the registry's address after a deployment with `args`. The validator set is in storage: compare
/// `validatorSetOf(epoch)` with its commitment.
pub fn registry_runtime_code(args: &RegistryArgs) -> Bytes {
    runtime(&REGISTRY, &[("genesisHash", args.genesis_hash), ("vault", args.vault.into_word())])
}

/// The expected code at the vault's address after a deployment with `args`.
pub fn vault_runtime_code(args: &VaultArgs) -> Bytes {
    let delay = B256::from(U256::from(args.claim_delay_s));
    runtime(&VAULT, &[("registry", args.registry.into_word()), ("claimDelay", delay)])
}

/// Creation code of the test token; its deployer receives `supply`.
pub fn test_token_deploy_code(supply: U256) -> Bytes {
    creation(&test_contracts::TOKEN, &TestToken::constructorCall { supply }.abi_encode())
}

fn creation(artifact: &Artifact, arguments: &[u8]) -> Bytes {
    [artifact.bytecode.as_ref(), arguments].concat().into()
}

fn runtime(artifact: &Artifact, immutables: &[(&str, B256)]) -> Bytes {
    assert_eq!(artifact.immutable_references.len(), immutables.len(), "a value is needed for every immutable");
    let mut code = artifact.deployed_bytecode.to_vec();
    for (name, value) in immutables {
        let places = artifact.immutable_references.get(*name).expect("the artifact names this immutable");
        for place in places {
            assert_eq!(place.length, 32, "immutables are words");
            code[place.start..place.start + place.length].copy_from_slice(value.as_slice());
        }
    }
    code.into()
}
