//! Tests that cross rooms: the architecture, the documents, and testnets of real processes.
#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used, missing_docs, unreachable_pub)]

mod arrows;
mod docs;
mod e2e_anvil;
mod e2e_chaos;
mod e2e_clients;
mod e2e_downtime;
mod e2e_faults;
mod e2e_finality;
mod e2e_inputs;
mod e2e_launcher;
mod e2e_parent;
mod e2e_peg;
mod e2e_rotation;
mod e2e_rules;
mod e2e_staking;
mod flows;
mod rules;
mod suite;
mod support;
