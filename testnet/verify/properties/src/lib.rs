//! Properties of everything that reads bytes from outside, for all bytes.
//!
//! Each module is a fuzz target: `check` feeds bytes to production code and asserts properties of the result beyond
//! its existence: a value has only one encoding, a refused call changes nothing, supply is conserved, a key
//! never signs twice. The same functions run under libFuzzer (`testnet/fuzz`) and, over the seeds and the committed
//! corpora, in this crate's tests.
//!
//! Every panic is a finding. Start reading at [`TARGETS`].

use std::collections::BTreeSet;

mod calldata;
mod chain;
mod committee;
mod memory;
mod parent_wire;
mod reader;
mod rpc_fixture;

pub mod audit_bundle;
pub mod auditor_answers;
pub mod block_body;
pub mod block_proposal;
pub mod config_file;
pub mod consensus_certificates;
pub mod consensus_host;
pub mod consensus_log;
pub mod consensus_message;
pub mod evm_block;
pub mod evm_call;
pub mod genesis_file;
pub mod gossip;
pub mod keystore_file;
pub mod log_file;
pub mod parent_answers;
pub mod peg_message;
pub mod peg_module;
pub mod relay_answers;
pub mod rpc_call;
pub mod rpc_http;
pub mod sign_state_file;
pub mod signer_frames;
pub mod staking_module;
pub mod stored_rows;
pub mod submitter_answers;
pub mod transaction;

/// Any answer is accepted, as long as there is one.
fn answers<T>(_: T) {}

/// One decoder, call or machine under arbitrary bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also of the binary, the corpus directory and the module.
    pub name: &'static str,
    /// Panics when a property does not hold.
    pub check: fn(&[u8]),
    /// Real encodings to start from, the same in every run.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longest input worth trying.
    pub max_bytes: usize,
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    audit_bundle::TARGET,
    auditor_answers::TARGET,
    block_body::TARGET,
    block_proposal::TARGET,
    config_file::TARGET,
    consensus_certificates::TARGET,
    consensus_host::TARGET,
    consensus_log::TARGET,
    consensus_message::TARGET,
    evm_block::TARGET,
    evm_call::TARGET,
    genesis_file::TARGET,
    gossip::TARGET,
    keystore_file::TARGET,
    log_file::TARGET,
    parent_answers::TARGET,
    peg_message::TARGET,
    peg_module::TARGET,
    relay_answers::TARGET,
    rpc_call::TARGET,
    rpc_http::TARGET,
    sign_state_file::TARGET,
    signer_frames::TARGET,
    staking_module::TARGET,
    stored_rows::TARGET,
    submitter_answers::TARGET,
    transaction::TARGET,
];

/// The generated files of the fuzz binaries' folder: paths in it, and contents.
pub fn generated() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut list = String::new();
    for Target { name, seeds, max_bytes, .. } in TARGETS {
        list.push_str(&format!("{name} {max_bytes}\n"));
        let source = format!(
            "#![no_main]\n\nuse causeway_fuzzing as _;\n\n\
             libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz_properties::{name}::check(data));\n"
        );
        files.push((format!("fuzz_targets/{name}.rs"), source.into_bytes()));
        let seeds = seeds();
        let words = words(&seeds);
        if !words.is_empty() {
            files.push((format!("dictionaries/{name}"), dictionary(&words).into_bytes()));
        }
        let seeds = seeds.into_iter().enumerate();
        files.extend(seeds.map(|(at, seed)| (format!("corpus/{name}/seed-{at:02}"), seed)));
    }
    files.push(("targets".to_owned(), list.into_bytes()));
    files
}

/// The words of text seeds: keys that a fuzzer would not find by itself.
fn words(seeds: &[Vec<u8>]) -> BTreeSet<&str> {
    const LENGTHS: std::ops::RangeInclusive<usize> = 3..=32;
    let texts = seeds.iter().filter_map(|seed| std::str::from_utf8(seed).ok()).filter(|text| text.len() > 40);
    let words = texts.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)));
    words.filter(|word| LENGTHS.contains(&word.len()) && word.starts_with(|c: char| c.is_ascii_alphabetic())).collect()
}

/// In libFuzzer's format.
fn dictionary(words: &BTreeSet<&str>) -> String {
    words.iter().map(|word| format!("\"{word}\"\n")).collect()
}
