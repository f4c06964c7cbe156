//! Holds no code: `-p CRATE -p causeway-unify` resolves the same dependency features as `--workspace`, so nothing outside is built twice.
