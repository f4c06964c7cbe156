//! Links between machines: losses, delays and partitions.

use std::{cell::Cell, rc::Rc};

use causeway_network::GossipMessage;

use crate::{plan::NetworkFaults, rng::Rng};

/// The most machines of one world.
pub const MAX_MACHINES: usize = 256;

/// A set of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MachineSet([u64; MAX_MACHINES / 64]);

impl MachineSet {
    /// Machines `0..count`.
    pub fn first(count: usize) -> Self {
        (0..count).collect()
    }

    /// Adds a machine.
    pub fn insert(&mut self, machine: usize) {
        self.0[machine / 64] |= 1 << (machine % 64);
    }

    /// Takes a machine out.
    pub fn remove(&mut self, machine: usize) {
        self.0[machine / 64] &= !(1 << (machine % 64));
    }

    /// Whether the set contains a machine.
    pub fn contains(&self, machine: usize) -> bool {
        self.0[machine / 64] & (1 << (machine % 64)) != 0
    }

    /// Number of machines in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; MAX_MACHINES / 64]
    }

    /// The machines that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = *self;
        for (word, taken) in rest.0.iter_mut().zip(other.0) {
            *word &= !taken;
        }
        rest
    }

    /// Its machines, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(index, word)| {
            std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)))
                .take_while(|word| *word != 0)
                .map(move |word| index * 64 + word.trailing_zeros() as usize)
        })
    }
}

impl FromIterator<usize> for MachineSet {
    fn from_iter<I: IntoIterator<Item = usize>>(machines: I) -> Self {
        let mut set = Self::default();
        machines.into_iter().for_each(|machine| set.insert(machine));
        set
    }
}

/// A message on its way by gossip.
#[derive(Debug)]
pub struct Packet {
    /// A hash of its content, for the trace.
    pub digest: u64,
    /// The machine that published it.
    pub origin: usize,
    /// The message, decoded from the bytes on the wire.
    pub message: GossipMessage,
    /// Machines to which a copy was sent.
    pub reached: Cell<MachineSet>,
}

/// What a link does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// Delay until it arrives; `None` when it is lost.
    pub arrives_ms: Option<u64>,
    /// Delay until it arrives a second time.
    pub again_ms: Option<u64>,
}

/// All links.
#[derive(Debug)]
pub struct Network {
    machines: usize,
    faults: NetworkFaults,
    /// By sender: machines to which the link is cut.
    cut: Vec<MachineSet>,
    /// By sender: machines to which everything takes [`Network::slow_ms`] longer.
    slow: Vec<MachineSet>,
    slow_ms: u64,
}

impl Network {
    /// Links between `count` machines.
    ///
    /// # Panics
    /// Above [`MAX_MACHINES`].
    pub fn new(machines: usize, faults: NetworkFaults) -> Self {
        assert!(machines <= MAX_MACHINES, "{machines} machines");
        let links = vec![MachineSet::default(); machines];
        Self { machines, faults, cut: links.clone(), slow: links, slow_ms: 0 }
    }

