//! A positive and a negative test for each rule of admission.

use std::sync::Arc;

use crate::support::{
    BLOCK_GAS, CHAIN_ID, account, config, legacy, paying, pool, recovered, rich, rules, sender, signed, transfer,
};
use alloy_consensus::{Signed, TxEip1559, TxEip4844, TxEip7702, TxEnvelope};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_execution::{RecoveredTx, TransactionLimits};
use causeway_mempool::{AccountCode, AccountView, Mempool, PoolConfig, PoolError};

fn refusal(pool: &mut Mempool, tx: Arc<RecoveredTx>, account: &AccountView) -> String {
    pool.add(tx, account, 7, 0, true).unwrap_err().to_string()
}

fn admits(pool: &mut Mempool, tx: Arc<RecoveredTx>, account: &AccountView) -> bool {
    pool.add(tx, account, 7, 0, true).unwrap().pending
}

fn me() -> Address {
    sender(1)
}

#[test]
fn known_transaction_is_refused() {
    let mut pool = pool();
    let tx = signed(transfer(0), me());
    assert!(admits(&mut pool, tx.clone(), &rich()));
    assert_eq!(refusal(&mut pool, tx, &rich()), "already known");
}

#[test]
fn blob_transaction_is_refused() {
    let tx = TxEip4844 { chain_id: CHAIN_ID, gas_limit: 21_000, ..TxEip4844::default() };
    let tx = TxEnvelope::Eip4844(Signed::new_unchecked(tx.into(), Signature::test_signature(), keccak256(b"blob")));
    assert_eq!(
        refusal(&mut pool(), recovered(tx, me()), &rich()),
        "transaction type not supported: tx type 3 not supported by this pool"
    );
}

#[test]
fn oversized_transaction_is_refused() {
    let with_data = |length: usize| TxEip1559 { input: vec![0; length].into(), gas_limit: 9_000_000, ..transfer(0) };
    let fits = signed(with_data(100_000), me());
    let mut rules = rules();
    rules.transaction.max_bytes = fits.size as u64;
    let text = refusal(&mut Mempool::new(config(), &rules), signed(with_data(100_001), me()), &rich());
    assert_eq!(text, format!("oversized data: transaction size {}, limit {}", fits.size + 1, fits.size));
    assert!(admits(&mut Mempool::new(config(), &rules), fits, &rich()));
}

#[test]
fn transaction_for_another_chain_is_refused() {
    let tx = TxEip1559 { chain_id: 1, ..transfer(0) };
    assert_eq!(
        refusal(&mut pool(), signed(tx, me()), &rich()),
        "invalid sender: invalid chain id for signer: have 1 want 777"
    );
}

#[test]
fn unprotected_transaction_is_refused_from_users_only() {
    let tx = legacy(0, 100, None, me());
    assert_eq!(
        refusal(&mut pool(), tx.clone(), &rich()),
        "only replay-protected (EIP-155) transactions allowed over RPC"
    );
    assert!(pool().add(tx.clone(), &rich(), 7, 0, false).unwrap().pending);
    let mut lenient = Mempool::new(PoolConfig { allow_unprotected: true, ..config() }, &rules());
    assert!(admits(&mut lenient, tx, &rich()));
}

#[test]
fn init_code_above_its_limit_is_refused() {
    let create = |length: usize| {
        let input = Bytes::from(vec![0; length]);
        signed(TxEip1559 { to: TxKind::Create, input, gas_limit: 5_000_000, ..transfer(0) }, me())
    };
    assert!(admits(&mut pool(), create(49_152), &rich()));
    assert_eq!(
        refusal(&mut pool(), create(49_153), &rich()),
        "max initcode size exceeded: code size 49153, limit 49152"
    );
}

#[test]
fn gas_limits_are_capped() {
    let with_gas = |gas_limit: u64| signed(TxEip1559 { gas_limit, ..transfer(0) }, me());
    assert!(admits(&mut pool(), with_gas(BLOCK_GAS), &rich()));
    assert_eq!(refusal(&mut pool(), with_gas(BLOCK_GAS + 1), &rich()), "exceeds block gas limit");
    let mut rules = rules();
    rules.block.gas_limit = 100_000_000;
    let mut large_blocks = Mempool::new(config(), &rules);
    assert_eq!(
        refusal(&mut large_blocks, with_gas((1 << 24) + 1), &rich()),
        "transaction gas limit too high (cap: 16777216, tx: 16777217)"
    );
    assert!(admits(&mut large_blocks, with_gas(1 << 24), &rich()));
}

