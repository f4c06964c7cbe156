//! The peg module's rules over slots: deposits, withdrawals, checkpoints, rotations and acknowledgements in any order, with
//! any certificates.
//!
//! A certified deposit mints once, a withdrawal burns once, and a refused operation writes nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall as _, SolInterface as _};
use causeway_peg::abi::SignatureAbi;
use causeway_peg::deposit::fold_deposits;
use causeway_peg::{
    CertificateSig, CheckpointBlock, Deposit, IPeg, LocalPegSigner, ModuleError, ParentView, PegDomain, PegGenesis,
    PegModule, PegSigner as _, PegValidator, PegValidatorSet, SetAcknowledged, Signature65,
    withdrawal::withdrawal_leaf,
};

use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. Operations of a few bytes each.
pub const TARGET: Target = Target { name: "peg_module", check, seeds, max_bytes: 512 };

type Slots = BTreeMap<U256, U256>;
const MAX_OPERATIONS: usize = 64;
const MEMBERS: usize = 4;

pub(crate) struct Federation {
    signers: Vec<LocalPegSigner>,
    domain: PegDomain,
    genesis: Slots,
    deposits: Vec<Deposit>,
}

pub(crate) static FEDERATION: LazyLock<Federation> = LazyLock::new(|| {
    let signer = |n: usize| LocalPegSigner::new(B256::repeat_byte(u8::try_from(n + 1).expect("few members")));
    let signers: Vec<_> = (0..MEMBERS).map(|n| signer(n).expect("a legal secret")).collect();
    let domain =
        PegDomain { parent_chain_id: 31_337, registry: Address::repeat_byte(0x22), genesis_hash: B256::repeat_byte(7) };
    let genesis = PegModule::genesis_slots(&PegGenesis {
        parent_chain_id: domain.parent_chain_id,
        vault: Address::repeat_byte(0x11),
        registry: domain.registry,
        checkpoint_interval: 4,
        validators: set_of(&signers, 0),
    });
    let deposit = |nonce: u64| Deposit {
        nonce,
        token: Address::ZERO,
        sender: Address::repeat_byte(0x33),
        recipient: Address::repeat_byte(0x44),
        // The last one is more than any supply can take.
        amount: if nonce == 8 { U256::MAX } else { U256::from(nonce) * U256::from(1_000_000) },
    };
    Federation { signers, domain, genesis, deposits: (1..=8).map(deposit).collect() }
});

fn set_of(signers: &[LocalPegSigner], epoch: u64) -> PegValidatorSet {
    let member = |signer: &LocalPegSigner| PegValidator { address: signer.address(), power: 10 };
    PegValidatorSet::new(epoch, signers.iter().map(member).collect()).expect("four distinct members")
}

impl Federation {
    pub(crate) fn set(&self) -> PegValidatorSet {
        set_of(&self.signers, 0)
    }

    pub(crate) fn domain(&self) -> PegDomain {
        self.domain
    }

    pub(crate) fn signer(&self, n: usize) -> &LocalPegSigner {
        &self.signers[n % MEMBERS]
    }

    /// Signatures of the members whose bits are set in `who`, in the set's order; the fifth bit reverses it.
    fn certify(&self, who: u8, digest: B256) -> Vec<CertificateSig> {
        let set = self.set();
        let mut signatures: Vec<_> = (0..MEMBERS)
            .filter(|n| who >> n & 1 == 1)
            .map(|n| CertificateSig {
                signer: self.signers[n].address(),
                signature: self.signers[n].sign(digest).expect("a key in memory always signs"),
            })
            .collect();
        signatures.sort_by_key(|signature| set.get(&signature.signer).map(|(at, _)| at));
        if who & 16 != 0 {
            signatures.reverse();
        }
        signatures
    }
}

/// See the module.
pub fn check(bytes: &[u8]) {
    run(bytes);
}

fn run(bytes: &[u8]) -> World {
    let mut reader = Reader::new(bytes);
    let mut world = World {
        all: &FEDERATION,
        module: PegModule::new(FEDERATION.domain),
        slots: FEDERATION.genesis.clone(),
        height: 0,
        minted: U256::ZERO,
        burned: U256::ZERO,
        nonce: 0,
        leaves: Vec::new(),
    };
    for _ in 0..MAX_OPERATIONS {
        if reader.is_empty() {
            break;
        }
        let leaves = world.leaves.len();
        world.operate(&mut reader);
        world.audit();
        if world.leaves.len() > leaves {
            world.audit_tree();
        }
    }
    world.audit_tree();
    world
}

struct World {
    all: &'static Federation,
    module: PegModule,
    slots: Slots,
    height: u64,
    minted: U256,
    burned: U256,
    nonce: u64,
    leaves: Vec<B256>,
}

