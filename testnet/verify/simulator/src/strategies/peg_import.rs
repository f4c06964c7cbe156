//! Forged imports: blocks that mint deposits which nobody made, under certificates pieced together from what a minority has: its own
//! signatures, once or again and again, in the names of others, those of strangers, and those that honest members gave to something else.

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

/// Keys of nobody: of machines that no world has.
const STRANGERS: usize = 11_000;
/// Signatures of others that it keeps at the most.
const KEPT: usize = 64;
/// Deposits of a forged import at the most.
const MOST: u64 = 3;

#[derive(Debug, Default)]
pub(super) struct ForgedImport {
    /// What honest members signed last, each of them.
    overheard: Vec<CertificateSig>,
}

/// What a forged import follows.
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

/// Those of the minority, who work together.
fn accomplices(out: &Context<'_>, digest: B256) -> Vec<CertificateSig> {
    out.plan.byzantine.iter().filter_map(|(machine, _)| sign(*machine, digest)).collect()
}

impl ForgedImport {
    /// Signatures under a digest that only a minority has signed.
    fn pieced(&self, out: &mut Context<'_>, set: &PegValidatorSet, digest: B256) -> Vec<CertificateSig> {
        let mut pieces = accomplices(out, digest);
        let members: Vec<Address> = set.validators().iter().map(|member| member.address).collect();
        match out.rng.below(7) {
            // As few as they are.
            0 => {}
            1 => pieces.clear(),
            // Again and again.
            2 => {
                while !pieces.is_empty() && pieces.len() < members.len() {
                    let again = *out.rng.pick(&pieces);
                    pieces.push(again);
                }
            }
            // In everybody's name.
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
            // What honest members signed, of something else.
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
        // An honest executor leaves it out; then it is put there by hand.
        let attributes = Attributes { system: Some(call.clone()), ..Attributes::default() };
        let placed = rebuilt(out, &block, attributes).filter(|rebuilt| {
            let mut placed = rebuilt.block.transactions.iter().filter_map(|transaction| transaction.as_system());
            placed.any(|placed| placed.input == call.input)
        });
        placed.unwrap_or_else(|| with_system_call(&block, call))
    }
}
