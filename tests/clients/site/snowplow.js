// Snowplow's own browser tracker, with or without base64 and by POST or GET as the address says (?plain, ?get). It keeps its
// session in the browser's storage.

import { enableActivityTracking, newTracker, setUserId, trackPageView, trackSelfDescribingEvent, trackStructEvent } from "@snowplow/browser-tracker";

const asked = new URLSearchParams(location.search);
newTracker("shop", settings.collector, {
  appId: settings.appId,
  eventMethod: asked.has("get") ? "get" : "post",
  encodeBase64: !asked.has("plain"),
  stateStorageStrategy: "localStorage",
  discoverRootDomain: false,
  contexts: { webPage: true, session: true, browser: true },
});
window.tracker = { enableActivityTracking, setUserId, trackPageView, trackSelfDescribingEvent, trackStructEvent };