impl World {
    fn operate(&mut self, reader: &mut Reader<'_>) {
        let (choice, who) = (reader.u8(), reader.u8());
        match choice % 10 {
            0 => self.import(choice >> 4, who, reader),
            1 | 2 => {
                let amount = match choice >> 6 {
                    0 => U256::from(who),
                    1 => self.read(PegModule::supply) / U256::from(1 + (who & 7)),
                    2 => U256::MAX >> usize::from(who),
                    _ => self.read(PegModule::supply) + U256::from(who & 1),
                };
                let fee = if choice & 32 == 0 { U256::from(who >> 4) } else { amount };
                let recipient = Address::repeat_byte(reader.u8());
                self.withdraw(recipient, amount, fee);
            }
            3..=5 => {
                for _ in 0..=who & 7 {
                    self.block();
                }
            }
            6 => {
                let number = self.read(PegModule::latest_checkpoint_number).wrapping_sub(u64::from(choice >> 7));
                let digest = self.read(|slots| PegModule::checkpoint_digest(slots, number));
                let signatures = self.all.certify(who, digest);
                let height = self.height;
                let module = self.module;
                self.try_to(|slots| module.record_checkpoint(slots, number, height, &signatures));
            }
            7 => {
                let epoch = self.read(PegModule::epoch).wrapping_add(u64::from(who & 1));
                let commitment = self.read(|slots| PegModule::validator_set_commitment(slots, epoch));
                let digest = self.all.domain.set_acknowledged_digest(&SetAcknowledged { epoch, commitment });
                let signatures = self.all.certify(who >> 1, digest);
                let module = self.module;
                self.try_to(|slots| module.acknowledge_set(slots, epoch, &signatures));
            }
            8 => {
                let next = self.read(PegModule::epoch).wrapping_add(u64::from(who & 3));
                if self.try_to(PegModule::rotate).is_some() || who & 128 != 0 {
                    let set = set_of(&self.all.signers[..MEMBERS - usize::from(who >> 6 & 1)], next);
                    self.try_to(|slots| PegModule::announce_next(slots, &set));
                }
            }
            _ => abi(reader.long()),
        }
    }

    /// Deposits from some nonce on, some of them changed, under a view that may be true.
    fn import(&mut self, lie: u8, who: u8, reader: &mut Reader<'_>) {
        let at = reader.u8();
        let from = if lie & 1 == 0 { usize::try_from(self.nonce).expect("few") } else { usize::from(at >> 4) };
        let to = from.saturating_add(usize::from(at & 3) + 1);
        let Some(deposits) = self.all.deposits.get(from.min(8)..to.min(8)) else { return };
        let mut deposits = deposits.to_vec();
        if let (Some(last), true) = (deposits.last_mut(), lie & 2 != 0) {
            last.amount = U256::from(at);
        }
        let acc = self.read(PegModule::deposit_acc);
        let view = ParentView {
            parentHeight: u64::from(at) + self.nonce,
            parentHash: B256::repeat_byte(at),
            depositNonce: deposits.last().map_or(0, |last| last.nonce).wrapping_add(u64::from(lie >> 2 & 1)),
            depositAcc: if lie & 8 == 0 { fold_deposits(acc, &deposits) } else { B256::ZERO },
        };
        let signatures = self.all.certify(who, self.all.domain.parent_view_digest(&view));
        let module = self.module;
        let Some(mints) = self.try_to(|slots| module.import_deposits(slots, &view, &signatures, &deposits)) else {
            return;
        };
        assert!((who & 15).count_ones() >= 3, "minted on less than a quorum");
        assert_eq!(mints.len(), deposits.len());
        for (mint, deposit) in mints.iter().zip(&deposits) {
            self.nonce += 1;
            assert_eq!((deposit.nonce, mint.amount, mint.recipient), (self.nonce, deposit.amount, deposit.recipient));
            self.minted += mint.amount;
        }
    }

    fn withdraw(&mut self, recipient: Address, amount: U256, fee: U256) {
        let module = self.module;
        let sender = Address::repeat_byte(0x55);
        let withdrawal = self.try_to(|slots| module.withdraw(slots, sender, recipient, amount, fee));
        if let Some(withdrawal) = withdrawal {
            assert_eq!(withdrawal.index, self.leaves.len() as u64);
            assert!(withdrawal.relayerFee <= withdrawal.amount && !amount.is_zero());
            self.burned += amount;
            self.leaves.push(withdrawal_leaf(&withdrawal));
        }
    }

    fn block(&mut self) {
        let (hash, state_root) = (B256::from(U256::from(self.height)), B256::repeat_byte(9));
        let parent = CheckpointBlock { number: self.height, hash, state_root };
        let Ok(_) = self.module.begin_block(&mut self.slots, &parent);
        self.height += 1;
    }

