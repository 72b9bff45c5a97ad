//! What the server has to know about ClickHouse's output formats: which can be sent block by block, what each
//! block repeats, and the content type.

/// The format of an answer that names none.
pub const DEFAULT: &str = "TabSeparated";

/// How a result in a format can be cut into blocks that the engine writes one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// Blocks joined are the document.
    Plain,
    /// Each block opens with the same head, which only the first may keep.
    Headed(BlockHead),
    /// The document can't be cut (JSON, Parquet, …): it is built whole.
    Whole,
}

/// The head that a block repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockHead {
    /// So many lines, with no line break inside a field.
    Lines(usize),
    /// So many lines of CSV: quotes may hold line breaks.
    CsvLines(usize),
    /// A varint column count, then so many strings per column.
    BinaryStrings(usize),
}

/// How a format's result is cut.
pub fn blocks(format: &str) -> Blocks {
    use BlockHead::{BinaryStrings, CsvLines, Lines};
    match format {
        "TabSeparated"
        | "TSV"
        | "TabSeparatedRaw"
        | "TSVRaw"
        | "CSV"
        | "JSONEachRow"
        | "JSONLines"
        | "NDJSON"
        | "JSONCompactEachRow"
        | "JSONStringsEachRow"
        | "JSONCompactStringsEachRow"
        | "RowBinary"
        | "Native"
        | "Null"
        | "LineAsString"
        | "RawBLOB"
        | "TSKV" => Blocks::Plain,
        "TabSeparatedWithNames"
        | "TSVWithNames"
        | "TabSeparatedRawWithNames"
        | "TSVRawWithNames"
        | "JSONCompactEachRowWithNames"
        | "JSONCompactStringsEachRowWithNames" => Blocks::Headed(Lines(1)),
        "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes"
        | "TabSeparatedRawWithNamesAndTypes"
        | "TSVRawWithNamesAndTypes"
        | "JSONCompactEachRowWithNamesAndTypes"
        | "JSONCompactStringsEachRowWithNamesAndTypes" => Blocks::Headed(Lines(2)),
        "CSVWithNames" => Blocks::Headed(CsvLines(1)),
        "CSVWithNamesAndTypes" => Blocks::Headed(CsvLines(2)),
        "RowBinaryWithNames" => Blocks::Headed(BinaryStrings(1)),
        "RowBinaryWithNamesAndTypes" => Blocks::Headed(BinaryStrings(2)),
        _ => Blocks::Whole,
    }
}

/// Settings under which a block is a document of its own, so that blocks can't be joined.
pub fn setting_forbids_blocks(name: &str, value: &str) -> bool {
    matches!(name, "extremes" | "output_format_json_array_of_rows") && value != "0" && value != "false"
}

impl BlockHead {
    /// The head's length in bytes; `None` when the block ends before it.
    pub fn length(self, block: &[u8]) -> Option<usize> {
        match self {
            Self::Lines(lines) => lines_length(block, lines, false),
            Self::CsvLines(lines) => lines_length(block, lines, true),
            Self::BinaryStrings(strings_per_column) => strings_length(block, strings_per_column),
        }
    }
}

fn lines_length(block: &[u8], lines: usize, csv: bool) -> Option<usize> {
    let (mut seen, mut quoted) = (0, false);
    for (at, byte) in block.iter().enumerate() {
        match byte {
            b'"' if csv => quoted = !quoted,
            b'\n' if !quoted => {
                seen += 1;
                if seen == lines {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn strings_length(block: &[u8], strings_per_column: usize) -> Option<usize> {
    let (columns, mut at) = varint(block, 0)?;
    for _ in 0..columns.checked_mul(strings_per_column)? {
        let (length, start) = varint(block, at)?;
        at = start.checked_add(length).filter(|end| *end <= block.len())?;
    }
    Some(at)
}

fn varint(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut value, mut shift) = (0_usize, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
        shift += 7;
    }
}

/// The `Content-Type` that ClickHouse sends with a format.
pub fn content_type(format: &str) -> &'static str {
    match format {
        "TabSeparated"
        | "TSV"
        | "TabSeparatedRaw"
        | "TSVRaw"
        | "TabSeparatedWithNames"
        | "TSVWithNames"
        | "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes"
        | "TSKV" => "text/tab-separated-values; charset=UTF-8",
        "CSV" | "CSVWithNames" => "text/csv; charset=UTF-8; header=present",
        "JSONEachRow"
        | "JSONLines"
        | "NDJSON"
        | "JSONStringsEachRow"
        | "JSONCompactEachRow"
        | "JSONEachRowWithProgress" => "application/x-ndjson; charset=UTF-8",
        "XML" => "application/xml; charset=UTF-8",
        "Native"
        | "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "Parquet"
        | "Arrow"
        | "ArrowStream"
        | "ORC"
        | "Avro"
        | "MsgPack" => "application/octet-stream",
        format if format.starts_with("JSON") => "application/json; charset=UTF-8",
        _ => "text/plain; charset=UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_where_the_rows_begin() {
        let cases: [(BlockHead, &[u8], Option<usize>); 6] = [
            (BlockHead::Lines(1), b"a\tb\n1\t2\n", Some(4)),
            (BlockHead::Lines(2), b"[\"a\"]\n[\"UInt8\"]\n[1]\n", Some(16)),
            (BlockHead::CsvLines(1), b"\"a\nb\"\n1\n", Some(6)),
            (BlockHead::BinaryStrings(2), b"\x01\x01n\x06UInt64\x00\x00", Some(10)),
            (BlockHead::BinaryStrings(1), b"\x02\x01a\x01b\x07", Some(5)),
            (BlockHead::BinaryStrings(2), b"\x01\x01n\x06UI", None),
        ];
        for (head, block, length) in cases {
            assert_eq!(head.length(block), length, "{head:?} {block:?}");
        }
    }

    #[test]
    fn documents_are_never_cut() {
        for format in
            ["JSON", "JSONCompact", "Parquet", "ArrowStream", "Pretty", "XML", "Values", "SomethingNew"]
        {
            assert_eq!(blocks(format), Blocks::Whole, "{format}");
        }
    }
}
