//! The protocol between the other commands and a running launcher: one line of JSON each way over a Unix socket in the testnet's directory.
//!
//! Only the launcher controls processes. If `testnet/fault` signalled them itself, the launcher would mistake a killed node for a
//! crashed one, and a node restarted elsewhere would not end with the launcher.

use std::{
    fs::File,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use eyre::{WrapErr as _, bail, eyre};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

use crate::directory::Directory;

/// Longest line that is read.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// Deadline for a request after a command has connected.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// Deadline for the launcher's answer: stopping many nodes takes a while.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

/// A request of a command to the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "command", deny_unknown_fields)]
pub enum Request {
    /// Kill a node at once.
    Kill {
        /// Which.
        node: String,
    },
    /// Stop a node's process from running.
    Pause {
        /// Which.
        node: String,
    },
    /// Let a paused node go on.
    Resume {
        /// Which.
        node: String,
    },
    /// Start a node, after stopping it where it runs.
    Restart {
        /// Which.
        node: String,
    },
    /// Make a node that follows the chain, and start it.
    Add {
        /// Its name.
        node: String,
        /// Whether it relays checkpoints to the parent.
        relay: bool,
    },
    /// End the whole testnet.
    Stop,
}

/// The launcher's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The request was carried out; the text says how.
    Done(String),
    /// The request failed; the text says why.
    Failed(String),
}

/// Requests that wait while the launcher does one.
const QUEUE: usize = 16;

/// The launcher's end.
#[derive(Debug)]
pub struct Listener {
    requests: mpsc::Receiver<Pending>,
}

/// A request with the connection for its answer.
#[derive(Debug)]
pub struct Pending {
    /// The request.
    pub request: Request,
    stream: BufReader<UnixStream>,
}

impl Listener {
    /// Listens in the directory. The caller holds the directory's lock, so an existing socket is left over from an earlier launcher.
    pub fn open(directory: &Directory) -> eyre::Result<Self> {
        let path = path(directory);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let run = File::open(directory.run())?;
        let socket =
            UnixListener::bind(short(&run)).wrap_err_with(|| format!("cannot listen on {}", path.display()))?;
        let (sender, requests) = mpsc::channel(QUEUE);
        tokio::spawn(accept(socket, sender));
        Ok(Self { requests })
    }

    /// The next well-formed request. Cancel-safe.
    pub async fn next(&mut self) -> eyre::Result<Pending> {
        self.requests.recv().await.ok_or_else(|| eyre!("the control socket is closed"))
    }
}

async fn accept(socket: UnixListener, requests: mpsc::Sender<Pending>) {
    loop {
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return tracing::error!(%error, "the control socket failed: testnet/fault works no more"),
        };
        match tokio::time::timeout(READ_PATIENCE, read(stream)).await {
            Ok(Ok(pending)) => {
                if requests.send(pending).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "a malformed request on the control socket"),
            Err(_) => tracing::warn!("nothing came over the control socket"),
        }
    }
}

impl Pending {
    /// Sends the answer. It is no error when the caller has gone.
    pub async fn answer(mut self, answer: &Answer) {
        if let Err(error) = write(self.stream.get_mut(), answer).await {
            tracing::warn!(%error, "the caller of a command has gone");
        }
    }
}

/// Asks the launcher of a directory and waits for its answer.
pub async fn ask(directory: &Directory, request: &Request) -> eyre::Result<String> {
    let run = File::open(directory.run());
    let run =
        run.wrap_err_with(|| format!("no testnet in {}: start one with testnet/up", directory.root().display()))?;
    let connected = UnixStream::connect(short(&run)).await;
    let mut stream = connected
        .wrap_err_with(|| format!("no testnet runs in {}: start it with testnet/up", directory.root().display()))?;
    write(&mut stream, request).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream).take(MAX_LINE_BYTES);
    let answer = tokio::time::timeout(ANSWER_PATIENCE, reader.read_line(&mut line)).await;
    answer.wrap_err("the launcher does not answer")??;
    match serde_json::from_str(&line).wrap_err("the launcher ended before it answered")? {
        Answer::Done(text) => Ok(text),
        Answer::Failed(text) => bail!(text),
    }
}

async fn read(stream: UnixStream) -> eyre::Result<Pending> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(MAX_LINE_BYTES).read_line(&mut line).await?;
    let request = serde_json::from_str(&line)?;
    Ok(Pending { request, stream })
}

async fn write<T: Serialize>(stream: &mut UnixStream, message: &T) -> eyre::Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    Ok(stream.write_all(line.as_bytes()).await?)
}

fn path(directory: &Directory) -> PathBuf {
    directory.run().join("control.sock")
}

/// The socket's path through an open directory: a socket's path may have only 108 bytes, and a testnet may live deeper.
fn short(run: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(run.as_raw_fd().to_string()).join("control.sock")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn deep_directory() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let deep = (0..20).fold(root.path().to_owned(), |path, _| path.join("a-long-name"));
        let directory = Directory::new(&deep).unwrap();
        directory.create().unwrap();
        (root, directory)
    }

    #[tokio::test]
    async fn requests_and_answers_pass_also_in_a_deep_directory() {
        let (_root, directory) = deep_directory();
        let mut listener = Listener::open(&directory).unwrap();
        let server = tokio::spawn(async move {
            let pending = listener.next().await.unwrap();
            assert_eq!(pending.request, Request::Kill { node: "validator-1".into() });
            pending.answer(&Answer::Done("killed".into())).await;
            listener.next().await.unwrap().answer(&Answer::Failed("no".into())).await;
        });
        let request = Request::Kill { node: "validator-1".into() };
        assert_eq!(ask(&directory, &request).await.unwrap(), "killed");
        assert_eq!(ask(&directory, &Request::Stop).await.unwrap_err().to_string(), "no");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_malformed_request_does_not_end_the_listener() {
        let (_root, directory) = deep_directory();
        let mut listener = Listener::open(&directory).unwrap();
        let run = File::open(directory.run()).unwrap();
        let mut stream = UnixStream::connect(short(&run)).await.unwrap();
        stream.write_all(b"{\"command\":\"explode\"}\n").await.unwrap();
        let (pending, answer) = tokio::join!(
            async {
                let pending = listener.next().await.unwrap();
                assert_eq!(pending.request, Request::Stop);
                pending.answer(&Answer::Done("bye".into())).await;
            },
            ask(&directory, &Request::Stop)
        );
        assert_eq!((pending, answer.unwrap()), ((), "bye".to_owned()));
    }

    #[tokio::test]
    async fn no_launcher_is_a_clear_error() {
        let (_root, directory) = deep_directory();
        let error = ask(&directory, &Request::Stop).await.unwrap_err().to_string();
        assert!(error.contains("no testnet runs"), "{error}");
    }
}
