//! `peg_status`: the stage of a transfer, the event that it waits for, and a rough time until then. A deposit has four stages, a
//! withdrawal five.

use alloy_primitives::{B256, U64};
use causeway_peg::PegModule;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Call, method};
use crate::context::PegProgress;
use crate::errors::Fault;
use crate::lanes::Cost;
use crate::peg::index::{domain, slots};

/// Blocks from a checkpoint to its certificate: one for the signatures, one for the next proposal.
const CERTIFICATE_BLOCKS: u64 = 2;
/// Blocks from a finalised deposit to its mint: one for the attestations, one for the next proposal.
const MINT_BLOCKS: u64 = 2;
/// Seconds until a submitted checkpoint is usually final on the parent. Parents differ, so this is a guess.
const ACCEPTANCE_SECONDS: u64 = 30;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "peg_status", Cost::Read, 1, status)
}

/// The transfer in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Subject {
    /// A transaction on this chain that burned coin or minted deposits.
    Transaction(B256),
    Deposit(DepositSubject),
    Withdrawal(WithdrawalSubject),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct DepositSubject {
    deposit: Quantity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawalSubject {
    withdrawal: Quantity,
}

/// A number: a JSON number or a hex quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Quantity {
    Number(u64),
    Hex(U64),
}

impl Quantity {
    fn get(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Hex(number) => number.to(),
        }
    }
}

/// The stages of a deposit. The watcher reads only finalised parent blocks, so the node knows of no earlier stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum DepositStage {
    /// This node has read no finalised parent block with the deposit.
    NotSeen,
    /// A finalised parent block contains it.
    Finalised,
    /// Validators with more than 2/3 of the power have signed a parent view that covers it.
    Attested,
    /// A block of this chain minted it.
    Minted,
}

/// The stages of a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum WithdrawalStage {
    /// The coin is burned; the checkpoint that will cover the withdrawal is not due yet.
    Burned,
    /// The checkpoint exists and waits for signatures.
    CheckpointDue,
    /// Validators with more than 2/3 of the power have signed the checkpoint or a later one.
    Certified,
    /// The registry on the parent has accepted the checkpoint or a later one.
    Accepted,
    /// The vault has paid.
    Claimed,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
enum Stage {
    Deposit(DepositStage),
    Withdrawal(WithdrawalStage),
}

/// The result of `peg_status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    /// `in` for deposits, `out` for withdrawals.
    direction: &'static str,
    /// Nonce of the deposit or index of the withdrawal.
    id: U64,
    stage: Stage,
    /// Position of the stage: 1 to 4 for deposits, 1 to 5 for withdrawals.
    step: u8,
    done: bool,
    /// The next event, in words; null if the transfer is done.
    waiting_for: Option<String>,
    /// Rough time in seconds until the last stage that needs no action of the user; null if it cannot be estimated.
    estimate_seconds: Option<u64>,
    /// The transaction on this chain: the mint of a deposit, the burn of a withdrawal.
    transaction_hash: Option<B256>,
    block_number: Option<U64>,
    /// The checkpoint that covers or will cover a withdrawal.
    checkpoint: Option<U64>,
    /// Other transfers in the transaction, if the question was about a transaction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<Other>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Other {
    Deposit(U64),
    Withdrawal(U64),
}

fn status(api: &Api, call: &Call<'_>) -> Result<Option<Status>, Fault> {
    domain(api)?;
    match call.args.required(0)? {
        Subject::Deposit(subject) => deposit(api, subject.deposit.get()),
        Subject::Withdrawal(subject) => withdrawal(api, subject.withdrawal.get()),
        Subject::Transaction(hash) => {
            let mut transfers = transfers_in(api, hash)?.into_iter();
            let Some(first) = transfers.next() else { return Ok(None) };
            let found = match first {
                Other::Deposit(nonce) => deposit(api, nonce.to())?,
                Other::Withdrawal(index) => withdrawal(api, index.to())?,
            };
            Ok(found.map(|status| Status { also: transfers.collect(), ..status }))
        }
    }
}

