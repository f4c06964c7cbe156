//! Encodings: golden vectors, round trips, refusals, and decoders that never panic.

use crate::support::{ETHER, TestChain, peg, wallet};
use alloy_consensus::{
    Eip658Value, Header, ReceiptEnvelope, ReceiptWithBloom, SignableTransaction, TxEip4844, TxEip4844Variant,
    TxEnvelope,
};
use alloy_eips::{
    Typed2718,
    eip2718::{Decodable2718, Encodable2718},
    eip7594::BlobTransactionSidecarVariant,
};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, Signature, U256, b256, hex, keccak256};
use causeway_consensus::{CommitCertificate, CommitSignature, Height, Round};
use causeway_execution::{
    Block, DecodeError, MAX_BLOCK_BYTES, MAX_TRANSACTION_BYTES, Receipt, RecoveredTx, SYSTEM_TX_TYPE, SystemTx,
    Transaction, TransactionError, header::mix_hash, receipt::receipts_root, recover_all,
};
use causeway_genesis::addresses::PEG;
use proptest::prelude::*;

fn system_tx() -> SystemTx {
    SystemTx { block_number: 300, index: 1, to: PEG, gas_limit: 10_000_000, input: Bytes::from_static(&[0xab; 36]) }
}

/// A block with a system transaction, three user transactions and a certificate.
fn sample() -> Block {
    let mut chain = TestChain::pegged();
    chain.push(vec![peg::import(&chain, &[(wallet::address(0), 10 * ETHER)])], &[]);
    let to = Address::repeat_byte(0x44);
    let txs = [
        wallet::legacy(0, 0, to, 1, Some(crate::support::CHAIN_ID)),
        wallet::transfer(0, 1, to, 1),
        wallet::eip7702(0, 2, to, vec![wallet::authorize(1, 0, to)], Bytes::new()),
    ];
    let built = chain.build(vec![peg::import(&chain, &[(wallet::address(1), 5)])], &txs);
    assert_eq!(built.receipts.len(), 4);
    Block::clone(&built.block)
}

#[test]
fn the_system_transaction_has_one_encoding() {
    let tx = Transaction::System(system_tx());
    let encoded = tx.encoded_2718();
    // type, list of 66 bytes, 300, 1, the peg's address, 10,000,000, 36 bytes of input.
    let mut golden = hex!("7c f842 82012c 01 94 ca00000000000000000000000000000000000002 83989680 a4").to_vec();
    golden.extend_from_slice(&[0xab; 36]);
    assert_eq!(hex::encode(&encoded), hex::encode(&golden));
    assert_eq!(encoded.len(), tx.encode_2718_len());
    assert_eq!(tx.hash(), keccak256(&golden));
    assert_eq!(tx.ty(), SYSTEM_TX_TYPE);
    assert_eq!(Transaction::decode_exact(&encoded).unwrap(), tx);
}

#[test]
fn a_header_commits_to_the_transactions_and_the_parents_certificate() {
    let block = sample();
    assert!(block.is_what_its_header_commits_to());
    let altered = |alter: fn(&mut Block)| {
        let mut other = block.clone();
        alter(&mut other);
        assert_eq!(other.hash(), block.hash());
        other.is_what_its_header_commits_to()
    };
    assert!(!altered(|block| block.transactions.truncate(1)));
    assert!(!altered(|block| block.transactions.swap(1, 2)));
    assert!(!altered(|block| block.transactions.push(Transaction::System(system_tx()))));
    assert!(!altered(|block| block.parent_certificate = None));
    assert!(!altered(|block| block.parent_certificate.as_mut().unwrap().signatures.clear()));
    assert!(!altered(|block| block.parent_certificate.as_mut().unwrap().round.0 += 1));
    // Block 1 has no certificate to commit to.
    let chain = TestChain::pegged();
    let first = Block::clone(&chain.build(vec![], &[]).block);
    assert!(first.is_what_its_header_commits_to());
    assert!(!Block { parent_certificate: block.parent_certificate, ..first }.is_what_its_header_commits_to());
}

