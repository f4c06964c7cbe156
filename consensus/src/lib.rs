//! The BFT host: votes, certificates, evidence and the pure step function
