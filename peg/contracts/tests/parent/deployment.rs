use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolConstructor;
use causeway_contracts::{
    CheckpointRegistry, PegVault, RegistryArgs, VaultArgs, artifact, registry_runtime_code, vault_deploy_code,
    vault_runtime_code,
};

use crate::{
    chain::{Chain, Outcome},
    world::{ALICE, PARENT_CHAIN_ID, World, planted, validators},
};

#[test]
fn deployed_code_is_the_code_the_auditor_expects() {
    let mut world = World::with_delay(&[1, 1], 600);
    let args =
        RegistryArgs { genesis_hash: world.domain().genesis_hash, validators: world.set.clone(), vault: world.vault };
    assert_eq!(world.chain.code(world.registry), registry_runtime_code(&args));
    let vault_args = VaultArgs { registry: world.registry, claim_delay_s: 600 };
    assert_eq!(world.chain.code(world.vault), vault_runtime_code(&vault_args));
    let other = VaultArgs { claim_delay_s: 601, ..vault_args };
    assert_ne!(world.chain.code(world.vault), vault_runtime_code(&other));
    let commitment = world.chain.view(world.registry, &CheckpointRegistry::validatorSetOfCall { epoch: 0 });
    assert_eq!(commitment, world.set.commitment());
    assert_eq!(world.chain.view(world.registry, &CheckpointRegistry::vaultCall {}), world.vault);
    assert_eq!(world.chain.view(world.vault, &PegVault::registryCall {}), world.registry);
    assert_eq!(world.chain.view(world.vault, &PegVault::claimDelayCall {}), 600);
}

fn deploy_registry(genesis_hash: B256, packed: &[u8], vault: Address) -> Outcome {
    let arguments = CheckpointRegistry::constructorCall {
        genesisHash_: genesis_hash,
        validators: packed.to_vec().into(),
        epoch: 0,
        vault_: vault,
    };
    let code = [artifact::REGISTRY.bytecode.as_ref(), &arguments.abi_encode()].concat().into();
    Chain::new(PARENT_CHAIN_ID).create(ALICE, planted(&artifact::REGISTRY, code))
}

#[test]
fn registry_without_a_vault_or_a_genesis_is_refused() {
    let packed = validators(0, &[1]).0.packed();
    deploy_registry(B256::ZERO, &packed, ALICE).refused_with(CheckpointRegistry::ZeroGenesisHash {});
    deploy_registry(keccak256("g"), &packed, Address::ZERO).refused_with(CheckpointRegistry::ZeroVault {});
    assert!(deploy_registry(keccak256("g"), &packed, ALICE).ok());
}

#[test]
fn registry_cannot_start_with_a_set_that_has_no_power_or_no_order() {
    let entry = |address: u8, power: u64| [vec![address; 20], power.to_be_bytes().to_vec()].concat();
    let sets: [Vec<u8>; 9] = [
        vec![],                                       // nobody
        entry(1, 0),                                  // total power 0
        [entry(1, 5), entry(2, 0)].concat(),          // a member without power
        entry(0, 1),                                  // the zero address
        [entry(1, 1), entry(2, 2)].concat(),          // power rises
        [entry(2, 1), entry(1, 1)].concat(),          // equal power, address falls
        [entry(1, 1), entry(1, 1)].concat(),          // twice the same
        entry(1, 1)[..27].to_vec(),                   // torn
        [entry(1, 2), entry(2, 1), vec![1]].concat(), // a byte too many
    ];
    for packed in sets {
        deploy_registry(keccak256("g"), &packed, ALICE).refused_with(CheckpointRegistry::InvalidValidatorSet {});
    }
    assert!(deploy_registry(keccak256("g"), &[entry(1, 2), entry(2, 1), entry(3, 1)].concat(), ALICE).ok());
}

#[test]
fn largest_set_is_256_members() {
    let packed = |count: u16| -> Vec<u8> {
        (1..=count)
            .flat_map(|i| {
                let mut entry = [0u8; 28];
                entry[18..20].copy_from_slice(&i.to_be_bytes());
                entry[27] = 1;
                entry
            })
            .collect()
    };
    assert!(deploy_registry(keccak256("g"), &packed(256), ALICE).ok());
    deploy_registry(keccak256("g"), &packed(257), ALICE).refused_with(CheckpointRegistry::InvalidValidatorSet {});
}

#[test]
fn vault_refuses_a_registry_that_serves_another_vault() {
    let mut world = World::new(&[1]);
    let code = vault_deploy_code(&VaultArgs { registry: world.registry, claim_delay_s: 0 });
    world.chain.create(ALICE, planted(&artifact::VAULT, code)).refused_with(PegVault::WrongRegistry {});
}

#[test]
fn largest_set_signs_a_checkpoint_within_a_block() {
    let mut world = World::new(&[1; 256]);
    let checkpoint = world.checkpoint();
    let signers: Vec<usize> = (0..171).collect();
    let two_thirds: Vec<usize> = (0..170).collect();
    world
        .submit(&checkpoint, &two_thirds)
        .refused_with(CheckpointRegistry::NoQuorum { power: U256::from(170), total: U256::from(256) });
    let last: Vec<usize> = (85..256).collect();
    assert!(world.clone().submit(&checkpoint, &last).ok(), "the last member can sign, too");
    let outcome = world.submit(&checkpoint, &signers);
    assert!(outcome.ok());
    assert!(outcome.gas < 2_000_000, "{}", outcome.gas);
}
