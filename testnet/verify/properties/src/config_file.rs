//! `node.toml` and the addresses in it: any text is a configuration or is refused with a reason, and an accepted one survives a round trip.

use causeway::config::{ConfigError, NodeConfig};
use causeway::trust::TrustedCheckpoint;
use causeway_network::{Multiaddr, PeerId};
use causeway_signer::SignerAddress;

use crate::{Target, answers};

/// See the module.
pub const TARGET: Target = Target { name: "config_file", check, seeds, max_bytes: 4096 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    answers((text.parse::<Multiaddr>(), text.parse::<PeerId>(), text.parse::<TrustedCheckpoint>()));
    answers(causeway_parent::redact(text));
    if let Ok(address) = text.parse::<SignerAddress>() {
        assert_eq!(address.to_string().parse::<SignerAddress>().ok(), Some(address));
    }
    let Ok(config) = toml::from_str::<NodeConfig>(text) else { return };
    match config.validate() {
        Ok(()) => {
            let written = config.to_toml().expect("a configuration serialises");
            let again: NodeConfig = toml::from_str(&written).expect("what was written is read");
            assert_eq!(again, config, "it comes back");
            answers(config.sync.trusted_checkpoint().expect("checked"));
            for address in config.p2p.listen.iter().chain(&config.p2p.bootnodes) {
                answers(address.parse::<Multiaddr>());
            }
        }
        Err(ConfigError::Range { key, value, range }) => {
            assert!(key.contains('.') && !value.is_empty() && !range.is_empty());
        }
        Err(error) => panic!("not about the content: {error}"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut config = NodeConfig::default();
    let plain = config.to_toml().expect("serialises");
    config.p2p.bootnodes =
        vec!["/ip4/10.0.0.1/tcp/30303/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN".to_owned()];
    config.parent.endpoints = vec!["https://user:secret@parent.example/key".to_owned()];
    config.storage.history_blocks = Some(1_000);
    config.sync.trusted_checkpoint = Some(format!("77:0x{}", "ab".repeat(32)));
    vec![
        plain.into_bytes(),
        config.to_toml().expect("serialises").into_bytes(),
        b"[p2p]\nheartbeat_ms = 49\n".to_vec(),
        b"/ip6/::1/udp/30303/quic-v1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN".to_vec(),
        b"unix:/run/signer.sock".to_vec(),
        b"https://user:secret@parent.example:8545/v3/key?x=1".to_vec(),
    ]
}
