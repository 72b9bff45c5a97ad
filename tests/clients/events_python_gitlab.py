"""What python-gitlab sees of the Events API, printed as JSON: ids per way of listing, and whether errors arrive as its own.

Arguments: the instance's URL, a token, a user's id, a project's id and path. The test compares with what it posted.
"""

import json
import sys

import gitlab

url, token, user_id, project_id, project_path = sys.argv[1:6]
client = gitlab.Gitlab(url, private_token=token)
anonymous = gitlab.Gitlab(url)


def ids(events):
    return [event.id for event in events]


def error_of(call):
    try:
        call()
    except gitlab.exceptions.GitlabError as error:
        return {"status": error.response_code, "message": str(error.error_message)}
    return None


own = client.events
user = client.users.get(int(user_id), lazy=True).events
project = client.projects.get(int(project_id), lazy=True).events
pages = project.list(iterator=True, per_page=3)
seen = {
    "own": ids(own.list(iterator=True, per_page=4)),
    "own_get_all": ids(own.list(get_all=True, per_page=5)),
    "all": ids(own.list(iterator=True, scope="all", per_page=2)),
    "pushed": ids(own.list(iterator=True, action="pushed")),
    "issues": ids(own.list(iterator=True, target_type="issue", sort="asc")),
    "user": ids(user.list(iterator=True, per_page=3)),
    "project": ids(pages),
    "project_total": pages.total,
    "project_pages": pages.total_pages,
    "project_by_path": ids(client.projects.get(project_path, lazy=True).events.list(iterator=True)),
    "project_keyset": ids(project.list(iterator=True, pagination="keyset", per_page=3)),
    "anonymous_user": ids(anonymous.users.get(int(user_id), lazy=True).events.list(iterator=True)),
    "first": own.list(per_page=1, page=1)[0].asdict(),
    "errors": {
        "no_token": error_of(lambda: anonymous.events.list()),
        "unknown_project": error_of(lambda: client.projects.get(999999, lazy=True).events.list()),
        "bad_action": error_of(lambda: own.list(action="danced")),
    },
}
json.dump(seen, sys.stdout)
