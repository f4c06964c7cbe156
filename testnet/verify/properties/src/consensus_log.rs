//! The content of the write-ahead log: entries changed, lost, repeated, swapped or invented. The host refuses the log or goes on
//! from it, and in both cases its key signs nothing that conflicts with its earlier messages.

use crate::Target;
use crate::consensus_host::{self, run};
use crate::reader::Reader;

/// See the module. The changes to the log, then the run that wrote it (as in `consensus_host`).
pub const TARGET: Target = Target { name: "consensus_log", check, seeds, max_bytes: 1024 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut damage = Reader::new(reader.short());
    let mut after = Reader::new(reader.short());
    let mut node = run(&mut reader);
    let mut log = node.log();
    while !damage.is_empty() {
        alter(&mut log, &mut damage);
    }
    if node.wake_with(log) {
        while !after.is_empty() {
            node.command(&mut after);
        }
    }
}

fn alter(log: &mut Vec<Vec<u8>>, reader: &mut Reader<'_>) {
    let (how, at) = (reader.u8(), reader.u8());
    if how % 8 == 0 {
        return log.push(reader.short().to_vec());
    }
    let Some(at) = usize::from(at).checked_rem(log.len()) else { return };
    match how % 8 {
        1 => drop(log.remove(at)),
        2 => log.push(log[at].clone()),
        3 => log.truncate(at),
        4 => {
            let other = reader.below(log.len());
            log.swap(at, other);
        }
        5 => log[at].truncate(reader.below(256)),
        6 => log[at].extend_from_slice(reader.short()),
        _ => {
            for _ in 0..=how >> 6 {
                // Mostly the head of an entry: its type, height and round.
                let place = reader.below(128).checked_rem(log[at].len());
                let flip = reader.u8();
                if let Some(byte) = place.and_then(|place| log[at].get_mut(place)) {
                    *byte ^= flip;
                }
            }
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    // Without the last command of each script, which starts a new height and with it a new log.
    let lives: Vec<_> = (consensus_host::TARGET.seeds)()
        .into_iter()
        .map(|life| life[..life.len().saturating_sub(3)].to_vec())
        .collect();
    let with = |damage: &[u8], after: &[u8], life: &[u8]| {
        let chunk = |bytes: &[u8]| [vec![u8::try_from(bytes.len()).expect("short")], bytes.to_vec()].concat();
        [chunk(damage), chunk(after), life.to_vec()].concat()
    };
    vec![
        with(&[1, 0], &[29, 0, 0], &lives[0]),
        with(&[3, 2], &[21, 0, 0, 29, 0, 0], &lives[2]),
        with(&[7, 1, 0, 1], &[], &lives[0]),
        with(&[7, 3, 9, 1, 2, 1], &[29, 0, 0], &lives[3]),
        with(&[4, 0, 1], &[29, 0, 0], &lives[5]),
        with(&[0, 0, 3, 7, 7, 7], &[], &lives[6]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lives_of_the_seeds_leave_logs() {
        for seed in seeds() {
            let mut reader = Reader::new(&seed);
            let _damage_and_after = (reader.short(), reader.short());
            assert!(run(&mut reader).log().len() > 1);
        }
    }
}
