//! Blocks of user transactions: what they do to balances, code, logs and fees.

use crate::support::{
    ETHER, TestChain,
    asm::{self, Asm},
    wallet,
};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_execution::{CallRequest, CallResult, StateSource};
use causeway_genesis::addresses::{BEACON_ROOTS, HISTORY_STORAGE, REWARD_POOL};

#[test]
fn an_empty_block_stores_the_parents_hash_and_certificate() {
    let mut chain = TestChain::standalone(0);
    let genesis_hash = chain.genesis.hash;
    let first = chain.push(Vec::new(), &[]);
    assert_eq!(first.block.header.parent_beacon_block_root, Some(B256::ZERO));
    assert_eq!(chain.state.slot(HISTORY_STORAGE, 0), U256::from_be_bytes(genesis_hash.0));

    let certificate = chain.head_certificate().unwrap();
    let second = chain.push(Vec::new(), &[]);
    assert_eq!(second.block.header.parent_beacon_block_root, Some(certificate.hash()));
    let timestamp = second.block.header.timestamp;
    assert_eq!(chain.state.slot(BEACON_ROOTS, timestamp % 8_191 + 8_191), U256::from_be_bytes(certificate.hash().0));
    assert_eq!(chain.state.slot(HISTORY_STORAGE, 1), U256::from_be_bytes(first.hash.0));
    assert!(second.receipts.is_empty());
    assert_eq!(second.block.header.gas_used, 0);
}

#[test]
fn a_transfer_moves_value_and_pays_base_fee_and_tip_into_the_pool() {
    let mut chain = TestChain::standalone(2);
    let (alice, bob) = (wallet::address(0), wallet::address(1));
    let before = chain.state.total_balance();
    let executed = chain.push_ok(&[wallet::transfer(0, 0, bob, 5 * ETHER)]);

    let base_fee = u128::from(executed.block.header.base_fee_per_gas.unwrap());
    let price = base_fee + wallet::TIP;
    let fee = U256::from(price) * U256::from(21_000);
    assert_eq!(chain.state.balance(bob), U256::from(1_005 * ETHER));
    assert_eq!(chain.state.balance(alice), U256::from(995 * ETHER) - fee);
    assert_eq!(chain.state.balance(REWARD_POOL), fee);
    assert_eq!(chain.state.balance(chain.proposer()), U256::ZERO, "the proposer is paid from the pool");
    assert_eq!(chain.state.total_balance(), before, "nothing is burned");

    let receipt = &executed.receipts[0];
    assert_eq!((receipt.tx_type, receipt.gas_used, receipt.effective_gas_price), (2, 21_000, price));
    assert_eq!(executed.senders, [alice]);
    assert_eq!(executed.block.header.beneficiary, chain.proposer());
}

#[test]
fn every_supported_transaction_type_executes() {
    let mut chain = TestChain::standalone(4);
    let to = Address::repeat_byte(0x77);
    let list = AccessList(vec![AccessListItem { address: to, storage_keys: vec![B256::ZERO] }]);
    let executed = chain.push_ok(&[
        wallet::legacy(0, 0, to, 1, Some(crate::support::CHAIN_ID)),
        wallet::legacy(0, 1, to, 1, None),
        wallet::eip2930(1, 0, to, Bytes::new(), list),
        wallet::transfer(2, 0, to, 1),
        wallet::eip7702(3, 0, to, vec![wallet::authorize(0, 2, to)], Bytes::new()),
    ]);
    let types: Vec<_> = executed.receipts.iter().map(|receipt| receipt.tx_type).collect();
    assert_eq!(types, [0, 0, 1, 2, 4]);
    // 2,400 an address and 1,900 a slot (EIP-2930).
    assert_eq!(executed.receipts[2].gas_used, 21_000 + 2_400 + 1_900);
}

#[test]
fn the_effective_price_never_exceeds_the_fee_cap() {
    let mut chain = TestChain::standalone(1);
    let base_fee = u128::from(chain.executor.next_base_fee(&chain.head).unwrap());
    let mut tx = wallet::eip1559(0, Address::ZERO.into(), U256::ZERO, Bytes::new(), 21_000);
    tx.max_fee_per_gas = base_fee + 5;
    tx.max_priority_fee_per_gas = base_fee;
    let executed = chain.push_ok(&[wallet::sign(0, tx)]);
    assert_eq!(executed.receipts[0].effective_gas_price, base_fee + 5);
}

