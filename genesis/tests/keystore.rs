//! Keystores: what geth wrote opens, what we write is in its shape, and nothing serves in a role it was not made for.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use alloy_primitives::{address, hex};
use causeway_genesis::{
    KeyError, NodeKeys, SecretKey,
    keys::{
        KeyRole, Keystore, KeystoreFault, Password, PublicPart, Strength, load_file, public_part, save, save_keystore,
        unlock_file,
    },
};
use proptest::prelude::*;
use serde_json::Value;

/// geth's accounts/keystore/testdata/very-light-scrypt.json; its password is empty.
const GETH_SCRYPT: &str = r#"{"address":"45dea0fb0bba44f4fcf290bba71fd57d7117cbb8","crypto":{"cipher":"aes-128-ctr",
"ciphertext":"b87781948a1befd247bff51ef4063f716cf6c2d3481163e9a8f42e1f9bb74145","cipherparams":{"iv":"dc4926b48a105133d2f16b96833abf1e"},
"kdf":"scrypt","kdfparams":{"dklen":32,"n":2,"p":1,"r":8,"salt":"004244bbdc51cadda545b1cfa43cff9ed2ae88e08c61f1479dbb45410722f8f0"},
"mac":"39990c1684557447940d4c69e06b1b82b2aceacb43f284df65c956daf3046b85"},"id":"ce541d8d-c79b-40f8-9f8c-20f59616faba","version":3}"#;
/// The definition's own PBKDF2 vector, also geth's `wikipage_test_vector_pbkdf2`.
const WIKI_PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,
"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

fn password(text: &str) -> Password {
    Password::new(text.as_bytes().to_vec())
}

fn sealed(role: KeyRole, key: &SecretKey) -> Keystore {
    Keystore::seal(role, key, &password("pass"), Strength::Light).unwrap()
}

fn put(directory: &Path, role: KeyRole, key: &SecretKey) -> PathBuf {
    let path = directory.join(role.file_name());
    save_keystore(&path, &sealed(role, key)).unwrap();
    path
}

