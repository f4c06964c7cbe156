//! All data from a peer or a disk: round trips, canonical bytes, no panics.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolInterface;
use causeway_peg::{
    Attestation, CertificateSig, Checkpoint, Deposit, IPeg, ParentView, PegMessage, SetAcknowledged, Withdrawal,
    abi::SignatureAbi,
    message::{MAX_PEG_MESSAGE_BYTES, MessageError},
};
use proptest::prelude::*;

use crate::federation::{Federation, domain};

fn messages() -> [PegMessage; 3] {
    let federation = Federation::new(&[1]);
    let view = ParentView { parentHeight: 5, parentHash: keccak256("p"), depositNonce: 9, depositAcc: keccak256("a") };
    [
        federation.message(0, Attestation::ParentView(view)),
        federation.message(0, Attestation::Checkpoint(Checkpoint { number: 3, height: 30, ..Checkpoint::default() })),
        federation.message(0, Attestation::SetAcknowledged(SetAcknowledged { epoch: 4, commitment: keccak256("s") })),
    ]
}

#[test]
fn messages_round_trip_within_the_size_limit() {
    for message in messages() {
        let bytes = message.encode();
        assert!(bytes.len() <= MAX_PEG_MESSAGE_BYTES);
        assert_eq!(PegMessage::decode(&bytes).unwrap(), message);
        assert_eq!(message.signature.recover(domain().attestation_digest(&message.attestation)), Ok(message.signer));
    }
}

#[test]
fn message_encoding_is_golden() {
    // If a length changes, the wire format of every node changes.
    let lengths = messages().map(|message| message.encode().len());
    assert_eq!(lengths, [1 + 80 + 20 + 65, 1 + 232 + 20 + 65, 1 + 40 + 20 + 65]);
    assert_eq!(messages().map(|message| message.encode()[0]), [0, 1, 2]);
    let seen = &messages()[2].encode()[..41];
    assert_eq!(seen, [&[2, 4, 0, 0, 0, 0, 0, 0, 0][..], keccak256("s").as_slice()].concat());
}

#[test]
fn truncated_padded_and_oversized_messages_are_refused() {
    for message in messages() {
        let bytes = message.encode();
        for length in 0..bytes.len() {
            assert!(PegMessage::decode(&bytes[..length]).is_err());
        }
        assert!(matches!(PegMessage::decode(&[bytes.as_slice(), &[0]].concat()), Err(MessageError::Malformed(_))));
    }
    let huge = vec![0; MAX_PEG_MESSAGE_BYTES + 1];
    assert!(matches!(PegMessage::decode(&huge), Err(MessageError::TooLarge { got }) if got == huge.len()));
}

