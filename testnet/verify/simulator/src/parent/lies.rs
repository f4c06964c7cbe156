//! Changes of a lying endpoint to its answers.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent};
use causeway_contracts::{CheckpointRegistry, PegVault};

use super::{
    chain::{Block, PlacedLog},
    evm::Call,
    faults::Lie,
    rpc::{BlockAnswer, Refused, Reply},
};

/// An address no contract has.
const STRANGER: Address = Address::repeat_byte(0x57);

pub(super) fn chain_id(lie: Option<&Lie>, honest: u64) -> u64 {
    match lie {
        Some(Lie::ChainId(other)) => *other,
        _ => honest,
    }
}

pub(super) fn finalized(lie: Option<&Lie>, honest: u64, head: u64) -> u64 {
    match lie {
        Some(Lie::FinalizedAhead(blocks)) => honest.saturating_add(*blocks).min(head),
        Some(Lie::FinalizedBack(blocks)) => honest.saturating_sub(*blocks),
        _ => honest,
    }
}

pub(super) fn block(lie: Option<&Lie>, honest: &Block) -> BlockAnswer {
    let hash = match lie {
        Some(Lie::BlockHashes) => keccak256(honest.hash),
        _ => honest.hash,
    };
    BlockAnswer { height: honest.height, hash }
}

pub(super) fn logs(lie: Option<&Lie>, mut logs: Vec<PlacedLog>) -> Vec<PlacedLog> {
    match lie {
        Some(Lie::HiddenDeposits(every)) => {
            let hidden = |nonce: u64| nonce.checked_rem(*every) == Some(0);
            logs.retain(|placed| deposited(placed).is_none_or(|event| !hidden(event.nonce)));
        }
        Some(Lie::AlteredDeposits(recipient)) => {
            for placed in &mut logs {
                if let Some(event) = deposited(placed) {
                    placed.log.data = PegVault::Deposited { recipient: *recipient, ..event }.encode_log_data();
                }
            }
        }
        Some(Lie::DoubledLogs) => logs = logs.into_iter().flat_map(|placed| [placed.clone(), placed]).collect(),
        Some(Lie::StrayLog) => {
            let stray = logs.first().cloned();
            logs.extend(stray.map(|mut placed| {
                placed.log.address = STRANGER;
                placed
            }));
        }
        _ => {}
    }
    logs
}

fn deposited(placed: &PlacedLog) -> Option<PegVault::Deposited> {
    PegVault::Deposited::decode_log_data_validate(&placed.log.data).ok()
}

pub(super) fn output(lie: Option<&Lie>, call: &Call, honest: Bytes) -> Bytes {
    match lie {
        Some(Lie::NoContracts) => Bytes::new(),
        Some(Lie::DepositCount(more)) if is::<PegVault::depositNonceCall>(call) => {
            let count = U256::try_from_be_slice(&honest).unwrap_or_default().saturating_add(U256::from(*more));
            B256::from(count).into()
        }
        Some(Lie::Registry(ahead)) if is::<CheckpointRegistry::latestCall>(call) => {
            let mut words = honest.to_vec();
            if let Some(number) = words.first_chunk_mut::<32>() {
                let raised = U256::from_be_bytes(*number).saturating_add(U256::from(*ahead));
                *number = raised.to_be_bytes();
            }
            words.into()
        }
        Some(Lie::Registry(_)) if is::<CheckpointRegistry::latestDigestCall>(call) => keccak256(&honest).into(),
        _ => honest,
    }
}

fn is<C: SolCall>(call: &Call) -> bool {
    call.input.starts_with(&C::SELECTOR)
}

/// Replies that are wrong for every request.
pub(super) fn reply(lie: Option<&Lie>, honest: Reply) -> Reply {
    match lie {
        Some(Lie::OtherTypes) => Ok("[{\"number\":true}]".to_owned()),
        Some(Lie::Nothing) => Ok("null".to_owned()),
        Some(Lie::Refusal(code)) => Err(Refused::new(*code, "the service is not available in your region")),
        _ => honest,
    }
}
