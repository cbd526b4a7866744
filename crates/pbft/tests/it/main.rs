//! The replica and the client under everything that may happen to them.

mod campaign;
mod ledger;
mod network;
mod node;
mod normal;
mod oracle;
mod script;
mod traitors;
mod world;
