import { Mount, MountOptions } from './index.mjs';

/** Registers hooks of node:test, and returns what stands for the mount of the test that runs. */
export function useMayfly(options?: MountOptions & { fill?: (root: string) => unknown }): Mount;
