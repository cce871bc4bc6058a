import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';

import { MayflyError, Mount, mount } from '../index.mjs';
import { useMayfly } from '../testing.mjs';

const mayfly = useMayfly({
  fill: (root) => fs.writeFileSync(`${root}/config`, 'verbose = no\n'),
  size: '64m',
  durability: 'fsync',
});

test('changes stay in the test', () => fs.unlinkSync(mayfly.file('config')));

test('begins with the tree', () => {
  assert.equal(fs.readFileSync(mayfly.file('config'), 'utf8'), 'verbose = no\n');
});

test('goes back', async () => {
  fs.writeFileSync(mayfly.file('number'), '1');
  await mayfly.snapshot('one');
  fs.writeFileSync(mayfly.file('number'), '2');
  assert.deepEqual((await mayfly.diff()).map((d) => [d.kind, d.path]), [['changed', 'number']]);
  await mayfly.rollback('one');
  assert.equal(fs.readFileSync(mayfly.file('number'), 'utf8'), '1');
  await mayfly.rollback('start');
  assert.ok(!fs.existsSync(mayfly.file('number')));
});

test('fails as it is told', async () => {
  await mayfly.fault('write', { path: 'config', errno: 'EIO', nth: 1 });
  assert.throws(() => fs.writeFileSync(mayfly.file('config'), 'more'), { code: 'EIO' });
  assert.equal((await mayfly.faults())[0].fired, 1);
  assert.deepEqual(await mayfly.clearFaults(), []);
  fs.writeFileSync(mayfly.file('config'), 'more');
});

test('loses power', async () => {
  fs.writeFileSync(mayfly.file('lost'), 'x');
  assert.equal((await mayfly.crash(0)).seed, 0);
  assert.ok(!fs.existsSync(mayfly.file('lost')));
});

test('is told what is wrong', async () => {
  await assert.rejects(mayfly.rollback('never'), { status: 409, code: 'no-such-snapshot', message: /there is no snapshot/ });
  await assert.rejects(mayfly.call('POST', '/v1/rollback', { nam: 'x' }), { status: 400, field: 'nam' });
  await assert.rejects(mount({ size: 'much' }), { message: /^bad --size 'much'/ });
  assert.throws(() => new Mount('/proc'), /lies in no Mayfly mount of yours/);
});

test('a mount that is gone is no other', async () => {
  const folder = fs.mkdtempSync('/tmp/mayfly-node-');
  fs.mkdirSync(`${folder}/one`);
  fs.mkdirSync(`${folder}/two`);
  const one = await mayfly.fork(`${folder}/one`);
  await one.unmount();
  const two = await mayfly.fork(`${folder}/two`);
  await assert.rejects(one.unmount(), MayflyError);
  await one.close();
  assert.equal((await two.report()).mountpoint, two.path);
  await two.close();
  fs.rmSync(folder, { recursive: true });
});

test('a mount of its own ends with its process', async () => {
  const code = `import { mount } from ${JSON.stringify(new URL('../index.mjs', import.meta.url).href)};
    const made = await mount(); console.log(made.path); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const root = await new Promise((resolve) => { child.stdout.on('data', (text) => resolve(`${text}`.trim())); });
  const isMounted = () => fs.readFileSync('/proc/self/mounts', 'utf8').includes(root);
  assert.ok(isMounted());
  child.kill('SIGKILL');
  for (let turn = 0; turn < 400 && isMounted(); turn += 1) await sleep(50);
  assert.ok(!isMounted());
  fs.rmdirSync(root);
});
