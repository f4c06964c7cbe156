//! I2, validity: a decided block follows from the previous block by the chain's rules.
//!
//! Computed here from the headers and the state before: links, the certificate (distinct members of the set in that state,
//! each signature over bytes written here, sums of 128 bits), the proposer, the base fee by EIP-1559's text, gas.
//! The block's content is checked in [`super::transactions`].

use alloy_consensus::Header;
use alloy_primitives::{B256, keccak256};
use causeway_genesis::rules::BaseFeeRule;

use super::{
    Commit, Violation,
    canon::Canon,
    ensure,
    members::{Members, SeenSignatures},
    violation::VALIDITY,
};

/// Number of heights whose valid signatures are remembered; older certificates are verified again.
const REMEMBERED_HEIGHTS: usize = 256;

/// Memory of this check.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    seen: SeenSignatures,
    /// The latest wall clock of any honest machine so far, Unix milliseconds.
    latest_wall_ms: u64,
}

impl Proofs {
    /// Checks the certificate of an honest node's commit, at any height up to the next one.
    pub(crate) fn certificate(&mut self, canon: &Canon, commit: &Commit<'_>) -> Result<(), Violation> {
        self.latest_wall_ms = self.latest_wall_ms.max(commit.latest_wall_ms);
        let height = commit.height();
        let proven = members_of(canon, height)?.prove(
            canon.genesis.hash,
            height,
            commit.executed.hash,
            commit.certificate,
            &mut self.seen,
        );
        while self.seen.len() > REMEMBERED_HEIGHTS {
            self.seen.pop_first();
        }
        let bad =
            |fault| Violation::new(VALIDITY, height, format!("the certificate of machine {}: {fault}", commit.machine));
        proven.map_err(bad)
    }

    /// Checks the header of the block after the head.
    pub(crate) fn header(&mut self, canon: &Canon, commit: &Commit<'_>, all_honest: bool) -> Result<(), Violation> {
        let (parent, block) = (canon.head(), &commit.executed.block);
        let (header, height) = (&block.header, commit.height());
        let link = canon.at(parent.number).map(|decided| decided.hash).unwrap_or_default();
        ensure(height == parent.number + 1 && header.parent_hash == link, VALIDITY, height, || {
            format!("its parent is {}, block {} is {link}", header.parent_hash, parent.number)
        })?;
        self.parent_certificate(canon, commit, link)?;
        let rules = canon.rules(height);
        let latest = (self.latest_wall_ms + rules.block.time_drift_ms) / 1_000;
        let time = parent.timestamp..=latest.max(parent.timestamp);
        ensure(time.contains(&header.timestamp), VALIDITY, height, || {
            format!("its time is {}, outside {time:?}", header.timestamp)
        })?;
        let fee = base_fee_after(parent, &rules.base_fee);
        ensure(header.base_fee_per_gas == Some(fee), VALIDITY, height, || {
            format!("its base fee is {:?}, EIP-1559 gives {fee}", header.base_fee_per_gas)
        })?;
        let limit = rules.block.gas_limit;
        ensure(header.gas_limit == limit && header.gas_used <= limit, VALIDITY, height, || {
            format!("it uses {} of {} gas, the limit is {limit}", header.gas_used, header.gas_limit)
        })?;
        turn(members_of(canon, height)?, commit, all_honest)
    }

    /// A block carries the certificate of the previous block; the header has its hash, and the randomness derived from it.
    fn parent_certificate(&mut self, canon: &Canon, commit: &Commit<'_>, parent: B256) -> Result<(), Violation> {
        let (block, height) = (&commit.executed.block, commit.height());
        let hash = match (&block.parent_certificate, height) {
            (None, 1) => B256::ZERO,
            (Some(certificate), 2..) => {
                let before = height - 1;
                let members = members_of(canon, before)?;
                let proven = members.prove(canon.genesis.hash, before, parent, certificate, &mut self.seen);
                let bad = |fault| Violation::new(VALIDITY, height, format!("the certificate it carries: {fault}"));
                proven.map_err(bad)?;
                keccak256(borsh::to_vec(certificate).unwrap_or_default())
            }
            _ => {
                return Err(Violation::new(
                    VALIDITY,
                    height,
                    "it carries no certificate of its parent, or one of genesis",
                ));
            }
        };
        let header = &block.header;
        let mix = keccak256([hash.0, parent.0].concat());
        let named = (header.parent_beacon_block_root, header.mix_hash) == (Some(hash), mix);
        ensure(named, VALIDITY, height, || format!("its header names another certificate than {hash}"))
    }
}

