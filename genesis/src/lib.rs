//! Chain spec, genesis block and keys
