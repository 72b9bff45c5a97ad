//! Hostile queries: well-formed ones over the members that `/meta` names, with text meant to break out of SQL wherever a request
//! may hold text. Every hostile text holds [`MARKER`], and valid dates, time zones and names of formats are ones that nothing
//! but a request would bring, so that each is found wherever it goes.

use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::{Map, Value, json};

/// In every hostile text.
pub const MARKER: &str = "zqfuzz";

/// What valid dates begin with: no row and no program has such a year.
pub const YEAR: &str = "203";

/// Valid time zones that nothing but a request asks for.
pub const TIME_ZONES: &[&str] =
    &["Pacific/Kiritimati", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Antarctica/Troll"];

const OPERATORS: &[&str] = &[
    "equals",
    "notEquals",
    "contains",
    "notContains",
    "startsWith",
    "notStartsWith",
    "endsWith",
    "notEndsWith",
    "in",
    "notIn",
    "gt",
    "gte",
    "lt",
    "lte",
    "set",
    "notSet",
    "measureFilter",
];

const TIME_OPERATORS: &[&str] = &[
    "inDateRange",
    "notInDateRange",
    "onTheDate",
    "beforeDate",
    "beforeOrOnDate",
    "afterDate",
    "afterOrOnDate",
    "equals",
    "gt",
    "notSet",
];

const GRANULARITIES: &[&str] = &["second", "minute", "hour", "day", "week", "month", "quarter", "year"];

const RELATIVE: &[&str] = &[
    "today",
    "yesterday",
    "last week",
    "last 30 days",
    "this year",
    "from 7 days ago to now",
    "next month",
    "last 0 days",
];

/// `@` stands for the marker with a number that no other text has.
const ATTACKS: &[&str] = &[
    "@",
    "'@",
    "@'",
    "' OR '@' = '@",
    "@') OR 1=1 --",
    "@' UNION ALL SELECT * FROM page_events --",
    "@\\",
    "@\\'",
    "\\'@",
    "@'; DROP TABLE page_events; --",
    "@\"",
    "`@`",
    "\"@\"",
    "@{p0:String}",
    "{p1:@}",
    "{@:Identifier}",
    "{TENANT}@",
    "{CUBE}.@",
    "${@}",
    "@ /*",
    "*/ @ /*",
    "-- @",
    "@\n; SELECT 1",
    "@\t\r\n\u{8}",
    "@\0",
    "\0@",
    "%@%",
    "_@_",
    "@\u{2bc} OR 1=1",
    "@\u{ff07}",
    "'||@||'",
    "0x@",
    "@)",
    "((@",
    "@,",
    "1e999@",
    "@\u{1f600}",
    "@\\N",
    "\\N@",
    "[@",
    "['@']",
    "toString(@)",
    "project_id = 6 OR @",
    "@' AS project_id, '",
    "@ FORMAT Null",
    "@ SETTINGS max_threads=1",
    "@ INTO OUTFILE '/tmp/@'",
    "*.@",
];

/// A member as `/meta` describes it.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub is_time: bool,
}

/// The members of one cube.
#[derive(Clone, Debug, Default)]
pub struct Cube {
    pub measures: Vec<Member>,
    pub dimensions: Vec<Member>,
    pub segments: Vec<Member>,
}

/// Makes queries over these cubes.
pub struct Generator<'c> {
    pub random: SmallRng,
    pub cubes: &'c [Cube],
    /// How many hostile texts there were.
    pub hostile: u64,
}

