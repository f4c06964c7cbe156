//! Random programs over several transactions against revm's own one-transaction-at-a-time execution: the whole-block journal, the
//! diff and the fee rule must not change what contracts see.

use std::sync::Arc;

use crate::support::{
    TestChain,
    asm::{self, Asm},
    wallet,
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_execution::{ExecutedBlock, RecoveredTx};
use causeway_genesis::addresses::REWARD_POOL;
use proptest::prelude::*;
use revm::{
    Context, ExecuteCommitEvm, MainBuilder,
    context::{BlockEnv, CfgEnv, Journal, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    database::InMemoryDB,
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};

const USERS: u64 = 3;

/// Addresses programs talk to: users, a fixed stranger, and the contracts deployed by user 0.
fn peer(index: u8) -> Address {
    match index % 6 {
        0 => wallet::address(1),
        1 => Address::repeat_byte(0x5a),
        2 => wallet::address(0).create(0),
        3 => wallet::address(0).create(1),
        4 => Address::with_last_byte(4), // the identity precompile
        _ => mayfly(),
    }
}

/// Init code that stores a slot and then destroys the contract in favour of its creator, or stops.
fn init_code(destroy: bool) -> [u8; 7] {
    let tail = if destroy { [0x33, asm::SELFDESTRUCT] } else { [asm::STOP, asm::STOP] };
    [0x60, 7, 0x60, 1, asm::SSTORE, tail[0], tail[1]]
}

/// What the first contract creates with salt 0 and destroys at once, perhaps in several transactions of a block.
fn mayfly() -> Address {
    wallet::address(0).create(0).create2(B256::ZERO, keccak256(init_code(true)))
}

/// A statement that leaves the stack as it found it.
#[derive(Debug, Clone)]
enum Statement {
    Store {
        slot: u8,
        value: u8,
    },
    Copy {
        from: u8,
        to: u8,
    },
    Transient {
        slot: u8,
    },
    Call {
        kind: u8,
        peer: u8,
        value: u8,
        gas: u32,
    },
    Log {
        topic: u8,
    },
    BalanceToSlot {
        peer: u8,
        slot: u8,
    },
    CodeHashToSlot {
        peer: u8,
        slot: u8,
    },
    GasToSlot {
        slot: u8,
    },
    /// CREATE2 with init code that stores a slot and destroys itself, or stays empty.
    Create {
        salt: u8,
        destroy: bool,
        value: u8,
    },
    Destroy {
        heir: u8,
    },
    Revert,
    Invalid,
    Stop,
}

fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        4 => (0..4u8, 0..3u8).prop_map(|(slot, value)| Statement::Store { slot, value }),
        2 => (0..4u8, 0..4u8).prop_map(|(from, to)| Statement::Copy { from, to }),
        1 => (0..2u8).prop_map(|slot| Statement::Transient { slot }),
        4 => (0..4u8, any::<u8>(), 0..3u8, 0..80_000u32)
            .prop_map(|(kind, peer, value, gas)| Statement::Call { kind, peer, value, gas }),
        1 => any::<u8>().prop_map(|topic| Statement::Log { topic }),
        1 => (any::<u8>(), 0..4u8).prop_map(|(peer, slot)| Statement::BalanceToSlot { peer, slot }),
        1 => (any::<u8>(), 0..4u8).prop_map(|(peer, slot)| Statement::CodeHashToSlot { peer, slot }),
        1 => (0..4u8).prop_map(|slot| Statement::GasToSlot { slot }),
        2 => (0..2u8, any::<bool>(), 0..2u8)
            .prop_map(|(salt, destroy, value)| Statement::Create { salt, destroy, value }),
        1 => any::<u8>().prop_map(|heir| Statement::Destroy { heir }),
        1 => Just(Statement::Revert),
        1 => Just(Statement::Invalid),
        1 => Just(Statement::Stop),
    ]
}

const TSTORE: u8 = 0x5d;
const TLOAD: u8 = 0x5c;
const CREATE2: u8 = 0xf5;
const EXTCODEHASH: u8 = 0x3f;

