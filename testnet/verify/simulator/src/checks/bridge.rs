//! I8, the bridge: each deposit is minted at most once and each withdrawal is paid at most once, with the right recipient and amount,
//! and only final events of one chain have effects on the other.
//!
//! The sidechain's side is read from the logs of decided blocks, the parent's from the events of its canonical blocks; neither
//! from slots, indexes or a watcher. The expected checkpoint, its digest and its roots are computed from those in
//! [`super::checkpoints`]. [`crate::users`] checks that users get what they wanted.

use std::collections::BTreeSet;

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, SolEvent};
use causeway_execution::{ExecutedBlock, Transaction};
use causeway_genesis::addresses::PEG;
use causeway_peg::{Deposit, IPeg, Withdrawal};

use super::{
    Violation,
    canon::Canon,
    checkpoints::{Digests, Due},
    ensure,
    violation::BRIDGE,
};
use crate::parent::{At, CheckpointAccepted, ClaimPaid, DepositMade, Parent};

/// The parent's canonical chain at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParentFacts<'a> {
    /// Deposits up to the newest block, by nonce from 1 on.
    pub(crate) deposits: &'a [DepositMade],
    /// Number of them that are final.
    pub(crate) final_deposits: usize,
    /// Claims up to the newest block.
    pub(crate) claims: &'a [ClaimPaid],
    /// Checkpoints accepted up to the newest block.
    pub(crate) checkpoints: &'a [CheckpointAccepted],
    /// Number of them that are final.
    pub(crate) final_checkpoints: usize,
}

impl<'a> ParentFacts<'a> {
    /// For a chain without a parent.
    pub(crate) const NONE: Self =
        Self { deposits: &[], final_deposits: 0, claims: &[], checkpoints: &[], final_checkpoints: 0 };

    /// The present state of the chain.
    pub(crate) fn of(parent: &'a Parent) -> Self {
        let (head, finalized, ledger) = (parent.height(At::Head), parent.height(At::Finalized), parent.ledger());
        Self {
            deposits: ledger.deposits(head),
            final_deposits: ledger.deposits(finalized).len(),
            claims: ledger.claims(head),
            checkpoints: ledger.checkpoints(head),
            final_checkpoints: ledger.checkpoints(finalized).len(),
        }
    }
}

/// The mints and burns of the sidechain.
#[derive(Debug, Default)]
pub(crate) struct Crossings {
    minted: Vec<Deposit>,
    minted_total: U256,
    burned: Vec<Withdrawal>,
    burned_total: U256,
    /// By height: sums of mints and burns up to it, where they changed.
    counts: Vec<(u64, usize, usize)>,
    /// The expected checkpoints, from the chain's own data.
    due: Digests,
}

/// Events of a block over the bridge, for coverage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) minted: u64,
    pub(crate) burned: u64,
    pub(crate) recorded: u64,
    pub(crate) acknowledged: u64,
}

impl Crossings {
    /// Coin that was minted and not burned.
    pub(crate) fn outstanding(&self) -> Option<U256> {
        self.minted_total.checked_sub(self.burned_total)
    }

    /// Deposits minted so far.
    pub(crate) fn minted(&self) -> usize {
        self.minted.len()
    }

    /// Withdrawals burned so far, by index.
    pub(crate) fn burned(&self) -> &[Withdrawal] {
        &self.burned
    }

