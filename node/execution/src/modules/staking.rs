//! The staking module at its address: `causeway-staking`'s rules behind the `IStaking` interface.

use alloy_primitives::Bytes;
use alloy_sol_types::{SolCall, SolInterface};
use causeway_consensus::ConsensusKey;
use causeway_staking::{Env, StakingFault, abi::IStaking, views};

use super::{
    chain::ChainModules,
    meter::{ModuleCall, Stop},
    outcome::{Outcome, acked_epoch, env, mutate, refused, revert, stop},
    proofs, staking_views,
};

use IStaking::IStakingCalls as Call;

/// Runs one call.
pub(crate) fn run(chain: &ChainModules, call: &mut ModuleCall<'_, '_>, input: &[u8]) -> Outcome {
    call.charge_each(input.len().div_ceil(32), call.prices().input_word)?;
    // Validating: no two encodings of one call, no dirty upper bits.
    let Ok(request) = Call::abi_decode_validate(input) else {
        return revert(IStaking::InvalidCall {});
    };
    if !call.value().is_zero() {
        return revert(IStaking::NotPayable {});
    }
    match act(chain, call, &request)? {
        Some(output) => Ok(output),
        None => staking_views::answer(chain, call, &request),
    }
}

/// Runs `request` when it changes something; `None` when it only asks.
fn act(chain: &ChainModules, call: &mut ModuleCall<'_, '_>, request: &Call) -> Result<Option<Bytes>, Stop> {
    let staking = &chain.staking;
    // Nothing but a claim of unbonded stake depends on what the parent acknowledged.
    let env = env(call, 0);
    let output = match request {
        Call::register(request) => register(chain, call, &env, request)?,
        Call::delegate(request) => {
            mutate(call, |call| staking.delegate(call, &env, request.validator, request.amount))?;
            Vec::new()
        }
        Call::undelegate(request) => {
            let (first, last) = mutate(call, |call| staking.undelegate(call, &env, request.validator, request.amount))?;
            let returns = IStaking::undelegateReturn { firstEpoch: first, lastEpoch: last };
            IStaking::undelegateCall::abi_encode_returns(&returns)
        }
        Call::redelegate(request) => {
            let id = mutate(call, |call| staking.redelegate(call, &env, request.from, request.to, request.amount))?;
            IStaking::redelegateCall::abi_encode_returns(&id)
        }
        Call::settleRedelegation(request) => {
            mutate(call, |call| staking.settle_redelegation(call, &env, request.id))?;
            Vec::new()
        }
        Call::claimUnbonded(request) => {
            call.require_mutable()?;
            let env = Env { acked_epoch: acked_epoch(chain, call)?, ..env };
            let amount =
                mutate(call, |call| staking.claim_unbonded(call, &env, request.validator, request.leaveEpoch))?;
            IStaking::claimUnbondedCall::abi_encode_returns(&amount)
        }
        Call::claimRewards(request) => {
            let coin = mutate(call, |call| staking.claim_rewards(call, &env, request.validator))?;
            IStaking::claimRewardsCall::abi_encode_returns(&coin)
        }
        Call::claimCommission(_) => {
            let coin = mutate(call, |call| staking.claim_commission(call, &env))?;
            IStaking::claimCommissionCall::abi_encode_returns(&coin)
        }
        Call::setCommission(request) => {
            mutate(call, |call| staking.set_commission(call, &env, request.bps))?;
            Vec::new()
        }
        Call::unjail(_) => {
            mutate(call, |call| staking.unjail(call, &env))?;
            Vec::new()
        }
        Call::exit(_) => {
            let epoch = mutate(call, |call| staking.exit(call, &env))?;
            IStaking::exitCall::abi_encode_returns(&epoch)
        }
        Call::reportEvidence(request) => report_evidence(chain, call, &env, request)?,
        _ => return Ok(None),
    };
    Ok(Some(output.into()))
}

fn register(
    chain: &ChainModules,
    call: &mut ModuleCall<'_, '_>,
    env: &Env,
    request: &IStaking::registerCall,
) -> Result<Vec<u8>, Stop> {
    call.require_mutable()?;
    call.charge_each(2, call.prices().signature)?;
    let (key, address) = (request.consensusKey, request.pegAddress);
    let proven = proofs::consensus_proof_holds(chain.genesis_hash, env.sender, key, &request.consensusProof)
        && proofs::peg_proof_holds(chain.genesis_hash, env.sender, address, &request.pegProof);
    if !proven {
        return Err(refused(StakingFault::InvalidProof));
    }
    let (bps, bond) = (request.commissionBps, request.selfBond);
    mutate(call, |call| chain.staking.register(call, env, key, address, bps, bond))?;
    Ok(Vec::new())
}

/// Verifies evidence from its own bytes. A proposer's report rewards the validator that built the block. Its slots are free:
/// else an offender could spread unbonding stake over so many epochs that no report fits a block. The module bounds the work, once for
/// each validator, by the epochs of an unbonding period.
fn report_evidence(
    chain: &ChainModules,
    call: &mut ModuleCall<'_, '_>,
    env: &Env,
    request: &IStaking::reportEvidenceCall,
) -> Result<Vec<u8>, Stop> {
    call.require_mutable()?;
    call.charge_each(2, call.prices().signature)?;
    call.charge_each(request.evidence.len().div_ceil(32), call.prices().hash_word)?;
    let Some(evidence) = proofs::decode_evidence(&request.evidence) else {
        return Err(refused(StakingFault::InvalidEvidence));
    };
    // A key that nobody registered can have no part in this chain's consensus.
    let Some(key) = views::key_of_id(call, evidence.validator()).map_err(stop)? else {
        return Err(refused(StakingFault::InvalidEvidence));
    };
    if evidence.verify(chain.genesis_hash, &ConsensusKey(key.0)).is_err() {
        return Err(refused(StakingFault::InvalidEvidence));
    }
    let mut reporter = env.sender;
    if call.is_system() {
        reporter = call.beneficiary();
        call.stop_metering_slots();
    }
    let (height, epoch) = (evidence.height().0, request.epoch);
    mutate(call, |call| chain.staking.punish_double_sign(call, env, key, height, epoch, reporter))?;
    Ok(Vec::new())
}
