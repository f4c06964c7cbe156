//! The audit against an honest history, altered evidence, and consistent frauds.

use crate::world::{
    CHANGE, Fraud, World, coins,
    tools::{alter_call, alter_event, alter_log, decode, failing, names, system_transaction},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::Decodable;
use alloy_sol_types::SolCall;
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_genesis::{
    Genesis,
    addresses::{PEG, STAKING},
};
use causeway_peg::{IPeg, layout};
use causeway_peg_audit::{AuditError, Bundle, BundleError, LogEvidence, Object, Report, audit};
use proptest::prelude::*;
use std::sync::LazyLock;

static HONEST: LazyLock<(Bundle, Genesis)> = LazyLock::new(|| {
    let world = World::history(None);
    (world.bundle(), world.genesis)
});

/// The report on the honest bundle after a change.
fn altered(change: impl FnOnce(&mut Bundle)) -> Report {
    let mut bundle = HONEST.0.clone();
    change(&mut bundle);
    assert_ne!(bundle, HONEST.0, "the change changes nothing");
    audit(&bundle, &HONEST.1).unwrap()
}

fn fraud(fraud: Fraud) -> Report {
    let world = World::history(Some(fraud));
    audit(&world.bundle(), &world.genesis).unwrap()
}

#[test]
fn an_honest_history_passes() {
    let report = audit(&HONEST.0, &HONEST.1).unwrap();
    assert!(report.holds, "{report}");
    assert_eq!(report.certified_checkpoint, Some(3));
    let ids: Vec<u8> = report.checks.iter().map(|check| check.id).collect();
    assert_eq!(ids, (0..=11).collect::<Vec<u8>>());
}

#[test]
fn the_history_is_audited_across_a_change_of_the_rules() {
    let limits: Vec<u64> = HONEST.1.schedule.known().map(|(_, rules)| rules.block.gas_limit).collect();
    assert_eq!(limits, [60_000_000, 30_000_000]);
    let headers = HONEST.0.sidechain.headers.iter().map(|raw| Header::decode(&mut raw.as_ref()).unwrap());
    let of = |header: Header| (header.number < CHANGE, header.gas_limit);
    let seen: std::collections::BTreeSet<(bool, u64)> = headers.map(of).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(false, 30_000_000), (true, 60_000_000)]);
}

#[test]
fn a_block_under_the_rules_before_its_own_is_named() {
    for block in [CHANGE + 1, 8] {
        names(&fraud(Fraud::OldRules(block)), 0, Object::Block(block));
    }
    assert!(fraud(Fraud::OldRules(CHANGE - 1)).holds, "those are its own");
}

#[test]
fn blocks_under_rules_that_the_auditor_does_not_know_are_not_audited() {
    let before = World::history_before_unknown_rules(100);
    assert!(audit(&before.bundle(), &before.genesis).unwrap().holds);
    let mut bundle = before.bundle();
    bundle.sidechain.head = 100;
    let error = audit(&bundle, &before.genesis).unwrap_err();
    assert!(error.to_string().starts_with("block 100 follows rules version 2, which this build (causeway "), "{error}");
}

#[test]
fn a_chain_before_its_first_deposit_and_checkpoint_passes_with_believed_figures() {
    let world = World::young();
    let report = audit(&world.bundle(), &world.genesis).unwrap();
    assert!(report.holds, "{report}");
    assert_eq!(report.certified_checkpoint, None);
}

/// Hashes depend on encodings of other crates; the report's form and figures do not.
fn without_hashes(json: &str) -> String {
    let hash = |piece: &str| piece.get(..64).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let mut pieces = json.split("0x");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |out, piece| if hash(piece) { out + "0x.." + &piece[64..] } else { out + "0x" + piece })
}

#[test]
fn the_json_report_is_as_documented() {
    let json = without_hashes(&audit(&HONEST.0, &HONEST.1).unwrap().to_json().unwrap()) + "\n";
    assert_eq!(json, include_str!("golden/report.json"), "a changed key needs a new REPORT_FORMAT; got:\n{json}");
}

#[test]
fn a_failing_json_report_names_object_reason_and_next() {
    let report = fraud(Fraud::MintAmount(2));
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["holds"], false);
    let failure = &json["checks"][5]["failures"][0];
    assert_eq!(failure["object"], "deposit 2");
    assert!(failure["reason"].as_str().unwrap().contains("amount") && failure["next"].is_string());
}

