//! A small complete peg in memory: the sidechain's blocks and states by the peg module's own rules, the parent's events and
//! storage, real signatures and real proofs. It writes the evidence that the collector would read.

mod fraud;
pub mod tools;

pub use fraud::Fraud;

use alloy_consensus::{Header, Receipt, ReceiptWithBloom};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, keccak256};
use alloy_rlp::{Encodable, RlpEncodable};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use alloy_trie::{
    EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount, proof::ProofRetainer, root::ordered_trie_root_encoded,
};
use causeway_contracts::{
    CheckpointRegistry, PegVault, RegistryArgs, VaultArgs, registry_runtime_code, vault_runtime_code,
};
use causeway_genesis::{
    Genesis, NodeKeys, RulesEntry, SecretKey,
    addresses::{PEG, STAKING},
    ceremony,
};
use causeway_peg::{
    CertificateSig, Checkpoint, CheckpointBlock, Deposit, IPeg, ParentView, PegModule, PegValidator, PegValidatorSet,
    SetAcknowledged, Withdrawal,
    certificate::smallest_quorum,
    deposit::fold_deposits,
    layout::{self, CheckpointField, SetField},
    sign_digest,
    signature::address_of,
};
use causeway_peg_audit::{
    AccountEvidence, BUNDLE_FORMAT, BlockEvidence, Bundle, CommittedSet, LogEvidence, ParentBlock, ParentEvidence,
    ParentValues, RecordEvidence, SetEvidence, SidechainEvidence, SlotEvidence,
};
use std::collections::{BTreeMap, BTreeSet};

pub const INTERVAL: u64 = 4;
/// First block under changed rules.
pub const CHANGE: u64 = 3;
type Slots = BTreeMap<U256, U256>;

#[derive(RlpEncodable)]
struct SystemTx {
    block_number: u64,
    index: u32,
    to: Address,
    gas_limit: u64,
    input: Bytes,
}

pub struct World {
    pub genesis: Genesis,
    secrets: BTreeMap<Address, B256>,
    module: PegModule,
    fraud: Option<Fraud>,
    slots: Slots,
    /// The staking module's slots.
    staking: Slots,
    headers: Vec<Header>,
    /// The peg's and the staking module's slots after each block.
    states: Vec<(Slots, Slots)>,
    blocks: Vec<BlockEvidence>,
    records: Vec<RecordEvidence>,
    pub deposits: Vec<(Deposit, B256, u64)>,
    pub withdrawals: Vec<Withdrawal>,
    logs: Vec<LogEvidence>,
    accepted: Vec<(Checkpoint, B256)>,
    /// The registry's results, by epoch.
    committed: BTreeMap<u64, B256>,
    /// Members to announce when the next block rotates.
    rotation: Option<Vec<PegValidator>>,
    locked: U256,
}

/// Content of the block that is being built.
#[derive(Default)]
pub struct Draft {
    transactions: Vec<Bytes>,
    receipts: Vec<Bytes>,
    keep: bool,
    record: Option<(Bytes, B256)>,
}

/// Members by the seeds of their keys, with their powers.
fn members(all: &[(u8, u64)]) -> Vec<PegValidator> {
    let member = |(seed, power): &(u8, u64)| {
        let address = address_of(&B256::from(*keys(*seed).peg.expose())).unwrap();
        PegValidator { address, power: *power }
    };
    all.iter().map(member).collect()
}

fn keys(seed: u8) -> NodeKeys {
    let key = |role: u8| {
        let mut bytes = [seed; 32];
        bytes[0] = role;
        SecretKey::from_bytes(bytes)
    };
    NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) }
}

/// An entry of the genesis file's `rules`.
pub fn entry(height: u64, version: u64) -> RulesEntry {
    let changes = serde_json::json!({ "block": { "gasLimit": 30_000_000 } });
    RulesEntry { height, version, changes: changes.as_object().unwrap().clone() }
}

pub fn genesis(rules: Vec<RulesEntry>) -> Genesis {
    let peg = ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 5);
    let mut spec = ceremony::new_spec(4_242, "Test chain", 1_700_000_000, peg);
    spec.checkpoint_interval = INTERVAL;
    spec.rules = rules;
    let stake = U256::from(1_000_000u64) * U256::from(10u64).pow(U256::from(18));
    let all: Vec<NodeKeys> = (1..=4).map(keys).collect();
    for (index, keys) in all.iter().enumerate() {
        let operator = Address::repeat_byte(0x40 + index as u8);
        spec.validators.push(ceremony::validator_entry(&format!("validator-{index}"), operator, stake, keys));
    }
    Genesis::build(spec).unwrap()
}

