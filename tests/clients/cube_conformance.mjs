// What @cubejs-client/core makes of Tally's answers, old and new, under one base URL. The data are what
// tests/product_analytics/visits.rs writes: days 1, 2, 3, 5, 6 and 7 have ten page views a day number, by turns on / and
// /pricing, by five users, and three link clicks a day. Prints a line for each thing that was tried; ends with 1 if one failed.
// Arguments: the base URL, the ISO date of day 1, a token; then `gitlab` where the base is GitLab's and the token a personal
// one, or `cube` where it is Cube's and the token a JWT. TALLY_NODE_MODULES says where the packages are.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TALLY_NODE_MODULES, "x.js"));
const clients = { "1.7.43": require("@cubejs-client/core"), "0.35.23": require("cube-legacy") };

const [base, firstDay, token, layer] = process.argv.slice(2);
const gitlab = layer === "gitlab";
const day = (number) => new Date(Date.parse(firstDay) + (number - 1) * 86_400_000).toISOString().slice(0, 10);
const views = { 1: 10, 2: 20, 3: 30, 4: 0, 5: 50, 6: 60, 7: 70 };
const days = Object.keys(views);
const week = [day(1), day(7)];
const time = "TrackedEvents.derivedTstamp";
const perDay = (measure) => ({ measures: [measure], timeDimensions: [{ dimension: time, granularity: "day", dateRange: week }] });

// A limit that nobody else asks for, so that no answer to another is one to this.
const unheardOf = () => 100 + Math.floor(Math.random() * 9_000);

// GitLab's front end hands the client a transport of its own, and the client then sends `Authorization: undefined`.
function construct(client) {
  if (!gitlab) {
    return new client.CubeApi(token, { apiUrl: base });
  }
  const headers = { "X-CSRF-Token": "csrf", "X-Requested-With": "XMLHttpRequest", "PRIVATE-TOKEN": token };
  const transport = new client.HttpTransport({ apiUrl: base, method: "POST", headers, credentials: "same-origin" });
  return new client.CubeApi("1", { transport });
}