#[test]
fn any_changed_byte_of_a_message_is_refused_or_has_no_valid_signer() {
    for message in messages() {
        let bytes = message.encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut variant = bytes.clone();
                variant[at] ^= 1 << bit;
                let Ok(variant) = PegMessage::decode(&variant) else { continue };
                let digest = domain().attestation_digest(&variant.attestation);
                assert_ne!(variant.signature.recover(digest), Ok(variant.signer), "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn certificate_signatures_round_trip_through_the_abi() {
    let federation = Federation::new(&[2, 1]);
    for signature in federation.all(keccak256("digest")) {
        let abi = SignatureAbi::from(&signature);
        assert_eq!(CertificateSig::try_from(&abi), Ok(signature));
        let bad = SignatureAbi { v: 29, ..abi };
        assert!(CertificateSig::try_from(&bad).is_err());
    }
}

fn arbitrary_checkpoint() -> impl Strategy<Value = Checkpoint> {
    (any::<[u64; 5]>(), any::<[[u8; 32]; 6]>()).prop_map(|(numbers, hashes)| {
        let hashes = hashes.map(B256::from);
        Checkpoint {
            number: numbers[0],
            prevDigest: hashes[0],
            height: numbers[1],
            blockHash: hashes[1],
            stateRoot: hashes[2],
            withdrawalRoot: hashes[3],
            withdrawalCount: numbers[2],
            depositNonce: numbers[3],
            depositAcc: hashes[4],
            epoch: numbers[4],
            nextValset: hashes[5],
        }
    })
}

proptest! {
    #[test]
    fn structs_round_trip_on_disk_and_in_json(
        checkpoint in arbitrary_checkpoint(),
        numbers in any::<[u64; 2]>(),
        addresses in any::<[[u8; 20]; 3]>(),
        words in any::<[[u8; 32]; 2]>(),
    ) {
        let [token, sender, recipient] = addresses.map(Address::from);
        let [amount, relayer_fee] = words.map(U256::from_be_bytes);
        let deposit = Deposit { nonce: numbers[0], token, sender, recipient, amount };
        let withdrawal = Withdrawal { index: numbers[1], token, sender, recipient, amount, relayerFee: relayer_fee };
        let view = ParentView {
            parentHeight: numbers[0],
            parentHash: words[0].into(),
            depositNonce: numbers[1],
            depositAcc: words[1].into(),
        };
        prop_assert_eq!(borsh::from_slice::<Checkpoint>(&borsh::to_vec(&checkpoint).unwrap()).unwrap(), checkpoint);
        prop_assert_eq!(borsh::from_slice::<Deposit>(&borsh::to_vec(&deposit).unwrap()).unwrap(), deposit);
        prop_assert_eq!(borsh::from_slice::<Withdrawal>(&borsh::to_vec(&withdrawal).unwrap()).unwrap(), withdrawal);
        prop_assert_eq!(borsh::from_slice::<ParentView>(&borsh::to_vec(&view).unwrap()).unwrap(), view);
        let seen = SetAcknowledged { epoch: numbers[0], commitment: words[0].into() };
        prop_assert_eq!(borsh::from_slice::<SetAcknowledged>(&borsh::to_vec(&seen).unwrap()).unwrap(), seen);
        prop_assert_eq!(borsh::to_vec(&checkpoint).unwrap().len(), 5 * 8 + 6 * 32);
        let text = serde_json::to_string(&(checkpoint, deposit, withdrawal, view, seen)).unwrap();
        let back: (Checkpoint, Deposit, Withdrawal, ParentView, SetAcknowledged) = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(back, (checkpoint, deposit, withdrawal, view, seen));
    }

    #[test]
    fn decoders_take_any_bytes_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(message) = PegMessage::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes.clone(), "one encoding for each message");
        }
        let _ = borsh::from_slice::<Vec<CertificateSig>>(&bytes).is_ok();
        let _ = borsh::from_slice::<Checkpoint>(&bytes).is_ok();
        let _ = serde_json::from_slice::<CertificateSig>(&bytes).is_ok();
        let _ = IPeg::IPegCalls::abi_decode_validate(&bytes).is_ok();
    }

    #[test]
    fn mutated_calls_decode_without_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), selector in 0usize..4) {
        let federation = Federation::new(&[1]);
        let signatures: Vec<SignatureAbi> = federation.all(B256::ZERO).iter().map(Into::into).collect();
        let call = match selector {
            0 => IPeg::IPegCalls::importDeposits(IPeg::importDepositsCall {
                view_: ParentView::default(),
                signatures,
                deposits: vec![Deposit::default(); 2],
            }),
            1 => IPeg::IPegCalls::acknowledgeSet(IPeg::acknowledgeSetCall { epoch: 1, signatures }),
            2 => IPeg::IPegCalls::recordCheckpoint(IPeg::recordCheckpointCall { number: 1, signatures }),
            _ => IPeg::IPegCalls::withdraw(IPeg::withdrawCall { recipient: Address::ZERO, relayerFee: U256::ZERO }),
        };
        let mut bytes = call.abi_encode();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        let _ = IPeg::IPegCalls::abi_decode_validate(&bytes).is_ok();
        let _ = IPeg::IPegCalls::abi_decode_validate(&bytes[..at]).is_ok();
    }
}
