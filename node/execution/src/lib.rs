//! Blocks, the EVM, native modules, receipts and the state root
