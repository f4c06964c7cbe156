//! For tests of the checks: a small chain of real blocks in memory, and ways to corrupt them.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::{Header, SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use causeway_consensus::{
    CommitCertificate, CommitSignature, ConsensusKey, Ed25519Signer, Height, Round, Signer as _, Validator,
    ValidatorSet, Vote, VoteKind,
};
use causeway_execution::{
    Account, Block, BuildAttributes, ExecutedBlock, Executor, MAX_BLOCK_BYTES, RecoveredTx, SourceError, StateDiff,
    StateSource, SystemCall, genesis_state,
};
use causeway_genesis::{AllocAccount, ChainSpec, Genesis, NodeKeys, SecretKey, addresses::PEG, ceremony};
use causeway_peg::{
    CertificateSig, Checkpoint, Deposit, IPeg, LocalPegSigner, ParentView, PegSigner, abi::SignatureAbi,
    deposit::fold_deposits,
};
use causeway_trie::{MemoryNodes, Nibbles, NodeSource, NodeSourceError};

use super::{
    Commit, Database,
    canon::Canon,
    database::Rows,
    members::{Member, Members},
    mirror::Mirror,
};

/// An account with coin and stake; its key is [`user_key`].
pub(crate) const USER: Address = address!("f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
/// Seconds from block to block.
const STEP_S: u64 = 5;
const CHAIN_ID: u64 = 4_242;

/// The key of [`USER`]: the first of the mnemonic "test test ... junk".
pub(crate) fn user_key() -> PrivateKeySigner {
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".parse().unwrap()
}

/// The key of a validator's operator; the first validator is 1.
pub(crate) fn operator_key(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&secret(4, seed)).unwrap()
}

fn secret(role: u8, seed: u8) -> [u8; 32] {
    let mut bytes = [role; 32];
    bytes[31] = seed;
    bytes
}

pub(crate) fn keys(seed: u8) -> NodeKeys {
    let key = |role| SecretKey::from_bytes(secret(role, seed));
    NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) }
}

/// A node's state: the mirror, and the trie that the executor needs.
#[derive(Default)]
struct State {
    mirror: Mirror,
    nodes: MemoryNodes,
    code: BTreeMap<B256, Bytes>,
    hashes: BTreeMap<u64, B256>,
}

impl State {
    fn apply(&mut self, height: u64, hash: B256, diff: &StateDiff) {
        self.nodes.apply(diff.trie.clone());
        self.code.extend(diff.code.clone());
        self.hashes.insert(height, hash);
    }
}

impl NodeSource for State {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        self.nodes.node(owner, path)
    }
}

impl StateSource for State {
    fn account(&self, address: Address) -> Result<Option<Account>, SourceError> {
        Ok(self.mirror.account(address).copied())
    }
    fn storage(&self, address: Address, slot: U256) -> Result<U256, SourceError> {
        Ok(self.mirror.slot(address, slot))
    }
    fn code(&self, hash: B256) -> Result<Bytes, SourceError> {
        self.code.get(&hash).cloned().ok_or(SourceError::MissingCode(hash))
    }
    fn block_hash(&self, number: u64) -> Result<B256, SourceError> {
        self.hashes.get(&number).copied().ok_or(SourceError::MissingBlockHash(number))
    }
}

/// The content of a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeDatabase {
    pub(crate) head: u64,
    pub(crate) hashes: BTreeMap<u64, B256>,
    pub(crate) root_node: Option<Bytes>,
    pub(crate) rows: Rows,
    pub(crate) transactions: BTreeMap<B256, u64>,
}

impl Database for FakeDatabase {
    fn head(&self) -> u64 {
        self.head
    }
    fn hash(&self, height: u64) -> Option<B256> {
        self.hashes.get(&height).copied()
    }
    fn root_node(&self) -> Option<Bytes> {
        self.root_node.clone()
    }
    fn rows(&self) -> Result<Rows, String> {
        Ok(self.rows.clone())
    }
    fn block_of(&self, transaction: &B256) -> Option<u64> {
        self.transactions.get(transaction).copied()
    }
}

/// A block, its certificate, and the database just after its commit.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) executed: ExecutedBlock,
    pub(crate) certificate: CommitCertificate,
    pub(crate) database: FakeDatabase,
    pub(crate) operators: Vec<Address>,
    chain: B256,
    validators: u8,
    wall_ms: u64,
}

impl Made {
    pub(crate) fn commit(&self, machine: usize) -> Commit<'_> {
        Commit {
            machine,
            now_ms: self.executed.block.header.number * 100,
            latest_wall_ms: self.wall_ms,
            executed: &self.executed,
            certificate: &self.certificate,
            database: &self.database,
        }
    }

    /// Changes the header and signs the changed block with all keys.
    pub(crate) fn header(&mut self, change: impl FnOnce(&mut Header)) {
        self.block(|block| change(&mut block.header));
    }

    /// Changes the block and signs it with all keys.
    pub(crate) fn block(&mut self, change: impl FnOnce(&mut Block)) {
        let mut block = Block::clone(&self.executed.block);
        change(&mut block);
        let (height, hash) = (block.header.number, block.hash());
        self.executed.block = Arc::new(block);
        self.executed.hash = hash;
        self.database.hashes.insert(height, hash);
        self.certificate = certify(self.chain, self.validators, height, hash);
    }
}