/// The transfers of a transaction on this chain, in order.
fn transfers_in(api: &Api, hash: B256) -> Result<Vec<Other>, Fault> {
    use causeway_execution::PegEventKind;
    let Some((number, index)) = api.locate(hash)? else { return Ok(Vec::new()) };
    let receipts = api.existing_receipts(number)?;
    let events = causeway_execution::peg_events(&receipts);
    let own = events.into_iter().filter(|event| event.transaction_index == index);
    Ok(own
        .filter_map(|event| match event.kind {
            PegEventKind::DepositMinted(minted) => Some(Other::Deposit(U64::from(minted.nonce))),
            PegEventKind::WithdrawalRequested(burned) => Some(Other::Withdrawal(U64::from(burned.index))),
            PegEventKind::DepositsImported(_) | PegEventKind::CheckpointRecorded(_) => None,
        })
        .collect())
}

fn deposit(api: &Api, nonce: u64) -> Result<Option<Status>, Fault> {
    if nonce == 0 {
        return Ok(None);
    }
    let minted = api.deposit(nonce)?;
    let progress = api.ctx.status.peg().unwrap_or_default();
    let stage = deposit_stage(nonce, minted.is_some(), &progress);
    let block_seconds = |blocks: u64| Some(in_seconds(api.block_interval_ms(), blocks));
    let (step, waiting_for, estimate_seconds) = match stage {
        DepositStage::NotSeen => (1, Some("the parent chain to finalise a block with the deposit"), None),
        DepositStage::Finalised => {
            (2, Some("validators with more than 2/3 of the power to attest the deposit"), block_seconds(MINT_BLOCKS))
        }
        DepositStage::Attested => (3, Some("the next block to carry the certificate"), block_seconds(1)),
        DepositStage::Minted => (4, None, Some(0)),
    };
    Ok(Some(Status {
        direction: "in",
        id: U64::from(nonce),
        stage: Stage::Deposit(stage),
        step,
        done: stage == DepositStage::Minted,
        waiting_for: waiting_for.map(str::to_owned),
        estimate_seconds,
        transaction_hash: minted.as_ref().map(|place| place.transaction_hash),
        block_number: minted.as_ref().map(|place| U64::from(place.block)),
        checkpoint: None,
        also: Vec::new(),
    }))
}

fn deposit_stage(nonce: u64, minted: bool, progress: &PegProgress) -> DepositStage {
    if minted {
        DepositStage::Minted
    } else if progress.deposits_attested >= nonce {
        DepositStage::Attested
    } else if progress.deposits_seen >= nonce {
        DepositStage::Finalised
    } else {
        DepositStage::NotSeen
    }
}

fn withdrawal(api: &Api, index: u64) -> Result<Option<Status>, Fault> {
    let Some(burned) = api.withdrawal(index)? else { return Ok(None) };
    let progress = api.ctx.status.peg().unwrap_or_default();
    let head = api.head_number();
    let (interval, latest, recorded) = slots(api, |s| {
        Ok((
            PegModule::checkpoint_interval(s)?.max(1),
            PegModule::latest_checkpoint_number(s)?,
            PegModule::recorded_checkpoint_number(s)?,
        ))
    })?;
    let claimed = api.ctx.status.is_claimed(index) == Some(true);
    // The first checkpoint at or after the block of the burn.
    let number = burned.block.div_ceil(interval);
    let due_at = number.saturating_mul(interval);
    let stage = withdrawal_stage(claimed, number, &Numbers { latest, recorded }, &progress);
    let seconds = |blocks: u64| in_seconds(api.block_interval_ms(), blocks);
    let (step, waiting_for, estimate_seconds) = match stage {
        WithdrawalStage::Burned => {
            let blocks = due_at.saturating_sub(head).saturating_add(CERTIFICATE_BLOCKS);
            (
                1,
                Some(format!("checkpoint {number}, due at block {due_at}")),
                Some(seconds(blocks).saturating_add(ACCEPTANCE_SECONDS)),
            )
        }
        WithdrawalStage::CheckpointDue => (
            2,
            Some(format!("validators with more than 2/3 of the power to sign checkpoint {number} or a later one")),
            Some(seconds(CERTIFICATE_BLOCKS).saturating_add(ACCEPTANCE_SECONDS)),
        ),
        WithdrawalStage::Certified => (
            3,
            Some(format!("anyone to submit checkpoint {} to the registry on the parent chain", recorded.max(number))),
            Some(ACCEPTANCE_SECONDS),
        ),
        WithdrawalStage::Accepted => (
            4,
            Some(
                "anyone to claim it from the vault after the vault's claim delay (see peg_getWithdrawalProof)"
                    .to_owned(),
            ),
            Some(0),
        ),
        WithdrawalStage::Claimed => (5, None, Some(0)),
    };
    Ok(Some(Status {
        direction: "out",
        id: U64::from(index),
        stage: Stage::Withdrawal(stage),
        step,
        done: stage == WithdrawalStage::Claimed,
        waiting_for,
        estimate_seconds,
        transaction_hash: Some(burned.transaction_hash),
        block_number: Some(U64::from(burned.block)),
        checkpoint: Some(U64::from(number)),
        also: Vec::new(),
    }))
}

