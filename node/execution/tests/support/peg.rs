//! Certificates by the test chain's federation, and the system calls that carry them.

use std::sync::OnceLock;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{SystemCall, peg_state};
pub use causeway_fixtures::import_call;
use causeway_fixtures::{federation_signatures, next_deposits, peg_signer};
use causeway_genesis::addresses::PEG;
use causeway_peg::{
    CertificateSig, Deposit, IPeg, LocalPegSigner, ParentView, PegModule, SetAcknowledged, abi::SignatureAbi,
};

use super::{MAX_SEED, TestChain};

fn signers() -> &'static [LocalPegSigner] {
    static SIGNERS: OnceLock<Vec<LocalPegSigner>> = OnceLock::new();
    SIGNERS.get_or_init(|| (1..=MAX_SEED).map(peg_signer).collect())
}

/// Signatures of all of the present federation over `digest`, in the set's order.
pub fn certify(chain: &TestChain, digest: B256) -> Vec<CertificateSig> {
    let set = PegModule::validator_set(&mut peg_state(&chain.state)).unwrap();
    let signatures = federation_signatures(&set, signers(), digest);
    assert_eq!(signatures.len(), set.len(), "the keys of all members are known");
    signatures
}

pub fn abi(signatures: &[CertificateSig]) -> Vec<SignatureAbi> {
    signatures.iter().map(SignatureAbi::from).collect()
}

/// Deposits that follow the chain's last imported one.
pub fn deposits(chain: &TestChain, credits: &[(Address, u128)]) -> (ParentView, Vec<Deposit>) {
    next_deposits(&chain.state, credits)
}

/// A certified import of new deposits.
pub fn import(chain: &TestChain, credits: &[(Address, u128)]) -> SystemCall {
    let (view, deposits) = deposits(chain, credits);
    let digest = chain.genesis.peg_domain().unwrap().parent_view_digest(&view);
    import_call(view, &certify(chain, digest), deposits)
}

/// A certified record of a checkpoint that is in the state.
pub fn record(chain: &TestChain, number: u64) -> SystemCall {
    let digest = PegModule::checkpoint_digest(&mut peg_state(&chain.state), number).unwrap();
    let signatures = abi(&certify(chain, digest));
    let input = IPeg::recordCheckpointCall { number, signatures }.abi_encode();
    SystemCall { to: PEG, input: input.into() }
}

/// A certified acknowledgement of the set of `epoch` by the parent.
pub fn acknowledge(chain: &TestChain, epoch: u64) -> SystemCall {
    let commitment = PegModule::validator_set_commitment(&mut peg_state(&chain.state), epoch).unwrap();
    let digest = chain.genesis.peg_domain().unwrap().set_acknowledged_digest(&SetAcknowledged { epoch, commitment });
    let input = IPeg::acknowledgeSetCall { epoch, signatures: abi(&certify(chain, digest)) }.abi_encode();
    SystemCall { to: PEG, input: input.into() }
}

pub fn withdraw_input(recipient: Address, relayer_fee: u128) -> Bytes {
    IPeg::withdrawCall { recipient, relayerFee: U256::from(relayer_fee) }.abi_encode().into()
}

pub fn supply(chain: &TestChain) -> U256 {
    PegModule::supply(&mut peg_state(&chain.state)).unwrap()
}
