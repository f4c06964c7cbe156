//! The sidechain's peg history, read from evidence and checked against the hashes and roots that cover it.

use crate::{
    bundle::{BlockEvidence, SidechainEvidence},
    proof,
    report::{Check, Object},
};
use alloy_consensus::{Header, Receipt, ReceiptWithBloom};
use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use alloy_sol_types::{SolEventInterface, SolInterface, SolValue};
use alloy_trie::root::ordered_trie_root_encoded;
use causeway_genesis::addresses::{PEG, STAKING};
use causeway_peg::{
    Deposit, IPeg, ParentView, Withdrawal,
    abi::SignatureAbi,
    deposit::EMPTY_DEPOSIT_ACC,
    layout::{self, CheckpointField, SetField},
};
use std::collections::BTreeMap;

/// EIP-2718 type of system transactions.
pub(crate) const SYSTEM_TX_TYPE: u8 = 0x7c;

const ENDPOINT: &str = "read the chain again from another sidechain endpoint; if it repeats, keep the bundle and stop \
                        using the peg";

/// A system transaction's fields, in RLP order after the type byte.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct SystemTx {
    pub(crate) block_number: u64,
    pub(crate) index: u32,
    pub(crate) to: Address,
    pub(crate) gas_limit: u64,
    pub(crate) input: Bytes,
}

impl SystemTx {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = vec![SYSTEM_TX_TYPE];
        alloy_rlp::Encodable::encode(self, &mut out);
        out.into()
    }

    /// The system transaction in an EIP-2718 encoding; `None` for users' transactions.
    pub(crate) fn decode(encoded: &[u8]) -> Option<Result<Self, alloy_rlp::Error>> {
        let (SYSTEM_TX_TYPE, mut rest) = encoded.split_first().map(|(ty, rest)| (*ty, rest))? else { return None };
        let tx = Self::decode_exact(&mut rest);
        Some(tx)
    }

    fn decode_exact(rest: &mut &[u8]) -> Result<Self, alloy_rlp::Error> {
        let tx = <Self as Decodable>::decode(rest)?;
        if rest.is_empty() { Ok(tx) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}

/// Number of the latest checkpoint in the state after block `height`: the block after a checkpoint height builds the
/// checkpoint.
pub(crate) fn built_at(height: u64, interval: u64) -> u64 {
    height.saturating_sub(1).checked_div(interval).unwrap_or_default()
}

/// The slots of the peg that an audit proves after block `height`, whose validator set is that of `epoch`.
pub(crate) fn audited_slots(height: u64, interval: u64, epoch: u64) -> Vec<U256> {
    vec![
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
        layout::validator_set(epoch.saturating_add(1), SetField::Commitment),
        layout::checkpoint(built_at(height, interval), CheckpointField::Digest),
    ]
}

/// Slots of the staking module's account that an audit shows. (A test checks them against genesis's state.)
pub(crate) mod staking_slots {
    use super::{B256, SolValue, U256, keccak256};
    /// Version of the layout; the other slots have their meaning only in version [`LAYOUT`].
    pub(crate) const VERSION: U256 = U256::ZERO;
    /// The version supported here.
    pub(crate) const LAYOUT: U256 = U256::ONE;
    /// Bonded stake, in the token's smallest unit.
    pub(crate) const BONDED: U256 = U256::from_limbs([3, 0, 0, 0]);
    /// Stake that is leaving and can still be slashed.
    pub(crate) const UNBONDING: U256 = U256::from_limbs([4, 0, 0, 0]);
    /// The slots that every proof contains.
    pub(crate) const ALWAYS: [U256; 3] = [VERSION, BONDED, UNBONDING];
    /// First height that the set of an epoch decides, in the low 64 bits. The peg has the set in force from the previous
    /// block on.
    pub(crate) fn epoch_start(epoch: u64) -> U256 {
        let key: B256 = keccak256((U256::from(epoch), U256::from(0x1000e)).abi_encode());
        key.into()
    }
}

/// A header and its hash.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) hash: B256,
    pub(crate) header: Header,
}

/// An `importDeposits` system transaction.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) block: u64,
    pub(crate) view: ParentView,
    pub(crate) signatures: Vec<SignatureAbi>,
    pub(crate) deposits: Vec<Deposit>,
}

/// A `DepositMinted` event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mint {
    pub(crate) block: u64,
    pub(crate) deposit: Deposit,
}

/// A `WithdrawalRequested` event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burn {
    pub(crate) block: u64,
    pub(crate) withdrawal: Withdrawal,
}

