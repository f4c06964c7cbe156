//! Contracts that stand between a user and a module.

use alloy_primitives::{Address, Bytes};

use super::{
    TestChain,
    asm::{self, Asm},
    wallet,
};

/// Deploys `runtime` from the wallet `user` and returns its address.
pub fn install(chain: &mut TestChain, user: u64, runtime: &Bytes) -> Address {
    let nonce = chain.nonce(user);
    chain.push_ok(&[wallet::create(user, nonce, asm::deploy(runtime))]);
    wallet::address(user).create(nonce)
}

/// Calls `to` with all calldata and value; leaves the success flag.
pub fn pass_on(kind: u8, to: Address) -> Asm {
    let value = matches!(kind, asm::CALL | asm::CALLCODE).then(|| Asm::new().op(asm::CALLVALUE));
    Asm::new().calldata_to_memory().forward(kind, to, value)
}

/// Forwards calldata and value to `to` by `kind`, bubbling success or failure.
pub fn forwarder(kind: u8, to: Address) -> Bytes {
    let code = pass_on(kind, to);
    // success ? return : revert, both with the return data.
    let copy = Asm::new().op(asm::RETURNDATASIZE).push(0u64).push(0u64).op(asm::RETURNDATACOPY).bytes();
    let head = code.clone().bytes().len() + 33 + 1;
    let revert_len = copy.len() + 1 + 33 + 1;
    let target = head + revert_len;
    code.push(target as u64)
        .op(asm::JUMPI)
        .ops(&copy)
        .op(asm::RETURNDATASIZE)
        .push(0u64)
        .op(asm::REVERT)
        .op(asm::JUMPDEST)
        .return_data()
        .bytes()
}

/// Calls `to` with all calldata and value, then does `tail`.
pub fn call_then(to: Address, tail: Asm) -> Bytes {
    pass_on(asm::CALL, to).op(asm::POP).ops(&tail.bytes()).bytes()
}

/// Calls `to` with all calldata and value and then reverts.
pub fn reverter(to: Address) -> Bytes {
    call_then(to, Asm::new().push(0u64).push(0u64).op(asm::REVERT))
}

/// Calls `to` with all calldata and value and succeeds whatever came of it.
pub fn swallower(to: Address) -> Bytes {
    pass_on(asm::CALL, to).op(asm::STOP).bytes()
}

/// Init code that calls `to` with `input` and deploys nothing: the call of a constructor.
pub fn constructor_call(to: Address, input: &[u8]) -> Bytes {
    // The input follows the code; CODECOPY brings it to memory 0.
    let head = |offset: u64| {
        Asm::new()
            .push(input.len() as u64)
            .push(offset)
            .push(0u64)
            .op(asm::CODECOPY)
            .push(0u64)
            .push(0u64)
            .push(input.len() as u64)
            .push(0u64)
            .push(0u64)
            .push_address(to)
            .op(asm::GAS)
            .op(asm::CALL)
            .op(asm::POP)
            .push(0u64)
            .push(0u64)
            .op(asm::RETURN)
    };
    let length = head(0).bytes().len() as u64;
    head(length).ops(input).bytes()
}
