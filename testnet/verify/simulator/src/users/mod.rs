//! Users and operators: they deposit, transfer, call, stake, exit, withdraw and claim during the whole run.
//!
//! They see what real users see: the durable blocks of a running node, and the parent. They send signed transactions to nodes,
//! send lost ones to another node, keep books of their coin, and compare. Their actions are drawn from one stream, so a seed
//! gives the same deeds; what they know decides what they can do.

mod actions;
mod books;
mod code;
mod intent;
mod parent_side;
mod stakers;
mod wallet;

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;
use causeway_execution::{Receipt, RecoveredTx, StateSource, Transaction};
use causeway_genesis::{AllocAccount, ChainSpec, addresses::PEG};
use causeway_peg::IPeg;
use causeway_storage::Storage;

use self::{books::Books, parent_side::ParentSide, wallet::Wallet};
use crate::{Coverage, Machine, Plan, Violation, checks::violation::BRIDGE, rng::Rng, setup, world::Scene};

/// Users beside the operators.
const USERS: usize = 6;
/// Coin that each user and operator has on a chain without a peg, and each user on the parent.
const COIN: u64 = 100;
/// Stake of each user at genesis, in tokens: together less than two validators.
const STAKE: u64 = 150;
/// Downtime window and jail time that end within the run of a churning chain.
const DOWNTIME_WINDOW: u64 = 12;
const JAIL_S: u64 = 4;

/// A transaction for the JSON-RPC of one machine.
#[derive(Debug)]
pub struct Submission {
    /// The machine.
    pub machine: usize,
    /// The transaction.
    pub transaction: Arc<RecoveredTx>,
}

/// All users and operators.
#[derive(Debug)]
pub struct Users {
    user_every_ms: u64,
    staking_every_ms: u64,
    next_user_ms: u64,
    next_staking_ms: u64,
    /// The users, then the operators.
    wallets: Vec<Wallet>,
    by_address: BTreeMap<Address, usize>,
    books: Books,
    parent: ParentSide,
    /// Whether the chain has to jail validators: only without Byzantine members, so that no honest power is lost.
    may_be_jailed: bool,
    /// The last block that they have read.
    height: u64,
}

/// An amount of whole coins.
fn coin(whole: u64) -> U256 {
    U256::from(whole) * U256::from(10).pow(U256::from(18))
}

impl Users {
    /// The users of a plan.
    pub fn new(plan: &Plan) -> Self {
        let keys = (0..USERS).map(setup::user).chain((0..plan.validators + plan.others).map(setup::operator));
        let wallets: Vec<Wallet> = keys.map(Wallet::new).collect();
        let first = |every_ms: u64| if every_ms == 0 { u64::MAX } else { 1 };
        let mut books = Books::default();
        for wallet in &wallets {
            // Also accounts without coin: they are known to have none.
            books.credit(wallet.address, if plan.pegged { U256::ZERO } else { coin(COIN) });
        }
        // The books do not follow operators for which strategies send transactions.
        let shared = plan.byzantine.iter().filter(|(_, kind)| kind.sends_transactions());
        for wallet in shared.filter_map(|(machine, _)| wallets.get(USERS + machine)) {
            books.share(wallet.address);
        }
        Self {
            user_every_ms: plan.churn.user_every_ms,
            staking_every_ms: plan.churn.staking_every_ms,
            next_user_ms: first(plan.churn.user_every_ms),
            next_staking_ms: first(plan.churn.staking_every_ms),
            by_address: wallets.iter().map(|wallet| wallet.address).zip(0..).collect(),
            wallets,
            books,
            parent: ParentSide::default(),
            may_be_jailed: plan.byzantine.is_empty() && plan.churn.staking_every_ms > 0,
            height: 0,
        }
    }

    /// Gives the users their coin at genesis.
    pub fn endow(&self, spec: &mut ChainSpec) {
        let pegged = spec.peg.is_some();
        for (place, wallet) in self.wallets.iter().enumerate() {
            if !pegged {
                let account = AllocAccount { balance: coin(COIN), ..AllocAccount::default() };
                spec.alloc.insert(wallet.address, account);
            }
            if place < USERS {
                spec.staking.alloc.insert(wallet.address, setup::stake(STAKE));
            }
        }
        if self.may_be_jailed {
            spec.staking.downtime_window = DOWNTIME_WINDOW;
            spec.staking.jail_seconds = JAIL_S;
        }
    }

    /// Their coin at the parent's genesis.
    pub fn parent_alloc(&self) -> Vec<(Address, U256)> {
        self.wallets[..USERS].iter().map(|wallet| (wallet.address, coin(10 * COIN))).collect()
    }

    /// Time of their next action, milliseconds since the world began; `None` when there is none.
    pub fn next_ms(&self) -> Option<u64> {
        Some(self.next_user_ms.min(self.next_staking_ms)).filter(|next| *next != u64::MAX)
    }

