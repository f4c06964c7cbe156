//! `causeway keys new|import|export|show`.

use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use causeway_genesis::{
    SecretKey,
    keys::{self, KeyRole, Keystore, PublicPart, Strength},
};
use causeway_signer::password::PasswordArgs;
use clap::{Args, Subcommand, ValueEnum};
use eyre::eyre;
use serde_json::{Map, Value};

use super::say;
use crate::config::DataDir;

/// What `keys new` makes when no role is named.
const ALL_ROLES: [KeyRole; 4] = [KeyRole::Consensus, KeyRole::Peg, KeyRole::Operator, KeyRole::P2p];

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Draw keys, each into a keystore that a password locks; refuses to overwrite any.
    New(NewArgs),
    /// Take over a key from hexadecimal digits or from a keystore of another tool (geth, cast, a wallet).
    Import(ImportArgs),
    /// Write a key to another file, as a keystore that other tools read or as plain digits.
    Export(ExportArgs),
    /// Print the public parts; no password is needed.
    Show(ShowArgs),
}

/// A key's role, as arguments name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Signs votes and proposals (ed25519).
    Consensus,
    /// Signs checkpoints and views of the parent (secp256k1).
    Peg,
    /// The account that owns the stake (secp256k1).
    Operator,
    /// The node's name on the network (ed25519); always a plain file.
    P2p,
    /// The secret that a node shares with its remote signer; always a plain file.
    Signer,
}

impl From<Role> for KeyRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Consensus => Self::Consensus,
            Role::Peg => Self::Peg,
            Role::Operator => Self::Operator,
            Role::P2p => Self::P2p,
            Role::Signer => Self::Signer,
        }
    }
}

/// Which directory.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Place {
    /// The data directory; keys are in its `keys`.
    #[arg(long, env = "CAUSEWAY_DIR")]
    dir: Option<PathBuf>,
    /// The directory of the keys itself, over --dir.
    #[arg(long)]
    keys: Option<PathBuf>,
}

impl Place {
    fn directory(&self) -> eyre::Result<PathBuf> {
        let in_data = || self.dir.clone().map(|dir| DataDir(dir).keys());
        self.keys.clone().or_else(in_data).ok_or_else(|| eyre!("give --dir or --keys"))
    }
}

/// How a secret is written.
#[derive(Debug, Args)]
struct Form {
    #[command(flatten)]
    password: PasswordArgs,
    /// Write plain hexadecimal digits instead of a keystore: for local testnets.
    #[arg(long, conflicts_with = "light_kdf")]
    insecure_plain: bool,
    /// Make guessing the password cheaper by a factor of 10, and opening too (geth's --lightkdf).
    #[arg(long)]
    light_kdf: bool,
}

impl Form {
    fn strength(&self) -> Strength {
        if self.light_kdf { Strength::Light } else { Strength::Standard }
    }