const checks = {
  async "load gives text for numbers and null for nothing"(cube) {
    const result = await cube.load({ measures: ["TrackedEvents.count", "TrackedEvents.linkClicksCount"] });
    assert.deepEqual(result.rawData(), [{ "TrackedEvents.count": "258", "TrackedEvents.linkClicksCount": "18" }]);
  },
  async "load casts numbers where it is asked to"(cube) {
    const seen = [];
    const options = { castNumerics: true, progressCallback: (progress) => seen.push(progress) };
    const result = await cube.load({ measures: ["TrackedEvents.pageViewsCount", "TrackedEvents.uniqueUsersCount"] }, options);
    assert.deepEqual(result.rawData(), [{ "TrackedEvents.pageViewsCount": 240, "TrackedEvents.uniqueUsersCount": 5 }]);
    assert.deepEqual(seen, []);
  },
  async "filters, segments and order select what they say"(cube) {
    const result = await cube.load({
      measures: ["Visits.count"],
      dimensions: ["Visits.path"],
      segments: ["Visits.views"],
      filters: [{ or: [{ member: "Visits.user", operator: "equals", values: ["u1"] }, { member: "Visits.user", operator: "equals", values: ["u2"] }] }],
      order: [["Visits.path", "desc"]],
    });
    assert.deepEqual(result.rawData(), [
      { "Visits.path": "/pricing", "Visits.count": "48" },
      { "Visits.path": "/", "Visits.count": "48" },
    ]);
  },
  async "total counts the groups beyond the limit"(cube) {
    const result = await cube.load({ measures: ["Visits.count"], dimensions: ["Visits.user"], limit: 2, offset: 1, total: true, order: { "Visits.user": "asc" } });
    assert.equal(result.totalRows?.() ?? result.loadResponses[0].total, 5);
    assert.deepEqual(result.rawData().map((row) => row["Visits.user"]), ["u1", "u2"]);
  },
  async "series are named by titles"(cube) {
    const result = await cube.load({ ...perDay("TrackedEvents.pageViewsCount"), measures: ["TrackedEvents.pageViewsCount", "TrackedEvents.count"] });
    const meta = await cube.meta();
    const titles = meta.membersForQuery({}, "measures").filter(({ name }) => ["TrackedEvents.pageViewsCount", "TrackedEvents.count"].includes(name));
    assert.deepEqual(result.seriesNames().map(({ title }) => title).sort(), titles.map(({ title }) => title).sort());
    assert.ok(result.seriesNames().every(({ title }) => title?.startsWith("Tracked Events ")));
  },
  async "chartPivot fills the day on which nothing happened"(cube) {
    const result = await cube.load(perDay("TrackedEvents.pageViewsCount"));
    assert.deepEqual(
      result.chartPivot().map(({ x, ...values }) => [x, values["TrackedEvents.pageViewsCount"]]),
      days.map((number) => [`${day(Number(number))}T00:00:00.000`, views[number]]),
    );
    assert.equal(result.series()[0].series.length, 7);
  },
  async "pivot turns rows into columns"(cube) {
    const result = await cube.load({
      measures: ["TrackedEvents.pageViewsCount"],
      dimensions: ["TrackedEvents.pageUrlpath"],
      timeDimensions: [{ dimension: time, granularity: "day", dateRange: [day(5), day(6)] }],
    });
    const config = { x: [`${time}.day`], y: ["TrackedEvents.pageUrlpath", "measures"] };
    const pivoted = result.pivot(config).map(({ xValues, yValuesArray }) => [xValues[0].slice(0, 10), Object.fromEntries(yValuesArray.map(([key, value]) => [key[0], value]))]);
    assert.deepEqual(pivoted, [
      [day(5), { "/": "25", "/pricing": "25" }],
      [day(6), { "/": "30", "/pricing": "30" }],
    ]);
  },
  async "tablePivot and its columns agree"(cube) {
    const result = await cube.load({ measures: ["TrackedEvents.count"], dimensions: ["TrackedEvents.pageUrlpath"], order: { "TrackedEvents.pageUrlpath": "asc" } });
    assert.deepEqual(result.tablePivot(), [
      { "TrackedEvents.pageUrlpath": "/", "TrackedEvents.count": "138" },
      { "TrackedEvents.pageUrlpath": "/pricing", "TrackedEvents.count": "120" },
    ]);
    assert.deepEqual(result.tableColumns().map(({ key, type }) => [key, type]), [["TrackedEvents.pageUrlpath", "string"], ["TrackedEvents.count", "number"]]);
  },
  async "compareDateRange gives one series a range"(cube) {
    const compared = { dimension: time, granularity: "day", compareDateRange: [[day(1), day(2)], [day(6), day(7)]] };
    const result = await cube.load({ measures: ["TrackedEvents.pageViewsCount"], timeDimensions: [compared] });
    const parts = result.decompose();
    assert.deepEqual(parts.map((part) => part.rawData().map((row) => row["TrackedEvents.pageViewsCount"])), [["10", "20"], ["60", "70"]]);
    assert.equal(parts[0].rawData()[0].compareDateRange, `${day(1)}T00:00:00.000 - ${day(2)}T23:59:59.999`);
    assert.equal(result.seriesNames().length, 2);
    assert.deepEqual(result.series().map(({ series }) => series.map(({ value }) => value)), [[10, 20], [60, 70]]);
  },
  async "blending puts two queries on one axis"(cube) {
    const result = await cube.load([perDay("TrackedEvents.pageViewsCount"), perDay("Visits.clicks")].map((query, index) =>
      index === 0 ? query : { ...query, timeDimensions: [{ ...query.timeDimensions[0], dimension: "Visits.at" }] }));
    const chart = result.chartPivot();
    assert.equal(chart.length, 7);
    assert.deepEqual(chart.map((row) => row["TrackedEvents.pageViewsCount"] ?? 0), Object.values(views));
    assert.deepEqual(chart.map((row) => row["Visits.clicks"] ?? 0), [3, 3, 3, 0, 3, 3, 3]);
  },
  async "compact and columnar answers are read like the default"(cube, version) {
    const query = { measures: ["TrackedEvents.count"], dimensions: ["TrackedEvents.pageUrlpath"], order: { "TrackedEvents.pageUrlpath": "asc" } };
    const plain = (await cube.load(query)).rawData();
    for (const format of version.startsWith("0.") ? ["compact"] : ["compact", "columnar"]) {
      const result = await cube.load(query, undefined, undefined, format);
      assert.equal(result.loadResponses[0].query.responseFormat, format);
      assert.deepEqual(result.rawData(), plain);
    }
  },
  async "drillDown's query finds the rows behind a number"(cube) {
    const counted = await cube.load({ measures: ["Visits.count"], timeDimensions: [{ dimension: "Visits.at", granularity: "day", dateRange: week }] });
    const drill = counted.drillDown({ xValues: [`${day(2)}T00:00:00.000`] });
    assert.deepEqual(drill.dimensions, ["Visits.id", "Visits.path"]);
    assert.equal(drill.filters[0].operator, "measureFilter");
    assert.equal((await cube.load(drill)).rawData().length, 23);
    const clicks = await cube.load({ measures: ["Visits.clicks"], timeDimensions: [{ dimension: "Visits.at", granularity: "day", dateRange: week }] });
    assert.equal((await cube.load(clicks.drillDown({ xValues: [`${day(2)}T00:00:00.000`] }))).rawData().length, 3);
  },
  async "ungrouped rows are rows"(cube) {
    const result = await cube.load({ dimensions: ["Visits.id", "Visits.user"], measures: ["Visits.count"], ungrouped: true, limit: 4, order: { "Visits.id": "asc" } });
    assert.equal(result.rawData().length, 4);
    assert.ok(result.rawData().every((row) => row["Visits.count"] === "1"));
  },
  async "a day is a day of the time zone"(cube) {
    const result = await cube.load({ ...perDay("TrackedEvents.pageViewsCount"), timezone: "Pacific/Kiritimati" });
    const sum = result.chartPivot().reduce((all, row) => all + row["TrackedEvents.pageViewsCount"], 0);
    assert.ok(sum > 0 && sum < 240, `${sum} of 240 within the week at UTC+14`);
  },
  async "meta knows members and drill-down members"(cube) {
    const meta = await cube.meta();
    const measure = meta.resolveMember("Visits.count", "measures");
    assert.equal(measure.type, "number");
    assert.deepEqual(measure.drillMembersGrouped, { measures: [], dimensions: ["Visits.id", "Visits.path"] });
    assert.equal(meta.resolveMember(time, "dimensions").type, "time");
    assert.equal(meta.resolveMember("Visits.views", "segments").name, "Visits.views");
    for (const name of ["TrackedEvents", "Sessions", "ReturningUsers", "Visits", "Slow"]) {
      assert.ok(meta.cubes.some((cube) => cube.name === name), name);
    }
    assert.ok(meta.defaultTimeDimensionNameFor("Visits.count"));
  },
  async "dryRun normalizes without a database"(cube) {
    const dry = await cube.dryRun(perDay("TrackedEvents.count"));
    assert.equal(dry.queryType, "regularQuery");
    assert.deepEqual(dry.normalizedQueries[0].timeDimensions[0].dateRange, [`${day(1)}T00:00:00.000`, `${day(7)}T23:59:59.999`]);
    assert.deepEqual(dry.queryOrder, [{ [time]: "asc" }]);
    assert.deepEqual(dry.pivotQuery.measures, ["TrackedEvents.count"]);
    assert.equal(dry.transformedQueries.length, 1);
  },
  async "sql shows a statement without the values"(cube) {
    const query = { measures: ["Visits.count"], filters: [{ member: "Visits.path", operator: "equals", values: ["/se'cret"] }] };
    const shown = await cube.sql(query);
    assert.match(shown.sql(), /^\s*(SELECT|WITH)/);
    assert.ok(!shown.sql().includes("cret"));
    const [, parameters] = shown.rawQuery().sql;
    assert.ok(parameters.some((value) => String(value).includes("/se'cret")), JSON.stringify(parameters));
    const compared = { measures: ["Visits.count"], timeDimensions: [{ dimension: "Visits.at", compareDateRange: [week, week] }] };
    assert.equal((await cube.sql(compared)).length, 2);
  },
  async "a cache mode decides whether an answer may be an earlier one"(cube, version) {
    const query = { measures: ["TrackedEvents.count"], limit: unheardOf() };
    const told = async (cache) => (await cube.load(query, cache && { cache })).loadResponses[0].lastRefreshTime;
    const first = await told();
    assert.equal(await told(), first);
    if (!version.startsWith("0.")) {
      assert.equal(await told("must-revalidate"), first);
      assert.ok((await told("no-cache")) > first);
    }
  },
  async "subscribe tells of a result"(cube) {
    // GitLab has no such endpoint.
    if (gitlab) return;
    const result = await new Promise((resolve, reject) => {
      const subscription = cube.subscribe({ measures: ["TrackedEvents.count"] }, {}, (error, result) => {
        subscription.unsubscribe();
        error ? reject(error) : resolve(result);
      });
    });
    assert.deepEqual(result.rawData(), [{ "TrackedEvents.count": "258" }]);
  },
  async "errors come in Cube's words"(cube) {
    const refused = async (query) =>
      cube.load(query).then(
        () => assert.fail(`${JSON.stringify(query)} was answered`),
        (error) => [error.status, error.response.error ?? error.response.message],
      );
    const texts = {
      "'nope' not found for path 'TrackedEvents.nope'": { measures: ["TrackedEvents.nope"] },
      "Cube 'Nope' not found for path 'Nope.count'": { measures: ["Nope.count"] },
      "Can't parse date: 'some day'": { measures: ["TrackedEvents.count"], timeDimensions: [{ dimension: time, dateRange: "some day" }] },
      'Invalid query format: "foo" is not allowed': { measures: ["TrackedEvents.count"], foo: 1 },
      "Can't find join path to join 'Slow', 'Visits'": { measures: ["Slow.waited"], dimensions: ["Visits.path"] },
    };
    for (const [text, query] of Object.entries(texts)) {
      const [status, said] = await refused(query);
      assert.deepEqual([status, said.replace(/^Error: /, "")], [400, text]);
    }
  },
  async "Continue wait is repeated until the slow query has ended"(cube, version) {
    const progress = [];
    const options = { progressCallback: (step) => progress.push(step.progressResponse.error) };
    const result = await cube.load({ measures: ["Slow.rows", "Slow.waited"], limit: unheardOf() }, options);
    assert.deepEqual(result.rawData(), [{ "Slow.rows": "9", "Slow.waited": "0" }]);
    assert.ok(progress.length > 0 && progress.every((text) => text === "Continue wait"), JSON.stringify(progress));
  },
};

let failed = 0;
async function attempt(version, cube, name, check) {
  const started = performance.now();
  const error = await check(cube, version).then(() => null, (error) => error);
  failed += error ? 1 : 0;
  console.log(`${error ? "FAILED" : "ok"} ${layer} ${version} ${name} (${Math.round(performance.now() - started)} ms)`);
  if (error) console.log(error.response ? JSON.stringify(error.response) : error.stack);
}
// What waits takes its time beside the others.
await Promise.all(
  Object.entries(clients).map(async ([version, client]) => {
    const cube = construct(client);
    const [waiting, ...others] = Object.entries(checks).reverse();
    const waited = attempt(version, cube, ...waiting);
    for (const other of others.reverse()) await attempt(version, cube, ...other);
    await waited;
  }),
);
process.exit(failed === 0 ? 0 : 1);
