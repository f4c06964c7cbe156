//! The boundary powers of `contracts/vectors/quorum.json`. The tests of the registry and of consensus read the same file.

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_peg::{
    CertificateError, ModuleError, PegFault, PegValidator, PegValidatorSet, PegValidatorSetError, SetAcknowledged,
    certificate::smallest_quorum, layout, verify_signatures,
};
use serde::Deserialize;

use crate::federation::{Federation, INTERVAL, deposits, domain, genesis, header, view};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vector {
    kind: String,
    powers: Vec<String>,
    refused_by: Vec<String>,
    signers: Vec<usize>,
    quorum: bool,
}

impl Vector {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../../contracts/vectors/quorum.json")).unwrap()
    }

    /// The cases whose sets the peg accepts.
    fn accepted() -> impl Iterator<Item = Self> {
        Self::all().into_iter().filter(|vector| !vector.is_refused_by("peg"))
    }

    fn powers(&self) -> Vec<u64> {
        self.powers.iter().map(|power| power.parse().unwrap()).collect()
    }

    fn is_refused_by(&self, room: &str) -> bool {
        self.refused_by.iter().any(|refusing| refusing == room)
    }

    fn tally(&self) -> Tally {
        let powers = self.powers();
        Tally {
            signed: self.signers.iter().map(|signer| u128::from(powers[*signer])).sum(),
            total: powers.iter().copied().map(u128::from).sum(),
            signed_low: self.signers.iter().map(|signer| low(powers[*signer])).sum(),
            total_low: powers.iter().copied().map(low).sum(),
            heads: self.signers.len(),
            members: powers.len(),
        }
    }
}

/// The power in 32 bits.
fn low(power: u64) -> u128 {
    u128::from(power) & u128::from(u32::MAX)
}

#[test]
fn certificates_are_valid_exactly_at_the_vectors_quorums() {
    let digest = keccak256("digest");
    for vector in Vector::accepted() {
        let federation = Federation::new(&vector.powers());
        let signatures = federation.sign(digest, vector.signers.iter().copied());
        let Tally { signed, .. } = vector.tally();
        assert_eq!(federation.set.is_quorum(signed), vector.quorum, "{vector:?}");
        let verdict = verify_signatures(digest, &signatures, &federation.set);
        assert_eq!(verdict.is_ok(), vector.quorum, "{vector:?}");
        if let Err(error) = verdict {
            assert_eq!(error, CertificateError::NoQuorum { power: signed, total: federation.set.total_power() });
        }
        assert_eq!(smallest_quorum(signatures, &federation.set).is_some(), vector.quorum);
    }
}

#[test]
fn module_accepts_each_kind_of_certificate_exactly_at_the_vectors_quorums() {
    for vector in Vector::accepted() {
        let federation = Federation::new(&vector.powers());
        let (module, mut slots) = genesis(&federation);
        let sign = |digest: B256| federation.sign(digest, vector.signers.iter().copied());

        let batch = deposits(1, 2);
        let view = view(50, B256::ZERO, &batch);
        let signatures = sign(domain().parent_view_digest(&view));
        expect(&vector, module.import_deposits(&mut slots, &view, &signatures, &batch));

        let checkpoint = module.begin_block(&mut slots, &header(INTERVAL)).unwrap().unwrap();
        let signatures = sign(domain().checkpoint_digest(&checkpoint));
        expect(&vector, module.record_checkpoint(&mut slots, 1, INTERVAL + 2, &signatures));

        // The genesis announces the same members for epoch 1: put it in force, whether or not its handover was recorded.
        slots.insert(layout::VALIDATOR_EPOCH, U256::ONE);
        let seen = SetAcknowledged { epoch: 1, commitment: federation.set.commitment() };
        let signatures = sign(domain().set_acknowledged_digest(&seen));
        expect(&vector, module.acknowledge_set(&mut slots, 1, &signatures));
    }
}

fn expect<T, E: std::fmt::Debug>(vector: &Vector, result: Result<T, ModuleError<E>>) {
    match result {
        Ok(_) => assert!(vector.quorum, "{vector:?}"),
        Err(ModuleError::Refused(PegFault::Certificate(CertificateError::NoQuorum { .. }))) => {
            assert!(!vector.quorum, "{vector:?}");
        }
        Err(other) => panic!("{other:?}: {vector:?}"),
    }
}

