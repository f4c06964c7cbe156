//! The sources of keystore passwords: a file or the terminal. Never an argument, because every user of the machine can read those.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use causeway_genesis::{
    KeyError, SecretKey,
    keys::{self, KeyRole, MAX_PASSWORD_BYTES, Password},
};
use clap::Args;
use eyre::eyre;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// The terminal of this process, even if its input and output are redirected.
const TERMINAL: &str = "/dev/tty";

/// How a command comes by a password.
#[derive(Debug, Clone, Default, Args)]
pub struct PasswordArgs {
    /// File with the keystores' password in one line, mode 0600. Without it the password is asked for on the terminal.
    #[arg(long, env = "CAUSEWAY_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// The password source for [`keys::unlock_file`]. The terminal asks once: one password opens all keystores of a command.
    pub fn ask(&self) -> impl Fn(&Path) -> Result<Password, KeyError> + '_ {
        let told = RefCell::new(None);
        move |path| {
            if let Some(password) = &*told.borrow() {
                return Ok(Password::clone(password));
            }
            let password = match &self.password_file {
                Some(file) => Password::read(file)?,
                None => prompt(path, &format!("Password of {}: ", path.display()))?,
            };
            Ok(told.borrow_mut().insert(password).clone())
        }
    }

    /// Reads a password for a new keystore; a person types it twice.
    ///
    /// # Errors
    /// When it cannot be read, or the two typed passwords differ.
    pub fn choose(&self, path: &Path) -> Result<Password, KeyError> {
        if let Some(file) = &self.password_file {
            return Password::read(file);
        }
        let first = prompt(path, &format!("New password for {}: ", path.display()))?;
        if first == prompt(path, "The same again: ")? {
            return Ok(first);
        }
        Err(KeyError::NoPassword { path: path.into(), reason: "the two were not the same; nothing was written".into() })
    }

    /// Reads an account's key, plain or keystore.
    ///
    /// # Errors
    /// When the file is missing or refused, or has another password.
    pub fn account_key(&self, path: &Path) -> eyre::Result<SecretKey> {
        keys::unlock_file(path, KeyRole::Operator, &self.ask())?
            .ok_or_else(|| eyre!("{} does not exist", path.display()))
    }
}

/// Asks on the terminal without echo.
fn prompt(path: &Path, question: &str) -> Result<Password, KeyError> {
    let refused = |reason: String| KeyError::NoPassword { path: path.into(), reason };
    let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(|_| {
        refused(
            "there is no terminal to ask at: name a file that holds it with --password-file or CAUSEWAY_PASSWORD_FILE"
                .into(),
        )
    })?;
    let failed = |error: std::io::Error| refused(format!("the terminal cannot be read: {error}"));
    (&terminal).write_all(question.as_bytes()).map_err(failed)?;
    let mut line = zeroize::Zeroizing::new(Vec::new());
    let read = {
        let _silence = Silence::on(&terminal).map_err(|error| failed(error.into()))?;
        let limit = MAX_PASSWORD_BYTES.saturating_add(1);
        BufReader::new(std::io::Read::take(&terminal, limit)).read_until(b'\n', &mut line)
    };
    (&terminal).write_all(b"\n").map_err(failed)?;
    read.map_err(failed)?;
    let typed = line
        .strip_suffix(b"\n")
        .ok_or_else(|| refused(format!("more than {MAX_PASSWORD_BYTES} bytes, or none, were typed")))?;
    Ok(Password::new(typed.to_vec()))
}

/// Turns the terminal's echo off until it is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn on(terminal: &'a File) -> nix::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // Nothing can be done if the terminal is gone.
        tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before).ok();
    }
}
