//! Production clients of the parent, polled by hand while its time goes on.
#![allow(clippy::unwrap_used)]

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_parent::{
    ParentConfig, ParentUpdate, ParentWatcher, Submitter, SubmitterConfig, WatchFrom,
    relay::{Certified, Relay, Source, SourceError},
};
use causeway_peg::{
    CertificateSig, Checkpoint, Deposit, PegDomain, PegValidator, PegValidatorSet, RegistryState, Withdrawal,
    sign_digest, signature::address_of, tree, withdrawal::withdrawal_leaf,
};
use tokio::sync::mpsc;

use super::{Parent, ParentEvent, ParentPlan, PegDeployment};

pub(super) const RECIPIENT: Address = Address::repeat_byte(0x4e);
const DEPLOYER: Address = Address::repeat_byte(0xde);
const KEYS: u8 = 4;

pub(super) fn ether(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10u64.pow(18))
}

/// A funded user.
pub(super) fn user(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256([b'u', number])).unwrap()
}

fn secret(number: u8) -> B256 {
    keccak256([b'v', number])
}

pub(super) fn validators() -> PegValidatorSet {
    let member = |number| PegValidator { address: address_of(&secret(number)).unwrap(), power: 1 };
    PegValidatorSet::new(0, (0..KEYS).map(member).collect()).unwrap()
}

pub(super) fn deployment() -> PegDeployment {
    PegDeployment {
        deployer: DEPLOYER,
        deployer_nonce: 7,
        genesis_hash: B256::repeat_byte(0x61),
        validators: validators(),
        claim_delay_s: 0,
    }
}

/// A parent with a peg and two rich users.
pub(super) fn parent(plan: ParentPlan, seed: u64) -> Parent {
    let alloc: Vec<(Address, U256)> = (0..4).map(|number| (user(number).address(), ether(1_000_000))).collect();
    Parent::new(plan, seed, &alloc, Some(&deployment()))
}

/// A watcher's report, with the time and the parent's final block at that time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reports(pub(super) Vec<(u64, u64, ParentUpdate)>);

impl Reports {
    pub(super) fn deposits(&self) -> Vec<Deposit> {
        let deposits = self.0.iter().filter_map(|(_, _, update)| match update {
            ParentUpdate::Deposits { deposits, .. } => Some(deposits.clone()),
            _ => None,
        });
        deposits.flatten().collect()
    }
}

struct Watching {
    updates: mpsc::Receiver<ParentUpdate>,
    reports: Reports,
}

/// A parent with clients.
pub(super) struct Rig {
    pub(super) parent: Parent,
    pub(super) now_ms: u64,
    tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    watchers: Vec<Watching>,
}

impl Rig {
    pub(super) fn new(parent: Parent) -> Self {
        Self { parent, now_ms: 0, tasks: Vec::new(), watchers: Vec::new() }
    }

    /// Starts a watcher of these endpoints. Returns its number.
    pub(super) fn watch(&mut self, endpoints: &[usize]) -> usize {
        let urls = endpoints.iter().map(|endpoint| self.parent.url(*endpoint)).collect();
        let mut config = ParentConfig::new(urls, 31_337, self.parent.vault(), self.parent.registry());
        config.max_log_range = 100;
        let wire = self.parent.wire(self.watchers.len());
        let (watcher, _, updates) = ParentWatcher::new(config, WatchFrom::default(), wire).unwrap();
        self.tasks.push(Box::pin(watcher.run()));
        self.watchers.push(Watching { updates, reports: Reports::default() });
        self.watchers.len() - 1
    }

    /// Relays `side` with `key` every second, through `endpoint`. Counts the successful passes.
    pub(super) fn relay(&mut self, side: Side, key: PrivateKeySigner, endpoint: usize) -> Rc<RefCell<u64>> {
        let wire = self.parent.wire(99);
        let config = SubmitterConfig::new(self.parent.url(endpoint), 31_337);
        let (registry, vault) = (self.parent.registry(), self.parent.vault());
        let looked = Rc::new(RefCell::new(0));
        let count = looked.clone();
        self.tasks.push(Box::pin(async move {
            let submitter = loop {
                match Submitter::connect(config.clone(), key.clone(), wire.clone()).await {
                    Ok(submitter) => break submitter,
                    Err(_) => wire.sleep(std::time::Duration::from_secs(1)).await,
                }
            };
            let delay = std::time::Duration::ZERO;
            loop {
                let relay = Relay { source: &side, submitter: &submitter, registry, vault, delay };
                if relay.look().await.is_ok() {
                    *count.borrow_mut() += 1;
                }
                wire.sleep(std::time::Duration::from_secs(1)).await;
            }
        }));
        looked
    }

