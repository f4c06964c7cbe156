use alloy_primitives::Address;
use causeway_peg::{PegValidator, PegValidatorSet, PegValidatorSetError};
use proptest::prelude::*;

fn member(byte: u8, power: u64) -> PegValidator {
    PegValidator { address: Address::repeat_byte(byte), power }
}

#[test]
fn set_is_ordered_by_descending_power_then_ascending_address() {
    let set = PegValidatorSet::new(3, vec![member(9, 1), member(5, 7), member(2, 1), member(4, 9)]).unwrap();
    assert_eq!(set.validators(), [member(4, 9), member(5, 7), member(2, 1), member(9, 1)]);
    assert_eq!((set.epoch(), set.len(), set.total_power()), (3, 4, 18));
    assert_eq!(set.get(&Address::repeat_byte(2)), Some((2, &member(2, 1))));
    assert_eq!(set.get(&Address::repeat_byte(3)), None);
}

#[test]
fn faulty_lists_are_refused() {
    let fault = |members| PegValidatorSet::new(0, members).unwrap_err();
    assert_eq!(fault(vec![]), PegValidatorSetError::Empty);
    assert_eq!(fault(vec![member(0, 1)]), PegValidatorSetError::ZeroAddress);
    let address = Address::repeat_byte(1);
    assert_eq!(fault(vec![member(1, 0)]), PegValidatorSetError::ZeroPower { address });
    assert_eq!(fault(vec![member(1, 5), member(1, 5)]), PegValidatorSetError::Duplicate { address });
    // Strictly ordered, yet twice the same key.
    assert_eq!(fault(vec![member(1, 5), member(2, 4), member(1, 3)]), PegValidatorSetError::Duplicate { address });
    assert_eq!(fault(vec![member(1, u64::MAX), member(2, 1)]), PegValidatorSetError::PowerOverflow);
    let many = |count: u64| {
        (1..=count)
            .map(|i| PegValidator { address: Address::from_word(alloy_primitives::U256::from(i).into()), power: 1 })
            .collect::<Vec<_>>()
    };
    assert_eq!(fault(many(257)), PegValidatorSetError::TooMany { count: 257 });
    assert!(PegValidatorSet::new(0, many(256)).is_ok());
}

#[test]
fn committed_order_is_checked_when_required() {
    let ordered = vec![member(4, 9), member(2, 1), member(9, 1)];
    assert!(PegValidatorSet::from_committed_order(0, ordered.clone()).is_ok());
    for swap in [(0, 1), (1, 2), (0, 2)] {
        let mut list = ordered.clone();
        list.swap(swap.0, swap.1);
        assert_eq!(PegValidatorSet::from_committed_order(0, list), Err(PegValidatorSetError::OutOfOrder));
    }
}

#[test]
fn commitment_covers_every_address_and_power() {
    let base = vec![member(4, 9), member(2, 1)];
    let commitment = PegValidatorSet::new(0, base).unwrap().commitment();
    for other in [
        vec![member(4, 9)],
        vec![member(4, 9), member(2, 2)],
        vec![member(4, 8), member(2, 1)],
        vec![member(4, 9), member(3, 1)],
        vec![member(4, 9), member(2, 1), member(7, 1)],
    ] {
        assert_ne!(PegValidatorSet::new(0, other).unwrap().commitment(), commitment);
    }
}

proptest! {
    /// Strictly more than two thirds, by exact integers of another width.
    #[test]
    fn quorum_is_strictly_more_than_two_thirds(powers in prop::collection::vec(1u64..=u64::MAX / 8, 1..8), power in any::<u64>()) {
        let members = powers.iter().enumerate().map(|(i, power)| member(u8::try_from(i).unwrap() + 1, *power));
        let set = PegValidatorSet::new(0, members.collect()).unwrap();
        let total: u128 = powers.iter().map(|power| u128::from(*power)).sum();
        for power in [u128::from(power), total * 2 / 3, total * 2 / 3 + 1, (total * 2 / 3).saturating_sub(1), total, 0] {
            // power > total * 2 / 3, decided by division with remainder instead of multiplication.
            let (third, rest) = (total * 2 / 3, total * 2 % 3);
            let expected = power > third || (power == third && rest > 3);
            prop_assert_eq!(set.is_quorum(power), expected);
        }
    }

    #[test]
    fn order_of_the_list_does_not_matter(powers in prop::collection::vec(1u64..5, 1..10), seed in any::<u64>()) {
        let mut members: Vec<PegValidator> =
            powers.iter().enumerate().map(|(i, power)| member(u8::try_from(i).unwrap() + 1, *power)).collect();
        let set = PegValidatorSet::new(0, members.clone()).unwrap();
        let turn = usize::try_from(seed % 16).unwrap() % members.len();
        members.rotate_left(turn);
        members.reverse();
        prop_assert_eq!(PegValidatorSet::new(0, members).unwrap(), set);
    }
}
