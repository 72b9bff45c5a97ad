//! Placeholders of migration SQL, for a single node or a cluster.

/// Where a replicated table keeps its state in Keeper; the braces are ClickHouse's own macros.
const KEEPER_PATH: &str = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'";
const REPLICATED: &str = "{Replicated}";
/// Inserts that a replicated table remembers, each as a node in Keeper, and a plain one: what a replayed batch is recognised by.
const REPLICATED_WINDOW: u32 = 10_000;
const PLAIN_WINDOW: u32 = 30_000;
/// How long a replicated table remembers them, in seconds: a week, as long as the log keeps records. ClickHouse's default
/// is an hour.
const DEDUPLICATION_SECONDS: u32 = 7 * 24 * 60 * 60;

/// Renders for one target.
pub struct Renderer {
    on_cluster: Option<String>,
}

impl Renderer {
    /// `None`: a single node.
    pub fn new(cluster: Option<&str>) -> Self {
        let quoted = |name: &str| name.replace('\\', "\\\\").replace('\'', "\\'");
        Self { on_cluster: cluster.map(|name| format!("ON CLUSTER '{}'", quoted(name))) }
    }

    /// The statement with `{on_cluster}`, `{Replicated}…MergeTree`, `{deduplication_window}` and `{durability}` replaced.
    pub fn render(&self, sql: &str) -> String {
        let window = match self.on_cluster {
            Some(_) => format!(
                "replicated_deduplication_window = {REPLICATED_WINDOW}, \
                 replicated_deduplication_window_seconds = {DEDUPLICATION_SECONDS}"
            ),
            None => format!("non_replicated_deduplication_window = {PLAIN_WINDOW}"),
        };
        let sql = sql
            .replace("{on_cluster}", self.on_cluster.as_deref().unwrap_or_default())
            .replace("{deduplication_window}", &window)
            .replace("{durability}", "fsync_after_insert = 1, fsync_part_directory = 1");
        match self.on_cluster {
            Some(_) => replicated(&sql),
            None => sql.replace(REPLICATED, ""),
        }
    }
}

/// `{Replicated}SummingMergeTree((a, b))` -> `ReplicatedSummingMergeTree(path, replica, (a, b))`.
fn replicated(sql: &str) -> String {
    let mut pieces = sql.split(REPLICATED);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let name_end =
            piece.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(piece.len());
        let (name, rest) = piece.split_at(name_end);
        let (arguments, rest) = match rest.strip_prefix('(') {
            Some(rest) if rest.starts_with(')') => ("", &rest[1..]),
            Some(rest) => (", ", rest),
            None => ("", rest),
        };
        let close = if arguments.is_empty() { ")" } else { "" };
        out.extend(["Replicated", name, "(", KEEPER_PATH, arguments, close, rest]);
    }
    out
}

/// The statements of a file: each ends with a `;` at the end of a line. Comment lines go with the statement they precede.
pub fn statements(sql: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    for line in sql.lines() {
        let is_comment = line.trim_start().starts_with("--");
        match line.trim_end().strip_suffix(';') {
            Some(last) if !is_comment => {
                current.push_str(last);
                statements.push(std::mem::take(&mut current));
            }
            _ => {
                current.push_str(line);
                current.push('\n');
            }
        }
    }
    statements.push(current);
    statements.retain(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    });
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "CREATE TABLE IF NOT EXISTS t {on_cluster} (a Int8)\nENGINE = {Replicated}SummingMergeTree((a, b))\nORDER BY a\nSETTINGS {deduplication_window}, {durability}";

    #[test]
    fn a_single_node_gets_plain_engines() {
        assert_eq!(
            Renderer::new(None).render(CREATE),
            "CREATE TABLE IF NOT EXISTS t  (a Int8)\nENGINE = SummingMergeTree((a, b))\nORDER BY a\n\
             SETTINGS non_replicated_deduplication_window = 30000, fsync_after_insert = 1, fsync_part_directory = 1"
        );
    }

    #[test]
    fn a_cluster_gets_replicated_engines() {
        assert_eq!(
            Renderer::new(Some("it's")).render(CREATE),
            "CREATE TABLE IF NOT EXISTS t ON CLUSTER 'it\\'s' (a Int8)\n\
             ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', (a, b))\n\
             ORDER BY a\n\
             SETTINGS replicated_deduplication_window = 10000, \
             replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1"
        );
        let cases = [
            ("ENGINE = {Replicated}MergeTree ORDER BY a", "ENGINE = ReplicatedMergeTree(PATH) ORDER BY a"),
            ("ENGINE = {Replicated}MergeTree() ORDER BY a", "ENGINE = ReplicatedMergeTree(PATH) ORDER BY a"),
            ("ENGINE = {Replicated}MergeTree", "ENGINE = ReplicatedMergeTree(PATH)"),
            (
                "ENGINE = {Replicated}ReplacingMergeTree(v)\n",
                "ENGINE = ReplicatedReplacingMergeTree(PATH, v)\n",
            ),
        ];
        for (sql, rendered) in cases {
            assert_eq!(Renderer::new(Some("c")).render(sql), rendered.replace("PATH", KEEPER_PATH), "{sql}");
        }
    }

    #[test]
    fn statements_end_at_line_final_semicolons() {
        let sql = "-- one; two;\nCREATE TABLE a (x String DEFAULT ';') ENGINE = Null;\n\nSELECT 1,\n';';  \n-- the end\n";
        assert_eq!(
            statements(sql),
            ["-- one; two;\nCREATE TABLE a (x String DEFAULT ';') ENGINE = Null", "\nSELECT 1,\n';'"]
        );
    }
}
