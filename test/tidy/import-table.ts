/**
 * The law of the house as data: which room may import which, which npm packages a room may use,
 * and where programs begin. `layers.test.ts` checks every import against it; the same table is
 * printed in src-main/README.md.
 *
 * A room is the longest path below that a file lies in. Each room may import itself; a file in
 * `node/` may import what its room may, and a file outside `node/` never imports one inside.
 */

const ground = ['base', 'contract', 'machine'] as const;
const behindDoors = ['base', 'contract', 'rpc', 'app'] as const;

/** Rooms of src-main, each with all that it may import besides itself. */
export const mainTable: Record<string, readonly string[]> = {
  base: [],
  contract: ['base'],
  machine: ['base', 'contract'],
  disks: ground,
  networks: ground,
  consoles: ground,
  kernels: ground,
  guest: ground,
  images: [...ground, 'disks', 'guest', 'kernels'],
  'engines/uml': ground,
  'engines/riscv': ground,
  rpc: ['base', 'contract'],
  hosts: ['base', 'contract', 'rpc'],
  app: [
    ...ground,
    'disks',
    'networks',
    'consoles',
    'kernels',
    'guest',
    'images',
    'engines/uml',
    'engines/riscv',
    'rpc',
  ],
  // What several doors share: policy, no program.
  shells: ['base', 'contract'],
  'shells/cli': [...behindDoors, 'hosts', 'machine', 'shells', 'shells/headless'],
  'shells/window': ['base', 'contract', 'shells'],
  // The door that picks the engines; the others come through it.
  'shells/headless': [...behindDoors, 'engines/uml', 'engines/riscv', 'shells'],
  'shells/electron': [...behindDoors, 'shells', 'shells/headless'],
  'shells/setup': [...behindDoors, 'shells', 'shells/headless', 'shells/window'],
};

/** Rooms of src-renderer; `main:x` is a room of src-main, of which only the pure half. */
export const rendererTable: Record<string, readonly string[]> = {
  client: ['main:contract', 'main:rpc', 'main:base'],
  state: ['client', 'main:contract', 'main:base'],
  ui: [],
  domain: ['ui', 'state', 'main:contract', 'main:base'],
  views: ['domain', 'ui', 'state', 'main:contract', 'main:base'],
  // main.ts, App.svelte: they join the others.
  '': ['client', 'state', 'ui', 'domain', 'views', 'main:contract', 'main:rpc', 'main:base'],
};

/** npm packages, each with the rooms that may import it; `node` marks the Node half only. */
export const packageTable: Record<string, { rooms: readonly string[]; node?: true }> = {
  zod: { rooms: ['contract', 'machine', 'rpc', 'app', 'shells', 'images', 'kernels', 'networks'] },
  yaml: { rooms: ['machine', 'app', 'shells'] },
  koffi: { rooms: ['base', 'networks', 'engines'], node: true },
  ws: { rooms: ['rpc', 'shells'], node: true },
  electron: { rooms: ['shells/electron'], node: true },
  vite: { rooms: ['shells/setup'], node: true },
  rolldown: { rooms: ['shells/setup'], node: true },
};

/** Where a program begins: files that are run or named by a tool instead of being imported. */
export const entries: readonly string[] = [
  'src-main/shells/setup/start.mjs',
  'src-main/shells/setup/main.ts',
  'src-main/shells/setup/dist.ts',
  'src-main/shells/headless/main.ts',
  'src-main/engines/riscv/node/main.ts',
  // Devices of the portable engine that its own program does not wire yet.
  'src-main/engines/riscv/devices/virtio/console.ts',
  'src-main/engines/riscv/devices/virtio/net.ts',
  'src-main/shells/electron/main.ts',
  'src-main/shells/electron/preload.ts',
  'src-main/shells/cli/nymph.mjs',
  'src-main/shells/cli/main.ts',
  'src-renderer/main.ts',
  'src-renderer/vite.config.ts',
  'src-renderer/svelte.config.js',
];

/** All that may stand at the top of the repository, dotfiles of tools included. */
export const topLevel: readonly string[] = [
  'src-main',
  'src-renderer',
  'resources',
  'test',
  'README.md',
  'package.json',
  'electron-builder.yml',
  'package-lock.json',
  'LICENSE',
  '.ci',
  '.gitignore',
  '.gitattributes',
  '.editorconfig',
  '.npmrc',
];
