//! CPU time of one host for one height: a proposal of one part, its verdict, every prevote and precommit of the others (each
//! strictly verified once), its own two signatures, the certificate. Time is per height and node; the inputs are one height
//! of 4, 20 and 100 validators with equal power. Also: the time to verify one commit certificate of the same sets, with the
//! smallest quorum of signatures and with all. The signatures were never seen (cold), or seen before (warm), or seen before
//! while another thread verifies too (warm, contended). All other inputs are cold: each iteration decides another block,
//! because valid signatures are cached.
//!
//! Run: `cargo bench -p causeway-consensus -p causeway-unify --bench votes`
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_consensus::*;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const CHAIN: B256 = B256::repeat_byte(7);

fn signer(n: u64) -> Ed25519Signer {
    let mut secret = [3; 32];
    secret[..8].copy_from_slice(&n.to_le_bytes());
    Ed25519Signer::new(&secret)
}

/// A number that was not returned before.
fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A host at height 1, and the inputs of that height, whose signatures were never seen.
fn height(count: u64) -> (Host, Vec<Input>) {
    let signers: Vec<_> = (0..count).map(signer).collect();
    let validators = ValidatorSet::new(signers.iter().map(|s| Validator::new(s.key(), 10)).collect()).unwrap();
    let height = Height(1);
    let proposer = validators.proposer(height, Round(0)).id;
    let us = (0..count).find(|n| signer(*n).validator() != proposer).unwrap();
    let mut host = Host::new(HostConfig::new(CHAIN), Some(Box::new(signer(us))), SignState::default());
    host.step(0, Input::StartHeight { height, validators });

    let mut body = vec![1; 1000];
    body[..8].copy_from_slice(&fresh().to_le_bytes());
    let body = Bytes::from(body);
    let block_hash = keccak256(&body);
    let parts = PartList::of(&body).unwrap();
    let part = ProposalPart { height, root: parts.root(), index: 0, bytes: body };
    let proposal = Proposal { height, round: Round(0), pol_round: None, block_hash, parts, proposer };
    let by = signers.iter().find(|s| s.validator() == proposer).unwrap();
    let signature = by.sign(&proposal.sign_bytes(CHAIN)).unwrap();
    let mut messages =
        vec![ConsensusMessage::Proposal(SignedProposal { proposal, signature }), ConsensusMessage::Part(part)];
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        for (n, signer) in (0..count).zip(&signers) {
            if n != us {
                let validator = signer.validator();
                let vote = Vote { kind, height, round: Round(0), block_hash: Some(block_hash), validator };
                let signature = signer.sign(&vote.sign_bytes(CHAIN)).unwrap();
                messages.push(ConsensusMessage::Vote(SignedVote { vote, signature }));
            }
        }
    }
    let mut inputs: Vec<_> = messages.into_iter().map(|message| Input::Message { from: 1, message }).collect();
    inputs.insert(2, Input::BlockVerdict { height, block_hash, valid: true });
    (host, inputs)
}

fn one_height(c: &mut Criterion) {
    for count in [4, 20, 100] {
        c.bench_function(&format!("one height, {count} validators"), |b| {
            b.iter_batched(
                || height(count),
                |(mut host, inputs)| {
                    let mut decided = false;
                    for input in inputs {
                        let outputs = host.step(1, input);
                        decided |= outputs.iter().any(|output| matches!(output, Output::Decided { .. }));
                    }
                    assert!(decided);
                },
                BatchSize::LargeInput,
            );
        });
    }
}

/// The validators' keys, by id, and their set.
fn validators(count: u64) -> (Vec<Ed25519Signer>, ValidatorSet) {
    let mut signers: Vec<_> = (0..count).map(signer).collect();
    let set = ValidatorSet::new(signers.iter().map(|s| Validator::new(s.key(), 10)).collect()).unwrap();
    signers.sort_by_key(Signer::validator);
    (signers, set)
}

/// A certificate of height 1 by `signers`, whose signatures were never seen.
fn certificate(signers: &[Ed25519Signer]) -> CommitCertificate {
    let (height, round, block_hash) = (Height(1), Round(0), keccak256(fresh().to_le_bytes()));
    let sign = |signer: &Ed25519Signer| {
        let validator = signer.validator();
        let vote = Vote { kind: VoteKind::Precommit, height, round, block_hash: Some(block_hash), validator };
        CommitSignature { validator, signature: signer.sign(&vote.sign_bytes(CHAIN)).unwrap() }
    };
    CommitCertificate { height, round, block_hash, signatures: signers.iter().map(sign).collect() }
}

fn commit_certificate(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit certificate");
    for (count, quorum) in [(4, 3), (20, 14), (100, 67)] {
        let (signers, set) = validators(count);
        for signers in [&signers[..quorum], &signers] {
            let name = format!("{count} validators, {} signatures", signers.len());
            let verify = |certificate: &CommitCertificate| certificate.verify(CHAIN, &set).unwrap();
            group.bench_function(format!("{name}, cold"), |b| {
                b.iter_batched_ref(|| certificate(signers), |cold| verify(cold), BatchSize::SmallInput);
            });
            let warm = certificate(signers);
            group.bench_function(format!("{name}, warm"), |b| b.iter(|| verify(&warm)));
        }
    }
    let (signers, set) = validators(100);
    let (ours, others, done) = (certificate(&signers), certificate(&signers), AtomicBool::new(false));
    let verify = |certificate: &CommitCertificate| certificate.verify(CHAIN, &set).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                verify(&others);
            }
        });
        group.bench_function("100 validators, 100 signatures, warm, contended", |b| b.iter(|| verify(&ours)));
        done.store(true, Ordering::Relaxed);
    });
    group.finish();
}

criterion_group!(benches, one_height, commit_certificate);
criterion_main!(benches);
