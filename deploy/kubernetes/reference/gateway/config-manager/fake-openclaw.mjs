// Stands in for `openclaw config validate`, which refuses a configuration that holds the word unheard, and for
// `openclaw gateway call METHOD --params JSON` in tests: jobs in FAKE_GATEWAY/jobs.json, each call in calls.jsonl, no
// answer while FAKE_GATEWAY/down exists. As a real gateway it fills in defaults, and merges an update into what it has.
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const home = process.env.FAKE_GATEWAY;
const [, , gateway, call, method, ...rest] = process.argv;
if (gateway === "config") {
  if (fs.existsSync(path.join(home, "old"))) {
    console.error("error: unknown option '--json'");
    process.exit(1);
  }
  const valid = !fs.readFileSync(process.env.OPENCLAW_CONFIG_PATH, "utf8").includes("unheard");
  console.log(JSON.stringify({ valid, issues: valid ? [] : [{ path: "cron", message: 'Unrecognized key: "unheard"' }] }));
  process.exit(valid ? 0 : 1);
}
const params = JSON.parse(rest[rest.indexOf("--params") + 1]);
if (gateway !== "gateway" || call !== "call") process.exit(2);
if (fs.existsSync(path.join(home, "down"))) {
  console.error("gateway connect failed: Error: connect ECONNREFUSED 127.0.0.1:18789");
  process.exit(1);
}
fs.appendFileSync(path.join(home, "calls.jsonl"), `${JSON.stringify({ method, params })}\n`);
const file = path.join(home, "jobs.json");
const jobs = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : [];
const refuse = (message) => {
  console.log(JSON.stringify({ ok: false, error: { code: "INVALID_REQUEST", message } }));
  process.exit(1);
};
const index = jobs.findIndex((job) => job.id === params.id);
let answer;
if (method === "cron.list") {
  const offset = params.offset ?? 0;
  const page = jobs.slice(offset, offset + 2);
  answer = { jobs: page, hasMore: offset + 2 < jobs.length, nextOffset: offset + 2 };
} else if (method === "cron.add") {
  if (params.schedule.expr === "never") refuse("invalid cron.add params: CronPattern");
  answer = { id: randomUUID(), enabled: true, ...params, payload: { toolsAllow: ["*"], ...params.payload }, state: {} };
  jobs.push(answer);
} else if (index < 0) {
  refuse(`Automation not found: ${params.id}`);
} else if (method === "cron.update") {
  const { payload, delivery, ...patch } = params.patch;
  answer = Object.assign(jobs[index], patch, {
    payload: { ...jobs[index].payload, ...payload },
    delivery: { ...jobs[index].delivery, ...delivery },
  });
} else if (method === "cron.remove") {
  [answer] = jobs.splice(index, 1);
}
fs.writeFileSync(`${file}.new`, JSON.stringify(jobs));
fs.renameSync(`${file}.new`, file); // Tests read it meanwhile.
console.log(JSON.stringify(answer, null, 2));
