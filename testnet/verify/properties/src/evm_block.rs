//! Blocks of arbitrary transactions: users' calls into the native modules, through contracts, by programs of arbitrary bytes.
//!
//! Every validator executes a built block to the same result; coin comes and goes by the peg only; the stake adds
//! up; nothing in a block makes the builder fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_sol_types::{SolCall as _, SolInterface as _};
use causeway_execution::{
    Block, ExecutedBlock, PegEventKind, Receipt, RecoveredTx, SystemCall, ValidationContext, peg_state, staking_state,
};
use causeway_genesis::addresses::{PEG, STAKE_TOKEN, STAKING};
use causeway_peg::{IPeg, PegModule};
use causeway_staking::views;

use crate::Target;
use crate::calldata;
use crate::chain::{CHAIN_ID, Chain, ETHER, PEGGED, STANDALONE, forwarder, operator, places, user};
use crate::reader::Reader;

/// See the module. One byte for the chain, then blocks of transactions.
pub const TARGET: Target = Target { name: "evm_block", check, seeds, max_bytes: 768 };

const MAX_BLOCKS: usize = 3;
const MAX_TRANSACTIONS: usize = 6;

/// See the module.
pub fn check(bytes: &[u8]) {
    run(bytes);
}

fn run(bytes: &[u8]) -> Chain {
    let mut reader = Reader::new(bytes);
    let mut chain = if reader.flag() { PEGGED.clone() } else { STANDALONE.clone() };
    let mut nonces = BTreeMap::new();
    for _ in 0..MAX_BLOCKS {
        if reader.is_empty() {
            break;
        }
        let mut creates = false;
        let mut txs = Vec::new();
        let shape = reader.u8();
        for _ in 0..=usize::from(shape) % MAX_TRANSACTIONS {
            if reader.is_empty() {
                break;
            }
            let tx = transaction(&chain, &mut nonces, &mut reader);
            creates |= tx.tx.is_eip7702() || alloy_consensus::Transaction::to(&tx.tx).is_none();
            txs.push(tx);
        }
        let mut system = Vec::new();
        if chain.is_pegged() && shape & 32 != 0 {
            system.push(chain.import(&[(user(shape), u128::from(shape) * ETHER), (PEG, 7)]));
        }
        if shape & 64 != 0 {
            let to = if shape & 128 == 0 { PEG } else { STAKING };
            system.push(SystemCall { to, input: calldata::call(to, &mut reader) });
        }
        let executed = chain.build(system, &txs, 1 + u64::from(shape >> 5));
        agree(&chain, &executed, &txs);
        chain = conserve(&chain, executed, creates);
    }
    chain
}

/// A transaction whose signature is not checked: the sender is given.
pub(crate) fn transaction(
    chain: &Chain,
    nonces: &mut BTreeMap<Address, u64>,
    reader: &mut Reader<'_>,
) -> Arc<RecoveredTx> {
    let (who, kind) = (reader.u8(), reader.u8());
    let sender = if who & 128 == 0 { user(who & 15) } else { operator(1 + (who & 3)) };
    let nonce = nonces
        .entry(sender)
        .or_insert_with(|| chain.state.account(sender).ok().flatten().map_or(0, |account| account.nonce));
    let (at, value) = (*nonce, reader.u8());
    *nonce += u64::from(who & 64 == 0);
    let value = match value >> 6 {
        0 => U256::ZERO,
        1 => U256::from(value & 63),
        2 => U256::from(ETHER) * U256::from(value & 63) / U256::from(8),
        _ => U256::MAX >> usize::from(value & 63),
    };
    let modules = [STAKING, PEG, STAKE_TOKEN];
    let (to, input) = match kind % 8 {
        0..=2 => {
            let to = modules[usize::from(kind % 8)];
            (TxKind::Call(to), calldata::call(to, reader))
        }
        3 => {
            let module = *reader.pick(&modules);
            let inner = calldata::call(module, reader);
            (TxKind::Call(forwarder(kind >> 3)), [module.into_word().as_slice(), &inner].concat().into())
        }
        4 => {
            // Through two contracts.
            let module = *reader.pick(&modules);
            let inner = calldata::call(module, reader);
            let second = forwarder(reader.u8());
            let words = [second.into_word().as_slice(), module.into_word().as_slice(), &inner].concat();
            (TxKind::Call(forwarder(kind >> 3)), words.into())
        }
        5 | 6 => (TxKind::Create, Bytes::copy_from_slice(reader.short())),
        _ => (TxKind::Call(*reader.pick(&places())), Bytes::copy_from_slice(reader.short())),
    };
    let gas_limit = match who >> 4 & 3 {
        0 => 21_000 + u64::from(kind) * 400,
        1 => 300_000,
        _ => 3_000_000,
    };
    let signature = Signature::new(U256::from(1 + u64::from(who)), U256::from(1), false);
    let tx: TxEnvelope = match (kind >> 6, to) {
        (0, _) => {
            TxLegacy { chain_id: Some(CHAIN_ID), nonce: at, gas_price: 2_000_000_000, gas_limit, to, value, input }
                .into_signed(signature)
                .into()
        }
        (3, TxKind::Call(to)) => {
            let address = *reader.pick(&places());
            let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address, nonce: u64::from(who & 1) };
            let authorization =
                SignedAuthorization::new_unchecked(authorization, who & 1, U256::from(5), U256::from(6));
            TxEip7702 {
                chain_id: CHAIN_ID,
                nonce: at,
                gas_limit,
                max_fee_per_gas: 100_000_000_000,
                max_priority_fee_per_gas: u128::from(who),
                to,
                value,
                authorization_list: vec![authorization],
                input,
                ..TxEip7702::default()
            }
            .into_signed(signature)
            .into()
        }
        _ => TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: at,
            gas_limit,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: u128::from(kind) * 10_000_000,
            to,
            value,
            input,
            ..TxEip1559::default()
        }
        .into_signed(signature)
        .into(),
    };
    Arc::new(RecoveredTx { hash: *tx.tx_hash(), sender, size: tx.encode_2718_len(), tx })
}