pub fn coins(tenths: u64) -> U256 {
    U256::from(tenths) * U256::from(100_000_000_000_000_000u64)
}

impl World {
    pub fn new(fraud: Option<Fraud>) -> Self {
        Self::under(vec![entry(CHANGE, 1)], fraud)
    }

    fn under(rules: Vec<RulesEntry>, fraud: Option<Fraud>) -> Self {
        let genesis = genesis(rules);
        let secrets = (1..=10).map(|seed| B256::from(*keys(seed).peg.expose()));
        let secrets = secrets.map(|secret| (address_of(&secret).unwrap(), secret)).collect();
        let set = genesis.peg_validator_set().unwrap();
        let slots: Slots = genesis.alloc[&PEG].storage.clone();
        Self {
            module: PegModule::new(genesis.peg_domain().unwrap()),
            headers: vec![genesis.header.clone()],
            states: vec![(slots.clone(), genesis.alloc[&STAKING].storage.clone())],
            slots,
            staking: genesis.alloc[&STAKING].storage.clone(),
            genesis,
            secrets,
            fraud,
            blocks: Vec::new(),
            records: Vec::new(),
            deposits: Vec::new(),
            withdrawals: Vec::new(),
            logs: Vec::new(),
            accepted: Vec::new(),
            committed: BTreeMap::from([(set.epoch(), set.commitment())]),
            rotation: None,
            locked: U256::ZERO,
        }
    }

    /// A chain with one empty block.
    pub fn young() -> Self {
        let mut world = Self::new(None);
        world.empty();
        world
    }

    /// The history that the tests alter: two imports, three withdrawals, four checkpoints, two of them on the parent, and
    /// claims of the first and the third withdrawal. At the end a deposit and a burn are in transit.
    pub fn history(fraud: Option<Fraud>) -> Self {
        Self::new(fraud).with_history()
    }

    /// The same under rules that change from `height` on to a version that no auditor knows; no block is under them.
    pub fn history_before_unknown_rules(height: u64) -> Self {
        Self::under(vec![entry(height, 2)], None).with_history()
    }

    fn with_history(self) -> Self {
        let mut world = self;
        let (alice, bob) = (Address::repeat_byte(0xa1), Address::repeat_byte(0xb0));
        world.deposit(10, alice, coins(15));
        world.deposit(10, bob, coins(20));
        world.empty();
        world.block(|world, draft| world.import(draft, 2));
        world.block(|world, draft| world.withdraw(draft, alice, bob, coins(5), coins(1)));
        world.empty();
        world.empty();
        world.block(|world, draft| world.record(draft, 1));
        world.deposit(12, alice, coins(7));
        world.block(|world, draft| {
            world.import(draft, 3);
            world.withdraw(draft, bob, alice, coins(3), U256::ZERO);
        });
        world.block(|world, draft| world.withdraw(draft, bob, bob, coins(2), U256::ZERO));
        world.accept(1, 14);
        world.empty();
        world.block(|world, draft| world.record(draft, 2));
        world.accept(2, 16);
        world.claim(0, 1, 17);
        world.claim(2, 2, 18);
        while world.headers.len() < 13 {
            world.empty();
        }
        world.block(|world, draft| world.record(draft, 3));
        world.block(|world, draft| world.withdraw(draft, alice, alice, coins(1), U256::ZERO));
        world.deposit(19, bob, coins(9));
        world
    }

