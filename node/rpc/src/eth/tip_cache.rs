//! The last suggested tip. It holds as long as the head stays the same.

use alloy_primitives::B256;
use parking_lot::Mutex;

/// The head's hash and the tip suggested at it, in wei per gas.
#[derive(Debug, Default)]
pub(crate) struct TipCache(Mutex<Option<(B256, u128)>>);

impl TipCache {
    /// The tip suggested at this head, if it is the cached one.
    pub(crate) fn get(&self, head: B256) -> Option<u128> {
        self.0.lock().filter(|(of, _)| *of == head).map(|(_, tip)| tip)
    }

    pub(crate) fn set(&self, head: B256, tip_wei: u128) {
        *self.0.lock() = Some((head, tip_wei));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_holds_for_its_head_only() {
        let (cache, head) = (TipCache::default(), B256::repeat_byte(1));
        assert_eq!(cache.get(head), None);
        cache.set(head, 5);
        assert_eq!(cache.get(head), Some(5));
        assert_eq!(cache.get(B256::repeat_byte(2)), None);
    }
}
