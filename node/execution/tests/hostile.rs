//! Nothing a user, peer or proposer can write may panic: extreme transactions, random code, random calls into the peg.

use std::collections::BTreeMap;

use crate::support::{ETHER, TestChain, peg, staking, wallet};
use alloy_consensus::{TxEip1559, TxEip7702, TxLegacy};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall as _;
use causeway_execution::{
    AccountOverride, Block, BlockOverrides, CallRequest, ExecutionError, Overrides, StateOverrides, SystemTx,
    Transaction, transactions_root,
};
use causeway_genesis::addresses::{BEACON_ROOTS, HISTORY_STORAGE, PEG, REWARD_POOL, STAKE_TOKEN, STAKING, SYSTEM};
use causeway_peg::IPeg;
use causeway_staking::abi::{IStakeToken, IStaking};
use proptest::prelude::*;

fn edge_u64() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(21_000), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 24), any::<u64>()]
}

fn edge_u128() -> impl Strategy<Value = u128> {
    prop_oneof![Just(0), Just(1), Just(u128::MAX), Just(wallet::FEE_CAP), any::<u128>()]
}

fn edge_u256() -> impl Strategy<Value = U256> {
    prop_oneof![
        Just(U256::ZERO),
        Just(U256::MAX),
        Just(U256::from(1)),
        Just(U256::from(1) << 255),
        any::<[u8; 32]>().prop_map(U256::from_be_bytes)
    ]
}

fn some_address() -> impl Strategy<Value = Address> {
    prop_oneof![
        prop::sample::select(vec![
            PEG,
            STAKING,
            STAKE_TOKEN,
            SYSTEM,
            REWARD_POOL,
            HISTORY_STORAGE,
            BEACON_ROOTS,
            Address::ZERO,
            Address::with_last_byte(1),
            Address::with_last_byte(5),
            Address::with_last_byte(0x11),
            wallet::address(0),
        ]),
        any::<[u8; 20]>().prop_map(Address::from)
    ]
}

fn kind() -> impl Strategy<Value = TxKind> {
    prop_oneof![4 => some_address().prop_map(TxKind::Call), 1 => Just(TxKind::Create)]
}

/// Selectors of all modules.
fn selectors() -> Vec<[u8; 4]> {
    [IPeg::IPegCalls::SELECTORS, IStaking::IStakingCalls::SELECTORS, IStakeToken::IStakeTokenCalls::SELECTORS].concat()
}

/// Random bytes that often start like a call of a module.
fn input() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80).prop_map(Bytes::from),
        (prop::sample::select(selectors()), prop::collection::vec(any::<u8>(), 0..400)).prop_map(|(selector, rest)| [
            selector.as_slice(),
            &rest
        ]
        .concat()
        .into()),
        // Offsets and lengths that point far away or into each other.
        (prop::sample::select(selectors()), prop::collection::vec(edge_u256(), 0..14)).prop_map(|(selector, words)| {
            let words: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect();
            [selector.as_slice(), &words].concat().into()
        }),
    ]
}

fn access_list() -> impl Strategy<Value = AccessList> {
    prop::collection::vec((some_address(), prop::collection::vec(any::<[u8; 32]>(), 0..3)), 0..3).prop_map(|items| {
        AccessList(
            items
                .into_iter()
                .map(|(address, keys)| AccessListItem {
                    address,
                    storage_keys: keys.into_iter().map(B256::from).collect(),
                })
                .collect(),
        )
    })
}

