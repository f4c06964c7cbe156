//! Key files: written once, private, checked when read.

use std::{fs, os::unix::fs::PermissionsExt};

use alloy_primitives::hex;
use causeway_genesis::{
    KeyError, NodeKeys, SecretKey,
    keys::{KeyRole, load, load_file, load_or_generate_p2p, save},
};
use proptest::prelude::*;

#[test]
fn keys_survive_a_round_trip_and_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let keys = NodeKeys::generate().unwrap();
    keys.save(&path).unwrap();
    assert_eq!(NodeKeys::load(&path).unwrap(), keys);
    assert_eq!(NodeKeys::load_validator(&path).unwrap(), Some(keys));
    for role in [KeyRole::Consensus, KeyRole::Peg, KeyRole::P2p] {
        let mode = fs::metadata(path.join(role.file_name())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn two_generations_differ_in_every_role() {
    let (first, second) = (NodeKeys::generate().unwrap(), NodeKeys::generate().unwrap());
    assert_ne!(first.consensus, second.consensus);
    assert_ne!(first.peg, second.peg);
    assert_ne!(first.p2p, second.p2p);
}

#[test]
fn keys_are_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let keys = crate::support::keys(1);
    save(directory.path(), KeyRole::P2p, &keys.p2p).unwrap();
    assert!(matches!(crate::support::keys(2).save(directory.path()), Err(KeyError::Exists { .. })));
    assert!(!directory.path().join("consensus.key").exists(), "refused before anything was written");
    assert_eq!(load(directory.path(), KeyRole::P2p).unwrap(), Some(keys.p2p));
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_command_that_helps() {
    let directory = tempfile::tempdir().unwrap();
    crate::support::keys(1).save(directory.path()).unwrap();
    let path = directory.path().join("peg.key");
    for mode in [0o640, 0o604, 0o666, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = NodeKeys::load(directory.path()).unwrap_err();
        assert!(matches!(error, KeyError::Mode { .. }));
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    NodeKeys::load(directory.path()).unwrap();
}

#[test]
fn malformed_keys_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    crate::support::keys(1).save(directory.path()).unwrap();
    let path = directory.path().join("consensus.key");
    let good = fs::read_to_string(&path).unwrap();
    let long = format!("{}00", good.trim());
    for text in ["", "0x", "zz", &good[..63], &long, &"0".repeat(1000)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(NodeKeys::load(directory.path()), Err(KeyError::Malformed { .. })), "{text:?}");
    }
    for text in [good.trim().to_owned(), format!("0x{good}"), format!("  {good}\n\n")] {
        fs::write(&path, text).unwrap();
        NodeKeys::load(directory.path()).unwrap();
    }
}

#[test]
fn a_peg_key_must_be_a_secp256k1_scalar() {
    let directory = tempfile::tempdir().unwrap();
    for bytes in [[0u8; 32], [0xff; 32]] {
        let path = directory.path().join(hex::encode(bytes));
        fs::write(&path, hex::encode(bytes)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(load_file(&path, KeyRole::Peg), Err(KeyError::OutOfRange { .. })));
        assert!(load_file(&path, KeyRole::Consensus).is_ok(), "any 32 bytes seed an ed25519 key");
    }
}

#[test]
fn a_missing_key_is_named() {
    let directory = tempfile::tempdir().unwrap();
    assert!(NodeKeys::load_validator(directory.path()).unwrap().is_none());
    save(directory.path(), KeyRole::Consensus, &crate::support::keys(1).consensus).unwrap();
    let error = NodeKeys::load_validator(directory.path()).unwrap_err();
    assert!(matches!(&error, KeyError::Missing { path } if path.ends_with("peg.key")), "{error}");
}

#[test]
fn one_secret_in_two_roles_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let keys = crate::support::keys(1);
    let same = NodeKeys { p2p: keys.consensus.clone(), ..keys };
    same.save(directory.path()).unwrap();
    assert!(matches!(NodeKeys::load(directory.path()), Err(KeyError::Shared { .. })));
}

#[test]
fn a_network_key_is_made_once_and_then_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let first = load_or_generate_p2p(&path).unwrap();
    assert_eq!(load_or_generate_p2p(&path).unwrap(), first);
    assert!(NodeKeys::load_validator(&path).unwrap().is_none(), "a network key alone makes no validator");
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let keys = crate::support::keys(0xab);
    assert!(!format!("{keys:?}").contains("171"), "{keys:?}");
    assert_eq!(format!("{:?}", SecretKey::from_bytes([7; 32])), "SecretKey(..)");
}

#[test]
fn public_parts_follow_from_the_secrets() {
    let keys = crate::support::keys(1);
    assert_eq!(keys.validator_id(), keys.consensus_public().id());
    assert_eq!(keys.peg_address(), keys.peg_signer().address());
    assert_eq!(keys.consensus_signing_key().to_bytes(), *keys.consensus.expose());
}

proptest! {
    #[test]
    fn no_file_content_makes_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peg.key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let _unimportant = load_file(&path, KeyRole::Peg).is_ok();
    }
}