    /// Lets them act. Transactions for the parent go to `scene.parent` at once.
    ///
    /// # Errors
    /// I8 when a block or a balance does not follow from their own actions.
    pub fn act(&mut self, scene: &mut Scene<'_>, rng: &mut Rng) -> Result<Vec<Submission>, Violation> {
        self.look(scene)?;
        let mut sends = Vec::new();
        if let Some(parent) = scene.parent.as_deref_mut() {
            self.parent.look(parent).map_err(|fault| Violation::new(BRIDGE, self.height, fault))?;
        }
        if self.next_user_ms <= scene.now_ms {
            self.next_user_ms = scene.now_ms + rng.wait(self.user_every_ms);
            self.user_turn(scene, rng, &mut sends);
        }
        if self.next_staking_ms <= scene.now_ms {
            self.next_staking_ms = scene.now_ms + rng.wait(self.staking_every_ms);
            self.staker_turn(scene, rng, &mut sends);
        }
        for wallet in &mut self.wallets {
            let lost = wallet.lost(scene.now_ms);
            scene.coverage.add("submitted_again", lost.len() as u64);
            sends.extend(lost);
        }
        scene.coverage.add("submitted", sends.len() as u64);
        let up: Vec<usize> =
            scene.machines.iter().filter(|machine| machine.is_up()).map(|machine| machine.index).collect();
        if up.is_empty() {
            // No node accepts transactions; pending ones are sent again later.
            return Ok(Vec::new());
        }
        let given = |transaction| Submission { machine: *rng.pick(&up), transaction };
        Ok(sends.into_iter().map(given).collect())
    }

    /// Reads new blocks from the honest node with the highest head, and compares its balances with the books.
    fn look(&mut self, scene: &mut Scene<'_>) -> Result<(), Violation> {
        let honest = scene.machines.iter().filter(|machine| machine.honest);
        let Some(machine) = honest.max_by_key(|machine| machine.head()) else { return Ok(()) };
        let Some(storage) = machine.storage() else { return Ok(()) };
        let head = storage.head_number();
        if head <= self.height {
            return Ok(());
        }
        for height in self.height + 1..=head {
            let bad = |fault: String| Violation::new(BRIDGE, height, fault);
            self.read(storage, height, scene.coverage).map_err(bad)?;
            self.height = height;
        }
        self.compare(machine, storage, head)
    }

    /// Applies a block to the books.
    fn read(&mut self, storage: &Storage, height: u64, coverage: &mut Coverage) -> Result<(), String> {
        let missing = || format!("block {height} cannot be read");
        let block = storage.block(height).ok().flatten().ok_or_else(missing)?;
        let receipts = storage.receipts(height).ok().flatten().ok_or_else(missing)?;
        let senders = storage.senders(height).ok().flatten().ok_or_else(missing)?;
        for ((transaction, receipt), sender) in block.transactions.iter().zip(receipts.iter()).zip(senders) {
            let Transaction::Ethereum(transaction) = transaction else {
                self.credit_mints(receipt);
                continue;
            };
            if self.books.is_shared(sender) {
                self.credit_stranger(transaction, receipt);
                continue;
            }
            let Some(place) = self.by_address.get(&sender).copied() else {
                return Err(format!("{sender} sent {}: a key that nobody has", transaction.tx_hash()));
            };
            let included = self.wallets[place].included(transaction.tx_hash(), transaction.nonce());
            let Some(included) = included else {
                return Err(format!("{sender} never sent {} or saw it before", transaction.tx_hash()));
            };
            let effect = included.intent.settle(sender, included.value, receipt)?;
            self.books.settle(sender, included.value, &effect, receipt)?;
            coverage.hit("included");
            coverage.add("replaced", u64::from(included.replaced));
            coverage.add("reverted", u64::from(included.intent == intent::Intent::Fails));
            coverage.add("contract_deployed", u64::from(matches!(effect, intent::Effect::Deployed(..))));
            let by_contract = match &effect {
                intent::Effect::Burned(withdrawal) => withdrawal.sender != sender,
                intent::Effect::Paid(_) => matches!(included.intent, intent::Intent::Kept { .. }),
                _ => false,
            };
            coverage.add("module_called_by_contract", u64::from(by_contract));
        }
        Ok(())
    }

    /// A transaction of a Byzantine machine's operator: only its recipient is updated.
    fn credit_stranger(&mut self, transaction: &TxEnvelope, receipt: &Receipt) {
        if let Some(to) = transaction.to().filter(|_| receipt.status && receipt.logs.is_empty()) {
            self.books.credit(to, transaction.value());
        }
    }

    fn credit_mints(&mut self, receipt: &Receipt) {
        for log in receipt.logs.iter().filter(|log| log.address == PEG) {
            let minted = IPeg::DepositMinted::decode_raw_log_validate(log.data.topics(), &log.data.data);
            if let Ok(minted) = minted {
                self.books.credit(minted.recipient, minted.amount);
            }
        }
    }

    /// Compares the node's balances after the last block that was read.
    fn compare(&self, machine: &Machine, storage: &Storage, head: u64) -> Result<(), Violation> {
        let Ok(state) = storage.state_at(head) else { return Ok(()) };
        let balance = |account| state.account(account).ok().flatten().map_or(U256::ZERO, |account| account.balance);
        match self.books.differs(balance) {
            None => Ok(()),
            Some((account, kept, found)) => {
                let machine = machine.index;
                let text = format!("machine {machine} has {found} wei for {account}, by its own books it has {kept}");
                Err(Violation::new(BRIDGE, head, text))
            }
        }
    }
}

#[cfg(test)]
mod tests;
