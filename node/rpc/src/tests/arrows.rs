//! The arrows between the folders of this crate: the transport knows no method, and methods know no transport.

use std::path::Path;

/// For each folder, the modules of this crate that its files must not name.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("transport", &["api", "chain", "context", "debug", "eth", "lanes", "peg", "server", "staking"]),
    ("eth", &["debug", "peg", "server", "staking", "transport"]),
    ("debug", &["peg", "server", "staking", "transport"]),
    ("staking", &["debug", "eth", "peg", "server", "transport"]),
    ("peg", &["debug", "eth", "server", "transport"]),
];

#[test]
fn folders_import_only_along_the_arrows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (folder, forbidden) in FORBIDDEN {
        let files: Vec<_> =
            std::fs::read_dir(source.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 2, "{folder}");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for module in forbidden {
                assert!(!text.contains(&format!("crate::{module}")), "{} names {module}", file.display());
            }
        }
    }
}

#[test]
fn the_files_that_serve_both_sides_import_no_folder() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for name in ["api", "args", "budget", "chain", "config", "connection_budget", "context", "errors", "lanes"] {
        let text = std::fs::read_to_string(source.join(format!("{name}.rs"))).unwrap();
        for folder in FORBIDDEN.map(|(folder, _)| folder) {
            assert!(!text.contains(&format!("use crate::{folder}")), "{name} imports {folder}");
        }
    }
}
