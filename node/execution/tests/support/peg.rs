//! Certificates by the test chain's federation, and the system calls that carry them.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::{collections::BTreeMap, sync::OnceLock};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{SystemCall, peg_state};
use causeway_genesis::addresses::PEG;
use causeway_peg::{
    CertificateSig, Deposit, IPeg, LocalPegSigner, ParentView, PegModule, PegSigner, SetAcknowledged,
    abi::SignatureAbi, deposit::fold_deposits,
};

use super::{MAX_SEED, TestChain, role_bytes};

fn signers() -> &'static BTreeMap<Address, LocalPegSigner> {
    static SIGNERS: OnceLock<BTreeMap<Address, LocalPegSigner>> = OnceLock::new();
    SIGNERS.get_or_init(|| {
        let signers = (1..=MAX_SEED).map(|seed| LocalPegSigner::new(B256::from(role_bytes(2, seed))).unwrap());
        signers.map(|signer| (signer.address(), signer)).collect()
    })
}

/// Signatures of all of the present federation over `digest`, in the set's order.
pub fn certify(chain: &TestChain, digest: B256) -> Vec<CertificateSig> {
    let set = PegModule::validator_set(&mut peg_state(&chain.state)).unwrap();
    let signers = set.validators().iter().map(|member| &signers()[&member.address]);
    let mut signatures: Vec<_> = signers
        .map(|signer| CertificateSig { signer: signer.address(), signature: signer.sign(digest).unwrap() })
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
