//! The signers of this node: keys in its own process, or a remote signer behind the same two traits.
//!
//! A remote signer ([`SignerServer`]) is a process, possibly on another machine, that holds a validator's consensus and peg keys and
//! the durable record of their signatures. It never signs two conflicting messages, whatever its clients request, even if a node
//! was broken into or two nodes use it at once. [`RemoteSigner`] is the node's side.

mod address;
mod channel;
mod client;
mod protocol;
mod server;
mod vault;

use std::{path::PathBuf, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use causeway_consensus::{ConsensusKey, Ed25519Signer, Signer, ValidatorId};
use causeway_genesis::{
    NodeKeys,
    keys::{self, AskPassword, KeyRole},
};
use causeway_peg::{LocalPegSigner, PegSigner};
use eyre::{WrapErr, eyre};

pub use self::{
    address::{NotAnAddress, SignerAddress},
    client::{RemoteError, RemoteSigner},
    server::{MAX_CONNECTIONS, SignerServer},
    vault::{StateOrigin, Vault},
};
use crate::config::{DataDir, SignerSection};

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
pub fn open(
    dir: &DataDir,
    section: &SignerSection,
    chain: B256,
    ask: AskPassword<'_>,
) -> eyre::Result<Option<Signers>> {
    let Some(address) = &section.address else {
        return NodeKeys::unlock_validator(&dir.keys(), ask)?.as_ref().map(Signers::local).transpose();
    };
    for role in [KeyRole::Consensus, KeyRole::Peg] {
        let path = dir.keys().join(role.file_name());
        if path.symlink_metadata().is_ok() {
            return Err(eyre!(
                "signer.address names a remote signer, but {} is here too: a key that is in two places signs twice. Move it away, or leave signer.address out",
                path.display()
            ));
        }
    }
    let secret_file: PathBuf = dir.0.join(&section.secret_file);
    let secret = keys::load_file(&secret_file, KeyRole::Signer)?.ok_or_else(|| {
        eyre!(
            "{} is missing: it holds the secret shared with the remote signer. Copy the signer's, or make one with `causeway keys new --role signer`",
            secret_file.display()
        )
    })?;
    let address = match address {
        SignerAddress::Unix(path) => SignerAddress::Unix(dir.0.join(path)),
        SignerAddress::Tcp(_) => address.clone(),
    };
    let remote = RemoteSigner::connect(address, secret, chain, Duration::from_millis(section.timeout_ms))
        .wrap_err("the node cannot start without its signer, whose keys say which validator it is")?;
    tracing::info!(address = %section.address.as_ref().map(ToString::to_string).unwrap_or_default(), "signing through a remote signer");
    Ok(Some(Signers::remote(remote)))
}
