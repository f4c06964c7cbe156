use alloy_primitives::{B256, U256, keccak256};
use causeway_peg::{
    CertificateError, CertificateSig, Signature65, SignatureError, certificate::smallest_quorum, sign_digest,
    signature::address_of, verify_signatures,
};
use proptest::prelude::*;

use crate::federation::Federation;

const ORDER: U256 = U256::from_limbs([0xbfd25e8cd0364141, 0xbaaedce6af48a03b, 0xfffffffffffffffe, 0xffffffffffffffff]);

#[test]
fn duplicate_unordered_and_unknown_signers_are_refused() {
    let federation = Federation::new(&[4, 3, 2, 1]);
    let digest = keccak256("digest");
    let verify =
        |who: &[usize]| verify_signatures(digest, &federation.sign(digest, who.iter().copied()), &federation.set);
    assert_eq!(verify(&[0, 1]), Ok(()));
    assert_eq!(verify(&[0, 1, 2, 3]), Ok(()));
    let out_of_order =
        |position: usize| Err(CertificateError::OutOfOrder { signer: federation.set.validators()[position].address });
    assert_eq!(verify(&[0, 0]), out_of_order(0));
    assert_eq!(verify(&[0, 0, 1]), out_of_order(0));
    assert_eq!(verify(&[1, 0]), out_of_order(0));
    assert_eq!(verify(&[0, 1, 1]), out_of_order(1));
    let stranger_secret = keccak256("a stranger");
    let stranger = CertificateSig {
        signer: address_of(&stranger_secret).unwrap(),
        signature: sign_digest(&stranger_secret, digest).unwrap(),
    };
    let mut signatures = federation.all(digest);
    signatures.push(stranger);
    assert_eq!(
        verify_signatures(digest, &signatures, &federation.set),
        Err(CertificateError::UnknownSigner { signer: stranger.signer, epoch: 0 })
    );
}

#[test]
fn one_invalid_signature_invalidates_a_certificate_with_a_valid_quorum() {
    let federation = Federation::new(&[1, 1, 1, 1]);
    let digest = keccak256("digest");
    let mut signatures = federation.all(digest);
    signatures[3].signature = federation.sign(keccak256("another"), [3])[0].signature;
    let signer = signatures[3].signer;
    assert_eq!(verify_signatures(digest, &signatures, &federation.set), Err(CertificateError::WrongSigner { signer }));
}

#[test]
fn signature_listed_for_another_member_is_refused() {
    let federation = Federation::new(&[1, 1, 1, 1]);
    let digest = keccak256("digest");
    let mut signatures = federation.sign(digest, [0, 1, 2]);
    signatures[1].signature = signatures[0].signature;
    let signer = signatures[1].signer;
    assert_eq!(verify_signatures(digest, &signatures, &federation.set), Err(CertificateError::WrongSigner { signer }));
}

#[test]
fn empty_certificate_is_refused() {
    let federation = Federation::new(&[1]);
    assert_eq!(
        verify_signatures(B256::ZERO, &[], &federation.set),
        Err(CertificateError::NoQuorum { power: 0, total: 1 })
    );
}

