//! Changing any byte of a certificate or of a proof invalidates it.

use alloy_primitives::{Bytes, TxKind, U256};
use alloy_sol_types::SolCall;

use crate::world::{RELAYER, World, ether};

/// Sends `calldata` with each of its bytes changed, one at a time, in a fresh copy of the world; returns the number of
/// accepted variants.
fn accepted_variants(
    world: &World,
    to: alloy_primitives::Address,
    calldata: &[u8],
    skip: &[std::ops::Range<usize>],
) -> Vec<usize> {
    let mut accepted = Vec::new();
    for at in 0..calldata.len() {
        if skip.iter().any(|range| range.contains(&at)) {
            continue;
        }
        let mut variant = calldata.to_vec();
        variant[at] ^= 1 << (at % 8);
        let mut world = world.clone();
        if world.chain.transact(RELAYER, TxKind::Call(to), Bytes::from(variant), U256::ZERO).ok() {
            accepted.push(at);
        }
    }
    accepted
}

#[test]
fn changing_any_byte_of_a_claim_refuses_it() {
    let world = World::with_claims(&[ether(1), ether(2), ether(3)], U256::from(9));
    for index in 0..3 {
        let calldata = world.claim_against(index, 1).abi_encode();
        assert!(calldata.len() > 300);
        assert_eq!(accepted_variants(&world, world.vault, &calldata, &[]), Vec::<usize>::new());
        // The same claim with all siblings in the proof.
        let mut call = world.claim_against(index, 1);
        let leaf = u64::try_from(index).unwrap();
        call.proof = causeway_peg::tree::prove(&world.leaves(), leaf, 3).unwrap().to_vec();
        let calldata = call.abi_encode();
        assert!(calldata.len() > 1200);
        assert_eq!(accepted_variants(&world, world.vault, &calldata, &[]), Vec::<usize>::new());
    }
}

#[test]
fn changing_any_byte_of_a_checkpoint_or_its_certificate_refuses_it() {
    let mut world = World::new(&[3, 2, 2, 1]);
    world.deposit(crate::world::ALICE, crate::world::BOB, ether(1));
    world.import();
    let checkpoint = world.checkpoint();
    let call = world.submission(&checkpoint, &[0, 1, 2]);
    let calldata = call.abi_encode();
    // The ABI pads dynamic bytes with zeros that no decoder reads; every other byte must matter.
    let padding = |data: &[u8]| {
        let start = calldata.windows(data.len()).position(|window| window == data).unwrap() + data.len();
        start..(start - 4).next_multiple_of(32) + 4
    };
    let skip = [padding(&call.validators), padding(&call.signatures)];
    let accepted = accepted_variants(&world, world.registry, &calldata, &skip);
    // Two changed bytes are harmless, because nothing after the quorum is read: the bitmap's last one (it adds a fourth
    // signer) and the length of the signatures.
    let bitmap_end = 4 + 13 * 32 - 1;
    let length_end = padding(&call.validators).end + 32 - 1;
    assert_eq!(accepted, [bitmap_end, length_end]);
    assert!(world.chain.transact(RELAYER, TxKind::Call(world.registry), calldata.into(), U256::ZERO).ok());
}
