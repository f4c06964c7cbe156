//! Proves to the registry a part of the deposit history that the vault no longer stores.
//!
//! A checkpoint states which deposits the sidechain had minted. The registry compares this with the vault, which stores its
//! last 4,096 accumulators. An older checkpoint is submitted with the leaves of the deposits since then. If these are too
//! many for one transaction, the history is linked first: from the latest part backwards, each part up to a point that is
//! already known. Parts end at multiples of [`MAX_LEAVES`]. So all relayers use the same parts, and one continues where
//! another one, or itself before a restart, stopped.

use crate::submitter::{SubmitError, Submitter};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_contracts::CheckpointRegistry;
use causeway_peg::deposit::extend_acc;

/// Most leaves in one transaction: nodes refuse transactions above 128 KiB.
pub const MAX_LEAVES: u64 = 3_000;

/// A point inside the history: a nonce, the accumulator after it, and the number of leaves before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    nonce: u64,
    acc: B256,
    position: usize,
}

/// The points between `nonce` (with accumulator `acc`) and the end of `leaves`, in ascending order.
fn cuts(nonce: u64, mut acc: B256, leaves: &[B256]) -> Vec<Cut> {
    let last = leaves.len().saturating_sub(1);
    let mut cuts = Vec::new();
    for ((position, leaf), nonce) in (1usize..).zip(leaves).zip(nonce.saturating_add(1)..).take(last) {
        acc = extend_acc(acc, *leaf);
        if nonce % MAX_LEAVES == 0 {
            cuts.push(Cut { nonce, acc, position });
        }
    }
    cuts
}

impl Submitter {
    /// Links the part of the history after deposit `nonce`, whose accumulator is `acc`, that one transaction could not
    /// prove. `leaves` belong to the deposits after it, up to a deposit that the vault still stores. Returns how many of the
    /// first leaves the checkpoint's own submission must then contain.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn link_history(
        &self,
        registry: Address,
        nonce: u64,
        acc: B256,
        leaves: &[B256],
    ) -> Result<usize, SubmitError> {
        if u64::try_from(leaves.len()).is_ok_and(|count| count <= MAX_LEAVES) {
            return Ok(leaves.len());
        }
        let mut missing = Vec::new();
        let mut end = leaves.len();
        for cut in cuts(nonce, acc, leaves) {
            if !self.view(registry, CheckpointRegistry::linkedAccCall { nonce: cut.nonce }).await?.is_zero() {
                end = cut.position;
                break;
            }
            missing.push(cut);
        }
        for cut in missing.into_iter().rev() {
            let call = CheckpointRegistry::linkCall {
                nonce: cut.nonce,
                acc: cut.acc,
                laterDeposits: leaves.get(cut.position..end).unwrap_or_default().to_vec(),
            };
            let included = self.send(TxKind::Call(registry), U256::ZERO, call.abi_encode().into()).await?;
            tracing::info!(nonce = cut.nonce, transaction = %included.hash, "the registry linked the deposit history");
            end = cut.position;
        }
        Ok(end)
    }
}
