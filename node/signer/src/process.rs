//! How a program of this repository starts, speaks and ends.

use std::{io::Write, process::ExitCode};

use eyre::eyre;

/// Asks the kernel to end this process when its parent process, `pid`, ends.
///
/// # Errors
/// When `pid` is no longer the parent process, or the kernel refuses.
pub fn die_with_parent(pid: Option<i32>) -> eyre::Result<()> {
    let Some(pid) = pid else { return Ok(()) };
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
    if nix::unistd::getppid().as_raw() != pid {
        return Err(eyre!("process {pid} is not this process's parent any more"));
    }
    Ok(())
}

/// Resolves when SIGTERM or SIGINT comes.
pub async fn stop_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals; stop the process with SIGKILL, nothing is lost");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The exit status of a command. An error is one paragraph on standard error and exit status 1.
pub fn exit_code(result: eyre::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nowhere left to say so.
            writeln!(std::io::stderr(), "error: {}", told_once(&error)).ok();
            ExitCode::FAILURE
        }
    }
}

/// Runs a future on a small runtime: what commands that talk to a node need.
///
/// # Errors
/// The future's own, and when the runtime cannot start.
pub fn block_on<T>(future: impl Future<Output = eyre::Result<T>>) -> eyre::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Prints a line for people or scripts; a closed pipe is not an error worth a panic.
///
/// # Errors
/// When standard output cannot be written.
pub fn say(text: impl std::fmt::Display) -> eyre::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// The error and its causes, leaving out a cause that the text before it has told already.
fn told_once(error: &eyre::Report) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(cause.trim()) {
            text = format!("{text}: {cause}");
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = eyre::Report::new(inner).wrap_err("cannot read x: disk on fire").wrap_err("starting");
        assert_eq!(told_once(&error), "starting: cannot read x: disk on fire");
    }
}
