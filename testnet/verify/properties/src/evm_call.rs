//! `eth_call` and related methods: any program at any address, with any input and any account overridden.
//!
//! A call changes nothing, gives the same answer twice, and uses no more gas than its limit; tracing it, estimating it and
//! listing its accesses agree with running it.

use alloy_primitives::{Address, Bytes, U256, keccak256};
use causeway_execution::{
    AccountOverride, BlockOverrides, CallRequest, CallResult, Overrides, StateOverrides, TraceOptions,
};
use causeway_genesis::addresses::{PEG, STAKE_TOKEN, STAKING};

use crate::calldata;
use crate::chain::{ETHER, PEGGED, STANDALONE, forwarder, places, user};
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module.
pub const TARGET: Target = Target { name: "evm_call", check, seeds, max_bytes: 1024 };

const GAS: u64 = 500_000;

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let shape = reader.u8();
    let chain = if shape & 1 == 0 { &*STANDALONE } else { &*PEGGED };
    let (request, overrides) = (request(shape, &mut reader), overrides(&mut reader));
    let state = &*chain.state;
    let gas = request.gas.unwrap_or(GAS);
    let run = |request: &CallRequest| chain.executor.call(&chain.head, state, request, &overrides);
    let result = run(&request);
    let again = run(&request);
    assert_eq!(format!("{result:?}"), format!("{again:?}"), "the same call, the same answer");
    let options = TraceOptions { with_log: true, ..TraceOptions::default() };
    let trace = chain.executor.trace_call(&chain.head, state, &request, &overrides, options);
    if let Ok(result) = &result {
        let (CallResult::Success { gas_used, .. }
        | CallResult::Revert { gas_used, .. }
        | CallResult::Halt { gas_used, .. }) = result;
        assert!(*gas_used <= gas, "{gas_used} gas of {gas}");
        if let Ok(frame) = &trace {
            assert_eq!(
                frame.error.is_none(),
                matches!(result, CallResult::Success { .. }),
                "a trace tells how it ended"
            );
        }
    } else {
        assert!(trace.is_err(), "what cannot start cannot be traced");
    }
    match shape >> 6 {
        1 => {
            if let Ok(estimate) = chain.executor.estimate_gas(&chain.head, state, &request, &overrides) {
                let enough = run(&CallRequest { gas: Some(estimate), ..request.clone() });
                assert!(matches!(enough, Ok(CallResult::Success { .. })), "{estimate} gas is not enough: {enough:?}");
            }
        }
        2 => answers(chain.executor.create_access_list(&chain.head, state, &request, &overrides)),
        _ => {}
    }
}

fn request(shape: u8, reader: &mut Reader<'_>) -> CallRequest {
    let to = match shape >> 1 & 3 {
        0 => Some(*reader.pick(&[STAKING, PEG, STAKE_TOKEN])),
        1 => Some(forwarder(reader.u8())),
        2 => Some(*reader.pick(&places())),
        _ => None,
    };
    let input = match (to, shape >> 3 & 1) {
        (Some(to), 0) => {
            let inner = calldata::call(to, reader);
            if shape >> 1 & 3 == 1 { [STAKING.into_word().as_slice(), &inner].concat().into() } else { inner }
        }
        _ => Bytes::copy_from_slice(reader.long()),
    };
    let gas = match shape >> 4 & 3 {
        0 | 1 => GAS,
        2 => 21_000 + u64::from(reader.u16()),
        _ => u64::from(reader.u32()) % GAS,
    };
    let money = reader.u8();
    CallRequest {
        from: (money & 1 == 1).then(|| user(money >> 4)),
        to,
        gas: Some(gas),
        gas_price: (money & 6 == 2).then_some(u128::from(money) << 24),
        max_fee_per_gas: (money & 6 == 4).then_some(u128::from(money) << 26),
        max_priority_fee_per_gas: (money & 12 == 12).then_some(u128::from(money) << 20),
        value: if money & 128 == 0 { U256::ZERO } else { U256::from(ETHER) * U256::from(money & 15) },
        input,
        ..CallRequest::default()
    }
}

fn overrides(reader: &mut Reader<'_>) -> Overrides {
    let mut state = StateOverrides::default();
    for _ in 0..reader.below(4) {
        let address = *reader.pick(&places());
        let what = reader.u8();
        let slots =
            |reader: &mut Reader<'_>| (0..reader.below(3)).map(|n| (U256::from(n), U256::from(reader.u8()))).collect();
        state.accounts.insert(
            address,
            AccountOverride {
                balance: (what & 1 != 0).then(|| U256::MAX >> usize::from(reader.u8())),
                nonce: (what & 2 != 0).then(|| reader.u64()),
                code: (what & 4 != 0).then(|| Bytes::copy_from_slice(reader.short())),
                state: (what & 24 == 8).then(|| slots(reader)),
                state_diff: if what & 16 != 0 { slots(reader) } else { Default::default() },
            },
        );
    }
    let what = reader.u8();
    let block = BlockOverrides {
        number: (what & 1 != 0).then(|| U256::from(reader.u64())),
        timestamp: (what & 2 != 0).then(|| reader.u64()),
        gas_limit: (what & 4 != 0).then(|| reader.u64()),
        beneficiary: (what & 8 != 0).then(|| Address::from_word(keccak256([what]))),
        prevrandao: (what & 16 != 0).then(|| keccak256([what])),
        base_fee: (what & 32 != 0).then(|| reader.u64()),
    };
    Overrides { state, block }
}

fn seeds() -> Vec<Vec<u8>> {
    let code = |bytes: &[u8]| {
        // A user's account with code, called with nothing.
        let at = u8::try_from(places().iter().position(|place| *place == user(0)).expect("a place")).expect("few");
        let length = u8::try_from(bytes.len()).expect("short");
        [vec![0x0c, at, 0, 0, 1, 1, at, 4, length], bytes.to_vec(), vec![0]].concat()
    };
    let mut seeds = vec![
        code(&[0x5b, 0x5f, 0x56]),
        code(&[0x36, 0x5f, 0x5f, 0x37, 0x36, 0x5f, 0xf3]),
        code(&[0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x30, 0x5a, 0xf1]),
        code(&[0x60, 0x01, 0x5f, 0x55, 0x5f, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xfd]),
        vec![0x0e, 6, 0, 0x60, 1, 0x5f, 0x5f, 0xf0, 0, 1, 0, 63],
        vec![0x46, 0, 0, 0, 0, 0],
        vec![0x84, 9, 255, 0, 0, 0],
    ];
    // The precompiles.
    for n in 0..17u8 {
        let at = u8::try_from(places().iter().position(|p| *p == Address::with_last_byte(n + 1)).expect("a place"));
        seeds.push([vec![0x0c, at.expect("few"), 64, 0], vec![n; 64], vec![1, 0, 0]].concat());
    }
    for function in (0..40).step_by(4) {
        seeds.push(vec![0x40 | function & 1, function % 3, function, 3, 42, 100, 3, 0, 1, 0, 0]);
    }
    seeds
}
