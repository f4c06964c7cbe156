//! The files of sign states: any bytes load, are refused as damaged, or count as missing; a damaged file never loads.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::B256;
use causeway_consensus::{Height, Proposal, Round, SignState, ValidatorId, Vote, VoteKind, sign_guarded};
use causeway_records::{PegSignStateFile, SignStateFile};

use crate::committee::{CHAIN, COMMITTEE, signer};
use crate::memory::Files;
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. After a first byte of 0 comes a file, after any other byte a signer's messages and the damage to its file.
pub const TARGET: Target = Target { name: "sign_state_file", check, seeds, max_bytes: 1024 };

/// As in the write-ahead log: a CRC-32C detects this number of bits.
const MAX_FLIPS: usize = 4;

type PegRecord = (u64, Option<B256>, Vec<(u64, B256)>);

fn path() -> &'static Path {
    Path::new("data/sign_state")
}

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    if reader.u8() == 0 {
        any(reader.rest());
    } else {
        damaged(&mut reader);
    }
}

fn any(content: &[u8]) {
    let files = Files::with(path(), content);
    let consensus = SignStateFile::new(files.clone(), path());
    match consensus.load() {
        Ok(state) => {
            let state = state.expect("there is a file");
            consensus.store(&state).expect("the disk is healthy");
            assert_eq!(files.content(path()), content, "one encoding");
        }
        Err(error) => answers(error.to_string()),
    }
    let peg = PegSignStateFile::new(files.clone(), path());
    if let Ok(record) = peg.load::<PegRecord>() {
        peg.store(&record.expect("there is a file")).expect("the disk is healthy");
        assert_eq!(files.content(path()), content, "one encoding");
    }
}

/// Signs messages in any order, stores the sign state, and damages the file.
fn damaged(reader: &mut Reader<'_>) {
    let files = Arc::new(Files::default());
    let file = SignStateFile::new(files.clone(), path());
    assert_eq!(file.load().expect("no file"), None);
    let key = signer(0);
    let mut state = SignState::default();
    let mut signed = std::collections::BTreeMap::new();
    for _ in 0..1 + reader.below(10) {
        let (bytes, at, pol_round) = message(reader);
        if let Ok(guarded) = sign_guarded(&state, CHAIN, &key, &bytes, pol_round) {
            let first = signed.entry(at).or_insert_with(|| bytes.clone());
            assert_eq!(*first, bytes, "two messages signed at {at:?}");
            state = guarded.state.unwrap_or(state);
        }
        file.store(&state).expect("the disk is healthy");
        assert_eq!(file.load().expect("sound").as_ref(), Some(&state));
    }
    let mut content = files.content(path());
    let before = content.clone();
    for _ in 0..=reader.below(MAX_FLIPS) {
        let at = usize::from(reader.u16()) % content.len();
        content[at] ^= 1 << (reader.u8() % 8);
    }
    if content != before {
        let error = SignStateFile::new(Files::with(path(), &content), path()).load();
        assert!(error.is_err(), "a damaged file loaded");
    }
    let cut = usize::from(reader.u16()) % content.len();
    assert!(SignStateFile::new(Files::with(path(), &before[..cut]), path()).load().is_err(), "a cut file loaded");
}

fn message(reader: &mut Reader<'_>) -> (Vec<u8>, (u64, u32, u8), Option<Round>) {
    let (kind, at) = (reader.u8(), reader.u8());
    let (height, round) = (u64::from(at >> 5), u32::from(at & 3));
    let block = &COMMITTEE.blocks[usize::from(at >> 2 & 3) % 3];
    let hash = (kind & 128 == 0).then_some(block.hash);
    let pol_round = (kind & 64 != 0).then_some(Round(u32::from(kind >> 3 & 3)));
    let vote = |kind| Vote {
        kind,
        height: Height(height),
        round: Round(round),
        block_hash: hash,
        validator: ValidatorId::ZERO,
    };
    match kind % 3 {
        0 => {
            let proposal = Proposal {
                height: Height(height),
                round: Round(round),
                pol_round,
                block_hash: block.hash,
                parts: block.parts.clone(),
                proposer: ValidatorId::ZERO,
            };
            (proposal.sign_bytes(CHAIN), (height, round, 0), pol_round)
        }
        1 => (vote(VoteKind::Prevote).sign_bytes(CHAIN), (height, round, 1), pol_round),
        _ => (vote(VoteKind::Precommit).sign_bytes(CHAIN), (height, round, 2), pol_round),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let files = Arc::new(Files::default());
    let file = SignStateFile::new(files.clone(), path());
    file.store(&SignState::default()).expect("the disk is healthy");
    let mut seeds = vec![[vec![0], files.content(path())].concat()];
    let peg = PegSignStateFile::new(files.clone(), path());
    let record: PegRecord = (7, Some(B256::repeat_byte(1)), vec![(8, B256::repeat_byte(2))]);
    peg.store(&record).expect("the disk is healthy");
    seeds.push([vec![0], files.content(path())].concat());
    seeds.push(vec![1, 4, 0, 32, 1, 32, 2, 32, 65, 33, 2, 33, 1, 10, 0, 3]);
    seeds.push(vec![1, 3, 2, 32, 1, 37, 73, 38, 4, 1, 0, 0, 2, 0, 1, 3, 0, 2, 4, 0, 3]);
    seeds
}
