//! Models as operators write them: what loads, what is refused with which words, and what answers say about them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::CubeError;
use crate::query::{CacheMode, Query, ResponseFormat, TimeDimension};

/// A cube of every feature and one that it joins.
const SHOP: &str = r#"
cubes:
  - name: Orders
    sql_table: shop.orders
    description: What was sold
    meta: {tenant_column: project_id, owner: sales}
    joins:
      - name: Customers
        relationship: many_to_one
        sql: "{CUBE}.customer_id = {Customers.id}"
    segments:
      - {name: paid, sql: "{CUBE}.paid_at IS NOT NULL", title: Paid in full}
    measures:
      - {name: count, type: count, drill_members: [id, CUBE.total, Customers.name]}
      - {name: total, sql: amount, type: sum, format: currency, description: All of it}
      - {name: paidTotal, sql: "{CUBE}.amount", type: sum, filters: [{sql: "{paid}"}, {sql: "{CUBE}.amount > 0"}]}
      - {name: buyers, sql: "{CUBE}.customer_id", type: count_distinct}
      - {name: paidShare, sql: "100.0 * {paidTotal} / NULLIF({CUBE.total}, 0)", type: number, format: percent_1}
      - {name: lastAt, sql: MAX(created_at), type: time, meta: {unit: day}}
      - {name: secret, sql: amount, type: max, public: false}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: createdAt, sql: created_at, type: time, format: "%Y-%m-%d"}
      - {name: country, sql: "upper({Customers.country})", type: string, suggest_filter_values: false}
      - name: size
        type: string
        case:
          when:
            - {sql: "{CUBE}.amount > 100", label: large}
            - {sql: "{CUBE}.amount > 10", label: {sql: "{CUBE}.size_name"}}
          else: {label: small}
      - {name: place, type: geo, latitude: {sql: lat}, longitude: {sql: "{CUBE}.lon"}}
      - {name: link, sql: url, type: string, format: {type: link, label: Open}}
    pre_aggregations:
      - {name: daily, type: rollup, measures: [count, total], dimensions: [link], segments: [CUBE.paid], time_dimension: CUBE.createdAt, granularity: day, refresh_key: {every: 1 hour}}
    hierarchies:
      - {name: when, title: When, levels: [createdAt, size]}
  - name: Customers
    sql: SELECT * FROM shop.customers WHERE project_id = {TENANT}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: name, sql: name, type: string}
      - {name: country, sql: country, type: string}
"#;

fn shop() -> Model {
    Model::parse(&[("shop.yml", SHOP)], Ownership::Shared).unwrap()
}

/// One cube with these fields, as errors see it: its fields begin in the third line.
fn refused(fields: &str) -> String {
    let text = format!("cubes:\n  - name: T\n{fields}\n");
    Model::parse(&[("t.yml", text)], Ownership::Project(1))
        .map(|model| format!("{model:?}"))
        .unwrap_err()
        .to_string()
}

#[test]
fn the_built_in_model_loads() {
    assert!(Model::built_in().cube("TrackedEvents").is_some());
}

#[test]
fn every_file_of_the_schemas_is_built_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/cubes");
    let files = Model::load_folder(&folder, Ownership::Shared).unwrap();
    let names = |model: &Model| model.cubes.iter().map(|cube| cube.name.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names(&files), names(&Model::built_in()));
}

#[test]
fn lines_of_sql_stay_lines() {
    let text = "cubes:\n  - name: T\n    sql: >-\n      SELECT 1 AS a, -- it's > one\n      2 AS b\n    segments:\n      - sql: >\n          a -- b\n          > 1\n        name: s\n";
    let model = Model::parse(&[("t.yml", text)], Ownership::Project(1)).unwrap();
    let sql = |sql: &Sql| sql.0.clone();
    let Source::Select(source) = &model.cubes[0].source else { panic!("a SELECT") };
    assert_eq!(sql(source), [Piece::Text("SELECT 1 AS a, \n2 AS b".to_owned())]);
    assert_eq!(sql(&model.segment("T.s").unwrap().sql), [Piece::Text("a \n> 1".to_owned())]);
}

