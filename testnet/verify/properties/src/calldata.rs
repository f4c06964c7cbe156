//! Meaningful calls of a native module, from a few bytes.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolInterface as _};
use causeway_consensus::{Evidence, Height, Round, SignedVote, Signer as _, Vote, VoteKind};
use causeway_genesis::addresses::{PEG, STAKE_TOKEN, STAKING};
use causeway_peg::{IPeg, PegSigner as _};
use causeway_staking::registration::{consensus_message, peg_digest};
use causeway_staking::{IStakeToken, IStaking};

use crate::chain::{ETHER, GENESES, consensus_signer, operator, peg_signer, places, user};
use crate::reader::Reader;

const MAX_WORDS: usize = 12;

/// A selector of the module at `to` (of any module, when there is none there) and words that usually fit its arguments.
pub(crate) fn call(to: Address, reader: &mut Reader<'_>) -> Bytes {
    let mut input = match reader.u8() {
        255 => return Bytes::copy_from_slice(reader.short()),
        254 => return evidence(reader),
        253 => return registration(reader),
        choice => selector(to, choice).to_vec(),
    };
    for _ in 0..reader.below(MAX_WORDS) {
        input.extend(word(reader).to_be_bytes::<32>());
    }
    if reader.flag() {
        input.extend(reader.short());
    }
    input.into()
}

/// A report of two votes of one validator, which may be valid evidence or changed.
fn evidence(reader: &mut Reader<'_>) -> Bytes {
    let genesis_hash = genesis_hash(reader);
    let signer = consensus_signer(1 + reader.u8() % 5);
    let (scope, hashes) = (reader.u8(), reader.u8());
    let kind = if scope & 1 == 0 { VoteKind::Prevote } else { VoteKind::Precommit };
    let (height, round) = (Height(u64::from(scope >> 4)), Round(u32::from(scope >> 1 & 7)));
    let vote = |hash: u8| {
        let block_hash = (hash != 0).then(|| B256::repeat_byte(hash));
        let vote = Vote { kind, height, round, block_hash, validator: signer.validator() };
        let signature = signer.sign(&vote.sign_bytes(genesis_hash)).expect("a key in memory always signs");
        SignedVote { vote, signature }
    };
    let evidence = Evidence::of_votes(vote(hashes & 15), vote(hashes >> 4));
    let evidence = altered(borsh::to_vec(&evidence).expect("writing to memory"), reader);
    IStaking::reportEvidenceCall { evidence, epoch: u64::from(reader.u8() & 7) }.abi_encode().into()
}

/// A registration with valid proofs of one of the users or operators, possibly changed.
fn registration(reader: &mut Reader<'_>) -> Bytes {
    let genesis_hash = genesis_hash(reader);
    let (who, keys, terms) = (reader.u8(), reader.u8(), reader.u8());
    let sender = if who & 128 == 0 { user(who) } else { operator(1 + (who & 3)) };
    let (consensus, peg) = (consensus_signer(1 + (keys & 15)), peg_signer(1 + (keys >> 4)));
    let consensus_key = B256::from(consensus.key().0);
    let consensus_proof = consensus.sign(&consensus_message(genesis_hash, sender, consensus_key)).expect("as above");
    let peg_proof = peg.sign(peg_digest(genesis_hash, sender, peg.address())).expect("as above");
    let call = IStaking::registerCall {
        consensusKey: consensus_key,
        consensusProof: altered(consensus_proof.to_vec(), reader),
        pegAddress: peg.address(),
        pegProof: altered(peg_proof.as_bytes().to_vec(), reader),
        commissionBps: u16::from(terms & 15) * 700,
        selfBond: U256::from(ETHER) * U256::from(terms >> 4),
    };
    call.abi_encode().into()
}

fn genesis_hash(reader: &mut Reader<'_>) -> B256 {
    GENESES[usize::from(reader.flag())].hash
}

/// The bytes as they are, or with one of them changed.
fn altered(mut bytes: Vec<u8>, reader: &mut Reader<'_>) -> Bytes {
    if reader.flag() {
        let at = reader.below(bytes.len());
        bytes[at] ^= reader.u8();
    }
    bytes.into()
}

fn selector(to: Address, choice: u8) -> [u8; 4] {
    let nth = |count: usize, at: fn(usize) -> Option<[u8; 4]>| at(usize::from(choice) % count).unwrap_or_default();
    match to {
        PEG => nth(IPeg::IPegCalls::COUNT, IPeg::IPegCalls::selector_at),
        STAKE_TOKEN => nth(IStakeToken::IStakeTokenCalls::COUNT, IStakeToken::IStakeTokenCalls::selector_at),
        STAKING => nth(IStaking::IStakingCalls::COUNT, IStaking::IStakingCalls::selector_at),
        _ => match choice % 3 {
            0 => selector(PEG, choice / 3),
            1 => selector(STAKE_TOKEN, choice / 3),
            _ => selector(STAKING, choice / 3),
        },
    }
}

fn word(reader: &mut Reader<'_>) -> U256 {
    let places = places();
    match reader.u8() {
        choice @ 0..=31 => U256::from(choice),
        choice @ 32..=95 => U256::from_be_slice(places[usize::from(choice - 32) % places.len()].as_slice()),
        choice @ 96..=127 => U256::from(ETHER) * U256::from(choice - 95) / U256::from(4),
        choice @ 128..=159 => U256::from(choice - 127) * U256::from(32),
        choice @ 160..=191 => U256::MAX >> (usize::from(choice - 160) * 8),
        192..=223 => U256::from(reader.u64()),
        _ => U256::from_be_bytes(reader.array::<32>()),
    }
}
