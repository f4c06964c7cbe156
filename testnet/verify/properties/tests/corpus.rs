//! The properties over the committed corpora and a bounded number of mutations, without a fuzzer.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use causeway_fuzz_properties::{TARGETS, Target, generated};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// Number of mutated inputs of each target.
const MUTATIONS: u32 = 192;
const MAX_CORPUS_BYTES: usize = 300_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzzing")
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder().join("corpus").join(target.name)).unwrap();
    let paths: BTreeSet<_> = files.map(|file| file.unwrap().path()).collect();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    /// Replaces the end by that of another input.
    Splice(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let byte = || prop_oneof![Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    prop_oneof![
        (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        (at(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), prop::collection::vec(byte(), 1..9)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), 1..9usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (at(), 1..33usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        (at(), at()).prop_map(|(at, other)| Mutation::Splice(at, other)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation, corpus: &[Vec<u8>]) {
    let length = bytes.len() + 1;
    let place = |at: &Index| at.index(length);
    match mutation {
        Mutation::Flip(at, bit) => drop(bytes.get_mut(place(at)).map(|byte| *byte ^= bit)),
        Mutation::Set(at, value) => drop(bytes.get_mut(place(at)).map(|byte| *byte = *value)),
        Mutation::Insert(at, new) => {
            let at = place(at);
            bytes.splice(at..at, new.iter().copied());
        }
        Mutation::Remove(at, count) => {
            let at = place(at);
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Mutation::Repeat(at, count) => {
            let at = place(at);
            bytes.extend_from_within(at..(at + count).min(bytes.len()));
        }
        Mutation::Splice(at, other) => {
            let other = other.get(corpus);
            let at = place(at);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at.min(other.len())..]);
        }
    }
}

/// One test runs all targets, so that none can be forgotten.
#[test]
fn corpora_and_mutations_of_them_hold() {
    for target in TARGETS {
        let started = std::time::Instant::now();
        let corpus = corpus(target);
        for input in &corpus {
            (target.check)(input);
        }
        let config = ProptestConfig { cases: MUTATIONS, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let strategy = (any::<Index>(), prop::collection::vec(mutation(), 1..5));
        let outcome = runner.run(&strategy, |(start, mutations)| {
            let mut input = start.get(&corpus).clone();
            for mutation in &mutations {
                mutate(&mut input, mutation, &corpus);
            }
            input.truncate(target.max_bytes);
            (target.check)(&input);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", target.name);
        }
        eprintln!("{}: {} inputs and {MUTATIONS} mutations in {:?}", target.name, corpus.len(), started.elapsed());
    }
}

/// With `CAUSEWAY_WRITE=1` the files are written instead.
#[test]
fn what_follows_from_the_targets_is_committed() {
    let write = std::env::var_os("CAUSEWAY_WRITE").is_some();
    for (path, content) in generated() {
        let file = folder().join(&path);
        if write {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &content).unwrap();
        }
        let found = fs::read(&file).unwrap_or_default();
        assert!(found == content, "{path} is out of date: run this test with CAUSEWAY_WRITE=1");
    }
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let binaries = manifest.matches("[[bin]]").count();
    assert_eq!(binaries, TARGETS.len(), "a binary for each target");
    for Target { name, .. } in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} has no binary");
    }
}

#[test]
fn the_corpora_are_small_and_belong_to_targets() {
    let mut bytes = 0;
    for directory in fs::read_dir(folder().join("corpus")).unwrap() {
        let directory = directory.unwrap();
        let name = directory.file_name().into_string().unwrap();
        let target = TARGETS.iter().find(|target| target.name == name);
        assert!(target.is_some(), "no target is called {name}");
        bytes += corpus(target.unwrap()).iter().map(Vec::len).sum::<usize>();
    }
    assert!(bytes <= MAX_CORPUS_BYTES, "{bytes} bytes of corpora, at most {MAX_CORPUS_BYTES} are committed");
}

#[test]
fn the_lock_file_names_no_other_registry() {
    let lock = fs::read_to_string(folder().join("Cargo.lock")).unwrap();
    let sources: BTreeSet<_> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    let index = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    assert_eq!(sources, BTreeSet::from([index]));
}
