//! Both sides of one peg: the contracts on an EVM in memory, and the sidechain's module with its slots in a map.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_contracts::{
    Artifact, PegVault, RegistryArgs, VaultArgs, artifact, claim_call, deposit_of, predicted_addresses,
    registry_deploy_code, submit_call, vault_deploy_code,
};
use causeway_peg::{
    CertificateSig, Checkpoint, CheckpointBlock, Deposit, ParentView, PegDomain, PegGenesis, PegModule, PegValidator,
    PegValidatorSet, Withdrawal,
    deposit::{deposit_leaf, extend_acc},
    sign_digest,
    signature::address_of,
    tree, withdrawal,
};

use crate::chain::{Chain, Outcome};

pub const PARENT_CHAIN_ID: u64 = 31337;
pub const INTERVAL: u64 = 10;
pub const ALICE: Address = Address::repeat_byte(0xa1);
pub const BOB: Address = Address::repeat_byte(0xb0);
pub const RELAYER: Address = Address::repeat_byte(0x4e);

pub fn ether(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10u64.pow(18))
}

/// The deploy code to test: the committed one, unless `planted-bugs.mjs` names a directory of other artifacts.
#[allow(clippy::disallowed_methods, reason = "planted-bugs.mjs passes its artifacts this way")]
pub fn planted(committed: &Artifact, code: Bytes) -> Bytes {
    let Ok(directory) = std::env::var("PEG_PLANTED_ARTIFACTS") else { return code };
    let text = std::fs::read_to_string(format!("{directory}/{}.json", committed.contract_name)).unwrap();
    let planted: Artifact = serde_json::from_str(&text).unwrap();
    [planted.bytecode.as_ref(), &code[committed.bytecode.len()..]].concat().into()
}

/// A validator set with the given powers (descending) and its secrets, in committed order.
pub fn validators(epoch: u64, powers: &[u64]) -> (PegValidatorSet, Vec<B256>) {
    let mut secrets: BTreeMap<Address, B256> = BTreeMap::new();
    for seed in 0..powers.len() {
        let secret = keccak256(format!("peg key {seed} of epoch {epoch}"));
        secrets.insert(address_of(&secret).unwrap(), secret);
    }
    // The map is in ascending order of addresses, so equal powers are in committed order.
    let members = secrets.keys().zip(powers).map(|(address, power)| PegValidator { address: *address, power: *power });
    let set = PegValidatorSet::from_committed_order(epoch, members.collect()).unwrap();
    (set, secrets.into_values().collect())
}

#[derive(Clone)]
pub struct World {
    pub chain: Chain,
    pub deployer: Address,
    pub registry: Address,
    pub vault: Address,
    pub set: PegValidatorSet,
    pub secrets: Vec<B256>,
    pub module: PegModule,
    pub slots: BTreeMap<U256, U256>,
    pub deposits: Vec<Deposit>,
    pub withdrawals: Vec<Withdrawal>,
    pub checkpoints: Vec<Checkpoint>,
}

impl World {
    pub fn new(powers: &[u64]) -> Self {
        Self::with_delay(powers, 0)
    }

    pub fn with_delay(powers: &[u64], claim_delay_s: u64) -> Self {
        let mut chain = Chain::new(PARENT_CHAIN_ID);
        let deployer = Address::repeat_byte(0xde);
        for account in [deployer, ALICE, BOB, RELAYER] {
            chain.fund(account, ether(1_000_000));
        }
        let (set, secrets) = validators(0, powers);
        let (registry, vault) = predicted_addresses(deployer, chain.nonce(deployer));
        let genesis_hash = keccak256("the sidechain's genesis block");
        let args = RegistryArgs { genesis_hash, validators: set.clone(), vault };
        assert_eq!(
            chain.create(deployer, planted(&artifact::REGISTRY, registry_deploy_code(&args))).created(),
            registry
        );
        let args = VaultArgs { registry, claim_delay_s };
        assert_eq!(chain.create(deployer, planted(&artifact::VAULT, vault_deploy_code(&args))).created(), vault);
        let domain = PegDomain { parent_chain_id: PARENT_CHAIN_ID, registry, genesis_hash };
        let slots = PegModule::genesis_slots(&PegGenesis {
            parent_chain_id: PARENT_CHAIN_ID,
            vault,
            registry,
            checkpoint_interval: INTERVAL,
            validators: set.clone(),
        });
        Self {
            chain,
            deployer,
            registry,
            vault,
            set,
            secrets,
            module: PegModule::new(domain),
            slots,
            deposits: Vec::new(),
            withdrawals: Vec::new(),
            checkpoints: Vec::new(),
        }
    }

    /// A world in which `amounts` were deposited, minted, burned by Alice for Bob, and put in a checkpoint
    /// that the parent accepted.
    pub fn with_claims(amounts: &[U256], fee: U256) -> Self {
        let mut world = Self::new(&[1, 1, 1, 1]);
        for amount in amounts {
            world.deposit(ALICE, ALICE, *amount);
        }
        world.import();
        for amount in amounts {
            world.withdraw(ALICE, BOB, *amount, fee);
        }
        let checkpoint = world.checkpoint();
        assert!(world.submit(&checkpoint, &[0, 1, 2]).ok());
        world
    }

    pub fn domain(&self) -> &PegDomain {
        self.module.domain()
    }

