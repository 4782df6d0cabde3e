// node --test: config-manager against directories that are mounted as a kubelet mounts a ConfigMap, and a gateway that is faked.
// NODE_PATH names a folder with json5. `real-gateway.mjs` does the same to real ones.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Problem, applyConfig, applyJobs, definitions, metrics, pass, plan, project, settings } from "./config-manager.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = process.env.CONFIG_MANAGER_TEST_MODULES;
assert(modules, "CONFIG_MANAGER_TEST_MODULES names the folder that holds node_modules/json5: `make node` makes it");
const json5 = createRequire(path.join(modules, "package.json"))("json5");

const job = (name, change = {}) => ({
  name,
  schedule: { kind: "cron", expr: "0 7 * * *" },
  sessionTarget: "isolated",
  wakeMode: "now",
  payload: { kind: "agentTurn", message: `do ${name}` },
  ...change,
});

/** A ConfigMap's mount, a state directory and a faked gateway, all in one temporary directory. */
function place(t) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "config-manager-"));
  t.after(() => fs.rmSync(root, { recursive: true, force: true }));
  const at = (name) => path.join(root, name);
  for (const name of ["config", "state", "gateway"]) fs.mkdirSync(at(name));
  let generation = 0;
  const env = {
    PATH: process.env.PATH,
    CONFIG_MANAGER_SOURCE: at("config"),
    OPENCLAW_STATE_DIR: at("state"),
    OPENCLAW_PACKAGE: modules,
    CONFIG_MANAGER_CLI: path.join(here, "fake-openclaw.mjs"),
    FAKE_GATEWAY: at("gateway"),
  };
  process.env.FAKE_GATEWAY = at("gateway"); // Of one test at a time.
  return {
    at,
    env,
    config: (...argv) => settings(env, argv),
    /** Swaps the ConfigMap's content as a kubelet does: a new directory, and one rename of the link to it. */
    mount(files) {
      const data = `..data-${++generation}`;
      fs.mkdirSync(path.join(at("config"), data));
      for (const [name, text] of Object.entries(files)) {
        fs.writeFileSync(path.join(at("config"), data, name), text);
        if (!fs.existsSync(path.join(at("config"), name))) fs.rmSync(path.join(at("config"), name), { force: true });
        if (!fs.existsSync(path.join(at("config"), name))) fs.symlinkSync(path.join("..data", name), path.join(at("config"), name));
      }
      fs.symlinkSync(data, path.join(at("config"), "..data_tmp"));
      fs.renameSync(path.join(at("config"), "..data_tmp"), path.join(at("config"), "..data"));
    },
    jobs: (...jobs) => ({ "cron-jobs.json": JSON.stringify({ jobs }) }),
    openclaw: () => fs.readFileSync(at("state/openclaw.json"), "utf8"),
    inGateway: () => (fs.existsSync(at("gateway/jobs.json")) ? JSON.parse(fs.readFileSync(at("gateway/jobs.json"))) : []),
    setGateway: (jobs) => fs.writeFileSync(at("gateway/jobs.json"), JSON.stringify(jobs)),
    calls() {
      const file = at("gateway/calls.jsonl");
      const lines = fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n") : [];
      return lines.map((line) => JSON.parse(line)).filter(({ method, params }) => method !== "cron.list" && params.id !== "none-but-its-answer").map(({ method }) => method);
    },
  };
}

const names = (jobs) => jobs.map((each) => each.name).sort();
const sync = (p, last = null, now = 0) => applyJobs(p.config(), json5, last, now);

test("a new openclaw.json is copied as it is, once", async (t) => {
  const p = place(t);
  const text = "// kept\n{ gateway: { port: 1 }, cron: { webhookToken: '${TOKEN}' } }\n";
  p.mount({ "openclaw.json": text });
  assert.equal(await applyConfig(p.config(), json5), "copied openclaw.json");
  assert.equal(p.openclaw(), text);
  assert.equal(fs.statSync(p.at("state/openclaw.json")).mode & 0o777, 0o600);
  assert.equal(await applyConfig(p.config(), json5), "unchanged");
});

