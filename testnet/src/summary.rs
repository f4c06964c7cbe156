//! The text that a person sees when the testnet runs.

use std::{fmt::Write as _, path::Path};

use crate::{cli::DEFAULT_DIRECTORY, record::TestnetRecord};

/// The summary of a running testnet.
pub fn text(record: &TestnetRecord, directory: &Path, deposit_coins: Option<u64>) -> String {
    let mut text = String::new();
    write(&mut text, record, directory, deposit_coins).expect("writing to a String never fails");
    text
}

fn write(out: &mut String, record: &TestnetRecord, directory: &Path, coins: Option<u64>) -> std::fmt::Result {
    let rpc = record.rpc.first().map_or("", String::as_str);
    writeln!(out, "\nCauseway testnet: {} validators, chain id {}", record.validators.len(), record.chain_id)?;
    writeln!(out, "  genesis    {}", record.genesis_hash)?;
    for validator in &record.validators {
        writeln!(
            out,
            "  {:<12} {}  (ws on the same port, metrics {})",
            validator.name, validator.rpc, validator.metrics
        )?;
    }
    let parent = &record.parent;
    let whose = if parent.dir.is_some() { "embedded" } else { "yours" };
    writeln!(out, "\nParent chain ({whose}): {}, chain id {}", parent.rpc, parent.chain_id)?;
    writeln!(out, "  vault      {}", parent.vault)?;
    writeln!(out, "  registry   {}", parent.registry)?;
    match coins {
        Some(coins) => {
            writeln!(out, "\nAccounts, each with {coins} pegged coins, and stake (test keys: everybody has them)")?;
        }
        None => writeln!(out, "\nAccounts (test keys: everybody has them)")?,
    }
    for account in &record.accounts {
        writeln!(out, "  {}  {}", account.address, account.private_key)?;
    }
    writeln!(
        out,
        "\nAdd to a wallet: network name Causeway testnet, RPC URL {rpc}, chain id {}, symbol ETH",
        record.chain_id
    )?;
    let dir = if directory.file_name().is_some_and(|name| name == DEFAULT_DIRECTORY) {
        String::new()
    } else {
        format!(" --dir {}", directory.display())
    };
    writeln!(out, "\nTry next:")?;
    writeln!(out, "  testnet/load --kind transfer --rate 200 --seconds 10{dir}")?;
    writeln!(out, "  testnet/fault kill 3{dir}   # the others go on; testnet/fault restart 3{dir} brings it back")?;
    writeln!(
        out,
        "  testnet/node add validator-{}{dir}   # a node that joins; it prints how it becomes a validator",
        record.validators.len()
    )?;
    writeln!(
        out,
        "  curl -s {rpc} -H 'content-type: application/json' -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"peg_summary\",\"params\":[]}}'"
    )
}
