"""The reference's counting rules, one by one."""

import datetime
import json
import unittest
from decimal import Decimal

import definitions
import reference

# A Saturday; the last complete ISO week is 2024-W21, 20 to 26 May.
TODAY = datetime.date(2024, 6, 1)
LAST_WEEK = "2024-05-22T12:00:00.000Z"


def known_of(*rules, frame="7d", declared=("label", "property", "value")):
    event = {"action": "a", "internal_events": True, "additional_properties": dict.fromkeys(declared)}
    other = {**event, "action": "b"}
    metric = {
        "key_path": "m", "status": "active", "data_source": "internal_events", "time_frame": frame,
        "events": [{"name": "a", **rule} for rule in rules],
    }
    return definitions.Definitions([event, other, metric])


def value(known, *events, key_path="m"):
    lines = [
        json.dumps({"event": "a", "event_id": str(number), "timestamp": LAST_WEEK, **event})
        for number, event in enumerate(events)
    ]
    return reference.compute(known, lines, TODAY, 99)["metrics"][key_path]["value"]


def with_properties(*all_properties):
    return [{"additional_properties": properties} for properties in all_properties]


class WindowTest(unittest.TestCase):
    def test_windows_are_the_last_complete_iso_weeks(self):
        cases = [
            ("2024-06-01", 1, {(2024, 21)}),
            ("2024-06-01", 4, {(2024, 18), (2024, 19), (2024, 20), (2024, 21)}),
            ("2021-01-04", 1, {(2020, 53)}),
            ("2021-01-10", 1, {(2020, 53)}),
            ("2027-01-05", 4, {(2026, 50), (2026, 51), (2026, 52), (2026, 53)}),
        ]
        for today, count, weeks in cases:
            with self.subTest(today=today):
                self.assertEqual(reference.weeks_before(datetime.date.fromisoformat(today), count), weeks)

    def test_edges_belong_to_the_utc_day_they_are_in(self):
        moments = [
            ("2024-05-19T23:59:59.999Z", 0), ("2024-05-20T00:00:00.000Z", 1),
            ("2024-05-26T23:59:59.999999Z", 1), ("2024-05-27T00:00:00.000Z", 0),
            ("2024-05-27T01:59:59.999+02:00", 1), ("2024-05-26T16:00:00-08:00", 0),
        ]
        for moment, counted in moments:
            with self.subTest(moment=moment):
                self.assertEqual(value(known_of({}), {"timestamp": moment}), counted)

    def test_all_counts_the_current_week_too_and_28d_four_weeks(self):
        moments = [{"timestamp": f"2024-{day}T00:00:00.000Z"} for day in ("04-28", "04-29", "05-26", "05-31")]
        self.assertEqual(value(known_of({}, frame="all"), *moments), 4)
        self.assertEqual(value(known_of({}, frame="28d"), *moments), 2)


class FilterTest(unittest.TestCase):
    def test_a_number_equals_itself_however_written_and_nothing_else(self):
        known = known_of({"filter": {"value": 1}})
        given = with_properties({"value": 1}, {"value": 1.0}, {"value": "1"}, {"value": True}, {"value": 2}, {})
        self.assertEqual(value(known, *given), 2)

    def test_a_text_equals_itself_and_nothing_else(self):
        known = known_of({"filter": {"label": "true"}})
        given = with_properties({"label": "true"}, {"label": True}, {"label": "True"}, {"label": None}, {})
        self.assertEqual(value(known, *given, {}), 1)

    def test_every_key_must_match(self):
        known = known_of({"filter": {"label": "x", "property": "y"}})
        given = with_properties({"label": "x", "property": "y"}, {"label": "x"}, {"label": "x", "property": "z"})
        self.assertEqual(value(known, *given), 1)

    def test_an_undeclared_property_is_cut_before_the_filter(self):
        known = known_of({"filter": {"label": "x"}}, declared=())
        self.assertEqual(value(known, *with_properties({"label": "x"})), 0)