fn assemble(statements: &[Statement]) -> Bytes {
    let mut code = Asm::new();
    for statement in statements {
        code = match statement {
            Statement::Store { slot, value } => code.push(u64::from(*value)).push(u64::from(*slot)).op(asm::SSTORE),
            Statement::Copy { from, to } => {
                code.push(u64::from(*from)).op(asm::SLOAD).push(1u64).op(asm::ADD).push(u64::from(*to)).op(asm::SSTORE)
            }
            Statement::Transient { slot } => code
                .push(u64::from(*slot))
                .op(TLOAD)
                .push(1u64)
                .op(asm::ADD)
                .op(asm::DUP1)
                .push(u64::from(*slot))
                .op(TSTORE)
                .push(3u64)
                .op(asm::SSTORE),
            Statement::Call { kind, peer: index, value, gas } => {
                let code = code.push(0u64).push(0u64).push(0u64).push(0u64);
                let (code, op) = match kind {
                    0 | 1 => (code.push(u64::from(*value)), asm::CALL),
                    2 => (code, asm::DELEGATECALL),
                    _ => (code, asm::STATICCALL),
                };
                code.push_address(peer(*index)).push(u64::from(*gas)).op(op).op(asm::POP)
            }
            Statement::Log { topic } => code.push(u64::from(*topic)).push(0u64).push(0u64).op(asm::LOG1),
            Statement::BalanceToSlot { peer: index, slot } => {
                code.push_address(peer(*index)).op(asm::BALANCE).push(u64::from(*slot)).op(asm::SSTORE)
            }
            Statement::CodeHashToSlot { peer: index, slot } => {
                code.push_address(peer(*index)).op(EXTCODEHASH).push(u64::from(*slot)).op(asm::SSTORE)
            }
            Statement::GasToSlot { slot } => code.op(asm::GAS).push(u64::from(*slot)).op(asm::SSTORE),
            Statement::Create { salt, destroy, value } => {
                let mut word = [0u8; 32];
                word[..7].copy_from_slice(&init_code(*destroy));
                code.push(U256::from_be_bytes(word))
                    .push(0u64)
                    .op(asm::MSTORE)
                    .push(u64::from(*salt))
                    .push(7u64)
                    .push(0u64)
                    .push(u64::from(*value))
                    .op(CREATE2)
                    .op(asm::POP)
            }
            Statement::Destroy { heir } => code.push_address(peer(*heir)).op(asm::SELFDESTRUCT),
            Statement::Revert => code.push(0u64).push(0u64).op(asm::REVERT),
            Statement::Invalid => code.op(asm::INVALID),
            Statement::Stop => code.op(asm::STOP),
        };
    }
    code.bytes()
}

/// The chain's state in revm's own database.
fn oracle_db(chain: &TestChain) -> InMemoryDB {
    let mut db = InMemoryDB::default();
    for (address, account) in &chain.state.accounts {
        let code = account.has_code().then(|| Bytecode::new_raw(chain.state.code[&account.code_hash].clone()));
        let info = AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: Some(code.unwrap_or_default()),
        };
        db.insert_account_info(*address, info);
    }
    for ((address, slot), value) in &chain.state.storage {
        db.insert_account_storage(*address, *slot, *value).unwrap();
    }
    db
}

