// One dashboard as Grafana would show it: its grid, and each panel by Grafana's own components. Drawn here, since Grafana's
// packages do not have them: the head, state timelines and logs.

import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { ThemeContext, createTheme, getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, PanelContextProvider, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import 'uplot/dist/uPlot.min.css';
import { configured, framesOf, isFilled, rangeOf, transformed, variablesOf } from './data.js';

const theme = createTheme({ colors: { mode: 'dark' } });
const CELL = 30;
const GAP = 8;
const MARGIN = 16;
const HEAD = 92;

// What Grafana's panels take where a dashboard says nothing.
const thresholds = { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] };
const DEFAULTS = {
  timeseries: { thresholds, color: { mode: 'palette-classic' }, custom: { drawStyle: 'line', lineInterpolation: 'linear', barAlignment: 0, barWidthFactor: 0.6, lineWidth: 1, fillOpacity: 0, gradientMode: 'none', spanNulls: false, insertNulls: false, showPoints: 'auto', pointSize: 5, stacking: { mode: 'none', group: 'A' }, axisPlacement: 'auto', axisColorMode: 'text', axisBorderShow: false, scaleDistribution: { type: 'linear' }, axisCenteredZero: false, hideFrom: { tooltip: false, viz: false, legend: false }, thresholdsStyle: { mode: 'off' } } },
  stat: { thresholds, color: { mode: 'thresholds' }, custom: {} },
  bargauge: { thresholds, color: { mode: 'thresholds' }, custom: {} },
  table: { thresholds, color: { mode: 'thresholds' }, custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false } },
  'state-timeline': { thresholds, color: { mode: 'thresholds' }, custom: {} },
  logs: { custom: {} },
};

function Graph({ panel, frames, range, width, height }) {
  return (
    <TimeSeries frames={frames} structureRev={1} width={width} height={height} timeRange={range} timeZone="utc"
      legend={{ calcs: [], ...panel.options.legend }} options={panel.options}>
      {() => null}
    </TimeSeries>
  );
}

function values(panel, frames) {
  return getFieldDisplayValues({
    fieldConfig: { defaults: panel.fieldConfig?.defaults ?? {}, overrides: [] },
    reduceOptions: { calcs: ['lastNotNull'], values: false, fields: '', ...panel.options.reduceOptions },
    replaceVariables: (text) => text, theme, data: frames, timeZone: 'utc',
  });
}

function Stat({ panel, frames, width, height }) {
  const { colorMode, graphMode, justifyMode = 'auto', textMode = 'auto' } = panel.options;
  return (
    <VizRepeater getValues={() => values(panel, frames)} source={frames} width={width} height={height} orientation={VizOrientation.Auto} renderCounter={1}
      renderValue={({ value, width, height, count }) => (
        <BigValue value={value.display} width={width} height={height} colorMode={colorMode} graphMode={graphMode}
          justifyMode={justifyMode} textMode={textMode} count={count} theme={theme} />
      )} />
  );
}

function Gauges({ panel, frames, width, height }) {
  const { displayMode, showUnfilled, valueMode = 'color', namePlacement = 'auto', minVizHeight = 16, maxVizHeight = 300, sizing } = panel.options;
  return (
    <VizRepeater getValues={() => values(panel, frames)} source={frames} width={width} height={height} orientation={VizOrientation.Horizontal} renderCounter={1}
      getAlignmentFactors={getDisplayValueAlignmentFactors} itemSpacing={10} minVizHeight={minVizHeight} maxVizHeight={sizing === 'manual' ? maxVizHeight : 300}
      renderValue={({ value, width, height, alignmentFactors }) => (
        <BarGauge value={value.display} width={width} height={height} field={value.field} orientation={VizOrientation.Horizontal} display={value.view?.getFieldDisplayProcessor(value.colIndex)}
          displayMode={displayMode} showUnfilled={showUnfilled} valueDisplayMode={valueMode} namePlacement={namePlacement} alignmentFactors={alignmentFactors} itemSpacing={10} theme={theme} />
      )} />
  );
}

