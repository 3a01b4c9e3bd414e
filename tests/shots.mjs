// Run by shots.sh: node shots.mjs PAGES STATIC OUT [names…]. Serves the gallery under the product's own content security policy.
import { chromium } from 'playwright-core';
import { createServer } from 'node:http';
import { readdirSync, readFileSync } from 'node:fs';

const [dir, assets, out, ...wanted] = process.argv.slice(2);
const types = { html: 'text/html', css: 'text/css', svg: 'image/svg+xml', js: 'text/javascript' };
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
// what a node says while a page is open: the link is back, a record came in
const news = {
  '/link': '<a class="linked" id="link" data-link="in-step" href="/sync" hx-get="/link" hx-trigger="link from:body" hx-swap="outerMorph">In step now</a>',
  '/records/work-order/live': '<div class="live" id="live-line" role="status"><span>3 came in.</span></div>',
};
const picture = '<svg xmlns="http://www.w3.org/2000/svg" width="1600" height="1200"><rect width="1600" height="1200" fill="#6b7c85"/><circle cx="800" cy="600" r="420" fill="#c9a227"/></svg>';
let speaks = false;
const live = (response) => {
  if (!speaks) return response.writeHead(204).end();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('event: link\ndata: 1\n\nevent: records-work-order\ndata: 1\n\n');
};
const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, 'http://x').pathname);
  if (path === '/live') return live(response);
  if (path === '/link' || path === '/records/work-order/live') return response.writeHead(200, { 'content-type': 'text/html' }).end(news[path]);
  if (path.startsWith('/api/v1/blobs/')) return response.writeHead(200, { 'content-type': 'image/svg+xml' }).end(picture);
  try {
    const body = readFileSync(path.startsWith('/static/') ? assets + path.slice(7) : dir + path);
    response.writeHead(200, { 'content-type': types[path.split('.').pop()] ?? 'text/plain', 'content-security-policy': policy }).end(body);
  } catch { response.writeHead(404).end(); }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const base = `http://127.0.0.1:${server.address().port}/`;
const flags = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars';
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags.split(' ') });
const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const all = readdirSync(dir).filter((f) => f.endsWith('.html')).map((f) => f.slice(0, -5));
const pages = wanted.length ? all.filter((page) => wanted.includes(page)) : all;
let wrong = 0;
const say = (...words) => { wrong++; console.log(...words); };

async function look(name, page, { width = 390, scheme = 'light', theme, density, dir: direction, before } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 860 }, colorScheme: scheme, deviceScaleFactor: width < 500 ? 1.5 : 1, reducedMotion: 'reduce' });
  const tab = await context.newPage();
  tab.on('console', (m) => m.type() === 'error' && say(name, m.text()));
  tab.on('pageerror', (error) => say(name, String(error)));
  await tab.goto(`${base}${page}.html`);
  await tab.evaluate(([t, d, r]) => { const h = document.documentElement; if (t) h.dataset.theme = t; if (d) h.dataset.density = d; if (r) h.dir = r; }, [theme, density, direction]);
  if (before) await before(tab);
  const size = await tab.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
  if (size[0] > width) say(name, 'is wider than the screen:', size[0]);
  if (width < 500) {
    const small = await tab.evaluate(() => [...document.querySelectorAll('a, button, summary, select, input:not([type=hidden])')]
      .filter((e) => e.checkVisibility() && !e.closest('label, .skip, .unseen') && !e.matches('.unseen') && getComputedStyle(e).display !== 'inline' && e.getBoundingClientRect().height < 43.5)
      .map((e) => `${Math.round(e.getBoundingClientRect().height)} ${e.outerHTML.slice(0, 80)}`));
    for (const s of small) say(name, 'target under 44 px:', s);
  }
  await tab.setViewportSize({ width, height: Math.max(size[1], 600) });
  await tab.screenshot({ path: `${out}/${name}.png` });
  await tab.evaluate(axe);
  const { violations } = await tab.evaluate(() => axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  for (const v of violations) say(name, v.id, v.nodes.length, v.nodes[0].html.slice(0, 160));
  await context.close();
}

for (const page of pages) for (const width of [390, 1280]) for (const scheme of ['light', 'dark']) await look(`${page}-${width}-${scheme}`, page, { width, scheme });
for (const page of ['list', 'record', 'users'].filter((page) => pages.includes(page))) {
  await look(`${page}-sun`, page, { theme: 'sun' });
  await look(`${page}-gloves`, page, { density: 'gloves' });
  await look(`${page}-rtl`, page, { dir: 'rtl' });
  await look(`${page}-320`, page, { width: 320 });
}
const menu = (tab) => tab.click('[popovertarget=me]');
if (pages.includes('home')) for (const width of [390, 1280]) await look(`menu-${width}`, 'home', { width, before: menu });
const pick = (tab) => tab.click('.pick:has(.condition) > summary');
if (pages.includes('list')) await look('pick-1280', 'list', { width: 1280, before: pick });
if (pages.includes('users')) await look('change-1280', 'users', { width: 1280, before: (tab) => tab.click('.change > summary') });
if (pages.includes('api')) await look('api-open-1280', 'api', { width: 1280, before: (tab) => tab.click('#get--api-v1-types--type--records > summary') });
if (pages.includes('list') && pages.includes('sync-edge')) {
  speaks = true;
  const tab = await browser.newPage();
  tab.on('console', (m) => m.type() === 'error' && !/ERR_|Failed to fetch/.test(m.text()) && say('live', m.text()));
  await tab.goto(`${base}list.html`);
  const said = async (selector, words) => {
    try { await tab.waitForFunction(([s, w]) => document.querySelector(s)?.textContent.includes(w), [selector, words], { timeout: 30000 }); } catch { say('live:', selector, 'does not say', words); }
  };
  await said('#link', 'In step now');
  await said('#live-line', '3 came in');
  await tab.goto(`${base}sync-edge.html`);
  await tab.route('**/sync', (route) => route.abort());
  await tab.click('button[value=now]');
  await said('#notice:not([hidden])', 'Not sent');
  if (await tab.$('[aria-busy=true]')) say('live: a button stays busy');
  await tab.close();
}
console.log(`${pages.length} pages, ${wrong} things to put right`);
await browser.close();
server.close();
process.exit(wrong ? 1 : 0);
