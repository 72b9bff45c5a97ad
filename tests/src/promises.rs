//! What the README promises, checked as far as a table can be: each promise names tests that exist.

use std::fs;
use std::path::Path;

use crate::outside::root;

/// The rows of the README's table of promises: the promise, and the tests that it names.
fn promises() -> Vec<(String, Vec<String>)> {
    let readme = fs::read_to_string(root().join("README.md")).expect("the project has a README");
    let (_, section) = readme.split_once("\n## Promises\n").expect("the README has promises");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let tests = cells.last().copied().unwrap_or_default();
        // Text in backticks is every second piece.
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[0].to_owned(), tests)
    };
    rows.skip(1).map(row).collect()
}

/// All Rust sources of the workspace in one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !["target", ".git", ".cache"].iter().any(|skipped| name == *skipped) {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn each_promise_of_the_readme_names_tests_that_exist() {
    let promises = promises();
    assert_eq!(promises.len(), 7, "{promises:?}");
    let mut text = String::new();
    sources(&root(), &mut text);
    for (promise, tests) in promises {
        assert!(!tests.is_empty(), "{promise} names no test");
        for test in tests {
            let is_there = text.contains(&format!("fn {test}("));
            assert!(is_there, "{promise} names the test {test}, which does not exist");
        }
    }
}
