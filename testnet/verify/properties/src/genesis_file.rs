//! The genesis file: an accepted file builds, survives a round trip, and has one hash.

use causeway_genesis::{ChainSpec, Genesis};

use crate::chain::spec;
use crate::{Target, answers};

/// See the module.
pub const TARGET: Target = Target { name: "genesis_file", check, seeds, max_bytes: 8192 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let Ok(json) = std::str::from_utf8(bytes) else { return };
    let draft = match ChainSpec::draft_from_json(json) {
        Ok(draft) => draft,
        Err(error) => return answers(error.to_string()),
    };
    assert_eq!(ChainSpec::draft_from_json(&draft.to_json()).ok().as_ref(), Some(&draft), "it comes back");
    match ChainSpec::from_json(json) {
        Ok(spec) => {
            let genesis = Genesis::build(spec.clone()).expect("what is valid builds");
            let again = ChainSpec::from_json(&spec.to_json()).expect("what is valid stays valid");
            assert_eq!(Genesis::build(again).expect("builds again").hash, genesis.hash, "one chain, one hash");
            assert_eq!(genesis.header.hash_slow(), genesis.hash);
            assert_eq!(genesis.peg_domain().is_some(), spec.peg.is_some());
            assert_eq!(genesis.validator_set().len(), spec.validators.len());
        }
        Err(error) => {
            assert!(Genesis::build(draft).is_err(), "an invalid spec built");
            answers(error.to_string());
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut small = spec(true);
    small.validators.truncate(1);
    small.alloc.clear();
    small.staking.alloc.clear();
    let compact = |spec: &ChainSpec| serde_json::to_vec(spec).expect("a spec always serialises");
    vec![compact(&small), compact(&spec(false)), small.to_json().into_bytes()]
}
