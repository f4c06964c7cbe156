//! From the vault's deposit logs to parent views at canonical cut points.
//!
//! Validators poll at different times and read different ranges, but must sign equal views. So views are cut only at points
//! that the parent chain determines: after the last deposit of each block that has deposits, and inside a block after each
//! nonce that is a multiple of [`MAX_DEPOSITS_PER_VIEW`]. Two neighbouring cuts are at most that many deposits apart. Pure:
//! no IO, no clock.

use alloy_primitives::B256;
use causeway_peg::{
    Deposit, ParentView,
    deposit::{MAX_DEPOSITS_PER_VIEW, fold_deposits},
};

/// A `Deposited` event of the vault.
#[derive(Clone, Debug, PartialEq)]
pub struct DepositLog {
    /// The deposit.
    pub deposit: Deposit,
    /// The accumulator after this deposit, as claimed by the event.
    pub deposit_acc: B256,
    /// Number of the block that holds the event.
    pub height: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// Position of the event in its block.
    pub log_index: u64,
}

/// The deposits between two neighbouring cut points, and the view at the second.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The view to sign.
    pub view: ParentView,
    /// The deposits after the previous cut, 1 to [`MAX_DEPOSITS_PER_VIEW`] of them.
    pub deposits: Vec<Deposit>,
}

/// The state of the deposit history after the logs folded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Nonce of the last deposit; 0 before the first.
    pub nonce: u64,
    /// Accumulator after it.
    pub acc: B256,
    /// Block of the last deposit (or where reading began).
    pub height: u64,
}

/// Why logs cannot be the vault's history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// A nonce is missing.
    #[error("deposit {found} follows deposit {last}: deposits are missing or out of order")]
    Gap {
        /// The last nonce folded.
        last: u64,
        /// The nonce that came instead of the next one.
        found: u64,
    },
    /// The accumulator of the event does not match the deposits.
    #[error("deposit {nonce}: the accumulator computed from the deposits is {computed}, but the vault's is {claimed}")]
    Accumulator {
        /// The deposit.
        nonce: u64,
        /// The accumulator computed from the deposits.
        computed: B256,
        /// The vault's accumulator.
        claimed: B256,
    },
    /// Events are not in chain order, or one block number has two hashes.
    #[error("deposit {nonce}: its event is out of order in block {height}")]
    Order {
        /// The deposit.
        nonce: u64,
        /// The block.
        height: u64,
    },
}

