//! Incremental Merkle-Patricia trie over path-keyed nodes
