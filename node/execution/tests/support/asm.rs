//! Enough of an assembler to write contracts by hand.

use alloy_primitives::{Address, Bytes, U256};

pub const STOP: u8 = 0x00;
pub const ADD: u8 = 0x01;
pub const CALLDATASIZE: u8 = 0x36;
pub const CALLDATACOPY: u8 = 0x37;
pub const CALLDATALOAD: u8 = 0x35;
pub const CALLVALUE: u8 = 0x34;
pub const CODECOPY: u8 = 0x39;
pub const RETURNDATASIZE: u8 = 0x3d;
pub const RETURNDATACOPY: u8 = 0x3e;
pub const BALANCE: u8 = 0x31;
pub const POP: u8 = 0x50;
pub const MSTORE: u8 = 0x52;
pub const SLOAD: u8 = 0x54;
pub const SSTORE: u8 = 0x55;
pub const JUMP: u8 = 0x56;
pub const JUMPI: u8 = 0x57;
pub const GAS: u8 = 0x5a;
pub const JUMPDEST: u8 = 0x5b;
pub const DUP1: u8 = 0x80;
pub const LOG1: u8 = 0xa1;
pub const CALL: u8 = 0xf1;
pub const CALLCODE: u8 = 0xf2;
pub const RETURN: u8 = 0xf3;
pub const DELEGATECALL: u8 = 0xf4;
pub const STATICCALL: u8 = 0xfa;
pub const REVERT: u8 = 0xfd;
pub const INVALID: u8 = 0xfe;
pub const SELFDESTRUCT: u8 = 0xff;

/// Bytecode under construction.
#[derive(Default, Clone)]
pub struct Asm(Vec<u8>);

impl Asm {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn op(mut self, op: u8) -> Self {
        self.0.push(op);
        self
    }

    pub fn ops(mut self, ops: &[u8]) -> Self {
        self.0.extend_from_slice(ops);
        self
    }

    /// PUSH32, whatever the size: simple beats small here.
    pub fn push(mut self, value: impl TryInto<U256>) -> Self {
        let value: U256 = value.try_into().unwrap_or_else(|_| panic!("fits a word"));
        self.0.push(0x7f);
        self.0.extend_from_slice(&value.to_be_bytes::<32>());
        self
    }

    pub fn push_address(self, address: Address) -> Self {
        self.push(U256::from_be_bytes(address.into_word().0))
    }

    /// Copies all calldata to memory 0.
    pub fn calldata_to_memory(self) -> Self {
        self.op(CALLDATASIZE).push(0u64).push(0u64).op(CALLDATACOPY)
    }

    /// `kind`(gas, to, value, memory[0..calldatasize]); leaves the success flag. Value is pushed for CALL and CALLCODE.
    pub fn forward(mut self, kind: u8, to: Address, value: Option<Self>) -> Self {
        self = self.push(0u64).push(0u64).op(CALLDATASIZE).push(0u64);
        if let Some(value) = value {
            self.0.extend_from_slice(&value.0);
        }
        self.push_address(to).op(GAS).op(kind)
    }

    /// Returns the last call's return data.
    pub fn return_data(self) -> Self {
        self.op(RETURNDATASIZE).push(0u64).push(0u64).op(RETURNDATACOPY).op(RETURNDATASIZE).push(0u64).op(RETURN)
    }

    pub fn bytes(self) -> Bytes {
        self.0.into()
    }
}

/// Init code that deploys `runtime`.
pub fn deploy(runtime: &Bytes) -> Bytes {
    // PUSH32 len, PUSH32 offset, PUSH32 0, CODECOPY, PUSH32 len, PUSH32 0, RETURN = 5 * 33 + 2 bytes.
    let mut code = Asm::new()
        .push(runtime.len() as u64)
        .push(167u64)
        .push(0u64)
        .op(CODECOPY)
        .push(runtime.len() as u64)
        .push(0u64)
        .op(RETURN)
        .0;
    assert_eq!(code.len(), 167);
    code.extend_from_slice(runtime);
    code.into()
}