test("what the gateway wrote stays until the ConfigMap changes, and a file that is gone comes back", async (t) => {
  const p = place(t);
  p.mount({ "openclaw.json": "{ a: 1 }" });
  await applyConfig(p.config(), json5);
  fs.writeFileSync(p.at("state/openclaw.json"), "{ a: 1, meta: 2 }");
  assert.equal(await applyConfig(p.config(), json5), "unchanged");
  assert.equal(p.openclaw(), "{ a: 1, meta: 2 }");
  p.mount({ "openclaw.json": "{ a: 2 }" });
  await applyConfig(p.config(), json5);
  assert.equal(p.openclaw(), "{ a: 2 }");
  fs.rmSync(p.at("state/openclaw.json"));
  assert.equal(await applyConfig(p.config(), json5), "copied openclaw.json");
});

test("a file that is half written, empty, no object or gone is refused and changes nothing", async (t) => {
  const p = place(t);
  p.mount({ "openclaw.json": "{ a: 1 }" });
  await applyConfig(p.config(), json5);
  for (const bad of ["{ a: 1, b: [", "", "  \n", "{}", "[1]", "null", '"text"', "{ a: 1 } }", "\0\0\0"]) {
    p.mount({ "openclaw.json": bad });
    await assert.rejects(applyConfig(p.config(), json5), Problem, JSON.stringify(bad));
    assert.equal(p.openclaw(), "{ a: 1 }");
  }
  fs.rmSync(p.at("config"), { recursive: true });
  await assert.rejects(applyConfig(p.config(), json5), /missing or empty/);
  assert.deepEqual(fs.readdirSync(p.at("state")).sort(), ["config-manager", "openclaw.json"]);
});

test("a configuration that OpenClaw would not take is refused; a version that cannot tell takes it", async (t) => {
  const p = place(t);
  p.mount({ "openclaw.json": "{ a: 1 }" });
  await applyConfig(p.config(), json5);
  p.mount({ "openclaw.json": "{ a: 1, unheard: 2 }" });
  await assert.rejects(applyConfig(p.config(), json5), /refuses this openclaw.json.*cron: Unrecognized key/);
  assert.equal(p.openclaw(), "{ a: 1 }");
  fs.writeFileSync(p.at("gateway/old"), "");
  assert.equal(await applyConfig(p.config(), json5), "copied openclaw.json");
});

test("a link in place of the new file leads nowhere", async (t) => {
  const p = place(t);
  fs.writeFileSync(p.at("victim"), "kept");
  fs.symlinkSync(p.at("victim"), p.at("state/.openclaw.json.config-manager"));
  fs.symlinkSync(p.at("victim"), p.at("state/openclaw.json"));
  p.mount({ "openclaw.json": "{ a: 1 }" });
  await applyConfig(p.config(), json5);
  assert.equal(fs.readFileSync(p.at("victim"), "utf8"), "kept");
  assert.equal(p.openclaw(), "{ a: 1 }");
});

test("jobs are added, changed and removed by name, and those of others are left alone", async (t) => {
  const p = place(t);
  p.setGateway([{ id: "theirs", name: "by hand", schedule: { kind: "every" }, payload: {} }]);
  p.mount(p.jobs(job("a"), job("b"), job("c")));
  const { last } = await sync(p);
  assert.deepEqual(names(p.inGateway()), ["a", "b", "by hand", "c"]);
  assert.equal((await sync(p, last, 1)).did, "unchanged");
  const ids = Object.fromEntries(p.inGateway().map((each) => [each.name, each.id]));

  p.mount(p.jobs(job("a", { payload: { kind: "agentTurn", message: "else" } }), job("c"), job("d")));
  await sync(p, last, 2);
  assert.deepEqual(names(p.inGateway()), ["a", "by hand", "c", "d"]);
  const changed = p.inGateway().find((each) => each.name === "a");
  assert.equal(changed.payload.message, "else");
  assert.equal(changed.id, ids.a, "a changed job keeps its id, and so its series");
  assert.deepEqual(p.calls(), ["cron.add", "cron.add", "cron.add", "cron.update", "cron.add", "cron.remove"]);
});