#[test]
fn references_are_resolved_and_sources_known() {
    let model = shop();
    let orders = model.cube("Orders").unwrap();
    assert_eq!(
        (orders.alias.as_str(), orders.title.as_str(), &orders.tenant),
        ("orders", "Orders", &Tenant::Column("project_id".to_owned()))
    );
    assert!(matches!(&orders.source, Source::Table(table) if table == "shop.orders"));
    assert_eq!(model.cube("Customers").unwrap().tenant, Tenant::InSource);
    let share = model.measure("Orders.paidShare").unwrap();
    let text = |text: &str| Piece::Text(text.to_owned());
    let member = |id: &str| Piece::Member(id.to_owned());
    assert_eq!(
        share.sql.as_ref().unwrap().0,
        [
            text("100.0 * "),
            member("Orders.paidTotal"),
            text(" / NULLIF("),
            member("Orders.total"),
            text(", 0)")
        ]
    );
    assert_eq!(
        model.measure("Orders.count").unwrap().drill_members,
        ["Orders.id", "Orders.total", "Customers.name"]
    );
    let rollup = &orders.pre_aggregations[0];
    assert_eq!(rollup.time, Some(("Orders.createdAt".to_owned(), "day".to_owned())));
    assert_eq!(rollup.segments, ["Orders.paid"]);
    assert!(
        matches!(&model.dimension("Orders.size").unwrap().expression, Expression::Case { when, .. } if when.len() == 2)
    );
}

#[test]
fn lookups_fail_in_cubes_words() {
    let model = shop();
    for (error, text) in [
        (model.measure("Orders.nope").unwrap_err(), "'nope' not found for path 'Orders.nope'"),
        (model.measure("Orders.createdAt").unwrap_err(), "'createdAt' not found for path 'Orders.createdAt'"),
        (model.dimension("Orders.count").unwrap_err(), "'count' not found for path 'Orders.count'"),
        (model.segment("Orders.x").unwrap_err(), "'x' not found for path 'Orders.x'"),
        (model.member("Nope.count").unwrap_err(), "Cube 'Nope' not found for path 'Nope.count'"),
    ] {
        assert_eq!(error, CubeError::User(text.to_owned()));
    }
    assert!(matches!(model.member("Orders.count"), Ok(Member::Measure(_))));
    assert!(matches!(model.member("Orders.id"), Ok(Member::Dimension(_))));
}

#[test]
fn both_spellings_of_cubes_keys_are_one() {
    let camel = r#"
cubes:
  - name: T
    sqlTable: t
    sqlAlias: tee
    joins: [{name: O, relationship: belongsTo, sql: "{CUBE}.o = {O.id}"}]
    measures: [{name: u, sql: x, type: countDistinctApprox, drillMembers: [id], shown: false}]
    dimensions: [{name: id, sql: id, type: number, primaryKey: true, suggestFilterValues: false}, {name: at, sql: at, type: time}]
    preAggregations: [{name: p, measures: [u], timeDimension: at, granularity: day, partitionGranularity: month}]
  - {name: O, sqlTable: o, dimensions: [{name: id, sql: id, type: number, primaryKey: true}]}
"#;
    let mut snake = camel.to_owned();
    for key in [
        "sqlTable",
        "sqlAlias",
        "countDistinctApprox",
        "drillMembers",
        "primaryKey",
        "suggestFilterValues",
        "preAggregations",
        "timeDimension",
        "partitionGranularity",
        "belongsTo",
    ] {
        snake = snake.replace(key, &underscore(key));
    }
    let snake = snake.replace("belongs_to", "many_to_one").replace("shown: false", "public: false");
    let load = |text: &str| format!("{:?}", Model::parse(&[("t.yml", text)], Ownership::Project(1)).unwrap());
    assert_ne!(camel, snake);
    assert_eq!(load(camel), load(&snake));
}

#[test]
fn a_table_that_is_wholly_selected_is_that_table() {
    for (sql, table) in
        [("SELECT * FROM db.t", Some("db.t")), ("select *\n from t", Some("t")), ("SELECT a FROM t", None)]
    {
        let text = format!("cubes: [{{name: T, sql: {sql:?}}}]");
        let model = Model::parse(&[("t.yml", text)], Ownership::Project(1)).unwrap();
        let found = match &model.cubes[0].source {
            Source::Table(table) => Some(table.as_str()),
            Source::Select(_) => None,
        };
        assert_eq!(found, table, "{sql}");
    }
}

