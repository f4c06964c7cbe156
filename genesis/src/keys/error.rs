//! Errors of keys and their files. Each text says what to do.

use std::path::PathBuf;

use super::{KeyRole, PublicPart};

/// Why keys could not be created, read or written. The operator must fix all of these, except [`KeyError::Randomness`].
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or directory cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Other users may read the file.
    #[error("key file {path} has mode {mode:03o}, so others may read it: run `chmod 600 {path}`")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The content is not 64 hexadecimal digits.
    #[error("key file {path} does not hold 64 hexadecimal digits")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The 32 bytes are not a valid key of this kind.
    #[error("the number in key file {path} is not a secp256k1 key")]
    OutOfRange {
        /// The file.
        path: PathBuf,
    },
    /// A key exists already; keys are never overwritten.
    #[error("key file {path} exists already: move it away first, because keys are never overwritten")]
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
    /// Two roles have the same secret.
    #[error("key files {first} and {second} in {directory} hold the same secret: create one of them again")]
    Shared {
        /// The directory.
        directory: PathBuf,
        /// One file.
        first: &'static str,
        /// The other file.
        second: &'static str,
    },
    /// The file is a keystore and there is no password.
    #[error(
        "key file {path} is a keystore and needs a password: name the file with the password by --password-file or CAUSEWAY_PASSWORD_FILE"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The keystore cannot be used.
    #[error("keystore {path}: {fault}")]
    Keystore {
        /// The file.
        path: PathBuf,
        /// The reason.
        fault: KeystoreFault,
    },
    /// The password is not available.
    #[error("no password for {path}: {reason}")]
    NoPassword {
        /// The keystore.
        path: PathBuf,
        /// The reason, and what to do.
        reason: String,
    },
    /// The password of a new keystore is empty.
    #[error("the password is empty: a keystore needs one")]
    EmptyPassword,
    /// The password file contains more than a password.
    #[error("password file {path} holds more than {limit} bytes or more than one line: it must hold only the password")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Longest password in bytes.
        limit: u64,
    },
    /// A key of this role is never stored in a keystore.
    #[error("{role} keys must be plain files: a node reads them at start, when nobody can enter a password")]
    PlainOnly {
        /// The role.
        role: KeyRole,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Randomness(String),
}

/// Why a keystore cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreFault {
    /// The file is not JSON of the expected form.
    #[error("it is not web3 secret storage: {0}")]
    Shape(#[from] serde_json::Error),
    /// The version is not supported.
    #[error("its version is {0}, but only version 3 is supported")]
    Version(u64),
    /// The cipher is not supported.
    #[error("its cipher is {0:?}, but only \"aes-128-ctr\" is supported")]
    Cipher(String),
    /// A setting that no tool writes: invalid in the format, or so costly that opening the keystore would exhaust the machine.
    #[error("its {field} is not supported (allowed: {allowed})")]
    Setting {
        /// The field.
        field: &'static str,
        /// The accepted values.
        allowed: &'static str,
    },
    /// The message authentication code does not match.
    #[error("the password is wrong (or the file is damaged)")]
    WrongPassword,
    /// The keystore has another role.
    #[error("it holds a {found} key, but a {wanted} key is needed: one key never serves two roles")]
    WrongRole {
        /// The role in the file.
        found: KeyRole,
        /// The requested role.
        wanted: KeyRole,
    },
    /// The keystore has no role, as those of other tools, and this role requires one.
    #[error(
        "it names no role, so it may be an account's key of another tool: to use it as this node's {wanted} key, run `causeway keys import --role {wanted} --keystore FILE`"
    )]
    NoRole {
        /// The requested role.
        wanted: KeyRole,
    },
    /// The secret does not match the public part in the file.
    #[error("it claims to hold the key of {recorded}, but holds that of {found}: the file was altered")]
    PublicPart {
        /// The public part in the file.
        recorded: String,
        /// The public part of the secret.
        found: PublicPart,
    },
    /// The secret is not a valid key.
    #[error("its number is not a secp256k1 key")]
    OutOfRange,
}
