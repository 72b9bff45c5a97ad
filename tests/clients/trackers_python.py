"""A server with Snowplow's Python tracker, by POST and by GET. Arguments: the collector's URL, a tracking key. An answer may be
lost: what failed goes out again after a moment."""

import sys
import time

from snowplow_tracker import Emitter, PageView, SelfDescribing, SelfDescribingJson, StructuredEvent, Subject, Tracker

collector, app_id = sys.argv[1:]
CUSTOM = "iglu:com.gitlab/custom_event/jsonschema/1-0-0"
EVENTS = 4
USER = "iglu:com.gitlab/user_context/jsonschema/1-0-0"

for method, base64 in (("post", True), ("get", False)):
    answered = []
    emitter = Emitter(collector, method=method, batch_size=2 if method == "post" else 1, max_retry_delay_seconds=1,
                      on_success=answered.extend)
    subject = Subject()
    subject.set_platform("srv").set_user_id("python-3").set_lang("fr").set_ip_address("203.0.113.77")
    subject.set_useragent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                          "Version/18.5 Mobile/15E148 Safari/604.1")
    tracker = Tracker(namespace="jobs", emitters=emitter, subject=subject, app_id=app_id, encode_base64=base64)
    tracker.track(PageView(page_url="https://jobs.example/nightly", page_title="Nightly"))
    tracker.track(StructuredEvent(category="job", action="run", label="nightly", property_="cron", value=3))
    context = [SelfDescribingJson(USER, {"team": "ops"})]
    tracker.track(SelfDescribing(SelfDescribingJson(CUSTOM, {"name": "backup", "props": {"bytes": 1024}}), context=context))
    tracker.track(PageView(page_url="https://jobs.example/nightly/done"))
    deadline = time.monotonic() + 20
    # A retry takes its events out of the store while it is under way, in a thread that would end with this one.
    while len(answered) < EVENTS:
        if time.monotonic() > deadline:
            sys.exit(f"{EVENTS - len(answered)} events found no way to {collector}")
        emitter.flush()
        time.sleep(0.1)