#[test]
fn tip_above_the_fee_cap_is_refused() {
    assert!(admits(&mut pool(), paying(me(), 0, 100, 100), &rich()));
    assert_eq!(
        refusal(&mut pool(), paying(me(), 0, 100, 101), &rich()),
        "max priority fee per gas higher than max fee per gas"
    );
}

#[test]
fn nonces_are_bounded() {
    assert_eq!(refusal(&mut pool(), signed(transfer(u64::MAX), me()), &rich()), "nonce has max value");
    let used = account(5, u64::MAX);
    assert_eq!(refusal(&mut pool(), signed(transfer(4), me()), &used), "nonce too low: next nonce 5, tx nonce 4");
    assert!(admits(&mut pool(), signed(transfer(5), me()), &used));
    let last = account(u64::MAX - 1, u64::MAX);
    let mut pool = pool();
    assert!(admits(&mut pool, signed(transfer(u64::MAX - 1), me()), &last));
    assert_eq!(pool.pending_nonce(&me()), Some(u64::MAX));
}

#[test]
fn gas_below_the_intrinsic_or_floor_cost_is_refused() {
    let with_gas = |gas_limit: u64| signed(TxEip1559 { gas_limit, ..transfer(0) }, me());
    assert_eq!(
        refusal(&mut pool(), with_gas(20_999), &rich()),
        "intrinsic gas too low: gas 20999, minimum needed 21000"
    );
    // Ten non-zero bytes: 160 gas of calldata, but a floor of 400.
    let with_data = |gas_limit: u64| signed(TxEip1559 { gas_limit, input: vec![1; 10].into(), ..transfer(0) }, me());
    assert_eq!(
        refusal(&mut pool(), with_data(21_399), &rich()),
        "insufficient gas for floor data gas cost: gas 21399, minimum needed 21400"
    );
    assert!(admits(&mut pool(), with_data(21_400), &rich()));
}

#[test]
fn gas_costs_follow_the_eips() {
    let limits = TransactionLimits::of(&rules());
    let gas = |tx: TxEip1559| limits.intrinsic_and_floor_gas(&crate::support::envelope(tx, me()));
    assert_eq!(gas(transfer(0)), (21_000, 21_000));
    let data = TxEip1559 { input: vec![0, 1, 1].into(), ..transfer(0) };
    assert_eq!(gas(data), (21_000 + 4 + 32, 21_000 + 90));
    let create = TxEip1559 { to: TxKind::Create, input: vec![0; 33].into(), ..transfer(0) };
    assert_eq!(gas(create).0, 21_000 + 32_000 + 33 * 4 + 2 * 2);
    let item = alloy_eips::eip2930::AccessListItem { address: me(), storage_keys: vec![Default::default(); 3] };
    let list = TxEip1559 { access_list: vec![item].into(), ..transfer(0) };
    assert_eq!(gas(list).0, 21_000 + 2_400 + 3 * 1_900);
}

#[test]
fn least_tip_and_fee_cap_are_the_operators() {
    let mut strict = Mempool::new(PoolConfig { min_tip_wei: 5, ..config() }, &rules());
    assert_eq!(
        refusal(&mut strict, paying(me(), 0, 100, 4), &rich()),
        "transaction gas price below minimum: gas tip cap 4, minimum needed 5"
    );
    assert!(admits(&mut strict, paying(me(), 0, 100, 5), &rich()));
    let dear = TxEip1559 { max_fee_per_gas: 100_000_000_000_000, ..transfer(0) };
    let owner = AccountView { balance: U256::MAX, ..AccountView::default() };
    assert_eq!(
        refusal(&mut pool(), signed(dear.clone(), me()), &owner),
        "tx fee (2.10 ether) exceeds the configured cap (1.00 ether)"
    );
    assert!(pool().add(signed(dear, me()), &owner, 7, 0, false).is_ok());
}