/// A `recordCheckpoint` system transaction.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) block: u64,
    pub(crate) number: u64,
    pub(crate) signatures: Vec<SignatureAbi>,
    /// Whether its whole block is in the evidence, which proves that the record is in the block.
    pub(crate) in_block: bool,
}

/// An `acknowledgeSet` system transaction.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) block: u64,
    pub(crate) epoch: u64,
    pub(crate) signatures: Vec<SignatureAbi>,
    /// The commitment in its event.
    pub(crate) event: Option<B256>,
}

/// The peg's history on the sidechain.
#[derive(Debug, Default)]
pub(crate) struct Sidechain {
    pub(crate) head: u64,
    pub(crate) headers: BTreeMap<u64, Sealed>,
    /// Heights of the blocks whose content is known.
    pub(crate) blocks: Vec<u64>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mints: Vec<Mint>,
    pub(crate) burns: Vec<Burn>,
    pub(crate) records: Vec<Record>,
    pub(crate) acknowledgements: Vec<Acknowledgement>,
    /// Digests of `CheckpointRecorded` events, by number.
    pub(crate) recorded_digests: BTreeMap<u64, B256>,
    /// The peg's proven slots, by height.
    pub(crate) slots: BTreeMap<u64, BTreeMap<U256, U256>>,
    /// The staking module's proven slots, by height.
    pub(crate) staking: BTreeMap<u64, BTreeMap<U256, U256>>,
}

impl Sidechain {
    /// Reads the evidence; data that does not match its hashes fails `check`.
    pub(crate) fn read(evidence: &SidechainEvidence, check: &mut Check) -> Self {
        let mut chain = Self { head: evidence.head, ..Self::default() };
        for raw in &evidence.headers {
            chain.read_header(raw, check);
        }
        if !chain.headers.contains_key(&chain.head) {
            check.fail(Object::Block(chain.head), "the head's header is missing", ENDPOINT);
        }
        let mut blocks: Vec<&BlockEvidence> = evidence.blocks.iter().collect();
        blocks.sort_by_key(|block| block.number);
        for pair in blocks.windows(2) {
            if pair[0].number == pair[1].number {
                check.fail(Object::Block(pair[0].number), "the block is listed twice", ENDPOINT);
            }
        }
        for block in blocks {
            chain.read_block(block, check);
        }
        for record in &evidence.records {
            match chain.read_system_call(record.number, &record.transaction, check) {
                Caller::Record => {
                    if let Some(recorded) = chain.records.last_mut() {
                        recorded.in_block = false;
                        chain.recorded_digests.insert(recorded.number, record.digest);
                    }
                }
                caller => {
                    // Any other transaction belongs to the evidence of a whole block.
                    match caller {
                        Caller::Import => drop(chain.imports.pop()),
                        Caller::Acknowledge => drop(chain.acknowledgements.pop()),
                        Caller::Record | Caller::User => {}
                    }
                    check.fail(Object::Block(record.number), "it has no valid checkpoint certificate", ENDPOINT);
                }
            }
        }
        chain.records.sort_by_key(|record| record.block);
        for account in &evidence.proofs {
            let object = Object::Block(account.height);
            let Some(sealed) = chain.headers.get(&account.height) else {
                check.fail(object, "there is a state proof, but not the block's header", ENDPOINT);
                continue;
            };
            let (what, proven) = match account.address {
                PEG => ("the peg's state", &mut chain.slots),
                STAKING => ("the staking module's state", &mut chain.staking),
                other => {
                    check.fail(
                        object,
                        format!("there is a state proof of {other}, which is neither the peg nor staking"),
                        ENDPOINT,
                    );
                    continue;
                }
            };
            match proof::verify(account, sealed.header.state_root) {
                Ok(slots) => proven.entry(account.height).or_default().extend(slots),
                Err(error) => check.fail(object, format!("{what}: {error}"), ENDPOINT),
            }
        }
        chain
    }

    fn read_header(&mut self, raw: &Bytes, check: &mut Check) {
        let mut rest = raw.as_ref();
        let header = match Header::decode(&mut rest) {
            Ok(header) if rest.is_empty() => header,
            _ => {
                check.fail(Object::Block(self.head), "a header does not decode", ENDPOINT);
                return;
            }
        };
        let (number, hash) = (header.number, keccak256(raw));
        if let Some(other) = self.headers.insert(number, Sealed { hash, header })
            && other.hash != hash
        {
            check.fail(Object::Block(number), format!("there are two headers: {} and {hash}", other.hash), ENDPOINT);
        }
    }

