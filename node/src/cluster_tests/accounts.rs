//! What users and operators send.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use causeway_consensus::{Ed25519Signer, Signer};
use causeway_execution::{Executor, RecoveredTx};
use causeway_genesis::addresses::STAKING;
use causeway_peg::{LocalPegSigner, PegSigner};
use causeway_staking::{
    IStaking,
    registration::{consensus_message, peg_digest},
};

use super::cluster::{CHAIN_ID, Cluster, Member, user};

impl Cluster {
    /// Has the user send coin.
    pub(super) fn submit(&self, nonce: u64, to: Address, wei: u64) {
        self.send(&user(), nonce, to, U256::from(wei), Bytes::new(), 21_000);
    }

    /// Has a member's operator call the staking module.
    pub(super) fn stake_call(&mut self, index: usize, call: impl SolCall) {
        let (operator, nonce) = (self.members[index].operator.clone(), self.members[index].nonce);
        self.members[index].nonce += 1;
        self.send(&operator, nonce, STAKING, U256::ZERO, Bytes::from(call.abi_encode()), 3_000_000);
    }

    /// Has a member's operator register its validator.
    pub(super) fn register(&mut self, index: usize, bond: U256) {
        let Member { keys, operator, .. } = &self.members[index];
        let (operator, chain) = (operator.address(), self.genesis.hash);
        let consensus_key = B256::from(keys.consensus_public().0);
        let message = consensus_message(chain, operator, consensus_key);
        let consensus_proof = Ed25519Signer::new(keys.consensus.expose()).sign(&message).unwrap();
        let peg = LocalPegSigner::new((*keys.peg.expose()).into()).unwrap();
        let peg_proof = peg.sign(peg_digest(chain, operator, peg.address())).unwrap();
        let call = IStaking::registerCall {
            consensusKey: consensus_key,
            consensusProof: Bytes::from(consensus_proof.to_vec()),
            pegAddress: peg.address(),
            pegProof: Bytes::from(peg_proof.as_bytes().to_vec()),
            commissionBps: 0,
            selfBond: bond,
        };
        self.stake_call(index, call);
    }

    fn send(&self, from: &PrivateKeySigner, nonce: u64, to: Address, value: U256, input: Bytes, gas_limit: u64) {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value,
            input,
            ..TxEip1559::default()
        };
        let signature = from.sign_hash_sync(&transaction.signature_hash()).unwrap();
        let transaction = Arc::new(RecoveredTx::recover(TxEnvelope::from(transaction.into_signed(signature))).unwrap());
        for member in &self.members {
            let Some((_, chain)) = &member.up else { continue };
            let account = chain.account_view(from.address()).unwrap();
            let base_fee = Executor::next_base_fee(&chain.storage.head());
            chain.pool.lock().add(transaction.clone(), &account, base_fee, self.now(), true).unwrap();
        }
    }
}