/// A user's withdrawal of some coin.
pub(crate) fn withdrawal(chain: &Chain) -> Arc<RecoveredTx> {
    let input = IPeg::withdrawCall { recipient: user(1), relayerFee: U256::from(3) }.abi_encode();
    let nonce = chain.state.account(user(0)).ok().flatten().map_or(0, |account| account.nonce);
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 300_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(PEG),
        value: U256::from(1_000_000),
        input: input.into(),
        ..TxEip1559::default()
    };
    let tx: TxEnvelope = tx.into_signed(Signature::new(U256::from(9), U256::from(1), false)).into();
    Arc::new(RecoveredTx { hash: *tx.tx_hash(), sender: user(0), size: tx.encode_2718_len(), tx })
}

/// The others execute the block's bytes to the proposer's result.
fn agree(chain: &Chain, built: &ExecutedBlock, txs: &[Arc<RecoveredTx>]) {
    let body = built.block.encode();
    let block = Block::decode(&body).expect("a block decodes from its own bytes");
    assert_eq!(&block, built.block.as_ref());
    let senders: BTreeMap<B256, Address> = txs.iter().map(|tx| (tx.hash, tx.sender)).collect();
    let operators = chain.operators();
    let checks = ValidationContext {
        now_ms: block.header.timestamp * 1_000,
        parent_validators: &chain.validators,
        operators: &operators,
    };
    let known = |hash: &B256| senders.get(hash).copied();
    let executed = chain.executor.execute(&chain.head, &*chain.state, Arc::new(block), &known, &checks);
    let executed = executed.expect("what one builds the others accept");
    assert_eq!((executed.hash, &executed.receipts), (built.hash, &built.receipts));
    assert_eq!((&executed.diff.accounts, &executed.diff.storage), (&built.diff.accounts, &built.diff.storage));
    assert_eq!(executed.diff.code, built.diff.code);
    let stored: Vec<Receipt> =
        borsh::from_slice(&borsh::to_vec(&built.receipts).expect("writing to memory")).expect("receipts come back");
    assert_eq!(stored, built.receipts);
}

/// Coin comes and goes by the peg only, except for the coin of a contract that destroys itself; the stake adds up.
fn conserve(chain: &Chain, executed: ExecutedBlock, creates: bool) -> Chain {
    let sum = |after: bool| {
        let accounts = executed.diff.accounts.values().map(|pair| if after { pair.1 } else { pair.0 });
        accounts.flatten().map(|account| account.balance).fold(U256::ZERO, |sum, balance| sum + balance)
    };
    let (mut minted, mut burned) = (U256::ZERO, U256::ZERO);
    for event in &executed.peg_events {
        match &event.kind {
            PegEventKind::DepositMinted(event) => minted += event.amount,
            PegEventKind::WithdrawalRequested(event) => burned += event.amount,
            PegEventKind::DepositsImported(_) | PegEventKind::CheckpointRecorded(_) => {}
        }
    }
    let (had, has) = (sum(false) + minted, sum(true) + burned);
    assert!(has <= had, "coin from nowhere: {has} of {had}");
    assert!(creates || has == had, "coin is gone: {has} of {had}");
    let supply = |chain: &Chain| PegModule::supply(&mut peg_state(&*chain.state)).expect("state in memory");
    let before = supply(chain);
    let chain = chain.after(Arc::new(executed));
    if chain.is_pegged() {
        assert_eq!(supply(&chain) + burned, before + minted, "the supply is what was minted and not burned");
    }
    let totals = views::totals(&mut staking_state(&*chain.state)).expect("state in memory");
    assert!(totals.liquid().is_some(), "more stake than was issued");
    chain
}

