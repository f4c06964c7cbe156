//! The checkpoints that a pegged chain has to make, from its decided blocks, mints and burns: written from
//! EIP-712 and the contracts' type strings, with a tree built from its leaves. It uses no function of the crate `peg`.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_genesis::PegSpec;
use causeway_peg::{Deposit, Withdrawal};

use super::{canon::Canon, slots::federation};

/// Levels of the withdrawal tree.
const DEPTH: usize = 32;

const DOMAIN: &str = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)";
const CHECKPOINT: &str = "Checkpoint(uint64 number,bytes32 prevDigest,uint64 height,bytes32 blockHash,bytes32 stateRoot,\
    bytes32 withdrawalRoot,uint64 withdrawalCount,uint64 depositNonce,bytes32 depositAcc,uint64 epoch,bytes32 nextValset)";
const DEPOSIT: &str = "Deposit(uint64 nonce,address token,address sender,address recipient,uint256 amount)";
const WITHDRAWAL: &str =
    "Withdrawal(uint64 index,address token,address sender,address recipient,uint256 amount,uint256 relayerFee)";

/// The identity of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) digest: B256,
    pub(crate) withdrawal_root: B256,
}

/// The checkpoints due so far, by number from 1 on.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    due: Vec<Due>,
    /// The accumulator after this number of deposits.
    folded: (usize, B256),
}

impl Digests {
    /// The checkpoint of a number; `None` when its block is not decided.
    pub(crate) fn at(&self, number: u64) -> Option<Due> {
        usize::try_from(number.checked_sub(1)?).ok().and_then(|at| self.due.get(at)).copied()
    }

    /// Adds a decided block. `minted` and `burned` are all deposits and withdrawals up to it.
    pub(crate) fn follow(&mut self, canon: &Canon, minted: &[Deposit], burned: &[Withdrawal]) {
        let (Some(peg), height) = (&canon.genesis.spec.peg, canon.height()) else { return };
        let (Some(0), Some(decided)) = (height.checked_rem(canon.genesis.spec.checkpoint_interval), canon.at(height))
        else {
            return;
        };
        let (from, acc) = self.folded;
        let acc = minted[from..].iter().fold(acc, |acc, deposit| keccak256([acc.0, deposit_leaf(deposit).0].concat()));
        self.folded = (minted.len(), acc);
        let withdrawal_root = root(burned.iter().map(withdrawal_leaf).collect());
        let epoch = canon.members(height + 1).map_or(0, |members| members.epoch);
        let words = [
            number(self.due.len() + 1),
            self.due.last().map_or(B256::ZERO, |before| before.digest),
            B256::from(U256::from(height)),
            decided.hash,
            decided.state_root,
            withdrawal_root,
            number(burned.len()),
            number(minted.len()),
            acc,
            B256::from(U256::from(epoch)),
            commitment(&federation(&canon.mirror, epoch + 1)),
        ];
        let content = hash_struct(CHECKPOINT, &words);
        let digest = keccak256([&[0x19, 0x01], &domain(peg, canon.genesis.hash).0[..], &content.0[..]].concat());
        self.due.push(Due { digest, withdrawal_root });
    }
}

fn number(number: usize) -> B256 {
    B256::from(U256::from(number))
}

fn word(address: Address) -> B256 {
    address.into_word()
}

/// `keccak256(abi.encode(keccak256(type), words))`.
fn hash_struct(of_type: &str, words: &[B256]) -> B256 {
    let mut bytes = keccak256(of_type).to_vec();
    words.iter().for_each(|word| bytes.extend_from_slice(word.as_slice()));
    keccak256(bytes)
}

fn domain(peg: &PegSpec, genesis: B256) -> B256 {
    let parent = B256::from(U256::from(peg.parent_chain_id));
    hash_struct(DOMAIN, &[keccak256("Causeway"), keccak256("1"), parent, word(peg.registry), genesis])
}

fn deposit_leaf(deposit: &Deposit) -> B256 {
    let Deposit { nonce, token, sender, recipient, amount } = *deposit;
    let words = [B256::from(U256::from(nonce)), word(token), word(sender), word(recipient), B256::from(amount)];
    hash_struct(DEPOSIT, &words)
}