test("the gateway is called on loopback, at its port and with its way to authenticate", async (t) => {
  const p = place(t);
  const auth = '{ mode: "token", token: "${OPENCLAW_GATEWAY_TOKEN}" }';
  p.mount({ "openclaw.json": `{ gateway: { port: 1234, bind: "lan", auth: ${auth} }, models: {} }`, ...p.jobs(job("a")) });
  assert.equal(await pass(p.config(), json5, { steps: {} }), true);
  const client = JSON.parse(fs.readFileSync(p.at("state/config-manager/openclaw.json")));
  assert.deepEqual(client, { gateway: { mode: "local", bind: "loopback", port: 1234, auth: json5.parse(auth) } });
});

test("a key that a definition no longer has makes the job anew, since an update would keep it", async (t) => {
  const p = place(t);
  p.mount(p.jobs(job("a", { payload: { kind: "agentTurn", message: "m", model: "x/y" } })));
  await sync(p);
  p.mount(p.jobs(job("a", { payload: { kind: "agentTurn", message: "m" } })));
  await sync(p);
  assert.equal(p.inGateway().length, 1);
  assert.equal(p.inGateway()[0].payload.model, undefined);
});

test("a job that is made anew goes on until the gateway has taken the new one, and is removed at last", async (t) => {
  const p = place(t);
  const model = { kind: "agentTurn", message: "m", model: "x/y" };
  const plain = { kind: "agentTurn", message: "m" };
  const never = { kind: "cron", expr: "never" };
  p.mount(p.jobs(job("a", { payload: model })));
  await sync(p);
  const [old] = p.inGateway();
  p.mount(p.jobs(job("a", { payload: plain, schedule: never })));
  await assert.rejects(sync(p), /cron.add failed/);
  assert.deepEqual(p.inGateway(), [old]);

  // As if the removal, then the record of the new one, had been lost.
  p.mount(p.jobs(job("a", { payload: plain })));
  await sync(p);
  const [fresh] = p.inGateway();
  p.setGateway([old, fresh]);
  const file = p.at("state/config-manager/record.json");
  const record = JSON.parse(fs.readFileSync(file));
  assert.deepEqual(record.stale, []);
  fs.writeFileSync(file, JSON.stringify({ ...record, stale: [old.id] }));
  await sync(p);
  assert.deepEqual(p.inGateway(), [fresh]);
  p.setGateway([old, fresh]);
  const seen = { ...old, payload: model };
  fs.writeFileSync(file, JSON.stringify({ ...record, jobs: { a: { id: old.id, definition: job("a", { payload: model }), seen } } }));
  await sync(p);
  assert.deepEqual(p.inGateway(), [fresh]);
  assert.deepEqual(JSON.parse(fs.readFileSync(file)).stale, []);
});

test("what was changed by hand is put back, but a job that was switched off stays off", async (t) => {
  const p = place(t);
  p.mount(p.jobs(job("a", { enabled: true })));
  const { last } = await sync(p);
  const [made] = p.inGateway();
  p.setGateway([{ ...made, enabled: false, payload: { ...made.payload, message: "by hand" } }]);
  assert.equal((await sync(p, last, 60_000)).did, "unchanged", "not looked at each minute");
  await sync(p, last, 11 * 60_000);
  const [after] = p.inGateway();
  assert.deepEqual([after.payload.message, after.enabled], ["do a", false]);
  p.mount(p.jobs(job("a", { enabled: true, wakeMode: "next-heartbeat" })));
  await sync(p);
  assert.equal(p.inGateway()[0].enabled, true);
});

test("nothing is removed when definitions are missing, empty, broken or doubled", async (t) => {
  const p = place(t);
  p.mount(p.jobs(job("a"), job("b")));
  const { last } = await sync(p);
  const good = JSON.stringify({ jobs: [job("a")] });
  for (const bad of ["", "\n", "{}", "[]", "{ jobs: [] }", "null", good.slice(0, -3), JSON.stringify([job("a"), job("a")])]) {
    p.mount({ "cron-jobs.json": bad });
    await assert.rejects(sync(p, last, 1), Problem, JSON.stringify(bad));
  }
  fs.rmSync(p.at("config"), { recursive: true });
  await assert.rejects(sync(p, last, 1), /no job is removed/);
  assert.deepEqual(names(p.inGateway()), ["a", "b"]);
});

