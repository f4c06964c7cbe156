//! Transactions from users and peers: an accepted one has one encoding and one sender.

use std::sync::LazyLock;

use alloy_consensus::{SignableTransaction, Transaction as _, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_network::TxSignerSync as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_rlp::{Decodable as _, Encodable as _};
use alloy_signer_local::PrivateKeySigner;
use causeway_execution::{MAX_TRANSACTION_BYTES, RecoveredTx, SystemTx, Transaction};

use crate::{Target, answers};

/// See the module.
pub const TARGET: Target = Target { name: "transaction", check, seeds, max_bytes: 2048 };

/// See the module.
pub fn check(bytes: &[u8]) {
    if let Ok(recovered) = RecoveredTx::decode_2718_and_recover(bytes) {
        assert_eq!(recovered.encoded().as_ref(), bytes, "one encoding");
        assert_eq!((recovered.hash, recovered.size), (keccak256(bytes), bytes.len()));
        assert!(bytes.len() <= MAX_TRANSACTION_BYTES && !recovered.tx.is_eip4844());
        let again = RecoveredTx::recover(recovered.tx.clone()).expect("recovered before");
        assert_eq!(again, recovered);
    }
    if let Ok(tx) = Transaction::decode_exact(bytes) {
        assert_eq!(tx.encoded_2718(), bytes, "one encoding");
        assert_eq!(tx.hash(), keccak256(bytes));
        assert_eq!(tx.encode_2718_len(), bytes.len());
        let mut network = Vec::new();
        tx.encode(&mut network);
        assert_eq!(network.len(), tx.length());
        assert_eq!(Transaction::decode(&mut network.as_slice()), Ok(tx));
    }
    // As in a block's list; a more tolerant decoder is caught by the block's own comparison.
    let mut rest = bytes;
    if let Ok(tx) = Transaction::network_decode(&mut rest) {
        assert!(rest.len() < bytes.len(), "something was read");
        answers(tx.hash());
    }
}

static SIGNER: LazyLock<PrivateKeySigner> =
    LazyLock::new(|| PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).expect("a legal secret"));

fn sign<T>(mut tx: T) -> TxEnvelope
where
    T: SignableTransaction<Signature> + 'static,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = SIGNER.sign_transaction_sync(&mut tx).expect("a key in memory always signs");
    tx.into_signed(signature).into()
}

/// One signed transaction of each kind.
pub(crate) fn signed() -> Vec<TxEnvelope> {
    let to = TxKind::Call(Address::repeat_byte(9));
    let (chain_id, gas_limit, value) = (4_242, 60_000, U256::from(7));
    let access_list =
        AccessList(vec![AccessListItem { address: Address::repeat_byte(1), storage_keys: vec![B256::ZERO] }]);
    let authorization = Authorization { chain_id: U256::from(chain_id), address: Address::repeat_byte(2), nonce: 1 };
    let authorization = SignedAuthorization::new_unchecked(authorization, 0, U256::from(3), U256::from(5));
    let input = Bytes::from_static(&[1, 2, 3, 4]);
    let (max_fee_per_gas, max_priority_fee_per_gas) = (2_000_000_000, 1_000_000_000);
    let legacy = TxLegacy {
        chain_id: Some(chain_id),
        nonce: 1,
        gas_price: 2_000_000_000,
        gas_limit,
        to,
        value,
        input: Bytes::new(),
    };
    vec![
        sign(legacy.clone()),
        sign(TxLegacy { chain_id: None, to: TxKind::Create, input: input.clone(), ..legacy }),
        sign(TxEip2930 {
            chain_id,
            gas_limit,
            gas_price: 2_000_000_000,
            to,
            access_list: access_list.clone(),
            ..TxEip2930::default()
        }),
        sign(TxEip1559 {
            chain_id,
            nonce: 300,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            input,
        }),
        sign(TxEip7702 {
            chain_id,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: Address::repeat_byte(8),
            authorization_list: vec![authorization],
            ..TxEip7702::default()
        }),
    ]
}

pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    signed()
        .iter()
        .map(|tx| {
            debug_assert!(tx.gas_limit() > 0);
            tx.encoded_2718()
        })
        .collect()
}

/// A proposer's transaction, which users may not send.
pub(crate) fn system() -> SystemTx {
    SystemTx {
        block_number: 3,
        index: 0,
        to: Address::repeat_byte(0xca),
        gas_limit: 10_000_000,
        input: Bytes::from_static(b"call"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = envelopes();
    seeds.push(Transaction::System(system()).encoded_2718());
    seeds
}
