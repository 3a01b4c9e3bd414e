// PouchDB doing what outpost does, for `cargo bench --bench sync`. It obeys one JSON command a line and answers each with one line.
//
//   node side.js serve DIR PORT   a server: {"load": N} {"change": N, "round": R} {"put": ID}
//   node side.js edge DIR URL     a replica: {"pull": true} {"live": true}; live then tells {"seen": ID, "at": MS} of each change
'use strict';
const path = require('path');
const readline = require('readline');
const PouchDB = require('pouchdb');

const [role, dir, where] = process.argv.slice(2);
const BATCH = { batch_size: 1000, batches_limit: 10 };
const STATUSES = ['open', 'doing', 'done', 'parked'];
const pad = (n) => String(n).padStart(2, '0');
const id = (n) => 'work-order-' + String(n).padStart(9, '0');

function record(n) {
  return {
    _id: id(n),
    title: `Replace hydraulic pump seal ${n}`, status: STATUSES[n % 4], priority: n % 5 + 1, asset: `Pump P-${n % 977}`,
    site: `platform-${n % 13}`, due: `2026-${pad(n * 7 % 12 + 1)}-${pad(n * 11 % 28 + 1)}`, hours: n % 80, urgent: n % 9 === 0,
    assigned_to: 'ingrid@example.org',
    notes: 'Seal weeps about a cup an hour at full load. Oil on the bed plate, wiped at noon.',
  };
}

const now = () => performance.timeOrigin + performance.now();
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');

async function server() {
  const Pouch = PouchDB.defaults({ prefix: path.join(dir, '/') });
  const db = new Pouch('work');
  await db.info();
  const app = require('express-pouchdb')(Pouch, { mode: 'minimumForPouchDB', inMemoryConfig: true, logPath: path.join(dir, 'log.txt') });
  await new Promise((done) => app.listen(Number(where), '127.0.0.1', done));
  return async (command) => {
    if (command.load) {
      for (let n = 0; n < command.load; n += 1000) {
        await db.bulkDocs(Array.from({ length: Math.min(1000, command.load - n) }, (_, i) => record(n + i)));
      }
    } else if (command.change) {
      const rows = (await db.allDocs({ keys: command.keys.map(id), include_docs: true })).rows;
      await db.bulkDocs(rows.map((row) => ({ ...row.doc, status: 'parked', hours: 100 + command.round })));
    }
    return { done: true };
  };
}

async function edge() {
  const db = new PouchDB(path.join(dir, 'work'));
  await db.info();
  return async (command) => {
    const began = now();
    if (command.pull) {
      const result = await PouchDB.replicate(where, db, BATCH);
      return { done: true, ms: now() - began, written: result.docs_written };
    }
    PouchDB.replicate(where, db, { ...BATCH, live: true, retry: true });
    db.changes({ live: true, since: 'now' }).on('change', (change) => say({ seen: change.id, at: now() }));
    return { done: true };
  };
}

(role === 'serve' ? server() : edge()).then(async (obey) => {
  say({ ready: true });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    say(await obey(JSON.parse(line)));
  }
  process.exit(0);
});
