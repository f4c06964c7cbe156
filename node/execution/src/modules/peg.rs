//! The peg module at its address: `causeway-peg`'s rules behind the `IPeg` interface.

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolInterface};
use causeway_genesis::addresses::PEG;
use causeway_peg::{
    CertificateSig, IPeg, ModuleError, PegFault, PegModule, Slots, TREE_DEPTH,
    abi::{PegMember, SignatureAbi},
};
use thiserror::Error;

use super::{
    chain::ChainModules,
    meter::{ModuleCall, Stop},
};
use crate::state::{SourceError, StateSource};

use IPeg::IPegCalls as Call;

type Outcome = Result<Bytes, Stop>;

/// Runs one call.
pub(crate) fn run(chain: &ChainModules, call: &mut ModuleCall<'_, '_>, input: &[u8]) -> Outcome {
    call.charge_each(input.len().div_ceil(32), call.prices().input_word)?;
    let Some(peg) = &chain.peg else {
        return revert(IPeg::NotPegged {});
    };
    // Validating: no two encodings of one call, no dirty upper bits.
    let Ok(request) = Call::abi_decode_validate(input) else {
        return revert(IPeg::InvalidCall {});
    };
    let payable = matches!(request, Call::withdraw(_));
    if !payable && !call.value().is_zero() {
        return revert(IPeg::NotPayable {});
    }
    match request {
        Call::withdraw(request) => withdraw(peg, call, &request),
        Call::importDeposits(request) => import_deposits(peg, call, &request),
        Call::recordCheckpoint(request) => record_checkpoint(peg, call, &request),
        Call::acknowledgeSet(request) => acknowledge_set(peg, call, &request),
        view => views(call, &view),
    }
}

fn withdraw(peg: &PegModule, call: &mut ModuleCall<'_, '_>, request: &IPeg::withdrawCall) -> Outcome {
    call.require_mutable()?;
    call.charge(call.prices().leaf)?;
    call.charge_each(TREE_DEPTH, call.prices().tree_step)?;
    let (sender, amount) = (call.caller(), call.value());
    let withdrawal = peg.withdraw(call, sender, request.recipient, amount, request.relayerFee).map_err(stop)?;
    call.burn(amount)?;
    let event = IPeg::WithdrawalRequested {
        index: withdrawal.index,
        token: withdrawal.token,
        sender: withdrawal.sender,
        recipient: withdrawal.recipient,
        amount: withdrawal.amount,
        relayerFee: withdrawal.relayerFee,
    };
    call.log(event.encode_log_data())?;
    Ok(IPeg::withdrawCall::abi_encode_returns(&withdrawal.index).into())
}

fn import_deposits(peg: &PegModule, call: &mut ModuleCall<'_, '_>, request: &IPeg::importDepositsCall) -> Outcome {
    require_system(call)?;
    let signatures = signatures(call, &request.signatures)?;
    call.charge_each(request.deposits.len(), call.prices().leaf)?;
    let mints = peg.import_deposits(call, &request.view_, &signatures, &request.deposits).map_err(stop)?;
    for mint in mints {
        call.mint(mint.recipient, mint.amount)?;
        let event = IPeg::DepositMinted {
            nonce: mint.nonce,
            token: mint.token,
            sender: mint.sender,
            recipient: mint.recipient,
            amount: mint.amount,
        };
        call.log(event.encode_log_data())?;
    }
    let view = &request.view_;
    let event = IPeg::DepositsImported {
        parentHeight: view.parentHeight,
        parentHash: view.parentHash,
        depositNonce: view.depositNonce,
        depositAcc: view.depositAcc,
    };
    call.log(event.encode_log_data())?;
    Ok(Bytes::new())
}

fn record_checkpoint(peg: &PegModule, call: &mut ModuleCall<'_, '_>, request: &IPeg::recordCheckpointCall) -> Outcome {
    require_system(call)?;
    let signatures = signatures(call, &request.signatures)?;
    let block = call.block_number();
    let recorded = peg.record_checkpoint(call, request.number, block, &signatures).map_err(stop)?;
    let event = IPeg::CheckpointRecorded { number: recorded.number, digest: recorded.digest };
    call.log(event.encode_log_data())?;
    Ok(Bytes::new())
}

fn acknowledge_set(peg: &PegModule, call: &mut ModuleCall<'_, '_>, request: &IPeg::acknowledgeSetCall) -> Outcome {
    require_system(call)?;
    let signatures = signatures(call, &request.signatures)?;
    let acknowledged = peg.acknowledge_set(call, request.epoch, &signatures).map_err(stop)?;
    let event = IPeg::ValidatorSetAcknowledged { epoch: acknowledged.epoch, commitment: acknowledged.commitment };
    call.log(event.encode_log_data())?;
    Ok(Bytes::new())
}

