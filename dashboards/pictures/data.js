// What Grafana does between a panel and its data source: variables, intervals, frames, options of fields, transformations.

import {
  FieldType, dateMath, dateTime, getDisplayProcessor, getFieldDisplayName, rangeUtil, standardTransformers,
  standardTransformersRegistry, toDataFrame, transformDataFrame,
} from '@grafana/data';

// The scrape interval that Grafana is told of.
const SCRAPE_MS = 15_000;

// By id: some of them are exported under two names.
const transformers = new Map(Object.values(standardTransformers).map((one) => [one.id, { id: one.id, name: one.name, transformation: async () => one }]));
standardTransformersRegistry.setInit(() => [...transformers.values()]);

const at = (expression, now, roundUp) => dateMath.toDateTime
  ? dateMath.toDateTime(expression, { now: dateTime(now), roundUp })
  : dateMath.parse(expression, roundUp);

// The range of a panel: the dashboard's, or one of its own.
export function rangeOf(panel, from, now) {
  let start = at(panel.timeFrom ? described(panel.timeFrom) : from, now, false);
  let end = dateTime(now);
  if (panel.timeShift) {
    start = dateMath.parseDateMath('-' + panel.timeShift, start, false);
    end = dateMath.parseDateMath('-' + panel.timeShift, end, true);
  }
  return { from: start, to: end, raw: { from, to: 'now' } };
}

function described(text) {
  return rangeUtil.describeTextRange(text).from;
}

// The values of the variables, in their order, since one may be asked for with those before it.
export async function variablesOf(dashboard, range, chosen) {
  const values = {};
  const shown = [];
  for (const variable of dashboard.templating.list) {
    const { name, type, current } = variable;
    if (type === 'datasource') continue;
    const options = type === 'custom' ? variable.options.map(({ text, value }) => ({ text, value })) : await queried(variable, fill(variable.query.query, { ...values, __range: `${range.to.diff(range.from, 'seconds')}s` }), range);
    const wanted = chosen[name] ?? current?.value;
    if (chosen[name] === undefined && wanted === '$__all' && variable.includeAll) {
      values[name] = variable.allValue || `(${options.map(({ value }) => value).join('|')})`;
      shown.push({ label: variable.label, text: 'All' });
      continue;
    }
    const option = options.find(({ text, value }) => value === wanted || text === wanted) ?? options[0];
    if (!option) throw new Error(`the variable ${name} has no value`);
    values[name] = option.value;
    shown.push({ label: variable.label, text: option.text });
  }
  return { values, shown };
}

async function queried(variable, query, range) {
  const [, kind, inside] = query.match(/^(\w+)\((.*)\)$/s);
  if (kind === 'label_values') {
    const [series, label] = [inside.slice(0, inside.lastIndexOf(',')), inside.slice(inside.lastIndexOf(',') + 1).trim()];
    const window = `start=${range.from.unix()}&end=${range.to.unix()}`;
    const found = await askServer('prometheus', `/api/v1/label/${label}/values?match[]=${encodeURIComponent(series)}&${window}`);
    return found.map((value) => ({ text: value, value }));
  }
  const { result } = await askServer('prometheus', `/api/v1/query?query=${encodeURIComponent(inside)}&time=${range.to.valueOf() / 1000}`);
  const pattern = new RegExp(variable.regex.slice(1, variable.regex.lastIndexOf('/')));
  return result.map(({ metric, value }) => {
    const labels = Object.entries(metric).sort().map(([key, text]) => `${key}="${text}"`).join(',');
    const { groups } = `{${labels}} ${value[1]} ${value[0] * 1000}`.match(pattern) ?? {};
    return groups && { text: groups.text, value: groups.value };
  }).filter(Boolean).sort((a, b) => a.text.localeCompare(b.text));
}

const askServer = (server, target) => window.askServer(server, target);

export function fill(text, values) {
  let filled = text;
  for (const name of Object.keys(values).sort((a, b) => b.length - a.length)) {
    filled = filled.replaceAll('${' + name + '}', values[name]).replaceAll('$' + name, values[name]);
  }
  return filled;
}

// The frames of a panel's queries.
export async function framesOf(panel, range, values, width) {
  const lowest = panel.interval ?? '15s';
  const { intervalMs } = rangeUtil.calculateInterval(range, panel.maxDataPoints ?? Math.floor(width), lowest);
  const seconds = (range.to.valueOf() - range.from.valueOf()) / 1000;
  const own = {
    ...values,
    __range_ms: String(Math.round(seconds * 1000)),
    __range_s: String(Math.round(seconds)),
    __range: `${Math.round(seconds)}s`,
    __rate_interval: `${Math.max(intervalMs + SCRAPE_MS, 4 * SCRAPE_MS) / 1000}s`,
    __interval: `${intervalMs / 1000}s`,
    __auto: `${intervalMs / 1000}s`,
  };
  const frames = [];
  for (const target of panel.targets ?? []) {
    const expression = fill(target.expr, own);
    if (expression.replaceAll('"$1"', '').includes('$')) throw new Error(`${panel.title}: something is left over in ${expression}`);
    const asked = encodeURIComponent(expression);
    const found = target.datasource.type === 'loki'
      ? await ofLoki(panel, asked, range, intervalMs)
      : await ofPrometheus(target, asked, range, intervalMs);
    const legend = (labels) => fill(target.legendFormat ?? '', values).replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
    if (target.format === 'table') frames.push(asTable(target.refId, found));
    else frames.push(...found.map((series) => asSeries(target.refId, series, legend(series.labels), panel, intervalMs)));
  }
  return frames;
}

