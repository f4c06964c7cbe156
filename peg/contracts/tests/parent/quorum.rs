//! The boundary powers of `vectors/quorum.json`, which the Rust verifier's tests read as well.

use alloy_primitives::{B256, U256};
use causeway_contracts::{CheckpointRegistry, RegistryArgs, artifact, registry_deploy_code};
use causeway_peg::{Checkpoint, PegDomain, sign_digest, verify_signatures};
use serde::Deserialize;

use crate::{
    chain::Chain,
    world::{ALICE, BOB, PARENT_CHAIN_ID, planted, validators},
};

#[derive(Deserialize)]
struct Vector {
    powers: Vec<String>,
    signers: Vec<usize>,
    quorum: bool,
}

/// A vault without deposits: answers every call with one zero word.
const EMPTY_VAULT: [u8; 5] = [0x60, 0x20, 0x5f, 0xf3, 0x00];

#[test]
fn solidity_and_rust_agree_with_every_quorum_vector() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../vectors/quorum.json")).unwrap();
    assert!(vectors.len() > 200);
    for Vector { powers, signers, quorum } in vectors {
        let powers: Vec<u64> = powers.iter().map(|power| power.parse().unwrap()).collect();
        let (set, secrets) = validators(0, &powers);
        let mut chain = Chain::new(PARENT_CHAIN_ID);
        chain.set_code(BOB, EMPTY_VAULT.to_vec().into());
        let genesis_hash = B256::repeat_byte(1);
        let args = RegistryArgs { genesis_hash, validators: set.clone(), vault: BOB };
        let registry = chain.create(ALICE, planted(&artifact::REGISTRY, registry_deploy_code(&args))).created();
        let domain = PegDomain { parent_chain_id: PARENT_CHAIN_ID, registry, genesis_hash };
        let checkpoint = Checkpoint {
            number: 1,
            height: 1,
            stateRoot: B256::repeat_byte(2),
            withdrawalRoot: B256::repeat_byte(3),
            ..Checkpoint::default()
        };
        let digest = domain.checkpoint_digest(&checkpoint);
        let mut bitmap = U256::ZERO;
        let mut packed = Vec::new();
        let mut certificate = Vec::new();
        for position in &signers {
            let signature = sign_digest(&secrets[*position], digest).unwrap();
            bitmap.set_bit(*position, true);
            packed.extend_from_slice(signature.as_bytes());
            let signer = set.validators()[*position].address;
            certificate.push(causeway_peg::CertificateSig { signer, signature });
        }
        let call = CheckpointRegistry::submitCall {
            c: (&checkpoint).into(),
            validators: set.packed().into(),
            signers: bitmap,
            signatures: packed.into(),
            laterDeposits: vec![],
        };
        let outcome = chain.send(ALICE, registry, U256::ZERO, &call);
        assert_eq!(outcome.ok(), quorum, "{powers:?} {signers:?}");
        if !quorum {
            outcome.refused_as::<CheckpointRegistry::NoQuorum>();
        }
        assert_eq!(verify_signatures(digest, &certificate, &set).is_ok(), quorum, "{powers:?} {signers:?}");
    }
}
