//! `testnet/fault` and `testnet/down`: requests to a running launcher.

use std::{path::Path, time::Duration};

use eyre::bail;

use crate::{
    cli::{FaultArgs, FaultKind},
    control::{self, Request},
    directory::Directory,
};

/// How long `down` waits for the launcher to end after its answer.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two checks.
const POLL: Duration = Duration::from_millis(50);

/// Breaks or repairs a node.
pub async fn run(args: &FaultArgs) -> eyre::Result<()> {
    let node = args.node.clone();
    let request = match args.kind {
        FaultKind::Kill => Request::Kill { node },
        FaultKind::Pause => Request::Pause { node },
        FaultKind::Resume => Request::Resume { node },
        FaultKind::Restart => Request::Restart { node },
    };
    say(&control::ask(&Directory::new(&args.dir)?, &request).await?);
    Ok(())
}

/// Stops a testnet and waits until all its processes have ended.
pub async fn down(path: &Path) -> eyre::Result<()> {
    let directory = Directory::new(path)?;
    let Some(pid) = directory.holder()? else {
        say(&format!("no testnet runs in {}", directory.root().display()));
        return Ok(());
    };
    let said = control::ask(&directory, &Request::Stop).await?;
    let deadline = tokio::time::Instant::now() + END_PATIENCE;
    while directory.holder()?.is_some() {
        if tokio::time::Instant::now() >= deadline {
            bail!("process {pid} said it stopped but still runs: `kill -9 {pid}` ends it and all its nodes");
        }
        tokio::time::sleep(POLL).await;
    }
    say(&said);
    Ok(())
}

#[allow(clippy::print_stdout)] // a command's answer to the person who typed it
fn say(text: &str) {
    println!("{text}");
}
