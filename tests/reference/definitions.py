"""Event and metric definitions in GitLab's YAML form, read independently of Tally's own loader.

Only what counting needs is kept. Rules that aren't obvious come from GitLab's documentation of internal events.
"""

import glob
import os
from decimal import Decimal

import yaml

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What a metric's key_path gets per time frame, if the file lists its time frames in an array.
SUFFIXES = {"7d": "_weekly", "28d": "_monthly", "all": ""}
SKIPPED_FOLDERS = {"removed", "schema"}
REPORTED_STATUSES = {"active", "broken"}


class Definitions:
    """The internal events by name, and the metrics by key_path."""

    def __init__(self, documents):
        self.declared = {}
        self.metrics = {}
        self.unreported = set()
        self.other_sources = set()
        for document in documents:
            if "key_path" in document:
                self._add_metric(document)
            elif document.get("internal_events") is True:
                self.declared[document["action"]] = set(document.get("additional_properties") or {})

    def _add_metric(self, document):
        for key_path, frame in expand(document):
            if document["data_source"] != "internal_events":
                self.other_sources.add(key_path)
            elif document["status"] not in REPORTED_STATUSES:
                self.unreported.add(key_path)
            elif key_path in self.metrics:
                raise ValueError(f"two metrics have the key_path {key_path}")
            else:
                self.metrics[key_path] = Metric(frame, document["events"])


class Metric:
    """One metric over one time frame."""

    def __init__(self, frame, events):
        self.frame = frame
        self.kind = kind_of(events)
        self.rules = [Rule(event) for event in events]


class Rule:
    """One event that a metric selects."""

    def __init__(self, event):
        self.name = event["name"]
        self.unique = event.get("unique")
        self.filter = [(key, exact(value)) for key, value in (event.get("filter") or {}).items()]


def load(paths):
    """Reads files, folders (recursively, without removed/ and schema/) and globs."""
    documents = []
    for path in sorted(set(files(paths))):
        with open(path, encoding="utf-8") as file:
            document = yaml.load(file, Loader)
        if isinstance(document, dict):
            documents.append(document)
    return Definitions(documents)


def files(paths):
    """The YAML files that `paths` name; a path that names none is an error."""
    for path in paths:
        found = list(files_of(path))
        if not found:
            raise FileNotFoundError(f"{path} holds no definitions")
        yield from found


def files_of(path):
    if os.path.isfile(path):
        yield path
    elif os.path.isdir(path):
        for folder, subfolders, names in os.walk(path):
            subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS]
            yield from (os.path.join(folder, name) for name in names if name.endswith((".yml", ".yaml")))
    else:
        for match in glob.glob(path, recursive=True):
            if not SKIPPED_FOLDERS.intersection(match.split(os.sep)):
                yield from files_of(match)


def expand(document):
    """The key_path and time frame of every metric that one file defines."""
    frames = document["time_frame"]
    if isinstance(frames, str):
        return [(document["key_path"], frames)]
    return [(document["key_path"] + SUFFIXES[frame], frame) for frame in frames]


def kind_of(events):
    """What a metric computes; decided over all of its rules together."""
    if any(event.get("operator") == "sum(value)" for event in events):
        return "sum"
    if any("unique" in event and event.get("operator") == "total" for event in events):
        return "unique_totals"
    if "unique" not in events[0]:
        return "total"
    return "unique"


def exact(value):
    """A filter's value; decimal numbers as they are written, not as the nearest binary fraction."""
    return Decimal(repr(value)) if isinstance(value, float) else value
