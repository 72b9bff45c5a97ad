#!/usr/bin/env python3
"""Computes every internal_events metric of a Service Ping from a dumped stream, naively and in memory.

It shares nothing with Tally but the contract, so that both agreeing means something. The stream is what
`tally load --dump` writes: one track_event object a line. An event_id counts once.
"""

import argparse
import datetime
import json
import re
import sys
from decimal import Decimal

import definitions

WEEKS_OF_FRAME = {"7d": 1, "28d": 4}

# A text that adds to a sum, as JSON writes a number, or with leading zeros.
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Counted:
    """One metric's rule on one event, and where its matches are gathered."""

    def __init__(self, metric, rule, tally):
        self.frame = metric.frame
        self.kind = metric.kind
        self.filter = rule.filter
        self.unique = rule.unique
        self.tally = tally

    def add(self, properties, identifiers):
        """Counts an event whose filter matches."""
        if self.kind == "total":
            self.tally.count += 1
        elif self.kind == "sum":
            value = summand(properties.get("value"))
            if value is not None:
                self.tally.sum += value
        else:
            self.add_identifier(properties, identifiers)

    def add_identifier(self, properties, identifiers):
        if self.unique.endswith(".id"):
            identifier = identifiers[self.unique]
        else:
            identifier = properties.get(self.unique)
        if identifier is None:
            return
        if self.kind == "unique":
            self.tally.members.add(distinguishable(identifier))
        else:
            text = as_text(identifier)
            self.tally.by_value[text] = self.tally.by_value.get(text, 0) + 1


class Tally:
    """What is gathered for one metric, over all of its rules."""

    def __init__(self, metric):
        self.kind = metric.kind
        self.property = head(metric.rules[0].unique)
        self.count = 0
        self.sum = Decimal(0)
        self.members = set()
        self.by_value = {}

    def value(self):
        if self.kind == "total":
            return self.count
        if self.kind == "sum":
            return self.sum
        if self.kind == "unique":
            return len(self.members)
        return {self.property: self.by_value}


class Reference:
    """All metrics as of one day, fed event by event."""

    def __init__(self, known, today, token_user):
        self.known = known
        self.token_user = token_user
        self.windows = {frame: weeks_before(today, count) for frame, count in WEEKS_OF_FRAME.items()}
        self.frames_of_week = {}
        self.tallies = {key_path: Tally(metric) for key_path, metric in known.metrics.items()}
        self.rules = {name: [] for name in known.declared}
        for key_path, metric in known.metrics.items():
            for rule in metric.rules:
                counted = Counted(metric, rule, self.tallies[key_path])
                self.rules.setdefault(rule.name, []).append(counted)
        self.seen = set()
        self.events = 0

    def feed(self, event):
        """Counts one delivery."""
        self.events += 1
        if event["event_id"] in self.seen:
            return
        self.seen.add(event["event_id"])
        name = event["event"]
        if name not in self.known.declared:
            return
        frames = self.frames(event["timestamp"])
        declared = self.known.declared[name]
        sent = event.get("additional_properties") or {}
        properties = {key: value for key, value in sent.items() if key in declared}
        identifiers = {
            "user.id": as_id(event["user_id"]) if "user_id" in event else self.token_user,
            "project.id": as_id(event.get("project_id")),
            "namespace.id": as_id(event.get("namespace_id")),
        }
        for counted in self.rules[name]:
            if counted.frame in frames and matches(counted.filter, properties):
                counted.add(properties, identifiers)

    def frames(self, timestamp):
        """The time frames whose window holds the moment."""
        week = utc_date(timestamp).isocalendar()[:2]
        frames = self.frames_of_week.get(week)
        if frames is None:
            frames = {"all"} | {frame for frame, weeks in self.windows.items() if week in weeks}
            self.frames_of_week[week] = frames
        return frames

    def result(self):
        """The metrics with what a comparison needs to know about the other key paths."""
        metrics = {
            key_path: {"kind": tally.kind, "value": tally.value()}
            for key_path, tally in sorted(self.tallies.items())
        }
        return {
            "events": self.events,
            "distinct_events": len(self.seen),
            "metrics": metrics,
            "unreported": sorted(self.known.unreported),
            "other_sources": sorted(self.known.other_sources),
        }


def weeks_before(today, count):
    """The last `count` complete ISO weeks before the week of `today`, as (ISO year, week)."""
    return {(today - datetime.timedelta(weeks=back)).isocalendar()[:2] for back in range(1, count + 1)}


def utc_date(timestamp):
    """The UTC date of an RFC 3339 moment."""
    if timestamp.endswith("Z"):
        return datetime.date.fromisoformat(timestamp[:10])
    return datetime.datetime.fromisoformat(timestamp).astimezone(datetime.timezone.utc).date()


def matches(wanted, properties):
    """Whether every property has exactly the filter's value: 1 is 1.0, but neither "1" nor true."""
    for key, value in wanted:
        given = properties.get(key)
        if isinstance(value, str):
            if not isinstance(given, str) or given != value:
                return False
        elif not is_number(given) or given != value:
            return False
    return True


def is_number(value):
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def summand(value):
    """What a value adds to a sum: a number itself, a text the decimal number that is all of it, and others nothing."""
    if isinstance(value, str):
        return Decimal(value) if DECIMAL.fullmatch(value) else None
    return value if is_number(value) else None


def head(unique):
    """The key that unique totals stand under: a property's name, `user` for `user.id`."""
    return unique.removesuffix(".id") if unique else unique


def as_id(value):
    """An integer parameter as the API takes it: "12" is 12, 1.5 is 1; nothing and what is no record's id is None."""
    if value is None:
        return None
    number = int(value)
    return number if number > 0 else None


def distinguishable(identifier):
    """Something that is equal only for equal values of equal type: 1, 1.0, "1" and true are four."""
    if isinstance(identifier, (dict, list)):
        return ("json", json.dumps(identifier, default=str))
    return (type(identifier).__name__, identifier)


def as_text(identifier):
    if isinstance(identifier, str):
        return identifier
    return to_json(identifier)


def to_json(value, indent=""):
    """JSON text in which decimal numbers keep every digit."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        deeper = indent + " "
        members = (f"{deeper}{json.dumps(key)}: {to_json(member, deeper)}" for key, member in value.items())
        return "{\n" + ",\n".join(members) + "\n" + indent + "}" if value else "{}"
    return json.dumps(value)


def compute(known, lines, today, token_user):
    """Feeds every line of a stream; returns the result."""
    reference = Reference(known, today, token_user)
    decode = json.JSONDecoder(parse_float=Decimal).decode
    for line in lines:
        reference.feed(decode(line))
    return reference.result()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--definitions", nargs="+", required=True, metavar="PATH")
    parser.add_argument("--stream", required=True, metavar="FILE", help="NDJSON, - for standard input")
    parser.add_argument("--now", required=True, type=datetime.date.fromisoformat, metavar="DATE",
                        help="the UTC date on which the ping is generated")
    parser.add_argument("--token-user", required=True, type=int, metavar="ID",
                        help="the user of the token that sent the stream")
    parser.add_argument("--out", metavar="FILE", help="instead of standard output")
    options = parser.parse_args(arguments)
    known = definitions.load(options.definitions)
    with sys.stdin if options.stream == "-" else open(options.stream, encoding="utf-8") as lines:
        result = compute(known, lines, options.now, options.token_user)
    with open(options.out, "w", encoding="utf-8") if options.out else sys.stdout as out:
        out.write(to_json(result) + "\n")


if __name__ == "__main__":
    main()
