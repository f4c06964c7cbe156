//! Which peers to dial, at which addresses, and when. Pure: time is an argument.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId};

use crate::limits::{MAX_ADDRESSES_PER_PEER, MAX_KNOWN_PEERS};

const FIRST_RETRY_MS: u64 = 200;
/// Longest time between two dials of a bootnode, so that one that starts late is found soon.
const BOOTNODE_RETRY_MS: u64 = 2_000;
/// A peer that was connected and is gone is probably restarting: longest time between two dials of it,
const LOST_RETRY_MS: u64 = 1_000;
/// for this long after it was lost.
const LOST_PATIENCE_MS: u64 = 5 * 60 * 1_000;
/// Afterwards it may be behind a partition: longest time between two dials of it,
const MISSED_RETRY_MS: u64 = 15_000;
/// for this long after it was lost. Then it counts as a stranger.
const MISSED_PATIENCE_MS: u64 = 24 * 60 * 60 * 1_000;
const STRANGER_RETRY_MS: u64 = 60_000;
/// A stranger that never answered is forgotten after this many dials.
const STRANGER_ATTEMPTS: u32 = 8;

#[derive(Debug, Clone, Default)]
struct Entry {
    /// The last confirmed address first, then the newest ones.
    addresses: Vec<Multiaddr>,
    bootnode: bool,
    connected: bool,
    /// When its last connection closed; `None` if there never was one.
    lost_ms: Option<u64>,
    failures: u32,
    next_dial_ms: u64,
}

impl Entry {
    /// The longest time between two dials.
    fn retry_ceiling_ms(&self, now_ms: u64) -> u64 {
        if self.bootnode {
            return BOOTNODE_RETRY_MS;
        }
        match self.lost_ms.map(|lost| now_ms.saturating_sub(lost)) {
            Some(missed) if missed < LOST_PATIENCE_MS => LOST_RETRY_MS,
            Some(missed) if missed < MISSED_PATIENCE_MS => MISSED_RETRY_MS,
            _ => STRANGER_RETRY_MS,
        }
    }
}

/// Known peers and their addresses. Bounded by [`MAX_KNOWN_PEERS`].
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    entries: BTreeMap<PeerId, Entry>,
}

impl AddressBook {
    pub(crate) fn add_bootnode(&mut self, peer: PeerId, address: Multiaddr) {
        self.insert(peer, address).bootnode = true;
    }

    /// Remembers an address that another peer reported. If the book is full, a stranger that is not connected is
    /// forgotten for it; if there is none, the address is ignored.
    pub(crate) fn add(&mut self, peer: PeerId, address: Multiaddr) {
        if self.entries.contains_key(&peer) || self.make_room() {
            self.insert(peer, address);
        }
    }

    pub(crate) fn connected(&mut self, peer: PeerId) {
        if self.entries.contains_key(&peer) || self.make_room() {
            let entry = self.entries.entry(peer).or_default();
            entry.connected = true;
            entry.failures = 0;
        }
    }

