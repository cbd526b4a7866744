//! The transport over loopback, in process. Listeners are bound to port 0 first and the genesis is made from them, so
//! no test owns a port. Every wait is for a condition, with a deadline that only a failure reaches.

mod admission;
mod flow;
mod world;
