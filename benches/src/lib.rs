//! The load generator and the measurements. [`stream`] makes the events and knows nothing of HTTP, [`load`]
//! delivers them over HTTP, [`cpu`] starts Tally's processes, loads them and prints what a million events cost, [`cube`] how
//! long dashboard queries take.

pub mod catalogue;
pub mod cpu;
pub mod cube;
pub mod load;
pub mod random;
pub mod stream;
