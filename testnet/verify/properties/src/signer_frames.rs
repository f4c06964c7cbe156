//! The remote signer's socket: any bytes instead of a handshake, and any messages after a handshake with the secret.
//!
//! It never signs two conflicting messages, and it serves the next caller.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use causeway_consensus::{Height, Round, ValidatorId, Vote, VoteKind};
use causeway_genesis::keys::{self, KeyRole};
use causeway_genesis::{Genesis, SecretKey};
use causeway_peg::{Attestation, Checkpoint};
use causeway_signer::{SignerAddress, SignerServer, StateOrigin, Vault};

use crate::Target;
use crate::chain::spec;
use crate::reader::Reader;

/// See the module. After a first byte of 0 come the bytes of a connection, after any other byte messages in a channel.
pub const TARGET: Target = Target { name: "signer_frames", check, seeds, max_bytes: 1024 };

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
const PROLOGUE: &[u8] = b"causeway remote signer 1";
const SECRET: [u8; 32] = [9; 32];
const MAX_MESSAGES: usize = 12;
/// Domain, tag, chain; then height and round.
const SCOPE: usize = 8 + 1 + 32;

struct Running {
    genesis: Genesis,
    socket: PathBuf,
    /// Signed bytes, by tag, height and round.
    signed: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    _server: SignerServer,
    _dir: tempfile::TempDir,
}

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    let genesis = Genesis::build(spec(true)).expect("a legal spec");
    // In a memory file system where there is one: a signer syncs its record before each signature.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory");
    for (role, byte) in [(KeyRole::Consensus, 1), (KeyRole::Peg, 2)] {
        keys::save(dir.path(), role, &SecretKey::from_bytes([byte; 32])).expect("a new key");
    }
    let state = dir.path().join("state");
    std::fs::create_dir(&state).expect("a new directory");
    let vault = Vault::open(&genesis, dir.path(), &state, &StateOrigin::New, &|_| unreachable!("plain keys"));
    let socket = dir.path().join("socket");
    let address = SignerAddress::Unix(socket.clone());
    let server = SignerServer::start(&address, vault.expect("a vault"), SecretKey::from_bytes(SECRET));
    Running { genesis, socket, signed: Mutex::default(), _server: server.expect("a free socket"), _dir: dir }
});

/// See the module.
pub fn check(bytes: &[u8]) {
    let all = &*RUNNING;
    let mut reader = Reader::new(bytes);
    let mut stream = UnixStream::connect(&all.socket).expect("the signer accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a legal timeout");
    if reader.u8() == 0 {
        // The server may close the connection in the middle.
        stream.write_all(reader.rest()).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = Vec::new();
        stream.take(1 << 16).read_to_end(&mut answer).ok();
        return;
    }
    let Some(mut noise) = handshake(&mut stream) else { panic!("the signer does not answer a handshake") };
    for _ in 0..MAX_MESSAGES {
        if reader.is_empty() {
            break;
        }
        let (message, asked) = message(&all.genesis, &mut reader);
        let mut frame = vec![0; message.len() + 16];
        let length = noise.write_message(&message, &mut frame).expect("a message of legal length");
        let length_bytes = u16::try_from(length).expect("short").to_be_bytes();
        if stream.write_all(&[length_bytes.as_slice(), &frame[..length]].concat()).is_err() {
            return;
        }
        let Some(answer) = receive(&mut stream) else { return };
        let mut plain = vec![0; answer.len()];
        let length = noise.read_message(&answer, &mut plain).expect("the signer's frames decrypt");
        // 1 is a signature over a vote or proposal.
        if let (Some(asked), Some(1)) = (asked, plain[..length].first()) {
            let mut signed = all.signed.lock().unwrap_or_else(PoisonError::into_inner);
            let scope = asked[8..9].iter().chain(&asked[SCOPE..SCOPE + 12]).copied().collect();
            let first = signed.entry(scope).or_insert_with(|| asked.clone());
            assert_eq!(*first, asked, "two conflicting signatures");
        }
    }
}

fn handshake(stream: &mut UnixStream) -> Option<snow::TransportState> {
    let pattern = PATTERN.parse().ok()?;
    let builder = snow::Builder::new(pattern).prologue(PROLOGUE).ok()?.psk(0, &SECRET).ok()?;
    let mut noise = builder.build_initiator().ok()?;
    let mut frame = [0; 128];
    let length = noise.write_message(&[], &mut frame).ok()?;
    let length_bytes = u16::try_from(length).ok()?.to_be_bytes();
    stream.write_all(&[length_bytes.as_slice(), &frame[..length]].concat()).ok()?;
    noise.read_message(&receive(stream)?, &mut [0; 128]).ok()?;
    noise.into_transport_mode().ok()
}

fn receive(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// A request's bytes, and the bytes that it wants to be signed.
fn message(genesis: &Genesis, reader: &mut Reader<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let choice = reader.u8();
    match choice % 6 {
        0 => ([vec![0], genesis.hash.to_vec()].concat(), None),
        1 => (reader.long().to_vec(), None),
        2 | 3 => {
            let at = reader.u8();
            let kind = if choice & 64 == 0 { VoteKind::Prevote } else { VoteKind::Precommit };
            let block_hash = (choice & 128 == 0).then(|| B256::repeat_byte(at & 3));
            // Heights start above the signed ones: lower ones would only be refused.
            let height = Height(u64::from(at >> 5) + u64::from(reader.u16()));
            let vote =
                Vote { kind, height, round: Round(u32::from(at >> 2 & 7)), block_hash, validator: ValidatorId::ZERO };
            consensus(vote.sign_bytes(genesis.hash), reader.u8())
        }
        4 => consensus(reader.short().to_vec(), choice),
        _ => {
            let number = u64::from(reader.u8());
            let checkpoint = Checkpoint { number, height: number * 2, ..Checkpoint::default() };
            (borsh::to_vec(&(2u8, Attestation::Checkpoint(checkpoint))).expect("writing to memory"), None)
        }
    }
}

fn consensus(bytes: Vec<u8>, pol: u8) -> (Vec<u8>, Option<Vec<u8>>) {
    let pol_round = (pol & 1 == 1).then_some(Round(u32::from(pol >> 4)));
    let message = borsh::to_vec(&(1u8, &bytes, pol_round)).expect("writing to memory");
    let asked = (bytes.len() >= SCOPE + 12).then_some(bytes);
    (message, asked)
}

fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 32, 1, 2, 3],
        vec![0, 255, 255],
        vec![1, 0, 2, 32, 1, 0, 0, 66, 32, 1, 0, 0, 3, 33, 1, 0, 0],
        vec![1, 0, 4, 3, 1, 2, 3, 5, 7, 1, 2, 0, 9, 9],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_lead_to_signatures() {
        seeds().iter().for_each(|seed| check(seed));
        assert!(!RUNNING.signed.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
    }
}
