//! Nothing of a request is left for the next one, except in a session.

use crate::support::{post, run, shared};

const THREADS: &str = "SELECT getSetting('max_threads')";

#[tokio::test]
async fn settings_database_and_parameters_end_with_their_request() {
    let Some(engine) = shared() else { return };
    let url = engine.url();
    let default = run(url, THREADS).await;
    assert_eq!(post(url, &[("max_threads", "7")], THREADS).await.text(), "7");
    let failing = [("max_threads", "7"), ("database", "system"), ("param_x", "1")];
    for sql in
        ["SELECT throwIf(1)", "SELEC", "INSERT INTO nope FORMAT CSV\n1", "SET max_threads = 9", "USE system"]
    {
        post(url, &failing, sql).await;
        for _ in 0..20 {
            assert_eq!(run(url, THREADS).await, default, "{sql}");
            assert_eq!(run(url, "SELECT currentDatabase()").await, "default", "{sql}");
        }
        assert_eq!(post(url, &[], "SELECT {x:UInt8}").await.header("x-clickhouse-exception-code"), "456");
    }
}

#[tokio::test]
async fn unknown_settings_and_databases_are_clickhouses_errors() {
    let Some(engine) = shared() else { return };
    let code = async |name, value| {
        post(engine.url(), &[(name, value)], "SELECT 1")
            .await
            .header("x-clickhouse-exception-code")
            .to_owned()
    };
    assert_eq!(code("nope", "1").await, "115");
    assert_eq!(code("a=1, b", "1").await, "115");
    assert_eq!(code("max_threads", "many").await, "27");
    assert_eq!(code("database", "no`pe").await, "81");
}

#[tokio::test]
async fn values_of_parameters_and_settings_are_never_sql() {
    let Some(engine) = shared() else { return };
    let hostile = "a'b\\\\c`d\"e -- ; /*";
    let answer =
        post(engine.url(), &[("param_x", hostile)], "SELECT {x:String} = 'a\\'b\\\\c`d\"e -- ; /*'").await;
    assert_eq!(answer.text(), "1");
    let answer = post(
        engine.url(),
        &[("log_comment", "it's \\ odd")],
        "SELECT getSetting('log_comment') FORMAT RawBLOB",
    )
    .await;
    assert_eq!(answer.text(), "it's \\ odd");
}

#[tokio::test]
async fn a_session_keeps_settings_and_temporary_tables_and_nothing_else() {
    let Some(engine) = shared() else { return };
    let url = engine.url();
    let session = [("session_id", "kept")];
    let with_setting = [("session_id", "kept"), ("max_threads", "9"), ("max_block_size", "777")];
    for sql in ["CREATE TEMPORARY TABLE mine (x UInt8)", "INSERT INTO mine VALUES (5)", "SET max_threads = 3"]
    {
        let answer = post(url, &session, sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }
    assert_eq!(post(url, &session, "SELECT x FROM mine").await.text(), "5");
    assert_eq!(post(url, &with_setting, THREADS).await.text(), "9");
    assert_eq!(post(url, &session, THREADS).await.text(), "3");
    post(url, &with_setting, "SELECT throwIf(1)").await;
    assert_eq!(post(url, &session, THREADS).await.text(), "3");
    assert_ne!(post(url, &session, "SELECT getSetting('max_block_size')").await.text(), "777");
    assert_eq!(post(url, &[], "SELECT x FROM mine").await.status, 404);
    let unknown = [("session_id", "unknown"), ("session_check", "1")];
    assert_eq!(post(url, &unknown, "SELECT 1").await.header("x-clickhouse-exception-code"), "372");
}

#[tokio::test]
async fn a_session_serves_one_query_at_a_time() {
    let Some(engine) = shared() else { return };
    let session = [("session_id", "busy")];
    let slow = tokio::spawn(async move { post(engine.url(), &session, "SELECT sleep(2)").await.status });
    crate::support::eventually("the first query runs", || async {
        run(engine.url(), "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(2)%'").await
            == "1"
    })
    .await;
    assert_eq!(post(engine.url(), &session, "SELECT 1").await.header("x-clickhouse-exception-code"), "373");
    assert_eq!(slow.await.unwrap(), 200);
    assert_eq!(post(engine.url(), &session, "SELECT 1").await.text(), "1");
}

#[tokio::test]
async fn a_database_parameter_in_a_session_is_for_its_request_only() {
    let Some(engine) = shared() else { return };
    let url = engine.url();
    run(url, "CREATE DATABASE scoped").await;
    let session = ("session_id", "scoped-database");
    let (current, scoped) = ("SELECT currentDatabase()", ("database", "scoped"));
    let in_session = async |parameters: &[(&str, &str)], sql: &'static str| {
        let parameters = [&[session], parameters].concat();
        post(url, &parameters, sql).await.text().to_owned()
    };
    in_session(&[], "SET max_threads = 3").await;
    for sql in [current, "SELECT throwIf(currentDatabase() = 'scoped')", "SELEC", "SET max_threads = 4"] {
        in_session(&[scoped], sql).await;
        assert_eq!(in_session(&[], current).await, "default", "{sql}");
    }
    assert_eq!(in_session(&[scoped], current).await, "scoped");
    in_session(&[scoped], "USE system").await;
    assert_eq!(in_session(&[], current).await, "system", "what the request itself chose stays");
    assert_eq!(in_session(&[scoped], current).await, "scoped");
    assert_eq!(in_session(&[], current).await, "system");
}
