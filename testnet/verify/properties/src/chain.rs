//! Two short chains in memory, for blocks and calls: one with coin from genesis, one whose coin came
//! over the peg. Both have short epochs.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_consensus::{CommitCertificate, Signer as _, ValidatorSet};
use causeway_execution::{
    BuildAttributes, ExecutedBlock, Executor, MAX_BLOCK_BYTES, OverlayState, RecoveredTx, StateSource, SystemCall,
    genesis_state, peg_state, validator_set_at,
};
use causeway_fixtures::{
    MemoryState, commit_certificate, federation_signatures, import_call, next_deposits, node_keys,
};
pub(crate) use causeway_fixtures::{consensus_signer, operator, peg_signer};
use causeway_genesis::addresses::{PEG, REWARD_POOL, STAKE_TOKEN, STAKING};
use causeway_genesis::{AllocAccount, ChainSpec, Genesis, ceremony};
use causeway_peg::PegModule;

pub(crate) const CHAIN_ID: u64 = 4_242;
pub(crate) const GENESIS_TIME: u64 = 1_700_000_000;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const VALIDATORS: u8 = 4;
pub(crate) const USERS: u8 = 4;

pub(crate) fn user(n: u8) -> Address {
    Address::repeat_byte(0x70 + n % USERS)
}

/// Contracts that forward calls: the first word of the calldata is the callee, the rest is the input.
pub(crate) fn forwarder(n: u8) -> Address {
    Address::repeat_byte(0xf0 + n % FORWARDERS)
}

pub(crate) const FORWARDERS: u8 = 6;

/// Forwards by CALL, DELEGATECALL, STATICCALL, CALLCODE; by CALL and then reverts; by CALL twice.
fn forwarder_code(n: u8) -> Bytes {
    const COPY: [u8; 8] = [0x60, 0x20, 0x36, 0x03, 0x60, 0x20, 0x5f, 0x37];
    const WITH_VALUE: [u8; 11] = [0x5f, 0x5f, 0x60, 0x20, 0x36, 0x03, 0x5f, 0x34, 0x5f, 0x35, 0x5a];
    const WITHOUT: [u8; 10] = [0x5f, 0x5f, 0x60, 0x20, 0x36, 0x03, 0x5f, 0x5f, 0x35, 0x5a];
    /// Returns the result, or reverts with it.
    const ANSWER: [u8; 14] = [0x3d, 0x5f, 0x5f, 0x3e, 0x80, 0x60, 0x00, 0x57, 0x3d, 0x5f, 0xfd, 0x5b, 0x3d, 0x5f];
    let mut code = COPY.to_vec();
    match n {
        0 => code.extend([WITH_VALUE.as_slice(), &[0xf1]].concat()),
        1 => code.extend([WITHOUT.as_slice(), &[0xf4]].concat()),
        2 => code.extend([WITHOUT.as_slice(), &[0xfa]].concat()),
        3 => code.extend([WITH_VALUE.as_slice(), &[0xf2]].concat()),
        4 => code.extend([WITH_VALUE.as_slice(), &[0xf1, 0x5f, 0x5f, 0xfd]].concat()),
        _ => code.extend([WITH_VALUE.as_slice(), &[0xf1], &WITH_VALUE, &[0xf1, 0x00]].concat()),
    }
    if n < 4 {
        let target = u8::try_from(code.len() + 11).expect("short code");
        let mut answer = ANSWER;
        answer[6] = target;
        code.extend(answer);
        code.push(0xf3);
    }
    code.into()
}

/// A chain at some height.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) executor: Arc<Executor>,
    pub(crate) state: Arc<dyn StateSource>,
    pub(crate) head: Header,
    /// The set that signed the head.
    pub(crate) validators: ValidatorSet,
}

/// The genesis of the chain with coin, and of the one with a peg.
pub(crate) static GENESES: LazyLock<[Arc<Genesis>; 2]> = LazyLock::new(|| {
    let mut standalone = spec(false);
    for n in 0..USERS {
        let balance = U256::from(1_000 * ETHER);
        standalone.alloc.insert(user(n), AllocAccount { balance, ..AllocAccount::default() });
    }
    [standalone, spec(true)].map(|spec| Arc::new(Genesis::build(spec).expect("a legal spec")))
});

pub(crate) static STANDALONE: LazyLock<Chain> = LazyLock::new(|| Chain::new(&GENESES[0], |_| Vec::new()));

pub(crate) static PEGGED: LazyLock<Chain> = LazyLock::new(|| {
    Chain::new(&GENESES[1], |chain| {
        let credits: Vec<_> = (0..USERS).map(|n| (user(n), 1_000 * ETHER)).collect();
        vec![chain.import(&credits)]
    })
});