#[test]
fn balance_must_cover_the_transaction() {
    let tx = || signed(TxEip1559 { value: U256::from(5), ..transfer(0) }, me());
    assert!(admits(&mut pool(), tx(), &account(0, 2_100_005)));
    assert_eq!(
        refusal(&mut pool(), tx(), &account(0, 2_100_004)),
        "insufficient funds for gas * price + value: balance 2100004, tx cost 2100005, overshot 1"
    );
}

#[test]
fn cost_that_overflows_is_not_covered_by_any_balance() {
    let tx = TxEip1559 { value: U256::MAX, ..transfer(0) };
    let owner = AccountView { balance: U256::MAX - U256::from(1), ..AccountView::default() };
    assert!(matches!(
        pool().add(signed(tx, me()), &owner, 7, 0, true),
        Err(PoolError::InsufficientFunds { cost: U256::MAX, .. })
    ));
}

#[test]
fn balance_must_cover_all_runnable_transactions_together() {
    let mut pool = pool();
    let owner = account(0, 2 * 2_100_000 + 1);
    assert!(admits(&mut pool, signed(transfer(0), me()), &owner));
    assert!(admits(&mut pool, signed(transfer(1), me()), &owner));
    assert_eq!(
        refusal(&mut pool, signed(transfer(2), me()), &owner),
        "insufficient funds for gas * price + value: balance 4200001, queued cost 4200000, tx cost 2100000, overshot 2099999"
    );
    // Of a replacement, only the additional cost counts.
    assert_eq!(
        refusal(&mut pool, paying(me(), 1, 110, 11), &owner),
        "insufficient funds for gas * price + value: balance 4200001, queued cost 2100000, tx cost 2310000, overshot 209999"
    );
    assert!(admits(&mut pool, paying(me(), 1, 110, 11), &account(0, 4_410_000)));
}

#[test]
fn fee_cap_below_the_base_fee_waits_instead_of_being_refused() {
    let mut pool = pool();
    assert!(pool.add(paying(me(), 0, 100, 1), &rich(), 101, 0, true).unwrap().pending);
    assert!(crate::support::best(&pool, 101).is_empty());
    assert_eq!(crate::support::best(&pool, 100).len(), 1);
}

#[test]
fn replacement_pays_a_tenth_more_in_both_fields() {
    for (cap, tip, accepted) in [(110, 11, true), (110, 10, false), (109, 11, false), (100, 10, false), (200, 20, true)]
    {
        let mut pool = pool();
        let old = paying(me(), 0, 100, 10);
        assert!(admits(&mut pool, old.clone(), &rich()));
        let new = paying(me(), 0, cap, tip);
        if accepted {
            let added = pool.add(new.clone(), &rich(), 7, 0, true).unwrap();
            assert_eq!(added.replaced, Some(old.hash));
            assert!(!pool.contains(&old.hash) && pool.contains(&new.hash));
        } else {
            let expected =
                if (cap, tip) == (100, 10) { "already known" } else { "replacement transaction underpriced" };
            assert_eq!(refusal(&mut pool, new, &rich()), expected);
        }
    }
    // A replacement must pay more, even where 10 % of the old fee rounds to zero.
    let mut pool = pool();
    assert!(admits(&mut pool, paying(me(), 0, 100, 0), &rich()));
    assert_eq!(refusal(&mut pool, paying(me(), 0, 110, 0), &rich()), "replacement transaction underpriced");
    assert!(admits(&mut pool, paying(me(), 0, 110, 1), &rich()));
}

#[test]
fn slots_of_a_sender_are_bounded() {
    let mut pool = Mempool::new(PoolConfig { per_sender_slots: 3, per_sender_queued: 1, ..config() }, &rules());
    assert!(!admits(&mut pool, signed(transfer(2), me()), &rich()));
    assert_eq!(refusal(&mut pool, signed(transfer(3), me()), &rich()), "account limit exceeded: pooled 1 txs");
    assert!(admits(&mut pool, signed(transfer(0), me()), &rich()));
    assert!(admits(&mut pool, signed(transfer(1), me()), &rich()));
    assert_eq!(refusal(&mut pool, signed(transfer(3), me()), &rich()), "account limit exceeded: pooled 3 txs");
    assert!(admits(&mut pool, paying(me(), 2, 200, 20), &rich()), "a replacement takes no slot");
    assert!(admits(&mut pool, signed(transfer(0), sender(2)), &rich()), "others have their own");
}

