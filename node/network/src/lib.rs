//! One libp2p swarm; bytes become types here