/// A chain of four validators whose users hold stake, with the forwarders at their places.
pub(crate) fn spec(pegged: bool) -> ChainSpec {
    let peg = if pegged { ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 5) } else { None };
    let mut spec = ceremony::new_spec(CHAIN_ID, "Fuzzed chain", GENESIS_TIME, peg);
    spec.epoch_length = 4;
    spec.checkpoint_interval = 2;
    spec.staking.unbonding_seconds = 5;
    spec.staking.downtime_window = 10;
    let stake = U256::from(1_000) * U256::from(ETHER);
    spec.validators = (1..=VALIDATORS)
        .map(|n| ceremony::validator_entry(&format!("v{n}"), operator(n), stake, &node_keys(n)))
        .collect();
    for holder in (0..USERS).map(user).chain((1..=VALIDATORS).map(operator)) {
        spec.staking.alloc.insert(holder, stake);
    }
    for n in 0..FORWARDERS {
        spec.alloc.insert(forwarder(n), AllocAccount { code: forwarder_code(n), ..AllocAccount::default() });
    }
    spec
}

impl Chain {
    fn new(genesis: &Arc<Genesis>, first: impl FnOnce(&Self) -> Vec<SystemCall>) -> Self {
        let start = Self::at_genesis(genesis.clone());
        let calls = first(&start);
        let executed = start.build(calls, &[], 1);
        assert_eq!(executed.block.transactions.len(), usize::from(start.is_pegged()));
        start.after(Arc::new(executed))
    }

    pub(crate) fn at_genesis(genesis: Arc<Genesis>) -> Self {
        let mut state = MemoryState::default();
        state.apply(&genesis_state(&genesis));
        let (head, validators) = (genesis.header.clone(), genesis.validator_set());
        Self { executor: Arc::new(Executor::new(genesis)), state: Arc::new(state), head, validators }
    }

    pub(crate) fn is_pegged(&self) -> bool {
        self.executor.genesis().spec.peg.is_some()
    }

    /// The chain with one more block.
    pub(crate) fn after(&self, executed: Arc<ExecutedBlock>) -> Self {
        let (validators, _) = validator_set_at(&*self.state).expect("state in memory");
        Self {
            executor: self.executor.clone(),
            head: executed.block.header.clone(),
            state: Arc::new(OverlayState::new(self.state.clone(), executed)),
            validators,
        }
    }

    /// A certificate by all validators for a block.
    pub(crate) fn certificate(&self, height: u64, block_hash: B256) -> CommitCertificate {
        let signers = (1..=VALIDATORS).map(consensus_signer);
        let members = signers.filter(|signer| self.validators.get(&signer.validator()).is_some());
        commit_certificate(self.executor.genesis().hash, height, block_hash, members)
    }

    pub(crate) fn operators(&self) -> BTreeSet<Address> {
        validator_set_at(&*self.state).expect("state in memory").1.into_values().collect()
    }

    pub(crate) fn build(&self, system: Vec<SystemCall>, txs: &[Arc<RecoveredTx>], seconds: u64) -> ExecutedBlock {
        let hash = self.head.hash_slow();
        let proposer = self.operators().into_iter().next().expect("a set is never empty");
        let attributes = BuildAttributes {
            timestamp: self.head.timestamp + seconds,
            proposer_operator: proposer,
            parent_certificate: (self.head.number > 0).then(|| self.certificate(self.head.number, hash)),
            extra_data: Bytes::new(),
            stop: None,
            max_bytes: MAX_BLOCK_BYTES,
        };
        let built = self.executor.build(&self.head, &*self.state, attributes, system, txs.iter().cloned());
        built.expect("state in memory never fails")
    }

    /// A certified import of the next deposits.
    pub(crate) fn import(&self, credits: &[(Address, u128)]) -> SystemCall {
        let (view, deposits) = next_deposits(&*self.state, credits);
        let domain = self.executor.genesis().peg_domain().expect("a pegged chain");
        let set = PegModule::validator_set(&mut peg_state(&*self.state)).expect("a pegged chain has a set");
        let signers: Vec<_> = (1..=VALIDATORS).map(peg_signer).collect();
        let signatures = federation_signatures(&set, &signers, domain.parent_view_digest(&view));
        import_call(view, &signatures, deposits)
    }
}

/// Addresses with a meaning on these chains.
pub(crate) fn places() -> Vec<Address> {
    let mut places = vec![STAKING, PEG, STAKE_TOKEN, REWARD_POOL, Address::ZERO, causeway_genesis::addresses::SYSTEM];
    places.extend((0..USERS).map(user));
    places.extend((1..=VALIDATORS).map(operator));
    places.extend((0..FORWARDERS).map(forwarder));
    places.extend([causeway_genesis::addresses::HISTORY_STORAGE, causeway_genesis::addresses::BEACON_ROOTS]);
    places.extend((1..=0x11).map(Address::with_last_byte));
    places.push(Address::repeat_byte(0xee));
    places
}
