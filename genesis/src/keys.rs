//! Keys of a node and their files.
//!
//! One key for each role, one file for each key in one directory: `consensus.key` (ed25519, votes and proposals), `peg.key`
//! (secp256k1, checkpoints and parent views), `operator.key` (secp256k1, the account that owns the stake) and `p2p.key`
//! (ed25519, the node's network identity). They are separate, so that a key that leaks through one protocol cannot sign in
//! another. A node that is not a validator has only `p2p.key`. No node needs `operator.key`; it should be stored elsewhere.
//!
//! A file contains either a [`Keystore`] (web3 secret storage, locked by a password) or 64 plain hexadecimal digits. Plain keys
//! are for testnets and for keys that a node must read without a person. The content decides, not the file's name.

mod error;
mod file;
mod keystore;
mod node_keys;
mod password;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, hex};
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::ConsensusKey;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

pub use self::{
    error::{KeyError, KeystoreFault},
    keystore::{Keystore, Strength},
    node_keys::{NodeKeys, load_or_generate_p2p},
    password::{MAX_PASSWORD_BYTES, Password},
};

/// Longest key file that is read.
const MAX_KEY_FILE_BYTES: u64 = 8_192;
/// Longest plain key: 64 digits, `0x`, and white space.
const MAX_PLAIN_BYTES: usize = 128;
/// Attempts to draw a valid secp256k1 scalar; the chance that one fails is below 2^-127.
const MAX_DRAWS: usize = 8;

/// The purpose of a key. It determines the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// Signs consensus messages.
    Consensus,
    /// Signs checkpoints and parent views.
    Peg,
    /// Owns the stake. Keys of other accounts that sign transactions follow the same rules.
    Operator,
    /// The node's identity on the network. Never a keystore, because a node creates and reads it without a person.
    P2p,
    /// Shared by a node and its remote signer. Never a keystore, because both read it without a person.
    Signer,
}

impl KeyRole {
    /// The file's name inside the keys directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus.key",
            Self::Peg => "peg.key",
            Self::Operator => "operator.key",
            Self::P2p => "p2p.key",
            Self::Signer => "signer.key",
        }
    }

    /// Whether the key must be a scalar of secp256k1. Any 32 bytes seed an ed25519 key or serve as a shared secret.
    const fn is_scalar(self) -> bool {
        matches!(self, Self::Peg | Self::Operator)
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.file_name().trim_end_matches(".key"))
    }
}

/// 32 secret bytes. `Debug` never shows them, and their memory is cleared on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl SecretKey {
    /// Wraps 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws a fresh key of a role from the operating system.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate(role: KeyRole) -> Result<Self, KeyError> {
        for _ in 0..MAX_DRAWS {
            let mut bytes = [0u8; 32];
            getrandom::fill(&mut bytes).map_err(|error| KeyError::Randomness(error.to_string()))?;
            let key = Self(bytes);
            if !role.is_scalar() || account(&key).is_some() {
                return Ok(key);
            }
        }
        Err(KeyError::Randomness(format!("{MAX_DRAWS} random draws in a row gave no secp256k1 key")))
    }

    /// The secret itself, for the signer that needs it.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The public part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicPart {
    /// The public key of an ed25519 consensus key.
    Consensus(ConsensusKey),
    /// The address of a peg or operator key.
    Account(Address),
}

impl PublicPart {
    /// Computes it from the secret; `None` when the secret is not a valid key of that role, or the role has no public part here.
    pub fn of(role: KeyRole, key: &SecretKey) -> Option<Self> {
        match role {
            KeyRole::Consensus => {
                Some(Self::Consensus(ConsensusKey(SigningKey::from_bytes(key.expose()).verifying_key().to_bytes())))
            }
            KeyRole::Peg | KeyRole::Operator => account(key).map(|signer| Self::Account(signer.address())),
            KeyRole::P2p | KeyRole::Signer => None,
        }
    }
}

impl PublicPart {
    /// Parses the output of `Display` for a role; `None` for other text.
    pub fn parse(role: KeyRole, text: &str) -> Option<Self> {
        match role {
            KeyRole::Consensus => text.parse::<B256>().ok().map(|key| Self::Consensus(ConsensusKey(key.0))),
            KeyRole::Peg | KeyRole::Operator => text.parse().ok().map(Self::Account),
            KeyRole::P2p | KeyRole::Signer => None,
        }
    }
}

impl fmt::Display for PublicPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consensus(key) => B256::from(key.0).fmt(formatter),
            Self::Account(address) => address.fmt(formatter),
        }
    }
}

/// The source of passwords. It is called with a keystore's path, and only when there is one to open.
pub type AskPassword<'a> = &'a dyn Fn(&Path) -> Result<Password, KeyError>;

