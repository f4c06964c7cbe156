//! Validators with their keys, and a chain at genesis, for the other tests.

use std::{collections::BTreeMap, sync::Mutex};

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_peg::{
    Attestation, CertificateSig, CheckpointBlock, Deposit, LocalPegSigner, ParentView, PegDomain, PegGenesis,
    PegMessage, PegModule, PegSigner, PegValidator, PegValidatorSet, deposit::fold_deposits,
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
    /// Powers must be in descending order.
    pub fn new(powers: &[u64]) -> Self {
        Self::of_epoch(0, 0, powers)
    }

    /// The set of an epoch, of as many keys as powers, from `first_key` on.
    pub fn of_epoch(epoch: u64, first_key: usize, powers: &[u64]) -> Self {
        let mut signers: Vec<LocalPegSigner> = (first_key..first_key + powers.len()).map(key).collect();
        signers.sort_by_key(|signer| signer.address());
        let members =
            signers.iter().zip(powers).map(|(signer, power)| PegValidator { address: signer.address(), power: *power });
        Self { set: PegValidatorSet::from_committed_order(epoch, members.collect()).unwrap(), signers }
    }

    pub fn sign(&self, digest: B256, who: impl IntoIterator<Item = usize>) -> Vec<CertificateSig> {
        who.into_iter()
            .map(|position| {
                let signer = &self.signers[position];
                CertificateSig { signer: signer.address(), signature: signer.sign(digest).unwrap() }
            })
            .collect()
    }

    /// Signatures of the first `count` members, or of all when there are fewer.
    pub fn first(&self, digest: B256, count: usize) -> Vec<CertificateSig> {
        self.sign(digest, 0..count.min(self.signers.len()))
    }

    pub fn all(&self, digest: B256) -> Vec<CertificateSig> {
        self.sign(digest, 0..self.signers.len())
    }

    pub fn message(&self, position: usize, attestation: Attestation) -> PegMessage {
        PegMessage::sign(&domain(), attestation, &self.signers[position]).unwrap()
    }
}

/// The peg key `number`. Cached, because the random histories use a few of them thousands of times.
fn key(number: usize) -> LocalPegSigner {
    static KEYS: Mutex<BTreeMap<usize, LocalPegSigner>> = Mutex::new(BTreeMap::new());
    let mut keys = KEYS.lock().unwrap();
    let make = || LocalPegSigner::new(keccak256(format!("peg key {number}"))).unwrap();
    keys.entry(number).or_insert_with(make).clone()
}

/// The header of block `number` for the next block.
pub fn header(number: u64) -> CheckpointBlock {
    CheckpointBlock {
        number,
        hash: keccak256(format!("block {number}")),
        state_root: keccak256(format!("state {number}")),
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