fn certify(chain: B256, validators: u8, height: u64, block_hash: B256) -> CommitCertificate {
    let mut signatures: Vec<CommitSignature> = (1..=validators)
        .map(|seed| {
            let signer = Ed25519Signer::new(&secret(1, seed));
            let validator = signer.validator();
            let (kind, height, round) = (VoteKind::Precommit, Height(height), Round(0));
            let vote = Vote { kind, height, round, block_hash: Some(block_hash), validator };
            CommitSignature { validator, signature: signer.sign(&vote.sign_bytes(chain)).unwrap() }
        })
        .collect();
    signatures.sort();
    CommitCertificate { height: Height(height), round: Round(0), block_hash, signatures }
}

/// A chain in memory, with four validators of equal power.
pub(crate) struct Kit {
    pub(crate) genesis: Arc<Genesis>,
    executor: Executor,
    state: State,
    head: Header,
    certificate: Option<CommitCertificate>,
    transactions: BTreeMap<B256, u64>,
}

impl Kit {
    pub(crate) const VALIDATORS: u8 = 4;

    /// A chain without a peg on which [`USER`] and the operators hold coin, and [`USER`] stake.
    pub(crate) fn standalone() -> (Self, Canon) {
        Self::new(None, |_| {})
    }

    pub(crate) fn standalone_with(change: impl FnOnce(&mut ChainSpec)) -> (Self, Canon) {
        Self::new(None, change)
    }

    /// A chain with a peg: no account has coin.
    pub(crate) fn pegged() -> (Self, Canon) {
        Self::new(ceremony::predicted_peg(1, Address::repeat_byte(0xdd), 0), |spec| spec.epoch_length = 9)
    }

    fn new(peg: Option<causeway_genesis::PegSpec>, change: impl FnOnce(&mut ChainSpec)) -> (Self, Canon) {
        let mut spec = ceremony::new_spec(CHAIN_ID, "checks", 1_700_000_000, peg);
        spec.epoch_length = 4;
        spec.checkpoint_interval = 3;
        spec.staking.unbonding_seconds = 20;
        let token = U256::from(10).pow(U256::from(18));
        for seed in 1..=Self::VALIDATORS {
            let operator = operator_key(seed).address();
            let entry =
                ceremony::validator_entry(&format!("v{seed}"), operator, U256::from(1_000) * token, &keys(seed));
            spec.validators.push(entry);
            if spec.peg.is_none() {
                spec.alloc.insert(operator, AllocAccount { balance: U256::from(9) * token, ..AllocAccount::default() });
            }
        }
        spec.staking.alloc.insert(USER, U256::from(5_000) * token);
        if spec.peg.is_none() {
            spec.alloc.insert(USER, AllocAccount { balance: U256::from(9) * token, ..AllocAccount::default() });
        }
        change(&mut spec);
        let genesis = Arc::new(Genesis::build(spec).unwrap());
        let first = genesis_state(&genesis);
        let mut state = State { mirror: Mirror::genesis(&genesis), ..State::default() };
        state.apply(0, genesis.hash, &first.diff);
        let canon = Canon::new(genesis.clone()).unwrap();
        let executor = Executor::new(genesis.clone());
        let head = genesis.header.clone();
        (Self { genesis, executor, state, head, certificate: None, transactions: BTreeMap::new() }, canon)
    }

    /// The state after the last block.
    pub(crate) fn mirror(&self) -> &Mirror {
        &self.state.mirror
    }

    /// The next block, with user transactions.
    pub(crate) fn next(&mut self, txs: &[Arc<RecoveredTx>]) -> Made {
        self.next_with(Vec::new(), txs)
    }

    /// The next block, with system calls.
    pub(crate) fn next_with(&mut self, system: Vec<SystemCall>, txs: &[Arc<RecoveredTx>]) -> Made {
        let height = self.head.number + 1;
        let members = Members::of_next(&self.state.mirror).unwrap();
        let timestamp = self.head.timestamp + STEP_S;
        let attributes = BuildAttributes {
            timestamp,
            proposer_operator: members.proposer(height, 0).operator,
            parent_certificate: self.certificate.clone(),
            extra_data: Bytes::new(),
            stop: None,
            max_bytes: MAX_BLOCK_BYTES,
        };
        let executed = self.executor.build(&self.head, &self.state, attributes, system, txs.iter().cloned()).unwrap();
        let certificate = certify(self.genesis.hash, Self::VALIDATORS, height, executed.hash);
        self.state.mirror.apply(&executed.diff).unwrap();
        self.state.apply(height, executed.hash, &executed.diff);
        self.head = executed.block.header.clone();
        self.certificate = Some(certificate.clone());
        self.transactions.extend(executed.block.transactions.iter().map(|tx| (tx.hash(), height)));
        Made {
            database: self.database(),
            operators: members.iter().map(|member| member.operator).collect(),
            executed,
            certificate,
            chain: self.genesis.hash,
            validators: Self::VALIDATORS,
            wall_ms: timestamp * 1_000,
        }
    }

