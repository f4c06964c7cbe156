//! The arrows between rooms, as ARCHITECTURE.md draws them. A crate earns its wall by what it may not import.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Each room with the rooms it may import. What is not listed is forbidden.
const ARROWS: [(&str, &[&str]); 21] = [
    ("causeway-consensus", &[]),
    ("causeway-staking", &[]),
    ("causeway-peg", &[]),
    ("causeway-federation", &["causeway-peg"]),
    ("causeway-contracts", &["causeway-peg"]),
    ("causeway-parent", &["causeway-peg", "causeway-contracts"]),
    ("causeway-genesis", &["causeway-consensus", "causeway-staking", "causeway-peg"]),
    ("causeway-peg-audit", &["causeway-peg", "causeway-contracts", "causeway-genesis"]),
    ("causeway-trie", &[]),
    (
        "causeway-execution",
        &["causeway-consensus", "causeway-staking", "causeway-peg", "causeway-genesis", "causeway-trie"],
    ),
    ("causeway-records", &["causeway-consensus", "causeway-peg"]),
    ("causeway-signer", &["causeway-consensus", "causeway-peg", "causeway-genesis", "causeway-records"]),
    (
        "causeway-storage",
        &[
            "causeway-records",
            "causeway-consensus",
            "causeway-staking",
            "causeway-peg",
            "causeway-genesis",
            "causeway-trie",
            "causeway-execution",
        ],
    ),
    ("causeway-mempool", &["causeway-execution"]),
    ("causeway-network", &["causeway-consensus", "causeway-peg", "causeway-execution"]),
    (
        "causeway-rpc",
        &[
            "causeway-consensus",
            "causeway-staking",
            "causeway-peg",
            "causeway-genesis",
            "causeway-trie",
            "causeway-execution",
            "causeway-storage",
            "causeway-mempool",
        ],
    ),
    (
        "causeway",
        &[
            "causeway-consensus",
            "causeway-staking",
            "causeway-peg",
            "causeway-federation",
            "causeway-contracts",
            "causeway-parent",
            "causeway-genesis",
            "causeway-execution",
            "causeway-records",
            "causeway-signer",
            "causeway-storage",
            "causeway-mempool",
            "causeway-network",
            "causeway-rpc",
        ],
    ),
    ("causeway-testnet", &["causeway-contracts", "causeway-parent", "causeway-genesis"]),
    (
        "causeway-fixtures",
        &["causeway-consensus", "causeway-peg", "causeway-genesis", "causeway-execution", "causeway-trie"],
    ),
    (
        "causeway-simulator",
        &[
            "causeway",
            "causeway-consensus",
            "causeway-staking",
            "causeway-peg",
            "causeway-contracts",
            "causeway-parent",
            "causeway-genesis",
            "causeway-trie",
            "causeway-execution",
            "causeway-records",
            "causeway-signer",
            "causeway-storage",
            "causeway-mempool",
            "causeway-network",
        ],
    ),
    (
        "causeway-fuzz-properties",
        &[
            "causeway",
            "causeway-consensus",
            "causeway-staking",
            "causeway-peg",
            "causeway-peg-audit",
            "causeway-contracts",
            "causeway-parent",
            "causeway-genesis",
            "causeway-execution",
            "causeway-records",
            "causeway-signer",
            "causeway-storage",
            "causeway-mempool",
            "causeway-network",
            "causeway-rpc",
            "causeway-trie",
            "causeway-fixtures",
        ],
    ),
];

/// Crates that are no room: it only selects features of outside crates.
const NO_ROOM: &str = "causeway-unify";

/// Outside crates that a pure room must not depend on: no runtime, clock, randomness or file system reaches it.
const IMPURE: [&str; 8] = ["tokio", "rand", "getrandom", "reqwest", "libp2p", "rocksdb", "tempfile", "chrono"];
const PURE: [&str; 6] = [
    "causeway-consensus",
    "causeway-staking",
    "causeway-peg",
    "causeway-federation",
    "causeway-trie",
    "causeway-execution",
];

fn crates() -> Vec<Package> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap().packages
}

