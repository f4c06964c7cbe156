//! Verifying a peg certificate of 4, 20 and 100 validators with equal power: the smallest quorum, which honest proposers
//! put into a block, and the signatures of all.
//!
//! Unit: one certificate over a digest that is known, on one core.
//! Run: `cargo bench -p causeway-peg -p causeway-unify --bench certificates`
#![allow(clippy::unwrap_used, missing_docs)]

use alloy_primitives::{B256, keccak256};
use causeway_peg::{
    CertificateSig, LocalPegSigner, PegSigner, PegValidator, PegValidatorSet, certificate::smallest_quorum,
    verify_signatures,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn signer(number: u64) -> LocalPegSigner {
    LocalPegSigner::new(keccak256(number.to_be_bytes())).unwrap()
}

/// A federation, and the signatures of all its members over `digest`, in the set's order.
fn certificate(count: u64, digest: B256) -> (PegValidatorSet, Vec<CertificateSig>) {
    let signers: Vec<_> = (0..count).map(signer).collect();
    let member = |signer: &LocalPegSigner| PegValidator { address: signer.address(), power: 10 };
    let set = PegValidatorSet::new(0, signers.iter().map(member).collect()).unwrap();
    let mut signatures: Vec<_> = signers
        .iter()
        .map(|signer| CertificateSig { signer: signer.address(), signature: signer.sign(digest).unwrap() })
        .collect();
    signatures.sort_by_key(|signature| set.get(&signature.signer).unwrap().0);
    (set, signatures)
}

fn verification(c: &mut Criterion) {
    let digest = keccak256("checkpoint");
    let mut group = c.benchmark_group("peg certificate");
    group.sample_size(10);
    for count in [4, 20, 100] {
        let (set, all) = certificate(count, digest);
        let quorum = smallest_quorum(all.iter().copied(), &set).unwrap();
        for signatures in [&quorum, &all] {
            group.bench_function(format!("{count} validators, {} signatures", signatures.len()), |b| {
                b.iter(|| verify_signatures(digest, signatures, &set).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);