    /// The present content of a node's database.
    pub(crate) fn database(&self) -> FakeDatabase {
        FakeDatabase {
            head: self.head.number,
            hashes: self.state.hashes.clone(),
            root_node: self.state.nodes.node(None, &Nibbles::default()).unwrap(),
            rows: Rows {
                accounts: self.state.mirror.accounts().map(|(address, account)| (*address, *account)).collect(),
                slots: self.state.mirror.slots().map(|(key, value)| (*key, *value)).collect(),
            },
            transactions: self.transactions.clone(),
        }
    }

    /// A transfer of [`USER`].
    pub(crate) fn transfer(&self, nonce: u64, to: Address, wei: u64) -> Arc<RecoveredTx> {
        self.send(&user_key(), nonce, to, U256::from(wei), Bytes::new())
    }

    /// A call of `from`.
    pub(crate) fn call(
        &self,
        from: &PrivateKeySigner,
        nonce: u64,
        to: Address,
        call: &impl SolCall,
    ) -> Arc<RecoveredTx> {
        self.send(from, nonce, to, U256::ZERO, call.abi_encode().into())
    }

    pub(crate) fn send(
        &self,
        from: &PrivateKeySigner,
        nonce: u64,
        to: Address,
        value: U256,
        input: Bytes,
    ) -> Arc<RecoveredTx> {
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 3_000_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value,
            input,
            ..TxEip1559::default()
        };
        let signature = from.sign_hash_sync(&tx.signature_hash()).unwrap();
        Arc::new(RecoveredTx::recover(TxEnvelope::from(tx.into_signed(signature))).unwrap())
    }

    /// A certified import of deposits of `amounts` to [`USER`], and those deposits.
    pub(crate) fn import(&self, amounts: &[u64]) -> (SystemCall, Vec<Deposit>) {
        let mut slots = Peg(&self.state.mirror);
        let first = causeway_peg::PegModule::deposit_nonce(&mut slots).unwrap() + 1;
        let acc = causeway_peg::PegModule::deposit_acc(&mut slots).unwrap();
        let height = causeway_peg::PegModule::last_parent_height(&mut slots).unwrap() + 10;
        let deposit = |(amount, nonce): (&u64, u64)| Deposit {
            nonce,
            token: Address::ZERO,
            sender: USER,
            recipient: USER,
            amount: U256::from(*amount),
        };
        let deposits: Vec<Deposit> = amounts.iter().zip(first..).map(deposit).collect();
        let view = ParentView {
            parentHeight: height,
            parentHash: B256::repeat_byte(7),
            depositNonce: first + amounts.len() as u64 - 1,
            depositAcc: fold_deposits(acc, &deposits),
        };
        let digest = self.genesis.peg_domain().unwrap().parent_view_digest(&view);
        let set = causeway_peg::PegModule::validator_set(&mut slots).unwrap();
        let mut signatures: Vec<CertificateSig> = (1..=Self::VALIDATORS)
            .map(|seed| {
                let signer = LocalPegSigner::new(B256::from(secret(2, seed))).unwrap();
                CertificateSig { signer: signer.address(), signature: signer.sign(digest).unwrap() }
            })
            .collect();
        signatures.sort_by_key(|signature| set.get(&signature.signer).unwrap().0);
        let signatures = signatures.iter().map(SignatureAbi::from).collect();
        let input = IPeg::importDepositsCall { view_: view, signatures, deposits: deposits.clone() }.abi_encode();
        (SystemCall { to: PEG, input: input.into() }, deposits)
    }

    /// The checkpoint that the peg module has stored.
    pub(crate) fn checkpoint(&self, number: u64) -> Checkpoint {
        causeway_peg::PegModule::checkpoint(&mut Peg(self.mirror()), number).unwrap().unwrap()
    }

    /// A set of validators with these powers, in the nodes' type and in the checks' type.
    pub(crate) fn set_of(powers: &[u64]) -> (ValidatorSet, Members) {
        let key = |seed: u8| Ed25519Signer::new(&secret(1, seed)).key();
        let seeded = || powers.iter().zip(1u8..);
        let set = seeded().map(|(power, seed)| Validator::new(key(seed), *power)).collect();
        let member = |(power, seed): (&u64, u8)| {
            let key: ConsensusKey = key(seed);
            let operator = Address::repeat_byte(seed);
            Member { id: key.id(), key: B256::from(key.0), operator, peg: operator, power: *power }
        };
        (ValidatorSet::new(set).unwrap(), Members::new(0, seeded().map(member).collect()).unwrap())
    }
}

/// The peg's slots, for its module's views.
struct Peg<'a>(&'a Mirror);

impl causeway_peg::Slots for Peg<'_> {
    type Error = std::convert::Infallible;
    fn load(&mut self, slot: U256) -> Result<U256, Self::Error> {
        Ok(self.0.slot(PEG, slot))
    }
    fn store(&mut self, _: U256, _: U256) -> Result<(), Self::Error> {
        unreachable!("views do not write")
    }
}