/// A block of fixed bytes: one system transaction, one signed transaction, a certificate of one signature.
fn fixed_block() -> Block {
    let tx = wallet::eip1559(7, Address::repeat_byte(0x44).into(), U256::from(5), Bytes::new(), 21_000);
    let tx: TxEnvelope = tx.into_signed(Signature::new(U256::from(11), U256::from(12), true)).into();
    Block {
        header: Header {
            parent_hash: B256::repeat_byte(1),
            number: 300,
            gas_limit: 30_000_000,
            timestamp: 1_700_000_000,
            extra_data: Bytes::from_static(b"causeway"),
            base_fee_per_gas: Some(7),
            withdrawals_root: Some(B256::repeat_byte(2)),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::repeat_byte(3)),
            requests_hash: Some(B256::repeat_byte(4)),
            ..Header::default()
        },
        transactions: vec![Transaction::System(system_tx()), Transaction::Ethereum(tx)],
        parent_certificate: Some(CommitCertificate {
            height: Height(299),
            round: Round(2),
            block_hash: B256::repeat_byte(1),
            signatures: vec![CommitSignature { validator: Address::repeat_byte(5), signature: [6; 64] }],
        }),
    }
}

#[test]
fn a_fixed_block_has_one_encoding() {
    let block = fixed_block();
    let body = block.encode();
    assert_eq!(Block::decode(&body).unwrap(), block);
    // borsh: u32 length of the RLP, the RLP, 1 for "some", then the certificate of 8 + 4 + 32 + 4 + 20 + 64 bytes.
    let rlp = block.rlp();
    assert_eq!(body[..4], u32::try_from(rlp.len()).unwrap().to_le_bytes());
    assert_eq!(body[4..4 + rlp.len()], rlp);
    assert_eq!(body[4 + rlp.len()], 1);
    assert_eq!(body.len(), 4 + rlp.len() + 1 + 132);
    assert_eq!(block.hash(), b256!("8f868895b5454ec9189af5fd400a699ee7246d06e031790781162a19108b01b2"));
    assert_eq!(keccak256(&body), b256!("ebfe9f3a952b9cd26c55d3b39beecf4f64a6949f323303b63bc7c6540832d30b"));
}

#[test]
fn prevrandao_is_the_hash_of_certificate_and_parent() {
    let expected = keccak256([[2u8; 32], [1u8; 32]].concat());
    assert_eq!(mix_hash(B256::repeat_byte(1), B256::repeat_byte(2)), expected);
}

#[test]
fn a_block_survives_its_encoding() {
    let block = sample();
    let bytes = block.encode();
    assert_eq!(Block::decode(&bytes).unwrap(), block);
    assert_eq!(block.rlp().len(), block.size());
}

#[test]
fn ethereum_tools_read_the_rlp_block() {
    let mut block = sample();
    block.transactions.remove(0);
    let mut rlp: &[u8] = &block.rlp();
    let read = <alloy_consensus::Block<TxEnvelope> as alloy_rlp::Decodable>::decode(&mut rlp).unwrap();
    assert_eq!(read.header, block.header);
    assert_eq!(read.body.transactions.len(), 3);
    assert_eq!(read.body.withdrawals.map(|list| list.len()), Some(0));
}

#[test]
fn trailing_bytes_and_other_encodings_are_refused() {
    let block = sample();
    let bytes = block.encode().to_vec();
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(Block::decode(&longer), Err(DecodeError::Envelope(_))));
    assert!(matches!(Block::decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Envelope(_))));
    assert!(matches!(Block::decode(&[]), Err(DecodeError::Envelope(_))));
    assert!(matches!(Block::decode(&vec![0; MAX_BLOCK_BYTES + 1]), Err(DecodeError::TooLarge(_))));
    // A length that promises more than there is costs no memory.
    assert!(matches!(Block::decode(&[0xff, 0xff, 0xff, 0x7f]), Err(DecodeError::Envelope(_))));

    let rlp = block.rlp();
    let with = |rlp: &[u8]| borsh::to_vec(&(rlp.to_vec(), block.parent_certificate.clone())).unwrap();
    assert_eq!(Block::decode(&with(&rlp)).unwrap(), block);
    let mut spare = rlp.clone();
    spare.push(0xc0);
    assert_eq!(Block::decode(&with(&spare)), Err(DecodeError::NotCanonical));
    // An ommer.
    let mut ommer = rlp;
    let last = ommer.len() - 2;
    ommer[last] = 0xc1;
    assert!(Block::decode(&with(&ommer)).is_err());
}