#[test]
fn contract_cannot_send() {
    let contract = AccountView { code: AccountCode::Contract, ..rich() };
    assert_eq!(
        refusal(&mut pool(), signed(transfer(0), me()), &contract),
        format!("sender not an eoa: address {}", me())
    );
}

#[test]
fn delegated_account_has_one_transaction_in_flight() {
    let delegated = AccountView { code: AccountCode::Delegated, ..rich() };
    let mut pool = pool();
    assert_eq!(refusal(&mut pool, signed(transfer(1), me()), &delegated), "gapped-nonce tx from delegated accounts");
    assert!(admits(&mut pool, signed(transfer(0), me()), &delegated));
    assert_eq!(
        refusal(&mut pool, signed(transfer(1), me()), &delegated),
        "in-flight transaction limit reached for delegated accounts"
    );
    assert!(admits(&mut pool, paying(me(), 0, 200, 20), &delegated), "it may be replaced");
}

fn authorization(signer: &PrivateKeySigner) -> SignedAuthorization {
    authorization_for(signer, CHAIN_ID)
}

fn authorization_for(signer: &PrivateKeySigner, chain_id: u64) -> SignedAuthorization {
    let authorization = Authorization { chain_id: U256::from(chain_id), address: sender(9), nonce: 0 };
    let signature = signer.sign_hash_sync(&authorization.signature_hash()).unwrap();
    authorization.into_signed(signature)
}

fn set_code(list: Vec<SignedAuthorization>) -> Arc<RecoveredTx> {
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit: 500_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 10,
        authorization_list: list,
        ..TxEip7702::default()
    };
    let hash = keccak256(format!("{tx:?}"));
    recovered(TxEnvelope::Eip7702(Signed::new_unchecked(tx, Signature::test_signature(), hash)), me())
}

#[test]
fn authorizations_are_wanted_but_not_without_end() {
    assert_eq!(
        refusal(&mut pool(), set_code(Vec::new()), &rich()),
        "set code tx must have at least one authorization tuple"
    );
    let list = vec![authorization(&PrivateKeySigner::random()); 3];
    let config = PoolConfig { max_authorizations: 2, ..config() };
    assert_eq!(
        refusal(&mut Mempool::new(config, &rules()), set_code(list.clone()), &rich()),
        "set code tx has too many authorization tuples: 3, limit 2"
    );
    assert!(admits(&mut pool(), set_code(list), &rich()));
}

#[test]
fn account_with_a_waiting_authorization_has_one_transaction_in_flight() {
    let signer = PrivateKeySigner::random();
    let mut pool = pool();
    let tx = set_code(vec![authorization(&signer)]);
    assert!(admits(&mut pool, tx.clone(), &rich()));
    assert!(admits(&mut pool, signed(transfer(0), signer.address()), &rich()));
    assert_eq!(
        refusal(&mut pool, signed(transfer(1), signer.address()), &rich()),
        "in-flight transaction limit reached for delegated accounts"
    );
    pool.remove(&tx.hash).unwrap();
    assert!(admits(&mut pool, signed(transfer(1), signer.address()), &rich()));
    // The account now has two transactions in flight, so no transaction may carry an authorization of it.
    assert_eq!(refusal(&mut pool, tx, &rich()), "authority already reserved");
}

#[test]
fn authorization_for_another_chain_binds_nobody() {
    for (chain_id, binds) in [(CHAIN_ID, true), (0, true), (1, false)] {
        let signer = PrivateKeySigner::random();
        let mut pool = pool();
        assert!(admits(&mut pool, set_code(vec![authorization_for(&signer, chain_id)]), &rich()));
        assert!(admits(&mut pool, signed(transfer(0), signer.address()), &rich()));
        let second = pool.add(signed(transfer(1), signer.address()), &rich(), 7, 0, true);
        assert_eq!(second.is_err(), binds);
    }
}
