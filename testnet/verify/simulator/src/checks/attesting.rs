//! I5, signing, of the peg: an honest peg key signs one attestation for a subject, also over crashes, and only a true one.
//!
//! One parent view for each last deposit nonce, one checkpoint for each number, one set in force for each epoch; and all
//! honest keys name one next set for each epoch. Each of these may be signed once. A checkpoint is of a block that the machine
//! has made durable, with the state root that was decided; it is compared with the chain kept here, not with the module's slots.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, keccak256};
use causeway_peg::{Attestation, Checkpoint, PegMessage};

use super::{Violation, canon::Canon, ensure, violation::SIGNING};

/// The subject of an attestation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// Deposits up to a nonce.
    Deposits(u64),
    /// A checkpoint's number.
    Checkpoint(u64),
    /// The set of an epoch.
    SetInForce(u64),
}

/// The attestations of honest peg keys.
#[derive(Debug)]
pub(crate) struct Attested {
    honest: BTreeSet<Address>,
    signed: BTreeMap<(Address, Subject), B256>,
    next_sets: BTreeMap<u64, B256>,
    in_force: BTreeMap<u64, B256>,
}

impl Attested {
    /// Starts with the peg keys of these addresses.
    pub(crate) fn new(honest: impl IntoIterator<Item = Address>) -> Self {
        let honest = honest.into_iter().collect();
        Self { honest, signed: BTreeMap::new(), next_sets: BTreeMap::new(), in_force: BTreeMap::new() }
    }

    /// An honest machine, whose durable head is `head`, has sent an attestation.
    pub(crate) fn sent(&mut self, canon: &Canon, head: u64, message: &PegMessage) -> Result<(), Violation> {
        let (signer, height) = (message.signer, canon.height());
        if !self.honest.contains(&signer) {
            return Ok(());
        }
        let subject = match &message.attestation {
            Attestation::ParentView(view) => Subject::Deposits(view.depositNonce),
            Attestation::Checkpoint(checkpoint) => Subject::Checkpoint(checkpoint.number),
            Attestation::SetAcknowledged(seen) => Subject::SetInForce(seen.epoch),
        };
        let content = keccak256(borsh::to_vec(&message.attestation).unwrap_or_default());
        let before = *self.signed.entry((signer, subject)).or_insert(content);
        ensure(before == content, SIGNING, height, || format!("{signer} attested two things of {subject:?}"))?;
        match &message.attestation {
            Attestation::ParentView(_) => Ok(()),
            Attestation::Checkpoint(checkpoint) => self.checkpoint(canon, head, signer, checkpoint),
            Attestation::SetAcknowledged(seen) => {
                let known = *self.in_force.entry(seen.epoch).or_insert(seen.commitment);
                ensure(known == seen.commitment, SIGNING, height, || {
                    format!(
                        "{signer} attests the set {} of epoch {}, others attested {known}",
                        seen.commitment, seen.epoch
                    )
                })
            }
        }
    }

