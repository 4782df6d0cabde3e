#!/usr/bin/env node
// config-manager [--once] [--only config|jobs] [--dry-run]: brings `openclaw.json` and `cron-jobs.json` of a mounted ConfigMap to
// an OpenClaw gateway, and goes on doing so.
//
// config: a new openclaw.json is read as JSON5, shown to `openclaw config validate`, written beside the gateway's and renamed over it,
//   so that the gateway, which watches that file, never sees half of it. What the gateway itself wrote there stays until the
//   ConfigMap's text changes.
// jobs: definitions are compared by name with the gateway's jobs, the whole plan is logged, then carried out by `openclaw gateway
//   call cron.add|update|remove`, which every version since 2026.2.17 has. A definition is what cron.add takes. The CLI has a state
//   directory of its own, <state>/config-manager, and with it an identity that the gateway pairs with the rights to do so; the one in
//   <state> belongs to people, and may have been paired with fewer.
//
// Invariants: only jobs that it made, or that say what their definition says, are ever changed; they are recorded in
// <state>/config-manager/record.json. Nothing is removed when a file is missing, empty, or cannot be read, nor before all else went well.
// What failed is logged, shown on /metrics and tried again. It imports nothing but Node and the gateway's own `json5`.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs, promisify } from "node:util";

const OWN = "config-manager";
const RECORD = path.join(OWN, "record.json");
const FIRST_RETRY_MS = 5_000;
// Jobs that nobody changed are compared with the gateway's this often; each look starts OpenClaw's CLI, about a second of processor.
const DRIFT_MS = 10 * 60_000;
// A pass has at most a few calls to the gateway; one that takes longer hangs.
const STUCK_MS = 15 * 60_000;
// Of a ConfigMap's swap comes more than one event.
const SETTLE_MS = 200;

/** Something that a person, or time, has to put right. Its message holds no secret: no text of a configuration goes into it. */
export class Problem extends Error {}

/** What the environment and the command line ask for. */
export function settings(env, argv) {
  const options = { once: { type: "boolean" }, only: { type: "string" }, "dry-run": { type: "boolean" } };
  const { values } = parseArgs({ args: argv, options });
  if (values.only && !["config", "jobs"].includes(values.only)) throw new Problem(`--only is config or jobs, not ${values.only}`);
  const state = env.OPENCLAW_STATE_DIR ?? "/home/node/.openclaw";
  const gateway = env.OPENCLAW_PACKAGE ?? "/app";
  const seconds = Number(env.CONFIG_MANAGER_INTERVAL_S ?? 60);
  if (!(seconds > 0)) throw new Problem(`CONFIG_MANAGER_INTERVAL_S is a number of seconds, not ${env.CONFIG_MANAGER_INTERVAL_S}`);
  return {
    source: env.CONFIG_MANAGER_SOURCE ?? "/config",
    state,
    target: path.join(state, "openclaw.json"),
    gateway,
    cli: env.CONFIG_MANAGER_CLI ?? path.join(gateway, "openclaw.mjs"),
    listen: env.CONFIG_MANAGER_LISTEN,
    intervalMs: seconds * 1000,
    steps: values.only ? [values.only] : ["config", "jobs"],
    once: values.once ?? false,
    dryRun: values["dry-run"] ?? env.CONFIG_MANAGER_DRY_RUN === "1",
  };
}

function log(level, message, fields = {}) {
  console.log(JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }));
}

/** Returns a mounted file's text; null if it is missing, or if there is nothing in it. */
function readMounted(file) {
  try {
    const text = fs.readFileSync(file, "utf8");
    return text.trim() === "" ? null : text;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ESTALE"].includes(error.code)) return null;
    throw new Problem(`cannot read ${file}: ${error.code}`);
  }
}

function parse(json5, file, text) {
  try {
    return json5.parse(text);
  } catch (error) {
    // The library's message quotes a character at most.
    throw new Problem(`${file} is not JSON5: ${error.message.slice(0, 120)}`);
  }
}