    /// Five epochs. The set changes in each of them, until no first member is left. Checkpoints are skipped; rotations fall
    /// between checkpoints, with imports just before and just after. There is no relayer for three epochs; then it submits a
    /// checkpoint of each, and acknowledgements skip epochs. At the end a set and a burn are in transit.
    pub fn rotations(fraud: Option<Fraud>) -> Self {
        let mut world = Self::new(fraud);
        let (alice, bob) = (Address::repeat_byte(0xa1), Address::repeat_byte(0xb0));
        world.deposit(10, alice, coins(15));
        world.deposit(10, bob, coins(20));
        world.empty();
        world.block(|world, draft| world.import(draft, 2));
        world.block(|world, draft| world.withdraw(draft, alice, bob, coins(5), coins(1)));
        world.empty_until(5);
        world.block(|world, draft| world.record(draft, 1));
        world.empty();
        // Epoch 1, with the same four members.
        world.rotate(&[(2, 100), (3, 100), (4, 100), (5, 300)]);
        world.empty_until(9);
        world.block(|world, draft| world.record(draft, 2));
        world.deposit(12, alice, coins(7));
        world.deposit(12, bob, coins(4));
        world.block(|world, draft| world.import(draft, 3));
        // Epoch 2: the fifth member has as much power as the others together, and the block of the rotation has an import.
        world.rotation = Some(members(&[(5, 400), (6, 300), (7, 200), (8, 100)]));
        world.block(|world, draft| world.import(draft, 4));
        world.block(|world, draft| world.withdraw(draft, bob, alice, coins(3), U256::ZERO));
        world.block(|world, draft| {
            if world.fraud != Some(Fraud::NoHandover(2)) {
                world.record(draft, 3);
            }
        });
        world.empty_until(18);
        // Epoch 3; checkpoint 4 is skipped.
        world.rotate(&[(6, 10), (7, 10), (8, 10), (9, 9)]);
        world.block(|world, draft| world.withdraw(draft, bob, bob, coins(2), U256::ZERO));
        world.empty_until(21);
        world.block(|world, draft| world.record(draft, 5));
        world.accept(1, 14);
        world.accept(2, 16);
        world.accept(3, 17);
        world.claim(0, 1, 17);
        world.claim(1, 3, 18);
        world.block(|world, draft| {
            world.acknowledge(draft, 2);
            if world.fraud == Some(Fraud::StaleRecord) {
                world.record_stale(draft, 4);
            }
        });
        // Epoch 4.
        world.rotate(&[(1, 1), (10, 2)]);
        world.empty_until(25);
        world.block(|world, draft| world.record(draft, 6));
        world.deposit(18, alice, coins(6));
        world.block(|world, draft| world.import(draft, 5));
        if world.fraud != Some(Fraud::EarlyAcknowledgement) {
            world.accept(5, 18);
            world.accept(6, 19);
        }
        world.block(|world, draft| world.acknowledge(draft, 4));
        world.empty();
        world.block(|world, draft| world.record(draft, 7));
        world.block(|world, draft| world.withdraw(draft, alice, alice, coins(1), U256::ZERO));
        world.deposit(19, bob, coins(9));
        world.empty();
        world
    }

    /// Digest of a checkpoint in the chain's state.
    pub fn digest(&self, number: u64) -> B256 {
        PegModule::checkpoint_digest(&mut self.slots.clone(), number).unwrap()
    }

    fn height(&self) -> u64 {
        self.headers.len() as u64
    }

    fn empty_until(&mut self, next: u64) {
        while self.height() < next {
            self.empty();
        }
    }

    /// A block that puts the announced set in force and announces another one.
    fn rotate(&mut self, announced: &[(u8, u64)]) {
        self.rotation = Some(members(announced));
        self.empty();
    }

    fn set(&mut self) -> PegValidatorSet {
        PegModule::validator_set(&mut self.slots).unwrap()
    }

    fn set_of(&mut self, epoch: u64) -> PegValidatorSet {
        PegModule::validator_set_of(&mut self.slots, epoch).unwrap().unwrap()
    }

    /// The smallest number of signatures that is a quorum of `set`.
    fn sign(&self, set: &PegValidatorSet, digest: B256) -> Vec<CertificateSig> {
        let one = |member: &PegValidator| {
            let signature = sign_digest(&self.secrets[&member.address], digest).unwrap();
            CertificateSig { signer: member.address, signature }
        };
        smallest_quorum(set.validators().iter().map(one), set).unwrap()
    }

    // ---- the parent

    fn parent_log(&mut self, address: Address, data: LogData, height: u64) {
        let log_index = self.logs.iter().filter(|log| log.height == height).count() as u64;
        let (topics, data) = data.split();
        let block_hash = keccak256(height.to_be_bytes());
        self.logs.push(LogEvidence { address, topics, data, height, block_hash, log_index });
    }