// ---- one alteration of the evidence

#[test]
fn an_altered_mint_is_named() {
    for change in [
        (|event| event.amount += U256::ONE) as fn(&mut IPeg::DepositMinted),
        |event| event.recipient = Address::repeat_byte(9),
        |event| event.sender = Address::repeat_byte(9),
        |event| event.token = Address::repeat_byte(9),
    ] {
        let report = altered(|bundle| alter_event(bundle, |event: &IPeg::DepositMinted| event.nonce == 2, change));
        names(&report, 0, Object::Deposit(2));
        names(&report, 5, Object::Deposit(2));
    }
}

#[test]
fn an_altered_burn_is_named() {
    for change in [
        (|event| event.amount -= U256::ONE) as fn(&mut IPeg::WithdrawalRequested),
        |event| event.recipient = Address::repeat_byte(9),
        |event| event.relayerFee = U256::ONE,
    ] {
        let of_two = |event: &IPeg::WithdrawalRequested| event.index == 2;
        let report = altered(|bundle| alter_event(bundle, of_two, change));
        names(&report, 0, Object::Withdrawal(2));
        names(&report, 7, Object::Checkpoint(2));
        names(&report, 8, Object::Checkpoint(2));
        names(&report, 9, Object::Withdrawal(2));
    }
}

#[test]
fn a_missing_burn_is_noticed() {
    let report = altered(|bundle| bundle.sidechain.blocks.retain(|block| block.number != 8));
    names(&report, 9, Object::Withdrawal(2));
    assert!([3, 7, 8].iter().all(|id| failing(&report).contains(id)), "{report}");
}

#[test]
fn a_missing_import_is_noticed() {
    let report = altered(|bundle| bundle.sidechain.blocks.retain(|block| block.number != 2));
    assert!([3, 5].iter().all(|id| failing(&report).contains(id)), "{report}");
    names(&report, 5, Object::Deposit(3));
}

#[test]
fn an_altered_deposit_is_named() {
    for change in [
        (|event| event.amount += U256::ONE) as fn(&mut PegVault::Deposited),
        |event| event.recipient = Address::repeat_byte(9),
        |event| event.sender = Address::repeat_byte(9),
        |event| event.depositAcc = B256::repeat_byte(9),
    ] {
        let report = altered(|bundle| alter_log(bundle, |event: &PegVault::Deposited| event.nonce == 1, change));
        names(&report, 5, Object::Deposit(1));
    }
}

#[test]
fn a_missing_deposit_is_named() {
    let is_first = |log: &LogEvidence| decode::<PegVault::Deposited>(log).is_some_and(|event| event.nonce == 1);
    let report = altered(|bundle| bundle.parent.logs.retain(|log| !is_first(log)));
    names(&report, 5, Object::Deposit(2));
    assert!(failing(&report).contains(&2));
}

#[test]
fn a_deposit_moved_to_another_parent_block_is_named() {
    let report = altered(|bundle| {
        for log in &mut bundle.parent.logs {
            if decode::<PegVault::Deposited>(log).is_some_and(|event| event.nonce == 3) {
                log.block_hash = B256::repeat_byte(9);
            }
        }
    });
    names(&report, 5, Object::Deposit(3));
}

#[test]
fn an_altered_signer_of_a_certificate_is_named() {
    let stranger = Address::repeat_byte(9);
    let report = altered(|bundle| {
        let change = |call: &mut IPeg::recordCheckpointCall| call.signatures[1].signer = stranger;
        assert!(alter_call(&mut bundle.sidechain.records[1].transaction, change));
    });
    names(&report, 6, Object::Signer(stranger));
    let member = HONEST.1.peg_validator_set().unwrap().validators()[0].address;
    let report = altered(|bundle| {
        let change = |call: &mut IPeg::importDepositsCall| call.signatures[0].r = B256::repeat_byte(9);
        assert!(alter_call(&mut bundle.sidechain.blocks[0].transactions[0], change));
    });
    names(&report, 6, Object::Signer(member));
    names(&report, 0, Object::Block(2));
}

#[test]
fn a_certificate_with_too_few_signatures_is_refused() {
    let report = altered(|bundle| {
        let raw = &bundle.sidechain.records[0].transaction;
        let at = raw.windows(4).position(|window| window == IPeg::recordCheckpointCall::SELECTOR).unwrap();
        let mut call = IPeg::recordCheckpointCall::abi_decode(&raw[at..]).unwrap();
        call.signatures.truncate(2);
        let record = &mut bundle.sidechain.records[0];
        record.transaction = system_transaction(record.number, call.abi_encode());
    });
    names(&report, 6, Object::Checkpoint(2));
}

