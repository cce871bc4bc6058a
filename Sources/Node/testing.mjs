// A fixture for node:test: each test has a fork of one tree.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';

import { mount } from './index.mjs';

/**
 * Registers hooks of node:test for the file or suite that calls it, and returns an object that stands for the mount
 * of the test that runs: `const mayfly = useMayfly({ fill: (root) => ... })`.
 *
 * `fill` is called once with the directory that every test begins with; the other options are those of `mount()`.
 * Tests of one file must not run at the same time, as node:test has it by default.
 */
export function useMayfly({ fill, ...options } = {}) {
  let origin;
  let current;
  let work;

  before(async () => {
    work = fs.mkdtempSync(path.join(os.tmpdir(), 'mayfly-tests-'));
    fs.mkdirSync(path.join(work, 'test'));
    origin = await mount(options);
    await fill?.(origin.path);
  });
  beforeEach(async () => { current = await origin.fork(path.join(work, 'test')); });
  afterEach(async () => {
    const ended = current;
    current = undefined;
    await ended?.close();
  });
  after(async () => {
    await origin?.close();
    fs.rmSync(work, { recursive: true, force: true });
  });

  // The object is there before the first mount, and each test has another.
  return new Proxy({}, {
    get(_, name) {
      if (!current) throw new Error(`mayfly.${String(name)} is there in tests and their hooks alone`);
      const value = current[name];
      return typeof value === 'function' ? value.bind(current) : value;
    },
  });
}