    /// The block after the head.
    pub(crate) fn decided(&mut self, executed: &ExecutedBlock, parent: &ParentFacts<'_>) -> Result<Crossed, Violation> {
        let height = executed.block.header.number;
        let fail = |text: String| Err(Violation::new(BRIDGE, height, text));
        let mut crossed = Crossed::default();
        for (tx, receipt) in executed.block.transactions.iter().zip(&executed.receipts) {
            self.import(height, tx, parent)?;
            for log in receipt.logs.iter().filter(|log| log.address == PEG) {
                let (topics, data) = (log.data.topics(), &log.data.data);
                if let Ok(event) = IPeg::DepositMinted::decode_raw_log_validate(topics, data) {
                    let IPeg::DepositMinted { nonce, token, sender, recipient, amount } = event;
                    self.mint(height, Deposit { nonce, token, sender, recipient, amount }, parent)?;
                    crossed.minted += 1;
                } else if let Ok(event) = IPeg::WithdrawalRequested::decode_raw_log_validate(topics, data) {
                    let IPeg::WithdrawalRequested { index, token, sender, recipient, amount, relayerFee } = event;
                    if usize::try_from(index) != Ok(self.burned.len()) {
                        return fail(format!("withdrawal {index} was burned where {} was due", self.burned.len()));
                    }
                    if amount.is_zero() || relayerFee > amount {
                        return fail(format!("withdrawal {index} is of {amount} with a fee of {relayerFee}"));
                    }
                    self.burned.push(Withdrawal { index, token, sender, recipient, amount, relayerFee });
                    self.burned_total += amount;
                    crossed.burned += 1;
                } else if let Ok(event) = IPeg::ValidatorSetAcknowledged::decode_raw_log_validate(topics, data) {
                    let finals = &parent.checkpoints[..parent.final_checkpoints];
                    if finals.iter().all(|accepted| accepted.epoch < event.epoch) {
                        return fail(format!(
                            "the set of epoch {} is acknowledged, the parent has it not",
                            event.epoch
                        ));
                    }
                    crossed.acknowledged += 1;
                } else if let Ok(event) = IPeg::CheckpointRecorded::decode_raw_log_validate(topics, data) {
                    let due = self.due(event.number).map(|due| due.digest);
                    if due != Some(event.digest) {
                        return fail(format!("recorded was {event:?}, the chain's own digest is {due:?}"));
                    }
                    crossed.recorded += 1;
                }
            }
        }
        if crossed.minted + crossed.burned > 0 {
            self.counts.push((height, self.minted.len(), self.burned.len()));
        }
        Ok(crossed)
    }

    /// The chain has a new block. Returns its checkpoint, where one is due.
    pub(crate) fn follow(&mut self, canon: &Canon) {
        self.due.follow(canon, &self.minted, &self.burned);
    }

    /// The expected checkpoint of a number.
    pub(crate) fn due(&self, number: u64) -> Option<Due> {
        self.due.at(number)
    }

    /// Checks that the parent view of an import fits the parent's deposits.
    fn import(&self, height: u64, tx: &Transaction, parent: &ParentFacts<'_>) -> Result<(), Violation> {
        let Some(system) = tx.as_system().filter(|system| system.to == PEG) else { return Ok(()) };
        let Ok(call) = IPeg::importDepositsCall::abi_decode(&system.input) else { return Ok(()) };
        let view = call.view_;
        let last = usize::try_from(view.depositNonce).ok().and_then(|nonce| parent.deposits.get(nonce.checked_sub(1)?));
        let named = last.map(|made| (made.height, made.acc));
        ensure(named == Some((view.parentHeight, view.depositAcc)), BRIDGE, height, || {
            format!("it imports up to {} of parent block {}, there is {named:?}", view.depositNonce, view.parentHeight)
        })
    }

    fn mint(&mut self, height: u64, deposit: Deposit, parent: &ParentFacts<'_>) -> Result<(), Violation> {
        let due = self.minted.len();
        let nonce = usize::try_from(deposit.nonce).unwrap_or(usize::MAX);
        ensure(nonce == due + 1, BRIDGE, height, || format!("deposit {nonce} was minted where {} was due", due + 1))?;
        let made = parent.deposits[..parent.final_deposits].get(due);
        ensure(made.is_some_and(|made| made.deposit == deposit), BRIDGE, height, || {
            format!("minted was {deposit:?}, final on the parent is {:?}", made.map(|made| made.deposit))
        })?;
        self.minted_total += deposit.amount;
        self.minted.push(deposit);
        Ok(())
    }

    /// Minted and burned up to a height.
    fn up_to(&self, height: u64) -> (usize, usize) {
        let before = self.counts.partition_point(|(at, _, _)| *at <= height);
        before.checked_sub(1).map_or((0, 0), |last| (self.counts[last].1, self.counts[last].2))
    }

