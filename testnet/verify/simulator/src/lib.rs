//! The simulator: whole nodes under faults, replayed from a seed.
//!
//! A [`World`] holds machines, each running the production node (its decisions, performer, storage, execution, pool, federation,
//! parent watcher and relayer) over a simulated disk, clock, network and parent chain. One thread, one seed, one order of
//! events: the same [`Plan`] gives the same [`Trace`] hash. [`checks`] hold the invariants of docs/reliability.md at every
//! event.
//!
//! The crate decides which faults happen and when. It knows nothing of a node's inside: it uses only
//! what an operator, a peer, a user or a disk can see. Start at [`World::step`].

pub mod campaign;
pub mod case;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod cost;
pub mod coverage;
pub mod disk;
pub mod ledger;
pub mod machine;
pub mod network;
mod outlook;
pub mod parent;
pub mod plan;
pub mod profiles;
pub mod regressions;
pub mod report;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod setup;
pub mod strategies;
mod thread;
pub mod trace;
pub mod users;
pub mod world;

pub use checks::{Checks, Violation};
pub use coverage::Coverage;
pub use machine::Machine;
pub use network::Network;
pub use plan::Plan;
pub use trace::Trace;
pub use users::Users;
pub use world::World;
