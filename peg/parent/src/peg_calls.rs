//! The calls of users and relayers to the peg's contracts: deposit, submit a checkpoint, claim a withdrawal.

use crate::{
    submitter::{SubmitError, Submitter},
    watcher::VAULT_SNAPSHOTS,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolEvent};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_peg::{CertificateSig, Checkpoint, Deposit, PegValidatorSet, Proof, RegistryState, Withdrawal};

/// A deposit in a block of the parent. The sidechain mints it after that block is final.
#[derive(Clone, Debug, PartialEq)]
pub struct DepositReceipt {
    /// The deposit as the vault recorded it.
    pub deposit: Deposit,
    /// Transaction hash.
    pub hash: B256,
    /// Parent block.
    pub height: u64,
    /// Gas used.
    pub gas_used: u64,
}

/// The result of submitting a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// The registry accepted it in this transaction.
    Accepted {
        /// Transaction hash.
        hash: B256,
        /// Parent block.
        height: u64,
        /// Gas used.
        gas_used: u64,
    },
    /// The registry already holds this checkpoint or a later one: nothing was sent.
    AlreadyThere {
        /// Number of the registry's latest checkpoint.
        latest: u64,
    },
}

impl Submitter {
    /// Locks `amount` wei of this key's coin for `recipient` on the sidechain.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn deposit_native(
        &self,
        vault: Address,
        recipient: Address,
        amount: U256,
    ) -> Result<DepositReceipt, SubmitError> {
        let call = PegVault::depositNativeCall { recipient };
        let included = self.send(TxKind::Call(vault), amount, call.abi_encode().into()).await?;
        let events = included.logs.iter().filter(|log| log.address == vault);
        let event = events
            .filter_map(|log| PegVault::Deposited::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
            .find(|event| event.recipient == recipient && event.amount == amount)
            .ok_or_else(|| {
                SubmitError::Unexpected(format!(
                    "transaction {} paid {vault}, but that contract recorded no such deposit: it is not the vault",
                    included.hash
                ))
            })?;
        Ok(DepositReceipt {
            deposit: causeway_contracts::deposit_of(&event),
            hash: included.hash,
            height: included.height,
            gas_used: included.gas_used,
        })
    }

    /// Number and digest of the registry's latest checkpoint at the parent's head (final or not); number 0 before the
    /// first.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn latest_checkpoint(&self, registry: Address) -> Result<(u64, B256), SubmitError> {
        let latest = self.view(registry, CheckpointRegistry::latestCall {}).await?;
        let digest = self.view(registry, CheckpointRegistry::latestDigestCall {}).await?;
        Ok((latest.number, digest))
    }

    /// The registry's state at the parent's head (final or not).
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn registry_state(&self, registry: Address) -> Result<RegistryState, SubmitError> {
        let latest = self.view(registry, CheckpointRegistry::latestCall {}).await?;
        let knows_next = match latest.epoch.checked_add(1) {
            Some(epoch) => !self.view(registry, CheckpointRegistry::validatorSetOfCall { epoch }).await?.is_zero(),
            None => false,
        };
        Ok(RegistryState { number: latest.number, epoch: latest.epoch, knows_next })
    }

    /// Nonce of the oldest deposit whose accumulator the vault still stores, at the parent's head. A checkpoint below it is
    /// submitted with the leaves of later deposits.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn oldest_remembered_deposit(&self, vault: Address) -> Result<u64, SubmitError> {
        let taken = self.view(vault, PegVault::depositNonceCall {}).await?;
        Ok(taken.saturating_add(1).saturating_sub(VAULT_SNAPSHOTS))
    }

    /// Submits a checkpoint with its certificate. `set` is the set of the checkpoint's epoch; `signatures` are in the set's
    /// order. `later_deposits` are the leaves of the deposits after the checkpoint's last one; they are empty unless the
    /// vault no longer stores that deposit's accumulator.
    ///
    /// # Errors
    /// [`SubmitError`]. It is not an error when another relayer was faster.
    pub async fn submit_checkpoint(
        &self,
        registry: Address,
        checkpoint: &Checkpoint,
        set: &PegValidatorSet,
        signatures: &[CertificateSig],
        later_deposits: &[B256],
    ) -> Result<Submission, SubmitError> {
        let (latest, _) = self.latest_checkpoint(registry).await?;
        if latest >= checkpoint.number {
            return Ok(Submission::AlreadyThere { latest });
        }
        let call = causeway_contracts::submit_call(checkpoint, set, signatures, later_deposits)
            .map_err(|e| SubmitError::Unexpected(format!("checkpoint {}: {e}", checkpoint.number)))?;
        match self.send(TxKind::Call(registry), U256::ZERO, call.abi_encode().into()).await {
            Ok(included) => {
                Ok(Submission::Accepted { hash: included.hash, height: included.height, gas_used: included.gas_used })
            }
            Err(error @ (SubmitError::WouldRevert { .. } | SubmitError::Reverted { .. })) => {
                let (latest, _) = self.latest_checkpoint(registry).await?;
                if latest >= checkpoint.number { Ok(Submission::AlreadyThere { latest }) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Pays out a withdrawal that an accepted checkpoint includes; returns the transaction's hash.
    ///
    /// # Errors
    /// [`SubmitError`]; `WouldRevert` names the vault's reason (`ClaimTooEarly`, `AlreadyClaimed`, ...).
    pub async fn claim(
        &self,
        vault: Address,
        withdrawal: &Withdrawal,
        checkpoint: u64,
        proof: &Proof,
    ) -> Result<B256, SubmitError> {
        let input: Bytes = causeway_contracts::claim_call(withdrawal, checkpoint, proof).abi_encode().into();
        Ok(self.send(TxKind::Call(vault), U256::ZERO, input).await?.hash)
    }

    /// Whether the vault has paid the withdrawal, at the parent's head.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn is_claimed(&self, vault: Address, index: u64) -> Result<bool, SubmitError> {
        self.view(vault, PegVault::isClaimedCall { index }).await
    }
}
