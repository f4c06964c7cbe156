//! Chain spec, genesis block, validator keys.
//!
//! A chain is defined by one JSON file, the [`ChainSpec`]. [`Genesis::build`] turns it into block 0 and the state under it, and is
//! the same function of the file's meaning on every machine: two nodes with equal specs have equal genesis hashes, and the hash
//! commits to every field of the spec (it is in the header's `mix_hash`), not only to those that reach the state.
//! The genesis hash is the chain's identity: it is part of everything validators sign.
//!
//! What this crate must never know: the network, the database, the EVM, or any endpoint. It reads two kinds of files, the spec and
//! the keys, and nothing else.
//!
//! Start reading at [`spec`], then [`rules`] (what a block goes by, by height), [`validity`] (what makes a spec valid), and [`block`].

pub mod addresses;
pub mod block;
pub mod ceremony;
pub mod keys;
pub mod rules;
pub mod spec;
pub mod staking;
pub mod validity;

pub use block::{Genesis, GenesisAccount, GenesisError};
pub use keys::{KeyError, NodeKeys, SecretKey};
pub use rules::{Rules, RulesEntry, Schedule, UnknownRules};
pub use spec::{AllocAccount, ChainSpec, GenesisValidator, PegSpec, SpecError};
pub use staking::StakingSpec;
pub use validity::SpecFault;
