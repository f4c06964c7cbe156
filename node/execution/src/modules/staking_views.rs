//! What the staking module answers to those who only ask.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use causeway_staking::{
    Member, StakingParams,
    abi::{IStaking, Params, RedelegationInfo, SetMember, Unbonding, ValidatorInfo},
    views::{self, RedelegationView, UnbondingView, ValidatorView},
};

use super::{
    chain::ChainModules,
    meter::ModuleCall,
    outcome::{Outcome, acked_epoch, revert, stop},
};

use IStaking::IStakingCalls as Call;

/// Answers `request`, a function that changes nothing.
pub(super) fn answer(chain: &ChainModules, call: &mut ModuleCall<'_, '_>, request: &Call) -> Outcome {
    let params = chain.staking.params();
    Ok(match request {
        Call::epoch(_) => {
            let epoch = views::epoch(call).map_err(stop)?;
            let returns = IStaking::epochReturn {
                number: epoch.number,
                startHeight: epoch.start_height,
                startTime: epoch.start_time,
                extended: epoch.extended,
            };
            IStaking::epochCall::abi_encode_returns(&returns)
        }
        Call::activeSet(_) => {
            let members = views::active_set(call).map_err(stop)?;
            IStaking::activeSetCall::abi_encode_returns(&set(&members))
        }
        Call::nextSet(_) => {
            let members = views::next_set(call).map_err(stop)?;
            IStaking::nextSetCall::abi_encode_returns(&set(&members))
        }
        Call::validator(request) => {
            let Some(found) = views::validator(call, request.operator).map_err(stop)? else {
                return revert(IStaking::UnknownValidator { operator: request.operator });
            };
            IStaking::validatorCall::abi_encode_returns(&info(&found))
        }
        Call::validators(_) => {
            let operators: Vec<Address> = views::validators(call).map_err(stop)?;
            IStaking::validatorsCall::abi_encode_returns(&operators)
        }
        Call::delegation(request) => {
            let found = views::delegation(call, request.delegator, request.validator).map_err(stop)?;
            let returns = IStaking::delegationReturn { shares: found.shares, tokens: found.tokens };
            IStaking::delegationCall::abi_encode_returns(&returns)
        }
        Call::pendingRewards(request) => {
            let coin: U256 = views::pending_rewards(call, request.delegator, request.validator).map_err(stop)?;
            IStaking::pendingRewardsCall::abi_encode_returns(&coin)
        }
        Call::unbondings(request) => {
            let acked = acked_epoch(chain, call)?;
            let found = views::unbondings(call, params, acked, request.delegator).map_err(stop)?;
            let list: Vec<Unbonding> = found.into_iter().map(unbonding).collect();
            IStaking::unbondingsCall::abi_encode_returns(&list)
        }
        Call::redelegations(request) => {
            let found = views::redelegations(call, params, request.delegator).map_err(stop)?;
            let list: Vec<RedelegationInfo> = found.into_iter().map(redelegation).collect();
            IStaking::redelegationsCall::abi_encode_returns(&list)
        }
        Call::totals(_) => {
            let totals = views::totals(call).map_err(stop)?;
            let returns = IStaking::totalsReturn {
                issued: totals.issued,
                bonded: totals.bonded,
                unbonding: totals.unbonding,
                slashed: totals.slashed,
                dust: totals.dust,
            };
            IStaking::totalsCall::abi_encode_returns(&returns)
        }
        Call::params(_) => IStaking::paramsCall::abi_encode_returns(&parameters(params)),
        // Handled by `act`; listed so that a new function of the interface does not compile unhandled.
        Call::register(_)
        | Call::delegate(_)
        | Call::undelegate(_)
        | Call::redelegate(_)
        | Call::settleRedelegation(_)
        | Call::claimUnbonded(_)
        | Call::claimRewards(_)
        | Call::claimCommission(_)
        | Call::setCommission(_)
        | Call::unjail(_)
        | Call::exit(_)
        | Call::reportEvidence(_) => return revert(IStaking::InvalidCall {}),
    }
    .into())
}

fn set(members: &[Member]) -> Vec<SetMember> {
    let member = |member: &Member| SetMember {
        operator: member.operator,
        consensusKey: member.consensus_key,
        pegAddress: member.peg_address,
        power: member.power,
        stake: member.stake,
    };
    members.iter().map(member).collect()
}

fn info(found: &ValidatorView) -> ValidatorInfo {
    ValidatorInfo {
        operator: found.operator,
        consensusKey: found.consensus_key,
        pegAddress: found.peg_address,
        commissionBps: found.commission_bps,
        tokens: found.tokens,
        shares: found.shares,
        selfBond: found.self_bond,
        power: found.power,
        jailed: found.jailed,
        jailedUntil: found.jailed_until,
        tombstoned: found.tombstoned,
        exitEpoch: found.exit_epoch.unwrap_or_default(),
        commission: found.commission,
        rewards: found.rewards,
    }
}

fn unbonding(found: UnbondingView) -> Unbonding {
    Unbonding {
        validator: found.validator,
        leaveEpoch: found.leave_epoch,
        tokens: found.tokens,
        claimableAt: found.claimable_at.unwrap_or_default(),
    }
}

fn redelegation(found: RedelegationView) -> RedelegationInfo {
    RedelegationInfo {
        id: found.id,
        from: found.from,
        to: found.to,
        leaveEpoch: found.leave_epoch,
        shares: found.shares,
        freeAt: found.free_at.unwrap_or_default(),
    }
}

fn parameters(params: &StakingParams) -> Params {
    Params {
        epochLength: params.epoch_length,
        maxValidators: params.max_validators,
        minSelfBond: params.min_self_bond,
        minDelegation: params.min_delegation,
        unbondingSeconds: params.unbonding_seconds,
        downtimeWindow: params.downtime_window,
        downtimeSlashPpm: params.downtime_slash_ppm,
        jailSeconds: params.jail_seconds,
        doubleSignSlashPpm: params.double_sign_slash_ppm,
        reporterPpm: params.reporter_ppm,
        issuancePpm: params.issuance_ppm,
        maxCommissionChangeBps: params.max_commission_change_bps,
    }
}
