//! A parent chain in memory: one transaction per block, Prague rules, no fees.

use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use revm::{
    Context, DatabaseRef, ExecuteCommitEvm, MainBuilder, MainContext,
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};

#[derive(Clone)]
pub struct Chain {
    pub chain_id: u64,
    pub timestamp: u64,
    pub number: u64,
    db: CacheDB<EmptyDB>,
}

/// The result of a transaction.
#[derive(Debug)]
pub struct Outcome {
    pub gas: u64,
    result: Result<(Bytes, Vec<Log>), Bytes>,
    created: Option<Address>,
}

impl Outcome {
    pub fn ok(&self) -> bool {
        self.result.is_ok()
    }

    pub fn output(&self) -> &Bytes {
        &self.result.as_ref().expect("the transaction succeeded").0
    }

    pub fn logs(&self) -> &[Log] {
        &self.result.as_ref().expect("the transaction succeeded").1
    }

    pub fn created(&self) -> Address {
        assert!(self.ok(), "{self:?}");
        self.created.expect("a creation")
    }

    /// The only event of this kind.
    pub fn event<E: SolEvent>(&self) -> E {
        let found: Vec<E> = self.logs().iter().filter_map(|log| E::decode_log_data_validate(&log.data).ok()).collect();
        assert_eq!(found.len(), 1, "{self:?}");
        found.into_iter().next().expect("one event")
    }

    /// Asserts that the transaction reverted with exactly this error.
    #[track_caller]
    pub fn refused_with(&self, error: impl SolError) {
        let data = self.result.as_ref().expect_err("the transaction was to revert");
        assert_eq!(data, &Bytes::from(error.abi_encode()), "another error");
    }

    /// Asserts that the transaction reverted with this kind of error.
    #[track_caller]
    pub fn refused_as<E: SolError>(&self) {
        let data = self.result.as_ref().expect_err("the transaction was to revert");
        assert!(E::abi_decode_validate(data).is_ok(), "another error: {data}");
    }

    #[track_caller]
    pub fn refused(&self) {
        self.result.as_ref().expect_err("the transaction was to revert");
    }
}

impl Chain {
    pub fn new(chain_id: u64) -> Self {
        Self { chain_id, timestamp: 1_700_000_000, number: 1, db: CacheDB::new(EmptyDB::new()) }
    }

    pub fn fund(&mut self, account: Address, balance: U256) {
        let info = self.db.load_account(account).expect("memory").info.clone();
        self.db.insert_account_info(account, AccountInfo { balance, ..info });
    }

    pub fn set_code(&mut self, account: Address, code: Bytes) {
        let info = AccountInfo::default().with_code(Bytecode::new_raw(code));
        self.db.insert_account_info(account, info);
    }

    pub fn code(&self, account: Address) -> Bytes {
        let info = self.db.basic_ref(account).expect("memory").expect("the account exists");
        let code = match info.code {
            Some(code) => code,
            None => self.db.code_by_hash_ref(info.code_hash).expect("memory"),
        };
        code.original_bytes()
    }

    pub fn balance(&self, account: Address) -> U256 {
        self.db.basic_ref(account).expect("memory").map(|info| info.balance).unwrap_or_default()
    }

    pub fn nonce(&self, account: Address) -> u64 {
        self.db.basic_ref(account).expect("memory").map(|info| info.nonce).unwrap_or_default()
    }

    pub fn create(&mut self, from: Address, code: Bytes) -> Outcome {
        self.transact(from, TxKind::Create, code, U256::ZERO)
    }

    pub fn send<C: SolCall>(&mut self, from: Address, to: Address, value: U256, call: &C) -> Outcome {
        self.transact(from, TxKind::Call(to), call.abi_encode().into(), value)
    }

    pub fn transact(&mut self, from: Address, kind: TxKind, data: Bytes, value: U256) -> Outcome {
        let nonce = self.nonce(from);
        let (chain_id, number, timestamp) = (self.chain_id, self.number, self.timestamp);
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
                cfg.chain_id = chain_id;
            })
            .modify_block_chained(|block| {
                block.number = U256::from(number);
                block.timestamp = U256::from(timestamp);
                block.gas_limit = 1_000_000_000;
            })
            .build_mainnet();
        let tx = TxEnv {
            caller: from,
            gas_limit: 16_000_000,
            kind,
            value,
            data,
            nonce,
            chain_id: Some(chain_id),
            ..TxEnv::default()
        };
        let result = evm.transact_commit(tx).expect("a valid transaction");
        self.number += 1;
        self.timestamp += 12;
        let gas = result.tx_gas_used();
        match result {
            ExecutionResult::Success { logs, output, .. } => {
                Outcome { gas, created: output.address().copied(), result: Ok((output.into_data(), logs)) }
            }
            ExecutionResult::Revert { output, .. } => Outcome { gas, created: None, result: Err(output) },
            ExecutionResult::Halt { reason, .. } => panic!("the transaction halted: {reason:?}"),
        }
    }

    /// A read: its effects are dropped.
    pub fn view<C: SolCall>(&mut self, to: Address, call: &C) -> C::Return {
        let outcome = self.try_view(to, call);
        C::abi_decode_returns_validate(outcome.output()).expect("the ABI's return type")
    }

    pub fn try_view<C: SolCall>(&mut self, to: Address, call: &C) -> Outcome {
        let (db, number, timestamp) = (self.db.clone(), self.number, self.timestamp);
        let outcome = self.send(Address::repeat_byte(0x77), to, U256::ZERO, call);
        (self.db, self.number, self.timestamp) = (db, number, timestamp);
        outcome
    }
}

impl Chain {
    /// Adds coin without a call.
    pub fn fund_more(&mut self, account: Address, amount: U256) {
        let balance = self.balance(account) + amount;
        self.fund(account, balance);
    }
}
