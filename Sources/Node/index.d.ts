/** What the command or a server has refused. */
export class MayflyError extends Error {
  /** HTTP's: 400 can never be right, 409 cannot be done now, 410 is a mount that is gone. */
  status?: number;
  /** Which failure it is, where the server says so: "no-such-snapshot" for instance. */
  code?: string;
  /** Of 400: the field that is wrong. */
  field?: string;
  /** Of 400: what may stand there. */
  known?: string[];
}

/** A fault, without its operation (Docs/Fixtures.md, Faults). */
export interface Rule {
  path?: string;
  errno?: string;
  delayNanoseconds?: number;
  short?: boolean;
  fullAtBytes?: number;
  nth?: number;
  every?: number;
  probability?: number;
  seed?: number;
  flipBits?: number;
  crash?: 'before' | 'after';
  dropUnsynced?: boolean;
  after?: number;
  times?: number;
}

export interface Fault {
  number: number;
  rule: Rule & { operation: string };
  matched: number;
  fired: number;
}

export interface Snapshot {
  name: string;
  timeNanoseconds: number;
  bytes: number;
  inodes: number;
  privateBytes: number;
}

export interface Difference {
  kind: 'added' | 'removed' | 'changed';
  path: string;
  aspects: string[];
}

export interface Usage { used: number; peak: number; limit: number }

/** Some fields of the report; Docs/openapi.yaml has them all. */
export interface Report {
  mountpoint: string;
  processID: number;
  transport: string;
  bytes: Usage;
  inodes: Usage;
  [field: string]: unknown;
}

/** A path that was not synced, or lost for it. */
export interface UnsyncedPath {
  path: string;
  change: 'made' | 'removed' | 'replaced' | 'content' | 'attributes';
  pages?: number;
  isDropped?: boolean;
}

export interface Crash {
  seed: number;
  namesKept: number;
  namesLost: number;
  files: number;
  pagesKept: number;
  pagesLost: number;
  pagesTorn: number;
  notRestored: number;
  nanoseconds: number;
  lost: UnsyncedPath[];
}

export class Mount {
  constructor(root: string);
  readonly path: string;
  readonly socket: string;
  file(...names: string[]): string;
  call(method: string, route: string, body?: object): Promise<unknown>;
  report(): Promise<Report>;
  hot(): Promise<{ nodeID: number; kind: string; path?: string; share: number }[]>;
  metrics(): Promise<string>;
  check(): Promise<{ problems: string[]; [field: string]: unknown }>;
  resize(change?: { sizeBytes?: number; inodes?: number }): Promise<Report>;
  unmount(how?: { lazy?: boolean; force?: boolean }): Promise<Report>;
  snapshot(name?: string, how?: { replace?: boolean }): Promise<Snapshot>;
  snapshots(): Promise<{ snapshots: Snapshot[]; sharedBytes?: number; privateBytes: number }>;
  removeSnapshot(name: string): Promise<{ snapshots: Snapshot[]; sharedBytes?: number; privateBytes: number }>;
  rollback(name?: string, how?: { force?: boolean }): Promise<{ name: string; [field: string]: unknown }>;
  diff(name?: string): Promise<Difference[]>;
  save(file: string, how?: { umask?: number }): Promise<{ path: string; bytes: number }>;
  fork(directory: string): Promise<Mount>;
  fault(operation: string, rule?: Rule): Promise<Fault>;
  faults(): Promise<Fault[]>;
  clearFaults(...numbers: number[]): Promise<Fault[]>;
  crash(seed?: number): Promise<Crash>;
  sync(): Promise<{ names: number; files: number }>;
  close(): Promise<void>;
}

export interface MountOptions {
  path?: string;
  from?: string;
  size?: string | number;
  inodes?: string | number;
  faults?: boolean;
  durability?: 'none' | 'fsync';
  options?: string[];
}

export function mount(options?: MountOptions): Promise<Mount>;
export function command(...words: string[]): Promise<string>;
