//! Two chains in memory, a few blocks old, for blocks and calls to run on: one with coin from genesis, one whose coin came
//! over the peg. Both stake in short epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use causeway_consensus::{
    CommitCertificate, CommitSignature, Ed25519Signer, Height, Round, Signer as _, ValidatorSet, Vote, VoteKind,
};
use causeway_execution::{
    Account, BuildAttributes, ExecutedBlock, Executor, MAX_BLOCK_BYTES, OverlayState, RecoveredTx, SourceError,
    StateSource, SystemCall, genesis_state, peg_state, validator_set_at,
};
use causeway_genesis::addresses::{PEG, REWARD_POOL, STAKE_TOKEN, STAKING};
use causeway_genesis::{AllocAccount, ChainSpec, Genesis, NodeKeys, SecretKey, ceremony};
use causeway_peg::abi::SignatureAbi;
use causeway_peg::deposit::fold_deposits;
use causeway_peg::{CertificateSig, Deposit, IPeg, LocalPegSigner, ParentView, PegModule, PegSigner as _};
use causeway_trie::{MemoryNodes, Nibbles, NodeSource, NodeSourceError};

pub(crate) const CHAIN_ID: u64 = 4_242;
pub(crate) const GENESIS_TIME: u64 = 1_700_000_000;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const VALIDATORS: u8 = 4;
pub(crate) const USERS: u8 = 4;

pub(crate) fn user(n: u8) -> Address {
    Address::repeat_byte(0x70 + n % USERS)
}

/// The operator of validator 1 to 4.
pub(crate) fn operator(n: u8) -> Address {
    Address::repeat_byte(0xb0 + n)
}

/// Contracts that pass on what they are given: the first word of the calldata is the callee, the rest the input.
pub(crate) fn forwarder(n: u8) -> Address {
    Address::repeat_byte(0xf0 + n % FORWARDERS)
}

pub(crate) const FORWARDERS: u8 = 6;

/// Forwards by CALL, DELEGATECALL, STATICCALL, CALLCODE; by CALL and then reverts; by CALL twice.
fn forwarder_code(n: u8) -> Bytes {
    const COPY: [u8; 8] = [0x60, 0x20, 0x36, 0x03, 0x60, 0x20, 0x5f, 0x37];
    const WITH_VALUE: [u8; 11] = [0x5f, 0x5f, 0x60, 0x20, 0x36, 0x03, 0x5f, 0x34, 0x5f, 0x35, 0x5a];
    const WITHOUT: [u8; 10] = [0x5f, 0x5f, 0x60, 0x20, 0x36, 0x03, 0x5f, 0x5f, 0x35, 0x5a];
    /// Returns, or reverts with, what came back.
    const ANSWER: [u8; 14] = [0x3d, 0x5f, 0x5f, 0x3e, 0x80, 0x60, 0x00, 0x57, 0x3d, 0x5f, 0xfd, 0x5b, 0x3d, 0x5f];
    let mut code = COPY.to_vec();
    match n {
        0 => code.extend([WITH_VALUE.as_slice(), &[0xf1]].concat()),
        1 => code.extend([WITHOUT.as_slice(), &[0xf4]].concat()),
        2 => code.extend([WITHOUT.as_slice(), &[0xfa]].concat()),
        3 => code.extend([WITH_VALUE.as_slice(), &[0xf2]].concat()),
        4 => code.extend([WITH_VALUE.as_slice(), &[0xf1, 0x5f, 0x5f, 0xfd]].concat()),
        _ => code.extend([WITH_VALUE.as_slice(), &[0xf1], &WITH_VALUE, &[0xf1, 0x00]].concat()),
    }
    if n < 4 {
        let target = u8::try_from(code.len() + 11).expect("short code");
        let mut answer = ANSWER;
        answer[6] = target;
        code.extend(answer);
        code.push(0xf3);
    }
    code.into()
}

/// State in maps.
#[derive(Debug, Default)]
pub(crate) struct FlatState {
    pub(crate) accounts: BTreeMap<Address, Account>,
    storage: BTreeMap<(Address, U256), U256>,
    code: BTreeMap<B256, Bytes>,
    hashes: BTreeMap<u64, B256>,
    nodes: MemoryNodes,
}

impl FlatState {
    fn apply(&mut self, executed: &ExecutedBlock) {
        for (address, (before, after)) in &executed.diff.accounts {
            assert_eq!(self.accounts.get(address), before.as_ref(), "{address}");
            match after {
                Some(after) => self.accounts.insert(*address, *after),
                None => self.accounts.remove(address),
            };
        }
        self.storage.extend(executed.diff.storage.iter().map(|(key, (_, after))| (*key, *after)));
        self.code.extend(executed.diff.code.clone());
        self.nodes.apply(executed.diff.trie.clone());
        self.hashes.insert(executed.block.header.number, executed.hash);
    }
}

