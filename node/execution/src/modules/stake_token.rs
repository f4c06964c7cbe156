//! The stake token at its address: an ERC-20 over the staking module's balance sheet.

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, SolInterface};
use causeway_staking::{
    abi::{IStakeToken, TOKEN_DECIMALS, TOKEN_NAME, TOKEN_SYMBOL},
    views,
};

use super::{
    chain::ChainModules,
    meter::ModuleCall,
    outcome::{Outcome, env, mutate, revert, stop},
};

use IStakeToken::IStakeTokenCalls as Call;

/// Runs one call.
pub(crate) fn run(chain: &ChainModules, call: &mut ModuleCall<'_, '_>, input: &[u8]) -> Outcome {
    call.charge_each(input.len().div_ceil(32), call.prices().input_word)?;
    let Ok(request) = Call::abi_decode_validate(input) else {
        return revert(IStakeToken::InvalidCall {});
    };
    if !call.value().is_zero() {
        return revert(IStakeToken::NotPayable {});
    }
    let staking = &chain.staking;
    let env = env(call, 0);
    Ok(match request {
        Call::transfer(request) => {
            mutate(call, |call| staking.transfer(call, &env, request.to, request.amount))?;
            IStakeToken::transferCall::abi_encode_returns(&true)
        }
        Call::approve(request) => {
            mutate(call, |call| staking.approve(call, &env, request.spender, request.amount))?;
            IStakeToken::approveCall::abi_encode_returns(&true)
        }
        Call::transferFrom(request) => {
            mutate(call, |call| staking.transfer_from(call, &env, request.from, request.to, request.amount))?;
            IStakeToken::transferFromCall::abi_encode_returns(&true)
        }
        Call::name(_) => IStakeToken::nameCall::abi_encode_returns(&TOKEN_NAME.to_owned()),
        Call::symbol(_) => IStakeToken::symbolCall::abi_encode_returns(&TOKEN_SYMBOL.to_owned()),
        Call::decimals(_) => IStakeToken::decimalsCall::abi_encode_returns(&TOKEN_DECIMALS),
        Call::totalSupply(_) => {
            let supply: U256 = views::total_supply(call).map_err(stop)?;
            IStakeToken::totalSupplyCall::abi_encode_returns(&supply)
        }
        Call::balanceOf(request) => {
            let balance: U256 = views::balance_of(call, request.account).map_err(stop)?;
            IStakeToken::balanceOfCall::abi_encode_returns(&balance)
        }
        Call::allowance(request) => {
            let allowance: U256 = views::allowance(call, request.owner, request.spender).map_err(stop)?;
            IStakeToken::allowanceCall::abi_encode_returns(&allowance)
        }
    }
    .into())
}