#[test]
fn sets_that_the_vectors_call_refused_are_refused() {
    let mut refused = 0;
    for vector in Vector::all().iter().filter(|vector| vector.is_refused_by("peg")) {
        let powers = vector.powers();
        let address = |place: usize| Address::from_word(U256::from(place + 1).into());
        let members =
            powers.iter().enumerate().map(|(place, power)| PegValidator { address: address(place), power: *power });
        let error = PegValidatorSet::new(0, members.collect()).unwrap_err();
        let expected = match vector.kind.as_str() {
            "empty" => PegValidatorSetError::Empty,
            "too many members" => PegValidatorSetError::TooMany { count: powers.len() },
            "zero power" => PegValidatorSetError::ZeroPower { address: address(powers.len() - 1) },
            "total above the limit" => PegValidatorSetError::PowerOverflow,
            other => panic!("{other}"),
        };
        assert_eq!(error, expected);
        refused += 1;
    }
    assert!(refused > 10);
}

/// The inputs of a rule.
#[derive(Clone, Copy)]
struct Tally {
    signed: u128,
    total: u128,
    /// The sums of the powers' lower 32 bits.
    signed_low: u128,
    total_low: u128,
    heads: usize,
    members: usize,
}

impl Tally {
    /// Strictly more than two thirds, by division with remainder.
    fn is_quorum(self) -> bool {
        let missing = self.total - self.signed;
        // signed > 2 * missing, as signed + missing = total.
        self.signed / 2 > missing || (self.signed / 2 == missing && self.signed % 2 == 1)
    }

    /// The least power that is a quorum.
    fn least(self) -> u128 {
        self.total * 2 / 3 + 1
    }

    fn members_would_suffice(self) -> bool {
        self.heads * 3 > self.members * 2
    }
}

#[test]
fn vectors_cover_every_kind_of_boundary() {
    type Shape = fn(&[u64], Tally) -> bool;
    const LARGEST_OF_CONSENSUS: u128 = (u64::MAX / 8) as u128;
    const LARGEST_OF_THE_PEG: u128 = u64::MAX as u128;
    let vectors = Vector::all();
    let equal = |powers: &[u64]| powers.windows(2).all(|pair| pair[0] == pair[1]);
    assert!(vectors.iter().all(|vector| !vector.kind.ends_with("equal") || equal(&vector.powers())));
    let required: [(&str, bool, Shape); 38] = [
        ("one validator", true, |powers, tally| powers == [1] && tally.heads == 1),
        ("one validator", false, |powers, tally| powers == [1] && tally.heads == 0),
        ("one validator", true, |powers, _| powers == [u64::MAX]),
        ("3f equal", true, |powers, t| powers.len() % 3 == 0 && t.heads == powers.len() / 3 * 2 + 1),
        ("3f equal", false, |powers, t| powers.len() % 3 == 0 && t.heads == powers.len() / 3 * 2),
        ("3f+1 equal", true, |powers, t| powers.len() % 3 == 1 && t.heads == powers.len() / 3 * 2 + 1),
        ("3f+1 equal", false, |powers, t| powers.len() % 3 == 1 && t.heads == powers.len() / 3 * 2),
        ("3f+2 equal", true, |powers, t| powers.len() % 3 == 2 && t.heads == powers.len() / 3 * 2 + 2),
        ("3f+2 equal", false, |powers, t| powers.len() % 3 == 2 && t.heads == powers.len() / 3 * 2 + 1),
        ("two thirds", false, |powers, t| powers.len() == 2 && t.signed * 3 == t.total * 2),
        ("two thirds", false, |powers, t| powers.len() == 3 && t.signed * 3 == t.total * 2),
        ("two thirds", false, |_, t| t.total == LARGEST_OF_CONSENSUS - 1 && t.signed * 3 == t.total * 2),
        ("two thirds", false, |_, t| t.total == LARGEST_OF_THE_PEG && t.signed * 3 == t.total * 2),
        ("two thirds and one", true, |powers, t| powers.len() == 2 && t.total == 300 && t.signed == 201),
        ("two thirds and one", true, |_, t| t.total == LARGEST_OF_CONSENSUS && t.signed == t.least()),
        ("two thirds and one", true, |_, t| t.total == LARGEST_OF_THE_PEG && t.signed == t.least()),
        ("two thirds less one", false, |_, t| t.total == 300 && t.signed == 199),
        ("two thirds less one", false, |_, t| t.total == LARGEST_OF_THE_PEG && t.signed == t.least() - 2),
        ("u64 extremes", true, |powers, t| powers == [u64::MAX - 1, 1] && t.heads == 1),
        ("u64 extremes", false, |powers, t| powers == [u64::MAX - 1, 1] && t.heads == 1),
        ("total at the limit", true, |_, t| t.total == LARGEST_OF_CONSENSUS),
        ("total at the limit", false, |_, t| t.total == LARGEST_OF_CONSENSUS),
        ("total at the limit", true, |_, t| t.total == LARGEST_OF_THE_PEG),
        ("total at the limit", false, |_, t| t.total == LARGEST_OF_THE_PEG && t.signed * 3 == t.total * 2),
        ("total above the limit", true, |_, t| t.total == LARGEST_OF_CONSENSUS + 1),
        ("total above the limit", true, |_, t| t.total == LARGEST_OF_THE_PEG + 1),
        ("256 members", true, |powers, t| powers.len() == 256 && t.signed == t.least()),
        ("256 members", false, |powers, t| powers.len() == 256 && t.signed == t.least() - 1),
        ("too many members", true, |powers, _| powers.len() == 257),
        ("scaled to 2^40", true, |_, t| t.total == 1 << 40 && t.signed == t.least()),
        ("scaled to 2^40", false, |_, t| t.total == 1 << 40 && t.signed == t.least() - 1),
        ("zero power", true, |powers, _| powers.contains(&0)),
        ("empty", false, |powers, _| powers.is_empty()),
        ("one whale", true, |_, t| t.heads == 1),
        ("one whale", false, |_, t| t.heads == t.members - 1),
        ("heads against power", true, |_, t| !t.members_would_suffice()),
        ("heads against power", false, |_, t| t.members_would_suffice()),
        ("scaled by 2^40", false, |powers, t| powers.iter().all(|p| p % (1 << 40) == 0) && t.signed * 3 == t.total * 2),
    ];
    for (at, (kind, quorum, shape)) in required.into_iter().enumerate() {
        let found = vectors
            .iter()
            .any(|vector| vector.kind == kind && vector.quorum == quorum && shape(&vector.powers(), vector.tally()));
        assert!(found, "no vector for requirement {at}, {kind:?} with the result {quorum}");
    }
    for vector in vectors {
        let known = required.iter().any(|(kind, ..)| *kind == vector.kind);
        assert!(known, "{vector:?}");
        assert_eq!(vector.tally().is_quorum(), vector.quorum, "{vector:?}");
    }
}

