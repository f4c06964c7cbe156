//! `causeway stake delegate|undelegate|redelegate`: stake that moves.

use alloy_primitives::{Address, U64, U256};
use causeway_genesis::addresses::STAKING;
use causeway_staking::IStaking;
use clap::Args;
use eyre::eyre;
use serde_json::json;

use super::{
    answers,
    send::{SendArgs, events},
};
use crate::cli::amount::{Unit, whole};

#[derive(Debug, Args)]
pub(in crate::cli) struct DelegateArgs {
    /// Operator of the validator.
    #[arg(long)]
    validator: Address,
    /// Amount in stake tokens, for example 12.5.
    #[arg(long)]
    amount: String,
    #[command(flatten)]
    send: SendArgs,
}

impl DelegateArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let (validator, amount) = (self.validator, Unit::Stake.parse_some(&self.amount)?);
        let sender = self.send.connect().await?;
        let landed = sender.call(IStaking::delegateCall { validator, amount }).await?;
        let event: IStaking::Delegated = landed.event(STAKING).ok_or_else(|| {
            eyre!("transaction {} left no delegation: {STAKING} is not the staking module", landed.hash)
        })?;
        let (epoch, height) = answers::epoch(sender.client()).await?.ahead(2);
        sender.tell(
            &landed,
            json!({ "validator": validator, "amount": event.amount, "shares": event.shares, "countsFromEpoch": epoch }),
            &[
                format!("{} stake tokens are bonded with {validator} and earn with it from now on.", whole(event.amount)),
                format!("They count for its power from epoch {epoch} on (about block {height}), as far as the bounds on growth allow."),
            ],
        )
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UndelegateArgs {
    /// Operator of the validator.
    #[arg(long)]
    validator: Address,
    /// Amount in stake tokens, for example 12.5.
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    amount: Option<String>,
    /// Everything that is bonded with the validator.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    send: SendArgs,
}

impl UndelegateArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let validator = self.validator;
        let amount = match &self.amount {
            Some(amount) => Unit::Stake.parse_some(amount)?,
            // The module's word for everything.
            None => U256::MAX,
        };
        let sender = self.send.connect().await?;
        let landed = sender.call(IStaking::undelegateCall { validator, amount }).await?;
        let parts: Vec<IStaking::Undelegated> = events(&landed);
        let total = parts.iter().fold(U256::ZERO, |sum, part| sum.saturating_add(part.amount));
        let leaving: Vec<_> = parts
            .iter()
            .map(|part| json!({ "amount": part.amount, "leaveEpoch": U64::from(part.leaveEpoch) }))
            .collect();
        let mut story = vec![format!("{} stake tokens leave {validator}:", whole(total))];
        story.extend(parts.iter().map(|part| format!("  {} in epoch {}", whole(part.amount), part.leaveEpoch)));
        story.push(
            "Until then they back the validator, and for the unbonding time after it they can still be slashed for what it did. \
             They earn nothing. See when: causeway stake status --account ADDRESS; then: causeway stake claim"
                .to_owned(),
        );
        sender.tell(&landed, json!({ "validator": validator, "amount": total, "leaving": leaving }), &story)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RedelegateArgs {
    /// Operator of the validator that the stake leaves.
    #[arg(long)]
    from: Address,
    /// Operator of the validator that gets it.
    #[arg(long)]
    to: Address,
    /// Amount in stake tokens, for example 12.5.
    #[arg(long)]
    amount: String,
    #[command(flatten)]
    send: SendArgs,
}

impl RedelegateArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let (from, to, amount) = (self.from, self.to, Unit::Stake.parse_some(&self.amount)?);
        let sender = self.send.connect().await?;
        let landed = sender.call(IStaking::redelegateCall { from, to, amount }).await?;
        let event: IStaking::Redelegated = landed
            .event(STAKING)
            .ok_or_else(|| eyre!("transaction {} moved nothing: {STAKING} is not the staking module", landed.hash))?;
        sender.tell(
            &landed,
            json!({ "id": U64::from(event.id), "from": from, "to": to, "amount": event.amount }),
            &[
                format!("{} stake tokens are with {to} now and earn there (move {}).", whole(event.amount), event.id),
                format!(
                    "They cannot move again, and answer for what {from} did, until the unbonding time is over: causeway stake \
                     status --account {}",
                    sender.address()
                ),
            ],
        )
    }
}
