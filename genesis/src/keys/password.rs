//! Passwords of keystores. They come from a file or a prompt, never from the command line, where other users see them.

use std::{fmt, path::Path};

use zeroize::Zeroizing;

use super::{KeyError, file};

/// Longest password in bytes.
pub const MAX_PASSWORD_BYTES: u64 = 1_024;

/// A password. It may be empty only to open another tool's keystore with an empty password. `Debug` never shows it, and its
/// memory is cleared on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Vec<u8>>);

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

impl Password {
    /// Takes the bytes as they are.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the only line of a file that no other user may read.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Mode`] or [`KeyError::PasswordFile`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let limit = MAX_PASSWORD_BYTES.saturating_add(2);
        let bytes = file::read_private(path, limit)?;
        let bytes = bytes.ok_or_else(|| KeyError::Io { path: path.into(), source: missing() })?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() as u64 > MAX_PASSWORD_BYTES || line.contains(&b'\n') {
            return Err(KeyError::PasswordFile { path: path.into(), limit: MAX_PASSWORD_BYTES });
        }
        Ok(Self::new(line.to_vec()))
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}