async function ofPrometheus(target, asked, range, intervalMs) {
  if (target.instant) {
    const { result } = await askServer('prometheus', `/api/v1/query?query=${asked}&time=${range.to.valueOf() / 1000}`);
    return result.map(({ metric, value }) => ({ labels: metric, points: [value] }));
  }
  // Whole intervals, as Grafana's Prometheus data source asks.
  const whole = (time) => (Math.floor(time.valueOf() / intervalMs) * intervalMs) / 1000;
  const { result } = await askServer('prometheus',
    `/api/v1/query_range?query=${asked}&start=${whole(range.from)}&end=${whole(range.to)}&step=${intervalMs / 1000}`);
  return result.map(({ metric, values }) => ({ labels: metric, points: values }));
}

async function ofLoki(panel, asked, range, intervalMs) {
  const window = `start=${range.from.valueOf()}000000&end=${range.to.valueOf()}000000`;
  const lines = panel.type === 'logs';
  const { result } = await askServer('loki', `/loki/api/v1/query_range?query=${asked}&${window}&${lines ? 'limit=100' : `step=${intervalMs / 1000}`}`);
  return lines
    ? result.map(({ stream, values }) => ({ labels: stream, lines: values }))
    : result.map(({ metric, values }) => ({ labels: metric, points: values }));
}

function asSeries(refId, { labels, points, lines }, name, panel, intervalMs) {
  if (lines) return { refId, lines: lines.map(([ns, text]) => ({ ms: Number(ns.slice(0, -6)), text, labels })) };
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([seconds]) => Math.round(seconds * 1000)), config: { interval: intervalMs } },
      { name: 'Value', type: FieldType.number, labels, values: points.map(([, value]) => Number(value)), config: { displayNameFromDS: name || JSON.stringify(labels) } },
    ],
  });
}

// One frame for all series of a query, a column for each label.
function asTable(refId, found) {
  const labels = [...new Set(found.flatMap((series) => Object.keys(series.labels)))].sort();
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map(({ points }) => Math.round(points[0][0] * 1000)) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, values: found.map((series) => series.labels[label] ?? '') })),
      { name: `Value #${refId}`, type: FieldType.number, values: found.map(({ points }) => Number(points[0][1])) },
    ],
  });
}

export async function transformed(panel, frames) {
  if (!panel.transformations?.length) return frames;
  return new Promise((done, failed) => transformDataFrame(panel.transformations, frames).subscribe({ next: done, error: failed }));
}

// Options of fields: those of the panel's kind, the panel's own, and the overrides by name or pattern.
export function configured(panel, frames, defaults, theme) {
  let index = 0;
  // Where a panel has no maximum of its own, it is the largest value that it shows.
  const numbers = frames.flatMap((frame) => frame.fields).filter(({ type }) => type === FieldType.number);
  const largest = Math.max(...numbers.flatMap(({ values }) => values.filter(Number.isFinite)));
  for (const frame of frames) {
    for (const field of frame.fields) {
      const own = panel.fieldConfig?.defaults ?? {};
      field.config = { ...defaults, ...own, ...field.config, custom: { ...defaults.custom, ...own.custom, ...field.config.custom } };
      const name = getFieldDisplayName(field, frame, frames);
      for (const { matcher, properties } of panel.fieldConfig?.overrides ?? []) {
        const pattern = matcher.id === 'byRegexp' && new RegExp(matcher.options.replace(/^\/(.*)\/$/, '$1'));
        if (matcher.id === 'byName' ? matcher.options !== name : !pattern || !pattern.test(name)) continue;
        for (const { id, value } of properties) {
          if (id.startsWith('custom.')) field.config.custom[id.slice('custom.'.length)] = value;
          else field.config[id] = value;
        }
      }
      if (panel.type === 'bargauge') field.config.max ??= largest;
      // In JSON the lowest threshold has no number.
      const { thresholds } = field.config;
      field.config.thresholds = { ...thresholds, steps: thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity })) };
      if (field.type === FieldType.number) field.state = { ...field.state, seriesIndex: index++ };
      // Links are for those who can click.
      delete field.config.links;
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
    }
  }
  return frames;
}

// Whether there is anything to see.
export function isFilled(frames) {
  return frames.some((frame) => frame.lines
    ? frame.lines.length > 0
    : frame.fields.some((field) => field.type === FieldType.number && field.values.some((value) => Number.isFinite(value))));
}
