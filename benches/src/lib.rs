//! The load generator and the CPU measurements. [`stream`] makes the events and knows nothing of HTTP, [`load`]
//! delivers them over HTTP, [`cpu`] starts Tally's processes, loads them and prints what a million events cost.

pub mod catalogue;
pub mod cpu;
pub mod load;
pub mod random;
pub mod stream;