fn views(call: &mut ModuleCall<'_, '_>, request: &Call) -> Outcome {
    Ok(match request {
        Call::parentChainId(_) => IPeg::parentChainIdCall::abi_encode_returns(&PegModule::parent_chain_id(call)?),
        Call::vault(_) => IPeg::vaultCall::abi_encode_returns(&PegModule::vault(call)?),
        Call::registry(_) => IPeg::registryCall::abi_encode_returns(&PegModule::registry(call)?),
        Call::checkpointInterval(_) => {
            IPeg::checkpointIntervalCall::abi_encode_returns(&PegModule::checkpoint_interval(call)?)
        }
        Call::supply(_) => IPeg::supplyCall::abi_encode_returns(&PegModule::supply(call)?),
        Call::depositNonce(_) => IPeg::depositNonceCall::abi_encode_returns(&PegModule::deposit_nonce(call)?),
        Call::depositAcc(_) => IPeg::depositAccCall::abi_encode_returns(&PegModule::deposit_acc(call)?),
        Call::lastParentHeight(_) => {
            IPeg::lastParentHeightCall::abi_encode_returns(&PegModule::last_parent_height(call)?)
        }
        Call::withdrawalCount(_) => IPeg::withdrawalCountCall::abi_encode_returns(&PegModule::withdrawal_count(call)?),
        Call::withdrawalRoot(_) => {
            call.charge_each(TREE_DEPTH, call.prices().tree_step)?;
            IPeg::withdrawalRootCall::abi_encode_returns(&PegModule::withdrawal_root(call)?)
        }
        Call::latestCheckpoint(_) => {
            IPeg::latestCheckpointCall::abi_encode_returns(&PegModule::latest_checkpoint_number(call)?)
        }
        Call::recordedCheckpoint(_) => {
            IPeg::recordedCheckpointCall::abi_encode_returns(&PegModule::recorded_checkpoint_number(call)?)
        }
        Call::checkpoint(request) => {
            let Some(checkpoint) = PegModule::checkpoint(call, request.number)? else {
                return revert(IPeg::UnknownCheckpoint { number: request.number });
            };
            let digest = PegModule::checkpoint_digest(call, request.number)?;
            let returns = IPeg::checkpointReturn { checkpoint_: checkpoint, digest };
            IPeg::checkpointCall::abi_encode_returns(&returns)
        }
        Call::epoch(_) => IPeg::epochCall::abi_encode_returns(&PegModule::epoch(call)?),
        Call::ackedEpoch(_) => IPeg::ackedEpochCall::abi_encode_returns(&PegModule::acked_epoch(call)?),
        Call::validatorSet(request) => {
            let Some(set) = PegModule::validator_set_of(call, request.epoch_)? else {
                let current = PegModule::epoch(call)?;
                return revert(IPeg::UnknownEpoch { current, epoch: request.epoch_ });
            };
            let validators = set.validators().iter().map(PegMember::from).collect();
            let returns = IPeg::validatorSetReturn { validators, commitment: set.commitment() };
            IPeg::validatorSetCall::abi_encode_returns(&returns)
        }
        Call::handover(request) => {
            let record = PegModule::handover_of(call, request.epoch_)?;
            let (checkpoint_, block_) = record.map_or((0, 0), |record| (record.checkpoint, record.block));
            let returns = IPeg::handoverReturn { checkpoint_, block_ };
            IPeg::handoverCall::abi_encode_returns(&returns)
        }
        // Handled by `run`; listed so that a new function of the interface does not compile unhandled.
        Call::withdraw(_) | Call::importDeposits(_) | Call::recordCheckpoint(_) | Call::acknowledgeSet(_) => {
            return revert(IPeg::InvalidCall {});
        }
    }
    .into())
}

fn require_system(call: &ModuleCall<'_, '_>) -> Result<(), Stop> {
    if call.is_system() { call.require_mutable() } else { Err(Stop::Revert(IPeg::OnlySystem {}.abi_encode().into())) }
}

fn signatures(call: &mut ModuleCall<'_, '_>, signatures: &[SignatureAbi]) -> Result<Vec<CertificateSig>, Stop> {
    call.charge_each(signatures.len(), call.prices().signature)?;
    signatures
        .iter()
        .map(|signature| {
            CertificateSig::try_from(signature)
                .map_err(|_| Stop::Revert(IPeg::InvalidCertificate {}.abi_encode().into()))
        })
        .collect()
}

fn stop(error: ModuleError<Stop>) -> Stop {
    match error {
        ModuleError::Slots(stop) => stop,
        ModuleError::Refused(fault) => Stop::Revert(PegFault::revert_data(&fault)),
    }
}

fn revert(error: impl SolError) -> Outcome {
    Err(Stop::Revert(error.abi_encode().into()))
}

/// Why a peg slot could not be used outside a block.
#[derive(Debug, Error)]
pub enum PegSlotsError {
    /// Local state could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The view is read-only.
    #[error("peg state is read-only here")]
    ReadOnly,
}

/// The peg's slots in some state, read-only: what RPC and the checkpoint signers look at.
#[derive(Clone, Copy)]
pub struct PegSlots<'a>(&'a dyn StateSource);

impl std::fmt::Debug for PegSlots<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PegSlots")
    }
}

/// The peg's slots in `state`.
pub fn peg_state(state: &dyn StateSource) -> PegSlots<'_> {
    PegSlots(state)
}

impl Slots for PegSlots<'_> {
    type Error = PegSlotsError;

    fn load(&mut self, slot: U256) -> Result<U256, PegSlotsError> {
        Ok(self.0.storage(PEG, slot)?)
    }

    fn store(&mut self, _: U256, _: U256) -> Result<(), PegSlotsError> {
        Err(PegSlotsError::ReadOnly)
    }
}
