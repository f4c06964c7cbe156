//! The members and powers that decide a height, and its proposer: read from the state before it and computed here, by plain sums
//! and whole numbers, without the validator sets that the nodes use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use alloy_primitives::{Address, B256, keccak256};
use causeway_consensus::{CommitCertificate, PROPOSER_WINDOW, VoteKind};
use ed25519_dalek::{Signature, VerifyingKey};

use super::{mirror::Mirror, slots::StakeSlots};

/// One member of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The last 20 bytes of the hash of its consensus key.
    pub id: Address,
    /// Its consensus key.
    pub key: B256,
    /// Its operator.
    pub operator: Address,
    /// Address of its peg key.
    pub peg: Address,
    /// Its power.
    pub power: u64,
}

/// The set of some heights.
#[derive(Debug)]
pub struct Members {
    /// Its epoch.
    pub epoch: u64,
    /// Members by descending power, then by id.
    members: Vec<Member>,
    places: BTreeMap<Address, usize>,
    /// Computed at the first signature: most sets are only compared with the previous set.
    keys: Vec<OnceLock<Option<VerifyingKey>>>,
    rotation: OnceLock<Vec<usize>>,
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        (self.epoch, &self.members) == (other.epoch, &other.members)
    }
}

impl Members {
    /// The set for the next height, from the state `mirror`.
    ///
    /// # Errors
    /// When the set is empty, names a member twice, or names one that never registered.
    pub(crate) fn of_next(mirror: &Mirror) -> Result<Self, String> {
        let slots = StakeSlots(mirror);
        let epoch = slots.epoch().number;
        let mut members = Vec::new();
        for seat in slots.seats(epoch) {
            let operator = seat.operator;
            let record = slots.record(operator).ok_or_else(|| format!("member {operator} never registered"))?;
            let id = Address::from_slice(&keccak256(record.key)[12..]);
            members.push(Member { id, key: record.key, operator, peg: record.peg, power: seat.power });
        }
        Self::new(epoch, members)
    }

