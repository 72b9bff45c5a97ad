//! How long a large directory takes to load, and how much memory it takes: builds a million users and ten million
//! memberships, writes them as a snapshot's lines, and loads them in a process of its own.
//!
//!     cargo run --release -p tally-directory --example scale [-- USERS MEMBERSHIPS]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::civil::date;
use tally_directory::{AccessLevel, Change, Cursor, Member, MemberSource, Namespace, Project, State, User};

const PROJECTS: i64 = 100_000;
const NAMESPACES: i64 = 10_000;
const CHUNK: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [step, file] if step == "load" => load(Path::new(file)),
        [step, file, users, members] if step == "write" => {
            write(Path::new(file), users.parse()?, members.parse()?)
        }
        [] => run("1000000", "10000000"),
        [users, members] => run(users, members),
        _ => Err("expected no arguments, or the numbers of users and memberships".into()),
    }
}

/// Each step in a process of its own, so that its memory is its own.
fn run(users: &str, members: &str) -> Result<(), Box<dyn Error>> {
    let file = tempfile::NamedTempFile::new()?;
    let path = file.path().display().to_string();
    for arguments in [vec!["write", &path, users, members], vec!["load", &path]] {
        let status = Command::new(std::env::current_exe()?).args(&arguments).status()?;
        if !status.success() {
            return Err(format!("{arguments:?}: {status}").into());
        }
    }
    Ok(())
}

fn write(file: &Path, users: i64, members: i64) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let mut state = State::default();
    for id in 1..=NAMESPACES {
        let parent_id = (id > 1_000).then_some(id / 10);
        let path = format!("group-{id}");
        state.apply(Change::Namespace(Namespace {
            id,
            name: path.clone(),
            path,
            parent_id,
            ..Namespace::default()
        }));
    }
    for id in 1..=PROJECTS {
        state.apply(Change::Project(serde_json::from_value::<Project>(serde_json::json!({
            "id": id, "path": format!("group-{}/project-{id}", id % NAMESPACES + 1), "name": format!("project-{id}"),
            "namespace_id": id % NAMESPACES + 1,
        }))?));
    }
    for id in 1..=users {
        let username = format!("user-number-{id}");
        let public_email = format!("{username}@example.org");
        let name = format!("User Number {id}");
        state.apply(Change::User(User { id, username, name, public_email, ..User::default() }));
    }
    let mut random = 1_u64;
    for number in 0..members {
        // A linear congruence spreads memberships without repeating itself soon.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (random >> 33) as i64;
        let source = if number % 10 == 0 {
            MemberSource::Namespace(place % NAMESPACES + 1)
        } else {
            MemberSource::Project(place % PROJECTS + 1)
        };
        let access_level = if number % 3 == 0 { AccessLevel::Developer } else { AccessLevel::Reporter };
        let expires_at = (number % 20 == 0).then(|| date(2030, 1, 1));
        state.apply(Change::Member(Member { user_id: number % users + 1, source, access_level, expires_at }));
    }
    report("built", started, 0);
    let started = Instant::now();
    let mut lines = BufWriter::new(File::create(file)?);
    let mut cursor = Cursor::default();
    loop {
        let (changes, next) = state.changes_after(&cursor, CHUNK);
        if changes.is_empty() {
            break;
        }
        for change in &changes {
            serde_json::to_writer(&mut lines, change)?;
            lines.write_all(b"\n")?;
        }
        cursor = next;
    }
    lines.flush()?;
    report("written", started, file.metadata()?.len());
    Ok(())
}

fn load(file: &Path) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let (mut parsing, mut applying) = (Duration::ZERO, Duration::ZERO);
    let mut state = State::default();
    let mut lines = BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut count = 0;
    loop {
        let begun = Instant::now();
        let changes = next_changes(&mut lines)?;
        parsing += begun.elapsed();
        if changes.is_empty() {
            break;
        }
        count += changes.len();
        let begun = Instant::now();
        for change in changes {
            state.apply(change);
        }
        applying += begun.elapsed();
    }
    report(&format!("loaded {count} changes"), started, file.metadata()?.len());
    println!("of that, reading {:.1} s, applying {:.1} s", parsing.as_secs_f64(), applying.as_secs_f64());
    ask(&state);
    Ok(())
}

fn next_changes(lines: &mut impl BufRead) -> Result<Vec<Change>, Box<dyn Error>> {
    let mut changes = Vec::with_capacity(CHUNK);
    let mut line = Vec::new();
    while changes.len() < CHUNK && lines.read_until(b'\n', &mut line)? > 0 {
        changes.push(serde_json::from_slice(&line)?);
        line.clear();
    }
    Ok(changes)
}

/// The questions that requests come with.
fn ask(state: &State) {
    let today = date(2026, 1, 1);
    let users: Vec<i64> = state.users().map(|user| user.id).step_by(100).collect();
    let each = |what: &str, started: Instant, found: usize| {
        let microseconds = started.elapsed().as_secs_f64() * 1e6 / users.len() as f64;
        println!("{what}: {microseconds:.1} us a member, {found} found");
    };
    let started = Instant::now();
    let projects: usize = users.iter().map(|user| state.projects_of_member(*user, today).len()).sum();
    each("projects of a member", started, projects);
    let started = Instant::now();
    let asked = users.iter().filter_map(|user| Some((user, state.project(user % PROJECTS + 1)?)));
    let levels = asked.filter(|(user, project)| state.access_level(**user, project, today).is_some()).count();
    each("level of access", started, levels);
}

fn report(what: &str, started: Instant, bytes: u64) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what} in {seconds:.1} s, {} MiB on disk, peak RSS {}", bytes >> 20, peak_memory());
}

/// The kernel's own figure, such as `1234 kB`.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(|| "unknown".to_owned(), |peak| peak.trim().to_owned())
}