fn packages() -> Vec<Package> {
    crates().into_iter().filter(|package| package.name.as_str() != NO_ROOM).collect()
}

/// Normal and build dependencies; tests may borrow more.
fn imports(package: &Package) -> BTreeSet<String> {
    let kept = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    kept.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn rooms_import_only_what_the_architecture_allows() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(room, rooms)| (*room, rooms.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            wrong.push(format!("{} is a crate that no architecture knows", package.name));
            continue;
        };
        let rooms = imports(&package).into_iter().filter(|name| name.starts_with("causeway"));
        let forbidden = rooms.filter(|name| !allowed.contains(name.as_str()));
        wrong.extend(forbidden.map(|name| format!("{} imports {name}", package.name)));
    }
    assert!(wrong.is_empty(), "forbidden arrows:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_of_the_table_exists() {
    let names: BTreeSet<String> = packages().iter().map(|package| package.name.to_string()).collect();
    for (room, _) in ARROWS {
        assert!(names.contains(room), "{room} is in the table but not in the workspace");
    }
}

#[test]
fn pure_rooms_depend_on_nothing_that_does_io() {
    for package in packages().iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let impure: Vec<String> = imports(package).into_iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
        assert!(impure.is_empty(), "{} is pure but depends on {impure:?}", package.name);
    }
}

#[test]
fn the_auditor_links_neither_node_nor_database() {
    let all = packages();
    let audit = all.iter().find(|package| package.name.as_str() == "causeway-peg-audit").unwrap();
    let forbidden = ["rocksdb", "libp2p", "causeway", "causeway-storage", "causeway-execution"];
    assert!(imports(audit).iter().all(|name| !forbidden.contains(&name.as_str())));
}

/// Whoever runs a signer or an auditor builds and trusts no database.
#[test]
fn neither_signer_nor_auditor_reaches_the_database_through_any_crate() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    // Crates of other platforms need not be there.
    let platform = format!("{}-unknown-{}-gnu", std::env::consts::ARCH, std::env::consts::OS);
    let options = ["--locked".to_owned(), "--filter-platform".to_owned(), platform];
    let metadata = MetadataCommand::new().manifest_path(manifest).other_options(options).exec().unwrap();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let nodes: BTreeMap<_, _> = metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let reached = |name: &str| -> BTreeSet<&str> {
        let mut open: Vec<_> = names.iter().filter(|(_, known)| **known == name).map(|(id, _)| *id).collect();
        let mut seen: BTreeSet<_> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            let built = |kinds: &[cargo_metadata::DepKindInfo]| {
                kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            };
            let next = nodes[id].deps.iter().filter(|dependency| built(&dependency.dep_kinds));
            open.extend(next.map(|dependency| &dependency.pkg).filter(|package| seen.insert(*package)));
        }
        seen.into_iter().map(|id| names[id]).collect()
    };
    assert!(reached("causeway").contains("librocksdb-sys"), "the node does");
    for program in ["causeway-signer", "causeway-peg-audit"] {
        let all = reached(program);
        assert!(all.contains("causeway-peg") && !all.contains("librocksdb-sys"), "{program} reaches {all:?}");
    }
}

/// One outside crate or feature left out changes features far below it, and half the workspace is built twice.
#[test]
fn the_selection_of_features_names_every_outside_crate_and_feature() {
    let crates = crates();
    let outside = |package: &Package| -> BTreeSet<String> {
        let dependencies = package.dependencies.iter().filter(|dependency| !dependency.name.starts_with("causeway"));
        let named = dependencies.flat_map(|dependency| {
            let features = dependency.features.iter().map(|feature| format!("{}/{feature}", dependency.name));
            let default = dependency.uses_default_features.then(|| format!("{}/default", dependency.name));
            features.chain(default).chain([dependency.name.clone()])
        });
        named.collect()
    };
    let selected = outside(crates.iter().find(|package| package.name.as_str() == NO_ROOM).unwrap());
    for package in &crates {
        let missing: Vec<_> = outside(package).difference(&selected).cloned().collect();
        assert!(missing.is_empty(), "{} uses {missing:?}, which testnet/unify does not select", package.name);
    }
}
