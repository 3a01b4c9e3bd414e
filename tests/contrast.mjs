// Checks the colour roles of static/outpost.css: text 4.5:1, controls and focus 3:1, sunlight text 7:1. Run: node tests/contrast.mjs
import { readFileSync } from 'node:fs';

const css = readFileSync(new URL('../static/outpost.css', import.meta.url), 'utf8');
const roles = { light: {}, dark: {}, sun: {} };
for (const [, name, light, dark] of css.matchAll(/--([\w-]+):\s*light-dark\((#\w+), (#\w+)\)/g)) {
  roles.light[name] = light;
  roles.dark[name] = dark;
}
const sun = css.match(/:root\[data-theme="sun"\] \{([^}&]*)/)[1];
roles.sun = { ...roles.light, ...Object.fromEntries([...sun.matchAll(/--([\w-]+):\s*(#\w+)/g)].map(([, n, v]) => [n, v])) };

const full = (hex) => (hex.length === 4 ? '#' + [...hex.slice(1)].map((c) => c + c).join('') : hex);
const luminance = (hex) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(full(hex).slice(i, i + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (a, b) => {
  const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (hi + 0.05) / (lo + 0.05);
};

const tones = ['ok', 'wait', 'stop', 'merge', 'accent'];
const grounds = ['ground', 'surface', 'sunken'];
const pairs = [
  ...['ink', 'ink-2', 'accent-2', ...tones].flatMap((f) => grounds.map((b) => [f, b, 'text'])),
  ...tones.flatMap((t) => [[t, `${t}-tint`, 'text'], ['ink', `${t}-tint`, 'text'], ['ink-2', `${t}-tint`, 'text'], ['surface', t, 'text']]),
  ['accent-2', 'accent-tint', 'text'], ['on-accent', 'accent', 'text'], ['on-accent', 'accent-2', 'text'], ['on-bar', 'bar', 'text'], ['on-bar-2', 'bar', 'text'],
  ...grounds.flatMap((b) => [['edge', b, 'control'], ['focus', b, 'control']]),
];
const least = { text: { light: 4.5, dark: 4.5, sun: 7 }, control: { light: 3, dark: 3, sun: 3 } };

let failed = 0;
for (const mode of Object.keys(roles)) {
  let lowest = [99];
  for (const [front, back, kind] of pairs) {
    const got = ratio(roles[mode][front], roles[mode][back]);
    if (kind === 'text' && got < lowest[0]) lowest = [got, front, back];
    if (got < least[kind][mode]) { failed++; console.log(`${mode}: ${front} on ${back} is ${got.toFixed(2)}, needs ${least[kind][mode]}`); }
  }
  console.log(`${mode}: lowest text contrast ${lowest[0].toFixed(2)} (${lowest[1]} on ${lowest[2]})`);
}
// words of the link on the bar have colours of their own
for (const colour of ['#ffc36b', '#ffab9f']) for (const mode of ['light', 'dark']) if (ratio(colour, roles[mode].bar) < 4.5) { failed++; console.log(`${mode}: ${colour} on bar`); }
console.log(`${pairs.length * 3} pairs, ${failed} failed`);
process.exit(failed ? 1 : 0);
