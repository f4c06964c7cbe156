//! The refusals of contracts as sentences.

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{SolInterface, decode_revert_reason};
use causeway_genesis::addresses::{PEG, STAKE_TOKEN, STAKING};
use causeway_peg::IPeg::{self, IPegErrors as Peg};
use causeway_staking::{
    IStakeToken::{self, IStakeTokenErrors as Token},
    IStaking::{self, IStakingErrors as Staking},
};

use super::{amount::whole, time::moment};

/// The meaning of revert data from the contract at `called`; `None` when it is unknown.
pub(super) fn sentence(called: Address, data: &Bytes) -> Option<String> {
    let known = match called {
        PEG => Peg::abi_decode_validate(data).ok().as_ref().map(peg),
        STAKING => Staking::abi_decode_validate(data).ok().as_ref().map(staking),
        STAKE_TOKEN => Token::abi_decode_validate(data).ok().as_ref().map(token),
        _ => None,
    };
    if data.is_empty() || known.is_some() {
        return known;
    }
    // Bytes that are valid text count as a reason, unless they contain control characters for the terminal.
    let reason = decode_revert_reason(data).filter(|reason| !reason.chars().any(char::is_control));
    Some(reason.unwrap_or_else(|| format!("an error that this release does not know: {data}")))
}

fn peg(error: &Peg) -> String {
    match error {
        Peg::ZeroAmount(_) => "the amount is zero: send the coin that is to be withdrawn".to_owned(),
        Peg::InvalidRecipient(IPeg::InvalidRecipient { recipient }) => {
            format!("{recipient} cannot be paid on the parent: name another recipient")
        }
        Peg::FeeExceedsAmount(IPeg::FeeExceedsAmount { relayerFee, amount }) => format!(
            "the relayer's fee of {} is more than the amount of {} that it is taken from",
            whole(*relayerFee),
            whole(*amount)
        ),
        Peg::TreeFull(_) => "the chain has made as many withdrawals as its tree holds".to_owned(),
        Peg::SupplyUnderflow(IPeg::SupplyUnderflow { supply, amount }) => {
            format!("only {} coins are pegged, {} cannot be withdrawn", whole(*supply), whole(*amount))
        }
        Peg::NotPegged(_) => "this chain has no peg".to_owned(),
        Peg::OnlySystem(_) => "only the chain itself may call this".to_owned(),
        Peg::NotPayable(_) => "this function takes no coin".to_owned(),
        Peg::InvalidCall(_) => "the node does not know this function: it runs another release".to_owned(),
        Peg::UnknownCheckpoint(IPeg::UnknownCheckpoint { number }) => format!("there is no checkpoint {number} yet"),
        // Only a proposer's system transactions can cause these.
        other => format!("{other:?}"),
    }
}

fn staking(error: &Staking) -> String {
    match error {
        Staking::ZeroAmount(_) => "the amount is zero".to_owned(),
        Staking::BelowMinimum(IStaking::BelowMinimum { amount, minimum }) => {
            format!("{} is below this chain's minimum of {} stake tokens", whole(*amount), whole(*minimum))
        }
        Staking::InsufficientStake(IStaking::InsufficientStake { available, needed }) => {
            format!("{} stake tokens are needed, {} are there", whole(*needed), whole(*available))
        }
        Staking::UnknownValidator(IStaking::UnknownValidator { operator }) => {
            format!("{operator} is no validator's operator (causeway stake status lists them)")
        }
        Staking::AlreadyRegistered(IStaking::AlreadyRegistered { operator }) => {
            format!("{operator} has registered a validator already: an operator has one, for ever")
        }
        Staking::ConsensusKeyTaken(IStaking::ConsensusKeyTaken { consensusKey }) => {
            format!("consensus key {consensusKey} was registered before: keys are never reused, make new ones")
        }
        Staking::PegAddressTaken(IStaking::PegAddressTaken { pegAddress }) => {
            format!("peg key {pegAddress} was registered before: keys are never reused, make new ones")
        }
        Staking::InvalidProof(_) => {
            "a key's proof of possession does not verify: it is for another operator, another key, or another chain".to_owned()
        }
        Staking::TooManyValidators(_) => "as many validators are registered as the chain takes".to_owned(),
        Staking::CommissionRefused(IStaking::CommissionRefused { bps }) => format!(
            "a commission of {bps} basis points is above 10000, too far from the present one, or the second change within a day"
        ),
        Staking::SelfBondTooLow(IStaking::SelfBondTooLow { remaining, minimum }) => format!(
            "only {} of the operator's own stake would remain, the minimum is {}: leave with causeway stake exit",
            whole(*remaining),
            whole(*minimum)
        ),
        Staking::IsTombstoned(IStaking::IsTombstoned { operator })
        | Staking::AlreadyTombstoned(IStaking::AlreadyTombstoned { operator }) => {
            format!("validator {operator} signed twice and is out for ever; it is punished once")
        }
        Staking::IsExiting(IStaking::IsExiting { operator }) => format!("validator {operator} is leaving or has left"),
        Staking::FullySlashed(IStaking::FullySlashed { operator }) => {
            format!("everything bonded with {operator} was slashed: choose another validator")
        }
        Staking::SameValidator(_) => "the stake is with that validator already".to_owned(),
        Staking::ExitQueueFull(_) => {
            "too much stake is leaving already: at most a third of a set's stake leaves in an epoch, and the next 64 epochs are \
             full. Try a smaller amount, or again next epoch."
                .to_owned()
        }
        Staking::RedelegationLimit(IStaking::RedelegationLimit { room }) => format!(
            "at most {} stake tokens may still move away in this epoch, so that sets change slowly: move less, or wait for the next",
            whole(*room)
        ),
        Staking::TooManyRedelegations(_) => {
            "this account has 16 moves that still answer for the validators they left: wait until one is free".to_owned()
        }
        Staking::TooManyUnbondings(_) => "this account has too many unbondings: claim the old ones first".to_owned(),
        Staking::UnknownRedelegation(IStaking::UnknownRedelegation { id }) => format!("there is no live move {id}"),
        Staking::NothingUnbonding(_) => "no stake of this account leaves that validator in that epoch".to_owned(),
        Staking::NotClaimable(IStaking::NotClaimable { leaveEpoch }) => format!(
            "the stake that leaves in epoch {leaveEpoch} is still unbonding (causeway stake status --account tells when)"
        ),
        Staking::NotJailed(_) => "the validator is not in jail".to_owned(),
        Staking::StillJailed(IStaking::StillJailed { until }) => {
            format!("the validator stays in jail until {}", moment(*until))
        }
        Staking::InvalidEvidence(_) => "the evidence proves nothing on this chain".to_owned(),
        Staking::WrongEvidenceEpoch(IStaking::WrongEvidenceEpoch { height, epoch }) => {
            format!("height {height} is not in epoch {epoch}: give the epoch of the height")
        }
        Staking::EvidenceExpired(IStaking::EvidenceExpired { epoch }) => {
            format!("evidence of epoch {epoch} has expired: the stake of that time is free")
        }
        Staking::UnknownConsensusKey(IStaking::UnknownConsensusKey { consensusKey }) => {
            format!("consensus key {consensusKey} was never registered")
        }
        Staking::NotPayable(_) => "this function takes no coin".to_owned(),
        Staking::InvalidCall(_) => "the node does not know this function: it runs another release".to_owned(),
        // Bugs of the chain.
        other => format!("{other:?}"),
    }
}