    fn read_block(&mut self, block: &BlockEvidence, check: &mut Check) {
        let object = Object::Block(block.number);
        let mut doubtful = false;
        self.blocks.push(block.number);
        match self.headers.get(&block.number) {
            None => check.fail(object, "the block's header is missing", ENDPOINT),
            Some(Sealed { header, .. }) => {
                if block.number > self.head {
                    check.fail(object, format!("the block is above the head {}", self.head), ENDPOINT);
                }
                let transactions = ordered_trie_root_encoded(&block.transactions);
                if transactions != header.transactions_root {
                    let reason = format!(
                        "its transactions give the root {transactions}, but its header has {}",
                        header.transactions_root
                    );
                    check.fail(object, reason, ENDPOINT);
                }
                let receipts = ordered_trie_root_encoded(&block.receipts);
                if receipts != header.receipts_root {
                    let reason =
                        format!("its receipts give the root {receipts}, but its header has {}", header.receipts_root);
                    check.fail(object, reason, ENDPOINT);
                    doubtful = true;
                }
            }
        }
        let (mints, burns) = (self.mints.len(), self.burns.len());
        if block.transactions.len() != block.receipts.len() {
            let (transactions, receipts) = (block.transactions.len(), block.receipts.len());
            check.fail(object, format!("it has {transactions} transactions, but {receipts} receipts"), ENDPOINT);
        }
        for (transaction, receipt) in block.transactions.iter().zip(&block.receipts) {
            let Some(receipt) = decode_receipt(receipt) else {
                check.fail(object, "a receipt does not decode", ENDPOINT);
                continue;
            };
            let call = self.read_system_call(block.number, transaction, check);
            for log in receipt.logs.iter().filter(|log| log.address == PEG) {
                self.read_event(block.number, log, call, check);
            }
        }
        if doubtful {
            let reason = format!("the block's receipts root does not cover its event in block {}", block.number);
            for mint in &self.mints[mints..] {
                check.fail(Object::Deposit(mint.deposit.nonce), reason.clone(), ENDPOINT);
            }
            for burn in &self.burns[burns..] {
                check.fail(Object::Withdrawal(burn.withdrawal.index), reason.clone(), ENDPOINT);
            }
        }
    }

    fn read_system_call(&mut self, block: u64, transaction: &Bytes, check: &mut Check) -> Caller {
        let tx = match SystemTx::decode(transaction) {
            None => return Caller::User,
            Some(Ok(tx)) => tx,
            Some(Err(error)) => {
                check.fail(Object::Block(block), format!("a system transaction does not decode: {error}"), ENDPOINT);
                return Caller::User;
            }
        };
        if tx.block_number != block {
            let reason = format!("it carries a system transaction of block {}", tx.block_number);
            check.fail(Object::Block(block), reason, ENDPOINT);
        }
        if tx.to != PEG {
            return Caller::User;
        }
        match IPeg::IPegCalls::abi_decode_validate(&tx.input) {
            Ok(IPeg::IPegCalls::importDeposits(call)) => {
                let IPeg::importDepositsCall { view_, signatures, deposits } = call;
                self.imports.push(Import { block, view: view_, signatures, deposits });
                Caller::Import
            }
            Ok(IPeg::IPegCalls::recordCheckpoint(call)) => {
                let IPeg::recordCheckpointCall { number, signatures } = call;
                self.records.push(Record { block, number, signatures, in_block: true });
                Caller::Record
            }
            Ok(IPeg::IPegCalls::acknowledgeSet(call)) => {
                let IPeg::acknowledgeSetCall { epoch, signatures } = call;
                self.acknowledgements.push(Acknowledgement { block, epoch, signatures, event: None });
                Caller::Acknowledge
            }
            _ => {
                check.fail(Object::Block(block), "a system transaction calls an unknown function of the peg", ENDPOINT);
                Caller::User
            }
        }
    }

