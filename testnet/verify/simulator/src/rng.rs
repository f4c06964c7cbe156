//! Randomness from a seed, in independent streams: draws of one part of a run do not change the draws of another.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// The purpose of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Losses, delays, duplicates.
    Network = 1,
    /// Remains of unsynced writes after a crash; salts.
    Disk = 2,
    /// Offsets, drifts and jumps.
    Clock = 3,
    /// Times and durations of crashes.
    Crash = 4,
    /// Actions of users and operators.
    Users = 5,
    /// The parent chain and its endpoints.
    Parent = 6,
    /// Actions of Byzantine members.
    Strategy = 7,
    /// Durations of jobs.
    Jobs = 8,
    /// The plan itself.
    Plan = 9,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of `seed` for `purpose`; `index` distinguishes machines.
    pub fn new(seed: u64, purpose: Purpose, index: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(purpose as u32) << 32 | u64::from(index));
        Self(rng)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 when that is 0. The bias is negligible for a bound far below 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least.saturating_add(self.below(most.saturating_sub(least).saturating_add(1)))
    }

    /// An index into `length` things.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        percent > 0 && self.below(100) < percent
    }

    /// A waiting time with the mean `mean_ms`, at least 1, until a random event.
    pub fn wait(&mut self, mean_ms: u64) -> u64 {
        // The sum of two uniform draws approximates the exponential distribution without floating point, which could differ by machine.
        let spread = mean_ms.max(1);
        self.below(spread).saturating_add(self.below(spread)).max(1)
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When it is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        assert!(!items.is_empty(), "nothing to pick from");
        &items[self.index(items.len())]
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.index(end + 1);
            items.swap(end, other);
        }
    }
}

/// The streams of one world.
#[derive(Debug)]
pub struct Streams {
    /// For links.
    pub network: Rng,
    /// For clocks.
    pub clock: Rng,
    /// For crashes.
    pub crash: Rng,
    /// For users.
    pub users: Rng,
    /// For Byzantine members.
    pub strategy: Rng,
    /// For jobs.
    pub jobs: Rng,
}

impl Streams {
    /// The streams of a seed.
    pub fn new(seed: u64) -> Self {
        let stream = |purpose| Rng::new(seed, purpose, 0);
        Self {
            network: stream(Purpose::Network),
            clock: stream(Purpose::Clock),
            crash: stream(Purpose::Crash),
            users: stream(Purpose::Users),
            strategy: stream(Purpose::Strategy),
            jobs: stream(Purpose::Jobs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64, purpose: Purpose, index: u32) -> Vec<u64> {
        let mut rng = Rng::new(seed, purpose, index);
        (0..8).map(|_| rng.bits()).collect()
    }

    #[test]
    fn a_stream_depends_on_seed_purpose_and_index_alone() {
        assert_eq!(draws(1, Purpose::Disk, 3), draws(1, Purpose::Disk, 3));
        assert_ne!(draws(1, Purpose::Disk, 3), draws(2, Purpose::Disk, 3));
        assert_ne!(draws(1, Purpose::Disk, 3), draws(1, Purpose::Crash, 3));
        assert_ne!(draws(1, Purpose::Disk, 3), draws(1, Purpose::Disk, 4));
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::new(7, Purpose::Plan, 0);
        assert_eq!(rng.below(0), 0);
        for _ in 0..1_000 {
            assert!(rng.below(10) < 10);
            assert!((3..=5).contains(&rng.between(3, 5)));
            assert!((1..=200).contains(&rng.wait(100)));
        }
        assert!((0..1_000).all(|_| !rng.percent(0) && rng.percent(100)));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u32> = (0..50).collect();
        Rng::new(7, Purpose::Plan, 0).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
