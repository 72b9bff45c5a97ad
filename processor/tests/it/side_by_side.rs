//! Recounts that go on at once, each in a process of its own: none touches the staging tables of another.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use tally_processor::recount::{Days, Recount, Selection, rebuild, verify};
use tally_schemas::{Definitions, Matcher};
use tally_store::Store;
use uuid::Uuid;

use crate::tables::{rows, run, with_tables};

type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

fn recount<'a>(store: &'a Store, matcher: &'a Matcher, progress: Progress<'a>) -> Recount<'a> {
    Recount {
        store,
        matcher,
        days: Days::ALL,
        run: Uuid::now_v7().simple().to_string(),
        patience: Duration::ZERO,
        progress,
    }
}

async fn differences(store: &Store) -> u64 {
    let matcher = Matcher::new(&Definitions::built_in());
    verify(&recount(store, &matcher, &|_| {}), None).await.unwrap().count
}

#[test]
fn a_recount_that_begins_leaves_alone_what_another_works_with() {
    with_tables("side_by_side", async |store: Store| {
        run(&store, "CREATE TABLE recount_killed_known (x UInt8) ENGINE = Memory").await;
        // What no raw row accounts for, so that the rebuild has something to replace.
        run(&store, "INSERT INTO counters VALUES ('2026-11-21', 'search', 5, 0)").await;
        let (at_work, is_at_work) = mpsc::channel::<()>();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let pause = Mutex::new(Some((at_work, may_go_on)));
        let progress = |at: String| {
            if at.starts_with("comparing")
                && let Some((at_work, may_go_on)) = pause.lock().unwrap().take()
            {
                at_work.send(()).unwrap();
                tokio::task::block_in_place(|| may_go_on.recv().unwrap());
            }
        };
        let another = tokio::spawn({
            let store = store.clone();
            async move {
                tokio::task::block_in_place(|| is_at_work.recv().unwrap());
                assert_eq!(differences(&store).await, 1);
                go_on.send(()).unwrap();
            }
        });
        let matcher = Matcher::new(&Definitions::built_in());
        let rebuilt = rebuild(&recount(&store, &matcher, &progress), &Selection::All).await.unwrap();
        another.await.unwrap();
        assert_eq!(rebuilt.replaced, [("counters".to_owned(), "202611".to_owned())]);
        assert_eq!(differences(&store).await, 0);
        let left =
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'recount%'";
        assert_eq!(rows::<String>(&store, left).await, [] as [String; 0]);
    });
}