#[test]
fn an_altered_checkpoint_on_the_parent_is_named() {
    type Event = CheckpointRegistry::CheckpointAccepted;
    for change in [
        (|event| event.withdrawalRoot = B256::repeat_byte(9)) as fn(&mut Event),
        |event| event.stateRoot = B256::repeat_byte(9),
        |event| event.digest = B256::repeat_byte(9),
        |event| event.withdrawalCount += 1,
        |event| event.depositNonce += 1,
        |event| event.height += 1,
        |event| event.epoch += 1,
    ] {
        let report = altered(|bundle| alter_log(bundle, |event: &Event| event.number == 2, change));
        names(&report, 8, Object::Checkpoint(2));
    }
}

#[test]
fn an_altered_digest_of_a_record_is_named() {
    let report = altered(|bundle| bundle.sidechain.records[0].digest = B256::repeat_byte(9));
    names(&report, 8, Object::Checkpoint(2));
}

#[test]
fn an_altered_header_breaks_the_chain_to_its_checkpoint() {
    let alter = |number: u64| {
        altered(|bundle| {
            for raw in &mut bundle.sidechain.headers {
                let mut header = Header::decode(&mut raw.as_ref()).unwrap();
                if header.number == number {
                    header.timestamp += 1;
                    *raw = alloy_rlp::encode(&header).into();
                }
            }
        })
    };
    names(&alter(3), 0, Object::Block(2));
    names(&alter(4), 8, Object::Checkpoint(1));
    let report = altered(|bundle| {
        let headers = &mut bundle.sidechain.headers;
        headers.retain(|raw| Header::decode(&mut raw.as_ref()).unwrap().number != 4);
    });
    names(&report, 0, Object::Checkpoint(1));
    names(&report, 6, Object::Checkpoint(1));
}

#[test]
fn altered_state_proofs_are_noticed() {
    let proof_at = |bundle: &Bundle, height: u64| {
        bundle.sidechain.proofs.iter().position(|proof| proof.height == height && proof.address == PEG).unwrap()
    };
    let report = altered(|bundle| {
        let at = proof_at(bundle, 12);
        bundle.sidechain.proofs[at].storage[5].value += U256::ONE;
    });
    names(&report, 0, Object::Block(12));
    names(&report, 3, Object::Supply);
    let report = altered(|bundle| {
        let at = proof_at(bundle, 12);
        bundle.sidechain.proofs.remove(at);
    });
    names(&report, 3, Object::Supply);
    let report = altered(|bundle| {
        let at = proof_at(bundle, 14);
        bundle.sidechain.proofs[at].storage.retain(|slot| slot.slot != layout::SUPPLY);
    });
    names(&report, 4, Object::Supply);
    let report = altered(|bundle| {
        let staking = bundle.sidechain.proofs.iter_mut().find(|proof| proof.address == STAKING).unwrap();
        staking.storage[1].value += U256::ONE;
    });
    names(&report, 0, Object::Block(12));
}

#[test]
fn altered_values_of_the_parent_are_noticed() {
    let changes: [fn(&mut Bundle); 8] = [
        |bundle| bundle.parent.values.vault_balance += U256::ONE,
        |bundle| bundle.parent.values.locked += U256::ONE,
        |bundle| bundle.parent.values.deposit_nonce += 1,
        |bundle| bundle.parent.values.deposit_acc = B256::repeat_byte(9),
        |bundle| bundle.parent.values.checkpoint += 1,
        |bundle| bundle.parent.values.checkpoint_digest = B256::repeat_byte(9),
        |bundle| bundle.parent.values.validator_sets[0].commitment = B256::repeat_byte(9),
        |bundle| bundle.parent.values.epoch += 1,
    ];
    for change in changes {
        names(&altered(change), 0, Object::ParentBlock(20));
    }
    let vault = HONEST.1.spec.peg.as_ref().unwrap().vault;
    names(&altered(|bundle| bundle.parent.proofs[0].balance += U256::ONE), 0, Object::Contract(vault));
}

