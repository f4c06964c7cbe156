//! The canonical checkpoints, recomputed from the sidechain's history without trust in any statement. Only the epochs
//! and next sets are claims of the evidence, until they agree with a digest that the validators certified.

use crate::{
    history::History,
    report::{Check, Object},
    sidechain::Sidechain,
};
use alloy_primitives::B256;
use causeway_peg::{Checkpoint, Frontier, PegDomain, withdrawal::withdrawal_leaf};
use std::collections::BTreeMap;

/// A recomputed checkpoint and its digest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Canonical {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) digest: B256,
}

/// Every checkpoint due up to the head, by number. Stops, and fails `check`, at the first whose header is missing.
pub(crate) fn canonical(
    chain: &Sidechain,
    domain: &PegDomain,
    interval: u64,
    history: &History,
    check: &mut Check,
) -> BTreeMap<u64, Canonical> {
    let mut burns: Vec<_> = chain.burns.iter().collect();
    burns.sort_by_key(|burn| (burn.block, burn.withdrawal.index));
    let mut burns = burns.into_iter().peekable();
    let mut tree = Frontier::default();
    let mut digest = B256::ZERO;
    let mut all = BTreeMap::new();
    for number in 1..=chain.head.checked_div(interval).unwrap_or_default() {
        let height = number.saturating_mul(interval);
        let Some(sealed) = chain.headers.get(&height) else {
            let next = "collect the evidence again: every checkpoint height's header belongs to it";
            check.fail(Object::Checkpoint(number), format!("the header of its block {height} is missing"), next);
            break;
        };
        while let Some(burn) = burns.next_if(|burn| burn.block <= height) {
            if tree.append(withdrawal_leaf(&burn.withdrawal)).is_err() {
                let next = "the withdrawal tree is full: this chain's peg has ended";
                check.fail(Object::Withdrawal(burn.withdrawal.index), "more withdrawals than the tree holds", next);
            }
        }
        let epoch = history.epoch_of(number);
        let (deposit_nonce, deposit_acc) = chain.imported(height);
        let checkpoint = Checkpoint {
            number,
            prevDigest: digest,
            height,
            blockHash: sealed.hash,
            stateRoot: sealed.header.state_root,
            withdrawalRoot: tree.root(),
            withdrawalCount: tree.count(),
            depositNonce: deposit_nonce,
            depositAcc: deposit_acc,
            epoch,
            nextValset: epoch.checked_add(1).and_then(|next| history.commitment(next)).unwrap_or_default(),
        };
        digest = domain.checkpoint_digest(&checkpoint);
        all.insert(number, Canonical { checkpoint, digest });
    }
    all
}