    /// Advances the time. A watcher's reports must be canonical and final, unless `believed` allows them.
    pub(super) fn run(&mut self, for_ms: u64) -> Vec<ParentEvent> {
        let until_ms = self.now_ms + for_ms;
        let mut events = Vec::new();
        loop {
            let due = self.parent.next_due_ms().min(until_ms);
            self.now_ms = due;
            events.extend(self.parent.advance(due));
            let mut context = Context::from_waker(Waker::noop());
            for task in &mut self.tasks {
                assert!(task.as_mut().poll(&mut context).is_pending(), "clients run for ever");
            }
            let finalized = self.parent.finalized().height;
            for watching in &mut self.watchers {
                while let Ok(update) = watching.updates.try_recv() {
                    watching.reports.0.push((due, finalized, update));
                }
            }
            if due == until_ms && self.parent.next_due_ms() > until_ms {
                return events;
            }
        }
    }

    pub(super) fn reports(&self, watcher: usize) -> &Reports {
        &self.watchers[watcher].reports
    }

    /// The deposits in final blocks, from the parent's own ledger.
    pub(super) fn final_deposits(&self) -> Vec<Deposit> {
        let finalized = self.parent.finalized().height;
        self.parent.ledger().deposits(finalized).iter().map(|made| made.deposit).collect()
    }

    /// Checks that a watcher's reports are the final deposits, from the first on, each final at the time of its report.
    #[track_caller]
    pub(super) fn assert_true_and_final(&self, watcher: usize) {
        let reports = self.reports(watcher);
        let seen = reports.deposits();
        assert_eq!(seen, self.final_deposits()[..seen.len()], "each once, in order, and none that is not final");
        for (at_ms, finalized, update) in &reports.0 {
            if let ParentUpdate::Deposits { view, .. } = update {
                assert!(view.parentHeight <= *finalized, "at {at_ms} ms block {} was not final", view.parentHeight);
            }
        }
    }
}

/// A sidechain that has recorded one checkpoint with one withdrawal to [`RECIPIENT`].
#[derive(Clone)]
pub(super) struct Side {
    pub(super) withdrawal: Withdrawal,
    certified: Certified,
}

impl Side {
    /// `amount` is the amount of the withdrawal.
    pub(super) fn with_withdrawal(parent: &Parent, amount: U256) -> Self {
        let withdrawal = Withdrawal {
            index: 0,
            token: Address::ZERO,
            sender: Address::repeat_byte(1),
            recipient: RECIPIENT,
            amount,
            relayerFee: U256::ZERO,
        };
        let checkpoint = Checkpoint {
            number: 1,
            height: 10,
            blockHash: B256::repeat_byte(2),
            stateRoot: B256::repeat_byte(3),
            withdrawalRoot: tree::root_of(&[withdrawal_leaf(&withdrawal)]).unwrap(),
            withdrawalCount: 1,
            nextValset: validators().commitment(),
            ..Checkpoint::default()
        };
        let domain =
            PegDomain { parent_chain_id: 31_337, registry: parent.registry(), genesis_hash: deployment().genesis_hash };
        let digest = domain.checkpoint_digest(&checkpoint);
        let sign = |number| CertificateSig {
            signer: address_of(&secret(number)).unwrap(),
            signature: sign_digest(&secret(number), digest).unwrap(),
        };
        let signatures = (0..KEYS).map(sign).collect();
        Self { withdrawal, certified: Certified { checkpoint, signatures, set: validators() } }
    }

    pub(super) fn claim(&self) -> causeway_contracts::PegVault::claimCall {
        let proof = tree::prove(&[withdrawal_leaf(&self.withdrawal)], 0, 1).unwrap();
        causeway_contracts::claim_call(&self.withdrawal, 1, &proof)
    }
}

impl Source for Side {
    fn epoch(&self) -> Result<u64, SourceError> {
        Ok(0)
    }

    fn handover(&self, registry: &RegistryState) -> Result<Option<Certified>, SourceError> {
        Ok((!registry.knows_next).then(|| self.certified.clone()))
    }

    fn latest(&self) -> Result<Option<Certified>, SourceError> {
        Ok(Some(self.certified.clone()))
    }

    fn recorded(&self, number: u64) -> Result<Option<Checkpoint>, SourceError> {
        Ok((number == 1).then_some(self.certified.checkpoint))
    }

    fn minted(&self) -> Result<u64, SourceError> {
        Ok(0)
    }

    fn deposit_leaf(&self, nonce: u64) -> Result<B256, SourceError> {
        Err(format!("deposit {nonce} was never minted").into())
    }
}
