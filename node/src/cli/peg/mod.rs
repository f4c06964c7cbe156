//! `causeway peg ...`: what a person does with the peg, without a relayer's help.

mod claim;
mod deploy;
mod parent;
mod status;
mod transfer;

#[cfg(test)]
mod tests;

use clap::Subcommand;

pub(super) use parent::verify_deployment;

use super::block_on;

#[derive(Debug, Subcommand)]
pub(super) enum PegCommand {
    /// Lock coin on the parent; it is minted on the sidechain once the deposit is final there.
    Deposit(transfer::DepositArgs),
    /// Burn coin on the sidechain; it can be claimed on the parent once a checkpoint covers it.
    Withdraw(transfer::WithdrawArgs),
    /// Pay out a withdrawal on the parent. Anyone may do this for anyone.
    Claim(claim::ClaimArgs),
    /// Where a transfer is, or how the peg stands.
    Status(status::PegStatusArgs),
    /// Deploy the registry and the vault on the parent where the genesis file expects them.
    Deploy(deploy::DeployArgs),
}

impl PegCommand {
    pub(super) fn run(self) -> eyre::Result<()> {
        block_on(async {
            match self {
                Self::Deposit(args) => args.run().await,
                Self::Withdraw(args) => args.run().await,
                Self::Claim(args) => args.run().await,
                Self::Status(args) => args.run().await,
                Self::Deploy(args) => args.run().await,
            }
        })
    }
}
