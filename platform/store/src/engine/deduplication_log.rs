//! Takes tokens without data out of the tables' deduplication logs before the engine opens them.
//!
//! A `MergeTree` with `non_replicated_deduplication_window` records an insert's token before it gives the part its final
//! name: a process killed in between leaves a token whose rows don't exist, and sending the insert again would be taken
//! for a repetition. Nothing else may use the data directory while this runs. The engine does not fsync the log: after
//! a power loss, unlike a kill, it may also lack tokens of parts that exist, which can't be told from here.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The folder of a table's deduplication log.
const FOLDER: &str = "deduplication_logs";
/// Written first, then renamed; not in the log's folder, where the engine takes every file for a log.
const TEMPORARY: &str = "deduplication_log.tmp";

/// What was found and taken out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Repair {
    /// Records of tokens whose part does not exist.
    pub without_part: usize,
    /// Last lines that were cut off in the middle.
    pub torn: usize,
}

/// Repairs the logs of every table below `data_dir`.
pub fn repair(data_dir: &Path) -> io::Result<Repair> {
    let mut repair = Repair::default();
    for group in folders(&data_dir.join("store"))? {
        for table in folders(&group)? {
            let of_table = repair_table(&table, &data_dir.join(TEMPORARY))?;
            if of_table != Repair::default() {
                let Repair { without_part, torn } = of_table;
                tracing::warn!(table = %table.display(), without_part, torn, "took tokens without data out of a deduplication log");
            }
            repair.without_part += of_table.without_part;
            repair.torn += of_table.torn;
        }
    }
    Ok(repair)
}

fn repair_table(table: &Path, temporary: &Path) -> io::Result<Repair> {
    let mut files = log_files(&table.join(FOLDER))?;
    if files.is_empty() {
        return Ok(Repair::default());
    }
    let folders = folders(table)?;
    let parts = Parts::of(folders.iter().filter_map(|path| path.file_name()?.to_str()));
    let orphans = orphans(&files, &parts);
    let mut repair = Repair { without_part: orphans.len(), torn: 0 };
    for (number, file) in files.iter_mut().enumerate() {
        let torn = file.lines.pop_if(|line| !line.ends_with(b"\n")).is_some();
        repair.torn += usize::from(torn);
        if torn || orphans.iter().any(|(of_file, _)| *of_file == number) {
            let kept = file.lines.iter().enumerate().filter(|(line, _)| !orphans.contains(&(number, *line)));
            let text: Vec<u8> = kept.flat_map(|(_, line)| line.iter().copied()).collect();
            replace(&file.path, &text, temporary)?;
        }
    }
    Ok(repair)
}

/// File and line of each record of a token that counts although its part is missing.
fn orphans(files: &[LogFile], parts: &Parts<'_>) -> HashSet<(usize, usize)> {
    let mut added: HashMap<&str, Vec<(usize, usize, &str)>> = HashMap::new();
    for (number, file) in files.iter().enumerate() {
        for (line, bytes) in file.lines.iter().enumerate() {
            match Record::parse(bytes) {
                Some(Record { operation: Operation::Add, part, block_id }) => {
                    added.entry(block_id).or_default().push((number, line, part));
                }
                Some(Record { operation: Operation::Drop, block_id, .. }) => {
                    added.remove(block_id);
                }
                None => {}
            }
        }
    }
    // A name that can't be understood proves nothing.
    let missing = |name: &str| PartName::parse(name).is_some_and(|part| !parts.cover(&part));
    added
        .into_values()
        .flatten()
        .filter(|(_, _, part)| missing(part))
        .map(|(file, line, _)| (file, line))
        .collect()
}

struct LogFile {
    path: PathBuf,
    /// Each with its line break, except for a torn last one.
    lines: Vec<Vec<u8>>,
}

/// The files of a log, oldest first.
fn log_files(folder: &Path) -> io::Result<Vec<LogFile>> {
    let mut numbered = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("deduplication_log_").and_then(|rest| rest.strip_suffix(".txt"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            numbered.push((number, path));
        }
    }
    numbered.sort();
    let read = |(_, path): (u64, PathBuf)| {
        let text = fs::read(&path)?;
        let lines = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        Ok(LogFile { path, lines })
    };
    numbered.into_iter().map(read).collect()
}

/// What a record does, by the numbers that ClickHouse writes.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Drop,
}

/// `operation TAB part TAB block id LF`.
struct Record<'a> {
    operation: Operation,
    part: &'a str,
    /// The table partition and the token's hash.
    block_id: &'a str,
}

impl<'a> Record<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let mut fields = line.split('\t');
        let operation = match fields.next()? {
            "1" => Operation::Add,
            "2" => Operation::Drop,
            _ => return None,
        };
        let (part, block_id) = (fields.next()?, fields.next()?);
        fields.next().is_none().then_some(Self { operation, part, block_id })
    }
}

/// `partition_min_max_level[_mutation]`. A partition's id holds no underscore.
#[derive(Debug, PartialEq, Eq)]
struct PartName<'a> {
    partition: &'a str,
    first_block: u64,
    last_block: u64,
}

impl<'a> PartName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let mut fields = name.split('_');
        let partition = fields.next().filter(|partition| !partition.is_empty())?;
        let (first_block, last_block) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let _level: u64 = fields.next()?.parse().ok()?;
        let mutation_is_number = fields.next().is_none_or(|mutation| mutation.parse::<u64>().is_ok());
        (mutation_is_number && fields.next().is_none()).then_some(Self { partition, first_block, last_block })
    }
}

