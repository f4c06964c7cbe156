//! Small contracts that forward a user's call to a module.

use alloy_primitives::{Address, Bytes};

/// Use of a call's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The contract has the same outcome.
    PassedOn,
    /// The contract always succeeds.
    Swallowed,
    /// The contract always fails.
    Undone,
}

/// A contract between a user and a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contract {
    /// The module that it calls, with all its call data and coin.
    pub(crate) target: Address,
    /// The outcome.
    pub(crate) outcome: Outcome,
}

/// Copies the call's data to memory: CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY.
const TAKE_DATA: [u8; 4] = [0x36, 0x5f, 0x5f, 0x37];
/// PUSH0 PUSH0 CALLDATASIZE PUSH0 CALLVALUE PUSH20: arguments of the call to the address in the next 20 bytes.
const CALL_WITH: [u8; 6] = [0x5f, 0x5f, 0x36, 0x5f, 0x34, 0x73];
/// GAS CALL.
const CALL: [u8; 2] = [0x5a, 0xf1];
/// Copies the answer, then returns it or reverts with it: RETURNDATASIZE PUSH0 PUSH0 RETURNDATACOPY, PUSH1 42 JUMPI,
/// RETURNDATASIZE PUSH0 REVERT, JUMPDEST RETURNDATASIZE PUSH0 RETURN.
const PASS_ON: [u8; 14] = [0x3d, 0x5f, 0x5f, 0x3e, 0x60, 42, 0x57, 0x3d, 0x5f, 0xfd, 0x5b, 0x3d, 0x5f, 0xf3];
/// POP STOP.
const SWALLOW: [u8; 2] = [0x50, 0x00];
/// PUSH0 PUSH0 REVERT.
const UNDO: [u8; 3] = [0x5f, 0x5f, 0xfd];

impl Contract {
    /// Its init code.
    pub(crate) fn init_code(self) -> Bytes {
        let end: &[u8] = match self.outcome {
            Outcome::PassedOn => &PASS_ON,
            Outcome::Swallowed => &SWALLOW,
            Outcome::Undone => &UNDO,
        };
        let runtime = [&TAKE_DATA[..], &CALL_WITH, self.target.as_slice(), &CALL, end].concat();
        let length = u8::try_from(runtime.len()).expect("it is short");
        // PUSH1 length DUP1 PUSH1 9 PUSH0 CODECOPY PUSH0 RETURN, then the code itself.
        [&[0x60, length, 0x80, 0x60, 9, 0x5f, 0x39, 0x5f, 0xf3][..], &runtime].concat().into()
    }
}
