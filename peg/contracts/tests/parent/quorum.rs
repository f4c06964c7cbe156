//! The boundary powers of `vectors/quorum.json`, which the tests of the Rust verifier and of consensus read as well.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolConstructor;
use causeway_contracts::{CheckpointRegistry, artifact};
use causeway_peg::{
    Checkpoint, PegDomain, PegValidator, PegValidatorSet, sign_digest, signature::address_of, verify_signatures,
};
use serde::Deserialize;

use crate::{
    chain::{Chain, Outcome},
    world::{ALICE, BOB, PARENT_CHAIN_ID, planted},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vector {
    /// The kind of boundary: shown when a vector fails.
    #[allow(dead_code)]
    kind: String,
    powers: Vec<String>,
    refused_by: Vec<String>,
    signers: Vec<usize>,
    quorum: bool,
}

impl Vector {
    fn is_refused_by(&self, room: &str) -> bool {
        self.refused_by.iter().any(|refusing| refusing == room)
    }
}

/// A vault without deposits: it answers every call with one zero word.
const EMPTY_VAULT: [u8; 5] = [0x60, 0x20, 0x5f, 0xf3, 0x00];
const GENESIS: B256 = B256::repeat_byte(1);

/// The members (the Rust rules may refuse them as a set) and their secrets in ascending order of addresses.
fn members(vector: &Vector, keys: &[(Address, B256)]) -> (Vec<PegValidator>, Vec<B256>) {
    // Keys in ascending order of addresses are in committed order when powers descend.
    let keys = &keys[..vector.powers.len()];
    let powers = vector.powers.iter().map(|power| power.parse().unwrap());
    let members = keys.iter().zip(powers).map(|((address, _), power)| PegValidator { address: *address, power });
    (members.collect(), keys.iter().map(|(_, secret)| *secret).collect())
}

fn pack(members: &[PegValidator]) -> Vec<u8> {
    members.iter().flat_map(|m| [m.address.as_slice(), &m.power.to_be_bytes()].concat()).collect()
}

fn sum(powers: impl Iterator<Item = u64>) -> U256 {
    powers.map(U256::from).sum()
}

fn deploy(chain: &mut Chain, packed: &[u8]) -> Outcome {
    chain.set_code(BOB, EMPTY_VAULT.to_vec().into());
    let arguments = CheckpointRegistry::constructorCall {
        genesisHash_: GENESIS,
        validators: packed.to_vec().into(),
        epoch: 0,
        vault_: BOB,
    };
    let code = [artifact::REGISTRY.bytecode.as_ref(), &arguments.abi_encode()].concat().into();
    chain.create(ALICE, planted(&artifact::REGISTRY, code))
}

#[test]
fn solidity_and_rust_agree_with_every_quorum_vector() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../vectors/quorum.json")).unwrap();
    let most = vectors.iter().map(|vector| vector.powers.len()).max().unwrap();
    let secrets = (0..most).map(|seed| keccak256(format!("peg key {seed}")));
    let keys: BTreeMap<Address, B256> = secrets.map(|secret| (address_of(&secret).unwrap(), secret)).collect();
    let keys: Vec<(Address, B256)> = keys.into_iter().collect();
    let (mut accepted, mut refused) = (0, 0);
    for vector in &vectors {
        let (members, secrets) = members(vector, &keys);
        let packed = pack(&members);
        let mut chain = Chain::new(PARENT_CHAIN_ID);
        let deployed = deploy(&mut chain, &packed);
        if vector.is_refused_by("registry") {
            deployed.refused_with(CheckpointRegistry::InvalidValidatorSet {});
            refused += 1;
            continue;
        }
        accepted += 1;
        let registry = deployed.created();
        let domain = PegDomain { parent_chain_id: PARENT_CHAIN_ID, registry, genesis_hash: GENESIS };
        let checkpoint = Checkpoint {
            number: 1,
            height: 1,
            stateRoot: B256::repeat_byte(2),
            withdrawalRoot: B256::repeat_byte(3),
            ..Checkpoint::default()
        };
        let digest = domain.checkpoint_digest(&checkpoint);
        let mut bitmap = U256::ZERO;
        let mut signatures = Vec::new();
        let mut certificate = Vec::new();
        for position in &vector.signers {
            let signature = sign_digest(&secrets[*position], digest).unwrap();
            bitmap.set_bit(*position, true);
            signatures.extend_from_slice(signature.as_bytes());
            certificate.push(causeway_peg::CertificateSig { signer: members[*position].address, signature });
        }
        let call = CheckpointRegistry::submitCall {
            c: (&checkpoint).into(),
            validators: packed.clone().into(),
            signers: bitmap,
            signatures: signatures.into(),
            laterDeposits: vec![],
        };
        let outcome = chain.send(ALICE, registry, U256::ZERO, &call);
        assert_eq!(outcome.ok(), vector.quorum, "{vector:?}");
        if !vector.quorum {
            let power = sum(vector.signers.iter().map(|position| members[*position].power));
            let total = sum(members.iter().map(|member| member.power));
            outcome.refused_with(CheckpointRegistry::NoQuorum { power, total });
        }
        let set = PegValidatorSet::from_committed_order(0, members);
        assert_eq!(set.is_err(), vector.is_refused_by("peg"), "{vector:?}");
        if let Ok(set) = set {
            assert_eq!(set.packed(), packed);
            assert_eq!(verify_signatures(digest, &certificate, &set).is_ok(), vector.quorum, "{vector:?}");
        }
    }
    assert!(accepted > 350 && refused > 10, "{accepted} and {refused}");
}
