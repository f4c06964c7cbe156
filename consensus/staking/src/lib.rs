//! Proof of stake rules: the validator set and its powers
