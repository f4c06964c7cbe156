//! The relayer against a scripted parent whose registry applies submitted checkpoints.
#![allow(clippy::unwrap_used)]

use crate::{
    Submitter, SubmitterConfig,
    fake::{CHAIN_ID, FakeParent, Mood, REGISTRY, VAULT, http},
    relay::{Certified, IDLE_CHECKPOINTS, Relay, RelayError, Source, SourceError},
};
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use causeway_contracts::CheckpointRegistry;
use causeway_peg::{
    CertificateSig, Checkpoint, PegValidator, PegValidatorSet, RegistryState, sign_digest, signature::address_of,
};
use serde_json::json;
use std::time::Duration;

/// A sidechain with two recorded checkpoints in each epoch: 1 and 2 of epoch 0, 3 and 4 of epoch 1, and so on.
#[derive(Clone, Default)]
pub(crate) struct Side {
    checkpoints: Vec<Checkpoint>,
    minted: u64,
}

impl Side {
    /// All checkpoints of the epochs before `epoch`, and `recorded` (0 to 2) of `epoch` itself.
    pub(crate) fn in_epoch(epoch: u64, recorded: u64) -> Self {
        let of = |number: u64| {
            let epoch = (number - 1) / 2;
            Checkpoint { number, height: number * 10, epoch, nextValset: B256::repeat_byte(1), ..Checkpoint::default() }
        };
        Self { checkpoints: (1..=2 * epoch + recorded).map(of).collect(), minted: 0 }
    }

    fn certified(checkpoint: Checkpoint) -> Certified {
        let secret = B256::repeat_byte(9);
        let address = address_of(&secret).unwrap();
        let set = PegValidatorSet::new(checkpoint.epoch, vec![PegValidator { address, power: 1 }]).unwrap();
        let signature = sign_digest(&secret, B256::ZERO).unwrap();
        Certified { checkpoint, signatures: vec![CertificateSig { signer: address, signature }], set }
    }
}

impl Source for Side {
    fn epoch(&self) -> Result<u64, SourceError> {
        Ok(self.checkpoints.last().map_or(0, |checkpoint| checkpoint.epoch))
    }

    fn handover(&self, registry: &RegistryState) -> Result<Option<Certified>, SourceError> {
        let epoch = registry.epoch + u64::from(registry.knows_next);
        let first = self.checkpoints.iter().find(|checkpoint| checkpoint.epoch == epoch).copied();
        Ok(first.map(Self::certified))
    }

    fn latest(&self) -> Result<Option<Certified>, SourceError> {
        Ok(self.checkpoints.last().copied().map(Self::certified))
    }

    fn recorded(&self, number: u64) -> Result<Option<Checkpoint>, SourceError> {
        Ok(self.checkpoints.iter().find(|checkpoint| checkpoint.number == number).copied())
    }

    fn minted(&self) -> Result<u64, SourceError> {
        Ok(self.minted)
    }

    fn deposit_leaf(&self, nonce: u64) -> Result<B256, SourceError> {
        Ok(keccak256(nonce.to_be_bytes()))
    }
}

async fn started() -> (FakeParent, Submitter) {
    let parent = FakeParent::start().await;
    {
        let mut chain = parent.chain();
        (chain.includes_all, chain.follows) = (true, true);
    }
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let config = SubmitterConfig::new(parent.url.clone(), CHAIN_ID);
    let submitter = Submitter::connect(config, signer, http()).await.unwrap();
    (parent, submitter)
}

async fn look(side: &Side, submitter: &Submitter, delay: Duration) -> Result<(), RelayError> {
    Relay { source: side, submitter, registry: REGISTRY, vault: VAULT, delay }.look().await
}

/// Numbers of the checkpoints submitted since the last call, with the number of leaves.
fn submitted(parent: &FakeParent) -> Vec<(u64, usize)> {
    let take = |raw: Bytes| {
        let transaction = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        let call = CheckpointRegistry::submitCall::abi_decode(transaction.input()).unwrap();
        (call.c.number, call.laterDeposits.len())
    };
    std::mem::take(&mut parent.chain().sent).into_iter().map(take).collect()
}

fn numbers(parent: &FakeParent) -> Vec<u64> {
    submitted(parent).into_iter().map(|(number, _)| number).collect()
}

#[tokio::test]
async fn registry_far_behind_gets_one_checkpoint_of_each_epoch_and_then_nothing() {
    let (parent, submitter) = started().await;
    let side = Side::in_epoch(10, 2);
    look(&side, &submitter, Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&parent), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21]);
    look(&side, &submitter, Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&parent), [0u64; 0], "checkpoint 22 settles nothing");
}

#[tokio::test]
async fn after_the_handovers_a_checkpoint_is_submitted_when_it_settles_something() {
    let (parent, submitter) = started().await;
    let mut side = Side::in_epoch(1, 2);
    look(&side, &submitter, Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&parent), [1, 3]);
    for (withdrawals, deposits) in [(1, 0), (0, 1)] {
        let mut side = side.clone();
        let latest = side.checkpoints.last_mut().unwrap();
        (latest.withdrawalCount, latest.depositNonce) = (withdrawals, deposits);
        let (parent, submitter) = started().await;
        {
            let mut chain = parent.chain();
            chain.accept(1, 0, B256::repeat_byte(1));
            chain.accept(3, 1, B256::repeat_byte(1));
        }
        look(&side, &submitter, Duration::ZERO).await.unwrap();
        assert_eq!(numbers(&parent), [4]);
    }
    for (number, expected) in [(2 + IDLE_CHECKPOINTS, vec![]), (3 + IDLE_CHECKPOINTS, vec![3 + IDLE_CHECKPOINTS])] {
        side.checkpoints.last_mut().unwrap().number = number;
        look(&side, &submitter, Duration::ZERO).await.unwrap();
        assert_eq!(numbers(&parent), expected, "no checkpoint for a long time");
    }
}

