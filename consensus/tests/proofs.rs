//! Certificates and evidence: valid ones are accepted, and every invalid one is refused.

use crate::kit::*;
use alloy_primitives::B256;
use causeway_consensus::*;
use proptest::prelude::*;

fn certificate_of(powers: &[u64], signers: &[usize]) -> (CommitCertificate, ValidatorSet) {
    let members = powers.iter().enumerate().map(|(n, power)| Validator::new(signer(n).key(), *power));
    let set = ValidatorSet::new(members.collect()).unwrap();
    let hash = B256::repeat_byte(3);
    let mut signatures: Vec<_> = signers
        .iter()
        .map(|n| {
            let vote = Vote {
                kind: VoteKind::Precommit,
                height: Height(5),
                round: Round(1),
                block_hash: Some(hash),
                validator: signer(*n).validator(),
            };
            let signature = signer(*n).sign(&vote.sign_bytes(CHAIN)).unwrap();
            CommitSignature { validator: vote.validator, signature }
        })
        .collect();
    signatures.sort();
    (CommitCertificate { height: Height(5), round: Round(1), block_hash: hash, signatures }, set)
}

#[test]
fn exactly_two_thirds_prove_nothing_and_one_unit_more_proves_all() {
    for (powers, signers, enough) in [
        (vec![1, 1, 1], vec![0, 1], false),
        (vec![1, 1, 1], vec![0, 1, 2], true),
        (vec![10, 10, 10, 10], vec![0, 1, 2], true),
        (vec![10, 10, 10, 10], vec![0, 1], false),
        (vec![2, 1], vec![0], false),
        (vec![3, 1], vec![0], true),
        (vec![1], vec![0], true),
        (vec![1], vec![], false),
        (vec![MAX_TOTAL_POWER / 3 * 2, MAX_TOTAL_POWER / 3], vec![0], false),
        (vec![MAX_TOTAL_POWER / 3 * 2 + 1, MAX_TOTAL_POWER / 3], vec![0], true),
    ] {
        let (certificate, set) = certificate_of(&powers, &signers);
        let result = certificate.verify(CHAIN, &set);
        assert_eq!(result.is_ok(), enough, "{signers:?} of {powers:?}: {result:?}");
    }
}

#[test]
fn every_broken_rule_has_its_error() {
    let (good, set) = certificate_of(&[1, 1, 1, 1], &[0, 1, 2]);
    good.verify(CHAIN, &set).unwrap();
    assert!(matches!(good.verify(B256::ZERO, &set), Err(CertificateError::InvalidSignature(_))));

    let mut bad = good.clone();
    bad.signatures.swap(0, 1);
    assert!(matches!(bad.verify(CHAIN, &set), Err(CertificateError::NotSorted(_))));
    let mut bad = good.clone();
    bad.signatures[1] = bad.signatures[0].clone();
    assert!(matches!(bad.verify(CHAIN, &set), Err(CertificateError::NotSorted(_))), "a duplicate");
    let (foreign, _) = certificate_of(&[1, 1, 1, 1, 1], &[0, 1, 4]);
    assert!(matches!(foreign.verify(CHAIN, &set), Err(CertificateError::UnknownValidator(_))));
    let change: [fn(&mut CommitCertificate); 3] =
        [|c| c.height = Height(6), |c| c.round = Round(0), |c| c.block_hash = B256::ZERO];
    for change in change {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(matches!(bad.verify(CHAIN, &set), Err(CertificateError::InvalidSignature(_))));
    }
}

