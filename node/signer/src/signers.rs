//! The signers of a node: keys in its own process, or a remote signer behind the same two traits, as its settings say.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{Address, B256};
use causeway_consensus::{ConsensusKey, Ed25519Signer, Signer, ValidatorId};
use causeway_genesis::{
    NodeKeys,
    keys::{self, AskPassword, KeyRole},
};
use causeway_peg::{LocalPegSigner, PegSigner};
use eyre::{WrapErr, eyre};
use serde::{Deserialize, Serialize};

use crate::{RemoteSigner, SignerAddress};

/// A remote signer: a process that holds the consensus and peg keys instead of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignerSection {
    /// `unix:PATH` (relative to the data directory) or `IP:PORT`. None: the keys are in `keys/`.
    pub address: Option<SignerAddress>,
    /// File with the secret shared with the signer, relative to the data directory.
    pub secret_file: PathBuf,
    /// How long the node waits for a signature before it continues without one, in milliseconds, 50 to 5,000.
    pub timeout_ms: u64,
}

impl Default for SignerSection {
    fn default() -> Self {
        Self { address: None, secret_file: "keys/signer.key".into(), timeout_ms: 500 }
    }
}

/// A validator's two signers, wherever their keys are stored.
pub struct Signers {
    /// Public key of the key that signs votes and proposals.
    pub consensus_key: ConsensusKey,
    /// Signs votes and proposals.
    pub consensus: Box<dyn Signer>,
    /// Signs attestations.
    pub peg: Arc<dyn PegSigner>,
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signers").field("validator", &self.validator()).finish_non_exhaustive()
    }
}

impl Signers {
    /// The validator of these signers.
    pub fn validator(&self) -> ValidatorId {
        self.consensus_key.id()
    }

    /// Address of the peg key.
    pub fn peg_address(&self) -> Address {
        self.peg.address()
    }

    /// Signers with the keys in this process.
    ///
    /// # Errors
    /// Never for loaded keys: loading checks their range.
    pub fn local(keys: &NodeKeys) -> eyre::Result<Self> {
        Ok(Self {
            consensus_key: keys.consensus_public(),
            consensus: Box::new(Ed25519Signer::new(keys.consensus.expose())),
            peg: Arc::new(LocalPegSigner::new(B256::from(*keys.peg.expose()))?),
        })
    }

    /// Signers that use a remote signer.
    pub fn remote(signer: RemoteSigner) -> Self {
        Self { consensus_key: signer.consensus_key(), consensus: Box::new(signer.clone()), peg: Arc::new(signer) }
    }
}

/// The signers that the data directory and its settings configure; `None` without validator keys: the node only follows.
///
/// # Errors
/// Keys that cannot be read, a signer that cannot be reached, or keys in both places.
pub fn open(dir: &Path, section: &SignerSection, chain: B256, ask: AskPassword<'_>) -> eyre::Result<Option<Signers>> {
    let keys_dir = dir.join("keys");
    let Some(address) = &section.address else {
        return NodeKeys::unlock_validator(&keys_dir, ask)?.as_ref().map(Signers::local).transpose();
    };
    for role in [KeyRole::Consensus, KeyRole::Peg] {
        let path = keys_dir.join(role.file_name());
        if path.symlink_metadata().is_ok() {
            return Err(eyre!(
                "signer.address names a remote signer, but {} is here too: a key that is in two places signs twice. Move it away, or leave signer.address out",
                path.display()
            ));
        }
    }
    let secret_file: PathBuf = dir.join(&section.secret_file);
    let secret = keys::load_file(&secret_file, KeyRole::Signer)?.ok_or_else(|| {
        eyre!(
            "{} is missing: it holds the secret shared with the remote signer. Copy the signer's, or make one with `causeway keys new --role signer`",
            secret_file.display()
        )
    })?;
    let address = match address {
        SignerAddress::Unix(path) => SignerAddress::Unix(dir.join(path)),
        SignerAddress::Tcp(_) => address.clone(),
    };
    let remote = RemoteSigner::connect(address, secret, chain, Duration::from_millis(section.timeout_ms))
        .wrap_err("the node cannot start without its signer, whose keys say which validator it is")?;
    tracing::info!(address = %section.address.as_ref().map(ToString::to_string).unwrap_or_default(), "signing through a remote signer");
    Ok(Some(Signers::remote(remote)))
}
