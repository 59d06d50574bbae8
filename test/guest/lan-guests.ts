/**
 * Two-line guests for the LAN tests and bench: a kernel, an initramfs made here (busybox and one
 * script) and network cards given as inherited descriptors. Use: `bootGuest({...})`, then
 * `await guest.said(/pattern/)`; always `await guest.kill()`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

export interface GuestOptions {
  name: string;
  /** Shell lines run as process 1 after /proc, /sys and /dev are mounted. */
  script: string;
  /** One card per entry; `fds` are both ends of its pair, the kernel uses the first. */
  cards: readonly { fds: readonly number[]; mac: string }[];
  memoryMib?: number;
  /** More of the vector driver's keys, for measurements. */
  cardKeys?: string;
}

export interface Guest {
  readonly process: ChildProcess;
  output(): string;
  /** The first match in what the console has said so far, or will say. */
  said(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  kill(): Promise<void>;
}

/** A kernel built here where there is one, else the distribution's; undefined without either. */
export function kernelPath(): string | undefined {
  const candidates = [process.env['NYMPH_TEST_KERNEL'], builtKernel(), '/usr/bin/linux.uml'];
  return candidates.find((path) => path !== undefined && path !== '' && existsSync(path));
}

export function bootGuest(options: GuestOptions): Guest {
  const kernel = kernelPath();
  if (kernel === undefined) throw new Error('no User Mode Linux kernel is installed');
  const folder = mkdtempSync(join(tmpdir(), 'nymph-lan-'));
  writeFileSync(join(folder, 'initramfs'), initramfs(options.script));
  const stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'pipe', 'pipe'];
  const cards = options.cards.map((card, index) => {
    const first = stdio.length;
    stdio.push(...card.fds);
    const keys = `transport=fd,fd=${first},mac=${card.mac}${options.cardKeys ?? defaultKeys}`;
    return `vec${index}:${keys}`;
  });
  const argv = [
    `mem=${options.memoryMib ?? 64}M`, `initrd=${join(folder, 'initramfs')}`, 'con=null',
    'con0=null,fd:1', 'console=tty0', 'quiet', `uml_dir=${folder}/`, `umid=${options.name}`,
      'noreboot',
    'panic=-1', ...cards,
  ];
  const child = spawn(kernel, argv, {
    stdio, cwd: folder, env: { HOME: folder, PATH: '/usr/bin:/bin', TMPDIR: '/dev/shm' },
      detached: true,
  });
  return watch(child, folder, options.name);
}

const defaultKeys = ',depth=128,vec=1';

function watch(child: ChildProcess, folder: string, name: string): Guest {
  let text = '';
  let ended = false;
  const watchers = new Set<() => void>();
  const heard = (chunk: Buffer): void => {
    text = (text + chunk.toString('latin1')).slice(-1 << 20);
    for (const watcher of [...watchers]) watcher();
  };
  child.stdout!.on('data', heard);
  child.stderr!.on('data', heard);
  const end = new Promise<void>((resolve) => {
    child.once('close', () => {
      ended = true;
      for (const watcher of [...watchers]) watcher();
      resolve();
    });
  });
  return {
    process: child,
    output: () => text,
    said: (pattern, timeoutMs = 180_000) => new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        watchers.delete(look);
        act();
      };
      const fail = (why: string): void =>
        settle(() => reject(new Error(`${name} ${why} ${pattern}:\n${text.slice(-4000)}`)));
      const timer = setTimeout(() => fail('did not say in time'), timeoutMs);
      const look = (): void => {
        const match = pattern.exec(text);
        if (match !== null) settle(() => resolve(match));
        else if (ended) fail('ended without saying');
      };
      watchers.add(look);
      look();
    }),
    kill: async () => {
      // The kernel is its own process group, so its stubs for guest processes go with it.
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch { /* gone already */ }
      await end;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function builtKernel(): string | undefined {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const folder = join(cache, 'nymph', 'kernels', 'installed');
  if (!existsSync(folder)) return undefined;
  const native = readdirSync(folder).filter((id) => !id.includes('-riscv64-'));
  const kernels = native.map((id) => join(folder, id, 'linux'));
  return kernels.find((path) => existsSync(path));
}

function initramfs(script: string): Buffer {
  const init = [
    '#!/bin/busybox sh', 'export PATH=/bin', '/bin/busybox --install -s /bin',
    'mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev 2>/dev/null',
    'ip link set lo up', script, 'echo THE END', 'poweroff -f', '',
  ].join('\n');
  const entries: Buffer[] = [];
  for (const folder of ['bin', 'proc', 'sys', 'dev', 'tmp', 'etc', 'host', 'root']) {
    entries.push(cpioEntry(folder, 0o40755, Buffer.alloc(0)));
  }
  entries.push(cpioEntry('dev/console', 0o20600, Buffer.alloc(0), [5, 1]));
  entries.push(cpioEntry('bin/busybox', 0o100755, readFileSync('/bin/busybox')));
  entries.push(cpioEntry('init', 0o100755, Buffer.from(init)));
  entries.push(cpioEntry('TRAILER!!!', 0, Buffer.alloc(0)));
  return Buffer.concat(entries);
}

/** One entry of the newc format: thirteen hexadecimal fields, name and data padded to four. */
function cpioEntry(name: string, mode: number, data: Buffer, device = [0, 0]): Buffer {
  const fields = [
    1, mode, 0, 0, 1, 0, data.length, 0, 0, device[0]!, device[1]!, name.length + 1, 0,
  ].map((value) => value.toString(16).padStart(8, '0')).join('');
  return Buffer.concat([padded(Buffer.from(`070701${fields}${name}\0`)), padded(data)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

/** Shell lines that bring vec0 up by DHCP and say `leased ADDRESS`. */
export const udhcpc = [
  `printf '%s\\n' '#!/bin/sh' '[ "$1" = bound ] || exit 0'`
    + ` 'ifconfig $interface $ip netmask $subnet'`
    + ` 'echo nameserver $dns > /etc/resolv.conf' 'echo leased $ip' > /etc/lease`,
  'chmod 755 /etc/lease',
  'ip link set vec0 up',
  'udhcpc -i vec0 -s /etc/lease -n -q -t 20 -T 1',
].join('; ');