#[test]
fn blob_transactions_do_not_decode() {
    let blob = TxEip4844Variant::<BlobTransactionSidecarVariant>::TxEip4844(TxEip4844::default());
    let blob: TxEnvelope = blob.into_signed(Signature::test_signature()).into();
    let bytes = blob.encoded_2718();
    assert_eq!(Transaction::decode_exact(&bytes), Err(TransactionError::UnsupportedType(3)));
    assert_eq!(RecoveredTx::decode_2718_and_recover(&bytes), Err(TransactionError::UnsupportedType(3)));
    assert_eq!(RecoveredTx::recover(blob), Err(TransactionError::UnsupportedType(3)));
}

#[test]
fn users_cannot_send_system_transactions() {
    let bytes = Transaction::System(system_tx()).encoded_2718();
    assert_eq!(RecoveredTx::decode_2718_and_recover(&bytes), Err(TransactionError::SystemTransaction));
}

#[test]
fn raw_transactions_are_decoded_exactly() {
    let tx = wallet::transfer(0, 0, Address::repeat_byte(1), 5);
    let bytes = tx.encoded();
    assert_eq!(RecoveredTx::decode_2718_and_recover(&bytes).unwrap(), *tx);
    assert_eq!((tx.size, tx.hash, tx.sender), (bytes.len(), keccak256(&bytes), wallet::address(0)));
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(matches!(RecoveredTx::decode_2718_and_recover(&longer), Err(TransactionError::Rlp(_))));
    let huge = vec![0; MAX_TRANSACTION_BYTES + 1];
    assert_eq!(RecoveredTx::decode_2718_and_recover(&huge), Err(TransactionError::TooLarge(huge.len())));
    let large = wallet::eip1559(0, Address::ZERO.into(), U256::ZERO, vec![0; MAX_TRANSACTION_BYTES].into(), 1);
    let large: TxEnvelope = large.into_signed(Signature::test_signature()).into();
    assert!(matches!(RecoveredTx::recover(large), Err(TransactionError::TooLarge(_))));
}

#[test]
fn the_other_s_of_a_signature_is_refused() {
    let tx = wallet::transfer(0, 0, Address::repeat_byte(1), 5);
    let TxEnvelope::Eip1559(signed) = tx.tx.clone() else { panic!("1559") };
    let (inner, signature, _) = signed.into_parts();
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let other = Signature::new(signature.r(), order - signature.s(), !signature.v());
    assert_eq!(RecoveredTx::recover(inner.into_signed(other).into()), Err(TransactionError::InvalidSignature));
}

#[test]
fn many_are_recovered_in_order() {
    let txs: Vec<_> = (0..40).map(|user| wallet::transfer(user, 0, Address::ZERO, 1)).collect();
    let recovered = recover_all(txs.iter().map(|tx| tx.tx.clone()).collect());
    let recovered: Vec<_> = recovered.into_iter().map(Result::unwrap).collect();
    assert_eq!(recovered, txs);
}

fn log() -> impl Strategy<Value = Log> {
    (any::<[u8; 20]>(), prop::collection::vec(any::<[u8; 32]>(), 0..5), prop::collection::vec(any::<u8>(), 0..70))
        .prop_map(|(address, topics, data)| Log {
            address: address.into(),
            data: LogData::new_unchecked(topics.into_iter().map(B256::from).collect(), data.into()),
        })
}