class KindTest(unittest.TestCase):
    def test_rules_of_one_metric_add_up(self):
        known = known_of({}, {"filter": {"label": "x"}})
        self.assertEqual(value(known, *with_properties({"label": "x"}, {})), 3)

    def test_sums_are_exact_and_skip_what_is_no_number(self):
        known = known_of({"operator": "sum(value)"})
        given = with_properties(*[{"value": 0.1}] * 10, {"value": 12.375}, {"value": -2}, {"value": True}, {"value": [1]})
        self.assertEqual(value(known, *given, {}), Decimal("11.375"))

    def test_a_text_is_summed_if_all_of_it_is_a_decimal_number(self):
        known = known_of({"operator": "sum(value)"})
        cases = [("3", 3), ("-3.25", Decimal("-3.25")), ("007", 7), ("1e2", 100), ("1.5E-1", Decimal("0.15"))]
        none = ["", "-", " 3", "3 ", "3\n", "+3", ".5", "5.", "1e", "1_000", "0x10", "\u0663", "NaN", "inf", "three"]
        for text, expected in cases + [(text, 0) for text in none]:
            with self.subTest(text=text):
                self.assertEqual(value(known, *with_properties({"value": text})), expected)

    def test_uniques_are_a_union_over_rules_and_skip_missing_ids(self):
        known = known_of({"unique": "user.id", "filter": {"label": "x"}}, {"unique": "user.id", "filter": {"label": "y"}})
        given = [
            {"user_id": 1, "additional_properties": {"label": "x"}},
            {"user_id": 1, "additional_properties": {"label": "y"}},
            {"user_id": 2, "additional_properties": {"label": "y"}},
            {"user_id": 0, "additional_properties": {"label": "y"}},
            {"user_id": 3, "additional_properties": {"label": "z"}},
        ]
        self.assertEqual(value(known, *given), 2)

    def test_without_a_user_the_tokens_user_is_the_actor(self):
        known = known_of({"unique": "user.id"})
        self.assertEqual(value(known, {}, {}, {"user_id": 99}), 1)
        self.assertEqual(value(known, {}, {"user_id": 98}), 2)

    def test_ids_are_taken_in_every_form_of_the_api(self):
        known = known_of({"unique": "project.id"})
        given = [{"project_id": given} for given in (12, "12", 12.5, None, 0, -12, 13)]
        self.assertEqual(value(known, *given), 2)

    def test_values_of_another_type_are_other_values(self):
        known = known_of({"unique": "value"})
        given = with_properties({"value": 1}, {"value": 1.0}, {"value": "1"}, {"value": True}, {"value": None}, {"value": 1})
        self.assertEqual(value(known, *given), 4)

    def test_unique_totals_count_by_value(self):
        known = known_of({"unique": "label", "operator": "total"})
        given = with_properties({"label": "x"}, {"label": "x"}, {"label": "y"}, {})
        self.assertEqual(value(known, *given), {"label": {"x": 2, "y": 1}})

    def test_unique_totals_of_an_identifier_stand_under_its_head(self):
        known = known_of({"unique": "user.id", "operator": "total"})
        self.assertEqual(value(known, {"user_id": 5}, {"user_id": 5}, {}), {"user": {"5": 2, "99": 1}})


class StreamTest(unittest.TestCase):
    def test_an_event_id_counts_once(self):
        self.assertEqual(value(known_of({}), {"event_id": "x"}, {"event_id": "x"}, {"event_id": "y"}), 2)

    def test_unknown_events_and_events_of_no_metric_count_nowhere(self):
        self.assertEqual(value(known_of({}), {"event": "unknown"}, {"event": ""}, {"event": "b"}, {}), 1)

    def test_decimal_numbers_are_written_with_every_digit(self):
        written = reference.to_json({"a": {"b": Decimal("123456789012345678.125")}, "c": {}})
        self.assertEqual(json.loads(written, parse_float=Decimal)["a"]["b"], Decimal("123456789012345678.125"))


if __name__ == "__main__":
    unittest.main()