/// Fields of a cube and what is said of them.
const REFUSED: &[(&str, &str)] = &[
    (
        "    sql_table: t\n    dimensions: [{name: a, type: string, sql: '{b}'}, {name: b, type: string, sql: '{a}'}]\n    pre_aggregations: [{name: p, dimensions: [a]}]",
        "T.a: needs itself",
    ),
    ("    sql_table: t\n    dimensions:\n      - {name: a, sql: a}", "t.yml:5: T.a: `type` is missing"),
    ("", "t.yml:2: T: must have either `sql` or `sql_table`"),
    ("    sql: SELECT 1\n    sql_table: t", "t.yml:2: T: must have either `sql` or `sql_table`"),
    ("    sql_table: 't; x'", "t.yml:3: T: `sql_table` \"t; x\" is not the name of a table"),
    ("    sql: t", "t.yml:3: T: `sql` must be a SELECT"),
    ("    sql: SELECT {CUBE}.a", "t.yml:3: T: `sql`: a cube's `sql` may refer to {TENANT} only"),
    ("    sql_table: t\n    meta: {tenant_column: 1}", "t.yml:4: T: `meta.tenant_column` 1 is not"),
    ("    sql_table: t\n    extends: O", "t.yml:4: T: `extends` is not supported here"),
    ("    sql_table: t\n    access_policy: []", "t.yml:4: T: `access_policy` is not supported here"),
    ("    sql_table: t\n    data_source: other", "t.yml:4: T: there is one data source"),
    ("    sql_table: t\n    public: 1", "t.yml:4: T: `public` must be true or false"),
    ("    sql_table: t\n    measures: {a: 1}", "t.yml:4: T: `measures` must be a list"),
    ("    sql_table: t\n    measures:\n      - {type: count}", "t.yml:5: T: `name` is missing"),
    (
        "    sql_table: t\n    measures:\n      - {name: a-b, type: count}",
        "t.yml:5: T.a-b: \"a-b\" can't be a name",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: rank}",
        "t.yml:5: T.a: `type` \"rank\" is none of those supported: count,",
    ),
    ("    sql_table: t\n    measures:\n      - {name: a, type: sum}", "t.yml:5: T.a: `sql` is missing"),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: sum, sql: x, rolling_window: {}}",
        "T.a: `rolling_window` is not supported here",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: sum, sql: '{b} / 2'}",
        "T.a: `sql`: {b} is neither a member of T nor a cube",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: count}\n      - {name: a, type: count}",
        "t.yml:6: T.a: a second member of this name",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: count}\n    dimensions:\n      - {name: a, type: time, sql: a}",
        "t.yml:7: T.a: a second member of this name",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: number, sql: '{a} + 1'}",
        "t.yml:5: T.a: needs itself: T.a -> T.a",
    ),
    (
        "    sql_table: t\n    dimensions:\n      - {name: a, type: string, sql: '{b}'}\n      - {name: b, type: string, sql: '{a}'}",
        "T.a: needs itself: T.a -> T.b -> T.a",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: count}\n    dimensions:\n      - {name: d, type: number, sql: '{a} + 1'}",
        "t.yml:7: T.d: `sql`: refers to the measure {T.a}",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: count}\n      - {name: b, type: sum, sql: '{a}'}",
        "t.yml:6: T.b: `sql`: aggregates the measure {T.a}",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: number, sql: amount}",
        "t.yml:5: T.a: is neither an aggregate nor computed of measures",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: number, sql: SUM(x), filters: [{sql: y}]}",
        "t.yml:5: T.a: `filters` need an aggregate",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: count, format: precent}",
        "t.yml:5: T.a: `format` is none",
    ),
    (
        "    sql_table: t\n    measures:\n      - {name: a, type: count, drill_members: [x]}",
        "T.a: `drill_members`: T has no member x",
    ),
    ("    sql_table: t\n    dimensions:\n      - {name: a, type: string}", "t.yml:5: T.a: `sql` is missing"),
    (
        "    sql_table: t\n    dimensions:\n      - {name: a, type: string, sql: b, sub_query: true}",
        "T.a: `sub_query` is not supported here",
    ),
    (
        "    sql_table: t\n    dimensions:\n      - {name: a, type: geo, sql: b}",
        "t.yml:5: T.a: `latitude` is missing",
    ),
    (
        "    sql_table: t\n    dimensions:\n      - {name: a, type: string, case: {when: [{sql: x}]}}",
        "T.a: `label` is missing",
    ),
    (
        "    sql_table: t\n    segments:\n      - {name: a, sql: '('}",
        "t.yml:5: T.a: `sql`: a bracket that is not closed",
    ),
    (
        "    sql_table: t\n    joins:\n      - {name: O, relationship: one_to_one, sql: '{CUBE}.a = 1'}",
        "t.yml:5: T: joins O, but there is no cube O",
    ),
    (
        "    sql_table: t\n    joins:\n      - {name: T, relationship: one_to_one, sql: '1'}",
        "t.yml:5: T: joins itself",
    ),
    (
        "    sql_table: t\n    joins:\n      - {name: T, relationship: many_to_many, sql: '1'}",
        "`relationship` \"many_to_many\" is none",
    ),
    (
        "    sql_table: t\n    dimensions:\n      - {name: a, type: string, sql: '{O}.x'}\n  - {name: O, sql_table: o}",
        "t.yml:5: T.a: refers to O, which no join leads to",
    ),
    (
        "    sql_table: t\n    measures: [{name: c, type: count}]\n    joins:\n      - {name: O, relationship: many_to_one, sql: '{CUBE}.o = {O}.id'}\n  - {name: O, sql_table: o}",
        "t.yml:2: T: primary key for 'T' is required when join is defined",
    ),
    (
        "    sql: SELECT 1\n    measures: [{name: c, type: count}]\n    pre_aggregations:\n      - {name: p, measures: [c]}",
        "T: `pre_aggregations` are kept by a table",
    ),
    (
        "    sql_table: t\n    pre_aggregations:\n      - {name: p, type: original_sql}",
        "T.p: `type` \"original_sql\" is none of those supported: rollup",
    ),
    (
        "    sql_table: t\n    pre_aggregations:\n      - {name: p}",
        "t.yml:5: T.p: has neither `measures` nor `dimensions`",
    ),
    (
        "    sql_table: t\n    measures: [{name: c, type: count}]\n    pre_aggregations:\n      - {name: p, measures: [c], granularity: day}",
        "T.p: `time_dimension` and `granularity` go together",
    ),
    (
        "    sql_table: t\n    measures: [{name: c, type: count}, {name: n, type: number, sql: '{c} + 1'}]\n    pre_aggregations:\n      - {name: p, measures: [n]}",
        "t.yml:6: T.p: T.n is computed of aggregates",
    ),
    (
        "    sql_table: t\n    measures: [{name: c, type: count}]\n    dimensions: [{name: d, type: string, sql: d}]\n    pre_aggregations:\n      - {name: p, measures: [c], time_dimension: d, granularity: day}",
        "t.yml:7: T.p: T.d is no time",
    ),
    (
        "    sql_table: t\n  - {name: T, sql_table: t}",
        "t.yml:4: T: a second cube of this name; the first is at t.yml:2",
    ),
    ("    sql_table: t\n  - {name: t, sql_table: t}", "t.yml:4: t: has the same name in SQL as T"),
    ("    sql_table: t\nviews: []", "t.yml:4: `views` is not supported here"),
    ("    sql_table: t\n    title: [", "t.yml:"),
    ("    sql_table: t\n    sqlTable: t", "`sql_table` is given twice"),
];

