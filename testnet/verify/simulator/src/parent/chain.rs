//! One branch of the parent: blocks, their effects, and the transaction pool.
//!
//! Blocks are really executed. Their headers are synthetic: roots are empty, and the hash distinguishes branches by a
//! salt in the extra data. The parent's own consensus is not tested here.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Header;
use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use causeway_contracts::{RegistryArgs, VaultArgs, registry_deploy_code, vault_deploy_code};

use super::{
    calls::Calls,
    evm::{self, Call, End, Env},
    ledger::Ledger,
    plan::{ParentPlan, PegDeployment},
    pool::{ParentTx, Payer, Pool, PoolError},
    state::State,
};

/// A block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) height: u64,
    pub(super) hash: B256,
    pub(super) parent_hash: B256,
    pub(super) timestamp: u64,
    pub(super) base_fee: u64,
    pub(super) gas_used: u64,
    pub(super) transactions: Vec<B256>,
    /// The final block at the time when this block was the head.
    pub(super) finalized: u64,
    /// Its time, ms of simulated time.
    pub(super) slot_ms: u64,
    /// Base fee as the rule has it, without a spike.
    calm_base_fee: u64,
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) tx: Arc<ParentTx>,
    pub(super) height: u64,
    pub(super) success: bool,
    pub(super) gas_used: u64,
    pub(super) contract: Option<Address>,
    pub(super) logs: Vec<Log>,
    /// Place of its first log among the block's.
    pub(super) first_log: u64,
}

/// An event with its position on the chain.
#[derive(Clone, Debug)]
pub(super) struct PlacedLog {
    pub(super) log: Log,
    pub(super) height: u64,
    pub(super) index: u64,
    pub(super) transaction: B256,
}

/// Present conditions of block building.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// The base fee is this many times what the rule says.
    pub(super) fee_factor: u64,
    /// Nothing more becomes final.
    pub(super) finality_stalled: bool,
}

/// One branch.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) plan: Arc<ParentPlan>,
    /// Distinguishes this branch's blocks from another's at the same height.
    pub(super) salt: u64,
    /// By height, without gaps.
    pub(super) blocks: Vec<Block>,
    pub(super) state: State,
    pub(super) pool: Pool,
    pub(super) receipts: BTreeMap<B256, Receipt>,
    pub(super) logs: Vec<PlacedLog>,
    pub(super) ledger: Ledger,
    calls: Calls,
}

impl Chain {
    /// Block 0 with the funded accounts, and block 1 with the peg's contracts.
    pub(super) fn new(
        plan: Arc<ParentPlan>,
        salt: u64,
        alloc: &[(Address, U256)],
        peg: Option<&PegDeployment>,
    ) -> Self {
        let mut chain = Self {
            salt,
            blocks: Vec::new(),
            state: State::default(),
            pool: Pool::default(),
            receipts: BTreeMap::new(),
            logs: Vec::new(),
            ledger: Ledger::default(),
            calls: Calls::default(),
            plan,
        };
        for (account, balance) in alloc {
            chain.state.fund(0, *account, *balance);
        }
        let calm = Weather { fee_factor: 1, finality_stalled: false };
        chain.make_block(0, calm, Vec::new());
        let deployments = peg.map(|peg| chain.deployments(peg)).unwrap_or_default();
        chain.make_block(0, calm, deployments);
        // The contracts are long final when the sidechain starts.
        chain.blocks[1].finalized = 1;
        if let Some(peg) = peg {
            let (registry, vault) = peg.addresses();
            chain.ledger.follow(registry, vault);
            for contract in [registry, vault] {
                let code = chain.state.account(contract, 1).and_then(|info| info.code);
                assert!(code.is_some_and(|code| !code.is_empty()), "the peg's contracts are deployed");
            }
        }
        chain
    }

