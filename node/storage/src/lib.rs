//! RocksDB schemas, state and its history, write-ahead log, sign state
