//! `causeway stake status`: the epoch, every validator, and one account's stake.

use alloy_primitives::{Address, U64, U256};
use clap::Args;
use eyre::eyre;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{Delegation, Epoch, Redelegation, Unbonding, Validator};
use crate::cli::{
    amount::whole,
    rpc_client::{NodeArgs, RpcClient},
    say,
    time::moment,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Also this account's delegations, unbondings and rewards.
    #[arg(long)]
    account: Option<Address>,
    /// Only this validator, named by its operator.
    #[arg(long)]
    validator: Option<Address>,
    /// Print JSON: what the `staking_` methods answer.
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let client = RpcClient::new(&self.node.rpc)?;
        let mut answer = json!({
            "epoch": client.call::<_, Value>("staking_epoch", ()).await?,
            "validators": self.validators(&client).await?,
            "totals": client.call::<_, Value>("staking_totals", ()).await?,
        });
        if let Some(account) = self.account {
            answer["account"] = account_of(&client, account).await?;
        }
        if self.json {
            return say(answer);
        }
        print(&answer)
    }

    async fn validators(&self, client: &RpcClient) -> eyre::Result<Value> {
        let Some(operator) = self.validator else { return client.call("staking_validators", ()).await };
        match client.call("staking_validator", (operator,)).await? {
            Value::Null => Err(eyre!("{operator} is no validator's operator")),
            validator => Ok(json!([validator])),
        }
    }
}

async fn account_of(client: &RpcClient, account: Address) -> eyre::Result<Value> {
    Ok(json!({
        "address": account,
        "liquid": client.call::<_, U256>("staking_balance", (account,)).await?,
        "delegations": client.call::<_, Value>("staking_delegations", (account,)).await?,
        "unbondings": client.call::<_, Value>("staking_unbondings", (account,)).await?,
        "redelegations": client.call::<_, Value>("staking_redelegations", (account,)).await?,
    }))
}

fn print(answer: &Value) -> eyre::Result<()> {
    let epoch: Epoch = read(answer, "epoch")?;
    let (next, height) = epoch.ahead(1);
    say(format_args!(
        "epoch      {}, since block {}; epoch {next} begins about block {height}",
        epoch.number, epoch.start_height
    ))?;
    if let Some(alarm) = &epoch.alarm {
        say(format_args!("alarm      {alarm}"))?;
    }
    let validators: Vec<Validator> = read(answer, "validators")?;
    let total = validators.iter().fold(0u64, |sum, one| sum.saturating_add(one.power.to()));
    validators.iter().try_for_each(|validator| print_validator(validator, total))?;
    match answer.get("account") {
        Some(account) => print_account(account),
        None => Ok(()),
    }
}

fn print_validator(validator: &Validator, total: u64) -> eyre::Result<()> {
    say("")?;
    say(format_args!("validator  {} ({})", validator.operator, state(validator)))?;
    say(format_args!(
        "power      {} now, {} in the next epoch",
        share(validator.power, total),
        if validator.next_power.is_zero() { "none".to_owned() } else { validator.next_power.to_string() }
    ))?;
    say(format_args!("stake      {}, of which its own {}", whole(validator.stake), whole(validator.self_bond)))?;
    say(format_args!(
        "commission {} basis points, {} coins accrued",
        validator.commission_bps,
        whole(validator.commission)
    ))?;
    say(format_args!("rewards    {} coins unclaimed by its delegators", whole(validator.rewards)))?;
    if let Some(uptime) = &validator.uptime {
        say(format_args!(
            "uptime     signed {} of {} certificates of this window, {} a block",
            uptime.signed,
            uptime.certificates,
            if uptime.proposed { "proposed" } else { "did not propose" }
        ))?;
    }
    Ok(())
}

/// The power, and which part of the whole it is, in hundredths of a percent without floats.
fn share(power: U64, total: u64) -> String {
    let power = power.to::<u64>();
    if power == 0 || total == 0 {
        return power.to_string();
    }
    let hundredths = u128::from(power).saturating_mul(10_000) / u128::from(total);
    format!("{power} ({}.{:02} %)", hundredths / 100, hundredths % 100)
}

fn state(validator: &Validator) -> String {
    match (validator.status.as_str(), validator.jailed_until, validator.exit_epoch) {
        ("jailed", Some(until), _) => format!("jailed until {}", moment(until.to())),
        ("exiting" | "exited", _, Some(epoch)) => format!("{}, epoch {epoch}", validator.status),
        (status, _, _) => status.to_owned(),
    }
}

fn print_account(account: &Value) -> eyre::Result<()> {
    say("")?;
    say(format_args!("account    {}", account["address"].as_str().unwrap_or("?")))?;
    say(format_args!("liquid     {} stake tokens", whole(read(account, "liquid")?)))?;
    for Delegation { validator, tokens, rewards } in read::<Vec<Delegation>>(account, "delegations")? {
        say(format_args!("bonded     {} with {validator}, {} coins of rewards", whole(tokens), whole(rewards)))?;
    }
    for one in read::<Vec<Unbonding>>(account, "unbondings")? {
        let Unbonding { validator, leave_epoch, tokens, .. } = &one;
        let when = match (one.claimable, one.claimable_at) {
            (true, _) => "claimable now".to_owned(),
            (false, Some(at)) => format!("claimable at {}", moment(at.to())),
            (false, None) => "the time follows when that epoch has begun".to_owned(),
        };
        say(format_args!("unbonding  {} from {validator}, leaves in epoch {leave_epoch}, {when}", whole(*tokens)))?;
    }
    for Redelegation { id, from, to, leave_epoch, free_at } in read::<Vec<Redelegation>>(account, "redelegations")? {
        let when = match free_at {
            Some(at) => format!("free at {}", moment(at.to())),
            None => format!("the time it is free follows when epoch {leave_epoch} has begun"),
        };
        say(format_args!("move {id:<5} from {from} to {to}, {when}"))?;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(answer: &Value, field: &str) -> eyre::Result<T> {
    serde_json::from_value(answer[field].clone())
        .map_err(|error| eyre!("the node's answer has no {field} that this release reads: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_percent_with_two_decimals() {
        assert_eq!(share(U64::from(1), 3), "1 (33.33 %)");
        assert_eq!(share(U64::from(u64::MAX), u64::MAX), format!("{} (100.00 %)", u64::MAX));
        assert_eq!(share(U64::ZERO, 7), "0");
        assert_eq!(share(U64::from(5), 0), "5");
    }
}
