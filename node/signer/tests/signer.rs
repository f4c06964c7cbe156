//! Remote signers over real sockets: who is let in, what is signed, what is refused, and what outlives the process.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use causeway_consensus::{
    Ed25519Signer, Height, MAX_PARTS, PART_BYTES, PartList, Proposal, Round, SignState, Signer, SignerError,
    ValidatorId, Vote, VoteKind, sign_guarded,
};
use causeway_genesis::{
    Genesis, KeyError, NodeKeys, SecretKey, ceremony,
    keys::{self, KeyRole, Password},
};
use causeway_peg::{Attestation, Checkpoint, ParentView, PegDomain, PegSigner, PegSigns, SetAcknowledged};
use causeway_records::{OsDisk, PegSignStateFile, SignStateFile, paths};
use causeway_signer::{
    RemoteSigner, SignerAddress, SignerSection, SignerServer, Signers, StateOrigin, Vault, open as open_signers,
};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A machine with keys and a state directory for a signer, and the chain it signs for.
struct Machine {
    home: TempDir,
    genesis: Genesis,
    node: NodeKeys,
    secret: SecretKey,
}

fn key(role: u8) -> SecretKey {
    SecretKey::from_bytes([role; 32])
}

fn genesis(keys: &NodeKeys, name: &str) -> Genesis {
    let peg = ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 0);
    let mut spec = ceremony::new_spec(4_242, name, 1_700_000_000, peg);
    let stake = alloy_primitives::U256::from(10).pow(alloy_primitives::U256::from(24));
    spec.validators = vec![ceremony::validator_entry("a", Address::repeat_byte(0xaa), stake, keys)];
    Genesis::build(spec).unwrap()
}

fn no_password(path: &Path) -> Result<Password, KeyError> {
    panic!("asked for the password of {}", path.display())
}

impl Machine {
    fn new() -> Self {
        let node = NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) };
        let home = tempfile::tempdir().unwrap();
        let (keys_dir, secret) = (home.path().join("keys"), key(9));
        keys::save(&keys_dir, KeyRole::Consensus, &node.consensus).unwrap();
        keys::save(&keys_dir, KeyRole::Peg, &node.peg).unwrap();
        keys::save(&keys_dir, KeyRole::Signer, &secret).unwrap();
        Self { genesis: genesis(&node, "Signed"), home, node, secret }
    }

    fn keys(&self) -> PathBuf {
        self.home.path().join("keys")
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn unix(&self) -> SignerAddress {
        SignerAddress::Unix(self.home.path().join("signer.sock"))
    }

    fn vault(&self, origin: &StateOrigin) -> eyre::Result<Vault> {
        Vault::open(&self.genesis, &self.keys(), &self.state(), origin, &no_password)
    }

    fn serve(&self, address: &SignerAddress, origin: &StateOrigin) -> SignerServer {
        SignerServer::start(address, self.vault(origin).unwrap(), self.secret.clone()).unwrap()
    }

    fn connect(&self, address: &SignerAddress) -> RemoteSigner {
        RemoteSigner::connect(address.clone(), self.secret.clone(), self.genesis.hash, TIMEOUT).unwrap()
    }

    fn vote(&self, kind: VoteKind, height: u64, round: u32, block: Option<u8>) -> Vec<u8> {
        let block_hash = block.map(B256::repeat_byte);
        let vote = Vote { kind, height: Height(height), round: Round(round), block_hash, validator: ValidatorId::ZERO };
        vote.sign_bytes(self.genesis.hash)
    }

    fn precommit(&self, height: u64, block: u8) -> Vec<u8> {
        self.vote(VoteKind::Precommit, height, 0, Some(block))
    }

    fn domain(&self) -> PegDomain {
        self.genesis.peg_domain().unwrap()
    }
}

fn tcp() -> SignerAddress {
    "127.0.0.1:0".parse().unwrap()
}

fn checkpoint(number: u64, block: u8) -> Attestation {
    let block_hash = B256::repeat_byte(block);
    Attestation::Checkpoint(Checkpoint { number, height: number * 60, blockHash: block_hash, ..Checkpoint::default() })
}