    pub fn deposit(&mut self, height: u64, recipient: Address, amount: U256) {
        let (nonce, acc) = self.deposits.last().map_or((0, B256::ZERO), |(d, acc, _)| (d.nonce, *acc));
        let sender = Address::repeat_byte(0x5e);
        let deposit = Deposit { nonce: nonce + 1, token: Address::ZERO, sender, recipient, amount };
        let acc = fold_deposits(acc, [&deposit]);
        self.deposits.push((deposit, acc, height));
        self.locked += amount;
        let Deposit { nonce, token, sender, recipient, amount } = deposit;
        let event = PegVault::Deposited { nonce, token, sender, recipient, amount, depositAcc: acc };
        self.parent_log(self.spec_vault(), event.encode_log_data(), height);
    }

    fn spec_vault(&self) -> Address {
        self.genesis.spec.peg.as_ref().unwrap().vault
    }

    fn spec_registry(&self) -> Address {
        self.genesis.spec.peg.as_ref().unwrap().registry
    }

    pub fn accept(&mut self, number: u64, height: u64) {
        let mut c = PegModule::checkpoint(&mut self.slots, number).unwrap().unwrap();
        if self.fraud == Some(Fraud::WithdrawalRoot(number)) {
            c.withdrawalRoot = B256::repeat_byte(0xee);
        }
        if self.fraud == Some(Fraud::NextSet(number)) {
            c.nextValset = B256::repeat_byte(0xee);
        }
        let digest = self.module.domain().checkpoint_digest(&c);
        self.accepted.push((c, digest));
        if self.committed.insert(c.epoch + 1, c.nextValset).is_none() {
            let event = CheckpointRegistry::ValidatorSetCommitted { epoch: c.epoch + 1, commitment: c.nextValset };
            self.parent_log(self.spec_registry(), event.encode_log_data(), height);
        }
        let event = CheckpointRegistry::CheckpointAccepted {
            number,
            digest,
            height: c.height,
            stateRoot: c.stateRoot,
            withdrawalRoot: c.withdrawalRoot,
            withdrawalCount: c.withdrawalCount,
            depositNonce: c.depositNonce,
            epoch: c.epoch,
        };
        self.parent_log(self.spec_registry(), event.encode_log_data(), height);
    }

    pub fn claim(&mut self, index: u64, checkpoint: u64, height: u64) {
        let mut w = self.withdrawals[index as usize];
        if self.fraud == Some(Fraud::Overpaid(index)) {
            w.amount += U256::ONE;
        }
        let times = if self.fraud == Some(Fraud::PaidTwice(index)) { 2 } else { 1 };
        for _ in 0..times {
            self.locked -= w.amount;
            let event = PegVault::Claimed {
                index,
                token: w.token,
                recipient: w.recipient,
                amount: w.amount,
                relayerFee: w.relayerFee,
                relayer: Address::repeat_byte(0x77),
                checkpoint,
            };
            self.parent_log(self.spec_vault(), event.encode_log_data(), height);
        }
    }

    // ---- the sidechain

    fn empty(&mut self) {
        self.block(|_, _| {});
    }

