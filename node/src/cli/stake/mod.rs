//! `causeway stake ...`: what operators of validators and those who delegate to them do.

mod actions;
mod answers;
mod claims;
mod evidence;
mod operator;
mod register;
mod send;
mod status;

use clap::Subcommand;

use super::block_on;

#[derive(Debug, Subcommand)]
pub(super) enum StakeCommand {
    /// Register a validator: the paying account becomes its operator, with the keys of a data directory, for ever.
    Register(register::RegisterArgs),
    /// Bond liquid stake with a validator.
    Delegate(actions::DelegateArgs),
    /// Start to take bonded stake back.
    Undelegate(actions::UndelegateArgs),
    /// Move bonded stake to another validator.
    Redelegate(actions::RedelegateArgs),
    /// Take rewards, commission, and stake whose unbonding is over.
    Claim(claims::ClaimArgs),
    /// Return from the jail for downtime.
    Unjail(operator::UnjailArgs),
    /// Stop validating, for ever, and take the self-bond back.
    Exit(operator::ExitArgs),
    /// Change a validator's commission.
    Commission(operator::CommissionArgs),
    /// The epoch, every validator, and one account's stake.
    Status(status::StatusArgs),
    /// Prove that a validator signed twice, for a share of what it loses.
    ReportEvidence(evidence::ReportEvidenceArgs),
}

impl StakeCommand {
    pub(super) fn run(self) -> eyre::Result<()> {
        block_on(async {
            match self {
                Self::Register(args) => args.run().await,
                Self::Delegate(args) => args.run().await,
                Self::Undelegate(args) => args.run().await,
                Self::Redelegate(args) => args.run().await,
                Self::Claim(args) => args.run().await,
                Self::Unjail(args) => args.run().await,
                Self::Exit(args) => args.run().await,
                Self::Commission(args) => args.run().await,
                Self::Status(args) => args.run().await,
                Self::ReportEvidence(args) => args.run().await,
            }
        })
    }
}
