//! The intent of a transaction, and the receipt that it must have.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolEvent, SolEventInterface};
use causeway_execution::Receipt;
use causeway_genesis::addresses::{PEG, STAKING};
use causeway_peg::{IPeg, Withdrawal};
use causeway_staking::IStaking;

use super::code::Contract;

/// The intent of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Its coin goes to an account.
    Transfer {
        /// The recipient.
        to: Address,
    },
    /// It deploys a contract that calls a module.
    Deploy(Contract),
    /// Its coin is burned, for a recipient on the parent. Through a contract, the contract is the burner.
    Withdraw {
        /// The burner.
        burner: Address,
        /// The recipient on the parent.
        recipient: Address,
        /// The part that the claimer gets.
        relayer_fee: U256,
    },
    /// A contract's call of a module fails, and the contract keeps the coin.
    Kept {
        /// The contract.
        by: Address,
    },
    /// It must fail.
    Fails,
    /// A call of the staking module or the stake token. It may be refused.
    Stakes,
}

/// The movement of coin by an included transaction, beside its fee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// The transaction's coin went to an account.
    Paid(Address),
    /// A contract was deployed there.
    Deployed(Address, Contract),
    /// The transaction's coin was burned.
    Burned(Withdrawal),
    /// The reward pool paid the sender.
    Rewarded(U256),
}

impl Intent {
    /// The movement of coin in the receipt of a transaction of `sender` with `value`.
    ///
    /// # Errors
    /// When it does not match the intent.
    pub(crate) fn settle(&self, sender: Address, value: U256, receipt: &Receipt) -> Result<Effect, String> {
        let due = !matches!(self, Self::Fails);
        let may_fail = matches!(self, Self::Stakes);
        if receipt.status != due && !may_fail {
            return Err(format!("{self:?} of {sender} ended with status {}", receipt.status));
        }
        let burns = burns(receipt);
        match self {
            Self::Transfer { to } if burns.is_empty() => Ok(Effect::Paid(*to)),
            Self::Kept { by } if burns.is_empty() => Ok(Effect::Paid(*by)),
            Self::Fails if receipt.logs.is_empty() => Ok(Effect::None),
            Self::Deploy(contract) => {
                let at = receipt.contract_address.ok_or("a contract has no address".to_owned())?;
                Ok(Effect::Deployed(at, *contract))
            }
            Self::Withdraw { burner, recipient, relayer_fee } => match burns.as_slice() {
                [burn]
                    if (burn.sender, burn.recipient, burn.amount, burn.relayerFee)
                        == (*burner, *recipient, value, *relayer_fee) =>
                {
                    Ok(Effect::Burned(*burn))
                }
                other => Err(format!("{self:?} of {value} by {sender} burned {other:?}")),
            },
            Self::Stakes if burns.is_empty() => Ok(Effect::Rewarded(rewards(sender, receipt))),
            _ => Err(format!("{self:?} of {sender} left {:?}", receipt.logs)),
        }
    }
}

fn burns(receipt: &Receipt) -> Vec<Withdrawal> {
    let of_peg = receipt.logs.iter().filter(|log| log.address == PEG);
    let events = of_peg
        .filter_map(|log| IPeg::WithdrawalRequested::decode_raw_log_validate(log.data.topics(), &log.data.data).ok());
    let withdrawal = |event: IPeg::WithdrawalRequested| {
        let IPeg::WithdrawalRequested { index, token, sender, recipient, amount, relayerFee } = event;
        Withdrawal { index, token, sender, recipient, amount, relayerFee }
    };
    events.map(withdrawal).collect()
}

/// Coin that the staking module paid to `sender`, from its log.
fn rewards(sender: Address, receipt: &Receipt) -> U256 {
    let of_staking = receipt.logs.iter().filter(|log| log.address == STAKING);
    let paid = of_staking.filter_map(|log| {
        match IStaking::IStakingEvents::decode_raw_log(log.data.topics(), &log.data.data).ok()? {
            IStaking::IStakingEvents::RewardsClaimed(event) if event.delegator == sender => Some(event.coin),
            IStaking::IStakingEvents::CommissionClaimed(event) if event.operator == sender => Some(event.coin),
            _ => None,
        }
    });
    paid.fold(U256::ZERO, |sum, coin| sum + coin)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::Log;

    use super::*;

    const SENDER: Address = Address::repeat_byte(1);
    const OTHER: Address = Address::repeat_byte(2);

    fn receipt(status: bool, logs: Vec<Log>) -> Receipt {
        let bloom = Receipt::bloom_of(&logs);
        Receipt {
            tx_type: 2,
            status,
            cumulative_gas_used: 0,
            gas_used: 0,
            effective_gas_price: 0,
            contract_address: None,
            logs,
            bloom,
        }
    }

    fn burn(amount: u64, fee: u64) -> Log {
        let event = IPeg::WithdrawalRequested {
            index: 4,
            token: Address::ZERO,
            sender: SENDER,
            recipient: OTHER,
            amount: U256::from(amount),
            relayerFee: U256::from(fee),
        };
        Log { address: PEG, data: event.encode_log_data() }
    }

    #[test]
    fn a_receipt_that_says_otherwise_is_noticed() {
        let value = U256::from(9);
        let settle = |intent: &Intent, status, logs| intent.settle(SENDER, value, &receipt(status, logs));
        let transfer = Intent::Transfer { to: OTHER };
        assert_eq!(settle(&transfer, true, vec![]), Ok(Effect::Paid(OTHER)));
        assert!(settle(&transfer, false, vec![]).is_err());
        assert!(settle(&transfer, true, vec![burn(9, 1)]).is_err());
        assert_eq!(settle(&Intent::Fails, false, vec![]), Ok(Effect::None));
        assert!(settle(&Intent::Fails, true, vec![]).is_err());
        let withdraw = Intent::Withdraw { burner: SENDER, recipient: OTHER, relayer_fee: U256::ONE };
        assert!(matches!(settle(&withdraw, true, vec![burn(9, 1)]), Ok(Effect::Burned(_))));
        for wrong in [vec![], vec![burn(9, 2)], vec![burn(8, 1)], vec![burn(9, 1), burn(9, 1)]] {
            assert!(settle(&withdraw, true, wrong).is_err());
        }
        assert!(settle(&withdraw, false, vec![]).is_err());
        assert_eq!(settle(&Intent::Stakes, false, vec![]), Ok(Effect::Rewarded(U256::ZERO)));
        assert!(settle(&Intent::Stakes, true, vec![burn(9, 1)]).is_err());
        assert_eq!(settle(&Intent::Kept { by: OTHER }, true, vec![]), Ok(Effect::Paid(OTHER)));
    }
}
