/**
 * Boots a kernel on an initial RAM disk made on the spot: busybox, a script as its first program,
 * and any further files. For the tests of the kernels themselves, below every engine.
 *
 * Use: `const kernel = await ourKernel('up')`, `const guest = bootGuest(t, kernel, {script})`,
 * `await guest.line('READY')`, `await guest.ended`. The kernel is built when it is not there yet,
 * which takes minutes; NYMPH_TEST_KERNEL names another file to show that a test fails with it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { buildKernel } from '../../src-main/kernels/node/build.ts';
import { resolveLibraries } from '../../src-main/kernels/node/libraries.ts';
import { inspectKernel, type KernelInfo } from '../../src-main/kernels/kernel.ts';
import type { KernelFlavour } from '../../src-main/kernels/fragment.ts';

export const cacheDirectory = join(
  process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
  'nymph/kernels',
);

export async function ourKernel(flavour: KernelFlavour): Promise<KernelInfo> {
  const path = process.env.NYMPH_TEST_KERNEL;
  if (!path) return buildKernel({ cacheDirectory, flavour });
  const bytes = readFileSync(path);
  const { version, features, elf } = inspectKernel(bytes);
  return {
    id: 'test',
    version,
    flavour,
    engine: 'native',
    path,
    sizeBytes: bytes.length,
    features,
    default: false,
    sharedLibraries: resolveLibraries(elf),
  };
}

export type GuestFile = { path: string; bytes: Uint8Array | string; mode?: number };

export type GuestOptions = {
  /** Lines of /bin/sh; /proc, /sys and /dev are mounted, busybox is on the PATH. */
  script: string;
  files?: GuestFile[];
  arguments?: string[];
  memoryMib?: number;
  environment?: Record<string, string>;
  /** A program of the host, with its arguments, that runs the kernel, such as strace. */
  under?: readonly string[];
  /** The kernel’s standard input is a pipe, `guest.process.stdin`; without it there is none. */
  input?: boolean;
  /** Packs the initial RAM disk. */
  pack?: (archive: Uint8Array) => Uint8Array;
};

export type Guest = {
  process: ChildProcess;
  /** The console so far. */
  output(): string;
  /** Resolves with the first console line that contains the text; rejects if it ends before. */
  line(text: string): Promise<string>;
  /** Resolves with the whole console once the process is gone. */
  ended: Promise<string>;
};

const patienceMs = 180_000;

export function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'nk-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function bootGuest(t: TestContext, kernel: KernelInfo, options: GuestOptions): Guest {
  const directory = scratch(t);
  const archive = guestArchive(options.script, options.files);
  const initrd = join(directory, 'initrd');
  writeFileSync(initrd, options.pack ? options.pack(archive) : archive);
  const [program = kernel.path, ...before] = [...(options.under ?? []), kernel.path];
  const child = spawn(
    program,
    [
      ...before,
      `mem=${options.memoryMib ?? 64}M`,
      `initrd=${initrd}`,
      'rdinit=/init',
      `uml_dir=${directory}`,
      'con=null',
      'con0=null,fd:1',
      'ubd0=/dev/null',
      ...(options.arguments ?? []),
    ],
    {
      stdio: [options.input ? 'pipe' : 'ignore', 'pipe', 'ignore'],
      env: { HOME: directory, PATH: '/usr/bin:/bin', TMPDIR: '/dev/shm', ...options.environment },
    },
  );
  return watch(t, child);
}

function watch(t: TestContext, child: ChildProcess): Guest {
  let text = '';
  const waiting = new Set<() => void>();
  const wake = () => [...waiting].forEach((each) => each());
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length < 1 << 20) text += chunk;
    wake();
  });
  const patience = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  const ended = new Promise<string>((resolve) => {
    child.once('close', () => {
      clearTimeout(patience);
      resolve(text);
    });
  });
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const line = (wanted: string) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const found = text.split('\n').slice(0, -1).find((each) => each.includes(wanted));
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found.trim());
      };
      waiting.add(look);
      look();
      void ended.then(() => reject(new Error(`no "${wanted}" on the console:\n${text}`)));
    });
  return { process: child, output: () => text, line, ended };
}

/** A first program that runs the script and then powers off. */
export function guestArchive(script: string, files: GuestFile[] = []): Uint8Array {
  const init = [
    '#!/bin/busybox sh',
    '/bin/busybox mount -t proc proc /proc',
    '/bin/busybox mount -t sysfs sysfs /sys',
    '/bin/busybox mount -t devtmpfs dev /dev',
    '/bin/busybox mkdir -p /bin /dev/shm /dev/pts',
    '/bin/busybox --install -s /bin',
    'export PATH=/bin HOME=/',
    'mount -t tmpfs shm /dev/shm',
    script,
    'poweroff -f',
    '',
  ].join('\n');
  return packArchive([
    { path: 'init', bytes: init, mode: 0o755 },
    { path: 'bin/busybox', bytes: readFileSync('/bin/busybox'), mode: 0o755 },
    { path: 'proc', bytes: '', mode: 0o40755 },
    { path: 'sys', bytes: '', mode: 0o40755 },
    { path: 'dev', bytes: '', mode: 0o40755 },
    { path: 'tmp', bytes: '', mode: 0o40777 },
    { path: 'mnt', bytes: '', mode: 0o40755 },
    ...files,
  ]);
}

/** The "newc" form of cpio, with the folders that the paths need. */
export function packArchive(files: readonly GuestFile[]): Uint8Array {
  const parts: Buffer[] = [];
  const folders = new Set<string>();
  let node = 1;
  const add = (path: string, mode: number, bytes: Uint8Array) => {
    const name = Buffer.from(`${path}\0`);
    const fields = [node, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
    const head = Buffer.from(
      `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`,
    );
    node += 1;
    for (const part of [Buffer.concat([head, name]), Buffer.from(bytes)]) {
      parts.push(part, Buffer.alloc((4 - (part.length % 4)) % 4));
    }
  };
  for (const { path, bytes, mode = 0o644 } of files) {
    const steps = path.split('/').slice(0, -1);
    steps.forEach((_, index) => {
      const folder = steps.slice(0, index + 1).join('/');
      if (!folders.has(folder)) add(folder, 0o40755, new Uint8Array());
      folders.add(folder);
    });
    if (mode >= 0o40000) folders.add(path);
    add(path, mode >= 0o40000 ? mode : 0o100000 | mode, Buffer.from(bytes));
  }
  add('TRAILER!!!', 0, new Uint8Array());
  return Buffer.concat(parts);
}
