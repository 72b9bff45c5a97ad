// What @gitbeaker/rest sees of the Events API, printed as JSON: ids per way of listing. The test compares with what it posted.
// Arguments: the instance's URL, a token, a user's id, a project's id and path. TALLY_NODE_MODULES says where the package is.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TALLY_NODE_MODULES, "x.js"));
const { Gitlab } = require("@gitbeaker/rest");

const [host, token, userId, projectId, projectPath] = process.argv.slice(2);
const client = new Gitlab({ host, token });
const ids = (events) => events.map((event) => event.id);

const { data, paginationInfo } = await client.Events.all({ projectId, perPage: 3, page: 2, maxPages: 1, showExpanded: true });
const refused = await client.Events.all({ projectId: 999999 }).then(
  () => null,
  (error) => ({ status: error.cause.response.status, message: error.cause.description }),
);
const seen = {
  own: ids(await client.Events.all({ perPage: 4 })),
  all: ids(await client.Events.all({ scope: "all", perPage: 2 })),
  pushed: ids(await client.Events.all({ action: "pushed" })),
  user: ids(await client.Events.all({ userId, perPage: 3 })),
  user_activities: ids(await client.Users.allEvents(userId, { perPage: 5 })),
  project: ids(await client.Events.all({ projectId, perPage: 3 })),
  project_by_path: ids(await client.Events.all({ projectId: projectPath })),
  project_keyset: ids(await client.Events.all({ projectId, pagination: "keyset", perPage: 3 })),
  second_page: ids(data),
  pagination: paginationInfo,
  unknown_project: refused,
};
process.stdout.write(JSON.stringify(seen));
