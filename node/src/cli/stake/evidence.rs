//! `causeway stake report-evidence`: carries two conflicting signatures of one validator into a block.

use std::path::{Path, PathBuf};

use alloy_primitives::{U64, U256, hex};
use causeway_consensus::{ConsensusKey, Evidence};
use causeway_genesis::addresses::STAKING;
use causeway_staking::IStaking;
use clap::Args;
use eyre::{WrapErr, eyre};
use serde_json::json;

use super::{
    answers::{Epoch, Validator},
    send::{SendArgs, Sender},
};
use crate::cli::amount::whole;

/// Largest evidence file, bytes; evidence has a few hundred.
const MAX_EVIDENCE_BYTES: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportEvidenceArgs {
    /// File with the evidence, as bytes or in hex: `bytes` of what `consensus_evidence` answers.
    #[arg(long)]
    evidence: PathBuf,
    /// Epoch of the height at which it signed twice; the node is asked where this is not given.
    #[arg(long)]
    epoch: Option<u64>,
    #[command(flatten)]
    send: SendArgs,
}

impl ReportEvidenceArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let bytes = read(&self.evidence)?;
        let evidence: Evidence = borsh::from_slice(&bytes)
            .map_err(|error| eyre!("{} is no evidence of this protocol: {error}", self.evidence.display()))?;
        let sender = self.send.connect().await?;
        let accused = accused(&sender, &evidence).await?;
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => epoch_of(&sender, evidence.height().0).await?,
        };
        let landed = sender.call(IStaking::reportEvidenceCall { evidence: bytes.into(), epoch }).await?;
        let slashed: Option<IStaking::Slashed> = landed.event(STAKING);
        let amount = slashed.as_ref().map_or(U256::ZERO, |event| event.amount);
        let reward = slashed.as_ref().map_or(U256::ZERO, |event| event.reward);
        sender.tell(
            &landed,
            json!({
                "operator": accused.operator, "height": U64::from(evidence.height().0), "epoch": U64::from(epoch),
                "slashed": amount, "reward": reward,
            }),
            &[
                format!("{evidence}."),
                format!(
                    "{} is out for ever; {} stake tokens are slashed, {} of them are yours.",
                    accused.operator,
                    whole(amount),
                    whole(reward)
                ),
            ],
        )
    }
}

/// Verifies the evidence locally, so that a wrong file costs no gas and is distinguished from a wrong chain.
async fn accused(sender: &Sender, evidence: &Evidence) -> eyre::Result<Validator> {
    let validators: Vec<Validator> = sender.client().call("staking_validators", ()).await?;
    let accused = validators
        .into_iter()
        .find(|validator| validator.validator == evidence.validator())
        .ok_or_else(|| eyre!("the evidence accuses {}, who is no validator of this chain", evidence.validator()))?;
    let genesis_hash = sender.client().genesis_hash().await?;
    evidence
        .verify(genesis_hash, &ConsensusKey(accused.consensus_key.0))
        .wrap_err("the evidence proves nothing on this chain")?;
    Ok(accused)
}

/// The epoch of a height: the one in the state after the previous block.
async fn epoch_of(sender: &Sender, height: u64) -> eyre::Result<u64> {
    let before = U64::from(height.saturating_sub(1));
    let epoch: Epoch = sender
        .client()
        .call("staking_epoch", (before,))
        .await
        .wrap_err("the epoch of the evidence is not known to the node: give it with --epoch")?;
    Ok(epoch.number.to())
}

fn read(path: &Path) -> eyre::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let length = std::fs::metadata(path).wrap_err_with(cannot)?.len();
    if length > MAX_EVIDENCE_BYTES {
        return Err(eyre!("{} has {length} bytes: no evidence is longer than {MAX_EVIDENCE_BYTES}", path.display()));
    }
    let bytes = std::fs::read(path).wrap_err_with(cannot)?;
    // Evidence starts with a byte 0 or 1, and hex text does not.
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| hex::decode(text.trim()).ok());
    Ok(text.unwrap_or(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_read_as_hex_and_as_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence");
        for content in [b"0x00ff".as_slice(), b"00ff\n", &[0x00, 0xff]] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&path).unwrap(), [0x00, 0xff]);
        }
        std::fs::write(&path, vec![0; 65_537]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("no evidence is longer"));
        assert!(read(&dir.path().join("none")).unwrap_err().to_string().contains("cannot read"));
    }
}
