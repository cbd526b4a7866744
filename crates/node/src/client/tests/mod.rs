//! The client against replicas that are scripted, over real connections.