    fn deployments(&mut self, peg: &PegDeployment) -> Vec<ParentTx> {
        let (registry, vault) = peg.addresses();
        let args = RegistryArgs { genesis_hash: peg.genesis_hash, validators: peg.validators.clone(), vault };
        let registry_code = registry_deploy_code(&args);
        let vault_code = vault_deploy_code(&VaultArgs { registry, claim_delay_s: peg.claim_delay_s });
        self.state.set_nonce(0, peg.deployer, peg.deployer_nonce);
        let codes = [registry_code, vault_code].into_iter().zip(peg.deployer_nonce..);
        codes.map(|(code, nonce)| self.unsigned(peg.deployer, nonce, TxKind::Create, U256::ZERO, code)).collect()
    }

    /// An unsigned transaction that is forced into the next block; its sender gets the coin for it.
    pub(super) fn unsigned(&mut self, sender: Address, nonce: u64, to: TxKind, value: U256, input: Bytes) -> ParentTx {
        let gas_limit = self.plan.gas_limit / 4;
        let max_fee = u128::from(self.plan.base_fee).saturating_mul(1_000_000);
        let height = self.blocks.len().saturating_sub(1);
        self.state.fund(height as u64, sender, U256::from(u128::MAX) + value);
        let hash = keccak256([sender.as_slice(), &nonce.to_be_bytes(), &self.salt.to_be_bytes()].concat());
        ParentTx { hash, sender, nonce, gas_limit, max_fee, tip: 0, to, value, input }
    }

    pub(super) fn head(&self) -> &Block {
        self.blocks.last().expect("block 0 is never undone")
    }

    pub(super) fn finalized(&self) -> u64 {
        self.head().finalized
    }

