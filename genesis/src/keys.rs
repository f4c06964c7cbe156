//! Key files of a node.
//!
//! Three keys, three files of 64 hexadecimal digits in one directory: `consensus.key` (ed25519, votes and proposals), `peg.key`
//! (secp256k1, checkpoints and parent views) and `p2p.key` (ed25519, the node's network identity). They are apart so that a key
//! which leaks through one protocol signs nothing in another. A node that is no validator has only `p2p.key`.

use std::{
    fmt,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, hex};
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::{ConsensusKey, ValidatorId};
use ed25519_dalek::SigningKey;

/// Directory mode: only the owner may list or enter it.
const DIRECTORY_MODE: u32 = 0o700;
/// File mode: only the owner may read or write it.
const FILE_MODE: u32 = 0o600;
/// Bits that give anything to group or others.
const FOREIGN_BITS: u32 = 0o077;
/// Longest key file that is read: 64 digits, `0x`, and white space.
const MAX_KEY_FILE_BYTES: u64 = 128;
/// Attempts to draw a valid secp256k1 scalar; the chance that one fails is below 2^-127.
const MAX_DRAWS: usize = 8;

/// What a key is for. It decides the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRole {
    /// Signs consensus messages.
    Consensus,
    /// Signs checkpoints and parent views.
    Peg,
    /// Names the node on the network.
    P2p,
}

impl KeyRole {
    /// The file's name inside the keys directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus.key",
            Self::Peg => "peg.key",
            Self::P2p => "p2p.key",
        }
    }
}

/// 32 secret bytes. `Debug` never shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

impl SecretKey {
    /// Wraps 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret itself, for the signer that needs it.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Why keys could not be made, read or written. All of these are the operator's to fix, except [`KeyError::Randomness`].
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or directory cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("key file {path} has mode {mode:03o}, so others may read it: run `chmod 600 {path}`")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 64 hexadecimal digits.
    #[error("key file {path} does not hold 64 hexadecimal digits")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// 32 bytes that are no key of that kind.
    #[error("key file {path} holds a number that is no secp256k1 key")]
    OutOfRange {
        /// The file.
        path: PathBuf,
    },
    /// A key exists already; keys are never overwritten.
    #[error("key file {path} exists already: move it away first, keys are never overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// One of the three is missing although another is there.
    #[error("key file {path} is missing: a validator needs consensus.key, peg.key and p2p.key")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// One secret in two roles.
    #[error("key files {first} and {second} in {directory} hold the same secret: make one of them anew")]
    Shared {
        /// The directory.
        directory: PathBuf,
        /// One file.
        first: &'static str,
        /// The other file.
        second: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Randomness(String),
}

/// The three keys of a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKeys {
    /// Ed25519 seed that signs consensus messages.
    pub consensus: SecretKey,
    /// Secp256k1 scalar that signs checkpoints and parent views; checked to be in range.
    pub peg: SecretKey,
    /// Ed25519 seed of the network identity.
    pub p2p: SecretKey,
}

