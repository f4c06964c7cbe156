//! The byte encodings of keys and values. Keys are fixed-width and big endian, so their bytes sort in the order of the keys.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::CommitCertificate;
use causeway_execution::{Account, Receipt};
use causeway_trie::Nibbles;
use std::sync::Arc;

/// The key of a column family.
pub(crate) trait Key: Sized {
    /// The bytes of the key.
    fn encode(&self) -> Vec<u8>;
    /// The key that has these bytes, if any.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// The value of a column family.
pub(crate) trait Value: Sized {
    /// The bytes that are stored.
    fn encode(&self) -> Vec<u8>;
    /// The value, or the error in the bytes.
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

impl Key for u64 {
    fn encode(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Key for B256 {
    fn encode(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::try_from(bytes).ok()
    }
}

impl Key for Address {
    fn encode(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::try_from(bytes).ok()
    }
}

/// An account's storage slot.
pub(crate) type SlotKey = (Address, U256);

impl Key for SlotKey {
    fn encode(&self) -> Vec<u8> {
        [self.0.as_slice(), &self.1.to_be_bytes::<32>()].concat()
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (address, slot) = bytes.split_first_chunk::<20>()?;
        (slot.len() == 32).then(|| (Address::from(address), U256::from_be_slice(slot)))
    }
}

/// The position of a trie node: its trie, and the path from the root.
pub(crate) type NodeKey = (Option<B256>, Nibbles);

impl Key for NodeKey {
    /// The path's length comes before the path, so that no key is a prefix of another (the history family appends
    /// a block number), and the few nodes near the roots are stored together.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 32 + 1 + 32 + 8);
        match self.0 {
            None => bytes.push(0),
            Some(owner) => {
                bytes.push(1);
                bytes.extend_from_slice(owner.as_slice());
            }
        }
        bytes.push(u8::try_from(self.1.len()).expect("a path has at most 64 nibbles"));
        bytes.extend_from_slice(&self.1.pack());
        bytes
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (owner, rest) = match bytes.split_first()? {
            (0, rest) => (None, rest),
            (1, rest) => {
                let (owner, rest) = rest.split_first_chunk::<32>()?;
                (Some(B256::from(owner)), rest)
            }
            _ => return None,
        };
        let (length, packed) = rest.split_first()?;
        let length = usize::from(*length);
        if packed.len() > 32 || packed.len() != length.div_ceil(2) {
            return None;
        }
        let path = Nibbles::unpack(packed).slice(..length);
        (path.pack().as_slice() == packed).then_some((owner, path))
    }
}

macro_rules! borsh_values {
    ($($type:ty),+ $(,)?) => {$(
        impl Value for $type {
            fn encode(&self) -> Vec<u8> {
                borsh::to_vec(self).expect("writing to memory cannot fail")
            }
            fn decode(bytes: &[u8]) -> Result<Self, String> {
                borsh::from_slice(bytes).map_err(|error| error.to_string())
            }
        }
    )+};
}
pub(crate) use borsh_values;

borsh_values!(u64, Vec<Receipt>, Vec<Address>, CommitCertificate, Account, TransactionPlace);

/// The place of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct TransactionPlace {
    /// Block number.
    pub(crate) block: u64,
    /// Position in the block.
    pub(crate) index: u32,
}

/// No value: the key contains everything.
impl Value for () {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() { Ok(()) } else { Err(format!("the value has {} bytes, but must be empty", bytes.len())) }
    }
}

/// Stored unchanged: block bodies, code, trie nodes.
impl Value for Bytes {
    fn encode(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        Ok(Self::copy_from_slice(bytes))
    }
}

/// Without leading zeros.
impl Value for U256 {
    fn encode(&self) -> Vec<u8> {
        self.to_be_bytes_trimmed_vec()
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        Self::try_from_be_slice(bytes)
            .ok_or_else(|| format!("the number has {} bytes, but at most 32 are allowed", bytes.len()))
    }
}

/// A header with its hash, so that frequent reads need not compute the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderRow {
    pub(crate) hash: B256,
    pub(crate) header: Arc<Header>,
}

impl Value for HeaderRow {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.hash.to_vec();
        self.header.encode(&mut bytes);
        bytes
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (hash, mut rlp) = bytes.split_first_chunk::<32>().ok_or("the row is too short for a hash")?;
        let header = Header::decode(&mut rlp).map_err(|error| error.to_string())?;
        if !rlp.is_empty() {
            return Err("bytes follow the header".to_owned());
        }
        Ok(Self { hash: B256::from(hash), header: Arc::new(header) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_round_trip_and_no_bytes_panic(owner in any::<Option<[u8; 32]>>(), path in prop::collection::vec(0u8..16, 0..=64),
                                             slot in any::<([u8; 20], [u8; 32])>(), junk in prop::collection::vec(any::<u8>(), 0..80)) {
            let node: NodeKey = (owner.map(B256::from), Nibbles::from_nibbles(path));
            prop_assert_eq!(<NodeKey as Key>::decode(&Key::encode(&node)), Some(node));
            let slot: SlotKey = (Address::from(slot.0), U256::from_be_bytes(slot.1));
            prop_assert_eq!(<SlotKey as Key>::decode(&Key::encode(&slot)), Some(slot));
            if let Some(key) = <NodeKey as Key>::decode(&junk) {
                prop_assert_eq!(Key::encode(&key), junk.clone());
            }
            // Any result is fine, as long as there is no panic.
            let keys = (<SlotKey as Key>::decode(&junk), <B256 as Key>::decode(&junk), <Address as Key>::decode(&junk));
            let values = (HeaderRow::decode(&junk), <Vec<Receipt> as Value>::decode(&junk), <Account as Value>::decode(&junk));
            let more = (<CommitCertificate as Value>::decode(&junk), <Vec<Address> as Value>::decode(&junk), <U256 as Value>::decode(&junk));
            let shown = format!("{keys:?}{values:?}{more:?}");
            prop_assert!(!shown.is_empty());
        }

        #[test]
        fn no_node_key_is_a_prefix_of_another(a in prop::collection::vec(0u8..16, 0..=6), b in prop::collection::vec(0u8..16, 0..=6)) {
            let a: NodeKey = (None, Nibbles::from_nibbles(a));
            let b: NodeKey = (None, Nibbles::from_nibbles(b));
            prop_assume!(a != b);
            prop_assert!(!Key::encode(&b).starts_with(&Key::encode(&a)));
        }

        #[test]
        fn numbers_sort_as_their_keys(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(a.cmp(&b), Key::encode(&a).cmp(&Key::encode(&b)));
        }
    }

    #[test]
    fn headers_round_trip_and_refuse_more_bytes() {
        let header = Header { number: 7, gas_limit: 30_000_000, ..Header::default() };
        let row = HeaderRow { hash: header.hash_slow(), header: Arc::new(header) };
        let mut bytes = Value::encode(&row);
        assert_eq!(HeaderRow::decode(&bytes), Ok(row));
        bytes.push(0);
        assert!(HeaderRow::decode(&bytes).is_err());
    }
}