/** Writes a file whole or not at all, for the gateway's user alone. */
export function writeAtomically(file, text) {
  const fresh = path.join(path.dirname(file), `.${path.basename(file)}.config-manager`);
  fs.rmSync(fresh, { force: true }); // Of a pass that was cut short; and never through a link that somebody put there.
  const handle = fs.openSync(fresh, "wx", 0o600);
  try {
    fs.writeFileSync(handle, text);
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
  fs.renameSync(fresh, file);
}

function readRecord(state) {
  try {
    const { config = null, jobs = {}, stale = [] } = JSON.parse(fs.readFileSync(path.join(state, RECORD), "utf8"));
    return { config, jobs, stale };
  } catch (error) {
    // A damaged record is an empty one: then jobs that say what their definitions say are found by name again.
    if (error.code && error.code !== "ENOENT") throw new Problem(`cannot read ${RECORD} in ${state}: ${error.code}`);
    return { config: null, jobs: {}, stale: [] };
  }
}

function writeRecord(state, record) {
  fs.mkdirSync(path.join(state, OWN), { recursive: true, mode: 0o700 });
  writeAtomically(path.join(state, RECORD), `${JSON.stringify(record, null, 2)}\n`);
}

const digest = (text) => createHash("sha256").update(text).digest("hex");

/** Starts OpenClaw's CLI. Returns what it printed, and the error if it failed. */
async function cli(config, args, file) {
  const env = { ...process.env, OPENCLAW_STATE_DIR: path.join(config.state, OWN), OPENCLAW_CONFIG_PATH: path.join(config.state, OWN, file) };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [config.cli, ...args], { env, timeout: 60_000, maxBuffer: 64 << 20 });
    return { stdout };
  } catch (error) {
    return { stdout: error.stdout ?? "", error };
  }
}

const json = (stdout) => JSON.parse(stdout.slice(Math.max(stdout.indexOf("{"), 0)));

/**
 * Asks OpenClaw whether it would take a configuration. Only a clear no counts: 2026.2 cannot tell, and a CLI that fails for another
 * reason must not hold up a configuration that may mend it.
 */
async function validate(config, text) {
  fs.mkdirSync(path.join(config.state, OWN), { recursive: true, mode: 0o700 });
  writeAtomically(path.join(config.state, OWN, "candidate.json"), text);
  const { stdout } = await cli(config, ["config", "validate", "--json"], "candidate.json");
  let answer = null;
  try {
    answer = json(stdout);
  } catch {
    return;
  }
  if (answer.valid !== false) return;
  const issues = (answer.issues ?? []).map((issue) => `${issue.path}: ${issue.message}`);
  throw new Problem(`OpenClaw refuses this openclaw.json; the gateway keeps what it has: ${issues.join("; ").slice(0, 300)}`);
}

/** Copies openclaw.json if the ConfigMap's differs from what was copied last. Returns what it did. */
export async function applyConfig(config, json5) {
  const file = path.join(config.source, "openclaw.json");
  const text = readMounted(file);
  if (text === null) throw new Problem(`${file} is missing or empty; the gateway keeps what it has`);
  const value = parse(json5, file, text);
  if (typeof value !== "object" || value === null || Array.isArray(value) || Object.keys(value).length === 0) {
    throw new Problem(`${file} holds no settings; the gateway keeps what it has`);
  }
  const record = readRecord(config.state);
  const hash = digest(text);
  if (record.config === hash && fs.existsSync(config.target)) return "unchanged";
  await validate(config, text);
  if (config.dryRun) return "would copy openclaw.json";
  writeAtomically(config.target, text);
  writeRecord(config.state, { ...record, config: hash });
  return "copied openclaw.json";
}

