//! Users' actions on the parent: deposits, claims, and calls that must fail.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use causeway_contracts::claim_call;
use causeway_peg::{Withdrawal, tree, withdrawal::withdrawal_leaf};

use super::{USERS, books::Books, coin, wallet::Wallet};
use crate::{
    Coverage,
    parent::{At, CheckpointAccepted, Parent},
    rng::Rng,
};

/// Amount of the first deposit for an account without coin.
const FIRST_COIN: u64 = 20;
/// Number of first deposits in one turn.
const FIRSTS_PER_TURN: usize = 4;
/// A deposit that did not arrive after this long is made again: the parent forgets transactions, and may replace blocks.
const AGAIN_AFTER_MS: u64 = 90_000;
/// A claim that was not paid after this long is sent again.
const CLAIM_AGAIN_AFTER_MS: u64 = 20_000;
/// Percentages of turns: further deposits, claims, and claims that must be refused.
const DEPOSIT_PERCENT: u64 = 20;
const CLAIM_PERCENT: u64 = 60;
const WRONG_PERCENT: u64 = 10;
/// Number of payments of the vault whose recipients are checked.
const LOOKED_AT: usize = 8;

/// The users' knowledge of the sidechain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) wallets: &'a [Wallet],
    pub(super) books: &'a Books,
}

/// The users' memory of the parent.
#[derive(Debug, Default)]
pub(super) struct ParentSide {
    /// Time of the last first deposit for an account.
    firsts: BTreeMap<Address, u64>,
    /// Time at which a withdrawal's claim was last sent.
    claims: BTreeMap<u64, u64>,
}

impl ParentSide {
    /// Compares recipients' coin with the vault's payments: each withdrawal has its own recipient.
    pub(super) fn look(&self, parent: &Parent) -> Result<(), String> {
        let claims = parent.ledger().claims(parent.height(At::Head));
        for paid in claims.iter().rev().take(LOOKED_AT) {
            let (has, due) = (parent.balance(paid.recipient, At::Head), paid.amount - paid.relayer_fee);
            if has != due {
                return Err(format!("withdrawal {} paid {due} to {}, which has {has}", paid.index, paid.recipient));
            }
        }
        Ok(())
    }

    /// A user's turn.
    pub(super) fn act(
        &mut self,
        known: Known<'_>,
        parent: &mut Parent,
        coverage: &mut Coverage,
        rng: &mut Rng,
        now_ms: u64,
    ) {
        self.first_deposits(known, parent, coverage, now_ms);
        let Known { wallets, books } = known;
        let key = &wallets[rng.index(USERS)].key;
        if rng.percent(DEPOSIT_PERCENT) {
            let recipient = wallets[rng.index(wallets.len())].address;
            let amount = coin(rng.between(1, 5)) + U256::from(rng.below(1_000));
            coverage.add("deposit_made", u64::from(parent.deposit(key, recipient, amount).is_ok()));
        }
        let Some(accepted) = parent.ledger().checkpoints(parent.height(At::Head)).last().copied() else { return };
        let burned = usize::try_from(accepted.withdrawal_count).unwrap_or(usize::MAX).min(books.burned().len());
        if burned == 0 {
            return;
        }
        let burned = &books.burned()[..burned];
        let paid: BTreeSet<u64> =
            parent.ledger().claims(parent.height(At::Head)).iter().map(|claim| claim.index).collect();
        if rng.percent(CLAIM_PERCENT) {
            let waits = |burned: &&Withdrawal| {
                let tried = self.claims.get(&burned.index);
                !paid.contains(&burned.index) && tried.is_none_or(|at_ms| now_ms >= at_ms + CLAIM_AGAIN_AFTER_MS)
            };
            let unpaid = burned.iter().find(waits).copied();
            // A claim that is too early is refused and tried again.
            if let Some((unpaid, call)) = unpaid.and_then(|unpaid| Some((unpaid, claim(&unpaid, books, &accepted)?))) {
                let is_sent = parent.claim(key, &call).is_ok();
                coverage.add("claim_sent", u64::from(is_sent));
                if is_sent {
                    self.claims.insert(unpaid.index, now_ms);
                }
            }
        }
        if rng.percent(WRONG_PERCENT) {
            let mut wanted = *rng.pick(burned);
            if !paid.contains(&wanted.index) {
                wanted.amount += U256::ONE;
            }
            if let Some(call) = claim(&wanted, books, &accepted) {
                coverage.add("claim_refused", u64::from(parent.claim(key, &call).is_err()));
            }
        }
    }

    /// Every account needs coin for fees.
    fn first_deposits(&mut self, known: Known<'_>, parent: &mut Parent, coverage: &mut Coverage, now_ms: u64) {
        let Known { wallets, books } = known;
        let waits = |wallet: &&Wallet| {
            let tried = self.firsts.get(&wallet.address);
            books.of(wallet.address).is_zero() && tried.is_none_or(|at_ms| now_ms >= at_ms + AGAIN_AFTER_MS)
        };
        let poor: Vec<Address> =
            wallets.iter().filter(waits).take(FIRSTS_PER_TURN).map(|wallet| wallet.address).collect();
        for (place, recipient) in poor.into_iter().enumerate() {
            let from = &wallets[(self.firsts.len() + place) % USERS].key;
            coverage.add("deposit_made", u64::from(parent.deposit(from, recipient, coin(FIRST_COIN)).is_ok()));
            self.firsts.insert(recipient, now_ms);
        }
    }
}

/// The claim of a withdrawal against an accepted checkpoint; `None` until all withdrawals of the checkpoint were read here.
fn claim(
    withdrawal: &Withdrawal,
    books: &Books,
    accepted: &CheckpointAccepted,
) -> Option<causeway_contracts::PegVault::claimCall> {
    let leaves: Vec<_> = books.burned().iter().map(withdrawal_leaf).collect();
    let proof = tree::prove(&leaves, withdrawal.index, accepted.withdrawal_count)?;
    Some(claim_call(withdrawal, accepted.number, &proof))
}
