//! The contract of the event log, run against every implementation: the embedded one, librdkafka's own mock cluster,
//! and Apache Kafka.
//!
//! Kafka is the one at `TALLY_KAFKA` (host:port), or else one that `deploy/kafka/up` starts. Where it can't, its cases
//! are left out and say so, unless `TALLY_REQUIRE=all`.

mod cases;
mod compaction;
mod crash;
mod disk_full;
mod far;
mod frozen;
mod groups;
mod outage;
mod secure;
mod spool;
mod static_members;
mod subject;
mod tails;

use subject::Subject;

/// Makes a test of each case, on the implementation that the function gives, if any.
macro_rules! contract {
    ($subject:expr; $($module:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let open: fn(&str) -> Option<crate::subject::Subject> = $subject;
                if let Some(subject) = open(concat!(module_path!(), "::", stringify!($case))) {
                    crate::$module::$case(&subject).await;
                }
            }
        )*
    };
}

/// The cases that run everywhere.
macro_rules! contract_everywhere {
    ($subject:expr) => {
        contract! {
            $subject;
            cases::each_record_has_its_own_result,
            cases::records_are_read_back_as_appended,
            cases::records_of_a_key_keep_their_order_under_concurrent_appends,
            cases::a_key_always_goes_to_the_same_partition,
            cases::keyless_records_of_one_call_go_to_one_partition,
            cases::watermarks_follow_the_appends,
            cases::a_fetch_stays_within_its_limits,
            cases::a_waiting_fetch_wakes_when_a_record_comes,
            cases::seek_replays_with_exact_boundaries,
            cases::a_read_position_outside_of_the_log_is_an_error,
            cases::ensuring_a_topic_again_changes_nothing,
            tails::a_tail_reads_from_its_offset_to_the_end_and_on,
            tails::tails_are_independent_and_stay_within_their_limits,
            tails::a_tail_outside_of_the_log_is_an_error,
            tails::a_tombstone_is_read_back_as_an_empty_value,
            groups::members_share_the_partitions_and_take_over_when_one_leaves,
            groups::groups_read_independently,
            groups::a_position_with_its_pending_range_survives_a_restart,
            groups::a_commit_after_revocation_is_refused,
            groups::a_partition_is_given_on_only_after_its_reader_let_go,
            groups::a_reader_that_does_not_let_go_is_cut_off,
            groups::a_dropped_reader_has_its_partition_offered_again,
        }
    };
}

mod embedded {
    use super::Subject;

    contract_everywhere!(|_| Some(Subject::embedded()));
    contract! {
        |_| Some(Subject::embedded());
        cases::an_unknown_topic_is_an_error,
        cases::old_records_are_deleted,
        tails::a_compacted_topic_is_not_cut_by_size,
        tails::a_tail_of_an_unknown_topic_is_an_error,
    }
}

/// Left out here: `old_records_are_deleted`, as the mock cluster keeps everything, and the cases of unknown topics,
/// as it makes every topic that it is asked about. It neither creates topics on request nor knows their settings; the
/// tests make them through the mock's own interface.
mod mock_kafka {
    use super::Subject;

    contract_everywhere!(|_| Some(Subject::mock_kafka()));
    contract! {
        |_| Some(Subject::mock_kafka());
        far::partitions_are_asked_about_side_by_side,
    }
}

mod apache_kafka {
    use super::Subject;

    contract_everywhere!(Subject::apache_kafka);
    contract! {
        Subject::apache_kafka;
        cases::an_unknown_topic_is_an_error,
        cases::old_records_are_deleted,
        tails::a_tail_of_an_unknown_topic_is_an_error,
        compaction::a_compacted_topic_is_made_as_one,
        compaction::a_tail_passes_what_was_compacted_away,
        compaction::a_tail_reaches_the_end_of_a_log_that_ends_in_a_gap,
        compaction::a_tombstone_is_kafkas_null,
        frozen::a_frozen_member_is_fenced_by_the_brokers,
        static_members::a_named_member_that_comes_back_takes_nothing_from_the_others,
        static_members::who_joins_without_a_name_takes_nobodys_place,
    }
}
