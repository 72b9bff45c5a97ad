//! What SQL queries become, and that nothing of a request is in it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::model::Ownership;
use crate::query::{
    CacheMode, Comparison, DateRange, Filter, Operator, Order, ResponseFormat, TimeDimension,
};

const SHOP: &str = r#"
cubes:
  - name: Users
    sql_table: users
    meta: {tenant_column: project_id}
    joins:
      - {name: Orders, relationship: one_to_many, sql: "{CUBE}.id = {Orders}.user_id"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: city, sql: city, type: string}
      - name: size
        type: string
        case:
          when: [{sql: "{CUBE}.age > 17", label: "grown 'up'"}]
          else: {label: small}
      - {name: place, type: geo, latitude: {sql: "{CUBE}.lat"}, longitude: {sql: "{CUBE}.lon"}}
    measures:
      - {name: count, type: count}
      - {name: averageAge, sql: age, type: avg}
      - {name: ordersEach, sql: "1.0 * {Orders.count} / nullIf({count}, 0)", type: number}
    segments:
      - {name: grown, sql: "{CUBE}.age > 17"}
  - name: Orders
    sql: SELECT * FROM shop.orders
    meta: {tenant_column: project_id}
    joins:
      - {name: Users, relationship: many_to_one, sql: "{CUBE}.user_id = {Users}.id"}
      - {name: OrderItems, relationship: one_to_many, sql: "{CUBE}.id = {OrderItems}.order_id"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: status, sql: status, type: string}
      - {name: isPaid, sql: "{CUBE}.status = 'paid'", type: boolean}
      - {name: createdAt, sql: created_at, type: time}
      - {name: label, sql: "concat({status}, ' ', {Users.city})", type: string}
    measures:
      - {name: count, type: count}
      - {name: paid, type: count, filters: [{sql: "{CUBE}.status = 'paid'"}]}
      - {name: total, sql: amount, type: sum}
      - {name: paidTotal, sql: amount, type: sum, filters: [{sql: "{CUBE}.status = 'paid'"}, {sql: "{CUBE}.amount > 0"}]}
      - {name: buyers, sql: user_id, type: count_distinct}
      - {name: aboutBuyers, sql: user_id, type: count_distinct_approx}
      - {name: last, sql: created_at, type: max}
      - {name: first, sql: "min({CUBE}.created_at)", type: time}
      - {name: paidShare, sql: "100.0 * {paid} / nullIf({count}, 0)", type: number}
    segments:
      - {name: open, sql: "{CUBE}.status <> 'done' OR {CUBE}.status IS NULL"}
    pre_aggregations:
      - name: byDay
        measures: [count, paid, buyers]
        dimensions: [status]
        segments: [open]
        time_dimension: createdAt
        granularity: day
  - name: OrderItems
    sql: SELECT * FROM items WHERE project = {TENANT} AND amount > 0
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: product, sql: product, type: string}
    measures:
      - {name: count, type: count}
      - {name: quantity, sql: quantity, type: sum}
  - name: Alone
    sql_table: alone
    meta: {tenant_column: project_id}
    dimensions:
      - {name: kind, sql: kind, type: string}
    measures:
      - {name: count, type: count}
"#;

fn shop() -> Model {
    Model::parse(&[("shop.yml", SHOP)], Ownership::Shared).unwrap()
}

