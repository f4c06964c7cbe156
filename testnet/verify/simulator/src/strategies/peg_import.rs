//! Forged imports: blocks that mint deposits that were never made, with certificates assembled from the signatures of a minority: its own
//! signatures, once or repeated, under others' names, those of strangers, and honest members' signatures of other attestations.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{ExecutedBlock, SystemCall, peg_state};
use causeway_genesis::addresses::PEG;
use causeway_network::GossipMessage;
use causeway_peg::{
    CertificateSig, Deposit, IPeg, LocalPegSigner, ParentView, PegModule, PegSigner as _, PegValidatorSet,
    abi::SignatureAbi, deposit::fold_deposits,
};

use super::{
    Context, Outgoing, Strategy, as_it_is,
    blocks::{Attributes, rebuilt, with_system_call},
    forgery::phantom,
};
use crate::setup;

/// Keys of strangers: of machines that no world has.
const STRANGERS: usize = 11_000;
/// Most signatures of others that it keeps.
const KEPT: usize = 64;
/// Most deposits in a forged import.
const MOST: u64 = 3;

#[derive(Debug, Default)]
pub(super) struct ForgedImport {
    /// The last signature of each honest member.
    overheard: Vec<CertificateSig>,
}

/// The state that a forged import follows.
struct Standing {
    imported: u64,
    acc: B256,
    parent_height: u64,
    set: PegValidatorSet,
}

impl Standing {
    fn of(out: &Context<'_>) -> Option<Self> {
        let state = out.own.storage()?.latest();
        let mut slots = peg_state(state.as_ref());
        Some(Self {
            imported: PegModule::deposit_nonce(&mut slots).ok()?,
            acc: PegModule::deposit_acc(&mut slots).ok()?,
            parent_height: PegModule::last_parent_height(&mut slots).ok()?,
            set: PegModule::validator_set(&mut slots).ok()?,
        })
    }
}

fn sign(machine: usize, digest: B256) -> Option<CertificateSig> {
    let signer = LocalPegSigner::new((*setup::node_keys(machine).peg.expose()).into()).ok()?;
    Some(CertificateSig { signer: signer.address(), signature: signer.sign(digest).ok()? })
}

/// The members of the minority, who work together.
fn accomplices(out: &Context<'_>, digest: B256) -> Vec<CertificateSig> {
    out.plan.byzantine.iter().filter_map(|(machine, _)| sign(*machine, digest)).collect()
}

impl ForgedImport {
    /// Signatures under a digest that only a minority has signed.
    fn pieced(&self, out: &mut Context<'_>, set: &PegValidatorSet, digest: B256) -> Vec<CertificateSig> {
        let mut pieces = accomplices(out, digest);
        let members: Vec<Address> = set.validators().iter().map(|member| member.address).collect();
        match out.rng.below(7) {
            // The signatures of the minority alone.
            0 => {}
            1 => pieces.clear(),
            // Repeated.
            2 => {
                while !pieces.is_empty() && pieces.len() < members.len() {
                    let again = *out.rng.pick(&pieces);
                    pieces.push(again);
                }
            }
            // Under the names of all members.
            3 => {
                let own = pieces.first().copied();
                let named = |signer: &Address| own.map(|own| CertificateSig { signer: *signer, ..own });
                pieces = members.iter().filter_map(named).collect();
            }
            // Strangers beside them, as themselves and as members.
            4 => pieces.extend((0..members.len()).filter_map(|stranger| sign(STRANGERS + stranger, digest))),
            5 => {
                let strangers = members.iter().enumerate().filter_map(|(at, member)| {
                    sign(STRANGERS + at, digest).map(|signed| CertificateSig { signer: *member, ..signed })
                });
                pieces = strangers.collect();
            }
            // Honest members' signatures of other attestations.
            _ => pieces.extend(self.overheard.iter().copied()),
        }
        pieces.sort_by_key(|piece| set.get(&piece.signer).map(|(position, _)| position));
        pieces
    }

    fn import(&self, out: &mut Context<'_>) -> Option<Bytes> {
        let domain = out.genesis.peg_domain()?;
        let Standing { imported, acc, parent_height, set } = Standing::of(out)?;
        let recipient = out.own.operator.address();
        let deposits: Vec<Deposit> = (1..=out.rng.between(1, MOST))
            .map(|more| Deposit {
                nonce: imported + more,
                token: Address::ZERO,
                sender: recipient,
                recipient,
                amount: U256::from(out.rng.bits()),
            })
            .collect();
        let view = ParentView {
            parentHeight: parent_height + out.rng.between(1, 20),
            parentHash: phantom(out.rng),
            depositNonce: imported + deposits.len() as u64,
            depositAcc: fold_deposits(acc, &deposits),
        };
        let signatures = self.pieced(out, &set, domain.parent_view_digest(&view));
        let signatures = signatures.iter().map(SignatureAbi::from).collect();
        Some(IPeg::importDepositsCall { view_: view, signatures, deposits }.abi_encode().into())
    }
}

impl Strategy for ForgedImport {
    fn outgoing(&mut self, _: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        as_it_is(message)
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        if let GossipMessage::Peg(message) = message {
            self.overheard.retain(|heard| heard.signer != message.signer);
            self.overheard.truncate(KEPT - 1);
            self.overheard.insert(0, CertificateSig { signer: message.signer, signature: message.signature });
        }
        !out.is_own(message)
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        let Some(input) = self.import(out) else { return block };
        let call = SystemCall { to: PEG, input };
        out.acted();
        // An honest executor omits it; then it is inserted by hand.
        let attributes = Attributes { system: Some(call.clone()), ..Attributes::default() };
        let placed = rebuilt(out, &block, attributes).filter(|rebuilt| {
            let mut placed = rebuilt.block.transactions.iter().filter_map(|transaction| transaction.as_system());
            placed.any(|placed| placed.input == call.input)
        });
        placed.unwrap_or_else(|| with_system_call(&block, call))
    }
}