test("definitions that cannot be right are refused with the place", () => {
  for (const [jobs, said] of [
    [[{}], "job 1 has no name"],
    [[job("a"), { ...job("b"), name: " b" }], "job 2 has no name"],
    [[job("a", { schedule: { kind: "sometimes" } })], "schedule.kind"],
    [[job("a", { payload: undefined })], "payload.kind"],
    [[job("a", { id: "1" })], "id or a state"],
  ]) assert.throws(() => definitions({ jobs }), new RegExp(said));
  assert.equal(definitions([job("a")]).length, 1);
});

test("one change that fails holds up removals only, is told, and is tried again", async (t) => {
  const p = place(t);
  p.mount(p.jobs(job("old")));
  await sync(p);
  p.mount(p.jobs(job("bad", { schedule: { kind: "cron", expr: "never" } }), job("good")));
  await assert.rejects(sync(p), /1 of 3 changes failed; the first: cron.add failed: invalid cron.add params/);
  assert.deepEqual(names(p.inGateway()), ["good", "old"]);
  p.mount(p.jobs(job("bad"), job("good")));
  await sync(p);
  assert.deepEqual(names(p.inGateway()), ["bad", "good"]);
});

test("a job of the same name that says something else is never touched; one that says the same becomes ours", async (t) => {
  const p = place(t);
  p.setGateway([{ id: "1", ...job("a", { wakeMode: "next-heartbeat" }) }, { id: "2", ...job("b"), enabled: true }]);
  p.mount(p.jobs(job("a"), job("b"), job("c")));
  await assert.rejects(sync(p), /another job named "a"/);
  assert.deepEqual(p.calls(), ["cron.add"]);
  assert.deepEqual(names(p.inGateway()), ["a", "b", "c"]);
});

test("a pass that was killed after the gateway made a job makes it no second time", async (t) => {
  const p = place(t);
  p.mount(p.jobs(job("a")));
  await sync(p);
  fs.rmSync(p.at("state/config-manager/record.json"));
  await sync(p);
  assert.deepEqual(p.calls(), ["cron.add"]);
  p.mount(p.jobs(job("b")));
  await sync(p);
  assert.deepEqual(names(p.inGateway()), ["b"]);
});

test("a one-shot job that is gone has run; any other one comes back", () => {
  const once = job("once", { schedule: { kind: "at", at: "2026-12-01T00:00:00Z" } });
  const daily = job("daily");
  const own = (definition) => ({ id: "gone", definition, seen: project(definition, definition) });
  const actions = plan([once, daily], [], { once: own(once), daily: own(daily) });
  assert.deepEqual(actions.map(({ action, name }) => [action, name]), [["add", "daily"]]);
  const later = { ...once, schedule: { kind: "at", at: "2026-12-02T00:00:00Z" } };
  assert.deepEqual(plan([later], [], { once: own(once) }).map(({ action }) => action), ["add"]);
});

test("a dry run says what is due and does nothing", async (t) => {
  const p = place(t);
  p.mount({ "openclaw.json": "{ a: 1 }", ...p.jobs(job("a")) });
  const config = p.config("--dry-run");
  assert.equal(await applyConfig(config, json5), "would copy openclaw.json");
  assert.equal((await applyJobs(config, json5, null, 0)).did, "1 changes are due");
  assert.deepEqual([fs.readdirSync(p.at("state")), p.inGateway(), p.calls()], [["config-manager"], [], []]);
});

test("a failed step shows on /metrics, and does not keep the other from its work", async (t) => {
  const p = place(t);
  p.mount({ "openclaw.json": "{ a: 1 }", ...p.jobs(job("a")) });
  fs.writeFileSync(p.at("gateway/down"), "");
  const status = { steps: {} };
  assert.equal(await pass(p.config(), json5, status), false);
  assert.match(metrics(status), /step_ok\{step="config"\} 1\n[^]*step_ok\{step="jobs"\} 0\n/);
  assert.equal(p.openclaw(), "{ a: 1 }");
  fs.rmSync(p.at("gateway/down"));
  assert.equal(await pass(p.config(), json5, status), true);
  assert.match(metrics(status), /step_ok\{step="jobs"\} 1\n/);
});

