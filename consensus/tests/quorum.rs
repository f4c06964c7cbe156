//! The boundary powers of the peg's vectors. The tests of the peg's rules and contracts read the same vectors, so the quorum
//! rule is equal everywhere; they also check that the vectors cover every kind of boundary.

use crate::kit::*;
use alloy_primitives::B256;
use causeway_consensus::*;
use serde_json::Value;

struct Vector {
    kind: String,
    powers: Vec<u64>,
    refused: bool,
    signers: Vec<usize>,
    quorum: bool,
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../peg/contracts/vectors/quorum.json")).unwrap();
    let vectors = vectors.iter().map(|vector| Vector {
        kind: vector["kind"].as_str().unwrap().to_owned(),
        powers: list(&vector["powers"]).map(|power| power.as_str().unwrap().parse().unwrap()).collect(),
        refused: list(&vector["refusedBy"]).any(|room| room == "consensus"),
        signers: list(&vector["signers"]).map(|at| usize::try_from(at.as_u64().unwrap()).unwrap()).collect(),
        quorum: vector["quorum"].as_bool().unwrap(),
    });
    vectors.collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn members(powers: &[u64]) -> Vec<Validator> {
    powers.iter().enumerate().map(|(n, power)| Validator::new(signer(n).key(), *power)).collect()
}

fn certificate(signers: &[usize]) -> CommitCertificate {
    let mut certificate = CommitCertificate {
        height: Height(5),
        round: Round(1),
        block_hash: B256::repeat_byte(3),
        signatures: Vec::new(),
    };
    for signer in signers.iter().map(|n| signer(*n)) {
        let vote = Vote {
            kind: VoteKind::Precommit,
            height: certificate.height,
            round: certificate.round,
            block_hash: Some(certificate.block_hash),
            validator: signer.validator(),
        };
        let signature = signer.sign(&vote.sign_bytes(CHAIN)).unwrap();
        certificate.signatures.push(CommitSignature { validator: vote.validator, signature });
    }
    certificate.signatures.sort();
    certificate
}

#[test]
fn certificates_prove_exactly_at_the_vectors_quorums() {
    let (mut enough, mut short) = (0, 0);
    for Vector { kind, powers, signers, quorum, .. } in vectors().into_iter().filter(|vector| !vector.refused) {
        let set = ValidatorSet::new(members(&powers)).unwrap();
        let (signed, total) = (signers.iter().map(|n| powers[*n]).sum(), set.total_power());
        assert_eq!(set.is_quorum(signed), quorum, "{kind}: {signers:?} of {powers:?}");
        let expected = if quorum { Ok(()) } else { Err(CertificateError::NotEnoughPower { signed, total }) };
        assert_eq!(certificate(&signers).verify(CHAIN, &set), expected, "{kind}: {signers:?} of {powers:?}");
        *(if quorum { &mut enough } else { &mut short }) += 1;
    }
    assert!(enough > 100 && short > 100, "{enough} and {short}");
}

#[test]
fn sets_that_the_vectors_call_refused_are_refused() {
    let mut refused = 0;
    for Vector { kind, powers, .. } in vectors().into_iter().filter(|vector| vector.refused) {
        let members = members(&powers);
        let powerless = members.iter().find(|member| member.power == 0).map(|member| member.id);
        let expected = match (kind.as_str(), powerless) {
            ("empty", _) => ValidatorSetError::Empty,
            ("too many members", _) => ValidatorSetError::TooMany(powers.len()),
            ("zero power", Some(id)) => ValidatorSetError::NoPower(id),
            _ => ValidatorSetError::TooMuchPower,
        };
        assert_eq!(ValidatorSet::new(members), Err(expected), "{kind}: {powers:?}");
        refused += 1;
    }
    assert!(refused > 20, "{refused}");
}
