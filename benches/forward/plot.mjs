// Bars of what a delivered packet costs, as SVG that follows the reader's light or dark.

const SHAPES = [
  ['video', 'Video, one packet after the other', 'floor'],
  ['frames', 'Video, frames of ten packets', 'floor_gso'],
  ['audio', 'Audio, 50 in a room, three speak', undefined],
];
const [WIDTH, LEFT, RIGHT, BAR, GAP] = [720, 112, 64, 18, 5];

const escape = (text) => text.replace(/[&<>]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[sign]);

/** The plot, or nothing when no shape with a comparison was measured. */
export function plot(measured) {
  const groups = SHAPES.filter(([name]) => measured[name]?.althing).map(([name, title, floor]) => {
    const cost = (who) => measured[name][who]?.cpu_seconds_per_packet * 1e6;
    const bars = [
      ['Althing', cost('althing'), 'ours'],
      ['Janus 1.1', cost('janus'), 'other'],
      ['floor', floor ? cost(floor) : NaN, 'floor'],
    ];
    return { title, bars: bars.filter(([, value]) => value > 0) };
  });
  if (groups.length === 0) return undefined;
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map(([, value]) => value)));
  const scale = (WIDTH - LEFT - RIGHT) / most;

  const parts = [];
  let y = 58;
  for (const { title, bars } of groups) {
    parts.push(`<text class="shape" x="16" y="${y}">${escape(title)}</text>`);
    y += 10;
    for (const [label, value, kind] of bars) {
      const width = Math.max(2, value * scale).toFixed(1);
      const middle = y + BAR / 2 + 4.5;
      parts.push(
        `<text class="label" x="${LEFT - 8}" y="${middle}" text-anchor="end">${escape(label)}</text>`,
        `<rect class="${kind}" x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="3"/>`,
        `<text class="value" x="${(LEFT + Number(width) + 7).toFixed(1)}" y="${middle}">${value.toFixed(2)} µs</text>`,
      );
      y += BAR + GAP;
    }
    y += 24;
  }
  const height = y - 8;
  const said = groups
    .map(({ title, bars }) => `${title}: ${bars.map(([label, value]) => `${label} ${value.toFixed(2)} µs`).join(', ')}`)
    .join('. ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title said">
<title id="title">Processor time per forwarded packet</title>
<desc id="said">${escape(said)}.</desc>
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.shape { font-weight: 600; }
.label, .note { fill: #59636e; }
.ours { fill: #0969da; }
.other { fill: #8c959f; }
.floor { fill: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .label, .note { fill: #9198a1; }
  .ours { fill: #4493f8; }
  .other { fill: #7d8590; }
  .floor { fill: #3d444d; }
}
</style>
<text class="title" x="16" y="28">Processor time of the server per delivered packet</text>
${parts.join('\n')}
</svg>
`;
}
