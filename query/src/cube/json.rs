//! JSON written piece by piece, where an answer is not worth a tree of values.

use serde::Serialize;

/// Appends a text.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    write(text, out);
}

/// Appends a value.
pub fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a vector takes every byte, and keys are texts");
}