    fn block(&mut self, fill: impl FnOnce(&mut Self, &mut Draft)) {
        let previous = self.headers.last().unwrap().clone();
        let previous_hash = previous.hash_slow();
        let info = CheckpointBlock { number: previous.number, hash: previous_hash, state_root: previous.state_root };
        self.module.begin_block(&mut self.slots, &info).unwrap();
        if let Some(announced) = self.rotation.take() {
            let epoch = PegModule::epoch(&mut self.slots).unwrap() + 1;
            if self.fraud == Some(Fraud::NoHandover(epoch - 1)) {
                self.slots.insert(layout::VALIDATOR_EPOCH, U256::from(epoch));
            } else {
                PegModule::rotate(&mut self.slots).unwrap();
            }
            let start = keccak256((U256::from(epoch), U256::from(0x1000e)).abi_encode());
            let late = if self.fraud == Some(Fraud::OtherStart) && epoch == 3 { INTERVAL } else { 0 };
            self.staking.insert(start.into(), U256::from_limbs([previous.number + 2 + late, 1_700_000_000, 0, 0]));
            let announced = PegValidatorSet::new(epoch + 1, announced).unwrap();
            PegModule::announce_next(&mut self.slots, &announced).unwrap();
        }
        let mut draft = Draft::default();
        fill(self, &mut draft);
        let number = previous.number + 1;
        if self.fraud == Some(Fraud::Inflate(number)) {
            *self.slots.get_mut(&layout::SUPPLY).unwrap() += U256::ONE;
        }
        let (state_root, _, _) = self.state((&self.slots, &self.staking), &[], number);
        let ruled = if self.fraud == Some(Fraud::OldRules(number)) { 0 } else { number };
        self.headers.push(Header {
            parent_hash: previous_hash,
            number,
            state_root,
            transactions_root: ordered_trie_root_encoded(&draft.transactions),
            receipts_root: ordered_trie_root_encoded(&draft.receipts),
            gas_limit: self.genesis.rules(ruled).unwrap().block.gas_limit,
            timestamp: 1_700_000_000 + number,
            base_fee_per_gas: Some(7),
            ..Header::default()
        });
        self.states.push((self.slots.clone(), self.staking.clone()));
        if draft.keep {
            let Draft { transactions, receipts, .. } = draft;
            self.blocks.push(BlockEvidence { number, transactions, receipts });
        } else if let Some((transaction, digest)) = draft.record {
            self.records.push(RecordEvidence { number, transaction, digest });
        }
    }

    fn system(&self, draft: &mut Draft, input: Vec<u8>, logs: Vec<Log>) -> Bytes {
        let index = draft.transactions.len() as u32;
        let tx = SystemTx { block_number: self.height(), index, to: PEG, gas_limit: 1_000_000, input: input.into() };
        let mut raw = vec![0x7c];
        tx.encode(&mut raw);
        draft.transactions.push(raw.clone().into());
        draft.receipts.push(receipt(0x7c, logs));
        raw.into()
    }

    fn import(&mut self, draft: &mut Draft, up_to: u64) {
        let imported = PegModule::deposit_nonce(&mut self.slots).unwrap();
        let (_, acc, height) = self.deposits[up_to as usize - 1];
        let deposits: Vec<Deposit> = self.deposits[imported as usize..up_to as usize].iter().map(|d| d.0).collect();
        let parent_hash = keccak256(height.to_be_bytes());
        let view = ParentView { parentHeight: height, parentHash: parent_hash, depositNonce: up_to, depositAcc: acc };
        let (set, digest) = (self.set(), self.module.domain().parent_view_digest(&view));
        let mut signatures = self.sign(&set, digest);
        self.module.import_deposits(&mut self.slots, &view, &signatures, &deposits).unwrap();
        let logs = deposits.iter().map(|deposit| {
            let mut d = *deposit;
            match self.fraud {
                Some(Fraud::MintAmount(nonce)) if nonce == d.nonce => d.amount += U256::ONE,
                Some(Fraud::MintRecipient(nonce)) if nonce == d.nonce => d.recipient = Address::repeat_byte(0x66),
                _ => {}
            }
            let Deposit { nonce, token, sender, recipient, amount } = d;
            peg_log(&IPeg::DepositMinted { nonce, token, sender, recipient, amount })
        });
        let logs = logs.collect();
        if self.fraud == Some(Fraud::StaleImport(self.height())) {
            let stale = self.set_of(set.epoch() - 1);
            signatures = self.sign(&stale, digest);
        }
        let signatures = signatures.iter().map(Into::into).collect();
        let call = IPeg::importDepositsCall { view_: view, signatures, deposits };
        self.system(draft, call.abi_encode(), logs);
        draft.keep = true;
    }

    fn record(&mut self, draft: &mut Draft, number: u64) {
        let digest = PegModule::checkpoint_digest(&mut self.slots, number).unwrap();
        let (set, block) = (self.set(), self.height());
        let mut signatures = self.sign(&set, digest);
        if self.fraud == Some(Fraud::RepeatedSigner(number)) {
            signatures[2] = signatures[1];
        } else {
            self.module.record_checkpoint(&mut self.slots, number, block, &signatures).unwrap();
        }
        let handover = PegModule::handover_of(&mut self.slots, set.epoch()).unwrap();
        if handover.is_some_and(|handover| handover.block == block) {
            draft.keep = true;
            if self.fraud == Some(Fraud::ForgedHandover(set.epoch())) {
                let next = self.set_of(set.epoch() + 1);
                signatures = self.sign(&next, digest);
            }
        }
        let signatures = signatures.iter().map(Into::into).collect();
        let call = IPeg::recordCheckpointCall { number, signatures };
        let log = peg_log(&IPeg::CheckpointRecorded { number, digest });
        let transaction = self.system(draft, call.abi_encode(), vec![log]);
        draft.record = Some((transaction, digest));
    }