    pub(crate) fn new(epoch: u64, mut members: Vec<Member>) -> Result<Self, String> {
        members.sort_by(|a, b| b.power.cmp(&a.power).then(a.id.cmp(&b.id)));
        let places: BTreeMap<Address, usize> = members.iter().map(|member| member.id).zip(0..).collect();
        if members.is_empty() || places.len() != members.len() {
            return Err(format!("{} members with {} keys", members.len(), places.len()));
        }
        if let Some(powerless) = members.iter().find(|member| member.power == 0) {
            return Err(format!("member {} has no power", powerless.operator));
        }
        let keys = members.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { epoch, members, places, keys, rotation: OnceLock::new() })
    }

    /// The members, by power and id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The member with this id.
    pub fn get(&self, id: &Address) -> Option<&Member> {
        self.places.get(id).and_then(|place| self.members.get(*place))
    }

    /// The total power.
    pub fn power(&self) -> u128 {
        self.members.iter().map(|member| u128::from(member.power)).sum()
    }

    /// Whether `power` is more than two thirds of all.
    pub fn is_quorum(&self, power: u128) -> bool {
        3 * power > 2 * self.power()
    }

    /// The proposer of a round of a height.
    pub fn proposer(&self, height: u64, round: u32) -> &Member {
        let slot = (u128::from(height) + u128::from(round)) % PROPOSER_WINDOW as u128;
        let rotation = self.rotation.get_or_init(|| self.turns());
        &self.members[rotation[usize::try_from(slot).unwrap_or(0)]]
    }

    /// The smooth rotation of the documentation and of the paper (Tijdeman 1980): at each slot, among the members that would not exceed their share by
    /// more than 1 - 1/(2n-2), the one with the earliest deadline not to fall behind by more than that.
    fn turns(&self) -> Vec<usize> {
        let total = i128::try_from(self.power()).unwrap_or(i128::MAX);
        let n = i128::try_from(self.members.len()).unwrap_or(1);
        if n == 1 {
            return vec![0; PROPOSER_WINDOW];
        }
        let mut had = vec![0i128; self.members.len()];
        let mut turns = Vec::with_capacity(PROPOSER_WINDOW);
        for slot in 0..i128::try_from(PROPOSER_WINDOW).unwrap_or(0) {
            // All values are multiplied by (2n-2) * total, so that they are whole numbers.
            let whole = (2 * n - 2) * total;
            let chances = self.members.iter().zip(&had).zip(0usize..).filter_map(|((member, had), place)| {
                let power = i128::from(member.power);
                let behind = |slots: i128| (2 * n - 2) * (slots * power - had * total);
                // Its share after this slot is at least its turns and 1/(2n-2) of one more.
                (behind(slot + 1) >= total).then(|| {
                    // The most further slots after which it is still behind by at most 1 - 1/(2n-2).
                    let room = whole - total - behind(slot + 1);
                    (room.div_euclid((2 * n - 2) * power), place)
                })
            });
            let (_, place) = chances.min().unwrap_or((0, 0));
            had[place] += 1;
            turns.push(place);
        }
        turns
    }

    /// Whether `certificate` proves that more than two thirds of this set decided `block` at `height`: distinct members, each
    /// signature over bytes written here. `known` are signatures found valid here before, and gets those found now: the nodes'
    /// certificates of one height share most of theirs, so each is verified once, not once for each node.
    ///
    /// # Errors
    /// The reason why it is invalid.
    pub(crate) fn prove(
        &self,
        chain: B256,
        height: u64,
        block: B256,
        certificate: &CommitCertificate,
        known: &mut SeenSignatures,
    ) -> Result<(), String> {
        if (certificate.height.0, certificate.block_hash) != (height, block) {
            return Err(format!("it is for height {} and block {}", certificate.height, certificate.block_hash));
        }
        let bytes = vote_bytes(VoteKind::Precommit, chain, height, certificate.round.0, Some(block));
        let mut signers = BTreeMap::new();
        for signature in &certificate.signatures {
            let id = signature.validator;
            let Some(place) = self.places.get(&id).copied() else { return Err(format!("{id} is no member")) };
            let seen = known.entry((height, block)).or_default();
            if !seen.contains(&(id, certificate.round.0, signature.signature)) {
                if !self.signed(place, &bytes, &signature.signature) {
                    return Err(format!("the signature of {id} does not verify"));
                }
                seen.insert((id, certificate.round.0, signature.signature));
            }
            signers.insert(id, self.members[place].power);
        }
        let power: u128 = signers.values().map(|power| u128::from(*power)).sum();
        if !self.is_quorum(power) {
            return Err(format!("its {} members hold {power} of {}", signers.len(), self.power()));
        }
        Ok(())
    }

    /// Whether the member at `place` signed `bytes`. Uses only the curve library, and no code of the nodes.
    fn signed(&self, place: usize, bytes: &[u8], signature: &[u8; 64]) -> bool {
        let (Some(member), Some(key)) = (self.members.get(place), self.keys.get(place)) else { return false };
        let key = key.get_or_init(|| VerifyingKey::from_bytes(&member.key.0).ok());
        key.as_ref().is_some_and(|key| key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok())
    }
}

/// Precommits found valid, by height and block: the nodes' certificates share most of their signatures.
pub(crate) type SeenSignatures = BTreeMap<(u64, B256), BTreeSet<(Address, u32, [u8; 64])>>;

/// The bytes that a vote's signature covers, written field by field.
pub(crate) fn vote_bytes(kind: VoteKind, chain: B256, height: u64, round: u32, block: Option<B256>) -> Vec<u8> {
    let mut bytes = b"causeway".to_vec();
    bytes.push(match kind {
        VoteKind::Prevote => 1,
        VoteKind::Precommit => 2,
    });
    bytes.extend_from_slice(chain.as_slice());
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes.extend_from_slice(&round.to_le_bytes());
    match block {
        None => bytes.push(0),
        Some(hash) => {
            bytes.push(1);
            bytes.extend_from_slice(hash.as_slice());
        }
    }
    bytes
}