    fn read_event(&mut self, block: u64, log: &Log, caller: Caller, check: &mut Check) {
        let Ok(event) = IPeg::IPegEvents::decode_raw_log(log.topics(), &log.data.data) else {
            check.fail(Object::Block(block), "an event of the peg does not decode", ENDPOINT);
            return;
        };
        match event {
            IPeg::IPegEvents::DepositMinted(event) => {
                let IPeg::DepositMinted { nonce, token, sender, recipient, amount } = event;
                if caller != Caller::Import {
                    let reason = format!("it was minted in block {block} outside an import");
                    check.fail(Object::Deposit(nonce), reason, ENDPOINT);
                }
                self.mints.push(Mint { block, deposit: Deposit { nonce, token, sender, recipient, amount } });
            }
            IPeg::IPegEvents::WithdrawalRequested(event) => {
                let IPeg::WithdrawalRequested { index, token, sender, recipient, amount, relayerFee } = event;
                let withdrawal = Withdrawal { index, token, sender, recipient, amount, relayerFee };
                self.burns.push(Burn { block, withdrawal });
            }
            IPeg::IPegEvents::CheckpointRecorded(event) => {
                if caller != Caller::Record {
                    let reason = format!("it was recorded in block {block} outside a system transaction");
                    check.fail(Object::Checkpoint(event.number), reason, ENDPOINT);
                }
                self.recorded_digests.insert(event.number, event.digest);
            }
            IPeg::IPegEvents::ValidatorSetAcknowledged(event) => match self.acknowledgements.last_mut() {
                Some(call) if caller == Caller::Acknowledge && call.epoch == event.epoch && call.event.is_none() => {
                    call.event = Some(event.commitment);
                }
                _ => {
                    let reason = format!("it was acknowledged in block {block} without a certificate");
                    check.fail(Object::ValidatorSet(event.epoch), reason, ENDPOINT);
                }
            },
            IPeg::IPegEvents::DepositsImported(_) => {}
        }
    }

    /// Follows the hashes of previous blocks from the checkpoint height at or above each block down to the block. Up to
    /// `certified` (the height of the latest certified checkpoint), a signature covers the block.
    pub(crate) fn check_links(&self, interval: u64, certified: u64, check: &mut Check) {
        let mut unlinked = 0u64;
        for number in &self.blocks {
            if *number > certified {
                unlinked = unlinked.saturating_add(1);
                continue;
            }
            let target = number.div_ceil(interval).saturating_mul(interval);
            let chain = (*number..=target).map(|height| self.headers.get(&height));
            let mut below: Option<&Sealed> = None;
            for (sealed, height) in chain.zip(*number..) {
                let Some(sealed) = sealed else {
                    let reason = format!("header {height}, which links it to a checkpoint, is missing");
                    check.fail(Object::Block(*number), reason, ENDPOINT);
                    break;
                };
                if below.is_some_and(|below| below.hash != sealed.header.parent_hash) {
                    let reason =
                        format!("it is not an ancestor of block {target}: header {height} has another previous block");
                    check.fail(Object::Block(*number), reason, ENDPOINT);
                    break;
                }
                below = Some(sealed);
            }
        }
        if unlinked > 0 {
            check.believe(format!("{unlinked} blocks after the latest certified checkpoint belong to the chain"));
        }
    }

    /// A slot of the peg after block `height`, when its proof verified.
    pub(crate) fn slot(&self, height: u64, slot: U256) -> Option<U256> {
        self.slots.get(&height)?.get(&slot).copied()
    }

    /// The first block whose state has the set of `epoch` in force, where the staking module's state is proven to say.
    pub(crate) fn rotation(&self, epoch: u64) -> Option<u64> {
        let slot = staking_slots::epoch_start(epoch);
        let known = |slots: &&BTreeMap<U256, U256>| slots.get(&staking_slots::VERSION) == Some(&staking_slots::LAYOUT);
        let starts = self.staking.values().filter(known).filter_map(|slots| slots.get(&slot));
        starts.filter_map(|packed| packed.as_limbs()[0].checked_sub(1)).next()
    }

    /// Nonce and accumulator of the last import at or below `height`.
    pub(crate) fn imported(&self, height: u64) -> (u64, B256) {
        let last = self.imports.iter().rev().find(|import| import.block <= height);
        last.map_or((0, EMPTY_DEPOSIT_ACC), |import| (import.view.depositNonce, import.view.depositAcc))
    }
}

/// The sender of a transaction with events of the peg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    User,
    Import,
    Record,
    Acknowledge,
}

fn decode_receipt(encoded: &[u8]) -> Option<Receipt> {
    let first = *encoded.first()?;
    // EIP-2718: a type byte is at most 0x7f, a legacy receipt starts with an RLP list.
    let mut rest = if first <= 0x7f { encoded.get(1..)? } else { encoded };
    let receipt = ReceiptWithBloom::<Receipt>::decode(&mut rest).ok()?;
    rest.is_empty().then_some(receipt.receipt)
}