    /// The parent has a new block.
    pub(crate) fn parent_block(&self, canon: &Canon, parent: &ParentFacts<'_>) -> Result<(), Violation> {
        let height = canon.height();
        let mut paid = BTreeSet::new();
        for claim in parent.claims {
            let index = claim.index;
            ensure(paid.insert(index), BRIDGE, height, || format!("withdrawal {index} was paid twice"))?;
            let burned = usize::try_from(index).ok().and_then(|index| self.burned.get(index));
            let meant = burned.map(|burned| (burned.recipient, burned.amount, burned.relayerFee));
            ensure(meant == Some((claim.recipient, claim.amount, claim.relayer_fee)), BRIDGE, height, || {
                format!("paid was {claim:?}, burned was {burned:?}")
            })?;
            let against = parent.checkpoints.iter().find(|accepted| accepted.number == claim.checkpoint);
            ensure(against.is_some_and(|accepted| index < accepted.withdrawal_count), BRIDGE, height, || {
                format!("withdrawal {index} was paid against checkpoint {}: {against:?}", claim.checkpoint)
            })?;
        }
        parent.checkpoints.iter().try_for_each(|accepted| self.accepted(canon, accepted))
    }

    /// Checks that an accepted checkpoint is of a decided block, and true of it.
    fn accepted(&self, canon: &Canon, accepted: &CheckpointAccepted) -> Result<(), Violation> {
        let at = accepted.sidechain_height;
        let (minted, burned) = self.up_to(at);
        let due = (
            accepted.number.checked_mul(canon.genesis.spec.checkpoint_interval),
            canon.at(at).map(|decided| decided.state_root),
            canon.members(at + 1).map(|members| members.epoch),
            (u64::try_from(minted).ok(), u64::try_from(burned).ok()),
        );
        let counts = (Some(accepted.deposit_nonce), Some(accepted.withdrawal_count));
        let given = (Some(at), Some(accepted.state_root), Some(accepted.epoch), counts);
        ensure(due == given, BRIDGE, canon.height(), || {
            format!("the parent accepted {accepted:?}, decided was {:?} with {minted} mints and {burned} burns", due)
        })?;
        let given = Some(Due { digest: accepted.digest, withdrawal_root: accepted.withdrawal_root });
        let due = self.due(accepted.number);
        ensure(due == given, BRIDGE, canon.height(), || {
            format!("the parent accepted {accepted:?}, the chain's own data give {due:?}")
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use alloy_primitives::{Address, B256, Bytes};
    use causeway_execution::RecoveredTx;

    use super::*;
    use crate::checks::kit::{Kit, Made, USER, user_key};

    /// An owned copy of the parent's state.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Held {
        pub(crate) deposits: Vec<DepositMade>,
        pub(crate) claims: Vec<ClaimPaid>,
        pub(crate) checkpoints: Vec<CheckpointAccepted>,
        pub(crate) unfinal: usize,
    }

    impl Held {
        pub(crate) fn facts(&self) -> ParentFacts<'_> {
            ParentFacts {
                deposits: &self.deposits,
                final_deposits: self.deposits.len() - self.unfinal,
                claims: &self.claims,
                checkpoints: &self.checkpoints,
                final_checkpoints: self.checkpoints.len(),
            }
        }

        pub(crate) fn add(&mut self, deposits: &[Deposit], height: u64) {
            for deposit in deposits {
                let acc = self.deposits.last().map_or(B256::ZERO, |made| made.acc);
                let acc = causeway_peg::deposit::fold_deposits(acc, [deposit]);
                let (total, transaction) = (U256::ZERO, B256::ZERO);
                self.deposits.push(DepositMade { deposit: *deposit, acc, total, height, transaction });
            }
        }

        pub(crate) fn pay(&mut self, burned: &Withdrawal, checkpoint: u64) {
            self.claims.push(ClaimPaid {
                index: burned.index,
                recipient: burned.recipient,
                amount: burned.amount,
                relayer_fee: burned.relayerFee,
                checkpoint,
                total: U256::ZERO,
                height: 50,
                transaction: B256::ZERO,
            });
        }
    }

    fn withdraw(kit: &Kit, nonce: u64, wei: u64) -> Arc<RecoveredTx> {
        let input: Bytes = IPeg::withdrawCall { recipient: USER, relayerFee: U256::from(3) }.abi_encode().into();
        kit.send(&user_key(), nonce, PEG, U256::from(wei), input)
    }

    /// A chain with two deposits minted in block 1, two withdrawals burned in block 2, and a checkpoint at block 3.
    pub(crate) struct Crossed2 {
        pub(crate) canon: Canon,
        pub(crate) held: Held,
        pub(crate) crossings: Crossings,
        blocks: Vec<Made>,
    }

    pub(crate) fn crossed() -> Crossed2 {
        let (mut kit, mut canon) = Kit::pegged();
        let mut held = Held::default();
        let (call, deposits) = kit.import(&[u64::MAX, 70]);
        held.add(&deposits, 10);
        let mut blocks = vec![kit.next_with(vec![call], &[])];
        let txs = [withdraw(&kit, 0, 40), withdraw(&kit, 1, 50)];
        blocks.push(kit.next(&txs));
        blocks.push(kit.next(&[]));
        let mut crossings = Crossings::default();
        let mut seen = Vec::new();
        for made in &blocks {
            seen.push(crossings.decided(&made.executed, &held.facts()).unwrap());
            canon.advance(&made.executed, 0).unwrap();
            crossings.follow(&canon);
        }
        assert_eq!((seen[0].minted, seen[1].burned), (2, 2));
        // The next block stores the checkpoint as the module computes it.
        kit.next(&[]);
        let checkpoint = kit.checkpoint(1);
        held.checkpoints.push(CheckpointAccepted {
            number: 1,
            digest: canon.genesis.peg_domain().unwrap().checkpoint_digest(&checkpoint),
            epoch: 0,
            sidechain_height: 3,
            state_root: canon.at(3).unwrap().state_root,
            withdrawal_root: checkpoint.withdrawalRoot,
            withdrawal_count: 2,
            deposit_nonce: 2,
            height: 40,
            transaction: B256::ZERO,
        });
        crossings.parent_block(&canon, &held.facts()).unwrap();
        Crossed2 { canon, held, crossings, blocks }
    }

    fn decided_with(doctor: impl Fn(&mut Held, &mut Vec<Made>)) -> String {
        let Crossed2 { mut held, mut blocks, .. } = crossed();
        doctor(&mut held, &mut blocks);
        let mut crossings = Crossings::default();
        let violation = blocks.iter().find_map(|made| crossings.decided(&made.executed, &held.facts()).err());
        let violation = violation.expect("the check fires");
        assert_eq!(violation.invariant, BRIDGE);
        violation.text
    }

    #[test]
    fn a_mint_without_a_final_deposit_of_the_same_fields_is_noticed() {
        assert!(decided_with(|held, _| held.unfinal = 1).contains("final on the parent is None"));
        assert!(decided_with(|held, _| held.deposits[1].deposit.amount += U256::ONE).contains("minted was"));
        assert!(decided_with(|held, _| held.deposits[0].deposit.recipient = Address::ZERO).contains("minted was"));
        assert!(decided_with(|held, _| held.deposits[1].acc = B256::ZERO).contains("it imports up to 2"));
        assert!(decided_with(|held, _| held.deposits[1].height = 11).contains("it imports up to 2"));
    }

    #[test]
    fn a_deposit_minted_twice_or_out_of_order_is_noticed() {
        let again = |_: &mut Held, blocks: &mut Vec<Made>| blocks.insert(1, blocks[0].clone());
        assert!(decided_with(again).contains("deposit 1 was minted where 3 was due"));
        let swapped = |_: &mut Held, blocks: &mut Vec<Made>| blocks[0].executed.receipts[0].logs.reverse();
        assert!(decided_with(swapped).contains("was due"));
    }

    #[test]
    fn withdrawals_are_burned_in_order() {
        let again = |_: &mut Held, blocks: &mut Vec<Made>| blocks.push(blocks[1].clone());
        assert!(decided_with(again).contains("withdrawal 0 was burned where 2 was due"));
    }

    fn paid_with(doctor: impl Fn(&mut Held)) -> Result<(), Violation> {
        let Crossed2 { canon, mut held, crossings, .. } = crossed();
        held.pay(&crossings.burned[0], 1);
        held.pay(&crossings.burned[1], 1);
        crossings.parent_block(&canon, &held.facts()).unwrap();
        doctor(&mut held);
        crossings.parent_block(&canon, &held.facts())
    }

    #[test]
    fn a_payment_twice_or_of_something_else_is_noticed() {
        let text = |doctor: fn(&mut Held)| paid_with(doctor).unwrap_err().text;
        assert!(text(|held| held.claims.push(held.claims[0])).contains("paid twice"));
        assert!(text(|held| held.claims[1].amount += U256::ONE).contains("burned was"));
        assert!(text(|held| held.claims[1].recipient = Address::ZERO).contains("burned was"));
        assert!(text(|held| held.claims[1].relayer_fee = U256::ZERO).contains("burned was"));
        assert!(text(|held| held.claims[1].index = 2).contains("burned was None"));
        assert!(text(|held| held.claims[1].checkpoint = 2).contains("against checkpoint 2: None"));
    }

    #[test]
    fn an_accepted_checkpoint_that_says_what_is_not_so_is_noticed() {
        for doctor in [
            (|held| held.checkpoints[0].state_root = B256::ZERO) as fn(&mut Held),
            |held| held.checkpoints[0].withdrawal_count = 3,
            |held| held.checkpoints[0].deposit_nonce = 1,
            |held| held.checkpoints[0].epoch = 1,
            |held| held.checkpoints[0].number = 2,
            |held| held.checkpoints[0].sidechain_height = 9,
            |held| held.checkpoints[0].digest.0[7] ^= 1,
            |held| held.checkpoints[0].withdrawal_root.0[0] ^= 1,
        ] {
            assert_eq!(paid_with(doctor).unwrap_err().invariant, BRIDGE);
        }
    }

    #[test]
    fn a_recorded_checkpoint_of_another_digest_is_noticed() {
        let Crossed2 { held, mut crossings, blocks, canon } = crossed();
        let recorded = |number: u64, digest: B256| {
            let event = IPeg::CheckpointRecorded { number, digest };
            let mut made = blocks[1].clone();
            made.executed.receipts.iter_mut().for_each(|receipt| receipt.logs.clear());
            let log = alloy_primitives::Log { address: PEG, data: event.encode_log_data() };
            made.executed.receipts[0].logs.push(log);
            made
        };
        assert_eq!(canon.height(), 3);
        let digest = held.checkpoints[0].digest;
        let mut decided = |made: Made| crossings.decided(&made.executed, &held.facts());
        assert_eq!(decided(recorded(1, digest)).unwrap().recorded, 1);
        assert!(decided(recorded(1, B256::repeat_byte(9))).unwrap_err().text.contains("recorded was"));
        assert!(decided(recorded(2, digest)).unwrap_err().text.contains("recorded was"));
    }

    #[test]
    fn an_acknowledgement_that_the_parent_never_gave_is_noticed() {
        let event = IPeg::ValidatorSetAcknowledged { epoch: 1, commitment: B256::ZERO };
        let log = alloy_primitives::Log { address: PEG, data: event.encode_log_data() };
        let Crossed2 { mut held, mut blocks, .. } = crossed();
        blocks[0].executed.receipts[0].logs.push(log);
        let first = &blocks[0].executed;
        let refused = Crossings::default().decided(first, &held.facts()).unwrap_err();
        assert!(refused.text.contains("acknowledged"));
        held.checkpoints[0].epoch = 1;
        assert_eq!(Crossings::default().decided(first, &held.facts()).unwrap().acknowledged, 1);
    }
}