fn members_of(canon: &Canon, height: u64) -> Result<&Members, Violation> {
    let missing = || Violation::new(VALIDITY, height, format!("decided above the head {}", canon.height()));
    canon.members(height).map(|members| &**members).ok_or_else(missing)
}

/// The beneficiary is a member's operator. That member built the block as the proposer of the deciding round or, when the block was
/// proposed again, in an earlier one. A Byzantine proposer may name any member.
fn turn(members: &Members, commit: &Commit<'_>, all_honest: bool) -> Result<(), Violation> {
    let (height, round) = (commit.height(), commit.certificate.round.0);
    let named = commit.executed.block.header.beneficiary;
    let in_turn = |round: u32| members.proposer(height, round).operator == named;
    let holds =
        if all_honest { (0..=round).any(in_turn) } else { members.iter().any(|member| member.operator == named) };
    ensure(holds, VALIDITY, height, || format!("{named} did not propose in rounds 0 to {round}"))
}

/// The base fee of the block after `previous`, by EIP-1559, under the rule of that block.
fn base_fee_after(previous: &Header, rule: &BaseFeeRule) -> u64 {
    let fee = u128::from(previous.base_fee_per_gas.unwrap_or(0));
    let (used, target) = (u128::from(previous.gas_used), u128::from(previous.gas_limit / rule.elasticity));
    let change = |by: u128| fee * by / target / u128::from(rule.change_denominator);
    let next = match used.cmp(&target) {
        std::cmp::Ordering::Equal => fee,
        std::cmp::Ordering::Greater => fee + change(used - target).max(1),
        std::cmp::Ordering::Less => fee - change(target - used),
    };
    u64::try_from(next).unwrap_or(u64::MAX).max(rule.floor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use causeway_consensus::{Height, Round};

    use super::*;
    use crate::checks::kit::{Kit, Made};

    fn judge(canon: &Canon, made: &Made, all_honest: bool) -> Result<(), Violation> {
        let mut proofs = Proofs::default();
        proofs.certificate(canon, &made.commit(0))?;
        proofs.header(canon, &made.commit(0), all_honest)
    }

    /// Two consecutive blocks pass; `doctor` then corrupts the second.
    fn second(doctor: impl Fn(&mut Made)) -> Result<(), Violation> {
        let (mut kit, mut canon) = Kit::standalone();
        let first = kit.next(&[]);
        judge(&canon, &first, true).unwrap();
        canon.advance(&first.executed, 0).unwrap();
        let mut made = kit.next(&[]);
        judge(&canon, &made, true).unwrap();
        doctor(&mut made);
        judge(&canon, &made, true)
    }

    fn spoilt(doctor: impl Fn(&mut Made)) -> String {
        let violation = second(doctor).unwrap_err();
        assert_eq!(violation.invariant, VALIDITY);
        violation.text
    }

    #[test]
    fn what_is_not_linked_to_the_head_is_invalid() {
        assert!(spoilt(|made| made.header(|header| header.parent_hash = B256::ZERO)).contains("its parent is"));
        assert!(
            spoilt(|made| made.header(|header| header.parent_beacon_block_root = Some(B256::ZERO))).contains("names")
        );
        assert!(spoilt(|made| made.header(|header| header.mix_hash = B256::ZERO)).contains("names another"));
        assert!(spoilt(|made| made.block(|block| block.parent_certificate = None)).contains("no certificate"));
    }

    #[test]
    fn two_thirds_are_not_enough_and_one_member_does_not_count_twice() {
        // Four members of equal power: three are more than two thirds, two are not.
        assert!(second(|made| made.certificate.signatures.truncate(3)).is_ok());
        assert!(spoilt(|made| made.certificate.signatures.truncate(2)).contains("hold"));
        let twice = |made: &mut Made| {
            made.certificate.signatures.truncate(2);
            let again = made.certificate.signatures[0].clone();
            made.certificate.signatures.push(again);
        };
        assert!(spoilt(twice).contains("its 2 members"));
    }

    #[test]
    fn exactly_two_thirds_are_no_quorum() {
        let (kit, _) = Kit::standalone();
        let members = Members::of_next(kit.mirror()).unwrap();
        assert!(!members.is_quorum(members.power() * 2 / 3));
        assert!(members.is_quorum(members.power() * 2 / 3 + 1));
    }

    #[test]
    fn signatures_count_for_their_height_round_block_and_member_alone() {
        assert!(spoilt(|made| made.certificate.signatures[0].signature[5] ^= 1).contains("does not verify"));
        assert!(spoilt(|made| made.certificate.signatures[0].validator.0[3] ^= 1).contains("no member"));
        assert!(spoilt(|made| made.certificate.round = Round(1)).contains("does not verify"));
        assert!(spoilt(|made| made.certificate.height = Height(9)).contains("it is for height 9"));
        assert!(spoilt(|made| made.certificate.block_hash = B256::ZERO).contains("it is for height"));
    }

    #[test]
    fn a_bad_signature_is_noticed_at_every_height() {
        let (mut kit, mut canon) = Kit::standalone();
        for height in 1..=8 {
            let mut made = kit.next(&[]);
            let good = made.clone();
            made.certificate.signatures[2].signature[40] ^= 8;
            assert!(judge(&canon, &made, true).unwrap_err().text.contains("does not verify"), "{height}");
            judge(&canon, &good, true).unwrap();
            canon.advance(&good.executed, 0).unwrap();
        }
    }

    #[test]
    fn time_neither_goes_back_nor_runs_ahead() {
        assert!(spoilt(|made| made.header(|header| header.timestamp -= 10)).contains("its time"));
        assert!(spoilt(|made| made.header(|header| header.timestamp += 60)).contains("its time"));
        assert!(second(|made| made.header(|header| header.timestamp += 4)).is_ok());
    }

    #[test]
    fn fees_and_gas_are_the_formulas() {
        assert!(spoilt(|made| made.header(|header| header.base_fee_per_gas = Some(8))).contains("base fee"));
        assert!(spoilt(|made| made.header(|header| header.gas_used = header.gas_limit + 1)).contains("gas"));
        assert!(spoilt(|made| made.header(|header| header.gas_limit += 1)).contains("gas"));
        for (used, fee, next) in [(30, 100, 100), (60, 100, 112), (0, 100, 88), (31, 7, 8), (0, 7, 7), (60, 0, 1)] {
            let gas = 1_000_000;
            let parent =
                Header { gas_limit: 60 * gas, gas_used: used * gas, base_fee_per_gas: Some(fee), ..Header::default() };
            let rule = BaseFeeRule { elasticity: 2, change_denominator: 8, floor: 0 };
            assert_eq!(base_fee_after(&parent, &rule), next, "{used} {fee}");
            for rule in [rule, BaseFeeRule { elasticity: 3, change_denominator: 5, floor: 90 }] {
                let expected = causeway_execution::next_base_fee(&parent, &rule);
                assert_eq!(base_fee_after(&parent, &rule), expected, "{used} {fee} {rule:?}");
            }
        }
    }

    #[test]
    fn only_the_rotation_s_member_proposes() {
        let other = |made: &mut Made| {
            let wrong = made.operators.iter().find(|operator| **operator != made.executed.block.header.beneficiary);
            let wrong = *wrong.unwrap();
            made.header(|header| header.beneficiary = wrong);
        };
        assert!(spoilt(other).contains("did not propose"));
        let stranger = |made: &mut Made| made.header(|header| header.beneficiary = alloy_primitives::Address::ZERO);
        assert!(spoilt(stranger).contains("did not propose"));
    }

    #[test]
    fn the_rotation_and_the_bytes_are_the_chain_s() {
        use causeway_consensus::{ConsensusKey, Validator, ValidatorSet, Vote, VoteKind};
        for powers in [vec![5], vec![1, 1, 1, 1], vec![100, 1, 7, 7, 30], (1..40).collect::<Vec<u64>>()] {
            let (set, members) = Kit::set_of(&powers);
            for height in [0u64, 1, 17, 1_023, 1_024, 5_000] {
                for round in 0..5 {
                    let expected: &Validator = set.proposer(Height(height), Round(round));
                    assert_eq!(members.proposer(height, round).id, expected.id, "{powers:?} {height} {round}");
                }
            }
            let total: ValidatorSet = set;
            for power in [0, 1, total.total_power() * 2 / 3, total.total_power() * 2 / 3 + 1, total.total_power()] {
                assert_eq!(members.is_quorum(power.into()), total.is_quorum(power), "{powers:?} {power}");
            }
        }
        let chain = B256::repeat_byte(1);
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            for block_hash in [None, Some(B256::repeat_byte(7))] {
                let validator = ConsensusKey([3; 32]).id();
                let vote = Vote { kind, height: Height(300), round: Round(70_000), block_hash, validator };
                let written = crate::checks::members::vote_bytes(kind, chain, 300, 70_000, block_hash);
                assert_eq!(written, vote.sign_bytes(chain));
            }
        }
    }
}
