//! Every class of fault once, briefly, on real processes: the whole of `testnet/chaos` but its length.

use std::process::{Command, Stdio};

use crate::support::{clients, launcher, turn};
use serde_json::Value;

/// Without mounts, so that it runs anywhere: a full disk is one that the preloaded library calls full. Says what it did not do.
#[test]
fn every_class_of_fault_is_survived_and_nothing_is_left_behind() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let net = dir.path().join("net");
    let mut command = Command::new(launcher());
    command.args(["chaos", "--once", "--rootless", "--json", "--seed", "4", "--rate", "30", "--dir"]).arg(&net);
    command.env("CHAOS_ANVIL", clients::foundry("anvil")).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report:\n{said}"));
    let kept = || format!("{report:#}\nthe nodes' logs are in {}", net.display());
    if !output.status.success() || report["holds"] != true {
        let text = kept();
        panic!("{text}\n{said}\n{}", dir.keep().display());
    }
    assert_eq!(report["faults"].as_array().unwrap().len(), 15, "{report:#}");
    let skipped = report["skipped"].as_array().unwrap();
    assert!(skipped.is_empty(), "{skipped:?}");
    eprintln!("skipped: a full tmpfs, which needs root; in its place: {}", report["disk"]);
    assert_eq!(report["findings"]["lost"], 0);
    assert!(report["findings"]["acknowledged"].as_u64().unwrap() > 200, "{report:#}");
    assert_eq!(report["findings"]["auditHolds"], true);
    assert!(report["crossings"]["deposits"].as_u64().unwrap() > 0, "{report:#}");

    // Nothing of it runs, and nothing is mounted.
    let path = net.display().to_string();
    assert!(!std::fs::read_to_string("/proc/self/mounts").unwrap().contains(&path));
    let commands = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = commands.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let left: Vec<String> = commands.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect();
    let left: Vec<&String> = left.iter().filter(|line| line.contains(&path)).collect();
    assert!(left.is_empty(), "{left:?}");
}
