//! The staking module at its address: `causeway-staking`'s rules behind the `IStaking` interface.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolInterface};
use causeway_consensus::{ConsensusKey, Validator, ValidatorId, ValidatorSet};
use causeway_genesis::addresses::{PEG, STAKING};
use causeway_peg::PegModule;
use causeway_staking::{Done, Env, Member, ModuleError, Slots, StakingFault, abi::IStaking, views};
use thiserror::Error;

use super::{
    ModuleRules,
    meter::{HASH_WORD_GAS, INPUT_WORD_GAS, ModuleCall, SIGNATURE_GAS, Stop},
    proofs, staking_views,
};
use crate::state::{SourceError, StateSource};

use IStaking::IStakingCalls as Call;

pub(super) type Outcome = Result<Bytes, Stop>;

/// Runs one call.
pub(crate) fn run(rules: &ModuleRules, call: &mut ModuleCall<'_, '_>, input: &[u8]) -> Outcome {
    call.charge_each(input.len().div_ceil(32), INPUT_WORD_GAS)?;
    // Validating: no two encodings of one call, no dirty upper bits.
    let Ok(request) = Call::abi_decode_validate(input) else {
        return revert(IStaking::InvalidCall {});
    };
    if !call.value().is_zero() {
        return revert(IStaking::NotPayable {});
    }
    match act(rules, call, &request)? {
        Some(output) => Ok(output),
        None => staking_views::answer(rules, call, &request),
    }
}

/// Runs `request` when it changes something; `None` when it only asks.
fn act(rules: &ModuleRules, call: &mut ModuleCall<'_, '_>, request: &Call) -> Result<Option<Bytes>, Stop> {
    let staking = &rules.staking;
    // Nothing but a claim of unbonded stake depends on what the parent acknowledged.
    let env = env(call, 0);
    let output = match request {
        Call::register(request) => register(rules, call, &env, request)?,
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
            let env = Env { acked_epoch: acked_epoch(rules, call)?, ..env };
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
        Call::reportEvidence(request) => report_evidence(rules, call, &env, request)?,
        _ => return Ok(None),
    };
    Ok(Some(output.into()))
}

fn register(
    rules: &ModuleRules,
    call: &mut ModuleCall<'_, '_>,
    env: &Env,
    request: &IStaking::registerCall,
) -> Result<Vec<u8>, Stop> {
    call.require_mutable()?;
    call.charge_each(2, SIGNATURE_GAS)?;
    let (key, address) = (request.consensusKey, request.pegAddress);
    let proven = proofs::consensus_proof_holds(rules.genesis_hash, env.sender, key, &request.consensusProof)
        && proofs::peg_proof_holds(rules.genesis_hash, env.sender, address, &request.pegProof);
    if !proven {
        return Err(refused(StakingFault::InvalidProof));
    }
    let (bps, bond) = (request.commissionBps, request.selfBond);
    mutate(call, |call| rules.staking.register(call, env, key, address, bps, bond))?;
    Ok(Vec::new())
}

/// Verifies evidence from its own bytes. A proposer's report rewards the validator that built the block. Its slots are free:
/// else an offender could spread unbonding stake over so many epochs that no report fits a block. The module bounds the work, once for
/// each validator, by the epochs of an unbonding period.
fn report_evidence(
    rules: &ModuleRules,
    call: &mut ModuleCall<'_, '_>,
    env: &Env,
    request: &IStaking::reportEvidenceCall,
) -> Result<Vec<u8>, Stop> {
    call.require_mutable()?;
    call.charge_each(2, SIGNATURE_GAS)?;
    call.charge_each(request.evidence.len().div_ceil(32), HASH_WORD_GAS)?;
    let Some(evidence) = proofs::decode_evidence(&request.evidence) else {
        return Err(refused(StakingFault::InvalidEvidence));
    };
    // A key that nobody registered can have no part in this chain's consensus.
    let Some(key) = views::key_of_id(call, evidence.validator()).map_err(stop)? else {
        return Err(refused(StakingFault::InvalidEvidence));
    };
    if evidence.verify(rules.genesis_hash, &ConsensusKey(key.0)).is_err() {
        return Err(refused(StakingFault::InvalidEvidence));
    }
    let mut reporter = env.sender;
    if call.is_system() {
        reporter = call.beneficiary();
        call.stop_metering_slots();
    }
    let (height, epoch) = (evidence.height().0, request.epoch);
    mutate(call, |call| rules.staking.punish_double_sign(call, env, key, height, epoch, reporter))?;
    Ok(Vec::new())
}