    pub(super) fn block(&self, height: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(height).ok()?)
    }

    pub(super) fn receipt(&self, hash: &B256) -> Option<&Receipt> {
        self.receipts.get(hash)
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Events of blocks `from..=to`, in chain order.
    pub(super) fn logs(&self, from: u64, to: u64) -> &[PlacedLog] {
        let first = self.logs.partition_point(|placed| placed.height < from);
        let end = self.logs.partition_point(|placed| placed.height <= to);
        self.logs.get(first..end).unwrap_or_default()
    }

    pub(super) fn payer(&self, account: Address) -> Payer {
        let info = self.state.account(account, self.head().height).unwrap_or_default();
        Payer { nonce: info.nonce, balance: info.balance }
    }

    /// Runs a call at the end of a block.
    ///
    /// # Errors
    /// The reason why it could not run.
    pub(super) fn call(&self, height: u64, call: &Call) -> Result<End, String> {
        let block = self.block(height).ok_or("header not found")?;
        if height < self.state.floor() {
            return Err(format!("historical state of block {height} is not available"));
        }
        let run = || evm::call(&self.state, &self.env_of(block), call, self.plan.gas_limit).map(|outcome| outcome.end);
        self.calls.get(block.hash, call, run)
    }

    /// Gas for a call after the block at `height`.
    ///
    /// # Errors
    /// Its outcome, if it fails.
    pub(super) fn estimate(&self, height: u64, call: &Call) -> Result<u64, End> {
        let block = self.block(height).ok_or_else(|| End::Halt("header not found".to_owned()))?;
        evm::estimate(&self.state, &self.env_of(block), call)
    }

    /// Adds a transaction to the pool; `None` for one that gets stuck there.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(super) fn offer(&mut self, tx: Arc<ParentTx>, from_ms: Option<u64>) -> Result<(), PoolError> {
        let payer = self.payer(tx.sender);
        self.pool.add(tx, payer, self.plan.gas_limit, from_ms)
    }

    pub(super) fn release(&mut self, now_ms: u64) {
        self.pool.release(now_ms);
    }

    /// Makes the next block from the pool, after `forced`.
    pub(super) fn make_block(&mut self, slot_ms: u64, weather: Weather, forced: Vec<ParentTx>) {
        let height = self.blocks.len() as u64;
        let (parent_hash, calm_base_fee, finalized) = match self.blocks.last() {
            Some(parent) => {
                let limit = self.plan.gas_limit;
                let params = BaseFeeParams::ethereum();
                let fee = calc_next_block_base_fee(parent.gas_used, limit, parent.calm_base_fee, params);
                (parent.hash, fee.max(self.plan.base_fee), self.finalized_by(height, parent.finalized, weather))
            }
            None => (B256::ZERO, self.plan.base_fee, 0),
        };
        let base_fee = calm_base_fee.saturating_mul(weather.fee_factor.max(1));
        let timestamp = self.plan.start_unix_s.saturating_add(slot_ms / 1_000);
        let env = Env {
            chain_id: self.plan.chain_id,
            number: height,
            timestamp,
            base_fee,
            gas_limit: self.plan.gas_limit,
            parent_hash,
        };
        let (transactions, gas_used) = self.execute(&env, slot_ms, forced);
        let content = if transactions.is_empty() {
            B256::ZERO
        } else {
            keccak256(transactions.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())
        };
        let header = Header {
            parent_hash,
            number: height,
            timestamp,
            base_fee_per_gas: Some(base_fee),
            gas_limit: self.plan.gas_limit,
            gas_used,
            transactions_root: content,
            extra_data: self.salt.to_be_bytes().into(),
            ..Header::default()
        };
        self.blocks.push(Block {
            height,
            hash: header.hash_slow(),
            parent_hash,
            timestamp,
            base_fee,
            gas_used,
            transactions,
            finalized,
            slot_ms,
            calm_base_fee,
        });
        self.state.settle(finalized, finalized.saturating_sub(self.plan.state_blocks));
        let state = &self.state;
        self.pool.prune(|account| state.account(account, height).map_or(0, |info| info.nonce));
    }

    /// The final block when `head` is the head.
    fn finalized_by(&self, head: u64, before: u64, weather: Weather) -> u64 {
        if weather.finality_stalled {
            return before;
        }
        let deep = head.saturating_sub(self.plan.finality_blocks);
        before.max(deep - deep % self.plan.finality_step.max(1))
    }

    fn execute(&mut self, env: &Env, slot_ms: u64, forced: Vec<ParentTx>) -> (Vec<B256>, u64) {
        let mut transactions = Vec::new();
        let (mut gas_used, mut log_count) = (0u64, 0u64);
        let mut forced = forced.into_iter().map(Arc::new);
        loop {
            let state = &self.state;
            let next_nonce = |account| state.account(account, env.number).map_or(0, |info| info.nonce);
            let room = env.gas_limit.saturating_sub(gas_used);
            let Some(tx) = forced.next().or_else(|| self.pool.best(slot_ms, env.base_fee, room, next_nonce)) else {
                return (transactions, gas_used);
            };
            self.pool.remove(&tx);
            // Transactions whose sender can no longer pay are dropped, as in real pools.
            let Ok(outcome) = evm::transact(&self.state, env, tx.env(env.chain_id)) else { continue };
            let (success, logs, contract) = match outcome.end {
                End::Success { logs, created, .. } => (true, logs, created),
                End::Revert(_) | End::Halt(_) => (false, Vec::new(), None),
            };
            self.state.apply(env.number, outcome.changes);
            let first_log = log_count;
            for log in &logs {
                self.ledger.record(env.number, tx.hash, log);
                let placed = PlacedLog { log: log.clone(), height: env.number, index: log_count, transaction: tx.hash };
                self.logs.push(placed);
                log_count += 1;
            }
            gas_used += outcome.gas_used;
            transactions.push(tx.hash);
            let gas_used = outcome.gas_used;
            let receipt = Receipt { height: env.number, success, gas_used, contract, logs, first_log, tx };
            self.receipts.insert(receipt.tx.hash, receipt);
        }
    }

    fn env_of(&self, block: &Block) -> Env {
        Env {
            chain_id: self.plan.chain_id,
            number: block.height,
            timestamp: block.timestamp,
            base_fee: block.base_fee,
            gas_limit: self.plan.gas_limit,
            parent_hash: block.parent_hash,
        }
    }
}