/// Checkpoint numbers in the chain's state.
struct Numbers {
    latest: u64,
    recorded: u64,
}

fn withdrawal_stage(claimed: bool, covering: u64, chain: &Numbers, progress: &PegProgress) -> WithdrawalStage {
    if claimed {
        WithdrawalStage::Claimed
    } else if progress.checkpoint_accepted.is_some_and(|accepted| accepted >= covering) {
        WithdrawalStage::Accepted
    } else if chain.recorded >= covering || progress.checkpoint_signed.is_some_and(|signed| signed >= covering) {
        WithdrawalStage::Certified
    } else if chain.latest >= covering {
        WithdrawalStage::CheckpointDue
    } else {
        WithdrawalStage::Burned
    }
}

/// The duration of blocks in seconds, rounded up.
fn in_seconds(block_interval_ms: u64, blocks: u64) -> u64 {
    block_interval_ms.saturating_mul(blocks).div_ceil(1_000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn subjects_parse_in_each_form() {
        let parse = |text: &str| serde_json::from_str::<Subject>(text);
        let hash = B256::repeat_byte(9);
        assert_eq!(parse(&format!("\"{hash}\"")).unwrap(), Subject::Transaction(hash));
        for text in ["{\"deposit\":16}", "{\"deposit\":\"0x10\"}"] {
            let Subject::Deposit(subject) = parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(subject.deposit.get(), 16);
        }
        let Subject::Withdrawal(subject) = parse("{\"withdrawal\":\"0x0\"}").unwrap() else { panic!() };
        assert_eq!(subject.withdrawal.get(), 0);
        for text in ["{}", "{\"deposit\":1,\"withdrawal\":1}", "\"0x10\"", "{\"deposit\":-1}", "5"] {
            parse(text).unwrap_err();
        }
    }

    #[test]
    fn a_deposit_climbs_step_by_step() {
        let mut progress = PegProgress::default();
        assert_eq!(deposit_stage(3, false, &progress), DepositStage::NotSeen);
        progress.deposits_seen = 3;
        assert_eq!(deposit_stage(3, false, &progress), DepositStage::Finalised);
        assert_eq!(deposit_stage(4, false, &progress), DepositStage::NotSeen);
        progress.deposits_attested = 3;
        assert_eq!(deposit_stage(3, false, &progress), DepositStage::Attested);
        assert_eq!(deposit_stage(3, true, &progress), DepositStage::Minted);
    }

    #[test]
    fn a_withdrawal_climbs_step_by_step() {
        let mut progress = PegProgress::default();
        let mut chain = Numbers { latest: 1, recorded: 1 };
        let stage = |chain: &Numbers, progress: &PegProgress| withdrawal_stage(false, 2, chain, progress);
        assert_eq!(stage(&chain, &progress), WithdrawalStage::Burned);
        chain.latest = 2;
        assert_eq!(stage(&chain, &progress), WithdrawalStage::CheckpointDue);
        progress.checkpoint_signed = Some(2);
        assert_eq!(stage(&chain, &progress), WithdrawalStage::Certified);
        chain.recorded = 2;
        assert_eq!(stage(&chain, &PegProgress::default()), WithdrawalStage::Certified);
        progress.checkpoint_accepted = Some(1);
        assert_eq!(stage(&chain, &progress), WithdrawalStage::Certified);
        progress.checkpoint_accepted = Some(3);
        assert_eq!(stage(&chain, &progress), WithdrawalStage::Accepted);
        assert_eq!(withdrawal_stage(true, 2, &chain, &progress), WithdrawalStage::Claimed);
    }

    #[test]
    fn estimates_round_up() {
        assert_eq!(in_seconds(500, 3), 2);
        assert_eq!(in_seconds(500, 0), 0);
        assert_eq!(in_seconds(u64::MAX, u64::MAX), u64::MAX.div_ceil(1_000));
    }
}
