//! The replica and the client under everything that may happen to them.

mod campaign;
mod catch_up;
mod checkpoints;
mod clients;
mod decided;
mod ledger;
mod network;
mod new_view;
mod node;
mod normal;
mod oracle;
mod restart;
mod script;
mod traitors;
mod view_change;
mod world;