/// Stores calldata's first word in slot 0, logs it and returns it.
fn storing_contract() -> Bytes {
    Asm::new()
        .push(0u64)
        .op(asm::CALLDATALOAD)
        .op(asm::DUP1)
        .push(0u64)
        .op(asm::SSTORE)
        .push(0u64)
        .op(asm::MSTORE)
        .push(0xabcdu64)
        .push(32u64)
        .push(0u64)
        .op(asm::LOG1)
        .push(32u64)
        .push(0u64)
        .op(asm::RETURN)
        .bytes()
}

#[test]
fn a_contract_is_deployed_called_and_logs() {
    let mut chain = TestChain::standalone(2);
    let runtime = storing_contract();
    let contract = wallet::address(0).create(0);
    let executed = chain.push_ok(&[wallet::create(0, 0, asm::deploy(&runtime))]);
    assert_eq!(executed.receipts[0].contract_address, Some(contract));
    assert_eq!(executed.diff.code.get(&keccak256(&runtime)), Some(&runtime));
    assert_eq!(chain.state.code(keccak256(&runtime)).unwrap(), runtime);

    let executed = chain
        .push_ok(&[wallet::call(0, 1, contract, 0, wallet::word(7)), wallet::call(1, 0, contract, 0, wallet::word(9))]);
    assert_eq!(chain.state.slot(contract, 0), U256::from(9));
    // Zero to nine in one step, whatever was between.
    assert_eq!(executed.diff.storage[&(contract, U256::ZERO)], (U256::ZERO, U256::from(9)));
    let log = &executed.receipts[1].logs[0];
    assert_eq!((log.address, log.topics()[0]), (contract, wallet::word(0xabcd)));
    assert_eq!(log.data.data.as_ref(), wallet::word(9).as_slice());
    assert_eq!(executed.block.header.logs_bloom, executed.receipts[0].bloom | executed.receipts[1].bloom);
    assert_eq!(executed.receipts[1].cumulative_gas_used, executed.receipts[0].gas_used + executed.receipts[1].gas_used);
    assert_eq!(executed.block.header.gas_used, executed.receipts[1].cumulative_gas_used);
}

#[test]
fn a_reverted_call_pays_gas_and_leaves_nothing_else() {
    let mut chain = TestChain::standalone(1);
    let runtime = Asm::new().push(1u64).push(0u64).op(asm::SSTORE).push(0u64).push(0u64).op(asm::REVERT).bytes();
    let contract = wallet::address(0).create(0);
    chain.push_ok(&[wallet::create(0, 0, asm::deploy(&runtime))]);
    let before = chain.state.balance(wallet::address(0));
    let executed = chain.push(Vec::new(), &[wallet::call(0, 1, contract, 3, Bytes::new())]);
    let receipt = &executed.receipts[0];
    assert!(!receipt.status && receipt.logs.is_empty());
    assert_eq!(chain.state.slot(contract, 0), U256::ZERO);
    assert_eq!(chain.state.balance(contract), U256::ZERO);
    let fee = U256::from(receipt.effective_gas_price) * U256::from(receipt.gas_used);
    assert_eq!(chain.state.balance(wallet::address(0)), before - fee);
}

#[test]
fn a_failed_creation_still_names_its_address() {
    let mut chain = TestChain::standalone(1);
    let executed = chain.push(Vec::new(), &[wallet::create(0, 0, Bytes::from_static(&[asm::INVALID]))]);
    assert!(!executed.receipts[0].status);
    assert_eq!(executed.receipts[0].contract_address, Some(wallet::address(0).create(0)));
    assert_eq!(executed.receipts[0].gas_used, 3_000_000);
}

#[test]
fn a_delegated_account_runs_the_delegates_code_on_its_own_storage() {
    let mut chain = TestChain::standalone(2);
    let contract = wallet::address(0).create(0);
    chain.push_ok(&[wallet::create(0, 0, asm::deploy(&storing_contract()))]);
    let bob = wallet::address(1);
    let input: Bytes = wallet::word(5).into();
    chain.push_ok(&[wallet::eip7702(0, 1, bob, vec![wallet::authorize(1, 0, contract)], input)]);
    assert_eq!(chain.state.slot(bob, 0), U256::from(5));
    assert_eq!(chain.state.slot(contract, 0), U256::ZERO);
    let account = chain.state.accounts[&bob];
    assert_eq!(account.nonce, 1, "the authorization used a nonce");
    assert_eq!(
        chain.state.code[&account.code_hash].as_ref(),
        [[0xef, 0x01, 0x00].as_slice(), contract.as_slice()].concat()
    );

    // A delegated account still sends transactions, and can undo the delegation.
    chain.push_ok(&[wallet::transfer(1, 1, Address::repeat_byte(0x55), 1)]);
    chain.push_ok(&[wallet::eip7702(0, 2, bob, vec![wallet::authorize(1, 2, Address::ZERO)], Bytes::new())]);
    assert!(!chain.state.accounts[&bob].has_code());
}

