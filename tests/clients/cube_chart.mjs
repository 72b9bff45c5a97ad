// Opens the page that draws a chart, once as a part of GitLab and once as a page somewhere else, and prints as JSON each
// layer's bars: day, height as Chromium laid it out, label. Arguments: Tally's URL, the path of GitLab's base, a personal token, the
// path of Cube's base, a JWT, the first and the last day; a folder for screenshots if one is wanted.

import { join } from "node:path";

import { launch, serve } from "./browser.mjs";

const [tally, gitlabPath, personalToken, cubePath, jwt, from, to, screenshots] = process.argv.slice(2);
const settings = {
  gitlab: { path: gitlabPath, token: personalToken },
  cube: { url: `${tally}${cubePath}`, token: jwt },
  range: [from, to],
};
const site = await serve(settings, tally);
const browser = await launch(site.port);
const drawn = {};
for (const layer of ["gitlab", "cube"]) {
  const page = await browser.newPage();
  await page.goto(`http://dashboards.example/chart.html?layer=${layer}`);
  await page.waitForSelector("body.done", { timeout: 20_000 });
  const trouble = await page.$eval("#trouble", (paragraph) => paragraph.textContent);
  if (trouble) throw new Error(`${layer}: ${trouble}`);
  drawn[layer] = await page.$$eval("#chart rect", (bars) =>
    bars.map((bar) => ({
      day: bar.dataset.day,
      height: Math.round(bar.getBoundingClientRect().height),
      label: bar.nextSibling.textContent,
    })),
  );
  if (screenshots) await page.screenshot({ path: join(screenshots, `chart-${layer}.png`) });
}
console.log(JSON.stringify(drawn));
await browser.close();
site.close();
