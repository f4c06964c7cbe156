//! Transactions of users and operators.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use causeway_consensus::{Ed25519Signer, Signer};
use causeway_execution::RecoveredTx;
use causeway_genesis::addresses::STAKING;
use causeway_peg::{LocalPegSigner, PegSigner};
use causeway_simulator::world::CHAIN_ID;
use causeway_staking::{
    IStaking,
    registration::{consensus_message, peg_digest},
};

use super::Scenario;

impl Scenario {
    /// Sends coin from a machine's operator.
    pub(crate) fn transfer(&mut self, index: usize, to: Address, wei: u64) {
        let operator = self.world.machines[index].operator.clone();
        self.send(&operator, to, U256::from(wei), Bytes::new(), 21_000);
    }

    /// Calls the staking module from a machine's operator.
    pub(crate) fn stake_call(&mut self, index: usize, call: impl SolCall) {
        let operator = self.world.machines[index].operator.clone();
        self.send(&operator, STAKING, U256::ZERO, Bytes::from(call.abi_encode()), 3_000_000);
    }

    /// Registers the validator of a machine's operator.
    pub(crate) fn register(&mut self, index: usize, bond: U256) {
        let machine = &self.world.machines[index];
        let (operator, chain) = (machine.operator.address(), self.world.genesis.hash);
        let consensus_key = B256::from(machine.keys.consensus_public().0);
        let message = consensus_message(chain, operator, consensus_key);
        let consensus_proof = Ed25519Signer::new(machine.keys.consensus.expose()).sign(&message).unwrap();
        let peg = LocalPegSigner::new((*machine.keys.peg.expose()).into()).unwrap();
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

    /// Sends a transaction to the first running machine.
    fn send(&mut self, from: &PrivateKeySigner, to: Address, value: U256, input: Bytes, gas_limit: u64) {
        let nonce = self.nonces.entry(from.address()).or_insert(0);
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: *nonce,
            gas_limit,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value,
            input,
            ..TxEip1559::default()
        };
        *nonce += 1;
        let signature = from.sign_hash_sync(&transaction.signature_hash()).unwrap();
        let transaction = RecoveredTx::recover(TxEnvelope::from(transaction.into_signed(signature))).unwrap();
        let up = self.world.machines.iter().position(|machine| machine.is_up()).unwrap();
        self.world.submit(up, Arc::new(transaction)).unwrap().unwrap();
    }
}
