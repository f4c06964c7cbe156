//! `causeway stake claim`: rewards, commission, and stake whose unbonding is over.

use alloy_primitives::{Address, U64, U256};
use alloy_sol_types::SolEvent;
use causeway_staking::IStaking;
use clap::Args;
use eyre::eyre;
use serde_json::{Value, json};

use super::{
    answers::{self, Delegation, Redelegation, Unbonding, Validator},
    send::{SendArgs, Sender, events},
};
use crate::cli::{amount::whole, say, sidechain::Landed};

#[derive(Debug, Args)]
pub(in crate::cli) struct ClaimArgs {
    /// Only from this validator, named by its operator.
    #[arg(long)]
    validator: Option<Address>,
    /// Only rewards.
    #[arg(long, conflicts_with_all = ["commission", "unbonded"])]
    rewards: bool,
    /// Only the commission of the paying account's own validator.
    #[arg(long, conflicts_with = "unbonded")]
    commission: bool,
    /// Only stake whose unbonding is over.
    #[arg(long)]
    unbonded: bool,
    #[command(flatten)]
    send: SendArgs,
}

/// The results so far.
struct Claims<'a> {
    sender: &'a Sender,
    /// Only from this validator.
    only: Option<Address>,
    made: Vec<Value>,
    /// Transaction of the last claim.
    last: Option<Landed>,
    coin: U256,
    stake: U256,
}

impl ClaimArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let sender = self.send.connect().await?;
        let mut claims = Claims {
            sender: &sender,
            only: self.validator,
            made: Vec::new(),
            last: None,
            coin: U256::ZERO,
            stake: U256::ZERO,
        };
        let outcome = self.claim(&mut claims).await;
        // Also when a later claim failed: the earlier claims are final.
        claims.tell()?;
        outcome?;
        if claims.last.is_none() {
            return Err(eyre!(
                "there is nothing to claim for {} now: causeway stake status --account {} tells what comes when",
                sender.address(),
                sender.address()
            ));
        }
        Ok(())
    }

    async fn claim(&self, claims: &mut Claims<'_>) -> eyre::Result<()> {
        let everything = !(self.rewards || self.commission || self.unbonded);
        if self.rewards || everything {
            claims.rewards().await?;
        }
        if self.commission || everything {
            claims.commission().await?;
        }
        if self.unbonded || everything {
            claims.unbonded().await?;
            claims.moves().await?;
        }
        Ok(())
    }
}

impl Claims<'_> {
    fn wants(&self, validator: Address) -> bool {
        self.only.is_none_or(|only| only == validator)
    }

    fn made(&mut self, landed: Landed, mut facts: Value, story: &str) -> eyre::Result<()> {
        if !self.sender.json {
            say(story)?;
        }
        facts["transaction"] = json!(landed.hash);
        self.made.push(facts);
        self.last = Some(landed);
        Ok(())
    }

    fn tell(&self) -> eyre::Result<()> {
        let Some(last) = &self.last else { return Ok(()) };
        self.sender.tell(last, json!({ "coin": self.coin, "stake": self.stake, "claims": self.made }), &[])
    }

    async fn rewards(&mut self) -> eyre::Result<()> {
        let delegations: Vec<Delegation> =
            self.sender.client().call("staking_delegations", (self.sender.address(),)).await?;
        for Delegation { validator, rewards, .. } in delegations {
            if rewards.is_zero() || !self.wants(validator) {
                continue;
            }
            let landed = self.sender.call(IStaking::claimRewardsCall { validator }).await?;
            let coin = sum(&landed, |event: &IStaking::RewardsClaimed| event.coin);
            self.coin = self.coin.saturating_add(coin);
            let story = format!("{} coins of rewards from {validator}.", whole(coin));
            self.made(landed, json!({ "claimed": "rewards", "validator": validator, "coin": coin }), &story)?;
        }
        Ok(())
    }

    async fn commission(&mut self) -> eyre::Result<()> {
        let operator = self.sender.address();
        let own: Option<Validator> = self.sender.client().call("staking_validator", (operator,)).await?;
        if !self.wants(operator) || own.is_none_or(|validator| validator.commission.is_zero()) {
            return Ok(());
        }
        let landed = self.sender.call(IStaking::claimCommissionCall {}).await?;
        let coin = sum(&landed, |event: &IStaking::CommissionClaimed| event.coin);
        self.coin = self.coin.saturating_add(coin);
        let story = format!("{} coins of commission.", whole(coin));
        self.made(landed, json!({ "claimed": "commission", "coin": coin }), &story)
    }

    async fn unbonded(&mut self) -> eyre::Result<()> {
        let unbondings: Vec<Unbonding> =
            self.sender.client().call("staking_unbondings", (self.sender.address(),)).await?;
        for Unbonding { validator, leave_epoch, claimable, .. } in unbondings {
            if !claimable || !self.wants(validator) {
                continue;
            }
            let call = IStaking::claimUnbondedCall { validator, leaveEpoch: leave_epoch.to() };
            let landed = self.sender.call(call).await?;
            let amount = sum(&landed, |event: &IStaking::UnbondedClaimed| event.amount);
            self.stake = self.stake.saturating_add(amount);
            let story =
                format!("{} stake tokens that left {validator} in epoch {leave_epoch} are liquid.", whole(amount));
            let facts =
                json!({ "claimed": "unbonded", "validator": validator, "leaveEpoch": leave_epoch, "amount": amount });
            self.made(landed, facts, &story)?;
        }
        Ok(())
    }

    /// Settles redelegations whose time is over, so that their stake is unlocked.
    async fn moves(&mut self) -> eyre::Result<()> {
        let client = self.sender.client();
        let moves: Vec<Redelegation> = client.call("staking_redelegations", (self.sender.address(),)).await?;
        let now = answers::now(client).await?;
        for Redelegation { id, from, to, free_at, .. } in moves {
            if free_at.is_none_or(|at: U64| at.to::<u64>() > now) || !(self.wants(from) || self.wants(to)) {
                continue;
            }
            let landed = self.sender.call(IStaking::settleRedelegationCall { id: id.to() }).await?;
            let story = format!("Move {id} from {from} to {to} is free.");
            self.made(landed, json!({ "claimed": "redelegation", "id": id, "from": from, "to": to }), &story)?;
        }
        Ok(())
    }
}

fn sum<E: SolEvent>(landed: &Landed, amount: impl Fn(&E) -> U256) -> U256 {
    events::<E>(landed).iter().fold(U256::ZERO, |sum, event| sum.saturating_add(amount(event)))
}