/// Runs an action and carries out what follows from it outside the module's slots: events, and coin out of the reward pool.
pub(super) fn mutate<'c, 'a, T>(
    call: &mut ModuleCall<'c, 'a>,
    action: impl FnOnce(&mut ModuleCall<'c, 'a>) -> Result<Done<T>, ModuleError<Stop>>,
) -> Result<T, Stop> {
    call.require_mutable()?;
    let done = action(call).map_err(stop)?;
    for payment in done.payments {
        call.pay(payment.to, payment.amount)?;
    }
    for log in done.logs {
        call.log_from(log.address, log.data)?;
    }
    Ok(done.value)
}

pub(super) fn env(call: &ModuleCall<'_, '_>, acked_epoch: u64) -> Env {
    Env { sender: call.caller(), timestamp: call.timestamp(), height: call.block_number(), acked_epoch }
}

/// Latest epoch whose set the parent is known to have; 0 on a chain without a parent, where it is not asked for.
pub(super) fn acked_epoch(rules: &ModuleRules, call: &mut ModuleCall<'_, '_>) -> Result<u64, Stop> {
    if rules.peg.is_none() {
        return Ok(0);
    }
    call.with_storage_of(PEG, PegModule::acked_epoch)
}

pub(super) fn stop(error: ModuleError<Stop>) -> Stop {
    match error {
        ModuleError::Slots(stop) => stop,
        ModuleError::Refused(fault) => refused(fault),
    }
}

fn refused(fault: StakingFault) -> Stop {
    Stop::Revert(fault.revert_data())
}

pub(super) fn revert(error: impl SolError) -> Outcome {
    Err(Stop::Revert(error.abi_encode().into()))
}

/// Why a staking slot could not be used outside a block, or a set could not be read.
#[derive(Debug, Error)]
pub enum StakingSlotsError {
    /// Local state could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The view is read-only.
    #[error("staking state is read-only here")]
    ReadOnly,
    /// The state holds what no rule could have written: the database is damaged, or this is a bug.
    #[error("staking state is broken: {0}")]
    Broken(String),
}

impl From<ModuleError<Self>> for StakingSlotsError {
    fn from(error: ModuleError<Self>) -> Self {
        match error {
            ModuleError::Slots(error) => error,
            ModuleError::Refused(fault) => Self::Broken(fault.to_string()),
        }
    }
}

/// The staking slots in some state, read-only: what RPC and the node look at with [`causeway_staking::views`].
#[derive(Clone, Copy)]
pub struct StakingSlots<'a>(&'a dyn StateSource);

impl std::fmt::Debug for StakingSlots<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StakingSlots")
    }
}

/// The staking slots in `state`.
pub fn staking_state(state: &dyn StateSource) -> StakingSlots<'_> {
    StakingSlots(state)
}

impl Slots for StakingSlots<'_> {
    type Error = StakingSlotsError;

    fn load(&mut self, slot: U256) -> Result<U256, StakingSlotsError> {
        Ok(self.0.storage(STAKING, slot)?)
    }

    fn store(&mut self, _: U256, _: U256) -> Result<(), StakingSlotsError> {
        Err(StakingSlotsError::ReadOnly)
    }
}

/// The validators that decide the block after `state`, and the operator account of each.
///
/// # Errors
/// [`StakingSlotsError`]: local trouble.
pub fn validator_set_at(
    state: &dyn StateSource,
) -> Result<(ValidatorSet, BTreeMap<ValidatorId, Address>), StakingSlotsError> {
    consensus_set(&views::active_set(&mut staking_state(state))?)
}

/// The validators of the epoch after the one of `state`, as announced by now, and the operator account of each.
///
/// # Errors
/// [`StakingSlotsError`]: local trouble.
pub fn next_validator_set_at(
    state: &dyn StateSource,
) -> Result<(ValidatorSet, BTreeMap<ValidatorId, Address>), StakingSlotsError> {
    consensus_set(&views::next_set(&mut staking_state(state))?)
}

fn consensus_set(members: &[Member]) -> Result<(ValidatorSet, BTreeMap<ValidatorId, Address>), StakingSlotsError> {
    let validator = |member: &Member| Validator::new(ConsensusKey(B256::from(member.consensus_key).0), member.power);
    let set = ValidatorSet::new(members.iter().map(validator).collect())
        .map_err(|error| StakingSlotsError::Broken(error.to_string()))?;
    let operators = members.iter().map(|member| (ConsensusKey(member.consensus_key.0).id(), member.operator));
    Ok((set, operators.collect()))
}
