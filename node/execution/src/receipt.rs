//! Receipts, in Ethereum's form for the receipts root and in borsh for the disk.

use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData};
use alloy_rlp::{BufMut, Encodable, Header as RlpHeader};
use alloy_trie::root::ordered_trie_root_with_encoder;
use borsh::{
    BorshDeserialize, BorshSerialize,
    io::{Error as IoError, ErrorKind, Read, Write},
};

/// Most topics of a log (LOG4).
const MAX_TOPICS: usize = 4;

/// What one transaction did. The first five fields and the logs are what Ethereum's receipt commits to (all but
/// `gas_used`, `effective_gas_price` and `contract_address`, which are derived and stored for readers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// EIP-2718 type of the transaction.
    pub tx_type: u8,
    /// Whether the call succeeded.
    pub status: bool,
    /// Gas used in the block up to and including this transaction.
    pub cumulative_gas_used: u64,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// Wei per gas paid: base fee plus tip; 0 for system transactions.
    pub effective_gas_price: u128,
    /// The contract created, when the transaction was a creation.
    pub contract_address: Option<Address>,
    /// Logs in the order they were emitted.
    pub logs: Vec<Log>,
    /// Bloom over the logs; recomputed when read from disk.
    pub bloom: Bloom,
}

impl Receipt {
    /// Bloom filter over `logs`.
    pub fn bloom_of(logs: &[Log]) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for log in logs {
            bloom.accrue_log(log);
        }
        bloom
    }

    fn rlp_payload_length(&self) -> usize {
        self.status.length() + self.cumulative_gas_used.length() + self.bloom.length() + self.logs.length()
    }

    /// Appends the EIP-2718 encoding, as hashed into the receipts root: `type || rlp([status, gas, bloom, logs])`, without
    /// the type byte for legacy transactions.
    pub fn encode_2718(&self, out: &mut dyn BufMut) {
        if self.tx_type != 0 {
            out.put_u8(self.tx_type);
        }
        RlpHeader { list: true, payload_length: self.rlp_payload_length() }.encode(out);
        self.status.encode(out);
        self.cumulative_gas_used.encode(out);
        self.bloom.encode(out);
        self.logs.encode(out);
    }

    /// The EIP-2718 encoding as bytes.
    pub fn encoded_2718(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.rlp_payload_length() + 8);
        self.encode_2718(&mut out);
        out.into()
    }
}

/// Root of the receipts trie of a block.
pub fn receipts_root(receipts: &[Receipt]) -> B256 {
    ordered_trie_root_with_encoder(receipts, |receipt, out| receipt.encode_2718(out))
}

/// Union of the receipts' blooms.
pub fn logs_bloom(receipts: &[Receipt]) -> Bloom {
    receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom)
}

impl BorshSerialize for Receipt {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<(), IoError> {
        self.tx_type.serialize(writer)?;
        self.status.serialize(writer)?;
        self.cumulative_gas_used.serialize(writer)?;
        self.gas_used.serialize(writer)?;
        self.effective_gas_price.serialize(writer)?;
        self.contract_address.map(|address| address.into_array()).serialize(writer)?;
        let count =
            u32::try_from(self.logs.len()).map_err(|_| IoError::new(ErrorKind::InvalidInput, "too many logs"))?;
        count.serialize(writer)?;
        for log in &self.logs {
            log.address.into_array().serialize(writer)?;
            let topics = u8::try_from(log.data.topics().len())
                .map_err(|_| IoError::new(ErrorKind::InvalidInput, "too many topics"))?;
            topics.serialize(writer)?;
            for topic in log.data.topics() {
                topic.0.serialize(writer)?;
            }
            log.data.data.as_ref().serialize(writer)?;
        }
        Ok(())
    }
}

impl BorshDeserialize for Receipt {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self, IoError> {
        let tx_type = u8::deserialize_reader(reader)?;
        let status = bool::deserialize_reader(reader)?;
        let cumulative_gas_used = u64::deserialize_reader(reader)?;
        let gas_used = u64::deserialize_reader(reader)?;
        let effective_gas_price = u128::deserialize_reader(reader)?;
        let contract_address = Option::<[u8; 20]>::deserialize_reader(reader)?.map(Address::from);
        let count = u32::deserialize_reader(reader)?;
        // Grown as logs arrive: the count is not trusted with an allocation.
        let mut logs = Vec::new();
        for _ in 0..count {
            logs.push(read_log(reader)?);
        }
        let bloom = Self::bloom_of(&logs);
        Ok(Self { tx_type, status, cumulative_gas_used, gas_used, effective_gas_price, contract_address, logs, bloom })
    }
}

fn read_log<R: Read>(reader: &mut R) -> Result<Log, IoError> {
    let address = Address::from(<[u8; 20]>::deserialize_reader(reader)?);
    let count = usize::from(u8::deserialize_reader(reader)?);
    if count > MAX_TOPICS {
        return Err(IoError::new(ErrorKind::InvalidData, "more than 4 topics"));
    }
    let topics =
        (0..count).map(|_| <[u8; 32]>::deserialize_reader(reader).map(B256::from)).collect::<Result<Vec<_>, _>>()?;
    let data = Vec::<u8>::deserialize_reader(reader)?;
    Ok(Log { address, data: LogData::new_unchecked(topics, data.into()) })
}