impl NodeSource for FlatState {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        self.nodes.node(owner, path)
    }
}

impl StateSource for FlatState {
    fn account(&self, address: Address) -> Result<Option<Account>, SourceError> {
        Ok(self.accounts.get(&address).copied())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, SourceError> {
        Ok(self.storage.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Bytes, SourceError> {
        self.code.get(&hash).cloned().ok_or(SourceError::MissingCode(hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, SourceError> {
        self.hashes.get(&number).copied().ok_or(SourceError::MissingBlockHash(number))
    }
}

/// A chain at some height.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) executor: Arc<Executor>,
    pub(crate) state: Arc<dyn StateSource>,
    pub(crate) head: Header,
    /// Who signed the head.
    pub(crate) validators: ValidatorSet,
}

/// Of the chain with coin, and of the one with a peg.
pub(crate) static GENESES: LazyLock<[Arc<Genesis>; 2]> = LazyLock::new(|| {
    let mut standalone = spec(false);
    for n in 0..USERS {
        let balance = U256::from(1_000 * ETHER);
        standalone.alloc.insert(user(n), AllocAccount { balance, ..AllocAccount::default() });
    }
    [standalone, spec(true)].map(|spec| Arc::new(Genesis::build(spec).expect("a legal spec")))
});

pub(crate) static STANDALONE: LazyLock<Chain> = LazyLock::new(|| Chain::new(&GENESES[0], |_| Vec::new()));

pub(crate) static PEGGED: LazyLock<Chain> = LazyLock::new(|| {
    Chain::new(&GENESES[1], |chain| {
        let credits: Vec<_> = (0..USERS).map(|n| (user(n), 1_000 * ETHER)).collect();
        vec![chain.import(&credits)]
    })
});

fn keys(seed: u8) -> NodeKeys {
    NodeKeys {
        consensus: SecretKey::from_bytes(secret(1, seed)),
        peg: SecretKey::from_bytes(secret(2, seed)),
        p2p: SecretKey::from_bytes(secret(3, seed)),
    }
}

/// Of validator 1 to 4, or of somebody who is none yet.
pub(crate) fn consensus_signer(n: u8) -> Ed25519Signer {
    Ed25519Signer::new(&secret(1, n))
}

/// As [`consensus_signer`].
pub(crate) fn peg_signer(n: u8) -> LocalPegSigner {
    LocalPegSigner::new(B256::from(secret(2, n))).expect("a legal secret")
}

fn secret(role: u8, seed: u8) -> [u8; 32] {
    let mut bytes = [seed; 32];
    bytes[0] = role;
    bytes
}

/// A chain of four validators whose users hold stake, with the forwarders at their places.
pub(crate) fn spec(pegged: bool) -> ChainSpec {
    let peg = if pegged { ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 5) } else { None };
    let mut spec = ceremony::new_spec(CHAIN_ID, "Fuzzed chain", GENESIS_TIME, peg);
    spec.epoch_length = 4;
    spec.checkpoint_interval = 2;
    spec.staking.unbonding_seconds = 5;
    spec.staking.downtime_window = 10;
    let stake = U256::from(1_000) * U256::from(ETHER);
    spec.validators =
        (1..=VALIDATORS).map(|n| ceremony::validator_entry(&format!("v{n}"), operator(n), stake, &keys(n))).collect();
    for holder in (0..USERS).map(user).chain((1..=VALIDATORS).map(operator)) {
        spec.staking.alloc.insert(holder, stake);
    }
    for n in 0..FORWARDERS {
        spec.alloc.insert(forwarder(n), AllocAccount { code: forwarder_code(n), ..AllocAccount::default() });
    }
    spec
}

impl Chain {
    fn new(genesis: &Arc<Genesis>, first: impl FnOnce(&Self) -> Vec<SystemCall>) -> Self {
        let start = Self::at_genesis(genesis.clone());
        let calls = first(&start);
        let executed = start.build(calls, &[], 1);
        assert_eq!(executed.block.transactions.len(), usize::from(start.is_pegged()));
        start.after(Arc::new(executed))
    }

    pub(crate) fn at_genesis(genesis: Arc<Genesis>) -> Self {
        let mut state = FlatState::default();
        state.apply(&genesis_state(&genesis));
        let (head, validators) = (genesis.header.clone(), genesis.validator_set());
        Self { executor: Arc::new(Executor::new(genesis)), state: Arc::new(state), head, validators }
    }

    pub(crate) fn is_pegged(&self) -> bool {
        self.executor.genesis().spec.peg.is_some()
    }

    /// The chain with one more block.
    pub(crate) fn after(&self, executed: Arc<ExecutedBlock>) -> Self {
        let (validators, _) = validator_set_at(&*self.state).expect("state in memory");
        Self {
            executor: self.executor.clone(),
            head: executed.block.header.clone(),
            state: Arc::new(OverlayState::new(self.state.clone(), executed)),
            validators,
        }
    }

    /// Everybody's certificate for a block.
    pub(crate) fn certificate(&self, height: u64, block_hash: B256) -> CommitCertificate {
        let mut signatures: Vec<_> = (1..=VALIDATORS)
            .map(consensus_signer)
            .filter(|signer| self.validators.get(&signer.validator()).is_some())
            .map(|signer| {
                let vote = Vote {
                    kind: VoteKind::Precommit,
                    height: Height(height),
                    round: Round(0),
                    block_hash: Some(block_hash),
                    validator: signer.validator(),
                };
                let bytes = vote.sign_bytes(self.executor.genesis().hash);
                let signature = signer.sign(&bytes).expect("a key in memory always signs");
                CommitSignature { validator: vote.validator, signature }
            })
            .collect();
        signatures.sort();
        CommitCertificate { height: Height(height), round: Round(0), block_hash, signatures }
    }

    pub(crate) fn operators(&self) -> BTreeSet<Address> {
        validator_set_at(&*self.state).expect("state in memory").1.into_values().collect()
    }

    pub(crate) fn build(&self, system: Vec<SystemCall>, txs: &[Arc<RecoveredTx>], seconds: u64) -> ExecutedBlock {
        let hash = self.head.hash_slow();
        let proposer = self.operators().into_iter().next().expect("a set is never empty");
        let attributes = BuildAttributes {
            timestamp: self.head.timestamp + seconds,
            proposer_operator: proposer,
            parent_certificate: (self.head.number > 0).then(|| self.certificate(self.head.number, hash)),
            extra_data: Bytes::new(),
            stop: None,
            max_bytes: MAX_BLOCK_BYTES,
        };
        let built = self.executor.build(&self.head, &*self.state, attributes, system, txs.iter().cloned());
        built.expect("state in memory never fails")
    }

    /// A certified import of the next deposits.
    pub(crate) fn import(&self, credits: &[(Address, u128)]) -> SystemCall {
        let mut slots = peg_state(&*self.state);
        let first = PegModule::deposit_nonce(&mut slots).expect("state in memory") + 1;
        let acc = PegModule::deposit_acc(&mut slots).expect("state in memory");
        let height = PegModule::last_parent_height(&mut slots).expect("state in memory") + 10;
        let deposits: Vec<_> = credits
            .iter()
            .zip(first..)
            .map(|((recipient, amount), nonce)| Deposit {
                nonce,
                token: Address::ZERO,
                sender: Address::repeat_byte(0x5e),
                recipient: *recipient,
                amount: U256::from(*amount),
            })
            .collect();
        let view = ParentView {
            parentHeight: height,
            parentHash: B256::with_last_byte(7),
            depositNonce: deposits.last().expect("a deposit or more").nonce,
            depositAcc: fold_deposits(acc, &deposits),
        };
        let domain = self.executor.genesis().peg_domain().expect("a pegged chain");
        let signatures = self.certify(domain.parent_view_digest(&view));
        let input = IPeg::importDepositsCall { view_: view, signatures, deposits }.abi_encode();
        SystemCall { to: PEG, input: input.into() }
    }

    fn certify(&self, digest: B256) -> Vec<SignatureAbi> {
        let set = PegModule::validator_set(&mut peg_state(&*self.state)).expect("a pegged chain has a set");
        let mut signatures: Vec<_> = (1..=VALIDATORS)
            .map(peg_signer)
            .filter_map(|signer| {
                let (at, _) = set.get(&signer.address())?;
                let signature = signer.sign(digest).expect("a key in memory always signs");
                Some((at, CertificateSig { signer: signer.address(), signature }))
            })
            .collect();
        signatures.sort_by_key(|(at, _)| *at);
        signatures.iter().map(|(_, signature)| SignatureAbi::from(signature)).collect()
    }
}

/// Addresses that mean something on these chains.
pub(crate) fn places() -> Vec<Address> {
    let mut places = vec![STAKING, PEG, STAKE_TOKEN, REWARD_POOL, Address::ZERO, causeway_genesis::addresses::SYSTEM];
    places.extend((0..USERS).map(user));
    places.extend((1..=VALIDATORS).map(operator));
    places.extend((0..FORWARDERS).map(forwarder));
    places.extend([causeway_genesis::addresses::HISTORY_STORAGE, causeway_genesis::addresses::BEACON_ROOTS]);
    places.extend((1..=0x11).map(Address::with_last_byte));
    places.push(Address::repeat_byte(0xee));
    places
}
