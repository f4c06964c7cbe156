//! `causeway stake unjail|exit|commission`: what an operator does with its validator.

use alloy_primitives::{U64, U256};
use causeway_genesis::addresses::STAKING;
use causeway_staking::IStaking;
use clap::Args;
use eyre::eyre;
use serde_json::json;

use super::{
    answers,
    send::{SendArgs, events},
};
use crate::cli::amount::whole;

#[derive(Debug, Args)]
pub(in crate::cli) struct UnjailArgs {
    #[command(flatten)]
    send: SendArgs,
}

impl UnjailArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let sender = self.send.connect().await?;
        let landed = sender.call(IStaking::unjailCall {}).await?;
        let (epoch, height) = answers::epoch(sender.client()).await?.ahead(2);
        sender.tell(
            &landed,
            json!({ "operator": sender.address(), "entersEpoch": epoch, "entersHeight": height }),
            &[format!(
                "{} is out of jail and can be in the set again from epoch {epoch} on, about block {height}. Check first that its \
                 node runs and is at the head (causeway status).",
                sender.address()
            )],
        )
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExitArgs {
    #[command(flatten)]
    send: SendArgs,
}

impl ExitArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let sender = self.send.connect().await?;
        let landed = sender.call(IStaking::exitCall {}).await?;
        let event: IStaking::Exited = landed
            .event(STAKING)
            .ok_or_else(|| eyre!("transaction {} is no exit: {STAKING} is not the staking module", landed.hash))?;
        let own = events::<IStaking::Undelegated>(&landed)
            .iter()
            .fold(U256::ZERO, |sum, part| sum.saturating_add(part.amount));
        sender.tell(
            &landed,
            json!({ "operator": sender.address(), "exitEpoch": U64::from(event.exitEpoch), "selfBond": own }),
            &[
                format!("{} leaves for ever: it is in no set from epoch {} on.", sender.address(), event.exitEpoch),
                format!(
                    "Keep its node running until that epoch has begun: until then it must sign. Its {} stake tokens of self-bond \
                     can be claimed when the unbonding time is over; delegators undelegate theirs themselves.",
                    whole(own)
                ),
            ],
        )
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CommissionArgs {
    /// The new commission in basis points: 500 is 5 %.
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    bps: u16,
    #[command(flatten)]
    send: SendArgs,
}

impl CommissionArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let sender = self.send.connect().await?;
        let landed = sender.call(IStaking::setCommissionCall { bps: self.bps }).await?;
        sender.tell(
            &landed,
            json!({ "operator": sender.address(), "commissionBps": self.bps }),
            &[format!(
                "The commission of {} is {} basis points for rewards from now on; it can change again in a day.",
                sender.address(),
                self.bps
            )],
        )
    }
}
