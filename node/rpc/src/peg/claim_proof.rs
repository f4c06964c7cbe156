//! `peg_getWithdrawalProof`: the arguments of `PegVault.claim` on the parent.

use alloy_primitives::{Address, B256, U64, U256};
use causeway_peg::withdrawal::withdrawal_leaf;
use causeway_peg::{PegModule, Withdrawal, tree};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;
use crate::peg::checkpoints::CheckpointFields;
use crate::peg::context::PegContext;
use crate::peg::index::{domain, slots};

pub(crate) fn register(module: &mut RpcModule<PegContext>) -> Result<(), RegisterMethodError> {
    method(module, "peg_getWithdrawalProof", Cost::Heavy, 2, withdrawal_proof)
}

/// A withdrawal, as the vault expects it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RpcWithdrawal {
    index: U64,
    token: Address,
    sender: Address,
    recipient: Address,
    amount: U256,
    relayer_fee: U256,
}

impl From<Withdrawal> for RpcWithdrawal {
    fn from(w: Withdrawal) -> Self {
        Self {
            index: U64::from(w.index),
            token: w.token,
            sender: w.sender,
            recipient: w.recipient,
            amount: w.amount,
            relayer_fee: w.relayerFee,
        }
    }
}

/// The arguments of `PegVault.claim`, and the values that the vault checks them against.
#[derive(Debug, Serialize)]
struct WithdrawalProof {
    withdrawal: RpcWithdrawal,
    checkpoint: CheckpointFields,
    digest: B256,
    leaf: B256,
    root: B256,
    count: U64,
    siblings: [B256; tree::TREE_DEPTH],
}

fn withdrawal_proof(peg: &PegContext, call: &Call<'_>) -> Result<WithdrawalProof, Fault> {
    let api = &*peg.api;
    let domain = domain(api)?;
    let index: u64 = call.args.required::<U64>(0)?.to();
    let asked: Option<U64> = call.args.optional(1)?;
    let withdrawal =
        api.withdrawal(index)?.ok_or_else(|| Fault::Refused(format!("withdrawal {index} not found")))?.withdrawal;
    let number = match asked {
        Some(number) => number.to(),
        None => claimable_checkpoint(api)?,
    };
    let checkpoint = slots(api, |s| PegModule::checkpoint(s, number))?
        .filter(|checkpoint| checkpoint.withdrawalCount > index)
        .ok_or_else(|| not_covered(index, number, asked.is_some()))?;
    let count = checkpoint.withdrawalCount;
    let leaf = withdrawal_leaf(&withdrawal);
    let siblings = peg.proofs.prove(index, count, |from, until| {
        call.check_deadline(&api.limits)?;
        let leaves: Vec<B256> = api.withdrawals(from, until)?.iter().map(withdrawal_leaf).collect();
        if usize::try_from(until.saturating_sub(from)) != Ok(leaves.len()) {
            return Err(Fault::internal("peg index", format_args!("withdrawals {from} to {until} are incomplete")));
        }
        Ok(leaves)
    })?;
    // The server never returns a proof that the vault would refuse.
    if !tree::verify(checkpoint.withdrawalRoot, count, leaf, index, &siblings) {
        return Err(Fault::internal(
            "withdrawal tree",
            format_args!("withdrawal {index} does not verify in checkpoint {number}"),
        ));
    }
    Ok(WithdrawalProof {
        withdrawal: withdrawal.into(),
        digest: domain.checkpoint_digest(&checkpoint),
        root: checkpoint.withdrawalRoot,
        checkpoint: checkpoint.into(),
        leaf,
        count: U64::from(count),
        siblings,
    })
}

fn not_covered(index: u64, number: u64, asked: bool) -> Fault {
    Fault::Refused(if asked {
        format!("checkpoint {number} does not cover withdrawal {index}")
    } else {
        format!("withdrawal {index} is not covered by an accepted checkpoint yet: see peg_status")
    })
}

/// The latest checkpoint that the parent has accepted. If this node does not know it: the latest whose certificate is in a block.
fn claimable_checkpoint(api: &Api) -> Result<u64, Fault> {
    match api.ctx.status.peg().and_then(|peg| peg.checkpoint_accepted) {
        Some(accepted) => Ok(accepted),
        None => slots(api, |s| PegModule::recorded_checkpoint_number(s)),
    }
}