#[test]
fn a_contract_created_and_destroyed_in_one_transaction_leaves_no_account() {
    let mut chain = TestChain::standalone(1);
    let heir = Address::repeat_byte(0x99);
    // Init code that stores a slot and destroys the contract in favour of `heir`.
    let init = Asm::new().push(1u64).push(0u64).op(asm::SSTORE).push_address(heir).op(asm::SELFDESTRUCT).bytes();
    let mut tx = wallet::eip1559(0, alloy_primitives::TxKind::Create, U256::from(ETHER), init, 200_000);
    tx.nonce = 0;
    let contract = wallet::address(0).create(0);
    let executed = chain.push_ok(&[wallet::sign(0, tx), wallet::transfer(0, 1, contract, 3)]);
    assert_eq!(chain.state.balance(heir), U256::from(ETHER));
    assert!(!executed.diff.storage.keys().any(|(address, _)| *address == contract));
    // Sent to later in the block, the address is a plain account.
    assert_eq!(chain.state.accounts[&contract].nonce, 0);
    assert_eq!(chain.state.balance(contract), U256::from(3));
}

#[test]
fn touching_an_empty_account_does_not_create_it() {
    let mut chain = TestChain::standalone(1);
    let nobody = Address::repeat_byte(0x31);
    let executed = chain.push_ok(&[wallet::transfer(0, 0, nobody, 0)]);
    assert!(!executed.diff.accounts.contains_key(&nobody));
}

#[test]
fn a_slot_set_and_cleared_in_one_block_is_not_in_the_diff() {
    let mut chain = TestChain::standalone(1);
    let contract = wallet::address(0).create(0);
    chain.push_ok(&[wallet::create(0, 0, asm::deploy(&storing_contract()))]);
    let executed = chain
        .push_ok(&[wallet::call(0, 1, contract, 0, wallet::word(7)), wallet::call(0, 2, contract, 0, wallet::word(0))]);
    assert!(!executed.diff.storage.keys().any(|(address, _)| *address == contract));
    assert!(!executed.diff.accounts.contains_key(&contract));
}

#[test]
fn blockhash_reaches_the_parent_and_256_blocks_back() {
    let mut chain = TestChain::standalone(1);
    // Returns BLOCKHASH(calldata word).
    let runtime = Asm::new().push(0u64).op(asm::CALLDATALOAD).op(0x40).push(0u64).op(asm::SSTORE).bytes();
    let contract = wallet::address(0).create(0);
    let first = chain.push_ok(&[wallet::create(0, 0, asm::deploy(&runtime))]);
    chain.push_ok(&[wallet::call(0, 1, contract, 0, wallet::word(1))]);
    assert_eq!(chain.state.slot(contract, 0), U256::from_be_bytes(first.hash.0));
    chain.push_ok(&[wallet::call(0, 2, contract, 0, wallet::word(0))]);
    assert_eq!(chain.state.slot(contract, 0), U256::from_be_bytes(chain.genesis.hash.0));
}

#[test]
fn transactions_that_may_not_be_included_are_skipped_and_the_rest_is_built() {
    let mut chain = TestChain::standalone(3);
    let to = Address::repeat_byte(0x44);
    let good = wallet::transfer(1, 0, to, 1);
    let txs = [
        wallet::transfer(0, 5, to, 1),                              // nonce gap
        wallet::transfer(9, 0, to, 1),                              // no funds
        wallet::legacy(2, 0, to, 1, Some(77)),                      // another chain
        wallet::call_gas(2, 0, to, 0, Bytes::new(), 20_000),        // intrinsic gas
        wallet::call_gas(2, 0, to, 0, Bytes::new(), (1 << 24) + 1), // EIP-7825
        good.clone(),
    ];
    let executed = chain.push(Vec::new(), &txs);
    assert_eq!(executed.block.transactions.len(), 1);
    assert_eq!(executed.block.transactions[0].hash(), good.hash);
}

#[test]
fn a_block_keeps_to_its_gas_limit_and_byte_limit() {
    let chain = TestChain::standalone_with(8, |spec| spec.gas_limit = 5_000_000);
    let to = Address::repeat_byte(0x44);
    let big: Vec<_> = (0..8).map(|user| wallet::call_gas(user, 0, to, 0, Bytes::new(), 2_000_000)).collect();
    // Gas limits, not gas used, must fit: after one use of 21,000 a second 2M fits, and so on until 3M are left.
    let executed = chain.build(Vec::new(), &big);
    assert_eq!(executed.block.transactions.len(), 8);
    let mut attributes = chain.attributes();
    attributes.max_bytes = 1_024 + 300;
    let executed =
        chain.executor.build(&chain.head, &chain.state, attributes, Vec::new(), big.iter().cloned()).unwrap();
    assert_eq!(executed.block.transactions.len(), 2);
    assert!(executed.block.encode().len() <= 1_324);
}

