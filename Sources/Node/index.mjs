// A file system in memory for tests: mounts, and the requests of Docs/Control.md over the Unix socket of a
// mount's server. No dependencies.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * What the command or a server has refused. `status` is HTTP's, `code` says which failure it is; of 400, `field` and `known` say
 * what is wrong.
 */
export class MayflyError extends Error {
  constructor(message, { status, code, field, known } = {}) {
    super(message);
    this.name = 'MayflyError';
    Object.assign(this, { status, code, field, known });
  }
}

/** Runs `mayfly`, or what $MAYFLY names, and resolves to what it prints. */
export async function command(...words) {
  const program = process.env.MAYFLY ?? 'mayfly';
  try {
    const child = run(program, words);
    child.child.stdin.end();
    return (await child).stdout;
  } catch (error) {
    if (error.code === 'ENOENT') {
      throw new MayflyError(`there is no ${program}: install it (Docs/Install.md), or set MAYFLY to its path`);
    }
    throw new MayflyError((error.stderr || error.message).trim().replace(/^mayfly: /, ''));
  }
}

// The folder of the sockets is named by the user outside of a user namespace (user_namespaces(7), uid_map).
function trueUser() {
  const user = process.geteuid();
  for (const line of fs.readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n')) {
    const [inside, outside, count] = line.trim().split(/\s+/).map(Number);
    if (user >= inside && user < inside + count) return outside + user - inside;
  }
  return user;
}

// The socket of a mount's server is named by the minor number of the mount's device. Only one in a folder of
// this user is taken.
function findSocket(root) {
  const device = fs.statSync(root, { bigint: true }).dev;
  const name = `${(device & 0xffn) | ((device >> 12n) & 0xfff00n)}.sock`;
  const user = trueUser();
  const runtime = process.env.XDG_RUNTIME_DIR;
  const folders = [
    ...(user === 0 ? ['/run/mayfly'] : []),
    ...(runtime?.startsWith('/') ? [path.join(runtime, 'mayfly')] : []),
    `/tmp/mayfly-${user}`,
    ...fs.readdirSync('/tmp').filter((entry) => entry.startsWith(`mayfly-${user}.`)).map((entry) => `/tmp/${entry}`),
  ];
  const isOwn = (folder) => fs.lstatSync(folder, { throwIfNoEntry: false })?.uid === process.geteuid();
  const found = folders.find((folder) => isOwn(folder) && fs.existsSync(path.join(folder, name)));
  if (found) return path.join(found, name);
  throw new MayflyError(`${root} lies in no Mayfly mount of yours: \`mayfly list\` shows the mounts there are`);
}

// The number of a mount that is gone, and so the name of its socket, may be another mount's by now.
function socketIdentity(socket) {
  const status = fs.statSync(socket, { bigint: true, throwIfNoEntry: false });
  // File systems on disk give an inode's number again at once; when it was made tells two apart.
  return status && `${status.dev} ${status.ino} ${status.ctimeNs}`;
}

/** A mounted file system; `path` is its root. What the server refuses is a MayflyError. */
export class Mount {
  /** Finds the mount that `root` is the root of, or lies in. */
  constructor(root) {
    this.path = path.resolve(root);
    this.socket = findSocket(this.path);
    this.identity = socketIdentity(this.socket);
  }

  /** A path in the mount. */
  file(...names) { return path.join(this.path, ...names); }