fn authorization() -> impl Strategy<Value = SignedAuthorization> {
    prop_oneof![
        (some_address(), edge_u64()).prop_map(|(delegate, nonce)| wallet::authorize(1, nonce, delegate)),
        (edge_u256(), some_address(), edge_u64(), any::<u8>(), edge_u256(), edge_u256()).prop_map(
            |(chain_id, address, nonce, parity, r, s)| {
                SignedAuthorization::new_unchecked(Authorization { chain_id, address, nonce }, parity, r, s)
            }
        ),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let common = (edge_u64(), edge_u64(), edge_u128(), edge_u128(), edge_u256());
    let signed = (common, kind(), input(), access_list(), prop::collection::vec(authorization(), 0..3), 0..3u8)
        .prop_map(|((nonce, gas_limit, fee, tip, value), to, input, access_list, authorization_list, ty)| {
            // Nonces that are right now and then let the rest be looked at.
            let nonce = if nonce % 2 == 0 { 0 } else { nonce };
            let chain_id = crate::support::CHAIN_ID;
            let tx = match ty {
                0 => wallet::sign(
                    0,
                    TxLegacy { chain_id: Some(chain_id), nonce, gas_price: fee, gas_limit, to, value, input },
                ),
                1 => wallet::sign(
                    0,
                    TxEip1559 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas: fee,
                        max_priority_fee_per_gas: tip,
                        to,
                        value,
                        access_list,
                        input,
                    },
                ),
                _ => wallet::sign(
                    0,
                    TxEip7702 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas: fee,
                        max_priority_fee_per_gas: tip,
                        to: to.to().copied().unwrap_or_default(),
                        value,
                        access_list,
                        authorization_list,
                        input,
                    },
                ),
            };
            Transaction::Ethereum(tx.tx.clone())
        });
    let system = (edge_u64(), any::<u8>(), some_address(), edge_u64(), input()).prop_map(
        |(block_number, index, to, gas_limit, input)| {
            let block_number = if block_number % 2 == 0 { 2 } else { block_number };
            let gas_limit = if gas_limit % 2 == 0 { 10_000_000 } else { gas_limit };
            Transaction::System(SystemTx { block_number, index: u32::from(index % 3), to, gas_limit, input })
        },
    );
    prop_oneof![4 => signed, 1 => system]
}

fn request() -> impl Strategy<Value = CallRequest> {
    (
        prop::option::of(some_address()),
        prop::option::of(some_address()),
        prop::option::of(edge_u64().prop_map(|gas| gas % 400_000)),
        (prop::option::of(edge_u128()), prop::option::of(edge_u128()), prop::option::of(edge_u128())),
        edge_u256(),
        input(),
        prop::option::of(access_list()),
        prop::collection::vec(authorization(), 0..2),
    )
        .prop_map(|(from, to, gas, fees, value, input, access_list, authorization_list)| CallRequest {
            from,
            to,
            gas: gas.or(Some(200_000)),
            gas_price: fees.0,
            max_fee_per_gas: fees.1,
            max_priority_fee_per_gas: fees.2,
            value,
            input,
            access_list,
            authorization_list,
        })
}

fn account_override() -> impl Strategy<Value = AccountOverride> {
    (
        prop::option::of(edge_u256()),
        prop::option::of(edge_u64()),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..120).prop_map(Bytes::from)),
        prop::option::of(prop::collection::btree_map(edge_u256(), edge_u256(), 0..3)),
    )
        .prop_map(|(balance, nonce, code, state)| AccountOverride {
            balance,
            nonce,
            code,
            state,
            state_diff: BTreeMap::new(),
        })
}

fn overrides() -> impl Strategy<Value = Overrides> {
    let block = (
        prop::option::of(edge_u256()),
        prop::option::of(edge_u64()),
        prop::option::of(edge_u64()),
        prop::option::of(edge_u64()),
    )
        .prop_map(|(number, timestamp, gas_limit, base_fee)| BlockOverrides {
            number,
            timestamp,
            gas_limit,
            base_fee,
            ..BlockOverrides::default()
        });
    (prop::collection::btree_map(some_address(), account_override(), 0..4), block)
        .prop_map(|(accounts, block)| Overrides { state: StateOverrides { accounts }, block })
}

