//! No room but `genesis/` keeps a figure of the chain: the executing crates ask the rules of a height.
//!
//! What may be a constant in them is listed here: limits of this machine or of a wire, formats, and words. A new constant has to be
//! looked at once.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Constants of the crates that execute and admit: none of them can make two nodes disagree about a block.
const CONSTANTS: [(&str, &[&str]); 2] = [
    (
        "node/execution/src",
        &[
            // What is decoded at all; assertions and bounds in `genesis/` keep the rules within.
            "MAX_BLOCK_BYTES",
            "MAX_TRANSACTION_BYTES",
            // Formats.
            "SYSTEM_TX_TYPE",
            "EIP4844_TX_TYPE",
            "EMPTY_LIST",
            "MAX_TOPICS",
            // Work that this node does for a caller, and how it searches for an answer.
            "CALL_GAS_CAP",
            "ERROR_PARTS",
            "MAX_ROUNDS",
            "MAX_TRACE_BYTES",
            "FRAME_BYTES",
            "MAX_CACHED_CODES",
        ],
    ),
    (
        "node/mempool/src",
        &[
            // This node's own limits.
            "MAX_EVICTIONS_PER_ADD",
            "REANNOUNCE_AFTER_MS",
            "RING",
            "LAG",
            // Formats and words.
            "DELEGATION_BYTES",
            "WEI",
        ],
    ),
];

/// Ways to get a figure past the rules, with the files that may.
const BYPASSES: [(&str, &[&str]); 14] = [
    ("spec.gas_limit", &[]),
    ("spec.block_interval_ms", &["node/src/cli/genesis.rs"]),
    ("spec.epoch_length", &["node/src/cli/genesis.rs"]),
    ("spec.checkpoint_interval", &["node/src/cli/genesis.rs"]),
    ("spec.staking", &[]),
    ("staking_params(", &[]),
    ("StakingParams::new(", &[]),
    ("SpecId::", &["node/execution/src/context.rs"]),
    ("BaseFeeParams::", &[]),
    ("MAX_TX_GAS_LIMIT", &[]),
    ("MAX_INITCODE_SIZE", &[]),
    ("21_000", &[]),
    ("10_000_000", &[]),
    ("60_000_000", &[]),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Source files below a folder, by path from the repository, without their tests and comments.
fn code(folder: &str) -> Vec<(String, String)> {
    let root = repository();
    let (mut found, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "tests" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = lines.collect::<Vec<_>>().join("\n");
                found.push((path.strip_prefix(&root).unwrap().display().to_string(), code));
            }
        }
    }
    found
}

/// Names of the constants declared in a line.
fn constant(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line);
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let rest = line.strip_prefix("const ").or(line.strip_prefix("static "))?;
    let name = rest.split(':').next()?.trim();
    (!rest.starts_with("fn ") && name != "_").then_some(name)
}

#[test]
fn the_crates_that_execute_and_admit_hold_no_constant_of_the_chain() {
    for (folder, allowed) in CONSTANTS {
        let files = code(folder);
        let declared: BTreeSet<&str> = files.iter().flat_map(|(_, code)| code.lines().filter_map(constant)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(declared, allowed, "{folder}: figures of the chain belong to the rules in genesis/");
    }
}

#[test]
fn nobody_takes_a_figure_past_the_rules() {
    for folder in [
        "node/execution/src",
        "node/mempool/src",
        "node/rpc/src",
        "node/src",
        "node/signer/src",
        "node/storage/src",
        "peg/audit/src",
    ] {
        for (file, code) in code(folder) {
            for (text, allowed) in BYPASSES {
                if code.contains(text) && !allowed.contains(&file.as_str()) {
                    panic!("{file} holds {text}: ask the rules of the height");
                }
            }
        }
    }
}

#[test]
fn a_constant_is_told_from_a_function_and_an_assertion() {
    assert_eq!(constant("    pub const GAS: u64 = 3;"), Some("GAS"));
    assert_eq!(constant("pub(crate) const GAS: u64 = 3;"), Some("GAS"));
    assert_eq!(constant("static TABLE: LazyLock<u8> = x;"), Some("TABLE"));
    assert_eq!(constant("pub const fn gas() -> u64 { 3 }"), None);
    assert_eq!(constant("const _: () = assert!(true);"), None);
    assert_eq!(constant("// const GAS: u64 = 3;"), None);
}
