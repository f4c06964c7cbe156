//! The address of a remote signer, and the streams to it.

use std::{
    fmt, fs, io,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Mode of the socket file: only the owner may connect.
const SOCKET_MODE: u32 = 0o600;
/// Shortest timeout passed to the kernel; zero would mean no timeout.
const SHORTEST: Duration = Duration::from_millis(1);

/// `unix:PATH`, or the IP address and port of a TCP socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SignerAddress {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp(SocketAddr),
}

/// The text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no signer's address: write unix:PATH or IP:PORT, such as unix:/run/causeway/signer.sock or 127.0.0.1:7600"
)]
pub struct NotAnAddress(String);

impl FromStr for SignerAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        match text.strip_prefix("unix:") {
            Some("") => Err(NotAnAddress(text.into())),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| NotAnAddress(text.into())),
        }
    }
}

impl TryFrom<String> for SignerAddress {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl From<SignerAddress> for String {
    fn from(address: SignerAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for SignerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(formatter),
        }
    }
}

impl SignerAddress {
    /// Connects before the deadline.
    pub(super) fn connect(&self, deadline: Instant) -> io::Result<Stream> {
        let socket = match self {
            Self::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
            Self::Tcp(address) => Socket::Tcp(TcpStream::connect_timeout(address, left(deadline)?)?),
        };
        Stream::new(socket, deadline)
    }

    /// Starts to listen. A socket file without a listener is left over from a killed signer and is replaced.
    pub(super) fn listen(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp(address) => TcpListener::bind(address).map(Listener::Tcp),
            Self::Unix(path) => {
                let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
                if is_socket && UnixStream::connect(path).is_err() {
                    fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
                Ok(Listener::Unix(listener, path.clone()))
            }
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    /// The address in use, with the port that the kernel chose if none was configured.
    pub(super) fn address(&self) -> io::Result<SignerAddress> {
        match self {
            Self::Unix(_, path) => Ok(SignerAddress::Unix(path.clone())),
            Self::Tcp(listener) => listener.local_addr().map(SignerAddress::Tcp),
        }
    }

    /// Waits for a connection.
    pub(super) fn accept(&self, patience: Duration) -> io::Result<Stream> {
        let socket = match self {
            Self::Unix(listener, _) => Socket::Unix(listener.accept()?.0),
            Self::Tcp(listener) => Socket::Tcp(listener.accept()?.0),
        };
        Stream::new(socket, Instant::now() + patience)
    }
}

#[derive(Debug)]
enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connection whose every read and write ends by its deadline, even if the other side sends very slowly.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    deadline: Instant,
}

impl Stream {
    fn new(socket: Socket, deadline: Instant) -> io::Result<Self> {
        if let Socket::Tcp(socket) = &socket {
            socket.set_nodelay(true)?;
        }
        Ok(Self { socket, deadline })
    }

    /// A second handle, with which another thread can close the connection.
    pub(super) fn handle(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            Socket::Unix(socket) => Socket::Unix(socket.try_clone()?),
            Socket::Tcp(socket) => Socket::Tcp(socket.try_clone()?),
        };
        Ok(Self { socket, deadline: self.deadline })
    }

    /// Closes the connection for both handles and both sides.
    pub(super) fn close(&self) {
        let closed = match &self.socket {
            Socket::Unix(socket) => socket.shutdown(Shutdown::Both),
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Both),
        };
        // Fails when the other side closed first.
        closed.ok();
    }
}

/// A stream with a deadline.
pub(super) trait Timed: Read + Write {
    /// Sets the deadline of the following reads and writes.
    fn set_deadline(&mut self, deadline: Instant);
}

impl Timed for Stream {
    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = Some(left(self.deadline)?);
        match &mut self.socket {
            Socket::Unix(socket) => socket.set_read_timeout(wait).and_then(|()| socket.read(buffer)),
            Socket::Tcp(socket) => socket.set_read_timeout(wait).and_then(|()| socket.read(buffer)),
        }
        .map_err(late)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wait = Some(left(self.deadline)?);
        match &mut self.socket {
            Socket::Unix(socket) => socket.set_write_timeout(wait).and_then(|()| socket.write(bytes)),
            Socket::Tcp(socket) => socket.set_write_timeout(wait).and_then(|()| socket.write(bytes)),
        }
        .map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if left >= SHORTEST => Ok(left),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Sockets report a timeout as "would block".
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_read_as_they_print_and_others_are_explained() {
        for text in ["unix:/run/signer.sock", "unix:run/signer.sock", "127.0.0.1:7600", "[::1]:7600"] {
            assert_eq!(text.parse::<SignerAddress>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "localhost", "127.0.0.1", "http://127.0.0.1:7600"] {
            let error = text.parse::<SignerAddress>().unwrap_err().to_string();
            assert!(error.contains("unix:PATH or IP:PORT"), "{error}");
        }
    }

    #[test]
    fn a_socket_left_over_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let address = SignerAddress::Unix(dir.path().join("signer.sock"));
        let first = address.listen().unwrap();
        assert_eq!(address.listen().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first); // as a killed process does, the file stays
        let mode = fs::metadata(dir.path().join("signer.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        address.listen().unwrap();
    }

    #[test]
    fn a_side_that_drips_is_cut_off_at_the_deadline() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut stream = Stream::new(Socket::Unix(ours), Instant::now() + Duration::from_millis(60)).unwrap();
        theirs.write_all(&[1]).unwrap();
        let mut two = [0; 2];
        assert_eq!(stream.read_exact(&mut two).unwrap_err().kind(), io::ErrorKind::TimedOut);
        theirs.write_all(&[1, 2]).unwrap();
        assert_eq!(stream.read_exact(&mut two).unwrap_err().kind(), io::ErrorKind::TimedOut, "over is over");
    }
}
