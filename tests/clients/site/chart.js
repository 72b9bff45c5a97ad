// Draws page views a day as bars, from @cubejs-client/core's chartPivot. ?layer says which way it asks: `gitlab` as GitLab's
// front end does, beside it on the same origin; `cube` with a JWT at an address of its own, which needs CORS.

import { CubeApi, HttpTransport } from "@cubejs-client/core";

const { gitlab, cube, range } = window.settings;
const layer = new URLSearchParams(location.search).get("layer");
const headers = { "X-Requested-With": "XMLHttpRequest", "PRIVATE-TOKEN": gitlab.token };
const api =
  layer === "gitlab"
    ? new CubeApi("1", { transport: new HttpTransport({ apiUrl: gitlab.path, method: "POST", headers, credentials: "same-origin" }) })
    : new CubeApi(cube.token, { apiUrl: cube.url });

const measure = "TrackedEvents.pageViewsCount";
const timeDimensions = [{ dimension: "TrackedEvents.derivedTstamp", granularity: "day", dateRange: range }];

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.textContent = text ?? "";
  return made;
}

function draw(rows) {
  const chart = document.getElementById("chart");
  const most = Math.max(...rows.map((row) => row[measure]), 1);
  rows.forEach((row, index) => {
    const height = (200 * row[measure]) / most;
    chart.append(
      element("rect", { x: index * 100 + 10, y: 210 - height, width: 80, height, "data-day": row.x.slice(0, 10) }, ""),
      element("text", { x: index * 100 + 50, y: 230 }, `${row.x.slice(0, 10)}: ${row[measure]}`),
    );
  });
}

api
  .load({ measures: [measure], timeDimensions }, { castNumerics: true })
  .then((result) => draw(result.chartPivot()))
  .catch((error) => (document.getElementById("trouble").textContent = String(error)))
  .finally(() => document.body.classList.add("done"));