fn seeds() -> Vec<Vec<u8>> {
    let functions = IPeg::IPegCalls::COUNT;
    let withdraw = (0..functions).find(|at| IPeg::IPegCalls::selector_at(*at) == Some(IPeg::withdrawCall::SELECTOR));
    let withdraw = withdraw.and_then(|at| u8::try_from(at).ok()).expect("a function of the module");
    // To the first user, with a fee of three; by users 0 to 2 with 50 wei and much gas.
    let call = [withdraw, 2, 78, 3, 0];
    let through = |who: u8, forwarder: u8| [vec![who, 3 | forwarder << 3, 114, 1], call.to_vec()].concat();
    let mut seeds = vec![
        [vec![1, 1, 32, 1, 114], call.to_vec(), through(33, 0)].concat(),
        [vec![1, 37], through(32, 0), through(33, 3), through(34, 5)].concat(),
        [vec![1, 5], through(32, 1), through(33, 2), through(34, 4), vec![32, 1, 114], call.to_vec(), vec![5]].concat(),
        // A program that destroys itself, one that calls, one that loops.
        vec![0, 0, 32, 5, 129, 2, 0x30, 0xff],
        vec![0, 0, 32, 5, 129, 5, 0x5b, 0x5f, 0x56, 0, 0],
        vec![0, 2, 32, 7, 129, 6, 0, 33, 199, 65, 9, 0, 34, 7, 200, 0, 0],
        // A proposer's calls that no rule allows.
        vec![1, 64, 32, 7, 0, 6, 0, 1, 3, 1, 2, 3, 0],
        vec![0, 192, 32, 7, 0, 6, 0, 1, 3, 1, 2, 3, 0],
    ];
    // A report of two votes, by a user and by the proposer; a registration. For both chains.
    for pegged in [0u8, 1] {
        let report = [254, pegged, 1, 0x10, 0x21, 0, 0];
        seeds.push([vec![pegged, 1, 32, 0, 0], report.to_vec(), vec![65, 0, 0, 0, 0]].concat());
        seeds.push([vec![pegged, 0xc0, 32, 7, 0, 6, 0], report.to_vec(), vec![2]].concat());
        seeds.push([vec![pegged, 0, 33, 0, 0, 253, pegged, 1, 0x77, 0x12, 0, 0, 2]].concat());
    }
    // Every function of every module.
    for (module, count) in [(0u8, 40u8), (1, 24), (2, 12)] {
        for function in (0..count).step_by(4) {
            let call = |n: u8| [32 + n, module, 0, function + n, 3, 42, 100, 3, 0];
            seeds.push(
                [vec![module & 1, 3], call(0).to_vec(), call(1).to_vec(), call(2).to_vec(), call(3).to_vec()].concat(),
            );
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::VALIDATORS;

    #[test]
    fn seeds_lead_to_withdrawals_by_users_and_through_contracts() {
        let count =
            |seed: &[u8]| PegModule::withdrawal_count(&mut peg_state(&*run(seed).state)).expect("state in memory");
        let counts: Vec<_> = seeds()[..3].iter().map(|seed| count(seed)).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    }

    #[test]
    fn seeds_lead_to_slashes_and_registrations() {
        let (mut slashed, mut joined) = (0, 0);
        for chain in seeds().iter().map(|seed| run(seed)) {
            let totals = views::totals(&mut staking_state(&*chain.state)).expect("state in memory");
            let operators = views::validators(&mut staking_state(&*chain.state)).expect("state in memory");
            slashed += usize::from(!totals.slashed.is_zero());
            joined += usize::from(operators.len() > usize::from(VALIDATORS));
        }
        assert!(slashed >= 2 && joined >= 2, "{slashed} slashed, {joined} joined");
    }
}