#[test]
fn what_can_not_be_compiled_is_refused_with_its_line() {
    for (fields, error) in REFUSED {
        let found = refused(fields);
        assert!(
            found.lines().any(|line| line.contains(error)),
            "{fields}\nexpected {error}\nfound    {found}"
        );
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let found = refused(
        "    sql_table: t\n    measures:\n      - {name: a, type: sum}\n      - {name: b, type: rank}",
    );
    assert_eq!(found.lines().count(), 2, "{found}");
    let files = [
        ("a.yml", "cubes: [{name: A}]"),
        ("b.yml", "cubes: [{name: B, sql_table: b}, {name: B, sql_table: c}]"),
    ];
    let errors = Model::parse(&files, Ownership::Project(1)).unwrap_err();
    assert_eq!(errors.0.iter().map(|error| error.file.as_str()).collect::<Vec<_>>(), ["a.yml", "b.yml"]);
    assert!(found.starts_with("data model: t.yml:5: T.a: "), "{found}");
}

#[test]
fn shared_cubes_must_say_whose_rows_are_whose() {
    let text = "cubes: [{name: T, sql_table: t}]";
    let error = Model::parse(&[("t.yml", text)], Ownership::Shared).unwrap_err().to_string();
    assert!(
        error.starts_with("data model: t.yml:1: T: does not say which project a row belongs to"),
        "{error}"
    );
    let own = Model::parse(&[("t.yml", text)], Ownership::Project(7)).unwrap();
    assert_eq!(own.cubes[0].tenant, Tenant::Project(7));
}

#[test]
fn cubes_of_a_folder_replace_those_of_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("more")).unwrap();
    fs::write(folder.path().join("more/a.yaml"), "cubes: [{name: Customers, sql_table: mine, dimensions: [{name: id, sql: id, type: number, primary_key: true}, {name: name, sql: name, type: string}, {name: country, sql: c, type: string}]}]").unwrap();
    fs::write(folder.path().join("b.yml"), "cubes: [{name: Own, sql_table: own, joins: [{name: Orders, relationship: one_to_one, sql: \"{CUBE}.o = {Orders.id}\"}]}]").unwrap();
    fs::write(folder.path().join("notes.txt"), "not: [yaml").unwrap();
    fs::create_dir(folder.path().join("..data")).unwrap();
    fs::copy(folder.path().join("b.yml"), folder.path().join("..data/b.yml")).unwrap();
    let model = shop().with_folder(folder.path(), Ownership::Project(3)).unwrap();
    let cubes: Vec<_> =
        model.cubes.iter().map(|cube| (cube.name.as_str(), cube.file.as_str(), &cube.tenant)).collect();
    assert_eq!(
        cubes,
        [
            ("Orders", "shop.yml", &Tenant::Column("project_id".to_owned())),
            ("Own", "b.yml", &Tenant::Project(3)),
            ("Customers", "more/a.yaml", &Tenant::Project(3)),
        ]
    );
    let missing = Model::load_folder(&folder.path().join("none"), Ownership::Shared).unwrap_err().to_string();
    assert!(missing.contains("none: "), "{missing}");
}

