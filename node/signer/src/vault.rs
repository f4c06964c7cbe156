//! The keys of a remote signer and the record of their signatures. A signature leaves only when its record is on disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::{Ed25519Signer, Round, SIGNATURE_BYTES, SignState, sign_guarded};
use causeway_genesis::{
    Genesis, KeyError, SecretKey,
    keys::{self, AskPassword, KeyRole},
};
use causeway_peg::{Attestation, LocalPegSigner, PegDomain, PegSigner, PegSigns, Signature65};
use causeway_records::{DirLock, Disk, OsDisk, PegSignStateFile, SignStateFile, paths};
use eyre::{WrapErr, eyre};

use super::protocol::{Answer, PublicKeys, Request};

/// Most attestations of each kind that are remembered, by number. Attestations older than the oldest remembered one are refused.
const MAX_REMEMBERED: usize = 1_024;
/// File with the genesis hash of the chain that the state belongs to.
const CHAIN_FILE: &str = "chain";

/// The record of the peg key's signatures, for each kind of attestation.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct PegRecord {
    checkpoints: Signed,
    views: Signed,
    acknowledgements: Signed,
}

/// Attestations of one kind by number (a checkpoint's number, a view's deposit nonce, an acknowledged epoch). Never two digests
/// for one number.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Signed {
    /// Numbers below it that are not in `digests` may have been signed and forgotten.
    floor: u64,
    digests: BTreeMap<u64, B256>,
}

impl Signed {
    fn of(digests: BTreeMap<u64, B256>) -> Self {
        Self { floor: digests.keys().next_back().copied().unwrap_or(0), digests }
    }

    /// Notes a number; `false` when it was signed before with the same digest.
    fn note(&mut self, kind: &str, number: u64, digest: B256) -> Result<bool, String> {
        match self.digests.get(&number) {
            Some(known) if *known == digest => return Ok(false),
            Some(known) => return Err(format!("{kind} {number} was signed with another content (digest {known})")),
            None if number < self.floor => {
                return Err(format!("{kind} {number} is older than what this signer remembers (from {})", self.floor));
            }
            None => {}
        }
        self.digests.insert(number, digest);
        while self.digests.len() > MAX_REMEMBERED {
            if let Some((oldest, _)) = self.digests.pop_first() {
                self.floor = self.floor.max(oldest.saturating_add(1));
            }
        }
        Ok(true)
    }
}

impl PegRecord {
    /// Returns the record with an attestation noted; `None` when the same one was signed before.
    ///
    /// # Errors
    /// The reason for a refusal.
    fn with(&self, attestation: &Attestation, digest: B256) -> Result<Option<Self>, String> {
        let mut record = self.clone();
        let fresh = match attestation {
            Attestation::Checkpoint(checkpoint) => record.checkpoints.note("checkpoint", checkpoint.number, digest),
            Attestation::ParentView(view) => record.views.note("the view to deposit", view.depositNonce, digest),
            Attestation::SetAcknowledged(set) => record.acknowledgements.note("acknowledged set", set.epoch, digest),
        }?;
        Ok(fresh.then_some(record))
    }

    /// Converts the record of a node whose key moves here.
    fn of_node(signs: PegSigns) -> Self {
        let checkpoints = Signed::of(signs.checkpoint.into_iter().collect());
        Self { checkpoints, views: Signed::of(signs.views), ..Self::default() }
    }
}

/// The origin of a vault's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateOrigin {
    /// The record is in the directory.
    Existing,
    /// There is no record: the keys have never signed.
    New,
    /// The record moves here from the data directory of a node that signed with the keys itself and must no longer do so.
    Node(PathBuf),
}

/// Keys and the records of their signatures.
#[derive(Debug)]
pub struct Vault {
    chain: B256,
    domain: Option<PegDomain>,
    consensus: Ed25519Signer,
    peg: LocalPegSigner,
    sign_state: SignState,
    sign_state_file: SignStateFile,
    peg_record: PegRecord,
    peg_record_file: PegSignStateFile,
    _lock: DirLock,
}

impl Vault {
    /// Opens the keys in `keys` and the record in `state` for one chain.
    ///
    /// # Errors
    /// The missing, locked or mismatched part, and what to do.
    pub fn open(
        genesis: &Genesis,
        keys: &Path,
        state: &Path,
        origin: &StateOrigin,
        ask: AskPassword<'_>,
    ) -> eyre::Result<Self> {
        let lock = DirLock::acquire(state)?;
        let key = |role: KeyRole| -> eyre::Result<SecretKey> {
            let path = keys.join(role.file_name());
            let hint =
                || eyre!("{} is missing: make it with `causeway keys new --keys {}`", path.display(), keys.display());
            keys::unlock_file(&path, role, ask)?.ok_or_else(hint)
        };
        let (consensus, peg) = (key(KeyRole::Consensus)?, key(KeyRole::Peg)?);
        if consensus == peg {
            let (first, second) = (KeyRole::Consensus.file_name(), KeyRole::Peg.file_name());
            return Err(KeyError::Shared { directory: keys.into(), first, second }.into());
        }
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let sign_state_file = SignStateFile::new(disk.clone(), state.join("sign_state"));
        let peg_record_file = PegSignStateFile::new(disk.clone(), state.join("peg_sign_state"));
        if *origin != StateOrigin::Existing {
            create(&disk, state, genesis.hash, origin, &sign_state_file, &peg_record_file)?;
        }
        check_chain(state, genesis.hash)?;
        let missing = || {
            eyre!(
                "{} holds no sign states, so this signer cannot know what the keys have signed. For keys that never signed anything start it once with \
                 --new-state; for keys that a node used until now with --state-from-node DIR; otherwise restore the files",
                state.display()
            )
        };
        Ok(Self {
            chain: genesis.hash,
            domain: genesis.peg_domain(),
            consensus: Ed25519Signer::new(consensus.expose()),
            peg: LocalPegSigner::new(B256::from(*peg.expose()))?,
            sign_state: sign_state_file.load()?.ok_or_else(missing)?,
            sign_state_file,
            peg_record: peg_record_file.load()?.ok_or_else(missing)?,
            peg_record_file,
            _lock: lock,
        })
    }