    pub fn deposit(&mut self, from: Address, to: Address, amount: U256) -> Outcome {
        let outcome = self.chain.send(from, self.vault, amount, &PegVault::depositNativeCall { recipient: to });
        let event: PegVault::Deposited = outcome.event();
        let deposit = deposit_of(&event);
        let before = self.deposits.last().map_or(B256::ZERO, |_| self.acc(self.deposits.len()));
        assert_eq!(event.depositAcc, extend_acc(before, deposit_leaf(&deposit)));
        self.deposits.push(deposit);
        outcome
    }

    /// Accumulator over the first `count` deposits.
    pub fn acc(&self, count: usize) -> B256 {
        causeway_peg::deposit::fold_deposits(B256::ZERO, &self.deposits[..count])
    }

    /// Mints every deposit on the sidechain.
    pub fn import(&mut self) {
        let imported = usize::try_from(PegModule::deposit_nonce(&mut self.slots).unwrap()).unwrap();
        for chunk in imported..self.deposits.len() {
            let view = ParentView {
                parentHeight: self.chain.number + u64::try_from(chunk).unwrap(),
                parentHash: keccak256("a parent block"),
                depositNonce: self.deposits[chunk].nonce,
                depositAcc: self.acc(chunk + 1),
            };
            let signatures = self.sign(self.domain().parent_view_digest(&view), &self.everybody());
            let mints = self
                .module
                .import_deposits(&mut self.slots, &view, &signatures, &self.deposits[chunk..=chunk])
                .unwrap();
            assert_eq!(mints.len(), 1);
        }
    }

    pub fn withdraw(&mut self, sender: Address, recipient: Address, amount: U256, fee: U256) -> Withdrawal {
        let withdrawal = self.module.withdraw(&mut self.slots, sender, recipient, amount, fee).unwrap();
        self.withdrawals.push(withdrawal);
        withdrawal
    }

    /// The next checkpoint, as the sidechain builds it.
    pub fn checkpoint(&mut self) -> Checkpoint {
        let number = u64::try_from(self.checkpoints.len()).unwrap() + 1;
        let header = CheckpointBlock {
            number: number * INTERVAL,
            hash: keccak256(format!("block {number}")),
            state_root: keccak256(format!("state {number}")),
        };
        let due = self.module.checkpoint_due(&mut self.slots, &header).unwrap();
        let built = self.module.begin_block(&mut self.slots, &header).unwrap();
        assert_eq!(due, built, "the signed checkpoint must equal the stored one");
        let checkpoint = built.unwrap();
        assert_eq!(PegModule::checkpoint(&mut self.slots, number).unwrap(), built);
        self.checkpoints.push(checkpoint);
        checkpoint
    }

    pub fn everybody(&self) -> Vec<usize> {
        (0..self.set.len()).collect()
    }

    pub fn sign(&self, digest: B256, who: &[usize]) -> Vec<CertificateSig> {
        who.iter()
            .map(|position| CertificateSig {
                signer: self.set.validators()[*position].address,
                signature: sign_digest(&self.secrets[*position], digest).unwrap(),
            })
            .collect()
    }

    /// Calldata for a checkpoint signed by these members, quorum or not.
    pub fn submission(
        &self,
        checkpoint: &Checkpoint,
        who: &[usize],
    ) -> causeway_contracts::CheckpointRegistry::submitCall {
        let signatures = self.sign(self.domain().checkpoint_digest(checkpoint), who);
        let mut signers = U256::ZERO;
        who.iter().for_each(|position| signers.set_bit(*position, true));
        causeway_contracts::CheckpointRegistry::submitCall {
            c: checkpoint.into(),
            validators: self.set.packed().into(),
            signers,
            signatures: signatures.iter().flat_map(|sig| *sig.signature.as_bytes()).collect(),
            laterDeposits: Vec::new(),
        }
    }

    pub fn submit(&mut self, checkpoint: &Checkpoint, who: &[usize]) -> Outcome {
        let call = self.submission(checkpoint, who);
        let signatures = self.sign(self.domain().checkpoint_digest(checkpoint), who);
        if let Ok(built) = submit_call(checkpoint, &self.set, &signatures, &[]) {
            assert!(built.signers & call.signers == built.signers, "the library must choose only from these signers");
        }
        self.chain.send(RELAYER, self.registry, U256::ZERO, &call)
    }

    pub fn leaves(&self) -> Vec<B256> {
        self.withdrawals.iter().map(withdrawal::withdrawal_leaf).collect()
    }

    /// Calldata for claiming withdrawal `index` against checkpoint `number`.
    pub fn claim_against(&self, index: usize, number: u64) -> PegVault::claimCall {
        let checkpoint = &self.checkpoints[usize::try_from(number).unwrap() - 1];
        let withdrawal = &self.withdrawals[index];
        let proof = tree::prove(&self.leaves(), withdrawal.index, checkpoint.withdrawalCount).unwrap();
        claim_call(withdrawal, number, &proof)
    }

    pub fn claim(&mut self, index: usize) -> Outcome {
        let call = self.claim_against(index, u64::try_from(self.checkpoints.len()).unwrap());
        self.claim_with(&call)
    }

    pub fn claim_with(&mut self, call: &PegVault::claimCall) -> Outcome {
        self.chain.send(RELAYER, self.vault, U256::ZERO, call)
    }

    pub fn locked(&mut self) -> U256 {
        self.chain.view(self.vault, &PegVault::lockedCall { token: Address::ZERO })
    }
}