impl Generator<'_> {
    fn one_in(&mut self, times: u32) -> bool {
        self.random.random_ratio(1, times)
    }

    fn pick<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        &values[self.random.random_range(0..values.len())]
    }

    /// A hostile text that was never before.
    pub fn hostile(&mut self) -> String {
        self.hostile += 1;
        let number: u64 = self.random.random();
        let text = self.pick(ATTACKS).replace('@', &format!("{MARKER}{number:016x}"));
        if self.one_in(50) { format!("{text}{}", "'\\\"`".repeat(2_000)) } else { text }
    }

    /// A valid text, or, once in `times`, a hostile one.
    fn rarely_hostile(&mut self, times: u32, valid: impl FnOnce(&mut Self) -> String) -> String {
        if self.one_in(times) { self.hostile() } else { valid(self) }
    }

    /// A member's name; a hostile one may look like a member.
    fn name(&mut self, members: &[Member]) -> Value {
        if members.is_empty() || self.one_in(60) {
            let text = self.hostile();
            return match self.random.random_range(0..3) {
                0 => json!(text),
                1 => json!(format!("TrackedEvents.{text}")),
                _ => json!(format!("TrackedEvents.{MARKER}{}", self.random.random::<u64>())),
            };
        }
        json!(self.pick(members).name)
    }

    fn names(&mut self, members: &[Member], most: usize) -> Value {
        let most = if members.is_empty() { usize::from(self.one_in(20)) } else { most };
        let count = self.random.random_range(0..=most);
        Value::Array((0..count).map(|_| self.name(members)).collect())
    }

    fn date(&mut self) -> String {
        let (year, month) = (self.random.random_range(0..10), self.random.random_range(1..13));
        let day = format!("{YEAR}{year}-{month:02}-{:02}", self.random.random_range(1..29));
        match self.random.random_range(0..3) {
            0 => day,
            1 => format!("{day}T{:02}:30:00", self.random.random_range(0..24)),
            _ => format!("{day}T01:02:03.456Z"),
        }
    }

    fn date_range(&mut self) -> Value {
        match self.random.random_range(0..8) {
            0..4 => json!([self.rarely_hostile(15, Self::date), self.rarely_hostile(15, Self::date)]),
            4..6 => json!(self.rarely_hostile(4, |this| (*this.pick(RELATIVE)).to_owned())),
            6 => json!(["2000-01-01", "2030-01-01"]),
            _ => json!([self.date()]),
        }
    }

    fn time_dimension(&mut self, cube: &Cube) -> Value {
        let times: Vec<Member> = cube.dimensions.iter().filter(|member| member.is_time).cloned().collect();
        let mut dimension = Map::from_iter([("dimension".to_owned(), self.name(&times))]);
        if !self.one_in(4) {
            let granularity = self.rarely_hostile(12, |this| (*this.pick(GRANULARITIES)).to_owned());
            dimension.insert("granularity".to_owned(), json!(granularity));
        }
        if self.one_in(8) {
            dimension.insert("compareDateRange".to_owned(), json!([self.date_range(), self.date_range()]));
        } else if !self.one_in(3) {
            dimension.insert("dateRange".to_owned(), self.date_range());
        }
        Value::Object(dimension)
    }

    fn value(&mut self) -> Value {
        match self.random.random_range(0..8) {
            0 => json!(self.random.random_range(-5..700)),
            1 => json!(self.date()),
            2 => Value::Null,
            3 => json!(self.random.random::<bool>()),
            _ => json!(self.hostile()),
        }
    }

    fn filter(&mut self, cube: &Cube, depth: u32) -> Value {
        if depth < 3 && self.one_in(4) {
            let filters: Vec<Value> =
                (0..self.random.random_range(0..3)).map(|_| self.filter(cube, depth + 1)).collect();
            return if self.one_in(2) { json!({ "or": filters }) } else { json!({ "and": filters }) };
        }
        // Measures and dimensions do not go together in one condition.
        let members = if depth == 0 && self.one_in(4) { &cube.measures } else { &cube.dimensions };
        let member = self.name(members);
        let is_time = members.iter().any(|known| known.is_time && member == known.name.as_str());
        let operators = if is_time && !self.one_in(8) { TIME_OPERATORS } else { OPERATORS };
        let operator = self.rarely_hostile(40, |this| (*this.pick(operators)).to_owned());
        let values: Vec<Value> = (0..self.random.random_range(1..4))
            .map(|_| if is_time && !self.one_in(8) { json!(self.date()) } else { self.value() })
            .collect();
        let key = if self.one_in(10) { "dimension" } else { "member" };
        json!({key: member, "operator": operator, "values": values})
    }

    fn order(&mut self, cube: &Cube) -> Value {
        let member = self.name(&cube.measures);
        let direction = self.rarely_hostile(8, |this| (*this.pick(&["asc", "desc"])).to_owned());
        if self.one_in(2) {
            return json!([[member, direction]]);
        }
        let key = member.as_str().unwrap_or_default().to_owned();
        Value::Object(Map::from_iter([(key, json!(direction))]))
    }

    /// A query: what it must have, and what it may.
    pub fn query(&mut self) -> Value {
        let cubes = self.cubes;
        let cube = self.pick(cubes);
        let mut query = Map::new();
        let mut put = |key: &str, value: Value| query.insert(key.to_owned(), value);
        put("measures", self.names(&cube.measures, 2));
        put("dimensions", self.names(&cube.dimensions, 2));
        if self.one_in(2) {
            put("timeDimensions", json!([self.time_dimension(cube)]));
        }
        if !self.one_in(3) {
            let count = self.random.random_range(1..4);
            put("filters", (0..count).map(|_| self.filter(cube, 0)).collect());
        }
        if self.one_in(4) {
            put("segments", self.names(&cube.segments, 2));
        }
        if self.one_in(3) {
            put("order", self.order(cube));
        }
        if self.one_in(4) {
            put(
                "limit",
                if self.one_in(10) {
                    json!(self.hostile())
                } else {
                    json!(self.random.random_range(0..50_500))
                },
            );
        }
        if self.one_in(6) {
            put(
                "offset",
                if self.one_in(10) { json!(self.hostile()) } else { json!(self.random.random_range(0..5)) },
            );
        }
        if self.one_in(6) {
            put("total", json!(true));
        }
        if self.one_in(8) {
            put("ungrouped", json!(true));
        }
        if self.one_in(3) {
            put("timezone", json!(self.rarely_hostile(5, |this| (*this.pick(TIME_ZONES)).to_owned())));
        }
        if self.one_in(8) {
            put(
                "responseFormat",
                json!(self.rarely_hostile(4, |this| (*this.pick(&["compact", "columnar"])).to_owned())),
            );
        }
        if self.one_in(40) {
            let key = self.hostile();
            put(&key, json!(1));
        }
        Value::Object(query)
    }
}