    /// Puts the address of a successful dial first.
    pub(crate) fn confirm(&mut self, peer: PeerId, address: Multiaddr) {
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.addresses.retain(|known| *known != address);
            entry.addresses.insert(0, address);
            entry.addresses.truncate(MAX_ADDRESSES_PER_PEER);
        }
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.connected = false;
            entry.failures = 0;
            entry.lost_ms = Some(now_ms);
            entry.next_dial_ms = now_ms.saturating_add(FIRST_RETRY_MS);
        }
    }

    /// Records a failed dial.
    pub(crate) fn failed(&mut self, peer: &PeerId, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(peer) else { return };
        entry.failures = entry.failures.saturating_add(1);
        let ceiling = entry.retry_ceiling_ms(now_ms);
        let doubled = FIRST_RETRY_MS.saturating_mul(1u64.checked_shl(entry.failures.min(20)).unwrap_or(u64::MAX));
        entry.next_dial_ms = now_ms.saturating_add(doubled.min(ceiling));
        if !entry.bootnode && !entry.connected && entry.failures >= STRANGER_ATTEMPTS && ceiling == STRANGER_RETRY_MS {
            self.entries.remove(peer);
        }
    }

    /// Forgets an address at which another peer answered. The addresses of bootnodes stay.
    pub(crate) fn remove_address(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(entry) = self.entries.get_mut(peer)
            && !entry.bootnode
        {
            entry.addresses.retain(|known| known != address);
        }
    }

    /// Forgets a peer, unless it is a bootnode.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        if self.entries.get(peer).is_some_and(|entry| !entry.bootnode) {
            self.entries.remove(peer);
        }
    }

    /// The peers to dial now, at most `strangers` of them neither bootnodes nor connected within the last day.
    /// Each is due again after a reported failure, or after [`BOOTNODE_RETRY_MS`].
    pub(crate) fn due(&mut self, now_ms: u64, mut strangers: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        for (peer, entry) in &mut self.entries {
            if entry.connected || entry.next_dial_ms > now_ms || entry.addresses.is_empty() {
                continue;
            }
            if entry.retry_ceiling_ms(now_ms) == STRANGER_RETRY_MS {
                if strangers == 0 {
                    continue;
                }
                strangers -= 1;
            }
            entry.next_dial_ms = now_ms.saturating_add(BOOTNODE_RETRY_MS);
            due.push((*peer, entry.addresses.clone()));
        }
        due
    }

    fn insert(&mut self, peer: PeerId, address: Multiaddr) -> &mut Entry {
        let entry = self.entries.entry(peer).or_default();
        if !entry.addresses.contains(&address) {
            // The configured or confirmed address stays first. Of the others the newest stay.
            entry.addresses.insert(entry.addresses.len().min(1), address);
            entry.addresses.truncate(MAX_ADDRESSES_PER_PEER);
        }
        entry
    }

    fn make_room(&mut self) -> bool {
        if self.entries.len() < MAX_KNOWN_PEERS {
            return true;
        }
        let victim = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.bootnode && !entry.connected)
            .max_by_key(|(_, entry)| (entry.lost_ms.is_none(), entry.failures))
            .map(|(peer, _)| *peer);
        victim.is_some_and(|victim| self.entries.remove(&victim).is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn next_due(book: &mut AddressBook, from_ms: u64) -> u64 {
        (from_ms..from_ms + 200_000).find(|now| !book.due(*now, 1).is_empty()).unwrap()
    }

    #[test]
    fn bootnode_is_tried_for_ever_and_at_least_every_two_seconds() {
        let mut book = AddressBook::default();
        let peer = PeerId::random();
        book.add_bootnode(peer, address(1));
        let mut now = 0;
        for _ in 0..50 {
            let due = next_due(&mut book, now);
            assert!(due - now <= BOOTNODE_RETRY_MS);
            now = due;
            book.failed(&peer, now);
        }
    }

    #[test]
    fn lost_peer_is_tried_within_a_second_even_when_no_stranger_is_wanted() {
        let mut book = AddressBook::default();
        let peer = PeerId::random();
        book.add(peer, address(1));
        book.connected(peer);
        assert!(book.due(1_000, 9).is_empty());
        book.disconnected(&peer, 1_000);
        let mut now = 1_000;
        for _ in 0..60 {
            let due = (now..now + 5_000).find(|at| !book.due(*at, 0).is_empty()).unwrap();
            assert!(due - now <= LOST_RETRY_MS);
            now = due;
            book.failed(&peer, now);
        }
    }

    #[test]
    fn missed_peer_is_tried_for_a_day() {
        let mut book = AddressBook::default();
        let peer = PeerId::random();
        book.add(peer, address(1));
        book.connected(peer);
        book.disconnected(&peer, 0);
        let mut now = 0;
        while now < MISSED_PATIENCE_MS - 2 * MISSED_RETRY_MS {
            assert_eq!(book.due(now + MISSED_RETRY_MS, 0).len(), 1);
            now += MISSED_RETRY_MS;
            book.failed(&peer, now);
        }
        assert_eq!(book.due(now + MISSED_RETRY_MS, 0).len(), 1);
        book.failed(&peer, MISSED_PATIENCE_MS);
        assert!(book.entries.is_empty());
    }

    #[test]
    fn stranger_that_never_answers_is_forgotten() {
        let mut book = AddressBook::default();
        let peer = PeerId::random();
        book.add(peer, address(1));
        assert!(book.due(0, 0).is_empty());
        let mut now = 0;
        for _ in 0..STRANGER_ATTEMPTS {
            now = next_due(&mut book, now);
            book.failed(&peer, now);
        }
        assert!(book.due(now + 10 * STRANGER_RETRY_MS, 9).is_empty());
        assert!(book.entries.is_empty());
    }

    #[test]
    fn full_book_keeps_bootnodes_and_connected_peers() {
        let mut book = AddressBook::default();
        let (boot, friend) = (PeerId::random(), PeerId::random());
        book.add_bootnode(boot, address(1));
        book.add(friend, address(2));
        book.connected(friend);
        for _ in 0..2 * MAX_KNOWN_PEERS {
            book.add(PeerId::random(), address(3));
        }
        assert_eq!(book.entries.len(), MAX_KNOWN_PEERS);
        assert!(book.entries.contains_key(&boot) && book.entries.contains_key(&friend));
    }

    #[test]
    fn a_peer_has_a_bounded_number_of_addresses_with_the_confirmed_first() {
        let mut book = AddressBook::default();
        let peer = PeerId::random();
        for port in 0..100 {
            book.add(peer, address(port));
        }
        book.confirm(peer, address(77));
        for port in 100..200 {
            book.add(peer, address(port));
        }
        let due = book.due(0, 1);
        assert_eq!(due[0].1.len(), MAX_ADDRESSES_PER_PEER);
        assert_eq!(due[0].1[..2], [address(77), address(199)]);
    }
}
