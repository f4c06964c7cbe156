//! Tools to read reports and alter evidence.

use alloy_consensus::{Receipt, ReceiptWithBloom};
use alloy_primitives::{Bytes, LogData};
use alloy_rlp::{Decodable, Encodable, RlpEncodable};
use alloy_sol_types::{SolCall, SolEvent};
use causeway_genesis::addresses::PEG;
use causeway_peg_audit::{Bundle, LogEvidence, Object, Report};

pub fn failing(report: &Report) -> Vec<u8> {
    report.checks.iter().filter(|check| !check.holds).map(|check| check.id).collect()
}

/// Asserts that a check fails for this object and gives advice.
#[track_caller]
pub fn names(report: &Report, id: u8, object: Object) {
    let check = report.checks.iter().find(|check| check.id == id).unwrap();
    assert!(!report.holds && !check.holds, "check {id} holds:\n{report}");
    let failure = check.failures.iter().find(|failure| failure.object == object);
    let failure = failure.unwrap_or_else(|| panic!("{object} is not named:\n{report}"));
    assert!(!failure.reason.is_empty() && !failure.next.is_empty());
}

/// Changes the event of one kind chosen by `pick` in the receipts of the sidechain's blocks.
pub fn alter_event<E: SolEvent>(bundle: &mut Bundle, pick: impl Fn(&E) -> bool, change: impl Fn(&mut E)) {
    for block in &mut bundle.sidechain.blocks {
        for raw in &mut block.receipts {
            let (ty, mut rest) = (raw[0], &raw[1..]);
            let ReceiptWithBloom::<Receipt> { mut receipt, logs_bloom } = Decodable::decode(&mut rest).unwrap();
            for log in &mut receipt.logs {
                if let Ok(mut event) = E::decode_log_data(&log.data)
                    && pick(&event)
                {
                    change(&mut event);
                    log.data = event.encode_log_data();
                }
            }
            let mut out = vec![ty];
            ReceiptWithBloom { receipt, logs_bloom }.encode(&mut out);
            *raw = out.into();
        }
    }
}

/// Changes the events of one kind chosen by `pick` on the parent.
pub fn alter_log<E: SolEvent>(bundle: &mut Bundle, pick: impl Fn(&E) -> bool, change: impl Fn(&mut E)) {
    for log in &mut bundle.parent.logs {
        if let Some(mut event) = decode::<E>(log)
            && pick(&event)
        {
            change(&mut event);
            let (topics, data) = event.encode_log_data().split();
            (log.topics, log.data) = (topics, data);
        }
    }
}

pub fn decode<E: SolEvent>(log: &LogEvidence) -> Option<E> {
    E::decode_log_data(&LogData::new(log.topics.clone(), log.data.clone())?).ok()
}

/// Changes the call of a system transaction, but not its envelope.
pub fn alter_call<C: SolCall>(raw: &mut Bytes, change: impl Fn(&mut C)) -> bool {
    let Some(at) = raw.windows(4).position(|window| window == C::SELECTOR) else { return false };
    let mut call = C::abi_decode(&raw[at..]).unwrap();
    change(&mut call);
    let input = call.abi_encode();
    assert_eq!(raw.len() - at, input.len(), "the length may not change");
    *raw = [&raw[..at], &input].concat().into();
    true
}

/// A system transaction to the peg, as the first one in block `block`.
pub fn system_transaction(block: u64, input: Vec<u8>) -> Bytes {
    #[derive(RlpEncodable)]
    struct SystemTx {
        block: u64,
        index: u32,
        to: alloy_primitives::Address,
        gas_limit: u64,
        input: Bytes,
    }
    let mut out = vec![0x7c];
    SystemTx { block, index: 0, to: PEG, gas_limit: 1_000_000, input: input.into() }.encode(&mut out);
    out.into()
}
