// @clickhouse/client against the embedded engine; run with the engine's URL, modules from TALLY_NODE_MODULES.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'

const require = createRequire(`${process.env.TALLY_NODE_MODULES}/`)
const { createClient, ClickHouseLogLevel } = require('@clickhouse/client')

const url = process.argv[2]

async function exercise(compression) {
  const table = `items_${compression.request}_${compression.response}`
  const client = createClient({ url, database: 'node_client', compression, log: { level: ClickHouseLogLevel.OFF } })

  assert.equal((await client.ping()).success, true)
  await client.command({ query: `CREATE TABLE ${table} (id UInt64, name String, tags Array(String)) ENGINE = MergeTree ORDER BY id` })

  const rows = Array.from({ length: 20000 }, (_, id) => ({ id: String(id), name: `name ${id}`, tags: ['a', 'b'].slice(0, id % 3) }))
  const inserted = await client.insert({ table, values: rows, format: 'JSONEachRow' })
  assert.equal(inserted.summary?.written_rows, '20000')
  await client.insert({ table, values: Readable.from(rows.slice(0, 100), { objectMode: true }), format: 'JSONEachRow' })

  // JSON, parameters and settings.
  const json = await client.query({
    query: `SELECT id, name, tags FROM ${table} WHERE id >= {from:UInt64} ORDER BY id LIMIT 2`,
    query_params: { from: 19998 },
    clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
    format: 'JSON',
  })
  const document = await json.json()
  assert.deepEqual(document.data, [{ id: '19998', name: 'name 19998', tags: [] }, { id: '19999', name: 'name 19999', tags: ['a'] }])
  assert.equal(document.rows, 2)

  // Long parameters travel as a form.
  const long = await client.query({
    query: 'SELECT length({s:String}) AS n', query_params: { s: 'z'.repeat(10000) }, format: 'JSONEachRow',
  })
  assert.equal(Number((await long.json())[0].n), 10000)

  // A big result streams.
  const big = await client.query({ query: 'SELECT number FROM numbers(1000000)', format: 'JSONEachRow' })
  let count = 0
  for await (const batch of big.stream()) count += batch.length
  assert.equal(count, 1000000)

  // Errors are typed, and a failure in the middle of a stream is an error.
  await assert.rejects(client.query({ query: 'SELECT * FROM nope' }), { code: '60', type: 'UNKNOWN_TABLE' })
  await assert.rejects(client.command({ query: 'SELEC 1' }), { code: '62' })
  await assert.rejects(async () => {
    const failing = await client.query({ query: 'SELECT throwIf(number = 3000000) FROM numbers(4000000)', format: 'JSONEachRow' })
    for await (const batch of failing.stream()) assert.ok(batch.length > 0)
  }, /throwIf|FUNCTION_THROW_IF|aborted|ECONNRESET|socket hang up|unexpected end|Premature close/i)

  // Aborting ends the query on the server.
  const controller = new AbortController()
  const aborted = client.query({
    query: 'SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 23',
    abort_signal: controller.signal,
  })
  setTimeout(() => controller.abort(), 200)
  await assert.rejects(aborted)
  const deadline = Date.now() + 20000
  for (;;) {
    const running = await client.query({
      query: "SELECT count() AS n FROM system.processes WHERE query LIKE '%= 23%' AND query NOT LIKE '%processes%'",
      format: 'JSONEachRow',
    })
    if (Number((await running.json())[0].n) === 0) break
    assert.ok(Date.now() < deadline, 'the aborted query still runs')
  }

  // Sessions.
  const session = createClient({ url, database: 'node_client', compression, session_id: `session-${table}` })
  await session.command({ query: 'CREATE TEMPORARY TABLE mine (x UInt8)' })
  await session.insert({ table: 'mine', values: [{ x: 1 }, { x: 2 }], format: 'JSONEachRow' })
  const sum = await session.query({ query: 'SELECT sum(x) AS s FROM mine', format: 'JSONEachRow' })
  assert.equal(Number((await sum.json())[0].s), 3)
  await session.close()
  await client.close()
}

await exercise({ request: false, response: false })
await exercise({ request: true, response: true })
