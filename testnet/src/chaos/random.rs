//! A small seeded generator: the same seed gives the same faults.

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that follow from `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both possible. The small bias of the remainder does not matter here.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = high.saturating_sub(low).saturating_add(1).max(1);
        low.saturating_add(self.bits() % width)
    }

    /// True with a probability of this many thousandths.
    pub fn happens(&mut self, thousandths: u64) -> bool {
        self.bits() % 1_000 < thousandths
    }

    /// Puts a list into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = usize::try_from(self.between(0, last as u64)).unwrap_or(last);
            list.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_seed_and_stay_in_range() {
        let draw = |seed| (0..100).map(|_| Random::new(seed).between(3, 9)).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..200).map(|_| random.between(3, 9)).collect();
        assert!((3..=9).all(|number| drawn.contains(&number)), "{drawn:?}");
        assert!(drawn.iter().all(|number| (3..=9).contains(number)));
        assert!(!random.happens(0) && random.happens(1_000));
    }

    #[test]
    fn shuffling_keeps_every_element() {
        let mut list: Vec<u8> = (0..20).collect();
        Random::new(5).shuffle(&mut list);
        assert_ne!(list, (0..20).collect::<Vec<u8>>());
        list.sort_unstable();
        assert_eq!(list, (0..20).collect::<Vec<u8>>());
    }
}