fn fault(error: KeyError) -> KeystoreFault {
    match error {
        KeyError::Keystore { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn what_geth_wrote_opens() {
    let scrypt = Keystore::parse(GETH_SCRYPT.as_bytes()).unwrap();
    let key = scrypt.open(KeyRole::Operator, &password("")).unwrap();
    let expected = address!("45dea0fb0bba44f4fcf290bba71fd57d7117cbb8");
    assert_eq!(PublicPart::of(KeyRole::Operator, &key), Some(PublicPart::Account(expected)));
    let pbkdf2 = Keystore::parse(WIKI_PBKDF2.as_bytes()).unwrap();
    let key = pbkdf2.open(KeyRole::Operator, &password("testpassword")).unwrap();
    assert_eq!(hex::encode(key.expose()), "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d");
    for keystore in [scrypt, pbkdf2] {
        let error = keystore.open(KeyRole::Operator, &password("wrong")).unwrap_err();
        assert!(matches!(error, KeystoreFault::WrongPassword), "{error}");
    }
}

#[test]
fn what_we_write_has_the_shape_and_the_settings_that_geth_reads() {
    let keys = crate::support::keys(1);
    let keystore = Keystore::seal(KeyRole::Operator, &keys.peg, &password("pass"), Strength::Standard).unwrap();
    let json: Value = serde_json::from_str(&keystore.to_string()).unwrap();
    assert_eq!(json["version"], 3);
    assert_eq!(json["address"], hex::encode(keys.peg_address()));
    assert_eq!(json["crypto"]["cipher"], "aes-128-ctr");
    assert_eq!(json["crypto"]["kdf"], "scrypt");
    let params = &json["crypto"]["kdfparams"];
    assert_eq!(
        (&params["n"], &params["r"], &params["p"], &params["dklen"]),
        (&262_144.into(), &8.into(), &1.into(), &32.into())
    );
    assert_eq!(params["salt"].as_str().unwrap().len(), 64);
    assert_eq!(json["crypto"]["cipherparams"]["iv"].as_str().unwrap().len(), 32);
    let id = json["id"].as_str().unwrap();
    assert_eq!((id.len(), &id[8..9], &id[14..15]), (36, "-", "4"), "{id}");
    let again = Keystore::parse(keystore.to_string().as_bytes()).unwrap();
    assert_eq!(again.open(KeyRole::Operator, &password("pass")).unwrap(), keys.peg);
}

#[test]
fn two_keystores_of_one_key_share_nothing_that_an_attacker_could_reuse() {
    let key = crate::support::keys(1).consensus;
    let json = |keystore: Keystore| serde_json::from_str::<Value>(&keystore.to_string()).unwrap();
    let (first, second) = (json(sealed(KeyRole::Consensus, &key)), json(sealed(KeyRole::Consensus, &key)));
    assert_ne!(first["crypto"]["kdfparams"]["salt"], second["crypto"]["kdfparams"]["salt"]);
    assert_ne!(first["crypto"]["cipherparams"]["iv"], second["crypto"]["cipherparams"]["iv"]);
    assert_ne!(first["crypto"]["ciphertext"], second["crypto"]["ciphertext"]);
}

#[test]
fn one_loader_reads_plain_files_and_keystores() {
    let directory = tempfile::tempdir().unwrap();
    let keys = crate::support::keys(1);
    save(directory.path(), KeyRole::P2p, &keys.p2p).unwrap();
    save(directory.path(), KeyRole::Peg, &keys.peg).unwrap();
    let locked = put(directory.path(), KeyRole::Consensus, &keys.consensus);
    assert_eq!(fs::metadata(&locked).unwrap().permissions().mode() & 0o777, 0o600);
    let asked = Cell::new(0);
    let ask = |path: &Path| {
        assert_eq!(path, locked);
        asked.set(asked.get() + 1);
        Ok(password("pass"))
    };
    assert_eq!(NodeKeys::unlock_validator(directory.path(), &ask).unwrap(), Some(keys.clone()));
    assert_eq!(asked.get(), 1, "asked for the keystore alone");
    let error = NodeKeys::load_validator(directory.path()).unwrap_err();
    assert!(matches!(&error, KeyError::Locked { .. }) && error.to_string().contains("--password-file"), "{error}");
    let expected = PublicPart::Consensus(keys.consensus_public());
    assert_eq!(public_part(&locked, KeyRole::Consensus).unwrap(), Some(expected), "without a password");
}

#[test]
fn a_key_in_the_wrong_role_is_refused_before_its_password_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let keys = crate::support::keys(1);
    let path = put(directory.path(), KeyRole::Peg, &keys.peg);
    let ask = |_: &Path| -> Result<Password, KeyError> { panic!("asked") };
    for wanted in [KeyRole::Consensus, KeyRole::Operator, KeyRole::P2p] {
        let error = fault(unlock_file(&path, wanted, &ask).unwrap_err());
        assert!(matches!(error, KeystoreFault::WrongRole { found: KeyRole::Peg, .. }), "{error}");
    }
    // A wallet's keystore says no role: an account's, and nothing that signs for a validator.
    let foreign = directory.path().join("UTC--geth");
    fs::write(&foreign, GETH_SCRYPT).unwrap();
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o600)).unwrap();
    for wanted in [KeyRole::Consensus, KeyRole::Peg] {
        let error = fault(unlock_file(&foreign, wanted, &ask).unwrap_err());
        assert!(matches!(error, KeystoreFault::NoRole { .. }) && error.to_string().contains("keys import"), "{error}");
    }
    assert!(unlock_file(&foreign, KeyRole::Operator, &|_| Ok(password(""))).unwrap().is_some());
}

#[test]
fn a_public_part_that_is_not_the_secrets_is_refused() {
    let text = sealed(KeyRole::Consensus, &crate::support::keys(1).consensus).to_string();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json["causeway"]["publicKey"] =
        PublicPart::Consensus(crate::support::keys(2).consensus_public()).to_string().into();
    let altered = Keystore::parse(json.to_string().as_bytes()).unwrap();
    let error = altered.open(KeyRole::Consensus, &password("pass")).unwrap_err();
    assert!(matches!(error, KeystoreFault::PublicPart { .. }), "{error}");
}