impl Folded {
    /// Folds `logs` (one range of blocks, in chain order); returns the resulting cuts and the state after them.
    ///
    /// Deposits up to `self.nonce` are skipped: reading resumes at the block of the last import, whose first deposits are
    /// already known. On error nothing is changed.
    pub fn fold(&self, logs: Vec<DepositLog>) -> Result<(Vec<Cut>, Self), CutError> {
        let mut state = *self;
        let mut cuts = Vec::new();
        let mut open: Vec<Deposit> = Vec::new();
        let mut previous: Option<(u64, u64, B256, u64)> = None;
        let mut logs = logs.into_iter().peekable();
        while let Some(log) = logs.next() {
            let nonce = log.deposit.nonce;
            if let Some((height, index, hash, before)) = previous {
                let ordered = (height, index) < (log.height, log.log_index)
                    && (height != log.height || hash == log.block_hash)
                    && before < nonce;
                if !ordered {
                    return Err(CutError::Order { nonce, height: log.height });
                }
            }
            previous = Some((log.height, log.log_index, log.block_hash, nonce));
            if nonce <= state.nonce {
                continue;
            }
            if state.nonce.checked_add(1) != Some(nonce) {
                return Err(CutError::Gap { last: state.nonce, found: nonce });
            }
            let computed = fold_deposits(state.acc, [&log.deposit]);
            if computed != log.deposit_acc {
                return Err(CutError::Accumulator { nonce, computed, claimed: log.deposit_acc });
            }
            state = Self { nonce, acc: computed, height: log.height };
            open.push(log.deposit);
            let ends_block = logs.peek().is_none_or(|next| next.height != log.height);
            if ends_block || nonce % MAX_DEPOSITS_PER_VIEW == 0 {
                cuts.push(Cut {
                    view: ParentView {
                        parentHeight: log.height,
                        parentHash: log.block_hash,
                        depositNonce: nonce,
                        depositAcc: computed,
                    },
                    deposits: std::mem::take(&mut open),
                });
            }
        }
        Ok((cuts, state))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_primitives::{Address, U256};
    use proptest::prelude::*;

    /// A history of blocks with the given numbers of deposits, starting at height 10.
    pub(crate) fn history(counts: &[usize]) -> Vec<DepositLog> {
        let (mut acc, mut nonce, mut logs) = (B256::ZERO, 0u64, Vec::new());
        for (block, count) in counts.iter().enumerate() {
            for index in 0..*count {
                nonce += 1;
                let deposit = Deposit {
                    nonce,
                    token: Address::ZERO,
                    sender: Address::repeat_byte(1),
                    recipient: Address::repeat_byte(2),
                    amount: U256::from(nonce * 7),
                };
                acc = fold_deposits(acc, [&deposit]);
                let height = 10 + block as u64;
                logs.push(DepositLog {
                    deposit,
                    deposit_acc: acc,
                    height,
                    block_hash: B256::with_last_byte(height as u8),
                    log_index: index as u64,
                });
            }
        }
        logs
    }

    fn nonces(cuts: &[Cut]) -> Vec<u64> {
        cuts.iter().map(|cut| cut.view.depositNonce).collect()
    }

    #[test]
    fn cuts_fall_at_block_ends_and_at_multiples_of_the_limit() {
        let (cuts, end) = Folded::default().fold(history(&[2, 0, 600, 1])).unwrap();
        assert_eq!(nonces(&cuts), [2, 256, 512, 602, 603]);
        assert_eq!(end.nonce, 603);
        assert_eq!(end.acc, cuts[4].view.depositAcc);
        assert!(cuts.iter().all(|cut| cut.deposits.last().unwrap().nonce == cut.view.depositNonce));
    }

    #[test]
    fn a_block_that_ends_at_a_multiple_makes_one_cut() {
        let (cuts, _) = Folded::default().fold(history(&[256, 256])).unwrap();
        assert_eq!(nonces(&cuts), [256, 512]);
    }

    #[test]
    fn a_missing_first_or_middle_deposit_is_a_gap() {
        let mut logs = history(&[3]);
        logs.remove(1);
        assert_eq!(Folded::default().fold(logs).unwrap_err(), CutError::Gap { last: 1, found: 3 });
        let logs = history(&[3]).split_off(1);
        assert_eq!(Folded::default().fold(logs).unwrap_err(), CutError::Gap { last: 0, found: 2 });
    }

    #[test]
    fn an_altered_deposit_does_not_fit_its_accumulator() {
        let mut logs = history(&[3]);
        logs[1].deposit.amount += U256::ONE;
        assert!(matches!(Folded::default().fold(logs), Err(CutError::Accumulator { nonce: 2, .. })));
    }

    #[test]
    fn swapped_repeated_and_split_blocks_are_out_of_order() {
        let mut swapped = history(&[2]);
        swapped.swap(0, 1);
        assert!(matches!(Folded::default().fold(swapped), Err(CutError::Order { .. }) | Err(CutError::Gap { .. })));
        let mut repeated = history(&[2]);
        repeated.push(repeated[1].clone());
        assert!(matches!(Folded::default().fold(repeated), Err(CutError::Order { .. })));
        let mut split = history(&[2]);
        split[1].block_hash = B256::ZERO;
        assert!(matches!(Folded::default().fold(split), Err(CutError::Order { .. })));
    }

    #[test]
    fn the_greatest_nonce_does_not_overflow() {
        let folded = Folded { nonce: u64::MAX, ..Folded::default() };
        let mut logs = history(&[1]);
        logs[0].deposit.nonce = u64::MAX;
        assert_eq!(folded.fold(logs).unwrap().0, []);
    }

    proptest! {
        /// Two validators that read different ranges and restart at different cuts make the same views.
        #[test]
        fn cuts_do_not_depend_on_ranges_or_restarts(
            counts in proptest::collection::vec(0usize..400, 1..6),
            splits in proptest::collection::btree_set(0u64..6, 0..4),
            restart in 0usize..8,
        ) {
            let logs = history(&counts);
            let (whole, _) = Folded::default().fold(logs.clone()).unwrap();
            let (mut parts, mut state, mut from) = (Vec::new(), Folded::default(), 0);
            for to in splits.into_iter().map(|s| 10 + s).chain([u64::MAX]) {
                let range = logs.iter().filter(|l| l.height >= from && l.height < to).cloned().collect();
                let (cuts, next) = state.fold(range).unwrap();
                parts.extend(cuts);
                state = next;
                from = to;
            }
            prop_assert_eq!(&parts, &whole);
            if let Some(at) = whole.get(restart) {
                let state = Folded {
                    nonce: at.view.depositNonce,
                    acc: at.view.depositAcc,
                    height: at.view.parentHeight,
                };
                let range = logs.iter().filter(|l| l.height >= state.height).cloned().collect();
                prop_assert_eq!(&state.fold(range).unwrap().0[..], &whole[restart + 1..]);
            }
        }

        #[test]
        fn no_cut_is_wider_than_the_limit(counts in proptest::collection::vec(0usize..700, 1..4)) {
            let (cuts, _) = Folded::default().fold(history(&counts)).unwrap();
            for cut in cuts {
                prop_assert!(!cut.deposits.is_empty() && cut.deposits.len() as u64 <= MAX_DEPOSITS_PER_VIEW);
            }
        }
    }
}