#[test]
fn building_stops_when_told_to() {
    let chain = TestChain::standalone(3);
    let to = Address::repeat_byte(0x44);
    let txs: Vec<_> = (0..3).map(|user| wallet::transfer(user, 0, to, 1)).collect();
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    let attributes = causeway_execution::BuildAttributes { stop: Some(&stop), ..chain.attributes() };
    let executed = chain.executor.build(&chain.head, &chain.state, attributes, Vec::new(), txs.into_iter()).unwrap();
    assert_eq!(executed.block.transactions.len(), 2);
}

#[test]
fn calldata_pays_the_floor_and_the_pool_gets_it() {
    let mut chain = TestChain::standalone(1);
    let before = chain.state.balance(wallet::address(0));
    let data = vec![1u8; 1_000];
    let executed = chain.push_ok(&[wallet::call(0, 0, Address::repeat_byte(0x44), 0, data)]);
    // EIP-7623: 10 gas a token, 4 tokens a byte that is not zero.
    assert_eq!(executed.receipts[0].gas_used, 21_000 + 40_000);
    let fee = U256::from(executed.receipts[0].effective_gas_price) * U256::from(61_000);
    assert_eq!(chain.state.balance(wallet::address(0)), before - fee);
    assert_eq!(chain.state.balance(REWARD_POOL), fee);
}

#[test]
fn refunds_lower_the_fee_and_the_pools_share() {
    let mut chain = TestChain::standalone(1);
    let contract = wallet::address(0).create(0);
    chain.push_ok(&[wallet::create(0, 0, asm::deploy(&storing_contract()))]);
    chain.push_ok(&[wallet::call(0, 1, contract, 0, wallet::word(7))]);
    let (payer, pool) = (chain.state.balance(wallet::address(0)), chain.state.balance(REWARD_POOL));
    let executed = chain.push_ok(&[wallet::call(0, 2, contract, 0, wallet::word(0))]);
    let fee = U256::from(executed.receipts[0].effective_gas_price) * U256::from(executed.receipts[0].gas_used);
    assert_eq!(payer - chain.state.balance(wallet::address(0)), fee);
    assert_eq!(chain.state.balance(REWARD_POOL) - pool, fee);
    assert_eq!(chain.state.slot(contract, 0), U256::ZERO);
}

#[test]
fn osaka_rules_hold() {
    let mut chain = TestChain::standalone(1);
    // CLZ (EIP-7939) of 1 is 255.
    let clz = Asm::new().push(1u64).op(0x1e).push(0u64).op(asm::SSTORE).bytes();
    let contract = wallet::address(0).create(0);
    chain.push_ok(&[wallet::create(0, 0, asm::deploy(&clz)), wallet::call(0, 1, contract, 0, Bytes::new())]);
    assert_eq!(chain.state.slot(contract, 0), U256::from(255));
    // The P-256 precompile (EIP-7951) costs 6,900 even for a bad signature.
    let p256 = alloy_primitives::address!("0000000000000000000000000000000000000100");
    let request = CallRequest { to: Some(p256), ..CallRequest::default() };
    assert!(matches!(chain.call(&request), CallResult::Success { gas_used: 27_900, .. }));
}

#[test]
fn the_base_fee_follows_eip_1559() {
    let mut chain = TestChain::standalone(1);
    // Empty blocks lower it by an eighth.
    let executed = chain.push(Vec::new(), &[]);
    assert_eq!(executed.block.header.base_fee_per_gas, Some(875_000_000));
    let executed = chain.push(Vec::new(), &[]);
    assert_eq!(executed.block.header.base_fee_per_gas, Some(765_625_000));
}

#[test]
fn a_call_does_not_change_state_and_returns_the_output() {
    let mut chain = TestChain::standalone(1);
    let contract = wallet::address(0).create(0);
    chain.push_ok(&[wallet::create(0, 0, asm::deploy(&storing_contract()))]);
    let request = CallRequest { to: Some(contract), input: wallet::word(3).into(), ..CallRequest::default() };
    let CallResult::Success { output, logs, .. } = chain.call(&request) else { panic!("succeeds") };
    assert_eq!(output.as_ref(), wallet::word(3).as_slice());
    assert_eq!(logs.len(), 1);
    assert_eq!(chain.state.slot(contract, 0), U256::ZERO);
}