#[test]
fn a_parent_without_proofs_is_reported_as_believed() {
    let report = altered(|bundle| bundle.parent.proofs.clear());
    assert!(report.holds, "{report}");
    assert!(report.checks[0].believed.iter().any(|believed| believed.contains("storage")));
    let report = altered(|bundle| {
        bundle.parent.proofs.clear();
        bundle.parent.values.vault_balance = coins(1);
    });
    assert_eq!(failing(&report), [1]);
}

#[test]
fn other_code_on_the_parent_is_named() {
    let spec = HONEST.1.spec.peg.clone().unwrap();
    let report = altered(|bundle| bundle.parent.vault_code = Bytes::from_static(&[1]));
    names(&report, 10, Object::Contract(spec.vault));
    let report = altered(|bundle| bundle.parent.registry_code = Bytes::new());
    names(&report, 10, Object::Contract(spec.registry));
}

#[test]
fn an_altered_claim_is_named() {
    type Event = PegVault::Claimed;
    for change in [
        (|event| event.amount += U256::ONE) as fn(&mut Event),
        |event| event.recipient = Address::repeat_byte(9),
        |event| event.relayerFee += U256::ONE,
        |event| event.checkpoint = 1,
    ] {
        let report = altered(|bundle| alter_log(bundle, |event: &Event| event.index == 2, change));
        names(&report, 9, Object::Withdrawal(2));
    }
    let report = altered(|bundle| alter_log(bundle, |_: &Event| true, |event| event.index = 7));
    names(&report, 9, Object::Withdrawal(7));
}

#[test]
fn events_read_only_from_after_the_deployment_are_reported() {
    let is_deployment = |log: &LogEvidence| {
        decode::<CheckpointRegistry::ValidatorSetCommitted>(log).is_some_and(|event| event.epoch == 0)
    };
    let registry = Object::Contract(HONEST.1.spec.peg.as_ref().unwrap().registry);
    let next = |report: &Report| {
        let failure = report.checks[0].failures.iter().find(|failure| failure.object == registry);
        failure.unwrap_or_else(|| panic!("{report}")).next.clone()
    };
    let report = altered(|bundle| {
        bundle.parent.from = 11;
        bundle.parent.logs.retain(|log| log.height >= 11);
    });
    assert!(next(&report).contains("--parent-from"), "{report}");
    let report = altered(|bundle| bundle.parent.logs.retain(|log| !is_deployment(log)));
    assert!(next(&report).contains("endpoint"), "{report}");
}

#[test]
fn evidence_of_another_chain_is_refused() {
    let mut bundle = HONEST.0.clone();
    bundle.genesis_hash = B256::repeat_byte(9);
    assert!(matches!(audit(&bundle, &HONEST.1), Err(AuditError::OtherChain { .. })));
    names(&altered(|bundle| bundle.sidechain.chain_id += 1), 0, Object::Block(14));
    names(&altered(|bundle| bundle.parent.chain_id += 1), 0, Object::ParentBlock(20));
}

// ---- dishonest validators; all hashes and signatures are valid

#[test]
fn mints_that_are_not_the_deposit_are_named() {
    for (deed, nonce) in [(Fraud::MintAmount(1), 1), (Fraud::MintAmount(3), 3), (Fraud::MintRecipient(2), 2)] {
        let report = fraud(deed);
        names(&report, 5, Object::Deposit(nonce));
        assert!(!failing(&report).contains(&0), "{report}");
    }
}

#[test]
fn coin_without_a_deposit_is_noticed() {
    for block in [3, 12, 14] {
        let report = fraud(Fraud::Inflate(block));
        names(&report, 3, Object::Supply);
        names(&report, 4, Object::Supply);
        assert!(!failing(&report).contains(&0), "{report}");
    }
}

#[test]
fn a_forged_withdrawal_root_on_the_parent_is_named() {
    let report = fraud(Fraud::WithdrawalRoot(2));
    names(&report, 7, Object::Checkpoint(2));
    names(&report, 8, Object::Checkpoint(2));
}

#[test]
fn a_repeated_signature_does_not_make_a_quorum() {
    let report = fraud(Fraud::RepeatedSigner(2));
    let member = HONEST.1.peg_validator_set().unwrap().validators()[1].address;
    names(&report, 6, Object::Signer(member));
}

#[test]
fn a_vault_that_pays_twice_or_too_much_is_noticed() {
    names(&fraud(Fraud::PaidTwice(0)), 9, Object::Withdrawal(0));
    names(&fraud(Fraud::PaidTwice(0)), 4, Object::Supply);
    names(&fraud(Fraud::Overpaid(2)), 9, Object::Withdrawal(2));
    names(&fraud(Fraud::Overpaid(2)), 4, Object::Supply);
}

