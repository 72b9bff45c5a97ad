//! The texts that generated properties are made of.

/// Names that no definition has: a typing mistake, a legacy event, other alphabets, the empty name.
pub const UNKNOWN_EVENTS: [&str; 7] = [
    "no_such_event",
    "click_button",
    "Push_Package",
    "view_dashboard ",
    "événement_inconnu",
    "未知のイベント",
    "",
];

/// Labels as products send them.
pub const LABELS: [&str; 16] = [
    "sidebar",
    "issue_board",
    "merge_request_widget",
    "pipeline_editor",
    "settings/general",
    "nav_user_menu",
    "web_ide",
    "api",
    "graphql",
    "cli",
    "runner",
    "true",
    "1",
    "0",
    "null",
    "",
];

/// Labels that a careless encoding or comparison would change: other alphabets, composed and decomposed accents, quotes.
pub const UNUSUAL_LABELS: [&str; 12] = [
    "Überblick",
    "日本語ラベル",
    "ярлык",
    "علامة",
    "caf\u{e9}",
    "cafe\u{301}",
    "🚀 launch",
    "👩‍💻",
    "say \"hi\"",
    "back\\slash",
    "tab\tand\nline",
    "non\u{a0}breaking",
];

/// Property names that no event declares.
pub const UNDECLARED: [&str; 5] = ["page_url", "user_agent", "referrer", "correlation_id", "client_version"];

/// Long texts of the kind that clients attach unasked.
pub const USER_AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "gitlab-runner 18.5.0 (18-5-stable; go1.24.6; linux/amd64)",
];

/// What a page's path ends in.
pub const PAGES: [&str; 8] = [
    "-/merge_requests/1187/diffs?view=parallel&file_path=app%2Fmodels%2Fproject.rb",
    "-/pipelines/9381274/builds",
    "-/issues/?sort=updated_desc&state=opened&label_name%5B%5D=backend&first_page_size=100",
    "-/settings/ci_cd#js-runners-settings",
    "-/packages/browse?orderBy=created_at&sort=desc",
    "-/boards/44?assignee_username=root&milestone_title=Started&iteration_id=Current",
    "-/security/vulnerability_report/?state=DETECTED,CONFIRMED&severity=CRITICAL,HIGH&scanner=gitlab",
    "-/tree/main/lib/gitlab/usage/metrics/instrumentations?ref_type=heads",
];

/// Nested values, which the API passes.
pub const NESTED: [&str; 3] =
    [r#"{"width":1920,"height":1080}"#, r#"["a",1,null]"#, r#"{"deep":{"er":{"est":true}}}"#];
