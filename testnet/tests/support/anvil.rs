//! Foundry's anvil on a free port: a parent chain of somebody else's making, which can reorganise.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use causeway_testnet::rpc::Rpc;

use super::clients::foundry;

/// A running anvil.
pub struct Anvil {
    process: Child,
    pub url: String,
}

impl Anvil {
    /// Starts anvil. With `--slots-in-an-epoch 1` its `finalized` tag is two blocks behind its head.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(foundry("anvil"));
        command.args(["--port", "0", "--slots-in-an-epoch", "1"]).args(arguments);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address =
            lines.by_ref().map(Result::unwrap).find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned));
        let url = format!("http://{}", address.expect("anvil says where it listens"));
        // Its later words are read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url }
    }

    pub fn rpc(&self) -> Rpc {
        Rpc::new(&self.url).unwrap()
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
