//! The native modules of one chain, as the rules of one height have them.

use alloy_primitives::B256;
use causeway_genesis::{Genesis, Rules, rules::ModuleRules};
use causeway_peg::PegModule;
use causeway_staking::StakingModule;

/// What the modules of a chain go by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChainModules {
    /// What proofs of possession and evidence are bound to.
    pub(crate) genesis_hash: B256,
    /// `None` on a chain without a peg.
    pub(crate) peg: Option<PegModule>,
    pub(crate) staking: StakingModule,
    /// Addresses and prices.
    pub(crate) rules: ModuleRules,
}

impl ChainModules {
    /// The modules of the chain of `genesis` under `rules`.
    pub(crate) fn of(genesis: &Genesis, rules: &Rules) -> Self {
        Self {
            genesis_hash: genesis.hash,
            peg: genesis.peg_domain().map(PegModule::new),
            staking: StakingModule::new(rules.staking),
            rules: rules.modules,
        }
    }
}
