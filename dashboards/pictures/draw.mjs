// node draw.mjs FOLDER draws every dashboard of `dashboards` into FOLDER as dashboard-NAME.png, from what the servers
// PROMETHEUS_URL and LOKI_URL answer at NOW_MS. It fails on a query that is refused and on a panel that shows nothing.
//
// The page (page.jsx) asks and draws, with Grafana's own components; this starts a Chromium with it and gives it what a
// page has not: files and servers.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';
import UPNG from 'upng-js';

// As wide as Grafana on a usual screen without its menu.
const WIDTH = 1500;
const MOST_BYTES = 300_000;
// What is chosen at the top, besides what the dashboards choose themselves.
const CHOSEN = { 'openclaw-cron-job': { cron_job: 'inbox-triage' } };
// The weeks that the first dashboard is about.
const FROM = { 'openclaw-usage-cost': 'now-30d' };

const [folder] = process.argv.slice(2);
const servers = { prometheus: process.env.PROMETHEUS_URL, loki: process.env.LOKI_URL };
const now = Number(process.env.NOW_MS);
if (!folder || !servers.prometheus || !servers.loki || !now) {
  console.error('draw.mjs: give FOLDER, and PROMETHEUS_URL, LOKI_URL and NOW_MS in the environment');
  process.exit(64);
}

async function ask(server, target) {
  const response = await fetch(servers[server] + target);
  const text = await response.text();
  if (!response.ok) throw new Error(`${server} answers ${response.status} to ${target}: ${text}`);
  return JSON.parse(text).data;
}

function chromium() {
  const names = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter(Boolean);
  for (const name of names) {
    try {
      return execFileSync('sh', ['-c', 'command -v "$1"', 'sh', name], { encoding: 'utf8' }).trim();
    } catch { /* the next one */ }
  }
  throw new Error(`no Chromium: none of ${names.join(', ')} is in PATH; name one in CHROMIUM`);
}

const bundled = await build({
  entryPoints: [path.join(import.meta.dirname, 'page.jsx')],
  bundle: true,
  write: false,
  outdir: 'out',
  format: 'iife',
  jsx: 'automatic',
  minify: true,
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  mainFields: ['browser', 'module', 'main'],
  loader: { '.svg': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl' },
  logLevel: 'error',
});
const [script, style] = ['.js', '.css'].map((kind) => bundled.outputFiles.find((file) => file.path.endsWith(kind)).text);

const icons = path.join(import.meta.dirname, 'node_modules/@grafana/ui/dist/public');
// A page needs an address to be allowed its own storage, which Grafana's packages read.
const html = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><div id="root"></div><script src="page.js"></script>';
const host = http.createServer((request, response) => {
  const [, icon] = request.url.match(/^\/public\/build\/(img\/icons\/[\w/-]+\.svg)$/) ?? [];
  const content = icon ? fs.readFileSync(path.join(icons, icon)) : { '/': html, '/page.js': script, '/page.css': style }[request.url];
  const kind = { svg: 'image/svg+xml', css: 'text/css', js: 'text/javascript' }[request.url.split('.').at(-1)];
  response.setHeader('content-type', kind ?? 'text/html');
  // Of fonts it is the system's Inter.
  response.writeHead(content ? 200 : 404).end(content);
});
await new Promise((ready) => host.listen(0, '127.0.0.1', ready));

const browser = await puppeteer.launch({
  executablePath: chromium(),
  // The page is this project's own and asks nobody but the servers above.
  args: ['--no-sandbox', '--hide-scrollbars', '--force-color-profile=srgb', '--font-render-hinting=none'],
});
let failures = [];
try {
  const dashboards = path.join(import.meta.dirname, '..');
  for (const file of fs.readdirSync(dashboards).filter((name) => name.endsWith('.json')).sort()) {
    const dashboard = JSON.parse(fs.readFileSync(path.join(dashboards, file), 'utf8'));
    const page = await browser.newPage();
    await page.setViewport({ width: WIDTH, height: 1000 });
    await page.emulateTimezone('UTC');
    page.on('pageerror', (error) => failures.push(`${file}: ${error.stack ?? error}`));
    await page.exposeFunction('askServer', ask);
    await page.goto(`http://127.0.0.1:${host.address().port}/`);
    const from = FROM[dashboard.uid] ?? dashboard.time.from;
    const drawn = await page.evaluate((...given) => window.draw(...given), dashboard, from, now, CHOSEN[dashboard.uid] ?? {})
      .catch((error) => void failures.push(`${file}: ${error}`));
    if (!drawn) continue;
    failures.push(...drawn.failures.map((failure) => `${file}: ${failure}`));
    await page.setViewport({ width: WIDTH, height: drawn.height });
    await page.evaluate(() => new Promise((done) => setTimeout(done, 1500)));
    const picture = path.join(folder, `dashboard-${dashboard.uid.replace(/^openclaw-/, '')}.png`);
    fs.mkdirSync(folder, { recursive: true });
    const { width, height, data, ...decoded } = UPNG.decode((await page.screenshot()).buffer);
    // 256 colours are enough for flat ones, and half the size.
    fs.writeFileSync(picture, Buffer.from(UPNG.encode(UPNG.toRGBA8({ width, height, data, ...decoded }), width, height, 256)));
    const bytes = fs.statSync(picture).size;
    console.log(`${picture}: ${drawn.panels} panels, ${bytes} B`);
    if (bytes >= MOST_BYTES) failures.push(`${picture} has ${bytes} B, ${MOST_BYTES} are too many`);
    await page.close();
  }
} finally {
  await browser.close();
  host.close();
}
for (const failure of failures) console.error(`draw.mjs: ${failure}`);
process.exit(failures.length ? 1 : 0);