    fn read<T>(&mut self, view: impl FnOnce(&mut Slots) -> Result<T, Infallible>) -> T {
        let Ok(value) = view(&mut self.slots);
        value
    }

    fn try_to<T>(&mut self, operation: impl FnOnce(&mut Slots) -> Result<T, ModuleError<Infallible>>) -> Option<T> {
        let before = self.slots.clone();
        match operation(&mut self.slots) {
            Ok(value) => Some(value),
            Err(ModuleError::Refused(fault)) => {
                assert_eq!(before, self.slots, "a refused operation wrote");
                assert!(fault.revert_data().len() >= 4);
                None
            }
            Err(ModuleError::Slots(never)) => match never {},
        }
    }

    fn audit_tree(&mut self) {
        let root = causeway_peg::tree::root_of(&self.leaves).expect("few leaves");
        assert_eq!(self.read(PegModule::withdrawal_root), root, "the frontier is the tree's");
    }

    fn audit(&mut self) {
        assert_eq!(self.read(PegModule::supply), self.minted - self.burned, "supply is what was minted and not burned");
        assert_eq!(self.read(PegModule::deposit_nonce), self.nonce);
        assert_eq!(self.read(PegModule::withdrawal_count), self.leaves.len() as u64);
        let (acked, epoch) = (self.read(PegModule::acked_epoch), self.read(PegModule::epoch));
        assert!(acked <= epoch);
        assert!(self.read(PegModule::recorded_checkpoint_number) <= self.read(PegModule::latest_checkpoint_number));
    }
}

/// A decoded value has one encoding, and its signatures are accepted or refused without a panic.
fn abi(input: &[u8]) {
    if let Ok(call) = IPeg::IPegCalls::abi_decode_validate(input) {
        assert!(call.abi_encode().len() <= input.len().max(4) * 64, "no small input makes a large call");
    }
    if let Ok(call) = IPeg::importDepositsCall::abi_decode_validate(input) {
        let encoded = call.abi_encode();
        assert_eq!(IPeg::importDepositsCall::abi_decode_validate(&encoded).as_ref(), Ok(&call));
        for signature in &call.signatures {
            if let Ok(taken) = CertificateSig::try_from(signature) {
                assert_eq!(&SignatureAbi::from(&taken), signature);
                answers(taken.signature.recover(B256::repeat_byte(1)));
            }
        }
    }
    if let Ok(signature) = Signature65::from_bytes(input) {
        assert_eq!(signature.as_bytes().as_slice(), input);
        assert!(signature.s() <= (U256::MAX >> 1), "a high s is refused");
        answers(signature.recover(B256::repeat_byte(2)));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let all = &*FEDERATION;
    let import = IPeg::importDepositsCall {
        view_: ParentView::default(),
        signatures: all.certify(15, B256::ZERO).iter().map(SignatureAbi::from).collect(),
        deposits: all.deposits[..1].to_vec(),
    };
    let abi = |input: Vec<u8>| {
        let length = u16::try_from(input.len()).expect("short").to_le_bytes();
        [vec![9, 0], length.to_vec(), input].concat()
    };
    let signature = all.certify(1, B256::ZERO)[0].signature.as_bytes().to_vec();
    vec![
        vec![0, 7, 1, 1, 9, 0x77, 4, 3, 4, 3, 6, 15, 7, 30, 8, 0],
        vec![0, 15, 0, 65, 2, 0x77, 161, 255, 0x77, 3, 7, 3, 7, 6, 7, 8, 1, 3, 7, 3, 7, 6, 7, 7, 15],
        vec![16, 7, 0x20, 32, 7, 1, 64, 7, 1, 128, 7, 1, 0, 3, 1],
        abi(import.abi_encode()),
        abi(IPeg::withdrawCall { recipient: Address::repeat_byte(3), relayerFee: U256::from(5) }.abi_encode()),
        abi(IPeg::acknowledgeSetCall { epoch: 3, signatures: Vec::new() }.abi_encode()),
        abi(signature),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_lead_to_mints_burns_records_and_rotations() {
        let mut worlds: Vec<_> = seeds().iter().map(|seed| run(seed)).collect();
        let minted = worlds.iter().filter(|world| !world.minted.is_zero()).count();
        let burned = worlds.iter().filter(|world| !world.burned.is_zero()).count();
        let recorded =
            worlds.iter_mut().filter_map(|w| (w.read(PegModule::recorded_checkpoint_number) > 0).then_some(())).count();
        let rotated = worlds.iter_mut().filter_map(|w| (w.read(PegModule::epoch) > 0).then_some(())).count();
        let shown = format!("{minted} minted, {burned} burned, {recorded} recorded, {rotated} rotated");
        assert!(minted > 0 && burned > 0 && recorded > 0 && rotated > 0, "{shown}");
    }
}
