// Visits the site as people would, with GitLab's SDK and with Snowplow's own browser tracker on it. Arguments: the collector's
// URL, a tracking key. Any answer may be lost: what failed goes out again with the events after it, so that a visit ends only
// when a last event has found its way. TALLY_NODE_MODULES and TALLY_CHROMIUM: see browser.mjs.

import { launch, serve } from "./browser.mjs";

const [collector, appId] = process.argv.slice(2);
const site = await serve({ collector, appId });
const browser = await launch(site.port);

// A visitor of their own: storage and cookies are not shared.
async function visit(address, options, ...steps) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.setViewport({ width: 1200, height: 700 });
  await page.goto(address, options);
  for (const step of steps) {
    await step(page);
    await page.waitForNetworkIdle({ idleTime: 300 });
  }
  await context.close();
  if (errors.length) throw new Error(errors.join("\n"));
}

// So long that the page pings of someone who is there go out.
async function stay(page) {
  for (let moved = 0; moved < 30; moved += 1) {
    await page.mouse.move(10 + moved, 10 + moved);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const customEvents = (page) => page.evaluate(() => window.glClient.track("purchase", { plan: "gold", seats: 3 }));
const opened = async () => {};

await visit(
  "http://shop.example/gitlab/pricing?utm_source=letter&utm_medium=email&utm_campaign=autumn&plan=gold",
  { referer: "https://www.google.com/search?q=tally", referrerPolicy: "unsafe-url" },
  opened,
  customEvents,
  stay,
  (page) => page.click("#to-team"),
);
await visit(
  "http://shop.example/gitlab/pricing/team#consent",
  {},
  opened,
  (page) => page.evaluate(() => window.glClient.identify("user-77", { tier: "premium" })),
  customEvents,
  (page) => page.evaluate(() => window.glClient.page({ title: "Signed in" })),
);
for (const method of ["", "?plain", "?get"]) {
  await visit(
    `http://docs.example/snowplow/guide${method}`,
    {},
    opened,
    (page) => page.evaluate(() => window.tracker.trackPageView()),
    (page) =>
      page.evaluate(() => {
        window.tracker.setUserId("reader-5");
        window.tracker.trackStructEvent({ category: "video", action: "play", label: "tour", property: "hd", value: 1.5 });
      }),
    (page) =>
      page.evaluate(() =>
        window.tracker.trackSelfDescribingEvent({
          event: { schema: "iglu:com.gitlab/custom_event/jsonschema/1-0-0", data: { name: "vote", props: { text: "ja, größer" } } },
        }),
      ),
  );
}
await browser.close();
site.close();
