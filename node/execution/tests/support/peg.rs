//! Certificates by the test chain's federation, and the system calls that carry them.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{SystemCall, peg_state};
use causeway_genesis::addresses::PEG;
use causeway_peg::{
    CertificateSig, Deposit, IPeg, LocalPegSigner, ParentView, PegModule, PegSigner, abi::SignatureAbi,
    deposit::fold_deposits,
};

use super::{TestChain, VALIDATORS, role_bytes};

/// Signatures of all validators over `digest`, in the set's order.
pub fn certify(chain: &TestChain, digest: B256) -> Vec<CertificateSig> {
    let set = chain.genesis.peg_validator_set().unwrap();
    let mut signatures: Vec<_> = (1..=VALIDATORS)
        .map(|seed| {
            let signer = LocalPegSigner::new(B256::from(role_bytes(2, seed))).unwrap();
            CertificateSig { signer: signer.address(), signature: signer.sign(digest).unwrap() }
        })
        .collect();
    signatures.sort_by_key(|signature| set.get(&signature.signer).unwrap().0);
    signatures
}

pub fn abi(signatures: &[CertificateSig]) -> Vec<SignatureAbi> {
    signatures.iter().map(SignatureAbi::from).collect()
}

/// Deposits that follow the chain's last imported one.
pub fn deposits(chain: &TestChain, credits: &[(Address, u128)]) -> (ParentView, Vec<Deposit>) {
    let mut slots = peg_state(&chain.state);
    let first = PegModule::deposit_nonce(&mut slots).unwrap() + 1;
    let acc = PegModule::deposit_acc(&mut slots).unwrap();
    let height = PegModule::last_parent_height(&mut slots).unwrap() + 10;
    let deposits: Vec<_> = credits
        .iter()
        .zip(first..)
        .map(|((recipient, amount), nonce)| Deposit {
            nonce,
            token: Address::ZERO,
            sender: Address::repeat_byte(0x5e),
            recipient: *recipient,
            amount: U256::from(*amount),
        })
        .collect();
    let view = ParentView {
        parentHeight: height,
        parentHash: B256::with_last_byte(7),
        depositNonce: first + credits.len() as u64 - 1,
        depositAcc: fold_deposits(acc, &deposits),
    };
    (view, deposits)
}

pub fn import_call(view: ParentView, signatures: &[CertificateSig], deposits: Vec<Deposit>) -> SystemCall {
    let input = IPeg::importDepositsCall { view_: view, signatures: abi(signatures), deposits }.abi_encode();
    SystemCall { to: PEG, input: input.into() }
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

pub fn withdraw_input(recipient: Address, relayer_fee: u128) -> Bytes {
    IPeg::withdrawCall { recipient, relayerFee: U256::from(relayer_fee) }.abi_encode().into()
}

pub fn supply(chain: &TestChain) -> U256 {
    PegModule::supply(&mut peg_state(&chain.state)).unwrap()
}