fn withdrawal_leaf(withdrawal: &Withdrawal) -> B256 {
    let Withdrawal { index, token, sender, recipient, amount, relayerFee } = *withdrawal;
    let words = [
        B256::from(U256::from(index)),
        word(token),
        word(sender),
        word(recipient),
        B256::from(amount),
        B256::from(relayerFee),
    ];
    keccak256(hash_struct(WITHDRAWAL, &words))
}

/// Commitment of members, each an address of 20 bytes and a power of 8 bytes; zero when there are none.
fn commitment(members: &[(Address, u64)]) -> B256 {
    if members.is_empty() {
        return B256::ZERO;
    }
    let entry = |(address, power): &(Address, u64)| [address.as_slice(), &power.to_be_bytes()].concat();
    keccak256(members.iter().flat_map(entry).collect::<Vec<u8>>())
}

/// Hashes of empty trees, by depth.
static EMPTY: LazyLock<Vec<B256>> = LazyLock::new(|| {
    let mut empty = vec![B256::ZERO];
    for depth in 0..DEPTH {
        empty.push(keccak256([empty[depth].0, empty[depth].0].concat()));
    }
    empty
});

/// The root over leaves at their positions, level by level.
fn root(mut layer: Vec<B256>) -> B256 {
    for empty in &EMPTY[..DEPTH] {
        let pair = |pair: &[B256]| keccak256([pair[0].0, pair.get(1).unwrap_or(empty).0].concat());
        layer = layer.chunks(2).map(pair).collect();
    }
    layer.first().copied().unwrap_or(EMPTY[DEPTH])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use causeway_peg::IPeg;

    use super::*;
    use crate::checks::{
        bridge::{Crossings, tests::Held},
        kit::{Kit, USER, user_key},
    };
    use alloy_sol_types::SolCall;
    use causeway_genesis::addresses::PEG;

    #[test]
    fn trees_and_leaves_are_the_peg_s() {
        for count in 0..20u64 {
            let withdrawal = |index: u64| Withdrawal {
                index,
                sender: USER,
                recipient: Address::repeat_byte(7),
                amount: U256::from(index + 5),
                relayerFee: U256::from(index),
                ..Withdrawal::default()
            };
            let all: Vec<Withdrawal> = (0..count).map(withdrawal).collect();
            let leaves: Vec<B256> = all.iter().map(causeway_peg::withdrawal::withdrawal_leaf).collect();
            assert_eq!(all.iter().map(withdrawal_leaf).collect::<Vec<_>>(), leaves);
            assert_eq!(root(leaves.clone()), causeway_peg::tree::root_of(&leaves).unwrap(), "{count}");
        }
    }

    #[test]
    fn digests_of_a_chain_with_deposits_and_withdrawals_are_the_module_s() {
        let (mut kit, mut canon) = Kit::pegged();
        let (call, deposits) = kit.import(&[u64::MAX, 70]);
        let mut held = Held::default();
        held.add(&deposits, 10);
        let withdraw = |kit: &Kit, nonce: u64| {
            let input = IPeg::withdrawCall { recipient: USER, relayerFee: U256::from(3) }.abi_encode();
            kit.send(&user_key(), nonce, PEG, U256::from(40 + nonce), input.into())
        };
        let mut crossings = Crossings::default();
        for height in 1..=10u64 {
            let made = match height {
                1 => kit.next_with(vec![call.clone()], &[]),
                2 => kit.next(&[withdraw(&kit, 0)]),
                4 | 5 => kit.next(&[withdraw(&kit, height - 3)]),
                _ => kit.next(&[]),
            };
            crossings.decided(&made.executed, &held.facts()).unwrap();
            canon.advance(&made.executed, 0).unwrap();
            crossings.follow(&canon);
            if height % 3 == 1 && height > 1 {
                let checkpoint = kit.checkpoint(height / 3);
                let digest = canon.genesis.peg_domain().unwrap().checkpoint_digest(&checkpoint);
                let due = Due { digest, withdrawal_root: checkpoint.withdrawalRoot };
                assert_eq!(crossings.due(height / 3), Some(due), "{checkpoint:?}");
            }
        }
        assert_eq!(crossings.burned().len(), 3);
        assert!(crossings.due(4).is_none() && crossings.due(0).is_none());
    }
}