/// The block ranges of a table's parts.
struct Parts<'a> {
    by_partition: HashMap<&'a str, Vec<(u64, u64)>>,
}

impl<'a> Parts<'a> {
    fn of(names: impl Iterator<Item = &'a str>) -> Self {
        let mut by_partition: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
        for part in names.filter_map(PartName::parse) {
            by_partition.entry(part.partition).or_default().push((part.first_block, part.last_block));
        }
        Self { by_partition }
    }

    /// Whether the part is there, or another that it was merged into.
    fn cover(&self, part: &PartName<'_>) -> bool {
        self.by_partition.get(part.partition).is_some_and(|ranges| {
            ranges.iter().any(|(first, last)| *first <= part.first_block && part.last_block <= *last)
        })
    }
}

/// Gives a file a new content, whole or not at all.
fn replace(path: &Path, text: &[u8], temporary: &Path) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    let folder = path.parent().expect("a log's file is in a folder");
    File::open(folder)?.sync_all()
}

/// The paths in a folder; none when there is no such folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data directory with one table that has these parts and these log files.
    fn data(parts: &[&str], files: &[(u64, &str)]) -> (tempfile::TempDir, PathBuf) {
        let data = tempfile::tempdir().unwrap();
        let table = data.path().join("store/abc/abcdef");
        fs::create_dir_all(table.join(FOLDER)).unwrap();
        for part in parts {
            fs::create_dir(table.join(part)).unwrap();
        }
        for (number, text) in files {
            fs::write(table.join(FOLDER).join(format!("deduplication_log_{number}.txt")), text).unwrap();
        }
        (data, table.join(FOLDER))
    }

    fn repaired(parts: &[&str], text: &str) -> (Repair, String) {
        let (data, logs) = data(parts, &[(1, text)]);
        let repair = repair(data.path()).unwrap();
        assert_eq!(entries(&logs).unwrap().len(), 1, "the engine takes every file here for a log");
        (repair, fs::read_to_string(logs.join("deduplication_log_1.txt")).unwrap())
    }

    #[test]
    fn a_token_stays_exactly_when_its_part_or_a_covering_one_exists() {
        let cases: [(&[&str], bool); 13] = [
            (&["202501_5_5_0"], true),
            (&["202501_5_5_0_9"], true),
            (&["202501_5_5_1"], true),
            (&["202501_1_9_2"], true),
            (&["202501_5_6_1"], true),
            (&["202501_1_9_2_12"], true),
            (&[], false),
            (&["202502_1_9_2"], false),
            (&["202501_6_9_2"], false),
            (&["202501_1_4_2"], false),
            (&["tmp_insert_202501_5_5_0"], false),
            (&["tmp_merge_202501_1_9_2", "delete_tmp_202501_5_5_0"], false),
            (&["detached", "202501_5_5"], false),
        ];
        let text = "1\t202501_5_5_0\t202501_11_22\n";
        for (parts, stays) in cases {
            let (repair, left) = repaired(parts, text);
            assert_eq!(left, if stays { text } else { "" }, "{parts:?}");
            assert_eq!(repair, Repair { without_part: usize::from(!stays), torn: 0 }, "{parts:?}");
        }
    }

    #[test]
    fn only_records_of_missing_parts_go() {
        let text = "1\tall_1_1_0\tall_a\n1\tall_2_2_0\tall_b\n1\tall_3_3_0\tall_c\n";
        let (repair, left) = repaired(&["all_1_1_0", "all_3_3_0"], text);
        assert_eq!(repair, Repair { without_part: 1, torn: 0 });
        assert_eq!(left, "1\tall_1_1_0\tall_a\n1\tall_3_3_0\tall_c\n");
    }

    #[test]
    fn a_dropped_token_is_left_alone_unless_it_was_added_again() {
        let dropped = "1\tall_1_1_0\tall_a\n2\tall_1_1_0\tall_a\n";
        assert_eq!(repaired(&[], dropped), (Repair::default(), dropped.to_owned()));
        let again = format!("{dropped}1\tall_2_2_0\tall_a\n");
        assert_eq!(repaired(&[], &again), (Repair { without_part: 1, torn: 0 }, dropped.to_owned()));
    }

    #[test]
    fn a_torn_last_line_is_cut_so_that_the_next_record_starts_a_line() {
        for torn in ["1", "1\tall_2_2_0", "1\tall_2_2_0\tall_b"] {
            let (repair, left) = repaired(&["all_1_1_0"], &format!("1\tall_1_1_0\tall_a\n{torn}"));
            assert_eq!(repair, Repair { without_part: 0, torn: 1 }, "{torn}");
            assert_eq!(left, "1\tall_1_1_0\tall_a\n");
        }
    }

    #[test]
    fn what_is_not_understood_stays() {
        let text = "3\tall_9_9_0\tall_a\n1\tall_9_9_0\tall_b\tmore\n1\tstrange\tall_c\n\n";
        assert_eq!(repaired(&[], text), (Repair::default(), text.to_owned()));
    }

    #[test]
    fn files_are_read_by_their_numbers() {
        let (add, drop) = ("1\tall_1_1_0\tall_a\n", "2\tall_1_1_0\tall_a\n");
        let (data, logs) = data(&[], &[(9, add), (10, drop)]);
        assert_eq!(repair(data.path()).unwrap(), Repair::default());
        assert_eq!(fs::read_to_string(logs.join("deduplication_log_9.txt")).unwrap(), add);
    }

    #[test]
    fn a_new_data_directory_needs_nothing() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(repair(data.path()).unwrap(), Repair::default());
    }
}