#[test]
fn settings_that_would_exhaust_the_machine_or_fit_no_format_are_refused() {
    let good: Value = serde_json::from_str(&sealed(KeyRole::Peg, &crate::support::keys(1).peg).to_string()).unwrap();
    let bad = [
        ("/version", 1.into()),
        ("/crypto/cipher", "aes-128-cbc".into()),
        ("/crypto/cipherparams/iv", "00".into()),
        ("/crypto/ciphertext", "00".into()),
        ("/crypto/mac", "zz".into()),
        ("/crypto/kdf", "argon2".into()),
        ("/crypto/kdfparams/dklen", 16.into()),
        ("/crypto/kdfparams/n", 0.into()),
        ("/crypto/kdfparams/n", 1.into()),
        ("/crypto/kdfparams/n", 4_097.into()),
        ("/crypto/kdfparams/n", (1_u64 << 40).into()),
        ("/crypto/kdfparams/n", u64::MAX.into()),
        ("/crypto/kdfparams/r", 0.into()),
        ("/crypto/kdfparams/r", u32::MAX.into()),
        ("/crypto/kdfparams/p", u32::MAX.into()),
        ("/crypto/kdfparams/salt", "00".repeat(65).into()),
    ];
    for (pointer, value) in bad {
        let mut json = good.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        assert!(Keystore::parse(json.to_string().as_bytes()).is_err(), "{pointer}");
    }
    let mut json: Value = serde_json::from_str(WIKI_PBKDF2).unwrap();
    json["crypto"]["kdfparams"]["c"] = u32::MAX.into();
    assert!(Keystore::parse(json.to_string().as_bytes()).is_err());
}

#[test]
fn an_altered_ciphertext_mac_or_salt_does_not_open() {
    let good: Value = serde_json::from_str(&sealed(KeyRole::Peg, &crate::support::keys(1).peg).to_string()).unwrap();
    for pointer in ["/crypto/ciphertext", "/crypto/mac", "/crypto/kdfparams/salt"] {
        let mut json = good.clone();
        let text = json.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let flipped = if text.starts_with('0') { "1" } else { "0" };
        *json.pointer_mut(pointer).unwrap() = format!("{flipped}{}", &text[1..]).into();
        let error = Keystore::parse(json.to_string().as_bytes()).unwrap().open(KeyRole::Peg, &password("pass"));
        assert!(matches!(error, Err(KeystoreFault::WrongPassword)), "{pointer}");
    }
}

#[test]
fn keystores_are_never_overwritten_nor_read_where_others_may() {
    let directory = tempfile::tempdir().unwrap();
    let keys = crate::support::keys(1);
    let path = put(directory.path(), KeyRole::Peg, &keys.peg);
    let before = fs::read(&path).unwrap();
    let again = save_keystore(&path, &sealed(KeyRole::Peg, &keys.peg));
    assert!(matches!(again, Err(KeyError::Exists { .. })));
    assert!(matches!(save(directory.path(), KeyRole::Peg, &keys.peg), Err(KeyError::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half-written stays");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = load_file(&path, KeyRole::Peg).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn roles_that_a_node_reads_alone_and_empty_passwords_make_no_keystore() {
    let key = crate::support::keys(1).p2p;
    for role in [KeyRole::P2p, KeyRole::Signer] {
        let error = Keystore::seal(role, &key, &password("pass"), Strength::Light).unwrap_err();
        assert!(matches!(error, KeyError::PlainOnly { .. }), "{error}");
    }
    let error = Keystore::seal(KeyRole::Consensus, &key, &password(""), Strength::Light).unwrap_err();
    assert!(matches!(error, KeyError::EmptyPassword), "{error}");
}

#[test]
fn a_password_file_holds_one_line_that_nobody_else_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    for (content, expected) in [("pass", "pass"), ("pass\n", "pass"), ("pass\r\n", "pass"), (" pa ss \n", " pa ss ")] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Password::read(&path).unwrap(), password(expected));
    }
    for content in ["a\nb\n".to_owned(), "x".repeat(2_000)] {
        fs::write(&path, content).unwrap();
        assert!(matches!(Password::read(&path), Err(KeyError::PasswordFile { .. })));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Password::read(&path), Err(KeyError::Mode { .. })));
    assert!(matches!(Password::read(&directory.path().join("none")), Err(KeyError::Io { .. })));
    assert_eq!(format!("{:?}", password("pass")), "Password(..)");
}

proptest! {
    // Each case derives a key from a password twice.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_key_and_password_come_back(bytes in any::<[u8; 32]>(), text in "\\PC{1,40}") {
        let key = SecretKey::from_bytes(bytes);
        let keystore = Keystore::seal(KeyRole::Consensus, &key, &password(&text), Strength::Light).unwrap();
        let again = Keystore::parse(keystore.to_string().as_bytes()).unwrap();
        prop_assert_eq!(again.open(KeyRole::Consensus, &password(&text)).unwrap(), key);
    }

}

proptest! {
    #[test]
    fn no_content_makes_the_reader_panic(content in "\\{\\PC{0,200}") {
        let _unimportant = Keystore::parse(content.as_bytes()).is_ok();
    }
}
