//! `causeway keys` as a process: what it writes, what it refuses, and what never shows.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use causeway_genesis::{
    NodeKeys, SecretKey,
    keys::{self, KeyRole, Keystore, Password, Strength},
};
use serde_json::Value;

/// Runs `causeway keys` away from any terminal.
fn run(arguments: &[&str]) -> Output {
    Command::new("setsid")
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_causeway"))
        .arg("keys")
        .args(arguments)
        .env_remove("CAUSEWAY_PASSWORD_FILE")
        .output()
        .unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.private("password", "correct horse\n");
        home
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn private(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    fn keys(&self) -> PathBuf {
        self.0.path().join("keys")
    }
}

fn ask(_: &Path) -> Result<Password, causeway_genesis::KeyError> {
    Ok(Password::new(b"correct horse".to_vec()))
}

#[test]
fn new_makes_keystores_of_all_roles_that_a_node_opens_and_show_needs_no_password() {
    let home = Home::new();
    let (dir, password) = (home.path("."), home.path("password"));
    let made = succeed(&["new", "--dir", &dir, "--light-kdf", "--password-file", &password, "--json"]);
    let shown = succeed(&["show", "--dir", &dir, "--json"]);
    assert_eq!(made, shown);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let keys = NodeKeys::unlock(&home.keys(), &ask).unwrap();
    assert_eq!(shown["validator"], keys.validator_id().to_string());
    assert_eq!(shown["pegAddress"], keys.peg_address().to_string());
    assert!(shown["operator"].as_str().unwrap().starts_with("0x") && !shown["peerId"].as_str().unwrap().is_empty());
    for role in [KeyRole::Consensus, KeyRole::Peg, KeyRole::Operator, KeyRole::P2p] {
        let path = home.keys().join(role.file_name());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let locked = keys::read_keystore(&path).unwrap().is_some();
        assert_eq!(locked, role != KeyRole::P2p, "{role}");
    }
    let text = fs::read_to_string(home.keys().join("consensus.key")).unwrap();
    assert!(!text.contains(&alloy_primitives::hex::encode(keys.consensus.expose())));
    let again = fail(&["new", "--dir", &dir, "--password-file", &password]);
    assert!(again.contains("exists already"), "{again}");
}

#[test]
fn without_a_terminal_or_a_password_file_nothing_is_written_and_the_way_out_is_named() {
    let home = Home::new();
    let said = fail(&["new", "--keys", &home.path("keys")]);
    assert!(said.contains("--password-file") && said.contains("CAUSEWAY_PASSWORD_FILE"), "{said}");
    assert!(!home.keys().join("consensus.key").exists());
    fs::set_permissions(home.path("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = fail(&["new", "--keys", &home.path("keys"), "--password-file", &home.path("password")]);
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn plain_keys_for_testnets_are_asked_for_by_name_and_read_by_the_same_loader() {
    let home = Home::new();
    succeed(&["new", "--keys", &home.path("keys"), "--insecure-plain"]);
    NodeKeys::load(&home.keys()).unwrap();
    succeed(&["new", "--keys", &home.path("keys"), "--role", "signer"]);
    assert!(keys::load(&home.keys(), KeyRole::Signer).unwrap().is_some());
}

#[test]
fn import_takes_digits_and_keystores_and_no_key_of_another_role() {
    let home = Home::new();
    let (dir, password) = (home.path("keys"), home.path("password"));
    let secret = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
    let digits = home.private("digits", secret);
    let base = ["import", "--keys", &dir, "--light-kdf", "--password-file", &password, "--json"];
    let shown = succeed(&[&base[..], &["--role", "operator", "--hex-file", &digits]].concat());
    assert!(shown.contains("0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"), "{shown}");
    // A wallet's keystore, without a role, becomes the peg's.
    let mut json: Value = serde_json::from_str(&fs::read_to_string(home.keys().join("operator.key")).unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("causeway");
    let foreign = home.private("UTC--wallet", &json.to_string());
    succeed(&[&base[..], &["--role", "peg", "--keystore", &foreign]].concat());
    let peg = keys::unlock_file(&home.keys().join("peg.key"), KeyRole::Peg, &ask).unwrap().unwrap();
    assert_eq!(alloy_primitives::hex::encode(peg.expose()), secret);
    // One that says its role keeps it.
    let own = home.keys().join("peg.key").display().to_string();
    let said = fail(&[&base[..], &["--role", "consensus", "--keystore", &own]].concat());
    assert!(said.contains("holds a peg key"), "{said}");
    let said = fail(&[&base[..], &["--role", "consensus", "--keystore", &digits]].concat());
    assert!(said.contains("--hex-file"), "{said}");
    let said = fail(&[&base[..], &["--role", "peg", "--hex-file", &digits]].concat());
    assert!(said.contains("exists already"), "{said}");
    let wrong = home.private("wrong", "wrong\n");
    let arguments =
        ["import", "--keys", &home.path("other"), "--role", "peg", "--keystore", &own, "--password-file", &wrong];
    let said = fail(&arguments);
    assert!(said.contains("password is wrong"), "{said}");
}

#[test]
fn export_writes_keystores_under_the_same_or_another_password_and_digits_only_when_told() {
    let home = Home::new();
    let (dir, password) = (home.path("keys"), home.path("password"));
    let key = SecretKey::from_bytes([7; 32]);
    let seal = Keystore::seal(KeyRole::Peg, &key, &ask(Path::new("")).unwrap(), Strength::Light).unwrap();
    keys::save_keystore(&home.keys().join("peg.key"), &seal).unwrap();
    let base = ["export", "--keys", &dir, "--role", "peg", "--password-file", &password];
    let (same, other, plain) = (home.path("same"), home.path("other"), home.path("plain"));
    succeed(&[&base[..], &["--light-kdf", "--out", &same]].concat());
    assert_eq!(keys::unlock_file(Path::new(&same), KeyRole::Peg, &ask).unwrap(), Some(key.clone()));
    let new = home.private("new", "battery staple\n");
    succeed(&[&base[..], &["--light-kdf", "--out", &other, "--new-password-file", &new]].concat());
    let ask_new = |_: &Path| Ok(Password::new(b"battery staple".to_vec()));
    assert_eq!(keys::unlock_file(Path::new(&other), KeyRole::Peg, &ask_new).unwrap(), Some(key.clone()));
    assert!(keys::unlock_file(Path::new(&other), KeyRole::Peg, &ask).is_err());
    succeed(&[&base[..], &["--insecure-plain", "--out", &plain]].concat());
    assert_eq!(keys::load_file(Path::new(&plain), KeyRole::Peg).unwrap(), Some(key));
    let said = fail(&[&base[..], &["--out", &plain]].concat());
    assert!(said.contains("exists already"), "{said}");
}
