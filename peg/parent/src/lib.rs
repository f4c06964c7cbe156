//! Watches the parent chain and submits checkpoints to it
