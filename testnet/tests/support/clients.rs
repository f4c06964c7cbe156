//! Outside programs, unmodified: cast, anvil, node with viem. Pinned by `tests/clients/package-lock.json`.

use std::{path::PathBuf, process::Command, sync::Once};

use super::run;

static INSTALL: Once = Once::new();

/// The clients' directory, installed when it is not yet.
pub fn directory() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    INSTALL.call_once(|| {
        if !directory.join("node_modules/viem").exists() {
            let mut npm = Command::new("npm");
            let status =
                npm.args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&directory).status().unwrap();
            assert!(status.success(), "npm ci in {} failed", directory.display());
        }
    });
    directory
}

/// The binary inside a Foundry package: its own architecture's package holds it.
pub fn foundry(tool: &str) -> PathBuf {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    directory().join(format!("node_modules/@foundry-rs/{tool}-linux-{architecture}/bin/{tool}"))
}

/// Runs `cast` and returns what it printed.
pub fn cast(arguments: &[&str]) -> String {
    run(&foundry("cast"), arguments)
}

/// Runs a script of the clients' directory with node.
pub fn node(script: &str, arguments: &[&str]) -> String {
    let path = directory().join(script);
    let arguments: Vec<&str> = std::iter::once(path.to_str().unwrap()).chain(arguments.iter().copied()).collect();
    run("node".as_ref(), &arguments)
}