/// Executes the block's transactions with revm's mainnet handler, one by one, and compares all that both know.
fn compare(before: InMemoryDB, chain: &TestChain, executed: &ExecutedBlock, txs: &[Arc<RecoveredTx>]) {
    let header = &executed.block.header;
    let base_fee = header.base_fee_per_gas.unwrap();
    let mut cfg = CfgEnv::new_with_spec(SpecId::OSAKA);
    cfg.chain_id = crate::support::CHAIN_ID;
    let block = BlockEnv {
        number: U256::from(header.number),
        // The oracle pays tips to its beneficiary; base fees are added below.
        beneficiary: REWARD_POOL,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: base_fee,
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
        slot_num: 0,
    };
    let mut evm = Context::<BlockEnv, TxEnv, CfgEnv, InMemoryDB, Journal<InMemoryDB>, ()>::new(before, SpecId::OSAKA)
        .with_block(block)
        .with_cfg(cfg)
        .build_mainnet();
    let mut burned = U256::ZERO;
    for (tx, receipt) in txs.iter().zip(&executed.receipts) {
        let env = TxEnv {
            tx_type: 2,
            caller: tx.sender,
            gas_limit: tx.tx.gas_limit(),
            gas_price: tx.tx.max_fee_per_gas(),
            gas_priority_fee: tx.tx.max_priority_fee_per_gas(),
            kind: tx.tx.kind(),
            value: tx.tx.value(),
            data: tx.tx.input().clone(),
            nonce: tx.tx.nonce(),
            chain_id: tx.tx.chain_id(),
            ..TxEnv::default()
        };
        let result = evm.transact_commit(env).unwrap();
        assert_eq!(result.is_success(), receipt.status);
        assert_eq!(result.tx_gas_used(), receipt.gas_used);
        assert_eq!(result.logs(), receipt.logs);
        burned += U256::from(base_fee) * U256::from(receipt.gas_used);
    }
    let cache = &evm.ctx.journaled_state.database.cache;
    for (address, account) in &cache.accounts {
        let ours = chain.state.accounts.get(address);
        let mut balance = account.info.balance;
        if *address == REWARD_POOL {
            balance += burned;
        }
        assert_eq!(ours.map_or(U256::ZERO, |ours| ours.balance), balance, "balance of {address}");
        assert_eq!(ours.map_or(0, |ours| ours.nonce), account.info.nonce, "nonce of {address}");
        if let Some(ours) = ours {
            assert_eq!(ours.code_hash, account.info.code_hash, "code of {address}");
        }
        for (slot, value) in &account.storage {
            // The hooks of the block are not the oracle's.
            if [causeway_genesis::addresses::HISTORY_STORAGE, causeway_genesis::addresses::BEACON_ROOTS]
                .contains(address)
            {
                continue;
            }
            let ours = chain.state.storage.get(&(*address, *slot)).copied().unwrap_or_default();
            assert_eq!(ours, *value, "slot {slot} of {address}");
        }
    }
}

#[derive(Debug, Clone)]
struct Scenario {
    programs: [Vec<Statement>; 3],
    calls: Vec<(u64, u8, u8, u32)>,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let program = || prop::collection::vec(statement(), 1..8);
    let call = (0..USERS, 0..4u8, 0..3u8, 40_000..600_000u32);
    ([program(), program(), program()], prop::collection::vec(call, 1..7))
        .prop_map(|(programs, calls)| Scenario { programs, calls })
}

#[test]
fn coin_paid_to_a_contract_destroyed_in_its_own_transaction_is_gone() {
    let program = [
        Statement::Create { salt: 0, destroy: true, value: 0 },
        Statement::Call { kind: 0, peer: 5, value: 1, gas: 0 },
    ];
    let mut chain = TestChain::standalone(USERS);
    let (before, coin) = (oracle_db(&chain), chain.state.total_balance());
    let txs = [
        wallet::create(0, 0, asm::deploy(&assemble(&program))),
        wallet::call_gas(0, 1, wallet::address(0).create(0), 1, Bytes::new(), 90_000),
    ];
    let executed = chain.push_any(Vec::new(), &txs);
    compare(before, &chain, &executed, &txs);
    assert_eq!(chain.state.total_balance(), coin - U256::ONE);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_block_does_what_its_transactions_do_one_by_one(scenario in scenario()) {
        let mut chain = TestChain::standalone(USERS);
        let deploys: Vec<_> = (0u64..)
            .zip(&scenario.programs)
            .map(|(nonce, program)| wallet::create(0, nonce, asm::deploy(&assemble(program))))
            .collect();
        let before = oracle_db(&chain);
        let mut nonces = [3u64, 0, 0];
        let mut txs = deploys;
        for (user, contract, value, gas) in &scenario.calls {
            let nonce = &mut nonces[usize::try_from(*user).unwrap()];
            let to = if *contract < 3 { wallet::address(0).create(u64::from(*contract)) } else { mayfly() };
            txs.push(wallet::call_gas(*user, *nonce, to, u128::from(*value), Bytes::new(), u64::from(*gas)));
            *nonce += 1;
        }
        let executed = chain.push_any(Vec::new(), &txs);
        prop_assert_eq!(executed.receipts.len(), txs.len());
        compare(before, &chain, &executed, &txs);
    }
}
