//! The peg's contracts on the parent: typed bindings, deploy code, and the calls' arguments.
//!
//! The Solidity sources are in `solidity/`; `compile.mjs` compiles them to `artifacts/`. These are committed, so that
//! building the node needs no Solidity compiler. This crate reads the artifacts and owns the conversion of protocol values
//! to calldata. It knows no endpoint and signs no transaction.
//!
//! Start reading at [`bindings`], then [`deploy`].

pub mod artifact;
pub mod bindings;
pub mod calls;
pub mod deploy;

pub use artifact::{Artifact, test_contracts};
pub use bindings::{CheckpointRegistry, PegVault};
pub use calls::{CallError, claim_call, deposit_of, submit_call, view_of};
pub use deploy::{
    RegistryArgs, VaultArgs, predicted_addresses, registry_deploy_code, registry_runtime_code, vault_deploy_code,
    vault_runtime_code,
};
