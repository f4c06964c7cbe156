//! The account that signs and pays: one set of options for every command that sends a transaction.

use std::path::PathBuf;

use alloy_signer_local::PrivateKeySigner;
use causeway_signer::password::PasswordArgs;
use clap::Args;
use eyre::eyre;

/// The key that signs and pays.
#[derive(Debug, Args)]
pub(super) struct AccountArgs {
    /// File with the paying account's key: 64 hex digits, or a keystore.
    #[arg(long, visible_alias = "keystore", conflicts_with = "private_key", required_unless_present = "private_key")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
    /// The hex private key itself, from the environment so that it does not show in the process list.
    #[arg(long, env = "CAUSEWAY_PRIVATE_KEY", hide_env_values = true)]
    private_key: Option<String>,
}

impl AccountArgs {
    /// Reads the key; a keystore's password is asked for where none is given.
    ///
    /// # Errors
    /// The file is missing, others may read it, or it holds no key.
    pub(super) fn signer(&self) -> eyre::Result<PrivateKeySigner> {
        match (&self.private_key, &self.key_file) {
            (Some(key), _) => {
                key.trim().parse().map_err(|_| eyre!("the private key is not 32 bytes of hex in the curve's range"))
            }
            (None, Some(path)) => Ok(PrivateKeySigner::from_slice(self.password.account_key(path)?.expose())?),
            (None, None) => Err(eyre!("give --key-file or CAUSEWAY_PRIVATE_KEY")),
        }
    }

    /// The source of passwords for further keys.
    pub(super) const fn password(&self) -> &PasswordArgs {
        &self.password
    }
}
