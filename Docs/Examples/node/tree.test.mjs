// Tests of node:test, each on a fork of one tree: `node --test Docs/Examples/node`. Takes the command
// `mayfly` (or what $MAYFLY names), and root or `unshare --user --map-root-user --mount node --test`.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';

const mayfly = process.env.MAYFLY ?? 'mayfly';

// The socket of a mount's server is named by the minor number of the mount's device.
function controlSocket(root) {
  const device = fs.statSync(root, { bigint: true }).dev;
  const name = `${(device & 0xffn) | ((device >> 12n) & 0xfff00n)}.sock`;
  const folders = ['/run/mayfly', `${process.env.XDG_RUNTIME_DIR ?? ''}/mayfly`,
    ...fs.readdirSync('/tmp').filter((n) => n.startsWith('mayfly-')).map((n) => `/tmp/${n}`)];
  return folders.map((folder) => path.join(folder, name)).find((name) => fs.existsSync(name));
}

// One request of Docs/Control.md; what is refused is an error that says why.
function call(root, route, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { socketPath: controlSocket(root), path: route, method: body ? 'POST' : 'GET' },
      (reply) => {
        let text = '';
        reply.on('data', (part) => { text += part; });
        reply.on('end', () => {
          const answer = JSON.parse(text);
          if (reply.statusCode === 200) resolve(answer); else reject(new Error(answer.error));
        });
      });
    request.on('error', reject);
    request.end(body && JSON.stringify(body));
  });
}

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'tree-'));
const origin = path.join(work, 'origin');
const root = path.join(work, 'test');

before(() => {
  fs.mkdirSync(origin);
  fs.mkdirSync(root);
  execFileSync(mayfly, ['mount', '--quiet', origin]);
  fs.writeFileSync(path.join(origin, 'config'), 'verbose = no\n');
});

beforeEach(() => call(origin, '/v1/fork', { path: root }));
afterEach(() => call(root, '/v1/unmount', { lazy: true, force: true }));

after(async () => {
  await call(origin, '/v1/unmount', { lazy: true, force: true });
  fs.rmSync(work, { recursive: true });
});

test('changes stay in the test', () => fs.unlinkSync(path.join(root, 'config')));

test('begins with the tree', () => {
  assert.equal(fs.readFileSync(path.join(root, 'config'), 'utf8'), 'verbose = no\n');
});

test('goes back', async () => {
  fs.writeFileSync(path.join(root, 'number'), '1');
  await call(root, '/v1/snapshots', { name: 'one' });
  fs.writeFileSync(path.join(root, 'number'), '2');
  await call(root, '/v1/rollback', { name: 'one' });
  assert.equal(fs.readFileSync(path.join(root, 'number'), 'utf8'), '1');
  await call(root, '/v1/rollback', { name: 'start' });
  assert.ok(!fs.existsSync(path.join(root, 'number')));
});

test('is told what is wrong', async () => {
  await assert.rejects(call(root, '/v1/rollback', { name: 'never' }), /there is no snapshot/);
});