    /// The public keys.
    pub(super) fn public_keys(&self) -> PublicKeys {
        PublicKeys { consensus: self.consensus.key(), peg: self.peg.address() }
    }

    /// Answers a request; the record of a signature is durable before this returns.
    pub(super) fn answer(&mut self, request: Request) -> Answer {
        let answer = match request {
            Request::Hello(chain) => self.hello(chain).map(Answer::Keys),
            Request::Consensus { bytes, pol_round } => self.sign(&bytes, pol_round).map(Answer::Consensus),
            Request::Peg(attestation) => self.attest(&attestation).map(Answer::Peg),
        };
        answer.unwrap_or_else(|reason| {
            tracing::warn!(reason, "refused to sign");
            Answer::Refused(reason)
        })
    }

    fn hello(&self, chain: B256) -> Result<PublicKeys, String> {
        if chain != self.chain {
            return Err(format!("the node is of chain {chain}, this signer signs for chain {} alone", self.chain));
        }
        Ok(self.public_keys())
    }

    fn sign(&mut self, bytes: &[u8], pol_round: Option<Round>) -> Result<[u8; SIGNATURE_BYTES], String> {
        let guarded = sign_guarded(&self.sign_state, self.chain, &self.consensus, bytes, pol_round)
            .map_err(|refusal| refusal.to_string())?;
        if let Some(state) = guarded.state {
            self.sign_state_file.store(&state).map_err(|error| format!("the signature cannot be recorded: {error}"))?;
            self.sign_state = state;
        }
        Ok(guarded.signature)
    }

    fn attest(&mut self, attestation: &Attestation) -> Result<Signature65, String> {
        let domain = self.domain.as_ref().ok_or("this signer's chain has no peg")?;
        let digest = domain.attestation_digest(attestation);
        let record = self.peg_record.with(attestation, digest)?;
        let signature = self.peg.sign(digest).map_err(|error| error.to_string())?;
        if let Some(record) = record {
            self.peg_record_file
                .store(&record)
                .map_err(|error| format!("the signature cannot be recorded: {error}"))?;
            self.peg_record = record;
        }
        Ok(signature)
    }
}

/// Writes the first record of a directory that has none.
fn create(
    disk: &Arc<dyn Disk>,
    state: &Path,
    chain: B256,
    origin: &StateOrigin,
    sign_state_file: &SignStateFile,
    peg_record_file: &PegSignStateFile,
) -> eyre::Result<()> {
    if sign_state_file.load()?.is_some() || peg_record_file.load::<PegRecord>()?.is_some() {
        return Err(eyre!(
            "{} holds sign states already: start the signer without --new-state and --state-from-node",
            state.display()
        ));
    }
    let (sign_state, peg_record) = match origin {
        StateOrigin::Existing | StateOrigin::New => (SignState::default(), PegRecord::default()),
        StateOrigin::Node(dir) => {
            let _stopped = DirLock::acquire(dir).wrap_err("the node must be stopped before its sign states move")?;
            let consensus = SignStateFile::new(disk.clone(), paths::sign_state(dir));
            let peg = PegSignStateFile::new(disk.clone(), paths::peg_sign_state(dir));
            let missing = || eyre!("{} holds no sign states of a node", dir.display());
            let signs: PegSigns = peg.load()?.ok_or_else(missing)?;
            (consensus.load()?.ok_or_else(missing)?, PegRecord::of_node(signs))
        }
    };
    fs::write(state.join(CHAIN_FILE), format!("{chain}\n"))
        .wrap_err_with(|| format!("cannot write {}", state.join(CHAIN_FILE).display()))?;
    peg_record_file.store(&peg_record)?;
    Ok(sign_state_file.store(&sign_state)?)
}

/// Refuses the sign states of another chain.
fn check_chain(state: &Path, chain: B256) -> eyre::Result<()> {
    let path = state.join(CHAIN_FILE);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == chain.to_string() => Ok(()),
        Ok(text) => Err(eyre!(
            "the sign states in {} are of chain {}, the genesis file is of chain {chain}: give each chain a directory (and keys) of its own",
            state.display(),
            text.trim()
        )),
        // A missing record is reported elsewhere, with what to do.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).wrap_err_with(|| format!("cannot read {}", path.display())),
    }
}