  /** Makes a request of Docs/Control.md and resolves to its answer. */
  call(method, route, body) {
    return new Promise((resolve, reject) => {
      if (socketIdentity(this.socket) !== this.identity) {
        throw new MayflyError(`${this.path} is unmounted: \`mayfly list\` shows the mounts there are`);
      }
      const request = http.request({ socketPath: this.socket, path: route, method, agent: false }, (reply) => {
        const parts = [];
        reply.on('data', (part) => parts.push(part));
        reply.on('error', reject);
        reply.on('aborted', () => reject(new MayflyError(`the answer of ${this.socket} broke off: ask again`)));
        reply.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          if (reply.statusCode !== 200) {
            const { error, ...rest } = JSON.parse(text);
            return reject(new MayflyError(error, { status: reply.statusCode, ...rest }));
          }
          resolve(reply.headers['content-type']?.includes('json') ? JSON.parse(text) : text);
        });
      });
      request.on('error', (error) => reject(new MayflyError(
        `no server answers at ${this.socket} (${error.message}): \`mayfly list\` shows the mounts there are`)));
      request.end(body && JSON.stringify(body));
    });
  }

  report() { return this.call('GET', '/v1/mount'); }
  hot() { return this.call('GET', '/v1/hot'); }
  metrics() { return this.call('GET', '/metrics'); }
  check() { return this.call('POST', '/v1/check'); }
  resize({ sizeBytes, inodes } = {}) { return this.call('POST', '/v1/limits', { sizeBytes, inodes }); }
  unmount({ lazy, force } = {}) { return this.call('POST', '/v1/unmount', { lazy, force }); }

  snapshot(name, { replace } = {}) { return this.call('POST', '/v1/snapshots', { name, replace }); }
  snapshots() { return this.call('GET', '/v1/snapshots'); }
  removeSnapshot(name) { return this.call('POST', '/v1/snapshots/remove', { name }); }
  /** Without a name to the newest; a fork, and a mount of an image, has "start" from the beginning. */
  rollback(name, { force } = {}) { return this.call('POST', '/v1/rollback', { name, force }); }
  diff(name) { return this.call('POST', '/v1/diff', { name }); }
  save(file, { umask } = {}) { return this.call('POST', '/v1/save', { path: path.resolve(file), umask }); }

  /** Mounts a copy on a directory, which the same server serves. */
  async fork(directory) {
    await this.call('POST', '/v1/fork', { path: path.resolve(directory) });
    return new Mount(directory);
  }

  /** As `mayfly fault add`: `{ path, errno, delayNanoseconds, short, fullAtBytes, nth, every, probability, seed }`. */
  fault(operation, rule = {}) { return this.call('POST', '/v1/faults', { operation, ...rule }); }
  faults() { return this.call('GET', '/v1/faults'); }
  clearFaults(...numbers) {
    return this.call('POST', '/v1/faults/clear', numbers.length ? { numbers } : {});
  }

  /** A power loss, on a mount with `durability: 'fsync'`. */
  crash(seed) { return this.call('POST', '/v1/crash', { seed }); }
  sync() { return this.call('POST', '/v1/sync'); }

  /** Unmounts whatever uses it; nothing where it is unmounted already. */
  async close() {
    try {
      await this.unmount({ lazy: true, force: true });
    } catch (error) {
      // Where it is unmounted already, its server is gone or about to go.
      const isMounted = fs.readFileSync('/proc/self/mounts', 'utf8').includes(` ${this.path} fuse`);
      if (isMounted) throw error;
    }
    if (this.folder) fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * Mounts a file system that ends with this process, however it ends.
 *
 * Without `path` it has a temporary directory, which goes with `close()`. `options` are more words of
 * `mayfly mount`.
 */
export async function mount({ path: given, from, size, inodes, faults, durability, options = [] } = {}) {
  const folder = given ? undefined : fs.mkdtempSync(path.join(os.tmpdir(), 'mayfly-fs-'));
  const root = given ?? folder;
  const words = ['mount', '--quiet', '--until-pid', `${process.pid}`];
  if (from) words.push('--from', from);
  if (size) words.push('--size', `${size}`);
  if (inodes) words.push('--inodes', `${inodes}`);
  if (faults) words.push('--faults');
  if (durability) words.push('--durability', durability);
  try {
    await command(...words, ...options, '--', root);
  } catch (error) {
    if (folder) fs.rmdirSync(folder);
    throw error;
  }
  const made = new Mount(root);
  made.folder = folder;
  return made;
}
