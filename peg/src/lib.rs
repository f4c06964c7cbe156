//! The two-way peg's rules: deposits, withdrawals, checkpoints, certificates
