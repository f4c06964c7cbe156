//! Actions of stakers and operators: delegate, redelegate, undelegate, claim rewards and unbonded stake, register, exit, unjail.
//!
//! Possible actions are read from a node's state, as a wallet does; the checks verify the module.

use std::{collections::BTreeSet, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_consensus::{Ed25519Signer, Signer};
use causeway_execution::{RecoveredTx, peg_state, staking_state};
use causeway_genesis::addresses::{STAKE_TOKEN, STAKING};
use causeway_peg::{LocalPegSigner, PegModule, PegSigner};
use causeway_staking::{
    IStakeToken, IStaking,
    registration::{consensus_message, peg_digest},
    views,
};
use causeway_storage::{StateView, Storage};

use super::{
    USERS, Users,
    actions::tip,
    code::{Contract, Outcome},
    intent::Intent,
    wallet::Order,
};
use crate::{rng::Rng, setup, world::Scene};

/// Gas of a call of the staking module: an undelegation may be spread over many epochs.
const STAKE_GAS: u64 = 3_000_000;
/// Number of members that must remain, in addition to three for each Byzantine one, before an honest one may exit.
const MEMBERS_LEFT: usize = 5;

/// A staker's position, as a wallet shows it.
struct Market {
    state: Arc<StateView>,
    /// Operators to delegate to: of honest machines, registered, neither exiting nor expelled.
    open: Vec<Address>,
    /// Honest operators that may leave jail.
    jailed: Vec<usize>,
    /// Byzantine operators that were not punished yet.
    fleeing: Vec<usize>,
    members: BTreeSet<Address>,
    exiting: usize,
    now_s: u64,
}

impl Users {
    /// One staker or operator does something.
    pub(super) fn staker_turn(&mut self, scene: &mut Scene<'_>, rng: &mut Rng, sends: &mut Vec<Arc<RecoveredTx>>) {
        let honest = scene.machines.iter().filter(|machine| machine.honest);
        let Some(storage) = honest.max_by_key(|machine| machine.head()).and_then(|machine| machine.storage()) else {
            return;
        };
        let Some(market) = self.market(scene, storage) else { return };
        let Some((place, to, input)) = self.stake_call(scene, &market, rng) else { return };
        // An account that cannot pay the largest possible cost waits.
        let rich = self.spare(place) > super::Wallet::fees(STAKE_GAS);
        let own = !self.books.is_shared(self.wallets[place].address);
        if own && rich && self.wallets[place].is_free() {
            let (to, value, intent) = (TxKind::Call(to), U256::ZERO, Intent::Stakes);
            let order = Order { to, value, input, gas: STAKE_GAS, tip: tip(rng), intent };
            sends.push(self.wallets[place].send(order, scene.now_ms));
        }
    }

    fn market(&self, scene: &Scene<'_>, storage: &Storage) -> Option<Market> {
        let state = storage.latest();
        let now_s = storage.head().timestamp;
        let mut slots = staking_state(state.as_ref());
        let (mut open, mut jailed, mut fleeing, mut exiting) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for operator in views::validators(&mut slots).ok()? {
            let Some(validator) = views::validator(&mut slots, operator).ok()? else { continue };
            let Some(place) = self.by_address.get(&operator).copied() else { continue };
            let machine = place.checked_sub(USERS).and_then(|index| scene.machines.get(index));
            let honest = machine.is_some_and(|machine| machine.honest);
            exiting += usize::from(validator.exit_epoch.is_some());
            if !honest && !validator.tombstoned {
                fleeing.push(place);
            }
            if !honest || validator.tombstoned || validator.exit_epoch.is_some() {
                continue;
            }
            if validator.jailed && validator.jailed_until <= now_s {
                jailed.push(place);
            }
            open.push(operator);
        }
        let members = views::active_set(&mut slots).ok()?.into_iter().map(|member| member.operator).collect();
        Some(Market { open, jailed, fleeing, members, exiting, now_s, state })
    }

    /// The caller and the call.
    fn stake_call(&self, scene: &Scene<'_>, market: &Market, rng: &mut Rng) -> Option<(usize, Address, Bytes)> {
        if !market.jailed.is_empty() && rng.percent(60) {
            return staking(*rng.pick(&market.jailed), IStaking::unjailCall {});
        }
        if !market.fleeing.is_empty() && rng.percent(40) {
            return self.flight(market, rng);
        }
        let mut slots = staking_state(market.state.as_ref());
        // Mostly users, sometimes an operator with stake beyond its own bond.
        let place = if rng.percent(80) { rng.index(USERS) } else { rng.index(self.wallets.len()) };
        let who = self.wallets[place].address;
        let pick = |rng: &mut Rng| (!market.open.is_empty()).then(|| *rng.pick(&market.open));
        match rng.below(100) {
            0..25 => {
                let liquid = views::balance_of(&mut slots, who).ok()?;
                let amount = part(rng, liquid);
                staking(place, IStaking::delegateCall { validator: pick(rng)?, amount })
            }
            25..35 => {
                let (validator, amount) = self.delegated(market, place, rng)?;
                staking(place, IStaking::undelegateCall { validator, amount })
            }
            35..45 => {
                let (from, amount) = self.delegated(market, place, rng)?;
                staking(place, IStaking::redelegateCall { from, to: pick(rng)?, amount })
            }
            45..58 => {
                let delegations = views::delegations(&mut slots, who).ok()?;
                let (validator, _) = (!delegations.is_empty()).then(|| *rng.pick(&delegations))?;
                staking(place, IStaking::claimRewardsCall { validator })
            }
            58..70 => {
                let acked = PegModule::acked_epoch(&mut peg_state(market.state.as_ref())).unwrap_or(0);
                let params = scene.genesis.schedule.first().staking;
                let mut unbondings = views::unbondings(&mut slots, &params, acked, who).ok()?;
                // Mostly within the available amount; the module refuses more.
                if rng.percent(80) {
                    unbondings.retain(|unbonding| unbonding.claimable_at.is_some_and(|at| at <= market.now_s));
                }
                let unbonding = (!unbondings.is_empty()).then(|| *rng.pick(&unbondings))?;
                let (validator, leave_epoch) = (unbonding.validator, unbonding.leave_epoch);
                staking(place, IStaking::claimUnbondedCall { validator, leaveEpoch: leave_epoch })
            }
            70..74 => staking(self.operator(rng)?, IStaking::claimCommissionCall {}),
            74..76 => {
                let bps = u16::try_from(rng.below(200)).unwrap_or(0);
                staking(self.operator(rng)?, IStaking::setCommissionCall { bps })
            }
            76..88 => self.registration(scene, market, rng),
            88..92 => self.exit(scene, market, rng),
            92..96 => {
                let to = match self.contract(rng, Contract { target: STAKING, outcome: Outcome::PassedOn }) {
                    Some(contract) if rng.percent(50) => contract,
                    _ => self.wallets[rng.index(USERS)].address,
                };
                let amount = part(rng, views::balance_of(&mut slots, who).ok()?);
                let call = IStakeToken::transferCall { to, amount }.abi_encode();
                Some((place, STAKE_TOKEN, call.into()))
            }
            // A contract with stake of its own delegates it.
            _ => {
                let contract = self.contract(rng, Contract { target: STAKING, outcome: Outcome::PassedOn })?;
                let amount = views::balance_of(&mut slots, contract).ok()?;
                let call = IStaking::delegateCall { validator: pick(rng)?, amount }.abi_encode();
                Some((place, contract, call.into()))
            }
        }
    }

    /// A part of one delegation of an account; an operator keeps enough of its own bond.
    fn delegated(&self, market: &Market, place: usize, rng: &mut Rng) -> Option<(Address, U256)> {
        let who = self.wallets[place].address;
        let mut delegations = views::delegations(&mut staking_state(market.state.as_ref()), who).ok()?;
        delegations.retain(|(validator, delegation)| *validator != who && !delegation.tokens.is_zero());
        let (validator, delegation) = (!delegations.is_empty()).then(|| *rng.pick(&delegations))?;
        // The largest number means the whole delegation.
        let amount = if rng.percent(25) { U256::MAX } else { part(rng, delegation.tokens) };
        Some((validator, amount))
    }

    /// A Byzantine operator undelegates some of its own bond before it is punished.
    fn flight(&self, market: &Market, rng: &mut Rng) -> Option<(usize, Address, Bytes)> {
        let place = *rng.pick(&market.fleeing);
        let validator = self.wallets[place].address;
        let bond = views::delegations(&mut staking_state(market.state.as_ref()), validator).ok()?;
        let (_, own) = bond.into_iter().find(|(of, own)| *of == validator && !own.tokens.is_zero())?;
        staking(place, IStaking::undelegateCall { validator, amount: part(rng, own.tokens) })
    }

    fn operator(&self, rng: &mut Rng) -> Option<usize> {
        let operators = self.wallets.len().checked_sub(USERS).filter(|operators| *operators > 0)?;
        Some(USERS + rng.index(operators))
    }

    /// Registers a node with keys that is not a validator yet.
    fn registration(&self, scene: &Scene<'_>, market: &Market, rng: &mut Rng) -> Option<(usize, Address, Bytes)> {
        let mut slots = staking_state(market.state.as_ref());
        let mut new = Vec::new();
        let honest = |place: &usize| scene.machines.get(place - USERS).is_some_and(|machine| machine.honest);
        for place in (USERS..self.wallets.len()).filter(honest) {
            if views::validator(&mut slots, self.wallets[place].address).ok()?.is_none() {
                new.push(place);
            }
        }
        let place = (!new.is_empty()).then(|| *rng.pick(&new))?;
        let (keys, operator, chain) =
            (setup::node_keys(place - USERS), self.wallets[place].address, scene.genesis.hash);
        let consensus_key = B256::from(keys.consensus_public().0);
        let signer = Ed25519Signer::new(keys.consensus.expose());
        let consensus_proof = signer.sign(&consensus_message(chain, operator, consensus_key)).ok()?;
        let peg = LocalPegSigner::new((*keys.peg.expose()).into()).ok()?;
        let peg_proof = peg.sign(peg_digest(chain, operator, peg.address())).ok()?;
        staking(
            place,
            IStaking::registerCall {
                consensusKey: consensus_key,
                consensusProof: consensus_proof.to_vec().into(),
                pegAddress: peg.address(),
                pegProof: peg_proof.as_bytes().to_vec().into(),
                commissionBps: u16::try_from(rng.below(2_000)).unwrap_or(0),
                selfBond: setup::stake(rng.between(300, setup::STAKE_TOKENS)),
            },
        )
    }

    /// An honest member exits, when enough members stay to keep the Byzantine ones below a third.
    fn exit(&self, scene: &Scene<'_>, market: &Market, rng: &mut Rng) -> Option<(usize, Address, Bytes)> {
        let staying = market.members.len().saturating_sub(market.exiting);
        let leaving: Vec<Address> =
            market.open.iter().filter(|operator| market.members.contains(*operator)).copied().collect();
        if staying < MEMBERS_LEFT + 3 * scene.plan.byzantine.len() || leaving.is_empty() {
            return None;
        }
        let place = self.by_address.get(rng.pick(&leaving)).copied()?;
        staking(place, IStaking::exitCall {})
    }
}

fn staking(place: usize, call: impl SolCall) -> Option<(usize, Address, Bytes)> {
    Some((place, STAKING, call.abi_encode().into()))
}

/// A part of an amount, often an odd number; at least 1.
fn part(rng: &mut Rng, of: U256) -> U256 {
    let part = of / U256::from(rng.between(1, 9));
    (if rng.percent(50) { part.saturating_sub(U256::from(rng.below(1_000))) } else { part }).max(U256::ONE)
}