/// Reads one plain key file of the directory; `None` when it does not exist.
///
/// # Errors
/// As [`load_file`].
pub fn load(directory: &Path, role: KeyRole) -> Result<Option<SecretKey>, KeyError> {
    load_file(&directory.join(role.file_name()), role)
}

/// Reads a plain key from any file; `None` when it does not exist.
///
/// # Errors
/// [`KeyError`]; [`KeyError::Locked`] where it is a keystore.
pub fn load_file(path: &Path, role: KeyRole) -> Result<Option<SecretKey>, KeyError> {
    unlock_file(path, role, &locked)
}

/// Reads a key from any file, plain or keystore; `None` when it does not exist. `ask` is called only for a keystore that may be
/// used in this role. A keystore of another tool has no role and may only be used as an operator's key.
///
/// # Errors
/// [`KeyError`].
pub fn unlock_file(path: &Path, role: KeyRole, ask: AskPassword<'_>) -> Result<Option<SecretKey>, KeyError> {
    let Some(bytes) = file::read_private(path, MAX_KEY_FILE_BYTES)? else { return Ok(None) };
    if Keystore::looks_like(&bytes) {
        let fault = |fault| KeyError::Keystore { path: path.into(), fault };
        let keystore = keystore::parse_file(path, &bytes)?;
        keystore.check_role(role).map_err(fault)?;
        return keystore.open(role, &ask(path)?).map(Some).map_err(fault);
    }
    let key = parse(&bytes).ok_or_else(|| KeyError::Malformed { path: path.into() })?;
    if role.is_scalar() && account(&key).is_none() {
        return Err(KeyError::OutOfRange { path: path.into() });
    }
    Ok(Some(key))
}

/// Reads a keystore of any role without opening it; `None` when the file does not exist or is a plain key.
///
/// # Errors
/// [`KeyError`].
pub fn read_keystore(path: &Path) -> Result<Option<Keystore>, KeyError> {
    match file::read_private(path, MAX_KEY_FILE_BYTES)? {
        Some(bytes) if Keystore::looks_like(&bytes) => keystore::parse_file(path, &bytes).map(Some),
        _ => Ok(None),
    }
}

/// The public part of a key file, without a password: computed from a plain key, read from a keystore. `None` when the file does
/// not exist, or is another tool's keystore without an address.
///
/// # Errors
/// [`KeyError`].
pub fn public_part(path: &Path, role: KeyRole) -> Result<Option<PublicPart>, KeyError> {
    let Some(keystore) = read_keystore(path)? else {
        return Ok(load_file(path, role)?.and_then(|key| PublicPart::of(role, &key)));
    };
    let fault = |fault| KeyError::Keystore { path: path.into(), fault };
    keystore.check_role(role).map_err(fault)?;
    let Some(text) = keystore.public_part() else { return Ok(None) };
    let malformed = KeystoreFault::Setting { field: "public key", allowed: "a public key of its role" };
    PublicPart::parse(role, &text).map(Some).ok_or_else(|| fault(malformed))
}

/// Writes one plain key file of the directory with mode 0600, atomically and synced to disk.
///
/// # Errors
/// [`KeyError::Exists`] instead of overwriting; [`KeyError::Io`].
pub fn save(directory: &Path, role: KeyRole, key: &SecretKey) -> Result<(), KeyError> {
    save_file(&directory.join(role.file_name()), key)
}

/// Writes a plain key file at any path, as [`save`] does.
///
/// # Errors
/// As [`save`].
pub fn save_file(path: &Path, key: &SecretKey) -> Result<(), KeyError> {
    let text = zeroize::Zeroizing::new(format!("{}\n", hex::encode(key.expose())));
    file::write_private(path, text.as_bytes())
}

/// Writes a keystore at any path, as [`save`] does.
///
/// # Errors
/// As [`save`].
pub fn save_keystore(path: &Path, keystore: &Keystore) -> Result<(), KeyError> {
    file::write_private(path, keystore.to_string().as_bytes())
}

/// Returns an error when a key of one of the roles exists in the directory.
///
/// # Errors
/// [`KeyError::Exists`].
pub fn refuse_existing(directory: &Path, roles: &[KeyRole]) -> Result<(), KeyError> {
    let paths = roles.iter().map(|role| directory.join(role.file_name()));
    match paths.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(KeyError::Exists { path }),
        None => Ok(()),
    }
}

fn locked(path: &Path) -> Result<Password, KeyError> {
    Err(KeyError::Locked { path: PathBuf::from(path) })
}

fn parse(bytes: &[u8]) -> Option<SecretKey> {
    if bytes.len() > MAX_PLAIN_BYTES {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut key = SecretKey([0u8; 32]);
    hex::decode_to_slice(digits, &mut key.0).ok()?;
    Some(key)
}

fn account(key: &SecretKey) -> Option<PrivateKeySigner> {
    PrivateKeySigner::from_bytes(&B256::from(*key.expose())).ok()
}