function Table({ panel, frames, width, height }) {
  return <TableNG data={frames[0]} width={width} height={height} noHeader={!panel.options.showHeader} cellHeight={panel.options.cellHeight} sortBy={panel.options.sortBy} fieldConfig={panel.fieldConfig} structureRev={1} transparent={false} getActions={() => []} showTypeIcons={false} enableSharedCrosshair={false} />;
}

// Not Grafana's: a band per series, in the colour of its value.
function Timeline({ panel, frames, range, width, height }) {
  const rows = frames.flatMap((frame) => frame.fields.slice(1).map((field) => ({ times: frame.fields[0].values, step: frame.fields[0].config.interval, field, name: getFieldDisplayName(field, frame, frames) })));
  const legend = panel.fieldConfig.defaults.mappings?.length > 0 ? 22 : 0;
  const axis = 20;
  const label = Math.min(240, 24 + 7 * Math.max(...rows.map(({ name }) => name.length)));
  const each = (height - axis - legend) / rows.length;
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const x = (ms) => label + ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * (width - label);
  const ticks = Array.from({ length: 7 }, (_, n) => from + ((to - from) * n) / 6);
  const shown = new Map();
  const bands = rows.flatMap(({ times, step, field }, row) => times.map((time, n) => {
    const display = field.display(field.values[n]);
    if (field.values[n] == null || display.color === 'transparent' || /00000000|, ?0\)$/.test(display.color ?? '')) return null;
    shown.set(display.text, display.color);
    const end = times[n + 1] !== undefined && times[n + 1] - time <= step * 1.5 ? times[n + 1] : time + step;
    return <rect key={`${row}.${n}`} x={x(time)} y={row * each + each * 0.1} width={Math.max(1, x(end) - x(time))} height={each * 0.8} fill={display.color} />;
  }));
  return (
    <svg width={width} height={height} fontSize="12" fontFamily={theme.typography.fontFamily} fill={theme.colors.text.primary}>
      {rows.map(({ name }, row) => <text key={name} x={label - 10} y={(row + 0.5) * each + 4} textAnchor="end">{name}</text>)}
      {bands}
      {ticks.slice(0, -1).map((ms) => <text key={ms} x={x(ms)} y={height - legend - 5} fill={theme.colors.text.secondary}>{new Date(ms).toISOString().slice(11, 16)}</text>)}
      {legend > 0 && [...shown].map(([text, color], n) => (
        <g key={text} transform={`translate(${n * 130}, ${height - 14})`}><rect width="14" height="4" y="3" rx="2" fill={color} /><text x="20" y="9">{text}</text></g>
      ))}
    </svg>
  );
}

// Not Grafana's: a line per event.
function Logs({ frames, height }) {
  const lines = frames.flatMap((frame) => frame.lines).sort((a, b) => b.ms - a.ms);
  return (
    <div style={{ height, overflow: 'hidden', fontFamily: theme.typography.fontFamilyMonospace, fontSize: 12, lineHeight: '20px' }}>
      {lines.slice(0, Math.floor(height / 20)).map(({ ms, text, labels }, n) => (
        <div key={n} style={{ whiteSpace: 'nowrap', borderLeft: `3px solid ${/error|warn|fail/i.test(labels.severity_text ?? labels.level ?? labels.detected_level ?? '') ? theme.visualization.getColorByName('red') : theme.visualization.getColorByName('green')}`, paddingLeft: 8 }}>
          <span style={{ color: theme.colors.text.secondary }}>{new Date(ms).toISOString().replace('T', ' ').slice(0, 23)}</span> {text}
        </div>
      ))}
    </div>
  );
}

const KINDS = { timeseries: Graph, stat: Stat, bargauge: Gauges, table: Table, 'state-timeline': Timeline, logs: Logs };

