//! The store: ClickHouse as Tally uses it. `engine` serves ClickHouse's own engine inside this process behind its
//! HTTP interface, `client` is the one way everything talks to ClickHouse (embedded or a server), `migrate` applies
//! the numbered SQL files.

mod client;
mod engine;
mod migrate;
mod statement;

pub use client::{Compression, Insert, InsertError, LARGEST_BODY, Store, StoreConfig, StoreError};
pub use engine::{Engine, EngineConfig, EngineError};
pub use migrate::{MigrateError, Migration, MigrationReport};
pub use statement::{Parameter, Statement};