#[test]
fn signature_has_one_form() {
    let secret = keccak256("secret");
    let digest = keccak256("digest");
    let good = sign_digest(&secret, digest).unwrap();
    assert_eq!(good.recover(digest), address_of(&secret));
    assert_eq!(sign_digest(&secret, digest), Ok(good), "signing is deterministic");

    let bytes = *good.as_bytes();
    assert_eq!(Signature65::from_bytes(&bytes), Ok(good));
    assert_eq!(Signature65::from_bytes(&bytes[..64]), Err(SignatureError::Length { got: 64 }));
    assert_eq!(Signature65::from_bytes(&[bytes.as_slice(), &[0]].concat()), Err(SignatureError::Length { got: 66 }));
    for v in (0..=255u8).filter(|v| !matches!(v, 27 | 28)) {
        let mut other = bytes;
        other[64] = v;
        assert_eq!(Signature65::from_bytes(&other), Err(SignatureError::RecoveryId { got: v }));
    }
    let twin = Signature65::from_parts(good.r().into(), (ORDER - good.s()).into(), 55 - good.v());
    assert_eq!(twin, Err(SignatureError::HighS));
    for (r, s) in [(B256::ZERO, B256::from(good.s())), (B256::from(good.r()), B256::ZERO)] {
        assert_eq!(Signature65::from_parts(r, s, 27), Err(SignatureError::Zero));
    }
    let half: U256 = ORDER >> 1;
    assert!(Signature65::from_parts(good.r().into(), half.into(), 27).is_ok());
    assert_eq!(Signature65::from_parts(good.r().into(), (half + U256::ONE).into(), 27), Err(SignatureError::HighS));
    // r at or above the order: well-formed, but no point of the curve.
    let r_too_large = Signature65::from_parts(ORDER.into(), good.s().into(), 27).unwrap();
    assert_eq!(r_too_large.recover(digest), Err(SignatureError::Unrecoverable));
}

#[test]
fn secrets_outside_the_curves_order_are_refused() {
    for secret in [B256::ZERO, B256::from(ORDER), B256::repeat_byte(0xff)] {
        assert_eq!(sign_digest(&secret, keccak256("digest")), Err(SignatureError::InvalidSecret));
        assert!(causeway_peg::LocalPegSigner::new(secret).is_err());
    }
}

#[test]
fn signer_does_not_print_its_secret() {
    let secret = keccak256("secret");
    let signer = causeway_peg::LocalPegSigner::new(secret).unwrap();
    let text = format!("{signer:?}");
    assert!(!text.contains(&format!("{secret:x}")) && !text.contains("secret"), "{text}");
}

#[test]
fn changing_any_byte_of_a_certificate_refuses_it() {
    let federation = Federation::new(&[1, 1, 1, 1]);
    let digest = keccak256("digest");
    let signatures = federation.sign(digest, [0, 1, 3]);
    let bytes = borsh::to_vec(&signatures).unwrap();
    assert!(bytes.len() > 200);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut variant = bytes.clone();
            variant[at] ^= 1 << bit;
            let Ok(variant) = borsh::from_slice::<Vec<CertificateSig>>(&variant) else { continue };
            assert!(verify_signatures(digest, &variant, &federation.set).is_err(), "byte {at} bit {bit}");
        }
    }
    for at in 0..32 {
        let mut other = digest;
        other.0[at] ^= 1;
        assert!(verify_signatures(other, &signatures, &federation.set).is_err(), "digest byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn smallest_quorum_verifies_and_loses_its_quorum_with_its_last_signature(
        mut powers in prop::collection::vec(1u64..100, 1..12),
        chosen in prop::collection::vec(any::<bool>(), 12),
    ) {
        powers.sort_by(|a, b| b.cmp(a));
        let federation = Federation::new(&powers);
        let digest = keccak256("digest");
        let who: Vec<usize> = (0..powers.len()).filter(|i| chosen[*i]).collect();
        // Given in any order, with repetitions.
        let given: Vec<CertificateSig> = federation.sign(digest, who.iter().rev().chain(&who).copied());
        let power: u128 = who.iter().map(|i| u128::from(powers[*i])).sum();
        match smallest_quorum(given, &federation.set) {
            Some(certificate) => {
                prop_assert_eq!(verify_signatures(digest, &certificate, &federation.set), Ok(()));
                let short = &certificate[..certificate.len() - 1];
                let verdict = verify_signatures(digest, short, &federation.set);
                prop_assert!(matches!(verdict, Err(CertificateError::NoQuorum { .. })), "{:?}", verdict);
            }
            None => prop_assert!(!federation.set.is_quorum(power)),
        }
    }
}