#[tokio::test]
async fn epoch_without_a_recorded_checkpoint_is_waited_for() {
    let (parent, submitter) = started().await;
    look(&Side::default(), &submitter, Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&parent), [0u64; 0]);
    look(&Side::in_epoch(2, 0), &submitter, Duration::ZERO).await.unwrap();
    assert_eq!(numbers(&parent), [1, 3]);
}

#[tokio::test]
async fn outage_sends_nothing_twice_and_relaying_continues_after_it() {
    let (parent, submitter) = started().await;
    let side = Side::in_epoch(6, 1);
    let outage = async {
        while parent.chain().checkpoint.0 < 5 {
            tokio::task::yield_now().await;
        }
        parent.chain().mood = Mood::Http500;
    };
    let (result, ()) = tokio::join!(look(&side, &submitter, Duration::ZERO), outage);
    assert!(matches!(result, Err(RelayError::Submit(_))), "{result:?}");
    for _ in 0..3 {
        assert!(look(&side, &submitter, Duration::ZERO).await.is_err(), "one failure in each run, and no loop");
    }
    let before = numbers(&parent);
    parent.chain().mood = Mood::Honest;
    // A restarted relayer knows only what it reads from the chains.
    look(&side, &submitter, Duration::ZERO).await.unwrap();
    assert_eq!([before, numbers(&parent)].concat(), [1, 3, 5, 7, 9, 11, 13]);
}

#[tokio::test]
async fn slower_relayer_leaves_the_rest_to_the_faster_one() {
    let (parent, submitter) = started().await;
    let side = Side::in_epoch(3, 1);
    parent.chain().requests.clear();
    let faster = async {
        // The slower relayer has read the registry and waits.
        while parent.chain().requests.get("eth_call").is_none_or(|calls| *calls < 2) {
            tokio::task::yield_now().await;
        }
        parent.chain().accept(2, 0, B256::repeat_byte(1));
    };
    let (result, ()) = tokio::join!(look(&side, &submitter, Duration::from_millis(200)), faster);
    result.unwrap();
    assert_eq!(numbers(&parent), [0u64; 0]);
    // Alone, it waits once and then does everything.
    look(&side, &submitter, Duration::from_millis(1)).await.unwrap();
    assert_eq!(numbers(&parent), [3, 5, 7]);
}

#[tokio::test]
async fn lost_race_ends_the_look_without_an_error() {
    let (parent, submitter) = started().await;
    let side = Side::in_epoch(3, 1);
    {
        let mut chain = parent.chain();
        (chain.includes_all, chain.follows, chain.included) = (false, false, Some((0, 0)));
    }
    let faster = async {
        while parent.chain().sent.is_empty() {
            tokio::task::yield_now().await;
        }
        parent.chain().accept(1, 0, B256::repeat_byte(1));
    };
    let (result, ()) = tokio::join!(look(&side, &submitter, Duration::ZERO), faster);
    result.unwrap();
    assert_eq!(numbers(&parent), [1], "its transaction failed after the other one");
}

#[tokio::test]
async fn endpoint_that_does_not_show_an_accepted_checkpoint_gets_no_more() {
    let (parent, submitter) = started().await;
    parent.chain().follows = false;
    let result = look(&Side::in_epoch(2, 0), &submitter, Duration::ZERO).await;
    assert!(matches!(result, Err(RelayError::LaggingEndpoint { accepted: 1, shown: 0 })), "{result:?}");
    assert_eq!(numbers(&parent), [1]);
}

#[tokio::test]
async fn checkpoint_the_vault_has_forgotten_is_submitted_with_the_leaves_since() {
    let (parent, submitter) = started().await;
    let mut side = Side::in_epoch(0, 1);
    side.checkpoints[0].depositNonce = 5;
    // The vault stores the accumulators of deposits 905 to 5,000.
    let deposits = U256::from(5_000);
    let answers: [(u64, usize); 5] = [(0, 0), (904, 0), (905, 900), (1_000, 995), (5_000, 905 + 512 - 5)];
    for (minted, leaves) in answers {
        side.minted = minted;
        let nonce = json!(B256::from(deposits));
        let zeros = json!(Bytes::from(vec![0; 128]));
        let zero = json!(B256::ZERO);
        {
            let mut chain = parent.chain();
            chain.follows = false;
            // latest, next set; vault's count; latest and digest before the submission; afterwards the same.
            let calls =
                vec![zeros.clone(), zero.clone(), nonce, zeros.clone(), zero.clone(), zeros.clone(), zero.clone()];
            chain.script.insert("eth_call", calls);
        }
        let result = look(&side, &submitter, Duration::ZERO).await;
        if leaves == 0 {
            assert!(matches!(result, Err(RelayError::NotMintedYet { oldest: 905, .. })), "{result:?}");
            assert_eq!(numbers(&parent), [0u64; 0]);
        } else {
            assert!(matches!(result, Err(RelayError::LaggingEndpoint { .. })), "{result:?}");
            assert_eq!(submitted(&parent), [(1, leaves)], "{minted}");
        }
    }
    // Before the first deposit there is nothing to prove.
    side.checkpoints[0].depositNonce = 0;
    parent.chain().script.clear();
    parent.chain().follows = true;
    look(&side, &submitter, Duration::ZERO).await.unwrap();
    assert_eq!(submitted(&parent), [(1, 0)]);
}