impl NodeKeys {
    /// Draws three fresh keys from the operating system.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { consensus: random()?, peg: random_scalar()?, p2p: random()? })
    }

    /// Writes the three files with mode 0600 into `directory`, which is created with mode 0700 when missing.
    /// Refuses before writing anything when one of them exists.
    pub fn save(&self, directory: &Path) -> Result<(), KeyError> {
        let files = [(KeyRole::Consensus, &self.consensus), (KeyRole::Peg, &self.peg), (KeyRole::P2p, &self.p2p)];
        for (role, _) in files {
            let path = directory.join(role.file_name());
            if path.symlink_metadata().is_ok() {
                return Err(KeyError::Exists { path });
            }
        }
        files.into_iter().try_for_each(|(role, key)| save(directory, role, key))
    }

    /// Reads the three files.
    pub fn load(directory: &Path) -> Result<Self, KeyError> {
        let read = |role: KeyRole| {
            load(directory, role)?.ok_or_else(|| KeyError::Missing { path: directory.join(role.file_name()) })
        };
        let keys = Self { consensus: read(KeyRole::Consensus)?, peg: read(KeyRole::Peg)?, p2p: read(KeyRole::P2p)? };
        keys.roles_differ(directory)?;
        Ok(keys)
    }

    /// Reads the three files where `consensus.key` or `peg.key` exists; `None` where neither does: the node is no validator.
    pub fn load_validator(directory: &Path) -> Result<Option<Self>, KeyError> {
        let exists = |role: KeyRole| directory.join(role.file_name()).symlink_metadata().is_ok();
        if exists(KeyRole::Consensus) || exists(KeyRole::Peg) { Self::load(directory).map(Some) } else { Ok(None) }
    }

    /// The ed25519 key that signs consensus messages.
    pub fn consensus_signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(self.consensus.expose())
    }

    /// The public consensus key, as the genesis file names it.
    pub fn consensus_public(&self) -> ConsensusKey {
        ConsensusKey(self.consensus_signing_key().verifying_key().to_bytes())
    }

    /// The validator's id.
    pub fn validator_id(&self) -> ValidatorId {
        self.consensus_public().id()
    }

    /// Signer of checkpoints and parent views.
    pub fn peg_signer(&self) -> PrivateKeySigner {
        let scalar = B256::from(*self.peg.expose());
        PrivateKeySigner::from_bytes(&scalar).expect("generate and load accept only scalars in range")
    }

    /// Address of the peg key, as the genesis file names it.
    pub fn peg_address(&self) -> Address {
        self.peg_signer().address()
    }

    fn roles_differ(&self, directory: &Path) -> Result<(), KeyError> {
        let pairs = [
            (KeyRole::Consensus, &self.consensus, KeyRole::Peg, &self.peg),
            (KeyRole::Consensus, &self.consensus, KeyRole::P2p, &self.p2p),
            (KeyRole::Peg, &self.peg, KeyRole::P2p, &self.p2p),
        ];
        match pairs.into_iter().find(|(_, first, _, second)| first == second) {
            None => Ok(()),
            Some((first, _, second, _)) => Err(KeyError::Shared {
                directory: directory.into(),
                first: first.file_name(),
                second: second.file_name(),
            }),
        }
    }
}

/// Reads the network key, or makes one where there is none: a node without a history needs no ceremony.
pub fn load_or_generate_p2p(directory: &Path) -> Result<SecretKey, KeyError> {
    if let Some(key) = load(directory, KeyRole::P2p)? {
        return Ok(key);
    }
    let key = random()?;
    save(directory, KeyRole::P2p, &key)?;
    Ok(key)
}

/// Reads one key file of the directory; `None` when it does not exist.
pub fn load(directory: &Path, role: KeyRole) -> Result<Option<SecretKey>, KeyError> {
    load_file(&directory.join(role.file_name()), role)
}

/// Reads a key from any file; `None` when it does not exist. The relayer's key is read so, with [`KeyRole::Peg`]'s rules.
pub fn load_file(path: &Path, role: KeyRole) -> Result<Option<SecretKey>, KeyError> {
    let io = |source| KeyError::Io { path: path.into(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    // Checked on the open file, so that what is read is what was checked.
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & FOREIGN_BITS != 0 {
        return Err(KeyError::Mode { path: path.into(), mode });
    }
    let mut bytes = Vec::new();
    file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut bytes).map_err(io)?;
    let key = parse(&bytes).ok_or_else(|| KeyError::Malformed { path: path.into() })?;
    if role == KeyRole::Peg && !is_scalar(&key) {
        return Err(KeyError::OutOfRange { path: path.into() });
    }
    Ok(Some(key))
}

/// Writes one key file of the directory with mode 0600, synced to disk, and refuses to overwrite one.
pub fn save(directory: &Path, role: KeyRole, key: &SecretKey) -> Result<(), KeyError> {
    let path = directory.join(role.file_name());
    let io = |source| KeyError::Io { path: path.clone(), source };
    if !directory.exists() {
        std::fs::create_dir_all(directory).map_err(io)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(DIRECTORY_MODE)).map_err(io)?;
    }
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
    let mut file = opened.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.clone() },
        _ => io(source),
    })?;
    file.write_all(format!("{}\n", hex::encode(key.expose())).as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

fn parse(bytes: &[u8]) -> Option<SecretKey> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut key = [0u8; 32];
    hex::decode_to_slice(digits, &mut key).ok()?;
    Some(SecretKey(key))
}

fn is_scalar(key: &SecretKey) -> bool {
    PrivateKeySigner::from_bytes(&B256::from(*key.expose())).is_ok()
}

fn random() -> Result<SecretKey, KeyError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Randomness(error.to_string()))?;
    Ok(SecretKey(bytes))
}

fn random_scalar() -> Result<SecretKey, KeyError> {
    for _ in 0..MAX_DRAWS {
        let key = random()?;
        if is_scalar(&key) {
            return Ok(key);
        }
    }
    Err(KeyError::Randomness(format!("{MAX_DRAWS} draws in a row were no secp256k1 key")))
}
