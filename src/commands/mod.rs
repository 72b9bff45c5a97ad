//! What the subcommands do, one file each.

pub mod collect;
pub mod dead_letters;
pub mod definitions;
pub mod directory;
pub mod migrate;
pub mod ping;
pub mod rebuild;
pub mod replay;
pub mod services;
pub mod sessions;
pub mod standalone;
pub mod store;
pub mod token;
pub mod verify;