// ---- bundles as files

#[test]
fn a_bundle_round_trips_through_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.json");
    HONEST.0.save(&path).unwrap();
    assert_eq!(Bundle::load(&path).unwrap(), HONEST.0);
    assert!(matches!(Bundle::load(&directory.path().join("none")), Err(BundleError::Io { .. })));
}

#[test]
fn unknown_keys_other_versions_and_missing_keys_are_refused() {
    let honest = serde_json::to_value(&HONEST.0).unwrap();
    for pointer in [
        "",
        "/sidechain",
        "/parent",
        "/parent/values",
        "/parent/finalized",
        "/sidechain/blocks/0",
        "/sidechain/records/0",
        "/sidechain/validatorSets/0",
        "/parent/values/validatorSets/0",
        "/sidechain/proofs/0",
        "/sidechain/proofs/0/storage/0",
        "/parent/logs/0",
    ] {
        let mut value = honest.clone();
        value.pointer_mut(pointer).unwrap()["unknown"] = 1.into();
        let bytes = serde_json::to_vec(&value).unwrap();
        assert!(matches!(Bundle::from_json(&bytes), Err(BundleError::Json(_))), "{pointer}");
    }
    let mut value = honest.clone();
    value["format"] = 3.into();
    let bytes = serde_json::to_vec(&value).unwrap();
    assert!(matches!(Bundle::from_json(&bytes), Err(BundleError::New { found: 3 })));
    let mut value = honest;
    value["parent"].as_object_mut().unwrap().remove("values");
    assert!(Bundle::from_json(&serde_json::to_vec(&value).unwrap()).is_err());
}

#[test]
fn a_bundle_of_the_old_format_is_refused_with_advice() {
    // The format of the first release has other keys, but the refusal must name the format.
    let error = Bundle::from_json(br#"{"format":1,"genesisHash":"0x00","sidechain":{},"parent":{}}"#).unwrap_err();
    assert!(matches!(error, BundleError::Old { found: 1 }));
    let words = error.to_string();
    assert!(words.contains("without changes of validator sets") && words.contains("collect"), "{words}");
}

static HONEST_JSON: LazyLock<String> = LazyLock::new(|| serde_json::to_string(&HONEST.0).unwrap());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Bundle::from_json(&bytes).is_err());
    }

    #[test]
    fn no_altered_character_panics_the_audit(at in any::<prop::sample::Index>(), to in "[0-9a-f\\[\\]{},\":x]") {
        let mut json = HONEST_JSON.clone().into_bytes();
        let at = at.index(json.len());
        json[at] = to.as_bytes()[0];
        if let Ok(bundle) = Bundle::from_json(&json) {
            let _report = audit(&bundle, &HONEST.1);
        }
    }

    /// Data covered by the latest certified checkpoint cannot be altered by a single digit.
    #[test]
    fn no_altered_digit_below_a_certified_checkpoint_passes(
        which in 0usize..3,
        item in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bundle = HONEST.0.clone();
        let sidechain = &mut bundle.sidechain;
        let raw = match which {
            0 => {
                let below = |raw: &&mut Bytes| Header::decode(&mut raw.as_ref()).unwrap().number <= 12;
                let headers: Vec<_> = sidechain.headers.iter_mut().filter(below).collect();
                let count = headers.len();
                headers.into_iter().nth(item.index(count)).unwrap()
            }
            1 => {
                let blocks: Vec<_> = sidechain.blocks.iter_mut().filter(|block| block.number <= 12).collect();
                let count = blocks.len();
                let block = blocks.into_iter().nth(item.index(count)).unwrap();
                let pieces: Vec<_> = block.transactions.iter_mut().chain(&mut block.receipts).collect();
                let count = pieces.len();
                pieces.into_iter().nth(at.index(count)).unwrap()
            }
            _ => {
                let records = &mut sidechain.records;
                let count = records.len();
                &mut records[item.index(count)].transaction
            }
        };
        let mut bytes = raw.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        *raw = bytes.into();
        let report = audit(&bundle, &HONEST.1).unwrap();
        // Nothing covers the gas limit, index and block in a record's envelope, and they have no meaning.
        prop_assert!(!report.holds || which == 2, "{report}");
    }
}