    fn checkpoint(&mut self, canon: &Canon, head: u64, signer: Address, signed: &Checkpoint) -> Result<(), Violation> {
        let (height, number) = (canon.height(), signed.number);
        ensure(signed.height <= head, SIGNING, height, || {
            format!(
                "{signer} signed checkpoint {number} of height {} with the head {head}: it is not final",
                signed.height
            )
        })?;
        let decided = canon.at(signed.height).map(|decided| (decided.hash, decided.state_root));
        ensure(decided == Some((signed.blockHash, signed.stateRoot)), SIGNING, height, || {
            format!("{signer} signed checkpoint {number} of another block than was decided at height {}", signed.height)
        })?;
        let due = number.checked_mul(canon.genesis.spec.checkpoint_interval);
        ensure(due == Some(signed.height), SIGNING, height, || {
            format!("{signer} signed checkpoint {number} of height {}", signed.height)
        })?;
        let epoch = canon.members(signed.height + 1).map(|members| members.epoch);
        ensure(epoch == Some(signed.epoch), SIGNING, height, || {
            format!("{signer} signed checkpoint {number} of epoch {}, it is of {epoch:?}", signed.epoch)
        })?;
        let known = *self.next_sets.entry(signed.epoch).or_insert(signed.nextValset);
        ensure(known == signed.nextValset && !known.is_zero(), SIGNING, height, || {
            format!(
                "{signer} names {} as the set after epoch {}, others named {known}",
                signed.nextValset, signed.epoch
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use causeway_peg::{ParentView, SetAcknowledged, Signature65};

    use super::*;
    use crate::checks::kit::{Kit, keys};

    /// A pegged chain of six blocks with a checkpoint due at every third.
    fn fresh() -> (Canon, Attested) {
        let (mut kit, mut canon) = Kit::pegged();
        for _ in 0..6 {
            canon.advance(&kit.next(&[]).executed, 0).unwrap();
        }
        (canon, Attested::new((1..=3).map(|seed| keys(seed).peg_address())))
    }

    fn by(seed: u8, attestation: Attestation) -> PegMessage {
        let signature = Signature65::from_parts(B256::repeat_byte(1), B256::with_last_byte(1), 27).unwrap();
        PegMessage { attestation, signer: keys(seed).peg_address(), signature }
    }

    fn checkpoint(canon: &Canon, number: u64) -> Checkpoint {
        let decided = canon.at(number * 3).unwrap();
        Checkpoint {
            number,
            height: number * 3,
            blockHash: decided.hash,
            stateRoot: decided.state_root,
            nextValset: B256::repeat_byte(5),
            ..Checkpoint::default()
        }
    }

    fn refused(doctor: impl Fn(&mut Checkpoint)) -> String {
        let (canon, mut attested) = fresh();
        let mut signed = checkpoint(&canon, 1);
        attested.sent(&canon, 6, &by(1, Attestation::Checkpoint(signed))).unwrap();
        doctor(&mut signed);
        let violation = attested.sent(&canon, 6, &by(2, Attestation::Checkpoint(signed))).unwrap_err();
        assert_eq!(violation.invariant, SIGNING);
        violation.text
    }

    #[test]
    fn a_key_attests_one_thing_of_a_subject() {
        let view = |parent: u64| ParentView { parentHeight: parent, depositNonce: 4, ..ParentView::default() };
        let (canon, mut attested) = fresh();
        attested.sent(&canon, 6, &by(1, Attestation::ParentView(view(8)))).unwrap();
        attested.sent(&canon, 6, &by(1, Attestation::ParentView(view(8)))).unwrap();
        attested.sent(&canon, 6, &by(2, Attestation::ParentView(view(9)))).unwrap();
        attested.sent(&canon, 6, &by(4, Attestation::ParentView(view(8)))).unwrap();
        attested.sent(&canon, 6, &by(4, Attestation::ParentView(view(9)))).unwrap();
        let second = attested.sent(&canon, 6, &by(1, Attestation::ParentView(view(9))));
        assert_eq!(second.unwrap_err().invariant, SIGNING);
        let signed = checkpoint(&canon, 1);
        attested.sent(&canon, 6, &by(1, Attestation::Checkpoint(signed))).unwrap();
        let other = Checkpoint { withdrawalCount: 1, ..signed };
        assert!(attested.sent(&canon, 6, &by(1, Attestation::Checkpoint(other))).is_err());
    }

    #[test]
    fn a_checkpoint_is_signed_when_its_block_is_final_and_of_that_block() {
        let (canon, mut attested) = fresh();
        let early = attested.sent(&canon, 5, &by(1, Attestation::Checkpoint(checkpoint(&canon, 2))));
        assert!(early.unwrap_err().text.contains("not final"));
        assert!(refused(|signed| signed.blockHash = B256::ZERO).contains("another block"));
        assert!(refused(|signed| signed.stateRoot = B256::ZERO).contains("another block"));
        assert!(refused(|signed| signed.number = 2).contains("of height 3"));
        assert!(refused(|signed| signed.epoch = 1).contains("it is of Some(0)"));
    }

    #[test]
    fn one_next_set_is_named_for_an_epoch_by_all() {
        assert!(refused(|signed| signed.nextValset = B256::repeat_byte(6)).contains("others named"));
        let (canon, mut attested) = fresh();
        let nobody = Checkpoint { nextValset: B256::ZERO, ..checkpoint(&canon, 1) };
        assert!(attested.sent(&canon, 6, &by(1, Attestation::Checkpoint(nobody))).is_err());
    }

    #[test]
    fn one_set_is_in_force_in_an_epoch() {
        let seen = |commitment| Attestation::SetAcknowledged(SetAcknowledged { epoch: 1, commitment });
        let (canon, mut attested) = fresh();
        attested.sent(&canon, 6, &by(1, seen(B256::repeat_byte(1)))).unwrap();
        assert!(attested.sent(&canon, 6, &by(2, seen(B256::repeat_byte(2)))).is_err());
        attested.sent(&canon, 6, &by(4, seen(B256::repeat_byte(2)))).unwrap();
    }
}
