//! The other end of the Service Ping: receives payloads, stores them, answers with the DevOps score, and tells instances
//! whether their version is up to date.
