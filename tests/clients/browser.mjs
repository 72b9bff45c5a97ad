// A small site and a headless Chromium to visit it with: what the scripts share that need a page. The pages lie in site/; a
// script of theirs is bundled with the npm packages it imports. The site answers for every host name, as Chromium maps all
// of them to it; paths under /api/ and /cubejs-api/ go on to a Tally, for pages that are served beside it.
// TALLY_NODE_MODULES says where the packages are, TALLY_CHROMIUM where Chromium is, if not on the path.

import { createServer, request } from "node:http";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";

const modules = process.env.TALLY_NODE_MODULES;
const require = createRequire(join(modules, "x.js"));
const esbuild = require("esbuild");
const puppeteer = require("puppeteer-core");

const site = new URL("site/", import.meta.url).pathname;
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8" };

async function bundled(file) {
  const built = await esbuild.build({
    entryPoints: [file],
    bundle: true,
    write: false,
    nodePaths: [modules],
    platform: "browser",
    define: { global: "window" },
  });
  return built.outputFiles[0].text;
}

// A file of site/, or of a package where the path begins with /packages/.
async function file(path) {
  if (path.startsWith("/packages/")) {
    return readFile(join(modules, path.slice("/packages/".length)));
  }
  const name = join(site, path === "/" ? "index.html" : path);
  return extname(name) === ".js" ? bundled(name) : readFile(name);
}

function passOn(incoming, answer, tally) {
  const onward = request(new URL(incoming.url, tally), { method: incoming.method, headers: incoming.headers }, (response) => {
    answer.writeHead(response.statusCode, response.headers);
    response.pipe(answer);
  });
  onward.on("error", () => answer.writeHead(502).end());
  incoming.pipe(onward);
}

// Serves the site on a port of its own; `settings` are what its pages find in window.settings.
export async function serve(settings, tally) {
  const server = createServer(async (incoming, answer) => {
    const { pathname } = new URL(incoming.url, "http://site");
    if (pathname === "/settings.js") {
      answer.writeHead(200, { "content-type": types[".js"] }).end(`window.settings = ${JSON.stringify(settings)};`);
    } else if (pathname.startsWith("/api/") || pathname.startsWith("/cubejs-api/")) {
      passOn(incoming, answer, tally);
    } else {
      // A page's name is its path's first part: /gitlab/pricing/team is the page gitlab.html as well.
      const path = extname(pathname) ? pathname : `/${pathname.split("/")[1]}.html`;
      await file(path).then(
        (text) => answer.writeHead(200, { "content-type": types[extname(path)] ?? "text/plain" }).end(text),
        () => answer.writeHead(404).end(),
      );
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: server.address().port, close: () => server.closeAllConnections() ?? server.close() };
}

// A Chromium in which every host but 127.0.0.1 is the site on `port`.
export function launch(port) {
  return puppeteer.launch({
    executablePath: process.env.TALLY_CHROMIUM ?? "/usr/bin/chromium",
    // Containers have neither a user namespace for the sandbox nor much shared memory.
    args: ["--no-sandbox", "--disable-dev-shm-usage", `--host-resolver-rules=MAP * 127.0.0.1:${port}, EXCLUDE 127.0.0.1`],
  });
}
