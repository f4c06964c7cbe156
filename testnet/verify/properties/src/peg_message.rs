//! `PegMessage::decode` and the collector of attestations: one encoding, bounded memory, valid certificates.

use alloy_primitives::{B256, U256};
use causeway_peg::{
    Attestation, Attestations, Checkpoint, Outcome, ParentView, PegMessage, PegSigner as _, Refusal, SetAcknowledged,
    Settled, verify_signatures,
};

use crate::Target;
use crate::peg_module::FEDERATION;
use crate::reader::Reader;

/// See the module. After a first byte of 0 comes one message, after any other byte a conversation.
pub const TARGET: Target = Target { name: "peg_message", check, seeds, max_bytes: 512 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let all = &*FEDERATION;
    let set = all.set();
    let mut collected = Attestations::new(all.domain());
    if reader.u8() == 0 {
        let bytes = reader.rest();
        let Ok(message) = PegMessage::decode(bytes) else { return };
        assert_eq!(message.encode(), bytes, "one encoding");
        let genuine = message.signature.recover(all.domain().attestation_digest(&message.attestation));
        let outcome = collected.add(message, &set);
        if outcome == Outcome::Added {
            assert_eq!(genuine, Ok(message.signer));
            assert!(set.get(&message.signer).is_some());
            assert_eq!(collected.add(message, &set), Outcome::Duplicate);
        } else {
            assert!(collected.is_empty());
        }
        return;
    }
    for _ in 0..48 {
        if reader.is_empty() {
            break;
        }
        let kind = reader.u8();
        let what = u64::from(reader.u8());
        if kind & 15 == 15 {
            let settled = Settled {
                imported_nonce: what,
                recorded_checkpoint: what / 2,
                latest_checkpoint: what,
                epoch: what / 8,
                acked_epoch: what / 9,
            };
            collected.prune(settled, &set);
            continue;
        }
        let version = reader.u8();
        let attestation = attestation(kind, what, version >> 6);
        let signer = all.signer(usize::from(kind >> 6));
        let Ok(mut message) = PegMessage::sign(&all.domain(), attestation, signer) else { continue };
        if version & 15 == 1 {
            message.signer = all.signer(usize::from(kind >> 6) + 1).address();
        }
        match collected.add(message, &set) {
            Outcome::Refused(refusal) => assert_eq!(refusal.is_peers_fault(), refusal == Refusal::BadSignature),
            Outcome::Equivocation(pair) => assert_ne!(pair.0.attestation, pair.1.attestation),
            Outcome::Added => assert_ne!(version & 15, 1, "in another's name"),
            // A duplicate by the named signer: it is not forwarded, so its signature is not checked.
            Outcome::Duplicate => {}
        }
    }
    holds(&collected);
}

fn attestation(kind: u8, what: u64, version: u8) -> Attestation {
    match kind & 15 {
        0..=5 => Attestation::ParentView(ParentView {
            parentHeight: what,
            parentHash: B256::repeat_byte(version),
            depositNonce: what << (kind & 3),
            depositAcc: B256::repeat_byte(3),
        }),
        6..=10 => Attestation::Checkpoint(Checkpoint {
            number: what,
            height: what * 4,
            blockHash: B256::repeat_byte(version),
            ..Checkpoint::default()
        }),
        _ => Attestation::SetAcknowledged(SetAcknowledged { epoch: what, commitment: B256::repeat_byte(version) }),
    }
}

/// Every certificate of the collector is valid.
fn holds(collected: &Attestations) {
    let all = &*FEDERATION;
    let (set, domain) = (all.set(), all.domain());
    assert_eq!(collected.len(), collected.messages().count());
    if let Some((seen, signatures)) = collected.acknowledgement(&set) {
        assert_eq!(verify_signatures(domain.set_acknowledged_digest(&seen), &signatures, &set), Ok(()));
    }
    for message in collected.messages() {
        if let Attestation::Checkpoint(checkpoint) = message.attestation {
            let digest = domain.checkpoint_digest(&checkpoint);
            if let Some(signatures) = collected.checkpoint(checkpoint.number, digest, &set) {
                assert_eq!(verify_signatures(digest, &signatures, &set), Ok(()));
            }
        }
    }
    assert!(U256::from(collected.len()) <= U256::from(4 * 4_096));
}

fn seeds() -> Vec<Vec<u8>> {
    let all = &*FEDERATION;
    let mut seeds: Vec<_> = [0u8, 7, 12]
        .into_iter()
        .map(|kind| PegMessage::sign(&all.domain(), attestation(kind, 1, 1), all.signer(0)).expect("signs").encode())
        .map(|bytes| [vec![0], bytes].concat())
        .collect();
    seeds.push(vec![1, 7, 1, 64, 71, 1, 64, 135, 1, 64, 199, 1, 64]);
    seeds.push(vec![1, 11, 1, 0, 75, 1, 0, 139, 1, 0, 203, 1, 64, 11, 1, 64, 0, 1, 1, 15, 1, 0, 1, 5]);
    seeds
}