/** Returns the definitions of a cron-jobs.json, or throws: one that is wrong stops all of them. */
export function definitions(value) {
  const jobs = Array.isArray(value) ? value : value?.jobs;
  if (!Array.isArray(jobs)) throw new Problem("cron-jobs.json: expected { jobs: [ … ] }");
  if (jobs.length === 0) throw new Problem("cron-jobs.json names no job; nothing is removed. The last job is switched off by enabled: false");
  const names = new Set();
  for (const [index, job] of jobs.entries()) {
    const wrong = (what) => new Problem(`cron-jobs.json: job ${index + 1} ${what}`);
    if (typeof job?.name !== "string" || job.name.trim() !== job.name || job.name === "") throw wrong("has no name, or spaces around it");
    if (names.has(job.name)) throw wrong(`has the name of another one, ${JSON.stringify(job.name)}`);
    if (!["at", "cron", "every"].includes(job.schedule?.kind)) throw wrong("needs schedule.kind: at, cron or every");
    if (typeof job.payload?.kind !== "string") throw wrong("needs payload.kind, such as agentTurn");
    if ("id" in job || "state" in job) throw wrong("has an id or a state, which are the gateway's");
    names.add(job.name);
  }
  return jobs;
}

const isMap = (thing) => typeof thing === "object" && thing !== null && !Array.isArray(thing);

/** Returns of a job what its definition speaks of. `enabled` is left out: a job that the gateway switched off stays off. */
export function project({ enabled: _, ...definition }, job) {
  const pick = (shape, value) => {
    if (!isMap(shape) || !isMap(value)) return value;
    return Object.fromEntries(Object.keys(shape).filter((key) => key in value).map((key) => [key, pick(shape[key], value[key])]));
  };
  return pick(definition, job);
}

/** Whether a new definition lacks a key of the old one. An update merges, so that the gateway would keep it; but not a schedule's. */
function lacks({ schedule: _, ...old }, fresh) {
  return Object.keys(old).some((key) => !(key in fresh) || (isMap(old[key]) && isMap(fresh[key]) && lacks(old[key], fresh[key])));
}

/**
 * Returns what is to be done, removals last. `owned` is by name: { id, definition, seen }; `stale` are the ids of jobs of ours that
 * another one has taken the place of.
 */
export function plan(wanted, jobs, owned, stale = []) {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const ids = new Set([...stale, ...Object.values(owned).map((mine) => mine.id)]);
  const actions = [];
  for (const definition of wanted) {
    const { name } = definition;
    const mine = owned[name];
    const job = mine && byId.get(mine.id);
    const strangers = jobs.filter((other) => other.name === name && !ids.has(other.id));
    const { enabled: _, ...says } = definition;
    const anew = job && lacks(mine.definition, definition);
    if ((!job || anew) && strangers.length === 1 && isDeepStrictEqual(project(definition, strangers[0]), says)) {
      // Made by a pass that was cut short, or by hand.
      actions.push({ action: "adopt", name, definition, job: strangers[0], id: job?.id });
    } else if (!job && strangers.length > 0) {
      actions.push({ action: "conflict", name });
    } else if (!mine) {
      actions.push({ action: "add", name, definition });
    } else if (!job) {
      // A one-shot job is gone once it has run.
      const done = definition.schedule.kind === "at" && isDeepStrictEqual(definition, mine.definition);
      if (!done) actions.push({ action: "add", name, definition });
    } else if (!isDeepStrictEqual(definition, mine.definition)) {
      actions.push({ action: anew ? "replace" : "update", name, definition, id: job.id });
    } else if (!isDeepStrictEqual(project(definition, job), mine.seen)) {
      actions.push({ action: "restore", name, definition, id: job.id });
    }
  }
  const names = new Set(wanted.map((definition) => definition.name));
  for (const [name, mine] of Object.entries(owned)) {
    if (!names.has(name)) actions.push({ action: byId.has(mine.id) ? "remove" : "forget", name, id: mine.id });
  }
  for (const id of stale) actions.push({ action: byId.has(id) ? "remove" : "forget", id });
  return actions;
}

/** Calls a method of the gateway through its CLI. */
async function call(config, method, params) {
  const args = ["gateway", "call", method, "--json", "--timeout", "20000", "--params", JSON.stringify(params)];
  const { stdout, error } = await cli(config, args, "openclaw.json");
  if (error) throw new Problem(`${method} failed: ${reason(error)}`);
  try {
    return json(stdout);
  } catch {
    throw new Problem(`${method} was answered with something that is not JSON`);
  }
}

