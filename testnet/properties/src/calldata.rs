//! Calls that mean something to a native module, from a few bytes.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolInterface as _;
use causeway_genesis::addresses::{PEG, STAKE_TOKEN, STAKING};
use causeway_peg::IPeg;
use causeway_staking::{IStakeToken, IStaking};

use crate::chain::{ETHER, places};
use crate::reader::Reader;

const MAX_WORDS: usize = 12;

/// A selector of the module at `to` (of any, when there is none) and words that fit its arguments more often than not.
pub(crate) fn call(to: Address, reader: &mut Reader<'_>) -> Bytes {
    let mut input = match reader.u8() {
        255 => return Bytes::copy_from_slice(reader.short()),
        choice => selector(to, choice).to_vec(),
    };
    for _ in 0..reader.below(MAX_WORDS) {
        input.extend(word(reader).to_be_bytes::<32>());
    }
    if reader.flag() {
        input.extend(reader.short());
    }
    input.into()
}

fn selector(to: Address, choice: u8) -> [u8; 4] {
    let nth = |count: usize, at: fn(usize) -> Option<[u8; 4]>| at(usize::from(choice) % count).unwrap_or_default();
    match to {
        PEG => nth(IPeg::IPegCalls::COUNT, IPeg::IPegCalls::selector_at),
        STAKE_TOKEN => nth(IStakeToken::IStakeTokenCalls::COUNT, IStakeToken::IStakeTokenCalls::selector_at),
        STAKING => nth(IStaking::IStakingCalls::COUNT, IStaking::IStakingCalls::selector_at),
        _ => match choice % 3 {
            0 => selector(PEG, choice / 3),
            1 => selector(STAKE_TOKEN, choice / 3),
            _ => selector(STAKING, choice / 3),
        },
    }
}

fn word(reader: &mut Reader<'_>) -> U256 {
    let places = places();
    match reader.u8() {
        choice @ 0..=31 => U256::from(choice),
        choice @ 32..=95 => U256::from_be_slice(places[usize::from(choice - 32) % places.len()].as_slice()),
        choice @ 96..=127 => U256::from(ETHER) * U256::from(choice - 95) / U256::from(4),
        choice @ 128..=159 => U256::from(choice - 127) * U256::from(32),
        choice @ 160..=191 => U256::MAX >> (usize::from(choice - 160) * 8),
        192..=223 => U256::from(reader.u64()),
        _ => U256::from_be_bytes(reader.array::<32>()),
    }
}
