//! Solidity of the peg: sources, committed artifacts, typed bindings
