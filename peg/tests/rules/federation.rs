//! Validators with their keys, and a chain at genesis, for the other tests.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_peg::{
    Attestation, CertificateSig, Deposit, LocalPegSigner, ParentView, PegDomain, PegGenesis, PegMessage, PegModule,
    PegSigner, PegValidator, PegValidatorSet, deposit::fold_deposits,
};

pub type Memory = BTreeMap<U256, U256>;

pub const INTERVAL: u64 = 10;
pub const VAULT: Address = Address::repeat_byte(0x7a);
pub const REGISTRY: Address = Address::repeat_byte(0x6e);
pub const ALICE: Address = Address::repeat_byte(0xa1);
pub const BOB: Address = Address::repeat_byte(0xb0);

pub fn domain() -> PegDomain {
    PegDomain { parent_chain_id: 1, registry: REGISTRY, genesis_hash: keccak256("genesis") }
}

/// A set in committed order and the signers in the same order.
pub struct Federation {
    pub set: PegValidatorSet,
    pub signers: Vec<LocalPegSigner>,
}

impl Federation {
    /// Powers must fall.
    pub fn new(powers: &[u64]) -> Self {
        let mut signers: Vec<LocalPegSigner> =
            (0..powers.len()).map(|seed| LocalPegSigner::new(keccak256(format!("peg key {seed}"))).unwrap()).collect();
        signers.sort_by_key(|signer| signer.address());
        let members =
            signers.iter().zip(powers).map(|(signer, power)| PegValidator { address: signer.address(), power: *power });
        Self { set: PegValidatorSet::from_committed_order(0, members.collect()).unwrap(), signers }
    }

    pub fn sign(&self, digest: B256, who: impl IntoIterator<Item = usize>) -> Vec<CertificateSig> {
        who.into_iter()
            .map(|position| {
                let signer = &self.signers[position];
                CertificateSig { signer: signer.address(), signature: signer.sign(digest).unwrap() }
            })
            .collect()
    }

    pub fn all(&self, digest: B256) -> Vec<CertificateSig> {
        self.sign(digest, 0..self.signers.len())
    }

    pub fn message(&self, position: usize, attestation: Attestation) -> PegMessage {
        PegMessage::sign(&domain(), attestation, &self.signers[position]).unwrap()
    }
}

/// The peg's slots at genesis.
pub fn genesis(federation: &Federation) -> (PegModule, Memory) {
    let slots = PegModule::genesis_slots(&PegGenesis {
        parent_chain_id: 1,
        vault: VAULT,
        registry: REGISTRY,
        checkpoint_interval: INTERVAL,
        validators: federation.set.clone(),
    });
    (PegModule::new(domain()), slots)
}

pub fn deposit(nonce: u64, amount: u64) -> Deposit {
    Deposit { nonce, token: Address::ZERO, sender: ALICE, recipient: BOB, amount: U256::from(amount) }
}

/// Deposits `first..=last` of one wei times their nonce.
pub fn deposits(first: u64, last: u64) -> Vec<Deposit> {
    (first..=last).map(|nonce| deposit(nonce, nonce)).collect()
}

/// The view that ends with the last of `deposits`, which follow `acc`.
pub fn view(height: u64, acc: B256, deposits: &[Deposit]) -> ParentView {
    ParentView {
        parentHeight: height,
        parentHash: keccak256(format!("parent block {height}")),
        depositNonce: deposits.last().unwrap().nonce,
        depositAcc: fold_deposits(acc, deposits),
    }
}