    /// Something that the module would refuse: a valid certificate of a checkpoint of the previous epoch.
    fn record_stale(&mut self, draft: &mut Draft, number: u64) {
        let digest = PegModule::checkpoint_digest(&mut self.slots, number).unwrap();
        let epoch = self.set().epoch();
        let stale = self.set_of(epoch - 1);
        let signatures = self.sign(&stale, digest).iter().map(Into::into).collect();
        let call = IPeg::recordCheckpointCall { number, signatures };
        self.system(draft, call.abi_encode(), vec![peg_log(&IPeg::CheckpointRecorded { number, digest })]);
    }

    fn acknowledge(&mut self, draft: &mut Draft, epoch: u64) {
        let commitment = PegModule::validator_set_commitment(&mut self.slots, epoch).unwrap();
        let digest = self.module.domain().set_acknowledged_digest(&SetAcknowledged { epoch, commitment });
        let set = self.set();
        let mut signatures = self.sign(&set, digest);
        self.module.acknowledge_set(&mut self.slots, epoch, &signatures).unwrap();
        if self.fraud == Some(Fraud::StaleAcknowledgement) && self.height() == 27 {
            let stale = self.set_of(set.epoch() - 1);
            signatures = self.sign(&stale, digest);
        }
        let signatures = signatures.iter().map(Into::into).collect();
        let call = IPeg::acknowledgeSetCall { epoch, signatures };
        let log = peg_log(&IPeg::ValidatorSetAcknowledged { epoch, commitment });
        self.system(draft, call.abi_encode(), vec![log]);
        draft.keep = true;
    }

    fn withdraw(&mut self, draft: &mut Draft, sender: Address, recipient: Address, amount: U256, fee: U256) {
        let w = self.module.withdraw(&mut self.slots, sender, recipient, amount, fee).unwrap();
        self.withdrawals.push(w);
        let Withdrawal { index, token, sender, recipient, amount, relayerFee } = w;
        let log = peg_log(&IPeg::WithdrawalRequested { index, token, sender, recipient, amount, relayerFee });
        // The content of the user's transaction does not matter to the audit; only its bytes must match the block.
        draft.transactions.push(Bytes::from(vec![0x02, index as u8]));
        draft.receipts.push(receipt(2, vec![log]));
        draft.keep = true;
    }

    // ---- evidence

    pub fn bundle(&self) -> Bundle {
        Bundle {
            format: BUNDLE_FORMAT,
            genesis_hash: self.genesis.hash,
            sidechain: self.sidechain(),
            parent: self.parent(),
        }
    }

    /// State root of a chain that has only the accounts of the peg and of the staking module, and proofs of some of their
    /// slots.
    fn state(
        &self,
        (peg, staking): (&Slots, &Slots),
        wanted: &[U256],
        height: u64,
    ) -> (B256, AccountEvidence, AccountEvidence) {
        let starts = (1..6u64).map(|epoch| keccak256((U256::from(epoch), U256::from(0x1000e)).abi_encode()).into());
        let staked: Vec<U256> = [U256::ZERO, U256::from(3), U256::from(4)].into_iter().chain(starts).collect();
        let (mut peg, mut staking) = (peg.clone(), staking.clone());
        for (slots, wanted) in [(&mut peg, wanted), (&mut staking, &staked)] {
            for slot in wanted {
                slots.entry(*slot).or_default();
            }
        }
        let code = keccak256([0xfe]);
        let all = [(STAKING, U256::ZERO, code, staking), (PEG, U256::ZERO, code, peg)];
        let (root, mut proofs) = accounts(&all, height);
        let (mut peg, mut staking) = (proofs.pop().unwrap(), proofs.pop().unwrap());
        peg.storage.retain(|slot| wanted.contains(&slot.slot));
        staking.storage.retain(|slot| staked.contains(&slot.slot));
        (root, peg, staking)
    }