#[test]
fn one_flipped_bit_anywhere_breaks_a_certificate() {
    let (good, set) = certificate_of(&[1, 1, 1], &[0, 1, 2]);
    let bytes = borsh::to_vec(&good).unwrap();
    for at in 0..bytes.len() {
        for bit in [0, 7] {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << bit;
            let verified = borsh::from_slice::<CommitCertificate>(&broken).is_ok_and(|c| c.verify(CHAIN, &set).is_ok());
            assert!(!verified, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_signature_made_malleable_is_refused() {
    // s + l verifies under lax rules; strict rules require s < l.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (mut certificate, set) = certificate_of(&[1], &[0]);
    certificate.verify(CHAIN, &set).unwrap();
    let mut carry = 0u16;
    for (byte, l) in certificate.signatures[0].signature[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(l) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(certificate.verify(CHAIN, &set).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a naive oracle: a certificate holds exactly when its distinct signers have more than 2/3.
    #[test]
    fn quorums_match_a_naive_sum(
        powers in prop::collection::vec(1u64..20, 1..8),
        chosen in prop::collection::vec(any::<bool>(), 8)
    ) {
        let signers: Vec<_> = (0..powers.len()).filter(|n| chosen[*n]).collect();
        let signed: u64 = signers.iter().map(|n| powers[*n]).sum();
        let total: u64 = powers.iter().sum();
        let (certificate, set) = certificate_of(&powers, &signers);
        prop_assert_eq!(certificate.verify(CHAIN, &set).is_ok(), signed * 3 > total * 2);
    }
}

#[test]
fn evidence_is_verified_from_its_own_bytes() {
    let kit = Kit::idle(4, 0);
    let (a, b) = (block(1, 10), block(2, 10));
    let vote = |hash| kit.signed_vote(1, VoteKind::Precommit, 9, 2, hash);
    let key = kit.signers[1].key();
    for (x, y) in [(Some(a.hash), Some(b.hash)), (Some(a.hash), None), (None, Some(b.hash))] {
        let evidence = Evidence::of_votes(vote(x), vote(y));
        assert_eq!(evidence, Evidence::of_votes(vote(y), vote(x)), "one offence, one encoding");
        let bytes = borsh::to_vec(&evidence).unwrap();
        let decoded: Evidence = borsh::from_slice(&bytes).unwrap();
        decoded.verify(CHAIN, &key).unwrap();
        assert_eq!((decoded.validator(), decoded.height(), decoded.round()), (kit.id(1), Height(9), Round(2)));
        assert_eq!(decoded.hash(), evidence.hash());
        assert_eq!(decoded.verify(B256::ZERO, &key), Err(EvidenceError::InvalidSignature), "another chain");
        assert_eq!(decoded.verify(CHAIN, &kit.signers[0].key()), Err(EvidenceError::WrongKey(kit.id(1))));
    }
    let n = kit.proposer(1, 0);
    let evidence = Evidence::of_proposals(kit.proposal(1, 0, None, &a), kit.proposal(1, 0, None, &b));
    evidence.verify(CHAIN, &kit.signers[n].key()).unwrap();
}

#[test]
fn fake_evidence_is_refused() {
    let kit = Kit::idle(4, 0);
    let key = kit.signers[1].key();
    let hash = Some(B256::repeat_byte(1));
    let first = kit.signed_vote(1, VoteKind::Precommit, 9, 2, hash);
    let conflict = |second: &SignedVote| Evidence::of_votes(first.clone(), second.clone()).verify(CHAIN, &key);
    assert_eq!(conflict(&first), Err(EvidenceError::NoConflict), "twice the same");
    for other in [
        kit.signed_vote(1, VoteKind::Prevote, 9, 2, None),
        kit.signed_vote(1, VoteKind::Precommit, 8, 2, None),
        kit.signed_vote(1, VoteKind::Precommit, 9, 1, None),
    ] {
        assert_eq!(conflict(&other), Err(EvidenceError::NoConflict), "{other:?}");
    }
    let foreign = kit.signed_vote(2, VoteKind::Precommit, 9, 2, None);
    assert!(conflict(&foreign).is_err(), "two validators");
    let mut forged = kit.signed_vote(2, VoteKind::Precommit, 9, 2, None);
    forged.vote.validator = kit.id(1);
    assert_eq!(conflict(&forged), Err(EvidenceError::InvalidSignature));
    let second = kit.signed_vote(1, VoteKind::Precommit, 9, 2, None);
    let Evidence::Votes(low, high) = Evidence::of_votes(first.clone(), second) else { unreachable!() };
    assert_eq!(Evidence::Votes(high, low).verify(CHAIN, &key), Err(EvidenceError::NotCanonical));
    // The same block proposed with a different polka round is a second proposal; with the same content it is not.
    let block = block(1, 10);
    let n = kit.proposer(1, 2);
    let same = Evidence::of_proposals(kit.proposal(1, 2, None, &block), kit.proposal(1, 2, None, &block));
    assert_eq!(same.verify(CHAIN, &kit.signers[n].key()), Err(EvidenceError::NoConflict));
    let two = Evidence::of_proposals(kit.proposal(1, 2, None, &block), kit.proposal(1, 2, Some(1), &block));
    two.verify(CHAIN, &kit.signers[n].key()).unwrap();
}