#[test]
fn every_wrong_rule_fails_a_vector_in_every_room() {
    type Rule = fn(Tally) -> bool;
    let wrong: [(&str, Rule); 13] = [
        ("at least two thirds", |t| t.signed * 3 >= t.total * 2),
        ("at least two thirds rounded up", |t| t.signed >= (t.total * 2).div_ceil(3)),
        ("more than two thirds rounded up", |t| t.signed > (t.total * 2).div_ceil(3)),
        ("at least two thirds rounded down", |t| t.signed >= t.total * 2 / 3),
        ("more than twice a third rounded down", |t| t.signed > t.total / 3 * 2),
        ("more than twice a third rounded up", |t| t.signed > t.total.div_ceil(3) * 2),
        ("more than two thirds and one", |t| t.signed > t.total * 2 / 3 + 1),
        ("heads", Tally::members_would_suffice),
        ("2f + 1 members", |t| t.heads > t.members.saturating_sub(1) / 3 * 2),
        ("more than a half", |t| t.signed * 2 > t.total),
        ("more than a third", |t| t.signed * 3 > t.total),
        ("everybody", |t| t.signed == t.total),
        ("powers in 32 bits", |t| t.signed_low * 3 > t.total_low * 2),
    ];
    // Consensus's largest total, times 3, fits 64 bits: these are right there.
    let narrow: [(&str, Rule); 2] = [
        ("products wrap in 64 bits", |t| t.signed * 3 % (1 << 64) > t.total * 2 % (1 << 64)),
        ("products saturate in 64 bits", |t| (t.signed * 3).min(u64::MAX.into()) > (t.total * 2).min(u64::MAX.into())),
    ];
    let vectors = Vector::all();
    let caught = |room: &str, rule: Rule| {
        let mut heard = vectors.iter().filter(|vector| !vector.is_refused_by(room));
        heard.any(|vector| rule(vector.tally()) != vector.quorum)
    };
    for room in ["consensus", "peg", "registry"] {
        for (name, rule) in wrong {
            assert!(caught(room, rule), "{room} could use this wrong rule without a failing vector: {name}");
        }
        for (name, rule) in narrow {
            assert_eq!(caught(room, rule), room != "consensus", "{room}: {name}");
        }
        assert!(!caught(room, Tally::is_quorum));
        assert!(!caught(room, |t| t.signed * 3 > t.total * 2));
    }
}