#[test]
fn a_cube_that_replaces_another_must_have_what_others_need() {
    let text = "cubes: [{name: Customers, sql_table: mine, dimensions: [{name: id, sql: id, type: number, primary_key: true}]}]";
    let error = shop().with_files(&[("own.yml", text)], Ownership::Project(3)).unwrap_err().to_string();
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "data model: shop.yml: Orders.country: refers to Customers.country, which is not there any more",
            "data model: shop.yml: Orders.count: drills down by Customers.name, which is not there any more",
        ]
    );
}

#[test]
fn meta_has_cubes_keys() {
    insta::assert_json_snapshot!(meta(&shop(), true));
}

#[test]
fn meta_shows_sql_only_when_asked() {
    let plain = meta(&shop(), false).to_string();
    assert!(
        !plain.contains("\"sql\"") && !plain.contains("shop.yml") && !plain.contains("tenant_column"),
        "{plain}"
    );
}

#[test]
fn members_and_cubes_that_are_not_public_are_not_shown() {
    let model = Model::parse(
        &[("t.yml", "cubes: [{name: A, sql_table: a, public: false, measures: [{name: c, type: count}]}, {name: B, sql_table: b}]")],
        Ownership::Project(1),
    )
    .unwrap();
    assert_eq!(meta(&model, false), json!({"cubes": []}));
}

fn query(measures: &[&str], dimensions: &[&str], times: &[(&str, Option<&str>)]) -> Query {
    let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    Query {
        measures: owned(measures),
        dimensions: owned(dimensions),
        segments: vec!["Orders.paid".to_owned()],
        time_dimensions: times
            .iter()
            .map(|(dimension, granularity)| TimeDimension {
                dimension: (*dimension).to_owned(),
                granularity: granularity.map(str::to_owned),
                range: None,
            })
            .collect(),
        filters: Vec::new(),
        order: None,
        limit: 10,
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

#[test]
fn annotations_describe_what_is_selected() {
    let measures = ["Orders.count", "Orders.total", "Orders.paidShare", "Orders.lastAt", "Orders.secret"];
    let dimensions = ["Orders.size", "Orders.link"];
    let times =
        [("Orders.createdAt", Some("day")), ("Orders.createdAt", Some("Day")), ("Orders.createdAt", None)];
    insta::assert_json_snapshot!(annotation(&shop(), &query(&measures, &dimensions, &times)));
}

#[test]
fn a_time_dimension_that_is_a_dimension_too_stands_once_plain() {
    let query = query(&[], &["Orders.createdAt"], &[("Orders.createdAt", Some("month"))]);
    let annotation = annotation(&shop(), &query);
    let keys: Vec<&String> = annotation["timeDimensions"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Orders.createdAt.month"]);
    assert!(annotation["dimensions"]["Orders.createdAt"].is_object());
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in r#"(cubes: ?|- |name: |T|sql: |measures: |[\{\}\[\],:'"\\ \n]|\$|--|/\*|é){0,40}"#) {
        let _ = Model::parse(&[("t.yml", text)], Ownership::Project(1));
    }

    #[test]
    fn no_sql_breaks_the_reader(text in r#"([\{\}\(\)'"`\\ \n;]|CUBE|a|\$|--|/\*|\*/|é|# ){0,30}"#) {
        let text = format!("cubes: [{{name: T, sql_table: t, segments: [{{name: s, sql: {}}}]}}]", json!(text));
        let _ = Model::parse(&[("t.yml", text)], Ownership::Project(1));
    }
}