    fn epoch_after(&self, height: u64) -> u64 {
        self.states[height as usize].0.get(&layout::VALIDATOR_EPOCH).map_or(0, |epoch| epoch.to())
    }

    /// The sets after genesis's, from the state at the head.
    fn validator_sets(&self) -> Vec<SetEvidence> {
        let mut slots = self.slots.clone();
        let last = PegModule::epoch(&mut slots).unwrap() + 1;
        let set = |epoch| {
            let set = PegModule::validator_set_of(&mut slots.clone(), epoch).unwrap().unwrap();
            let handover = slots.get(&layout::validator_set(epoch, SetField::Handover)).copied().unwrap_or_default();
            let first = handover.as_limbs()[0];
            SetEvidence {
                epoch,
                commitment: set.commitment(),
                first_checkpoint: (first > 0).then_some(first),
                validators: set.validators().to_vec(),
            }
        };
        (1..=last).map(set).collect()
    }

    fn sidechain(&self) -> SidechainEvidence {
        let head = self.height() - 1;
        let recorded = self.slots.get(&layout::RECORDED_CHECKPOINT).map_or(0, |number| number.to::<u64>());
        let certified = (recorded > 0).then_some(recorded * INTERVAL);
        let mut proofs = Vec::new();
        for height in certified.into_iter().chain([head]) {
            let built = height.saturating_sub(1) / INTERVAL;
            let epoch = self.epoch_after(height);
            let slots = [
                layout::VERSION,
                layout::PARENT_CHAIN_ID,
                layout::VAULT,
                layout::REGISTRY,
                layout::CHECKPOINT_INTERVAL,
                layout::SUPPLY,
                layout::DEPOSIT_NONCE,
                layout::DEPOSIT_ACC,
                layout::WITHDRAWAL_COUNT,
                layout::LATEST_CHECKPOINT,
                layout::RECORDED_CHECKPOINT,
                layout::VALIDATOR_EPOCH,
                layout::ACKED_EPOCH,
                layout::validator_set(epoch, SetField::Commitment),
                layout::validator_set(epoch + 1, SetField::Commitment),
                layout::checkpoint(built, CheckpointField::Digest),
            ];
            let (peg, staking) = &self.states[height as usize];
            let (_, peg, staking) = self.state((peg, staking), &slots, height);
            proofs.extend([peg, staking]);
        }
        let mut heights: BTreeSet<u64> = (1..=head / INTERVAL).map(|number| number * INTERVAL).collect();
        heights.insert(head);
        for block in &self.blocks {
            heights.extend(block.number..=(block.number.div_ceil(INTERVAL) * INTERVAL).min(head));
        }
        SidechainEvidence {
            chain_id: self.genesis.spec.chain_id,
            head,
            headers: heights.iter().map(|height| alloy_rlp::encode(&self.headers[*height as usize]).into()).collect(),
            blocks: self.blocks.clone(),
            records: self.records.clone(),
            validator_sets: self.validator_sets(),
            proofs,
        }
    }