/** Starts the program itself; returns a way to wait until it did something. */
function start(t, p, ...argv) {
  const env = { ...p.env, CONFIG_MANAGER_INTERVAL_S: "0.2" };
  const child = spawn(process.execPath, [path.join(here, "config-manager.mjs"), ...argv], { env });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
  return {
    child,
    said: () => said,
    async until(what, holds) {
      const deadline = Date.now() + 60_000;
      while (!holds(said)) {
        assert(Date.now() < deadline && child.exitCode === null, `${what}: ${said}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

test("the program follows swaps, survives a mount that vanishes and a gateway that is down, and ends on SIGTERM", async (t) => {
  const p = place(t);
  p.mount({ "openclaw.json": "{ a: 1 }", ...p.jobs(job("a")) });
  fs.writeFileSync(p.at("gateway/down"), "");
  const program = start(t, p);
  await program.until("the gateway is down", (said) => said.includes("failed: gateway connect failed"));
  fs.rmSync(p.at("gateway/down"));
  await program.until("it is up", () => p.inGateway().length === 1);

  p.mount({ "openclaw.json": "{ a: 2 }", ...p.jobs(job("a"), job("b")) }); // Both within a second: the last one stands.
  p.mount({ "openclaw.json": "{ a: 3 }", ...p.jobs(job("a"), job("c")) });
  await program.until("two swaps", () => p.openclaw() === "{ a: 3 }" && names(p.inGateway()).join() === "a,c");

  fs.renameSync(p.at("config"), p.at("away"));
  await program.until("the mount is gone", (said) => said.includes("no job is removed"));
  assert.deepEqual(names(p.inGateway()), ["a", "c"]);
  assert.equal(p.openclaw(), "{ a: 3 }");
  fs.renameSync(p.at("away"), p.at("config"));
  p.mount({ "openclaw.json": "{ a: 4 }", ...p.jobs(job("a")) });
  await program.until("it is back", () => p.openclaw() === "{ a: 4 }" && names(p.inGateway()).join() === "a");

  program.child.kill("SIGTERM");
  const [code] = await once(program.child, "exit");
  assert.equal(code, 0);
});

test("a reader of openclaw.json never sees half of it", async (t) => {
  const p = place(t);
  const text = (n) => JSON.stringify({ n, filler: "x".repeat(200_000), end: n });
  p.mount({ "openclaw.json": text(0) });
  const program = start(t, p, "--only", "config");
  await program.until("the first", () => fs.existsSync(p.at("state/openclaw.json")));
  let seen = 0;
  for (let n = 1; n <= 10; n++) {
    p.mount({ "openclaw.json": text(n) });
    await program.until(`swap ${n}`, () => {
      const { n: begin, end } = JSON.parse(p.openclaw());
      assert.equal(begin, end);
      seen++;
      return begin === n;
    });
  }
  assert(seen >= 10);
});

test("as an init container it copies and ends; with a broken ConfigMap it fails only if the gateway has no configuration", async (t) => {
  const p = place(t);
  const run = async () => {
    const program = start(t, p, "--once", "--only", "config");
    return (await once(program.child, "exit"))[0];
  };
  p.mount({ "openclaw.json": "{ broken" });
  assert.equal(await run(), 1);
  p.mount({ "openclaw.json": "{ a: 1 }" });
  assert.equal(await run(), 0);
  p.mount({ "openclaw.json": "{ broken" });
  assert.equal(await run(), 0);
  assert.equal(p.openclaw(), "{ a: 1 }");
});

test("bad usage is told", () => {
  assert.throws(() => settings({}, ["--only", "all"]), Problem);
  assert.throws(() => settings({ CONFIG_MANAGER_INTERVAL_S: "soon" }, []), Problem);
});
