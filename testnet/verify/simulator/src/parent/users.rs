//! Users' actions on the parent, and queries of the checks.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use causeway_contracts::{CheckpointRegistry, PegVault};

use super::{
    Parent,
    evm::{Call, End},
    ledger::Ledger,
    pool::{ParentTx, PoolError},
};

/// A position on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest block.
    Head,
    /// The newest final block.
    Finalized,
    /// The block of this height; at most [`super::ParentPlan::state_blocks`] below the final one.
    Height(u64),
}

/// The status of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxStatus {
    /// Unknown: it was forgotten, replaced or never sent.
    Unknown,
    /// In the pool.
    Waiting,
    /// In a canonical block, which may yet be replaced.
    Included {
        /// The block.
        height: u64,
        /// Whether it succeeded.
        success: bool,
        /// Whether the block is final.
        finalized: bool,
    },
}

/// The registry at the end of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryAt {
    /// Latest accepted checkpoint; 0 before the first.
    pub number: u64,
    /// Its digest.
    pub digest: B256,
    /// Its sidechain height.
    pub sidechain_height: u64,
    /// Withdrawals up to it.
    pub withdrawal_count: u64,
    /// Epoch of the set in force.
    pub epoch: u64,
}

impl Parent {
    /// Takes a signed transaction, as every endpoint does. Faults may lose it or get it stuck.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn submit_raw(&mut self, raw: &[u8]) -> Result<B256, PoolError> {
        let tx = ParentTx::decode(raw, self.plan.chain_id)?;
        self.submit(tx)
    }

    fn submit(&mut self, tx: ParentTx) -> Result<B256, PoolError> {
        let (hash, tx) = (tx.hash, Arc::new(tx));
        if self.rng.percent(self.faults.lost_percent) {
            self.counters.lost += 1;
            return Ok(hash);
        }
        let stuck = self.rng.percent(self.faults.stuck_percent);
        let from_ms = self.now_ms.saturating_add(self.rng.between(0, self.plan.inclusion_ms));
        let from_ms = (!stuck).then_some(from_ms);
        self.chain.offer(tx.clone(), from_ms)?;
        self.counters.stuck += u64::from(stuck);
        for branch in self.branches.values_mut() {
            // A branch may treat it differently; the sender gets the result of the canonical chain.
            branch.offer(tx.clone(), from_ms).ok();
        }
        Ok(hash)
    }

    /// Signs and sends a transaction with gas and fees that fit the head, and the account's first nonce without a waiting transaction.
    ///
    /// # Errors
    /// [`PoolError`]; `WouldRevert` when it would fail at the head.
    pub fn send(
        &mut self,
        signer: &PrivateKeySigner,
        to: TxKind,
        value: U256,
        input: Bytes,
    ) -> Result<B256, PoolError> {
        let sender = signer.address();
        let head = self.chain.head();
        let call = Call { from: sender, kind: to, value, input: input.clone() };
        let gas = self.chain.estimate(head.height, &call).map_err(|end| match end {
            End::Revert(data) => PoolError::WouldRevert(data),
            End::Halt(why) => PoolError::WouldRevert(why.into_bytes().into()),
            End::Success { output, .. } => PoolError::WouldRevert(output),
        })?;
        let tip = u128::from(head.base_fee) / 10;
        let transaction = TxEip1559 {
            chain_id: self.plan.chain_id,
            nonce: self.chain.pool().free_nonce(sender, self.chain.payer(sender).nonce),
            gas_limit: gas.saturating_add(gas / 4).min(self.plan.gas_limit),
            max_fee_per_gas: u128::from(head.base_fee).saturating_mul(2).saturating_add(tip),
            max_priority_fee_per_gas: tip,
            to,
            value,
            access_list: Default::default(),
            input,
        };
        let signature = signer.sign_hash_sync(&transaction.signature_hash());
        let signature = signature.map_err(|error| PoolError::Key(error.to_string()))?;
        let signed = TxEnvelope::from(transaction.into_signed(signature));
        self.submit_raw(&signed.encoded_2718())
    }

    /// Deposits into the vault for `recipient` on the sidechain.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn deposit(&mut self, from: &PrivateKeySigner, recipient: Address, amount: U256) -> Result<B256, PoolError> {
        let call = PegVault::depositNativeCall { recipient };
        self.send(from, TxKind::Call(self.vault()), amount, call.abi_encode().into())
    }

    /// Claims a withdrawal; [`causeway_contracts::claim_call`] builds the call.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn claim(&mut self, from: &PrivateKeySigner, call: &PegVault::claimCall) -> Result<B256, PoolError> {
        self.send(from, TxKind::Call(self.vault()), U256::ZERO, call.abi_encode().into())
    }

    /// The status of a transaction.
    pub fn status(&self, hash: &B256) -> TxStatus {
        match self.chain.receipt(hash) {
            Some(receipt) => TxStatus::Included {
                height: receipt.height,
                success: receipt.success,
                finalized: receipt.height <= self.chain.finalized(),
            },
            None if self.chain.pool().knows(hash) => TxStatus::Waiting,
            None => TxStatus::Unknown,
        }
    }

    /// Transactions in the pool.
    pub fn waiting(&self) -> usize {
        self.chain.pool().len()
    }

    /// The actions of the peg's contracts on the canonical chain.
    pub fn ledger(&self) -> &Ledger {
        self.chain.ledger()
    }

    /// The registry's address.
    ///
    /// # Panics
    /// On a parent without a peg; so do all methods below that concern it.
    pub fn registry(&self) -> Address {
        self.contracts.expect("the peg is deployed").0
    }

    /// The vault's address.
    pub fn vault(&self) -> Address {
        self.contracts.expect("the peg is deployed").1
    }

    /// The height of `at`.
    pub fn height(&self, at: At) -> u64 {
        match at {
            At::Head => self.chain.head().height,
            At::Finalized => self.chain.finalized(),
            At::Height(height) => height,
        }
    }

    /// An account's balance, wei.
    pub fn balance(&self, account: Address, at: At) -> U256 {
        self.chain.state().account(account, self.height(at)).map_or(U256::ZERO, |info| info.balance)
    }

    /// Coin that the vault counts as locked, wei.
    pub fn vault_locked(&self, at: At) -> U256 {
        self.view(self.vault(), PegVault::lockedCall { token: Address::ZERO }, at)
    }

    /// Number of deposits in the vault.
    pub fn vault_deposits(&self, at: At) -> u64 {
        self.view(self.vault(), PegVault::depositNonceCall {}, at)
    }

    /// Whether a withdrawal was paid, from the vault.
    pub fn vault_claimed(&self, index: u64, at: At) -> bool {
        self.view(self.vault(), PegVault::isClaimedCall { index }, at)
    }

    /// The state of the registry.
    pub fn registry_at(&self, at: At) -> RegistryAt {
        let latest = self.view(self.registry(), CheckpointRegistry::latestCall {}, at);
        let digest = self.view(self.registry(), CheckpointRegistry::latestDigestCall {}, at);
        RegistryAt {
            number: latest.number,
            digest,
            sidechain_height: latest.height,
            withdrawal_count: latest.withdrawalCount,
            epoch: latest.epoch,
        }
    }

    /// Time at which a checkpoint was accepted, Unix seconds; `None` when the registry does not know it.
    pub fn accepted_at(&self, number: u64, at: At) -> Option<u64> {
        let accepted = self.view(self.registry(), CheckpointRegistry::acceptedCall { number }, at);
        (!accepted.withdrawalRoot.is_zero()).then_some(accepted.acceptedAt)
    }

    fn view<C: SolCall>(&self, to: Address, call: C, at: At) -> C::Return {
        let call = Call { kind: TxKind::Call(to), input: call.abi_encode().into(), ..Call::default() };
        let end = self.chain.call(self.height(at), &call).expect("the state of that height is kept");
        let End::Success { output, .. } = end else {
            unreachable!("views of the peg's contracts do not fail");
        };
        C::abi_decode_returns_validate(&output).expect("the contracts keep their ABI")
    }
}