    fn parent(&self) -> ParentEvidence {
        let spec = self.genesis.spec.peg.as_ref().unwrap();
        let set = self.genesis.peg_validator_set().unwrap();
        let vault_code = vault_runtime_code(&VaultArgs { registry: spec.registry, claim_delay_s: 0 });
        let args = RegistryArgs { genesis_hash: self.genesis.hash, validators: set.clone(), vault: spec.vault };
        let registry_code = registry_runtime_code(&args);
        let (last, acc) = self.deposits.last().map_or((0, B256::ZERO), |d| (d.0.nonce, d.1));
        let (number, digest, packed) = self.accepted.last().map_or((0, B256::ZERO, U256::ZERO), |(c, digest)| {
            (c.number, *digest, U256::from_limbs([c.number, c.height, c.withdrawalCount, c.epoch]))
        });
        let vault_slots =
            Slots::from([(U256::ZERO, (self.locked << 64) | U256::from(last)), (U256::from(last + 1), acc.into())]);
        let mut registry_slots = Slots::from([(U256::ZERO, packed), (U256::ONE, digest.into())]);
        for (epoch, commitment) in &self.committed {
            let slot = keccak256((U256::from(*epoch), U256::from(2)).abi_encode());
            registry_slots.insert(slot.into(), (*commitment).into());
        }
        let committed =
            self.committed.iter().map(|(epoch, commitment)| CommittedSet { epoch: *epoch, commitment: *commitment });
        let balance = self.locked + U256::from(5);
        let (root, proofs) = accounts(
            &[
                (spec.vault, balance, keccak256(&vault_code), vault_slots),
                (spec.registry, U256::ZERO, keccak256(&registry_code), registry_slots),
            ],
            20,
        );
        let header = Header { number: 20, state_root: root, ..Header::default() };
        let mut logs = self.logs.clone();
        let commitment = set.commitment();
        let event = CheckpointRegistry::ValidatorSetCommitted { epoch: 0, commitment }.encode_log_data();
        let (topics, data) = event.split();
        let block_hash = keccak256(1u64.to_be_bytes());
        logs.push(LogEvidence { address: spec.registry, topics, data, height: 1, block_hash, log_index: 0 });
        ParentEvidence {
            chain_id: 31_337,
            finalized: ParentBlock {
                height: 20,
                hash: header.hash_slow(),
                state_root: root,
                header: Some(alloy_rlp::encode(&header).into()),
            },
            from: 0,
            logs,
            values: ParentValues {
                vault_balance: balance,
                locked: self.locked,
                deposit_nonce: last,
                deposit_acc: acc,
                claim_delay_s: 0,
                checkpoint: number,
                checkpoint_digest: digest,
                epoch: packed.as_limbs()[3],
                validator_sets: committed.collect(),
            },
            vault_code,
            registry_code,
            proofs,
        }
    }
}

fn peg_log<E: SolEvent>(event: &E) -> Log {
    Log { address: PEG, data: event.encode_log_data() }
}

fn receipt(ty: u8, logs: Vec<Log>) -> Bytes {
    let receipt = Receipt { status: true.into(), cumulative_gas_used: 21_000, logs };
    let mut out = vec![ty];
    ReceiptWithBloom { logs_bloom: receipt.bloom_slow(), receipt }.encode(&mut out);
    out.into()
}

/// The state root of accounts (address, balance, code hash, slots), and proofs of all their slots.
fn accounts(all: &[(Address, U256, B256, Slots)], height: u64) -> (B256, Vec<AccountEvidence>) {
    let mut leaves = BTreeMap::new();
    let mut evidence = Vec::new();
    for (address, balance, code_hash, slots) in all {
        let leaf = |value: &U256| (!value.is_zero()).then(|| alloy_rlp::encode(value));
        let entries = slots.iter().map(|(slot, value)| (keccak256(B256::from(*slot)), leaf(value))).collect();
        let (storage_root, mut proofs) = trie(&entries);
        let storage = slots.iter().map(|(slot, value)| SlotEvidence {
            slot: *slot,
            value: *value,
            proof: proofs.remove(&keccak256(B256::from(*slot))).unwrap(),
        });
        let account = AccountEvidence {
            height,
            address: *address,
            nonce: 1,
            balance: *balance,
            code_hash: *code_hash,
            storage_root,
            account_proof: Vec::new(),
            storage: storage.collect(),
        };
        let leaf = TrieAccount { nonce: 1, balance: *balance, storage_root, code_hash: *code_hash };
        leaves.insert(keccak256(address), Some(alloy_rlp::encode(leaf)));
        evidence.push(account);
    }
    let (root, mut proofs) = trie(&leaves);
    for account in &mut evidence {
        account.account_proof = proofs.remove(&keccak256(account.address)).unwrap();
    }
    (root, evidence)
}

/// Root of a trie, and a proof for every key, including those without a value.
fn trie(entries: &BTreeMap<B256, Option<Vec<u8>>>) -> (B256, BTreeMap<B256, Vec<Bytes>>) {
    let targets: Vec<Nibbles> = entries.keys().map(Nibbles::unpack).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::from_iter(targets));
    for (key, value) in entries {
        if let Some(value) = value {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes();
    let proof = |key: &B256| match root == EMPTY_ROOT_HASH {
        true => Vec::new(),
        false => nodes.matching_nodes_sorted(&Nibbles::unpack(key)).into_iter().map(|(_, node)| node).collect(),
    };
    (root, entries.keys().map(|key| (*key, proof(key))).collect())
}