fn receipt() -> impl Strategy<Value = Receipt> {
    (
        prop::sample::select(vec![0u8, 1, 2, 4]),
        any::<bool>(),
        any::<(u64, u64, u128)>(),
        any::<Option<[u8; 20]>>(),
        prop::collection::vec(log(), 0..4),
    )
        .prop_map(|(tx_type, status, (cumulative_gas_used, gas_used, effective_gas_price), created, logs)| {
            Receipt {
                tx_type,
                status,
                cumulative_gas_used,
                gas_used,
                effective_gas_price,
                contract_address: created.map(Address::from),
                bloom: Receipt::bloom_of(&logs),
                logs,
            }
        })
}

/// The same receipt as alloy has it.
fn envelope(receipt: &Receipt) -> ReceiptEnvelope {
    let inner = alloy_consensus::Receipt {
        status: Eip658Value::Eip658(receipt.status),
        cumulative_gas_used: receipt.cumulative_gas_used,
        logs: receipt.logs.clone(),
    };
    let receipt_with_bloom = ReceiptWithBloom { receipt: inner, logs_bloom: receipt.bloom };
    match receipt.tx_type {
        0 => ReceiptEnvelope::Legacy(receipt_with_bloom),
        1 => ReceiptEnvelope::Eip2930(receipt_with_bloom),
        2 => ReceiptEnvelope::Eip1559(receipt_with_bloom),
        _ => ReceiptEnvelope::Eip7702(receipt_with_bloom),
    }
}

fn sample_bytes() -> &'static Bytes {
    static SAMPLE: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| sample().encode())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn receipts_encode_as_alloys_do(receipts in prop::collection::vec(receipt(), 0..6)) {
        let expected: Vec<_> = receipts.iter().map(envelope).collect();
        for (receipt, envelope) in receipts.iter().zip(&expected) {
            prop_assert_eq!(receipt.encoded_2718().to_vec(), envelope.encoded_2718());
        }
        prop_assert_eq!(receipts_root(&receipts), alloy_consensus::proofs::calculate_receipt_root(&expected));
    }

    #[test]
    fn receipts_survive_storage(receipts in prop::collection::vec(receipt(), 0..6)) {
        let bytes = borsh::to_vec(&receipts).unwrap();
        prop_assert_eq!(borsh::from_slice::<Vec<Receipt>>(&bytes).unwrap(), receipts);
    }

    #[test]
    fn system_transactions_survive_their_encoding(
        numbers in any::<(u64, u32, u64)>(), to in any::<[u8; 20]>(), input in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let tx = Transaction::System(SystemTx {
            block_number: numbers.0, index: numbers.1, to: to.into(), gas_limit: numbers.2, input: input.into(),
        });
        let bytes = tx.encoded_2718();
        prop_assert_eq!(bytes.len(), tx.encode_2718_len());
        prop_assert_eq!(Transaction::decode_2718(&mut bytes.as_slice()).unwrap(), tx);
    }

    #[test]
    fn decoders_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), ty in 0..6usize) {
        // What decodes at all decodes from its only encoding.
        if let Ok(block) = Block::decode(&bytes) {
            prop_assert_eq!(block.encode().to_vec(), bytes.clone());
        }
        if let Ok(tx) = RecoveredTx::decode_2718_and_recover(&bytes) {
            prop_assert_eq!(tx.encoded().to_vec(), bytes.clone());
        }
        if let Ok(receipts) = borsh::from_slice::<Vec<Receipt>>(&bytes) {
            prop_assert_eq!(borsh::to_vec(&receipts).unwrap(), bytes.clone());
        }
        let mut typed = vec![[1, 2, 3, 4, SYSTEM_TX_TYPE, 0xc0][ty]];
        typed.extend_from_slice(&bytes);
        if let Ok(tx) = Transaction::decode_exact(&typed) {
            prop_assert_eq!(tx.encoded_2718(), typed);
        }
    }

    #[test]
    fn a_block_decodes_from_its_own_bytes_only(position in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut bytes = sample_bytes().to_vec();
        let index = position.index(bytes.len());
        bytes[index] ^= flip;
        if let Ok(block) = Block::decode(&bytes) {
            prop_assert_eq!(block.encode().to_vec(), bytes);
        }
    }
}