fn view(nonce: u64, acc: u8) -> Attestation {
    Attestation::ParentView(ParentView {
        parentHeight: 100,
        parentHash: B256::repeat_byte(7),
        depositNonce: nonce,
        depositAcc: B256::repeat_byte(acc),
    })
}

fn refusal(result: Result<[u8; 64], SignerError>) -> String {
    let SignerError::Unavailable(reason) = result.unwrap_err();
    reason
}

/// Asks until it is answered: after a failure the node waits a little before it tries again.
fn until_signed(remote: &RemoteSigner, bytes: &[u8]) -> [u8; 64] {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match Signer::sign(remote, bytes) {
            Ok(signature) => return signature,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_remote_signer_gives_what_the_keys_would() {
    let machine = Machine::new();
    for (address, origin) in [(machine.unix(), StateOrigin::New), (tcp(), StateOrigin::Existing)] {
        let server = machine.serve(&address, &origin);
        let remote = machine.connect(server.address());
        let height = if origin == StateOrigin::New { 1 } else { 2 };
        assert_eq!(remote.validator(), machine.node.validator_id());
        assert_eq!(PegSigner::address(&remote), machine.node.peg_address());
        let bytes = machine.precommit(height, 0xaa);
        let local = Ed25519Signer::new(machine.node.consensus.expose()).sign(&bytes).unwrap();
        assert_eq!(Signer::sign(&remote, &bytes).unwrap(), local);
        let acknowledged = SetAcknowledged { epoch: height, commitment: B256::repeat_byte(5) };
        for attestation in [checkpoint(height, 1), view(height, 1), Attestation::SetAcknowledged(acknowledged)] {
            let signature = remote.sign_attestation(&machine.domain(), &attestation).unwrap();
            let digest = machine.domain().attestation_digest(&attestation);
            assert_eq!(signature.recover(digest), Ok(machine.node.peg_address()));
        }
        assert!(PegSigner::sign(&remote, B256::repeat_byte(1)).is_err(), "a bare digest says nothing of what it is");
        server.stop();
    }
}

#[test]
fn the_longest_proposal_fits_a_frame() {
    let machine = Machine::new();
    let server = machine.serve(&machine.unix(), &StateOrigin::New);
    let remote = machine.connect(server.address());
    let parts = PartList::of(&vec![1; MAX_PARTS * PART_BYTES]).unwrap();
    let (height, round, pol_round) = (Height(1), Round(3), Some(Round(2)));
    let proposal =
        Proposal { height, round, pol_round, block_hash: B256::repeat_byte(1), parts, proposer: ValidatorId::ZERO };
    Signer::sign(&remote, &proposal.sign_bytes(machine.genesis.hash)).unwrap();
}

#[test]
fn two_nodes_on_one_signer_get_no_two_conflicting_signatures() {
    let machine = Machine::new();
    let server = machine.serve(&machine.unix(), &StateOrigin::New);
    let (first, second) = (machine.connect(server.address()), machine.connect(server.address()));
    let signature = Signer::sign(&first, &machine.precommit(7, 0xaa)).unwrap();
    assert_eq!(Signer::sign(&second, &machine.precommit(7, 0xaa)).unwrap(), signature, "the same is no conflict");
    let reason = refusal(Signer::sign(&second, &machine.precommit(7, 0xbb)));
    assert!(reason.contains("refuses") && reason.contains("signed another Precommit at height 7"), "{reason}");
    // Nor does the second betray the block that the first is locked on, unless a newer polka lets it.
    let betrayal = machine.vote(VoteKind::Prevote, 7, 1, Some(0xbb));
    assert!(refusal(second.sign_on_polka(&betrayal, None)).contains("locked on block"));
    second.sign_on_polka(&betrayal, Some(Round(0))).unwrap();

    let domain = machine.domain();
    for (honest, conflicting) in [(checkpoint(4, 1), checkpoint(4, 2)), (view(9, 1), view(9, 2))] {
        let signature = first.sign_attestation(&domain, &honest).unwrap();
        assert_eq!(second.sign_attestation(&domain, &honest), Ok(signature));
        assert!(second.sign_attestation(&domain, &conflicting).is_err());
    }
    assert!(second.sign_attestation(&domain, &checkpoint(3, 2)).is_ok(), "an older one that nobody signed otherwise");
    assert!(first.sign_attestation(&domain, &checkpoint(3, 1)).is_err());
}

#[test]
fn who_has_another_secret_gets_nothing_and_is_told_what_to_check() {
    let machine = Machine::new();
    let server = machine.serve(&tcp(), &StateOrigin::New);
    let stranger = RemoteSigner::connect(server.address().clone(), key(8), machine.genesis.hash, TIMEOUT);
    let error = stranger.unwrap_err().to_string();
    assert!(error.contains("signer.key"), "{error}");
    // Nor does a node trust a signer that does not know the secret.
    let impostor = SignerServer::start(
        &machine.unix(),
        {
            let other = Machine::new();
            let vault = other.vault(&StateOrigin::New).unwrap();
            drop(other);
            vault
        },
        key(8),
    );
    let error =
        RemoteSigner::connect(machine.unix(), machine.secret.clone(), machine.genesis.hash, TIMEOUT).unwrap_err();
    assert!(error.to_string().contains("signer.key"), "{error}");
    drop(impostor);
    Signer::sign(&machine.connect(server.address()), &machine.precommit(1, 1)).unwrap();
}

#[test]
fn a_node_of_another_chain_is_refused_with_both_hashes() {
    let machine = Machine::new();
    let server = machine.serve(&machine.unix(), &StateOrigin::New);
    let other = genesis(&machine.node, "Another");
    let error =
        RemoteSigner::connect(machine.unix(), machine.secret.clone(), other.hash, TIMEOUT).unwrap_err().to_string();
    assert!(error.contains(&machine.genesis.hash.to_string()) && error.contains(&other.hash.to_string()), "{error}");
    let remote = machine.connect(server.address());
    let vote = Vote {
        kind: VoteKind::Prevote,
        height: Height(1),
        round: Round(0),
        block_hash: None,
        validator: ValidatorId::ZERO,
    };
    assert!(refusal(Signer::sign(&remote, &vote.sign_bytes(other.hash))).contains("not this signer's"));
    assert!(refusal(Signer::sign(&remote, b"causeway/register-consensus/1 and so on")).contains("neither a vote nor"));
}

#[test]
fn frames_that_are_too_long_cut_short_or_nonsense_end_their_connection_alone() {
    let machine = Machine::new();
    let server = machine.serve(&tcp(), &StateOrigin::New);
    let SignerAddress::Tcp(address) = *server.address() else { unreachable!() };
    let remote = machine.connect(server.address());
    let long = [&[0xff, 0xff][..], &vec![1; 65_535]].concat();
    for bytes in [long.as_slice(), &[0, 0], &[0, 48, 1, 2], &[0, 4, 1, 2, 3, 4], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).unwrap();
        // The signer may hang up while we write.
        let _unimportant = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() && !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
        Signer::sign(&remote, &machine.precommit(1, 1)).unwrap();
    }
}

#[test]
fn a_node_goes_on_without_its_signer_and_signs_again_when_it_is_back() {
    let machine = Machine::new();
    let server = machine.serve(&machine.unix(), &StateOrigin::New);
    let remote = machine.connect(server.address());
    let first = Signer::sign(&remote, &machine.precommit(1, 1)).unwrap();
    server.stop();
    let reason = refusal(Signer::sign(&remote, &machine.precommit(2, 1)));
    assert!(reason.contains("gives no answer"), "{reason}");
    let again = machine.serve(&machine.unix(), &StateOrigin::Existing);
    until_signed(&remote, &machine.precommit(2, 1));
    assert!(refusal(Signer::sign(&remote, &machine.precommit(1, 1))).contains("already signed at height 2"));
    again.stop();

    // A restart between two requests is not even noticed.
    let third = machine.serve(&machine.unix(), &StateOrigin::Existing);
    until_signed(&remote, &machine.precommit(3, 1));
    third.stop();
    let _fourth = machine.serve(&machine.unix(), &StateOrigin::Existing);
    Signer::sign(&remote, &machine.precommit(3, 1)).unwrap();
    assert_eq!(first.len(), 64);
}

#[test]
fn a_signer_that_hangs_holds_a_node_up_for_the_time_out_and_then_not_at_all() {
    let machine = Machine::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = SignerAddress::Tcp(silent.local_addr().unwrap());
    let patience = Duration::from_millis(100);
    let began = Instant::now();
    let error = RemoteSigner::connect(address, machine.secret.clone(), machine.genesis.hash, patience).unwrap_err();
    assert!(error.to_string().contains("gives no answer"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3));

    let server = machine.serve(&machine.unix(), &StateOrigin::New);
    let remote = RemoteSigner::connect(machine.unix(), machine.secret.clone(), machine.genesis.hash, patience).unwrap();
    server.stop();
    let _hangs = std::os::unix::net::UnixListener::bind(machine.home.path().join("signer.sock")).unwrap();
    assert!(Signer::sign(&remote, &machine.precommit(1, 1)).is_err());
    let began = Instant::now();
    assert!(Signer::sign(&remote, &machine.precommit(1, 1)).is_err());
    assert!(began.elapsed() < patience, "it is not asked again at once");
}

#[test]
fn a_signature_that_cannot_be_recorded_does_not_leave() {
    let machine = Machine::new();
    let server = machine.serve(&machine.unix(), &StateOrigin::New);
    let remote = machine.connect(server.address());
    Signer::sign(&remote, &machine.precommit(1, 1)).unwrap();
    // A directory in the way of the new file makes its replacement fail.
    let (consensus, peg) = (machine.state().join("sign_state.new"), machine.state().join("peg_sign_state.new"));
    fs::create_dir(&consensus).unwrap();
    fs::create_dir(&peg).unwrap();
    assert!(refusal(Signer::sign(&remote, &machine.precommit(2, 1))).contains("cannot be recorded"));
    assert!(remote.sign_attestation(&machine.domain(), &checkpoint(1, 1)).is_err());
    Signer::sign(&remote, &machine.precommit(1, 1)).unwrap();
    fs::remove_dir(consensus).unwrap();
    fs::remove_dir(peg).unwrap();
    Signer::sign(&remote, &machine.precommit(2, 2)).unwrap();
    remote.sign_attestation(&machine.domain(), &checkpoint(1, 2)).unwrap();
}

#[test]
fn a_state_that_is_missing_foreign_or_in_use_is_refused_with_what_to_do() {
    let machine = Machine::new();
    let said = |result: eyre::Result<Vault>| format!("{:#}", result.unwrap_err());
    assert!(said(machine.vault(&StateOrigin::Existing)).contains("--new-state"));
    let vault = machine.vault(&StateOrigin::New).unwrap();
    assert!(
        said(machine.vault(&StateOrigin::Existing)).contains("lock")
            || said(machine.vault(&StateOrigin::Existing)).contains("process")
    );
    drop(vault);
    assert!(said(machine.vault(&StateOrigin::New)).contains("holds sign states already"));
    fs::remove_file(machine.state().join("sign_state")).unwrap();
    assert!(said(machine.vault(&StateOrigin::Existing)).contains("restore"), "half of it is none");
    let mut other = Machine::new();
    drop(other.vault(&StateOrigin::New).unwrap());
    other.genesis = genesis(&other.node, "Another");
    assert!(said(other.vault(&StateOrigin::Existing)).contains("of chain"));
    let empty = Machine::new();
    fs::remove_file(empty.keys().join("peg.key")).unwrap();
    assert!(said(empty.vault(&StateOrigin::New)).contains("keys new"));
}

#[test]
fn the_record_of_a_node_moves_with_its_keys() {
    let machine = Machine::new();
    let node = machine.home.path().join("node");
    fs::create_dir_all(node.join("data")).unwrap();
    let local = Ed25519Signer::new(machine.node.consensus.expose());
    let signed =
        sign_guarded(&SignState::default(), machine.genesis.hash, &local, &machine.precommit(5, 1), None).unwrap();
    SignStateFile::new(Arc::new(OsDisk), paths::sign_state(&node)).store(&signed.state.unwrap()).unwrap();
    let digest = machine.domain().attestation_digest(&checkpoint(8, 1));
    let signs = PegSigns { checkpoint: Some((8, digest)), views: [(3, B256::repeat_byte(1))].into() };
    PegSignStateFile::new(Arc::new(OsDisk), paths::peg_sign_state(&node)).store(&signs).unwrap();

    let server = machine.serve(&machine.unix(), &StateOrigin::Node(node.clone()));
    let remote = machine.connect(server.address());
    assert_eq!(Signer::sign(&remote, &machine.precommit(5, 1)).unwrap(), signed.signature);
    assert!(Signer::sign(&remote, &machine.precommit(5, 2)).is_err());
    let domain = machine.domain();
    assert!(remote.sign_attestation(&domain, &checkpoint(8, 1)).is_ok());
    assert!(remote.sign_attestation(&domain, &checkpoint(8, 2)).is_err());
    assert!(remote.sign_attestation(&domain, &checkpoint(7, 2)).is_err(), "older than what moved");
    assert!(remote.sign_attestation(&domain, &view(3, 9)).is_err());
    assert!(remote.sign_attestation(&domain, &checkpoint(9, 2)).is_ok());
}

#[test]
fn a_node_takes_its_keys_from_one_place_only() {
    let machine = Machine::new();
    let dir = machine.home.path().join("node");
    let section = SignerSection { address: Some(machine.unix()), ..SignerSection::default() };
    let open = || open_signers(&dir, &section, machine.genesis.hash, &no_password);
    let said = |result: eyre::Result<Option<Signers>>| format!("{:#}", result.unwrap_err());
    assert!(said(open()).contains("keys new --role signer"));
    keys::save(&dir.join("keys"), KeyRole::Signer, &machine.secret).unwrap();
    let error = said(open());
    assert!(error.contains("cannot start without its signer") && error.contains("gives no answer"), "{error}");
    let _server = machine.serve(&machine.unix(), &StateOrigin::New);
    let signers = open().unwrap().unwrap();
    assert_eq!((signers.validator(), signers.peg_address()), (machine.node.validator_id(), machine.node.peg_address()));
    machine.node.save(&dir.join("keys")).unwrap();
    assert!(said(open()).contains("in two places signs twice"));
    let local = open_signers(&dir, &SignerSection::default(), machine.genesis.hash, &no_password).unwrap().unwrap();
    assert_eq!(local.validator(), machine.node.validator_id());
}

/// `causeway-signer` as a process, and where it listens.
struct Process(Child, SignerAddress);

impl Process {
    fn start(machine: &Machine, arguments: &[&str]) -> Self {
        let genesis = machine.home.path().join("genesis.json");
        if !genesis.exists() {
            machine.genesis.spec.save(&genesis).unwrap();
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_causeway-signer"))
            .args(["--listen", "127.0.0.1:0", "--exit-with-parent", &std::process::id().to_string()])
            .args([&"--genesis".as_ref(), &genesis.as_os_str(), &"--keys".as_ref(), &machine.keys().as_os_str()])
            .args(["--state".as_ref(), machine.state().as_os_str()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("said {line:?}"));
        Self(child, address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn what_was_signed_outlives_a_killed_process() {
    let machine = Machine::new();
    let process = Process::start(&machine, &["--new-state"]);
    let remote = machine.connect(&process.1);
    let signature = Signer::sign(&remote, &machine.precommit(3, 0xaa)).unwrap();
    remote.sign_attestation(&machine.domain(), &checkpoint(2, 1)).unwrap();
    drop(process); // SIGKILL

    let process = Process::start(&machine, &[]);
    let remote = machine.connect(&process.1);
    let reason = refusal(Signer::sign(&remote, &machine.precommit(3, 0xbb)));
    assert!(reason.contains("signed another Precommit at height 3"), "{reason}");
    assert_eq!(Signer::sign(&remote, &machine.precommit(3, 0xaa)).unwrap(), signature);
    assert!(remote.sign_attestation(&machine.domain(), &checkpoint(2, 2)).is_err());
    remote.sign_attestation(&machine.domain(), &checkpoint(2, 1)).unwrap();
}
