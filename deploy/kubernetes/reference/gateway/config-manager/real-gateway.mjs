// node real-gateway.mjs PACKAGE…: config-manager against real gateways on loopback. Each PACKAGE is a folder of an installed npm
// package `openclaw` (npm install --ignore-scripts openclaw@2026.9.6). A gateway is started for each, and ended.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";

import { applyConfig, applyJobs, settings } from "./config-manager.mjs";

const job = (name, change = {}) => ({
  name,
  enabled: true,
  schedule: { kind: "cron", expr: "0 7 1 1 *", tz: "Europe/Berlin" },
  sessionTarget: "isolated",
  wakeMode: "now",
  payload: { kind: "agentTurn", message: `do ${name}`, timeoutSeconds: 60 },
  delivery: { mode: "none" },
  ...change,
});

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

async function check(gateway) {
  const { version } = JSON.parse(fs.readFileSync(path.join(gateway, "package.json")));
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "real-gateway-"));
  for (const name of ["config", "state", "home"]) fs.mkdirSync(path.join(root, name));
  const port = await freePort();
  Object.assign(process.env, {
    HOME: path.join(root, "home"),
    OPENCLAW_STATE_DIR: path.join(root, "state"),
    OPENCLAW_GATEWAY_TOKEN: "test-token",
    OPENCLAW_CRON_WEBHOOK_TOKEN: "test-token",
    LITELLM_API_KEY: "test-token",
    OPENCLAW_SKIP_CHANNELS: "1",
    OPENCLAW_PACKAGE: gateway,
    CONFIG_MANAGER_SOURCE: path.join(root, "config"),
  });
  const config = settings(process.env, []);
  const json5 = createRequire(path.join(gateway, "package.json"))("json5");
  const put = (name, value) => fs.writeFileSync(path.join(root, "config", name), JSON.stringify(value));
  // The reference deployment's own, which each version has to take. Its other address and place of the log are not for here.
  const reference = json5.parse(fs.readFileSync(new URL("../openclaw.json", import.meta.url), "utf8"));
  const openclaw = (retention) => ({
    ...reference,
    gateway: { ...reference.gateway, port, bind: "loopback" },
    cron: { ...reference.cron, sessionRetention: retention },
    logging: { file: path.join(root, "state/logs/openclaw.log") },
  });
  put("openclaw.json", openclaw("24h"));
  put("cron-jobs.json", { jobs: [job("a"), job("b"), job("hourly", { schedule: { kind: "every", everyMs: 3_600_000 } })] });
  assert.equal(await applyConfig(config, json5), "copied openclaw.json");

  const log = path.join(root, "gateway.log");
  const output = fs.openSync(log, "w");
  const child = spawn(process.execPath, [config.cli, "gateway", "run", "--port", String(port)], { stdio: ["ignore", output, output] });
  const inGateway = () => {
    const env = { ...process.env, OPENCLAW_STATE_DIR: path.join(config.state, "config-manager"), OPENCLAW_CONFIG_PATH: "" };
    const args = [config.cli, "gateway", "call", "cron.list", "--json", "--params", '{"includeDisabled":true}'];
    const said = execFileSync(process.execPath, args, { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return JSON.parse(said.slice(said.indexOf("{"))).jobs;
  };
  const mine = () => inGateway().filter((each) => ["a", "b", "c", "hourly"].includes(each.name));
  try {
    let last = null;
    let downs = 0;
    for (let done = false; !done; ) {
      assert(downs < 120 && child.exitCode === null, `${version} does not come up: ${fs.readFileSync(log, "utf8").slice(-2000)}`);
      try {
        ({ last } = await applyJobs(config, json5, null, 0)); // The gateway is down for a while: it has only just been started.
        done = true;
      } catch {
        downs++;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    const before = Object.fromEntries(mine().map((each) => [each.name, each]));
    assert.deepEqual(Object.keys(before).sort(), ["a", "b", "hourly"]);
    assert.equal((await applyJobs(config, json5, null, 0)).did, "unchanged", "what the gateway fills in is no change");

    put("cron-jobs.json", { jobs: [job("a", { payload: { kind: "agentTurn", message: "else", timeoutSeconds: 60 } }), job("c"), job("hourly", { enabled: false, schedule: { kind: "every", everyMs: 3_600_000 } })] });
    await applyJobs(config, json5, last, 1);
    const after = Object.fromEntries(mine().map((each) => [each.name, each]));
    assert.deepEqual(Object.keys(after).sort(), ["a", "c", "hourly"]);
    assert.equal(after.a.payload.message, "else");
    assert.equal(after.a.id, before.a.id);
    assert.equal(after.hourly.enabled, false);
    assert.equal((await applyJobs(config, json5, null, 0)).did, "unchanged");

    put("cron-jobs.json", { jobs: [job("a", { payload: { kind: "agentTurn", message: "else" } }), job("c", { schedule: { kind: "cron", expr: "not one" } })] });
    await assert.rejects(applyJobs(config, json5, null, 0), /1 of 3 changes failed/);
    assert.deepEqual(mine().map((each) => each.name).sort(), ["a", "c", "hourly"]);
    assert.equal(mine().find((each) => each.name === "a").payload.timeoutSeconds, undefined);

    put("openclaw.json", openclaw("48h"));
    assert.equal(await applyConfig(config, json5), "copied openclaw.json");
    const reloaded = () => /config (hot reload|change)|reload/i.test(fs.readFileSync(log, "utf8"));
    for (let tries = 0; !reloaded(); tries++) {
      assert(tries < 100, `${version} does not follow the new file: ${fs.readFileSync(log, "utf8").slice(-1000)}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }

    // The first version that is known to tell is 2026.5.28; 2026.2.17 does not.
    put("openclaw.json", { ...openclaw("48h"), cron: { enabled: true, unheard: true } });
    if (version.startsWith("2026.2.")) assert.equal(await applyConfig(config, json5), "copied openclaw.json");
    else await assert.rejects(applyConfig(config, json5), /refuses this openclaw.json/);
    console.log(`${version}: ok (not reachable for the first ${downs} tries)`);
  } finally {
    child.kill("SIGKILL");
    fs.closeSync(output);
  }
  fs.rmSync(root, { recursive: true, force: true });
}

assert(process.argv.length > 2, "give the folders of installed packages `openclaw`");
for (const gateway of process.argv.slice(2)) await check(path.resolve(gateway));