    /// Cuts a link in one direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut[from].insert(to);
    }

    /// Makes a link slow in one direction. All slow links have the same extra delay.
    pub fn slow(&mut self, from: usize, to: usize, by_ms: u64) {
        self.slow[from].insert(to);
        self.slow_ms = by_ms;
    }

    /// Whether the link is slow.
    pub fn is_slow(&self, from: usize, to: usize) -> bool {
        self.slow[from].contains(to)
    }

    /// Restores a link in one direction.
    pub fn restore(&mut self, from: usize, to: usize) {
        self.cut[from].remove(to);
        self.slow[from].remove(to);
    }

    /// Whether the link is cut.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from].contains(to)
    }

    /// Number of machines.
    pub fn machines(&self) -> usize {
        self.machines
    }

    /// The possible faults.
    pub fn faults(&self) -> &NetworkFaults {
        &self.faults
    }

    /// Every link is up, and nothing is lost from now on.
    pub fn heal(&mut self) {
        self.cut.fill(MachineSet::default());
        self.slow.fill(MachineSet::default());
        let (least, most) = self.faults.delay_ms;
        self.faults = NetworkFaults { delay_ms: (least.min(50), most.min(50)), ..NetworkFaults::default() };
    }

    /// The fate of one copy of a message.
    pub fn pass(&self, rng: &mut Rng, from: usize, to: usize) -> Passage {
        if self.is_cut(from, to) || rng.percent(self.faults.loss_percent) {
            return Passage { arrives_ms: None, again_ms: None };
        }
        let more_ms = if self.is_slow(from, to) { self.slow_ms } else { 0 };
        let arrives_ms = Some(self.delay(rng) + more_ms);
        let again_ms = rng.percent(self.faults.duplicate_percent).then(|| self.delay(rng) + more_ms);
        Passage { arrives_ms, again_ms }
    }

    fn delay(&self, rng: &mut Rng) -> u64 {
        let (least, most) = self.faults.delay_ms;
        if rng.percent(self.faults.slow_percent) {
            return rng.between(most, self.faults.slow_ms.max(most));
        }
        rng.between(least, most)
    }
}

/// A shared message.
pub type SharedPacket = Rc<Packet>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn a_set_gives_its_members_in_order() {
        let members = [0, 3, 63, 64, 130, 255];
        let set: MachineSet = members.into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), members);
        assert_eq!((set.len(), set.contains(64), set.contains(65)), (6, true, false));
        assert_eq!(set.without(&MachineSet::first(64)).iter().collect::<Vec<_>>(), [64, 130, 255]);
        assert_eq!(MachineSet::first(100).len(), 100);
    }

    #[test]
    fn a_cut_link_carries_nothing_in_its_direction() {
        let mut network = Network::new(3, NetworkFaults { delay_ms: (1, 5), ..NetworkFaults::default() });
        let mut rng = Rng::new(1, Purpose::Network, 0);
        network.cut(0, 1);
        assert_eq!(network.pass(&mut rng, 0, 1).arrives_ms, None);
        assert!(network.pass(&mut rng, 1, 0).arrives_ms.is_some_and(|delay| (1..=5).contains(&delay)));
        network.heal();
        assert!(network.pass(&mut rng, 0, 1).arrives_ms.is_some());
    }

    #[test]
    fn a_slow_link_is_slow_in_its_direction() {
        let mut network = Network::new(3, NetworkFaults { delay_ms: (1, 5), ..NetworkFaults::default() });
        let mut rng = Rng::new(1, Purpose::Network, 0);
        network.slow(0, 1, 700);
        assert!(network.pass(&mut rng, 0, 1).arrives_ms.is_some_and(|delay| (701..=705).contains(&delay)));
        assert!(network.pass(&mut rng, 1, 0).arrives_ms.is_some_and(|delay| delay <= 5));
        network.restore(0, 1);
        assert!(network.pass(&mut rng, 0, 1).arrives_ms.is_some_and(|delay| delay <= 5));
    }

    #[test]
    fn losses_duplicates_and_delays_come_as_often_as_planned() {
        let faults = NetworkFaults {
            loss_percent: 30,
            duplicate_percent: 10,
            delay_ms: (1, 5),
            slow_percent: 20,
            slow_ms: 10_000,
            ..NetworkFaults::default()
        };
        let network = Network::new(2, faults);
        let mut rng = Rng::new(1, Purpose::Network, 0);
        let passages: Vec<Passage> = (0..10_000).map(|_| network.pass(&mut rng, 0, 1)).collect();
        let count = |what: &dyn Fn(&Passage) -> bool| passages.iter().filter(|passage| what(passage)).count();
        assert!((2_700..3_300).contains(&count(&|passage| passage.arrives_ms.is_none())));
        assert!((550..850).contains(&count(&|passage| passage.again_ms.is_some())));
        assert!((1_200..1_600).contains(&count(&|passage| passage.arrives_ms.is_some_and(|delay| delay > 5))));
        assert!(passages.iter().all(|passage| passage.arrives_ms.is_none_or(|delay| delay <= 10_000)));
    }
}
