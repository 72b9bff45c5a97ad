//! The endpoints around the ping over HTTP: who may ask, what is answered, what is on the pages.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod access;
mod app;
mod documented;
mod features;
mod pages;
mod payloads;
mod settings;
