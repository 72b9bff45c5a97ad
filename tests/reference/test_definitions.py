"""The reference's own reading of definitions."""

import os
import tempfile
import unittest
from decimal import Decimal

import definitions

METRIC = """
key_path: {key_path}
status: {status}
data_source: {source}
time_frame: {frame}
events:
- name: push_package
"""


def write(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def metric(key_path, frame, status="active", source="internal_events"):
    return METRIC.format(key_path=key_path, frame=frame, status=status, source=source)


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        event = "action: {}\ninternal_events: true\nadditional_properties:\n  label:\n    description: x\n"
        write(self.folder.name, "events/push.yml", event.format("push_package"))
        write(self.folder.name, "events/removed/old.yml", event.format("old_event"))
        write(self.folder.name, "events/legacy.yml", "action: click_button\ncategory: x\n")
        write(self.folder.name, "metrics/a/list.yml", metric("counts.a", "[7d, 28d, all]"))
        write(self.folder.name, "metrics/a/text.yml", metric("counts.b_monthly", "28d"))
        write(self.folder.name, "metrics/gone.yml", metric("counts.gone", "all", status="removed"))
        write(self.folder.name, "metrics/broken.yml", metric("counts.broken", "all", status="broken"))
        write(self.folder.name, "metrics/other.yml", metric("counts.other", "all", source="database"))
        write(self.folder.name, "metrics/removed/x.yml", metric("counts.x", "all"))

    def test_internal_events_outside_removed_are_known_with_their_properties(self):
        known = definitions.load([self.folder.name])
        self.assertEqual(known.declared, {"push_package": {"label"}})

    def test_an_array_of_time_frames_is_one_metric_each_and_a_string_keeps_the_key_path(self):
        known = definitions.load([self.folder.name])
        frames = {key_path: metric.frame for key_path, metric in known.metrics.items()}
        self.assertEqual(frames, {
            "counts.a_weekly": "7d", "counts.a_monthly": "28d", "counts.a": "all",
            "counts.b_monthly": "28d", "counts.broken": "all",
        })
        self.assertEqual((known.unreported, known.other_sources), ({"counts.gone"}, {"counts.other"}))

    def test_globs_and_single_files_are_read_and_nothing_found_is_an_error(self):
        pattern = os.path.join(self.folder.name, "metrics", "**", "*.yml")
        self.assertEqual(len(definitions.load([pattern]).metrics), 5)
        one = os.path.join(self.folder.name, "metrics", "broken.yml")
        self.assertEqual(list(definitions.load([one]).metrics), ["counts.broken"])
        with self.assertRaises(FileNotFoundError):
            definitions.load([os.path.join(self.folder.name, "nowhere")])

    def test_two_metrics_of_one_key_path_are_an_error(self):
        write(self.folder.name, "metrics/again.yml", metric("counts.broken", "7d"))
        with self.assertRaises(ValueError):
            definitions.load([self.folder.name])


class KindTest(unittest.TestCase):
    def test_the_kind_follows_from_all_rules(self):
        cases = [
            ([{"name": "a"}], "total"),
            ([{"name": "a", "operator": "total"}], "total"),
            ([{"name": "a", "unique": "user.id"}], "unique"),
            ([{"name": "a", "operator": "sum(value)"}], "sum"),
            ([{"name": "a"}, {"name": "b", "operator": "sum(value)"}], "sum"),
            ([{"name": "a", "unique": "label", "operator": "total"}], "unique_totals"),
        ]
        for events, kind in cases:
            with self.subTest(events=events):
                self.assertEqual(definitions.kind_of(events), kind)

    def test_a_filter_keeps_decimal_numbers_as_written(self):
        self.assertEqual(definitions.Rule({"name": "a", "filter": {"value": 0.1}}).filter, [("value", Decimal("0.1"))])


if __name__ == "__main__":
    unittest.main()