    fn write(&self, path: &Path, role: KeyRole, key: &SecretKey, ask: keys::AskPassword<'_>) -> eyre::Result<()> {
        if self.insecure_plain || matches!(role, KeyRole::P2p | KeyRole::Signer) {
            return Ok(keys::save_file(path, key)?);
        }
        let keystore = Keystore::seal(role, key, &ask(path)?, self.strength())?;
        Ok(keys::save_keystore(path, &keystore)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    #[command(flatten)]
    place: Place,
    /// A role to make a key for; may be repeated. Without it: consensus, peg, operator and p2p.
    #[arg(long = "role")]
    roles: Vec<Role>,
    #[command(flatten)]
    form: Form,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    place: Place,
    /// What the key is for.
    #[arg(long)]
    role: Role,
    /// File with the key's 64 hexadecimal digits.
    #[arg(long, required_unless_present = "keystore", conflicts_with = "keystore")]
    hex_file: Option<PathBuf>,
    /// Keystore file; the password stays the same.
    #[arg(long)]
    keystore: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// Which key.
    #[arg(long)]
    role: Role,
    /// The file to write; it must not exist.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    form: Form,
    /// File with another password for the exported keystore. Without it, it has that of the key's own.
    #[arg(long, conflicts_with = "insecure_plain")]
    new_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl KeysCommand {
    pub(super) fn run(self) -> eyre::Result<()> {
        match self {
            Self::New(args) => args.run(),
            Self::Import(args) => args.run(),
            Self::Export(args) => args.run(),
            Self::Show(args) => show(&args.place.directory()?, args.json),
        }
    }
}

impl NewArgs {
    fn run(self) -> eyre::Result<()> {
        let directory = self.place.directory()?;
        let roles: Vec<KeyRole> = if self.roles.is_empty() {
            ALL_ROLES.into()
        } else {
            self.roles.iter().copied().map(KeyRole::from).collect()
        };
        keys::refuse_existing(&directory, &roles)?;
        let password = std::cell::OnceCell::new();
        let ask = |_: &Path| match password.get() {
            Some(password) => Ok(keys::Password::clone(password)),
            None => self.form.password.choose(&directory).map(|chosen| password.get_or_init(|| chosen).clone()),
        };
        for role in roles {
            self.form.write(&directory.join(role.file_name()), role, &SecretKey::generate(role)?, &ask)?;
        }
        show(&directory, self.json)
    }
}

impl ImportArgs {
    fn run(self) -> eyre::Result<()> {
        let (directory, role) = (self.place.directory()?, KeyRole::from(self.role));
        keys::refuse_existing(&directory, &[role])?;
        let path = directory.join(role.file_name());
        let missing = |source: &Path| eyre!("{} does not exist", source.display());
        if let Some(source) = &self.hex_file {
            let key = keys::load_file(source, role)?.ok_or_else(|| missing(source))?;
            self.form.write(&path, role, &key, &|path| self.form.password.choose(path))?;
        } else if let Some(source) = &self.keystore {
            let fault = |fault| causeway_genesis::KeyError::Keystore { path: source.clone(), fault };
            let keystore = keys::read_keystore(source)?.ok_or_else(|| {
                eyre!("{} is no keystore; a file of digits is imported with --hex-file", source.display())
            })?;
            if keystore.role().is_some() {
                keystore.check_role(role).map_err(fault)?;
            }
            let ask = self.form.password.ask();
            let key = keystore.open(role, &ask(source)?).map_err(fault)?;
            self.form.write(&path, role, &key, &ask)?;
        }
        show(&directory, self.json)
    }
}

impl ExportArgs {
    fn run(self) -> eyre::Result<()> {
        let (directory, role) = (self.place.directory()?, KeyRole::from(self.role));
        if matches!(role, KeyRole::P2p | KeyRole::Signer) && !self.form.insecure_plain {
            return Err(causeway_genesis::KeyError::PlainOnly { role })
                .map_err(|error| eyre!("{error}. Export it with --insecure-plain."));
        }
        let path = directory.join(role.file_name());
        let locked = keys::read_keystore(&path)?.is_some();
        let ask = self.form.password.ask();
        let key = keys::unlock_file(&path, role, &ask)?.ok_or_else(|| eyre!("{} does not exist", path.display()))?;
        let lock = |out: &Path| match &self.new_password_file {
            Some(file) => keys::Password::read(file),
            None if locked => ask(out),
            None => self.form.password.choose(out),
        };
        self.form.write(&self.out, role, &key, &lock)?;
        say(format_args!("wrote the {role} key to {}", self.out.display()))
    }
}

/// Prints what there is, in the words the genesis commands take.
fn show(directory: &Path, json: bool) -> eyre::Result<()> {
    let public = |role: KeyRole| keys::public_part(&directory.join(role.file_name()), role);
    let mut lines: Vec<(&str, &str, String)> = Vec::new();
    if let Some(PublicPart::Consensus(key)) = public(KeyRole::Consensus)? {
        lines.push(("validator", "validator", key.id().to_string()));
        lines.push(("consensus key", "consensusKey", B256::from(key.0).to_string()));
    }
    if let Some(PublicPart::Account(address)) = public(KeyRole::Peg)? {
        lines.push(("peg address", "pegAddress", address.to_string()));
    }
    if let Some(PublicPart::Account(address)) = public(KeyRole::Operator)? {
        lines.push(("operator", "operator", address.to_string()));
    }
    if let Some(key) = keys::load(directory, KeyRole::P2p)? {
        lines.push(("peer id", "peerId", causeway_network::peer_id(*key.expose())?.to_string()));
    }
    if keys::load(directory, KeyRole::Signer)?.is_some() {
        lines.push(("signer secret", "signerSecret", "present".into()));
    }
    if lines.is_empty() {
        return Err(eyre!("there are no keys in {}: make some with `causeway keys new`", directory.display()));
    }
    if json {
        let fields = lines.into_iter().map(|(_, key, value)| (key.to_owned(), Value::from(value)));
        return say(Value::Object(Map::from_iter(fields)));
    }
    lines.into_iter().try_for_each(|(label, _, value)| say(format_args!("{label:<14} {value}")))
}
