#!/usr/bin/env python3
"""Compares a Service Ping with the reference's metrics; exits with 1 if they differ.

Counts, sums and unique totals must be equal. So must unique counts up to 4,096, because ClickHouse's uniqCombined64 keeps
the hashes themselves until then; above, it estimates, and 1 % is allowed.
"""

import argparse
import json
import sys
from decimal import Decimal

EXACT_UNIQUES = 4096
TOLERANCE = Decimal("0.01")

# Where a ping holds something that no metric definition has to name.
IDENTITY = {
    "recorded_at", "uuid", "unique_instance_id", "hostname", "version", "installation_type", "edition",
    "licensee", "active_user_count", "historical_max_users", "settings",
}


class Comparison:
    """The differences between a ping and the reference, and what was compared."""

    def __init__(self, expected, ping):
        self.differences = []
        self.compared = {}
        self.nonzero = {}
        self.largest_error = Decimal(0)
        for key_path, metric in expected["metrics"].items():
            self._compare(key_path, metric["kind"], metric["value"], lookup(ping, key_path))
        self._find_unexpected(expected, ping)

    def _compare(self, key_path, kind, expected, actual):
        self.compared[kind] = self.compared.get(kind, 0) + 1
        self.nonzero[kind] = self.nonzero.get(kind, 0) + (not is_zero(kind, expected))
        if actual is None:
            self.differences.append(f"{key_path}: missing, expected {show(expected)}")
        elif not self._agrees(kind, expected, actual):
            self.differences.append(f"{key_path}: {show(actual)}, expected {show(expected)} ({kind})")

    def _agrees(self, kind, expected, actual):
        if kind == "unique_totals":
            return actual == expected
        if not is_number(actual):
            return False
        if kind != "unique" or expected <= EXACT_UNIQUES:
            return actual == expected
        error = abs(Decimal(actual) - expected) / expected
        self.largest_error = max(self.largest_error, error)
        return error <= TOLERANCE

    def _find_unexpected(self, expected, ping):
        """A ping holds the expected metrics, other sources' metrics, what identifies the instance, and nothing else."""
        allowed = set(expected["metrics"]) | set(expected["other_sources"]) | IDENTITY
        for path in leaves(ping):
            if not is_allowed(path, allowed):
                self.differences.append(f"{'.'.join(path)}: no active metric has this key_path")

    def table(self):
        lines = [f"{'kind':<14} {'metrics':>8} {'not zero':>9}"]
        for kind in sorted(self.compared):
            lines.append(f"{kind:<14} {self.compared[kind]:>8} {self.nonzero[kind]:>9}")
        total, nonzero = sum(self.compared.values()), sum(self.nonzero.values())
        lines.append(f"{'all':<14} {total:>8} {nonzero:>9}")
        lines.append(f"largest error of a unique count above {EXACT_UNIQUES}: {self.largest_error * 100:.3f} %")
        lines.append(f"differences: {len(self.differences)}")
        return "\n".join(lines)


def lookup(ping, key_path):
    """The value at a dotted path; None if there is none."""
    for key in key_path.split("."):
        if not isinstance(ping, dict) or key not in ping:
            return None
        ping = ping[key]
    return ping


def leaves(tree, path=()):
    """The paths of everything that is no non-empty object."""
    if isinstance(tree, dict) and tree:
        for key, member in tree.items():
            yield from leaves(member, (*path, key))
    else:
        yield path


def is_allowed(path, allowed):
    if path and (path[0].startswith("license_") or path[0].endswith("_enabled")):
        return True
    return any(".".join(path[:length]) in allowed for length in range(1, len(path) + 1))


def is_zero(kind, value):
    if kind == "unique_totals":
        return not any(value.values())
    return value == 0


def is_number(value):
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def show(value):
    return json.dumps(value, default=str)[:200]


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file, parse_float=Decimal)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", required=True, metavar="FILE", help="what reference.py printed")
    parser.add_argument("--ping", required=True, metavar="FILE", help="the Service Ping, nested, as Tally answers it")
    parser.add_argument("--show", type=int, default=50, metavar="COUNT", help="how many differences to print")
    parser.add_argument("--allow-zero", action="store_true",
                        help="accept a reference in which every metric is 0 and so nothing was tested")
    options = parser.parse_args(arguments)
    comparison = Comparison(read(options.reference), read(options.ping))
    for difference in comparison.differences[: options.show]:
        print(difference)
    if len(comparison.differences) > options.show:
        print(f"... and {len(comparison.differences) - options.show} more")
    print(comparison.table())
    if not any(comparison.nonzero.values()) and not options.allow_zero:
        print("every metric is 0: nothing was tested")
        return 1
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
