//! What can be wrong with keys and their files, in words that say what to do.

use std::path::PathBuf;

use super::{KeyRole, PublicPart};

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
    /// The file is a keystore and no password was offered.
    #[error(
        "key file {path} is a keystore, which needs its password: name a file that holds it with --password-file or CAUSEWAY_PASSWORD_FILE"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is a keystore that cannot be used as it is.
    #[error("keystore {path}: {fault}")]
    Keystore {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeystoreFault,
    },
    /// The password cannot be had.
    #[error("no password for {path}: {reason}")]
    NoPassword {
        /// The keystore.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A new keystore with nothing to lock it.
    #[error("the password is empty: a keystore needs one")]
    EmptyPassword,
    /// More than a password.
    #[error(
        "password file {path} holds more than {limit} bytes or more than one line: it must hold the password alone"
    )]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Longest password in bytes.
        limit: u64,
    },
    /// This role is never kept in a keystore.
    #[error("{role} keys are kept as plain files only: a node reads them without anybody there to give a password")]
    PlainOnly {
        /// The role.
        role: KeyRole,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Randomness(String),
}

/// What is wrong with a keystore.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreFault {
    /// Not JSON of that shape.
    #[error("it is not web3 secret storage: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("it is of version {0}; only version 3 is read")]
    Version(u64),
    /// Another cipher.
    #[error("its cipher is {0:?}; only \"aes-128-ctr\" is read")]
    Cipher(String),
    /// Settings that no tool writes: wrong for the format, or so costly that opening it would exhaust the machine.
    #[error("its {field} is outside of what is read ({allowed})")]
    Setting {
        /// The field.
        field: &'static str,
        /// What is read.
        allowed: &'static str,
    },
    /// The message authentication code does not fit.
    #[error("the password is wrong (or the file is damaged)")]
    WrongPassword,
    /// It says it is for something else.
    #[error("it holds a {found} key, and a {wanted} key is wanted: one key never serves two roles")]
    WrongRole {
        /// The role recorded.
        found: KeyRole,
        /// The role asked for.
        wanted: KeyRole,
    },
    /// It says nothing of a role, as those of other tools, and this role wants certainty.
    #[error(
        "it names no role, so it may be an account's key of another tool: if it is meant to be this node's {wanted} key, run `causeway keys import --role {wanted} --keystore FILE`"
    )]
    NoRole {
        /// The role asked for.
        wanted: KeyRole,
    },
    /// The secret inside is not of the public part recorded beside it.
    #[error("it says it holds the key of {recorded}, and holds that of {found}: the file was altered")]
    PublicPart {
        /// What the file says.
        recorded: String,
        /// What follows from the secret.
        found: PublicPart,
    },
    /// The secret inside is no key.
    #[error("it holds a number that is no secp256k1 key")]
    OutOfRange,
}
