"""Prints the readable part of an answer of Tally's: `show.py ping|cube|events`, the answer on standard input."""

import json
import sys


def leaves(tree, path=""):
    """Every value of the payload with its key path; an object of counts by value is a value, too."""
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict) and any(isinstance(inner, (dict, int, float)) for inner in value.values()) and path.count(".") < 1:
            yield from leaves(value, name)
        else:
            yield name, value


def most(value, count=3):
    """An object of counts by value, cut to its largest entries."""
    if not isinstance(value, dict) or len(value) <= count:
        return json.dumps(value, ensure_ascii=False)
    largest = dict(sorted(value.items(), key=lambda entry: -entry[1])[:count])
    return f"{json.dumps(largest, ensure_ascii=False)} and {len(value) - count} more"


def ping(answer):
    for name, value in leaves(answer):
        print(f"  {name:<75} {most(value)}")


def cube(answer):
    for row in answer["results"][0]["data"][:6]:
        print("  " + "  ".join(str(value) for value in row.values()))


def events(answer):
    for event in answer:
        title = event["target_title"] or (event.get("push_data") or {}).get("commit_title")
        print(f"  {event['created_at']}  {event['author_username']} {event['action_name']}: {title}")


{"ping": ping, "cube": cube, "events": events}[sys.argv[1]](json.load(sys.stdin))
