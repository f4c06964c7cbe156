//! Key files and passwords: any text parses or is refused, a parsed keystore is within its bounds, and opening a cheap one
//! ends.

use causeway_genesis::keys::{KeyRole, Keystore, Password, PublicPart};

use crate::{Target, answers};

/// See the module.
pub const TARGET: Target = Target { name: "keystore_file", check, seeds, max_bytes: 2048 };

/// Key derivations up to this cost are run; the others differ only in time.
const CHEAP: u64 = 64;

/// See the module.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for role in [KeyRole::Consensus, KeyRole::Peg, KeyRole::Operator] {
            if let Some(part) = PublicPart::parse(role, text) {
                assert_eq!(PublicPart::parse(role, &part.to_string()), Some(part), "it comes back");
            }
        }
    }
    let keystore = match Keystore::parse(bytes) {
        Ok(keystore) => keystore,
        Err(fault) => return answers(fault.to_string()),
    };
    let text = keystore.to_string();
    let again = Keystore::parse(text.as_bytes()).expect("what parses, parses again");
    assert_eq!(again.to_string(), text);
    answers((keystore.role(), keystore.public_part(), keystore.check_role(KeyRole::Operator)));
    if work(bytes).is_some_and(|work| work <= CHEAP) {
        answers(keystore.open(KeyRole::Operator, &Password::new(b"testpassword".to_vec())));
    }
}

/// Rounds of pbkdf2, or blocks of scrypt.
fn work(json: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let crypto = value.get("crypto").or_else(|| value.get("Crypto"))?;
    let params = crypto.get("kdfparams")?;
    let number = |name: &str| params.get(name).and_then(serde_json::Value::as_u64);
    match (number("c"), number("n"), number("r"), number("p")) {
        (Some(c), ..) => Some(c),
        (_, Some(n), Some(r), Some(p)) => n.checked_mul(r)?.checked_mul(p),
        _ => None,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let scrypt = r#"{"address":"008aeeda4d805471df9b2a5b0f38a0c3bcba786b","crypto":{"cipher":"aes-128-ctr","ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097","kdf":"scrypt","kdfparams":{"dklen":32,"n":262144,"r":1,"p":8,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"}},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    let pbkdf2 = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    let ours = scrypt.replace(
        r#""id""#,
        r#""causeway":{"role":"operator","publicKey":"0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b"},"id""#,
    );
    vec![
        scrypt.into(),
        pbkdf2.into(),
        pbkdf2.replace("\"c\":262144", "\"c\":2").into(),
        scrypt.replace("262144", "2").into(),
        ours.into(),
        b"0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b".to_vec(),
    ]
}
