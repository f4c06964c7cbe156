//! The keys that a node needs at start.

use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::{ConsensusKey, ValidatorId};
use ed25519_dalek::SigningKey;

use super::{AskPassword, KeyError, KeyRole, SecretKey, account, load, locked, refuse_existing, save, unlock_file};

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
    /// Generates three new keys with the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self {
            consensus: SecretKey::generate(KeyRole::Consensus)?,
            peg: SecretKey::generate(KeyRole::Peg)?,
            p2p: SecretKey::generate(KeyRole::P2p)?,
        })
    }

    /// Writes the three as plain files with mode 0600 into `directory`, which is created with mode 0700 when missing.
    ///
    /// # Errors
    /// [`KeyError::Exists`] before writing anything when one of them exists; [`KeyError::Io`].
    pub fn save(&self, directory: &Path) -> Result<(), KeyError> {
        let files = [(KeyRole::Consensus, &self.consensus), (KeyRole::Peg, &self.peg), (KeyRole::P2p, &self.p2p)];
        refuse_existing(directory, &files.map(|(role, _)| role))?;
        files.into_iter().try_for_each(|(role, key)| save(directory, role, key))
    }

    /// Reads the three plain files.
    ///
    /// # Errors
    /// [`KeyError`]; [`KeyError::Locked`] where one is a keystore.
    pub fn load(directory: &Path) -> Result<Self, KeyError> {
        Self::unlock(directory, &locked)
    }

    /// Reads the three files, and opens keystores with the password from `ask`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn unlock(directory: &Path, ask: AskPassword<'_>) -> Result<Self, KeyError> {
        let path = |role: KeyRole| directory.join(role.file_name());
        let missing = |path: PathBuf| KeyError::Missing { path };
        // Reports errors that need no password before it asks for one.
        let roles = [KeyRole::Consensus, KeyRole::Peg, KeyRole::P2p];
        if let Some(role) = roles.into_iter().find(|role| path(*role).symlink_metadata().is_err()) {
            return Err(missing(path(role)));
        }
        let read = |role: KeyRole| unlock_file(&path(role), role, ask)?.ok_or_else(|| missing(path(role)));
        let p2p = read(KeyRole::P2p)?;
        let keys = Self { consensus: read(KeyRole::Consensus)?, peg: read(KeyRole::Peg)?, p2p };
        keys.roles_differ(directory)?;
        Ok(keys)
    }

    /// Reads the three plain files if `consensus.key` or `peg.key` exists; `None` if neither exists: the node is not a validator.
    ///
    /// # Errors
    /// As [`NodeKeys::load`].
    pub fn load_validator(directory: &Path) -> Result<Option<Self>, KeyError> {
        Self::unlock_validator(directory, &locked)
    }

    /// As [`NodeKeys::load_validator`], including keystores.
    ///
    /// # Errors
    /// As [`NodeKeys::unlock`].
    pub fn unlock_validator(directory: &Path, ask: AskPassword<'_>) -> Result<Option<Self>, KeyError> {
        let exists = |role: KeyRole| directory.join(role.file_name()).symlink_metadata().is_ok();
        if exists(KeyRole::Consensus) || exists(KeyRole::Peg) {
            Self::unlock(directory, ask).map(Some)
        } else {
            Ok(None)
        }
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
        account(&self.peg).expect("generate and load accept only scalars in range")
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

/// Reads the network key, or creates it if it does not exist: a node without history needs no preparation.
///
/// # Errors
/// [`KeyError`].
pub fn load_or_generate_p2p(directory: &Path) -> Result<SecretKey, KeyError> {
    if let Some(key) = load(directory, KeyRole::P2p)? {
        return Ok(key);
    }
    let key = SecretKey::generate(KeyRole::P2p)?;
    save(directory, KeyRole::P2p, &key)?;
    Ok(key)
}