fn query() -> Query {
    Query {
        measures: Vec::new(),
        dimensions: Vec::new(),
        segments: Vec::new(),
        time_dimensions: Vec::new(),
        filters: Vec::new(),
        order: Some(Vec::new()),
        limit: 100,
        offset: None,
        total: false,
        ungrouped: false,
        response_format: ResponseFormat::Default,
        timezone: "UTC".to_owned(),
        zone: TimeZone::UTC,
        cache: CacheMode::StaleIfSlow,
        normalized: serde_json::Map::new(),
        refusal: None,
    }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn asked(measures: &[&str], dimensions: &[&str]) -> Query {
    Query { measures: ids(measures), dimensions: ids(dimensions), ..query() }
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn range(from: &str, to: &str) -> DateRange {
    DateRange { labels: [from.to_owned(), to.to_owned()], from: instant(from), to: instant(to) }
}

fn days() -> DateRange {
    range("2026-11-02T00:00:00Z", "2026-11-08T23:59:59.999Z")
}

fn time(granularity: Option<&str>, range: Option<DateRange>) -> TimeDimension {
    TimeDimension {
        dimension: "Orders.createdAt".to_owned(),
        granularity: granularity.map(str::to_owned),
        range,
    }
}

fn member(member: &str, operator: Operator, values: &[Option<&str>]) -> Filter {
    let values = values.iter().map(|value| value.map(str::to_owned)).collect();
    Filter::Member { member: member.to_owned(), operator, values }
}

fn compiled(query: &Query) -> Result<Compiled, CubeError> {
    compile(&shop(), query, 42)
}

/// One line a clause, so that snapshots can be read.
fn shown(statement: &Statement) -> String {
    let mut text = statement.to_string();
    for word in
        ["FROM", "LEFT JOIN", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "UNION ALL", "SETTINGS"]
    {
        text = text.replace(&format!(" {word} "), &format!("\n  {word} "));
    }
    text
}

fn snapshot_of(queries: &[(&str, Query)]) -> String {
    let texts = queries.iter().map(|(what, query)| {
        let compiled = compiled(query).unwrap();
        let total = compiled.total.iter().map(|total| format!("\ntotal: {}", shown(total)));
        let used = compiled.pre_aggregations.iter().map(|used| format!("\nuses {}.{}", used.cube, used.name));
        format!("-- {what}\n{}{}", shown(&compiled.rows), total.chain(used).collect::<String>())
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

#[test]
fn members_become_columns_of_text() {
    let zoned = Query {
        timezone: "America/Los_Angeles".to_owned(),
        zone: TimeZone::get("America/Los_Angeles").unwrap(),
        order: None,
        offset: Some(20),
        total: true,
        time_dimensions: vec![time(Some("week"), Some(days())), time(Some("Hour"), None)],
        ..asked(&["Orders.paidTotal", "Orders.buyers"], &["Orders.isPaid"])
    };
    let text = snapshot_of(&[
        (
            "every kind of measure",
            asked(
                &[
                    "Orders.count",
                    "Orders.paid",
                    "Orders.total",
                    "Orders.paidTotal",
                    "Orders.buyers",
                    "Orders.aboutBuyers",
                    "Orders.last",
                    "Orders.first",
                    "Orders.paidShare",
                ],
                &[],
            ),
        ),
        ("every kind of dimension", asked(&[], &["Users.id", "Users.city", "Users.size", "Users.place"])),
        ("a raw time and a boolean", asked(&[], &["Orders.createdAt", "Orders.isPaid"])),
        ("zones, granularities, pages", zoned),
        ("segments", Query { segments: ids(&["Users.grown"]), ..asked(&["Users.averageAge"], &[]) }),
        ("rows", Query { ungrouped: true, ..asked(&["Orders.count", "Orders.paidTotal"], &["Orders.id"]) }),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn filters_follow_cubes_rules_for_null() {
    let one = |filter: Filter| Query { filters: vec![filter], ..asked(&["Users.count"], &["Users.city"]) };
    let orders = |filter: Filter| Query { filters: vec![filter], ..asked(&["Orders.count"], &[]) };
    let city = |operator, values: &[Option<&str>]| one(member("Users.city", operator, values));
    let text = snapshot_of(&[
        ("equals", city(Operator::Equals, &[Some("Ulm")])),
        ("equals several", city(Operator::Equals, &[Some("Ulm"), Some("Bonn")])),
        ("equals null", city(Operator::Equals, &[None])),
        ("equals or null", city(Operator::In, &[Some("Ulm"), None])),
        ("not equals", city(Operator::NotEquals, &[Some("Ulm")])),
        ("not null", city(Operator::NotEquals, &[None])),
        ("neither null nor", city(Operator::NotIn, &[Some("Ulm"), None])),
        ("contains", city(Operator::Contains, &[Some("50%_\\")])),
        ("not starting", city(Operator::NotStartsWith, &[Some("a"), Some("b")])),
        ("ends", city(Operator::EndsWith, &[Some("x")])),
        ("set", city(Operator::Set, &[])),
        ("not set", city(Operator::NotSet, &[])),
        ("numbers", one(member("Users.id", Operator::Equals, &[Some("7"), Some("8")]))),
        ("fractions", one(member("Users.id", Operator::NotEquals, &[Some("7"), Some("8.5")]))),
        ("only the first", one(member("Users.id", Operator::Gt, &[Some("7"), Some("8")]))),
        ("a truth", orders(member("Orders.isPaid", Operator::Equals, &[Some("1")]))),
        ("a time", orders(member("Orders.createdAt", Operator::Lte, &[Some("2026-11-03 10:00:00")]))),
        ("on groups", one(member("Users.averageAge", Operator::Gte, &[Some("30.5")]))),
        ("a measure's own rows", orders(member("Orders.paidTotal", Operator::MeasureFilter, &[]))),
        (
            "either",
            one(Filter::Or(vec![
                member("Users.city", Operator::Equals, &[Some("Ulm")]),
                Filter::And(vec![
                    member("Users.id", Operator::Lt, &[Some("3")]),
                    member("Users.city", Operator::Set, &[]),
                ]),
            ])),
        ),
        (
            "outside of a range",
            orders(Filter::Range {
                member: "Orders.createdAt".to_owned(),
                negated: true,
                range: range("2026-11-02T10:00:00Z", "2026-11-02T11:00:00Z"),
            }),
        ),
        (
            "after",
            orders(Filter::Instant {
                member: "Orders.createdAt".to_owned(),
                comparison: Comparison::After,
                instant: instant("2026-11-02T10:00:00Z"),
            }),
        ),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn joins_keep_every_measure_to_its_own_rows() {
    let text = snapshot_of(&[
        ("many to one: nothing is repeated", asked(&["Orders.total"], &["Users.city"])),
        ("the far side is counted by its key", asked(&["Orders.count"], &["Users.id", "Users.city"])),
        ("the one side is repeated", asked(&["Users.averageAge"], &["Orders.status"])),
        (
            "measures of both sides",
            Query {
                order: Some(vec![Order { id: "Users.ordersEach".to_owned(), descending: true }]),
                filters: vec![member("Users.count", Operator::Gt, &[Some("1")])],
                total: true,
                ..asked(&["Users.ordersEach", "Users.count"], &["Orders.status"])
            },
        ),
        (
            "across two joins",
            Query {
                time_dimensions: vec![time(Some("day"), Some(days()))],
                ..asked(&["OrderItems.quantity", "Orders.total"], &["Users.city"])
            },
        ),
        ("through a dimension's SQL", asked(&[], &["Orders.label"])),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn cubes_without_a_path_are_refused() {
    let refused = compiled(&asked(&["Alone.count"], &["Users.city"])).unwrap_err();
    assert_eq!(refused, CubeError::User("Can't find join path to join 'Alone', 'Users'".to_owned()));
}

#[test]
fn a_measure_over_repeated_rows_of_others_is_refused() {
    let text = SHOP.replace(
        "{name: averageAge, sql: age, type: avg}",
        "{name: averageAge, sql: \"{Orders}.amount\", type: avg}",
    );
    let model = Model::parse(&[("shop.yml", text)], Ownership::Shared).unwrap();
    let refused = compile(&model, &asked(&["Users.averageAge"], &["Orders.status"]), 1).unwrap_err();
    assert!(
        refused.to_string().contains("'Users.averageAge' references cubes that lead to row multiplication"),
        "{refused}"
    );
}

#[test]
fn values_that_the_database_would_refuse_are_refused() {
    let cases = [
        ("Users.id", Operator::Gt, "seven", "Cannot parse Float64 from String: 'seven'"),
        ("Users.id", Operator::Equals, "NaN", "Cannot parse Float64 from String: 'NaN'"),
        ("Orders.isPaid", Operator::Equals, "true", "Cannot convert string 'true' to type UInt8"),
        ("Orders.createdAt", Operator::Equals, "soon", "Cannot parse string 'soon' as DateTime64(3)"),
    ];
    for (id, operator, value, text) in cases {
        let query =
            Query { filters: vec![member(id, operator, &[Some(value)])], ..asked(&["Orders.count"], &[]) };
        let refused = compiled(&query).unwrap_err();
        assert_eq!(refused, CubeError::Invalid(format!("Error: Query failed: Error: {text}")));
    }
    let of_text = Filter::Range { member: "Users.city".to_owned(), negated: false, range: days() };
    let refused = compiled(&Query { filters: vec![of_text], ..asked(&["Users.count"], &[]) }).unwrap_err();
    assert_eq!(refused.status(), 400);
}

#[test]
fn a_cube_of_one_project_is_none_of_anothers() {
    let model = Model::parse(
        &[("own.yml", "cubes: [{name: Own, sql_table: own, measures: [{name: count, type: count}]}]")],
        Ownership::Project(7),
    )
    .unwrap();
    let query = asked(&["Own.count"], &[]);
    assert!(compile(&model, &query, 7).is_ok());
    assert_eq!(compile(&model, &query, 8).unwrap_err().to_string(), "Cube 'Own' not found for path 'Own'");
}

#[test]
fn a_rollup_is_a_projection_of_the_table() {
    insta::assert_debug_snapshot!(projections(&shop()));
}

#[test]
fn what_a_rollup_can_answer_is_written_over_its_buckets() {
    let count = || asked(&["Orders.count"], &["Orders.status"]);
    let text = snapshot_of(&[
        ("days", Query { time_dimensions: vec![time(Some("day"), Some(days()))], ..count() }),
        (
            "quarters of the calculated",
            Query {
                time_dimensions: vec![time(Some("quarter"), None)],
                segments: ids(&["Orders.open"]),
                ..asked(&["Orders.paidShare"], &[])
            },
        ),
        (
            "filters by whole days",
            Query {
                filters: vec![
                    Filter::Range { member: "Orders.createdAt".to_owned(), negated: true, range: days() },
                    Filter::Instant {
                        member: "Orders.createdAt".to_owned(),
                        comparison: Comparison::AtOrAfter,
                        instant: instant("2026-01-01T00:00:00Z"),
                    },
                    member("Orders.status", Operator::Equals, &[Some("paid")]),
                ],
                ..count()
            },
        ),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn what_a_rollup_lacks_is_asked_of_the_rows() {
    let day = |query: Query| Query { time_dimensions: vec![time(Some("day"), Some(days()))], ..query };
    let count = || asked(&["Orders.count"], &[]);
    let filtered = |filter: Filter| Query { filters: vec![filter], ..count() };
    let in_zone = Query { zone: TimeZone::get("Asia/Kolkata").unwrap(), ..day(count()) };
    let cases = [
        ("another measure", day(asked(&["Orders.total"], &[]))),
        ("another dimension", day(asked(&["Orders.count"], &["Orders.isPaid"]))),
        ("a finer granularity", Query { time_dimensions: vec![time(Some("hour"), None)], ..count() }),
        ("another zone", in_zone),
        (
            "part of a day",
            Query {
                time_dimensions: vec![time(
                    None,
                    Some(range("2026-11-02T00:00:00Z", "2026-11-02T10:00:00Z")),
                )],
                ..count()
            },
        ),
        (
            "an instant within a day",
            filtered(Filter::Instant {
                member: "Orders.createdAt".to_owned(),
                comparison: Comparison::Before,
                instant: instant("2026-11-02T10:00:00Z"),
            }),
        ),
        (
            "the start of a day and no more",
            filtered(Filter::Instant {
                member: "Orders.createdAt".to_owned(),
                comparison: Comparison::BeforeOrAt,
                instant: instant("2026-11-02T00:00:00Z"),
            }),
        ),
        ("a filter by another dimension", filtered(member("Orders.isPaid", Operator::Set, &[]))),
        ("a filter by another measure", filtered(member("Orders.total", Operator::Gt, &[Some("1")]))),
        ("a measure's conditions", filtered(member("Orders.paid", Operator::MeasureFilter, &[]))),
        ("a filter by the raw time", filtered(member("Orders.createdAt", Operator::Set, &[]))),
        ("rows", Query { ungrouped: true, ..count() }),
        ("joined rows", asked(&["Orders.count"], &["Orders.status", "Users.city"])),
    ];
    for (what, query) in cases {
        assert_eq!(compiled(&query).unwrap().pre_aggregations, [], "{what}");
    }
}

#[test]
fn the_smallest_granularity_stands_under_the_plain_name() {
    let also = |query: &Query| -> Vec<(String, Option<String>)> {
        compiled(query).unwrap().columns.into_iter().map(|column| (column.key, column.also)).collect()
    };
    let plain = Some("Orders.createdAt".to_owned());
    let two = Query { time_dimensions: vec![time(Some("week"), None), time(Some("day"), None)], ..query() };
    assert_eq!(
        also(&two),
        [("Orders.createdAt.week".to_owned(), None), ("Orders.createdAt.day".to_owned(), plain.clone())]
    );
    let selected = Query { dimensions: ids(&["Orders.createdAt"]), ..two };
    assert_eq!(also(&selected).iter().filter(|(_, also)| also.is_some()).count(), 0);
}

#[test]
fn members_that_are_not_selected_order_nothing() {
    let order = |id: &str| Order { id: id.to_owned(), descending: false };
    let query = Query {
        order: Some(vec![
            order("Nope.nope"),
            order("Orders.createdAt"),
            order("Orders.total"),
            order("Orders.status"),
        ]),
        time_dimensions: vec![time(Some("day"), None)],
        ..asked(&["Orders.count"], &["Orders.status"])
    };
    let sql = compiled(&query).unwrap().rows.sql;
    let order = sql.split(" ORDER BY ").nth(1).unwrap();
    assert_eq!(
        order.split(" LIMIT ").next().unwrap(),
        "toDate(toStartOfDay(`orders`.created_at, 'UTC')) ASC, `orders`.status ASC"
    );
}

#[test]
fn the_answer_to_sql_shows_its_order_parameters_and_rollup() {
    let query = Query {
        order: Some(vec![Order { id: "Orders.count".to_owned(), descending: true }]),
        time_dimensions: vec![time(Some("day"), Some(days()))],
        ..asked(&["Orders.count"], &[])
    };
    let request = crate::query::Request { kind: crate::query::QueryKind::Regular, queries: vec![query] };
    insta::assert_json_snapshot!(sql(&shop(), &request, 42).unwrap());
}

#[test]
fn hours_of_a_zone_that_shifts_by_half_of_one_are_local_hours() {
    let query = Query {
        zone: TimeZone::get("Australia/Lord_Howe").unwrap(),
        time_dimensions: vec![time(Some("hour"), None)],
        ..asked(&["Orders.total"], &[])
    };
    let text = shown(&compiled(&query).unwrap().rows);
    insta::assert_snapshot!(text);
}

/// Texts of bytes that no SQL of the model has.
fn foreign() -> impl Strategy<Value = String> {
    "[€§ß°]{1,6}(' OR 1=1 --)?[€§ß°]?"
}

fn any_operator() -> impl Strategy<Value = Operator> {
    prop::sample::select(vec![
        Operator::Equals,
        Operator::NotEquals,
        Operator::Contains,
        Operator::NotContains,
        Operator::StartsWith,
        Operator::NotStartsWith,
        Operator::EndsWith,
        Operator::NotEndsWith,
        Operator::In,
        Operator::NotIn,
        Operator::Gt,
        Operator::Gte,
        Operator::Lt,
        Operator::Lte,
        Operator::Set,
        Operator::NotSet,
        Operator::MeasureFilter,
    ])
}

proptest! {
    #[test]
    fn nothing_of_a_request_is_in_the_text(
        operator in any_operator(),
        id in prop::sample::select(vec!["Users.city", "Users.size", "Users.id", "Orders.isPaid", "Orders.createdAt", "Orders.label", "Orders.first"]),
        values in prop::collection::vec(prop::option::of(foreign()), 1..4),
        labels in (foreign(), foreign()),
        timezone in foreign(),
        order in foreign(),
        granularity in prop::option::of(foreign()),
        segment in prop::option::of(foreign()),
    ) {
        let filter = Filter::Member { member: id.to_owned(), operator, values };
        let time = TimeDimension {
            dimension: "Orders.createdAt".to_owned(),
            granularity,
            range: Some(DateRange { labels: labels.into(), ..days() }),
        };
        let query = Query {
            filters: vec![Filter::Or(vec![filter])],
            time_dimensions: vec![time],
            segments: segment.into_iter().collect(),
            order: Some(vec![Order { id: order, descending: true }]),
            total: true,
            zone: TimeZone::get("Asia/Kolkata").unwrap(),
            timezone,
            ..asked(&["Orders.count", "Users.count"], &["Users.city"])
        };
        if let Ok(compiled) = compiled(&query) {
            for statement in [Some(compiled.rows), compiled.total].into_iter().flatten() {
                prop_assert!(statement.sql.is_ascii() && !statement.sql.contains("1=1"), "{}", statement.sql);
            }
        }
    }

    /// The text depends on the shape of a query only: every value is a parameter.
    #[test]
    fn other_values_leave_the_text_as_it_is(
        operator in any_operator(),
        (one, other) in (1_usize..4).prop_flat_map(|length| {
            let values = || prop::collection::vec(".{0,12}", length);
            (values(), values())
        }),
    ) {
        let text = |values: Vec<String>| {
            let values = values.into_iter().enumerate().map(|(place, value)| Some(format!("{place}{value}"))).collect();
            let filter = Filter::Member { member: "Users.city".to_owned(), operator, values };
            compiled(&Query { filters: vec![filter], ..asked(&["Users.count"], &[]) }).unwrap().rows.sql
        };
        prop_assert_eq!(text(one), text(other));
    }

    /// However a query is put together, each cube's rows are the project's.
    #[test]
    fn every_cube_is_kept_to_the_tenant(
        measures in prop::sample::subsequence(vec!["Users.count", "Orders.count", "OrderItems.quantity", "Users.ordersEach"], 0..4),
        dimensions in prop::sample::subsequence(vec!["Users.city", "Orders.status", "OrderItems.product", "Orders.label"], 1..4),
        ungrouped: bool,
    ) {
        let query = Query { ungrouped, ..asked(&measures, &dimensions) };
        let compiled = compiled(&query).unwrap();
        let sql = &compiled.rows.sql;
        for (table, condition) in [("FROM `users`", "`project_id` = "), ("FROM `shop`.`orders`", "`project_id` = "), ("FROM items", "project = ")] {
            for after in sql.split(table).skip(1) {
                let condition = after.split(condition).nth(1);
                prop_assert!(condition.is_some_and(|after| after.starts_with('{')), "{}", sql);
            }
        }
        let reads = sql.matches("FROM `users`").count() + sql.matches("FROM `shop`.`orders`").count();
        prop_assert_eq!(sql.matches("`project_id` = {").count(), reads, "{}", sql);
    }
}
