"""The comparison finds what differs: each kind of difference is injected once."""

import contextlib
import copy
import io
import json
import os
import tempfile
import unittest
from decimal import Decimal

import compare

EXPECTED = {
    "metrics": {
        "counts.pushes": {"kind": "total", "value": 7},
        "sums.minutes_monthly": {"kind": "sum", "value": Decimal("12.375")},
        "hll.small_weekly": {"kind": "unique", "value": 4096},
        "hll.large_weekly": {"kind": "unique", "value": 100_000},
        "counts.by_label": {"kind": "unique_totals", "value": {"label": {"x": 2}}},
    },
    "unreported": ["counts.gone"],
    "other_sources": ["counts.boards", "topology"],
}
PING = {
    "recorded_at": "2026-11-21T00:00:00Z",
    "license_plan": "free",
    "topology": {"nodes": [1]},
    "counts": {"pushes": 7, "by_label": {"label": {"x": 2}}, "boards": -1},
    "sums": {"minutes_monthly": Decimal("12.375")},
    "hll": {"small_weekly": 4096, "large_weekly": 100_900},
}


def differences(change=None):
    ping = copy.deepcopy(PING)
    if change:
        change(ping)
    return compare.Comparison(EXPECTED, ping).differences


class ComparisonTest(unittest.TestCase):
    def test_equal_pings_have_no_difference(self):
        self.assertEqual(differences(), [])

    def test_an_equal_number_may_be_written_differently(self):
        self.assertEqual(differences(lambda ping: ping["counts"].update(pushes=Decimal("7.0"))), [])

    def test_every_difference_is_found(self):
        cases = [
            ("a count off by one", lambda ping: ping["counts"].update(pushes=8)),
            ("a count as text", lambda ping: ping["counts"].update(pushes="7")),
            ("a count as boolean", lambda ping: ping["counts"].update(pushes=True)),
            ("a failed count", lambda ping: ping["counts"].update(pushes=-1)),
            ("a missing metric", lambda ping: ping["counts"].pop("pushes")),
            ("a missing branch", lambda ping: ping.pop("sums")),
            ("a sum off by a thousandth", lambda ping: ping["sums"].update(minutes_monthly=Decimal("12.376"))),
            ("a small unique count off by one", lambda ping: ping["hll"].update(small_weekly=4095)),
            ("a large unique count off by more than 1 %", lambda ping: ping["hll"].update(large_weekly=101_001)),
            ("a large unique count too small", lambda ping: ping["hll"].update(large_weekly=98_999)),
            ("other totals", lambda ping: ping["counts"].update(by_label={"label": {"x": 2, "y": 1}})),
            ("a removed metric", lambda ping: ping["counts"].update(gone=0)),
            ("an invented metric", lambda ping: ping["hll"].update(invented=0)),
        ]
        for name, change in cases:
            with self.subTest(name):
                self.assertEqual(len(differences(change)), 1)

    def test_the_table_counts_what_was_compared(self):
        comparison = compare.Comparison(EXPECTED, PING)
        self.assertEqual(sum(comparison.compared.values()), 5)
        self.assertEqual(comparison.largest_error, Decimal("0.009"))
        self.assertIn("differences: 0", comparison.table())


class CommandTest(unittest.TestCase):
    def run_command(self, expected, ping):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("reference.json", "ping.json")]
            for path, document in zip(paths, (expected, ping)):
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(document, file, default=float)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                status = compare.main(["--reference", paths[0], "--ping", paths[1]])
            return status, printed.getvalue()

    def test_equality_exits_with_0_and_a_difference_with_1(self):
        self.assertEqual(self.run_command(EXPECTED, PING)[0], 0)
        changed = copy.deepcopy(PING)
        changed["counts"]["pushes"] = 6
        status, printed = self.run_command(EXPECTED, changed)
        self.assertEqual(status, 1)
        self.assertIn("counts.pushes: 6, expected 7", printed)

    def test_a_reference_of_zeros_tests_nothing_and_fails(self):
        expected = {"metrics": {"a": {"kind": "total", "value": 0}}, "unreported": [], "other_sources": []}
        self.assertEqual(self.run_command(expected, {"a": 0})[0], 1)


if __name__ == "__main__":
    unittest.main()
