//! The Causeway node
