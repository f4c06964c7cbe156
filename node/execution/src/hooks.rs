//! What the native modules do at the start of every block, before any transaction.
//!
//! The order is part of the rules: the peg first stores the checkpoint of the parent's state; then staking closes the
//! parent's accounts and, at the end of an epoch, rotates; the peg's federation follows in the same breath, so that both always
//! are of one epoch.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use causeway_consensus::CommitCertificate;
use causeway_genesis::addresses::{PEG, REWARD_POOL, STAKING};
use causeway_peg::{CheckpointBlock, PegModule, PegValidator, PegValidatorSet};
use causeway_staking::{BlockContext, Member, views};
use revm::context_interface::{ContextTr, JournalTr};

use crate::{
    context::{Ctx, block_env},
    database::StateDb,
    evm::{Setting, new_evm},
    fault::LocalError,
    header::child_header,
    modules::{ChainModules, HookSlots},
    state::{SourceError, StateSource},
};

/// Runs the hooks of the block `header` on `parent`, which `certificate` decided.
pub(crate) fn begin_block(
    ctx: &mut Ctx<'_>,
    modules: &ChainModules,
    header: &Header,
    parent: &Header,
    certificate: Option<&CommitCertificate>,
) -> Result<(), LocalError> {
    // Without a parent nobody needs to be told before a set takes over.
    let (mut handover_ready, mut next_open, mut acked_epoch) = (true, true, 0);
    if let Some(peg) = &modules.peg {
        let info = CheckpointBlock { number: parent.number, hash: header.parent_hash, state_root: parent.state_root };
        let mut slots = HookSlots::load_module(ctx, PEG)?;
        peg.begin_block(&mut slots, &info)?;
        handover_ready = PegModule::handover_ready(&mut slots)?;
        next_open = PegModule::next_is_open(&mut slots)?;
        acked_epoch = PegModule::acked_epoch(&mut slots)?;
    }
    let reward_pool = ctx.journal_mut().load_account(REWARD_POOL)?.data.info.balance;
    let mut slots = HookSlots::load_module(ctx, STAKING)?;
    let previous_signers = signers(&mut slots, certificate)?;
    let outcome = modules.staking.begin_block(
        &mut slots,
        &BlockContext {
            height: header.number,
            timestamp: header.timestamp,
            // Nobody proposed genesis.
            previous_proposer: (parent.number > 0).then_some(parent.beneficiary),
            previous_signers: &previous_signers,
            reward_pool,
            handover_ready,
            next_open,
            acked_epoch,
        },
    );
    let outcome = outcome.map_err(staking_error)?;
    if modules.peg.is_some() {
        let mut slots = HookSlots::load_module(ctx, PEG)?;
        if outcome.rotated_to.is_some() {
            PegModule::rotate(&mut slots).map_err(peg_error)?;
        }
        if let Some((epoch, members)) = &outcome.next {
            PegModule::announce_next(&mut slots, &federation(*epoch, members)?).map_err(peg_error)?;
        }
    }
    // Closes the hooks as if they were a transaction, so that what follows finds cold slots.
    ctx.journal_mut().commit_tx();
    Ok(())
}

/// The staking slots that the hooks of the block after `parent` change, were it to begin now under `setting`, and their values then. Nothing when
/// the hooks find the state broken.
pub(crate) fn upcoming_stake(
    setting: Setting<'_>,
    parent: &Header,
    state: &dyn StateSource,
) -> Result<BTreeMap<U256, U256>, LocalError> {
    let (hash, rules) = (parent.hash_slow(), setting.rules);
    let header = child_header(parent, hash, parent.timestamp, parent.beneficiary, rules, B256::ZERO);
    let mut evm = new_evm(StateDb::new(state, setting.codes), block_env(&header), setting);
    match begin_block(&mut evm.ctx, &setting.modules, &header, parent, None) {
        Err(LocalError::Bug(_)) => return Ok(BTreeMap::new()),
        other => other?,
    }
    let module = evm.ctx.journal_mut().finalize().remove(&STAKING).unwrap_or_default();
    let changed = module.storage.into_iter().filter(|(_, slot)| slot.present_value != slot.original_value);
    Ok(changed.map(|(slot, value)| (slot, value.present_value)).collect())
}

/// Consensus keys of those who signed `certificate`. All of them are registered: keys stay so for ever.
fn signers(slots: &mut HookSlots<'_, '_>, certificate: Option<&CommitCertificate>) -> Result<Vec<B256>, LocalError> {
    let mut keys = Vec::new();
    for signature in certificate.map_or(&[][..], |certificate| certificate.signatures.as_slice()) {
        keys.extend(views::key_of_id(slots, signature.validator).map_err(staking_error)?);
    }
    Ok(keys)
}

fn federation(epoch: u64, members: &[Member]) -> Result<PegValidatorSet, LocalError> {
    let validators = members.iter().map(|member| PegValidator { address: member.peg_address, power: member.power });
    PegValidatorSet::new(epoch, validators.collect())
        .map_err(|error| LocalError::Bug(format!("the staking module chose no valid federation: {error}")))
}

/// The hooks have no caller who could be at fault.
fn staking_error(error: causeway_staking::ModuleError<SourceError>) -> LocalError {
    match error {
        causeway_staking::ModuleError::Slots(error) => error.into(),
        causeway_staking::ModuleError::Refused(fault) => LocalError::Bug(format!("staking: {fault}")),
    }
}

fn peg_error(error: causeway_peg::ModuleError<SourceError>) -> LocalError {
    match error {
        causeway_peg::ModuleError::Slots(error) => error.into(),
        causeway_peg::ModuleError::Refused(fault) => LocalError::Bug(format!("peg: {fault}")),
    }
}
