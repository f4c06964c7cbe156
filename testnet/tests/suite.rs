//! The layout of the tests: one integration test binary a crate, and no file of tests that is left out of it.

use std::{fs, path::Path};

use cargo_metadata::{MetadataCommand, Package, Target};

fn crates() -> Vec<Package> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap().packages
}

fn test_binaries(package: &Package) -> impl Iterator<Item = &Target> {
    package.targets.iter().filter(|target| target.is_test())
}

/// Every binary costs a link, and compiles the fixtures once more.
#[test]
fn a_crate_has_at_most_one_integration_test_binary() {
    for package in crates() {
        let names: Vec<&str> = test_binaries(&package).map(|target| target.name.as_str()).collect();
        assert!(names.len() <= 1, "{} has {names:?}: make them modules of one", package.name);
    }
}

/// A file beside `main.rs` that nobody declares is not compiled, and its tests are lost without a word.
#[test]
fn every_file_of_tests_is_a_module_of_its_binary() {
    for package in crates() {
        for binary in test_binaries(&package) {
            let main = binary.src_path.as_std_path();
            let text = fs::read_to_string(main).unwrap();
            for entry in fs::read_dir(main.parent().unwrap()).unwrap() {
                let path = entry.unwrap().path();
                let Some(module) = module(&path).filter(|_| path != main) else { continue };
                let declared = text.lines().any(|line| line == format!("mod {module};"));
                assert!(declared, "{} does not declare {}", main.display(), path.display());
            }
        }
    }
}

/// The name of the module that a path holds, if it holds one.
fn module(path: &Path) -> Option<&str> {
    let is_module = path.join("mod.rs").exists() || path.extension().is_some_and(|extension| extension == "rs");
    path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_module)
}