fn token(error: &Token) -> String {
    match error {
        Token::ERC20InsufficientBalance(IStakeToken::ERC20InsufficientBalance { sender, balance, needed }) => {
            format!("{sender} has {} liquid stake tokens, {} are needed", whole(*balance), whole(*needed))
        }
        Token::ERC20InvalidReceiver(IStakeToken::ERC20InvalidReceiver { receiver }) => {
            format!("{receiver} cannot receive stake tokens")
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;
    use alloy_sol_types::{Revert, SolError};

    #[test]
    fn the_pegs_errors_are_sentences() {
        let told = |error: Vec<u8>| sentence(PEG, &error.into()).unwrap_or_default();
        let recipient = Address::repeat_byte(7);
        assert_eq!(
            told(IPeg::InvalidRecipient { recipient }.abi_encode()),
            format!("{recipient} cannot be paid on the parent: name another recipient")
        );
        let fee = IPeg::FeeExceedsAmount { relayerFee: U256::from(2), amount: U256::from(1) };
        assert_eq!(
            told(fee.abi_encode()),
            "the relayer's fee of 0.000000000000000002 is more than the amount of 0.000000000000000001 that it is taken from"
        );
        assert_eq!(told(IPeg::NotPegged {}.abi_encode()), "this chain has no peg");
    }

    #[test]
    fn every_error_of_staking_is_a_sentence() {
        // The first word of Debug would be the error's name.
        for selector in Staking::SELECTORS {
            let name = Staking::name_by_selector(*selector);
            let arguments = [0u8; 64];
            let data: Vec<u8> = [selector.as_slice(), &arguments].concat();
            let told = (0..=2).find_map(|words: usize| {
                let length = 4 + 32 * words;
                Staking::abi_decode_validate(&data[..length]).ok().map(|error| staking(&error))
            });
            let (told, name) = (told.unwrap_or_default(), name.unwrap_or_default());
            let is_bug = ["Accounting", "SharesOverflow"].contains(&name);
            assert_eq!(told.starts_with(name), is_bug, "{name}: {told}");
            assert!(told.len() > 10, "{name}");
        }
    }

    #[test]
    fn amounts_and_times_are_in_words() {
        let told = |error: Vec<u8>| sentence(STAKING, &error.into()).unwrap_or_default();
        let one = U256::from(1_000_000_000_000_000_000u64);
        assert_eq!(
            told(IStaking::BelowMinimum { amount: one / U256::from(2), minimum: one }.abi_encode()),
            "0.5 is below this chain's minimum of 1 stake tokens"
        );
        let until = IStaking::StillJailed { until: 1_700_000_000 };
        assert_eq!(told(until.abi_encode()), "the validator stays in jail until 2023-11-14 22:13:20 UTC");
    }

    #[test]
    fn reasons_unknown_errors_and_silence_are_told_apart() {
        let told = |error: Vec<u8>| sentence(PEG, &error.into());
        assert!(told(Revert::from("no money").abi_encode()).is_some_and(|text| text.contains("no money")));
        assert_eq!(told(vec![1, 2]), Some("an error that this release does not know: 0x0102".to_owned()));
        assert_eq!(told(Vec::new()), None);
    }
}
