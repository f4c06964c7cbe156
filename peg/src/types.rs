//! The structs that both chains use, declared with the ABI in [`crate::abi`], and their borsh encoding.

pub use crate::abi::{Checkpoint, Deposit, ParentView, SetAcknowledged, Withdrawal};
use alloy_primitives::{Address, B256, U256};

use borsh::{BorshDeserialize, BorshSerialize, io};

/// The parent's native coin, as a token address.
pub const NATIVE_TOKEN: Address = Address::ZERO;

/// Encodes each field in declaration order with borsh's fixed widths: the form of these structs in
/// gossip and on disk. Hashing and signing use the ABI encoding only.
macro_rules! borsh_fields {
    ($type:ty { $($field:ident : $kind:ty),+ $(,)? }) => {
        impl BorshSerialize for $type {
            fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
                $( BorshSerialize::serialize(&self.$field, writer)?; )+
                Ok(())
            }
        }
        impl BorshDeserialize for $type {
            fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
                Ok(Self { $( $field: <$kind as BorshDeserialize>::deserialize_reader(reader)?, )+ })
            }
        }
    };
}

borsh_fields!(Checkpoint {
    number: u64,
    prevDigest: B256,
    height: u64,
    blockHash: B256,
    stateRoot: B256,
    withdrawalRoot: B256,
    withdrawalCount: u64,
    depositNonce: u64,
    depositAcc: B256,
    epoch: u64,
    nextValset: B256,
});
borsh_fields!(Withdrawal {
    index: u64,
    token: Address,
    sender: Address,
    recipient: Address,
    amount: U256,
    relayerFee: U256,
});
borsh_fields!(ParentView { parentHeight: u64, parentHash: B256, depositNonce: u64, depositAcc: B256 });
borsh_fields!(SetAcknowledged { epoch: u64, commitment: B256 });
borsh_fields!(Deposit { nonce: u64, token: Address, sender: Address, recipient: Address, amount: U256 });

// `Copy` saves the callers clones: every field is plain fixed-width data.
impl Copy for Checkpoint {}
impl Copy for Withdrawal {}
impl Copy for ParentView {}
impl Copy for SetAcknowledged {}
impl Copy for Deposit {}
