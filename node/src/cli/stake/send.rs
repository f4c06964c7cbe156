//! Calls the staking module and prints the result.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolEvent};
use causeway_genesis::addresses::STAKING;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::{
    account::AccountArgs,
    rpc_client::{NodeArgs, RpcClient},
    say,
    sidechain::{Landed, Sidechain},
};

/// What every command that sends a transaction takes.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    pub(super) account: AccountArgs,
    /// Print JSON; amounts are then in the smallest unit, in hex.
    #[arg(long)]
    json: bool,
}

/// A connection with the account that sends.
pub(super) struct Sender {
    sidechain: Sidechain,
    /// Whether the output is for scripts.
    pub(super) json: bool,
}

impl SendArgs {
    /// Reads the key and connects.
    pub(super) async fn connect(&self) -> eyre::Result<Sender> {
        let sidechain = Sidechain::connect(&self.node.rpc, self.account.signer()?).await?;
        Ok(Sender { sidechain, json: self.json })
    }
}

impl Sender {
    /// The account that sends.
    pub(super) fn address(&self) -> Address {
        self.sidechain.address()
    }

    /// The node.
    pub(super) fn client(&self) -> &RpcClient {
        self.sidechain.client()
    }

    /// Calls the module and waits until the call is final.
    pub(super) async fn call(&self, call: impl SolCall) -> eyre::Result<Landed> {
        self.sidechain.send(STAKING, U256::ZERO, call.abi_encode().into()).await
    }

    /// Prints the result: for people `story`, for scripts the transaction and `facts`, an object.
    pub(super) fn tell(&self, landed: &Landed, facts: Value, story: &[String]) -> eyre::Result<()> {
        if self.json {
            let mut told = Map::from_iter([
                ("transaction".to_owned(), json!(landed.hash)),
                ("height".to_owned(), json!(landed.height())),
                ("gasUsed".to_owned(), json!(landed.gas_used())),
            ]);
            if let Value::Object(facts) = facts {
                told.extend(facts);
            }
            return say(Value::Object(told));
        }
        story.iter().try_for_each(say)?;
        say(format_args!("Final in block {} ({}).", landed.height(), landed.hash))
    }
}

/// All events of the module of one kind, in order.
pub(super) fn events<E: SolEvent>(landed: &Landed) -> Vec<E> {
    let own = landed.logs.iter().filter(|log| log.address == STAKING);
    own.filter_map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).ok()).collect()
}
