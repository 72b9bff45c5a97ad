"""clickhouse-connect against the embedded engine, with its defaults; run with the engine's URL."""

import datetime
import sys
from decimal import Decimal
from urllib.parse import urlparse

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

url = urlparse(sys.argv[1])
client = clickhouse_connect.get_client(host=url.hostname, port=url.port, database="python_client")

# DDL, typed inserts (compressed by default) and typed selects.
client.command(
    "CREATE TABLE items (id UInt64, name String, price Decimal(10, 2), at DateTime('UTC'), tags Array(String), "
    "note Nullable(String)) ENGINE = MergeTree ORDER BY id"
)
at = datetime.datetime(2024, 5, 6, 7, 8, 9)
rows = [[i, f"name {i}", Decimal(i) / 4, at, ["a", "b"][: i % 3], None if i % 2 else "x"] for i in range(50_000)]
summary = client.insert("items", rows, column_names=["id", "name", "price", "at", "tags", "note"])
assert int(summary.written_rows) == 50_000, summary.summary
result = client.query("SELECT * FROM items ORDER BY id")
assert result.column_names == ("id", "name", "price", "at", "tags", "note"), result.column_names
assert len(result.result_rows) == 50_000
first = result.result_rows[7]
assert first[:3] == (7, "name 7", Decimal("1.75")), first
assert first[3].replace(tzinfo=None) == at and first[4] == ["a"] and first[5] is None, first
assert client.command("SELECT count() FROM items") == 50_000

# Parameters on the server's side, settings for one query.
result = client.query("SELECT {a:UInt32} + 1, {b:String}, {c:Array(UInt8)}", parameters={"a": 41, "b": "it's", "c": [1, 2]})
assert result.result_rows == [(42, "it's", [1, 2])], result.result_rows
assert client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 777}).result_rows[0][0] == 777
assert client.query("SELECT getSetting('max_block_size')").result_rows[0][0] != 777

assert client.query("SELECT length({s:String})", parameters={"s": "z" * 100_000}).result_rows == [(100_000,)]

# Errors carry ClickHouse's text, and the client is usable afterwards.
for sql, name in [("SELECT * FROM nope", "UNKNOWN_TABLE"), ("SELEC 1", "SYNTAX_ERROR")]:
    try:
        client.query(sql)
        raise AssertionError(f"{sql} should fail")
    except DatabaseError as error:
        assert name in str(error), error
assert client.query("SELECT 1").result_rows == [(1,)]

# A big result streams in blocks.
total = 0
blocks = 0
with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(2000000)") as stream:
    for block in stream:
        blocks += 1
        total += len(block)
assert total == 2_000_000 and blocks > 1, (total, blocks)

# A failure in the middle of a stream is an error, not a short result.
try:
    with client.query_row_block_stream("SELECT throwIf(number = 3000000) FROM numbers(4000000)") as stream:
        for block in stream:
            pass
    raise AssertionError("the failure in the middle was lost")
except AssertionError:
    raise
except Exception as error:
    assert "throwIf" in str(error) or "FUNCTION_THROW_IF" in str(error), repr(error)

# Every compression that it can negotiate, and none.
for compress in ["lz4", "gzip", False]:
    other = clickhouse_connect.get_client(host=url.hostname, port=url.port, database="python_client", compress=compress)
    assert other.query("SELECT uniqExact(id), max(id) FROM items").result_rows == [(50_000, 49_999)], compress
    other.insert("items", rows[:10], column_names=["id", "name", "price", "at", "tags", "note"])

# Sessions: the client opens one by itself.
client.command("CREATE TEMPORARY TABLE mine (x UInt8)")
client.insert("mine", [[1], [2]], column_names=["x"])
assert client.query("SELECT sum(x) FROM mine").result_rows == [(3,)]
client.raw_insert("items", column_names=["id", "name"], insert_block="900000,raw\n", fmt="CSV")
assert client.raw_query("SELECT name FROM items WHERE id = 900000", fmt="JSONEachRow").strip() == b'{"name":"raw"}'