/// A pegged chain at block 1 with some coin.
fn chain() -> &'static TestChain {
    static CHAIN: std::sync::OnceLock<TestChain> = std::sync::OnceLock::new();
    CHAIN.get_or_init(|| {
        let mut chain = TestChain::pegged();
        let funds = [(wallet::address(0), 1_000 * ETHER), (wallet::address(1), ETHER)];
        chain.push(vec![peg::import(&chain, &funds)], &[]);
        chain
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_block_of_anything_is_valid_or_has_a_fault(transactions in prop::collection::vec(transaction(), 1..4)) {
        let chain = chain();
        let built = chain.build(Vec::new(), &[]);
        let mut block = Block::clone(&built.block);
        block.header.transactions_root = transactions_root(&transactions);
        block.transactions = transactions;
        // Never a local error, and never valid: gas used at least is another block's.
        let result = chain.execute(block);
        prop_assert!(matches!(result, Err(ExecutionError::Invalid(_))), "{:?}", result.map(|executed| executed.hash));
    }

    #[test]
    fn a_block_built_from_anything_is_valid(transactions in prop::collection::vec(transaction(), 1..5)) {
        let chain = chain();
        let txs: Vec<_> = transactions
            .iter()
            .filter_map(Transaction::as_ethereum)
            .filter_map(|tx| causeway_execution::RecoveredTx::recover(tx.clone()).ok().map(std::sync::Arc::new))
            .collect();
        let system = transactions
            .iter()
            .filter_map(Transaction::as_system)
            .map(|tx| causeway_execution::SystemCall { to: tx.to, input: tx.input.clone() })
            .collect();
        let built = chain.build(system, &txs);
        let executed = chain.execute(Block::decode(&built.block.encode()).unwrap()).unwrap();
        crate::support::assert_same(&built, &executed);
    }

    #[test]
    fn calls_of_anything_answer_or_refuse(request in request(), overrides in overrides()) {
        let chain = chain();
        let local = |error: &str| error.contains("bug") || error.contains("cannot read");
        if let Err(error) = chain.executor.call(&chain.head, &chain.state, &request, &overrides) {
            prop_assert!(!local(&error.to_string()), "{error}");
        }
        if let Err(error) = chain.executor.estimate_gas(&chain.head, &chain.state, &request, &overrides) {
            prop_assert!(!local(&error.to_string()), "{error}");
        }
    }
}

/// Sound calls of the staking modules.
fn staking_calls() -> Vec<Bytes> {
    let (at, user) = (crate::support::operator(1), wallet::address(0));
    let evidence = staking::double_vote(chain().genesis.hash, 2, 1);
    let calls = [
        IStaking::epochCall {}.abi_encode(),
        IStaking::activeSetCall {}.abi_encode(),
        IStaking::nextSetCall {}.abi_encode(),
        IStaking::validatorCall { operator: at }.abi_encode(),
        IStaking::validatorsCall {}.abi_encode(),
        IStaking::delegationCall { delegator: at, validator: at }.abi_encode(),
        IStaking::pendingRewardsCall { delegator: at, validator: at }.abi_encode(),
        IStaking::unbondingsCall { delegator: at }.abi_encode(),
        IStaking::redelegationsCall { delegator: at }.abi_encode(),
        IStaking::totalsCall {}.abi_encode(),
        IStaking::delegateCall { validator: at, amount: staking::stake(1) }.abi_encode(),
        IStaking::undelegateCall { validator: at, amount: staking::stake(1) }.abi_encode(),
        IStaking::redelegateCall { from: at, to: crate::support::operator(2), amount: staking::stake(1) }.abi_encode(),
        IStaking::claimRewardsCall { validator: at }.abi_encode(),
        IStaking::claimCommissionCall {}.abi_encode(),
        IStaking::setCommissionCall { bps: 1 }.abi_encode(),
        IStaking::unjailCall {}.abi_encode(),
        IStaking::exitCall {}.abi_encode(),
        staking::report(&evidence, 0).abi_encode(),
        IStakeToken::transferCall { to: user, amount: U256::from(1) }.abi_encode(),
        IStakeToken::balanceOfCall { account: at }.abi_encode(),
        IStakeToken::totalSupplyCall {}.abi_encode(),
    ];
    calls.into_iter().map(Bytes::from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// `eth_call` may pretend any state; a damaged database would be one, too.
    #[test]
    fn calls_into_a_staking_state_of_nonsense_do_not_panic(
        broken in prop::collection::vec((any::<prop::sample::Index>(), edge_u256()), 1..4),
        input in prop::sample::select(staking_calls()),
    ) {
        let chain = chain();
        let slots: Vec<U256> =
            chain.state.storage.keys().filter(|(owner, _)| *owner == STAKING).map(|(_, slot)| *slot).collect();
        let state_diff = broken.iter().map(|(at, value)| (*at.get(&slots), *value)).collect();
        let change = AccountOverride { state_diff, ..AccountOverride::default() };
        let state = StateOverrides { accounts: [(STAKING, change)].into() };
        let overrides = Overrides { state, ..Overrides::default() };
        for to in [STAKING, STAKE_TOKEN] {
            let from = Some(crate::support::operator(1));
            let gas = Some(30_000_000);
            let request = CallRequest { from, to: Some(to), gas, input: input.clone(), ..CallRequest::default() };
            let result = chain.executor.call(&chain.head, &chain.state, &request, &overrides);
            prop_assert!(result.is_ok(), "{result:?}");
        }
    }
}
