//! Verifying a peg certificate of 4, 20 and 100 validators with equal power: with the smallest quorum, which honest
//! proposers put into a block, and with all signatures. The signatures were never seen (cold), or seen before, so that their
//! signers are cached (warm), or seen before while another thread verifies too (warm, contended).
//!
//! Unit: one certificate over a digest that is known, on one core.
//! Run: `cargo bench -p causeway-peg -p causeway-unify --bench certificates`
#![allow(clippy::unwrap_used, missing_docs)]

use alloy_primitives::{B256, keccak256};
use causeway_peg::{
    CertificateSig, LocalPegSigner, PegSigner, PegValidator, PegValidatorSet, certificate::smallest_quorum,
    verify_signatures,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn signer(number: u64) -> LocalPegSigner {
    LocalPegSigner::new(keccak256(number.to_be_bytes())).unwrap()
}

/// A federation, and its keys in the set's order.
fn federation(count: u64) -> (PegValidatorSet, Vec<LocalPegSigner>) {
    let mut signers: Vec<_> = (0..count).map(signer).collect();
    let member = |signer: &LocalPegSigner| PegValidator { address: signer.address(), power: 10 };
    let set = PegValidatorSet::new(0, signers.iter().map(member).collect()).unwrap();
    signers.sort_by_key(|signer| set.get(&signer.address()).unwrap().0);
    (set, signers)
}

/// Signatures over a digest that was never signed before.
fn certificate(signers: &[LocalPegSigner]) -> (B256, Vec<CertificateSig>) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let digest = keccak256(LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let sign =
        |signer: &LocalPegSigner| CertificateSig { signer: signer.address(), signature: signer.sign(digest).unwrap() };
    (digest, signers.iter().map(sign).collect())
}

fn verification(c: &mut Criterion) {
    let mut group = c.benchmark_group("peg certificate");
    group.sample_size(10);
    for count in [4, 20, 100] {
        let (set, signers) = federation(count);
        let quorum = smallest_quorum(certificate(&signers).1, &set).unwrap().len();
        for signers in [&signers[..quorum], &signers] {
            let name = format!("{count} validators, {} signatures", signers.len());
            let verify = |(digest, signatures): &(B256, Vec<CertificateSig>)| {
                verify_signatures(*digest, signatures, &set).unwrap();
            };
            group.bench_function(format!("{name}, cold"), |b| {
                b.iter_batched_ref(|| certificate(signers), |cold| verify(cold), BatchSize::SmallInput);
            });
            let warm = certificate(signers);
            group.bench_function(format!("{name}, warm"), |b| b.iter(|| verify(&warm)));
        }
    }
    let (set, signers) = federation(100);
    let (ours, others, done) = (certificate(&signers), certificate(&signers), AtomicBool::new(false));
    let verify = |(digest, signatures): &(B256, Vec<CertificateSig>)| {
        verify_signatures(*digest, signatures, &set).unwrap();
    };
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

criterion_group!(benches, verification);
criterion_main!(benches);