function Panel({ panel, frames, range, filled, box }) {
  if (panel.type === 'row') return <div style={{ ...box, color: theme.colors.text.primary, fontSize: 16, fontWeight: 500, lineHeight: `${CELL}px` }}>⌄&nbsp; {panel.title}</div>;
  const Kind = KINDS[panel.type];
  return (
    <div style={box}>
      <PanelChrome title={panel.title} description={panel.description} width={box.width} height={box.height}>
        {(width, height) => filled
          ? <Kind panel={panel} frames={frames} range={range} width={width} height={height} />
          : <div style={{ display: 'grid', placeItems: 'center', height, textAlign: 'center' }}>{panel.fieldConfig?.defaults?.noValue ?? 'No data'}</div>}
      </PanelChrome>
    </div>
  );
}

function Head({ dashboard, shown, range }) {
  const pill = { border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, padding: '0 8px', lineHeight: '30px', background: theme.components.input.background };
  const text = (time) => new Date(time.valueOf()).toISOString().slice(0, 16).replace('T', ' ');
  return (
    <div style={{ position: 'absolute', left: MARGIN, right: MARGIN, top: 10, color: theme.colors.text.primary }}>
      <div style={{ display: 'flex', justifyContent: 'space-between' }}>
        <span style={{ fontSize: 18, fontWeight: 500 }}>{dashboard.title}</span>
        <span style={pill}>{text(range.from)} to {text(range.to)} UTC</span>
      </div>
      <div style={{ display: 'flex', gap: 8, marginTop: 10 }}>
        {shown.map(({ label, text }) => <span key={label} style={pill}><b style={{ fontWeight: 500, color: theme.colors.text.secondary, marginRight: 8 }}>{label}</b>{text}</span>)}
      </div>
    </div>
  );
}

function Dashboard({ dashboard, shown, range, parts, width, height, onDrawn }) {
  useEffect(() => { onDrawn(); }, []);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: 'relative', width, height, background: theme.colors.background.canvas, color: theme.colors.text.primary }}>
        <Head dashboard={dashboard} shown={shown} range={range} />
        {parts.map((part, n) => <Panel key={n} {...part} />)}
      </div>
    </ThemeContext.Provider>
  );
}

function boxOf({ x, y, w, h }, width) {
  const cell = (width - 2 * MARGIN + GAP) / 24;
  const tall = (n) => n * CELL + (n - 1) * GAP;
  return { position: 'absolute', left: MARGIN + x * cell, top: HEAD + y * (CELL + GAP), width: w * cell - GAP, height: tall(h) };
}

// Draws the dashboard from the servers' answers at `now`. Returns how tall it is and what is wrong with it.
window.draw = async (dashboard, from, now, chosen) => {
  const width = document.documentElement.clientWidth;
  const range = rangeOf({}, from, now);
  const { values, shown } = await variablesOf(dashboard, range, chosen);
  const failures = [];
  const parts = [];
  for (const panel of dashboard.panels) {
    const box = boxOf(panel.gridPos, width);
    if (panel.type === 'row') {
      parts.push({ panel, box });
      continue;
    }
    const own = rangeOf(panel, from, now);
    try {
      if (!KINDS[panel.type]) throw new Error(`nothing draws a panel of the kind ${panel.type}`);
      const found = await framesOf(panel, own, values, box.width);
      const filled = isFilled(found);
      if (!filled) failures.push(`${panel.title} is empty`);
      const frames = panel.type === 'logs' ? found : configured(panel, await transformed(panel, found), DEFAULTS[panel.type], theme);
      parts.push({ panel, box, frames, range: own, filled });
    } catch (error) {
      failures.push(`${panel.title}: ${error.stack ?? error}`);
    }
  }
  const height = Math.max(...parts.map(({ box }) => box.top + box.height)) + MARGIN;
  await new Promise((done) => createRoot(document.getElementById('root')).render(
    <Dashboard dashboard={dashboard} shown={shown} range={range} parts={parts} width={width} height={height} onDrawn={done} />));
  return { height, failures, panels: parts.filter(({ panel }) => panel.type !== 'row').length };
};
