// A server with Snowplow's Node tracker, by POST and by GET. Arguments: the collector's URL, a tracking key. An answer may be
// lost: what failed goes out again with the next event. TALLY_NODE_MODULES says where the package is.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TALLY_NODE_MODULES, "x.js"));
const { newTracker, buildPageView, buildSelfDescribingEvent, buildStructEvent } = require("@snowplow/node-tracker");

const [endpoint, appId] = process.argv.slice(2);
const custom = (name, props) =>
  buildSelfDescribingEvent({ event: { schema: "iglu:com.gitlab/custom_event/jsonschema/1-0-0", data: { name, props } } });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

for (const [eventMethod, encodeBase64] of [["post", true], ["get", false]]) {
  const tracker = newTracker({ namespace: "backend", appId, encodeBase64 }, { endpoint, eventMethod, bufferSize: 1 });
  tracker.setUserId("node-9");
  tracker.setDomainUserId("5f0b4a4e-8a1f-4c53-9a4f-3f1f7d3b1c01");
  tracker.setSessionId("7d0f4b52-0d0c-4f8d-a1a7-54a4f2a9b1d2");
  tracker.setSessionIndex(2);
  tracker.setUseragent("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
  tracker.setLang("de-CH");
  tracker.track(buildPageView({ pageUrl: "https://app.example/checkout?step=2", pageTitle: "Checkout", referrer: "https://app.example/cart" }));
  await pause(300);
  tracker.track(buildStructEvent({ category: "order", action: "pay", label: "card", property: "visa", value: 12.5 }));
  await pause(300);
  tracker.track(custom("refund", { amount: 7 }));
  await pause(300);
  await tracker.flush();
}