/** Newer versions tell of an error as JSON on standard output, older ones in words on standard error. */
function reason(error) {
  try {
    return JSON.parse(error.stdout).error.message.slice(0, 300);
  } catch {
    const lines = (error.stderr ?? "").split("\n").filter((line) => line.trim() !== "");
    return (lines.find((line) => /error|failed|refused/i.test(line)) ?? lines.at(-1) ?? error.code ?? error.message).toString().slice(0, 300);
  }
}

/**
 * Says to the CLI where the gateway is: on loopback, whatever address others reach it by, since only there some versions pair without
 * asking. Then makes itself known with the rights that it will need: some versions grant later no more than was asked for first.
 */
async function pair(config, json5) {
  const { port = 18789, auth = {} } = parse(json5, config.target, readMounted(config.target) ?? "{}").gateway ?? {};
  fs.mkdirSync(path.join(config.state, OWN), { recursive: true, mode: 0o700 });
  const client = { gateway: { mode: "local", bind: "loopback", port, auth } };
  writeAtomically(path.join(config.state, OWN, "openclaw.json"), JSON.stringify(client));
  try {
    await call(config, "cron.remove", { id: "none-but-its-answer" });
  } catch (error) {
    if (!/not found/.test(error.message)) throw error;
  }
}

async function list(config) {
  const jobs = [];
  for (let offset = 0; ; ) {
    const page = await call(config, "cron.list", { includeDisabled: true, ...(offset ? { offset } : {}) });
    if (!Array.isArray(page.jobs)) throw new Problem("cron.list was answered without jobs");
    jobs.push(...page.jobs);
    if (!page.hasMore || !(page.nextOffset > offset)) return jobs;
    offset = page.nextOffset;
  }
}

/** Does one action and records what is owned from then on. */
async function carryOut(config, todo, record) {
  const { action, name, definition, id } = todo;
  const own = (job) => {
    record.jobs[name] = { id: job.id, definition, seen: project(definition, job) };
    // The new job first: if the gateway refuses it, the old one goes on.
    if (id && id !== job.id) record.stale.push(id);
    writeRecord(config.state, record);
  };
  const remove = async (id) => {
    await call(config, "cron.remove", { id });
    record.stale = record.stale.filter((other) => other !== id);
  };
  if (action === "conflict") throw new Problem(`the gateway has another job named ${JSON.stringify(name)}: remove it, or give the definition another name`);
  if (action === "adopt") own(todo.job);
  if (action === "add" || action === "replace") own(await call(config, "cron.add", definition));
  if (action === "update" || action === "restore") {
    // Whether a job is on is said when its definition changes, not each time that something else has to be put back.
    const { enabled, ...rest } = definition;
    own(await call(config, "cron.update", { id, patch: action === "update" && enabled !== undefined ? definition : rest }));
  }
  if (action === "remove" || ((action === "adopt" || action === "replace") && id)) await remove(id);
  if (action === "forget") record.stale = record.stale.filter((other) => other !== id);
  if ((action === "remove" || action === "forget") && name) delete record.jobs[name];
  writeRecord(config.state, record);
}

/** Brings the gateway's jobs to what cron-jobs.json says. `last` is { hash, at } of the last time that all went well. */
export async function applyJobs(config, json5, last, now) {
  const file = path.join(config.source, "cron-jobs.json");
  const text = readMounted(file);
  const record = readRecord(config.state);
  if (text === null) {
    if (Object.keys(record.jobs).length === 0) return { did: "no cron-jobs.json", last: null };
    throw new Problem(`${file} is missing or empty; no job is removed`);
  }
  const hash = digest(text);
  if (last?.hash === hash && now - last.at < DRIFT_MS) return { did: "unchanged", last };
  const wanted = definitions(parse(json5, file, text));
  if (!last) await pair(config, json5);
  const actions = plan(wanted, await list(config), record.jobs, record.stale);
  for (const { action, name } of actions) log("info", config.dryRun ? "would" : "planned", { action, job: name });
  if (config.dryRun) return { did: `${actions.length} changes are due`, last: { hash, at: now } };
  const failures = [];
  for (const todo of actions) {
    if (failures.length > 0 && todo.action === "remove") continue; // What should replace the job may be what failed.
    try {
      await carryOut(config, todo, record);
      log("info", "done", { action: todo.action, job: todo.name });
    } catch (error) {
      failures.push(error);
      log("error", error.message, { action: todo.action, job: todo.name });
    }
  }
  if (failures.length > 0) throw new Problem(`${failures.length} of ${actions.length} changes failed; the first: ${failures[0].message}`);
  return { did: actions.length === 0 ? "unchanged" : `${actions.length} changes`, last: { hash, at: now } };
}

