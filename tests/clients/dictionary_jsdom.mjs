// What a browser's document shows of the dictionary page, printed as JSON: for each of the filters the line that says how many
// were found, and how many entries are drawn. Arguments: the page's URL, then filters as they stand after `#`.
// TALLY_NODE_MODULES says where jsdom is.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TALLY_NODE_MODULES, "x.js"));
const { JSDOM } = require("jsdom");

const [url, ...filters] = process.argv.slice(2);
const page = await (await fetch(url)).text();
// jsdom lays nothing out, so nothing ever comes into sight.
const beforeParse = (window) => {
  window.IntersectionObserver = class {
    observe() {}
  };
};
const shown = filters.map((filter) => {
  const { document } = new JSDOM(page, { url: `${url}#${filter}`, runScripts: "dangerously", beforeParse }).window;
  return { found: document.getElementById("found").textContent, drawn: document.querySelectorAll("#entries details").length };
});
console.log(JSON.stringify(shown));