/** One try of each step. Fills `status`; returns whether all went well. */
export async function pass(config, json5, status) {
  status.passBegan = Date.now();
  for (const step of config.steps) {
    const state = (status.steps[step] ??= { ok: false, success: 0, last: null });
    try {
      let did;
      if (step === "config") did = await applyConfig(config, json5);
      else ({ did, last: state.last } = await applyJobs(config, json5, state.last, Date.now()));
      if (did !== "unchanged" || !state.ok) log("info", did, { step });
      Object.assign(state, { ok: true, success: Date.now() });
    } catch (error) {
      Object.assign(state, { ok: false, last: null });
      log("error", error instanceof Problem ? error.message : String(error.stack), { step });
    }
  }
  return config.steps.every((step) => status.steps[step].ok);
}

/** Notices changes of a directory from now on. `wait` returns at the first of them, or when the time is over. */
function watch(directory) {
  const changed = Promise.withResolvers();
  let watcher = null;
  try {
    watcher = fs.watch(directory, changed.resolve).on("error", changed.resolve);
  } catch {
    // It is not there (yet): the next pass looks again.
  }
  return async (ms) => {
    const timer = setTimeout(changed.resolve, ms);
    await changed.promise;
    clearTimeout(timer);
    watcher?.close();
    await new Promise((resolve) => setTimeout(resolve, Math.min(SETTLE_MS, ms)));
  };
}

export function metrics(status) {
  const lines = [];
  const gauge = (name, help, value) => {
    lines.push(`# HELP openclaw_config_manager_${name} ${help}`, `# TYPE openclaw_config_manager_${name} gauge`);
    for (const [step, state] of Object.entries(status.steps)) lines.push(`openclaw_config_manager_${name}{step="${step}"} ${value(state)}`);
  };
  gauge("step_ok", "Whether the last try of a step went well.", (state) => Number(state.ok));
  gauge("last_success_timestamp_seconds", "When a step last went well.", (state) => state.success / 1000);
  return `${lines.join("\n")}\n`;
}

function serve(listen, status) {
  const [host, port] = listen.split(/:(?=\d+$)/);
  const server = http.createServer((request, response) => {
    const alive = Date.now() - status.passBegan < STUCK_MS;
    if (request.url === "/metrics") response.setHeader("content-type", "text/plain; version=0.0.4").end(metrics(status));
    else if (request.url === "/healthz") response.writeHead(alive ? 200 : 503).end(alive ? "ok\n" : "the loop hangs\n");
    else response.writeHead(404).end();
  });
  server.listen(Number(port), host, () => log("info", "listening", { address: `${host}:${server.address().port}` }));
}

async function main() {
  const config = settings(process.env, process.argv.slice(2));
  const json5 = createRequire(path.join(config.gateway, "package.json"))("json5");
  const status = { passBegan: Date.now(), steps: {} };
  process.on("SIGTERM", () => process.exit(0)); // As process 1 of a container it would be ignored.
  if (config.once) {
    const ok = await pass(config, json5, status);
    // A gateway that has a configuration starts with it, whatever a later ConfigMap holds.
    return ok || (config.steps.join() === "config" && fs.existsSync(config.target)) ? 0 : 1;
  }
  if (config.listen) serve(config.listen, status);
  for (let failed = 0; ; ) {
    const wait = watch(config.source);
    failed = (await pass(config, json5, status)) ? 0 : failed + 1;
    await wait(failed ? Math.min(FIRST_RETRY_MS * 2 ** (failed - 1), config.intervalMs) : config.intervalMs);
  }
}

// Through the links of a ConfigMap's mount the two names differ.
if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main().then(
    (code) => process.exit(code),
    (error) => {
      log("error", error instanceof Problem ? error.message : String(error.stack));
      process.exit(64);
    },
  );
}
