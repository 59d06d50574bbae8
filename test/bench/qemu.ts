/**
 * qemu: launch of a machine as in launch.ts ÷ QEMU's emulator (TCG) booting a comparable x86-64
 * guest: Debian's own cloud kernel and an initramfs of busybox alone, until its init speaks.
 *
 * It has no disk to find and no agent to greet, which is in QEMU's favour. The kernel package is
 * brought by apt with a private state, once, and only unpacked, never installed.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { nymphPaths } from '../../src-main/app/node/paths.ts';
import { writeCpio } from '../../src-main/base/cpio.ts';
import { launchTimer } from './launch.ts';
import { compare, type Row } from './measure.ts';
import { openWorld } from './world.ts';

const program = '/usr/bin/qemu-system-x86_64';
const busybox = '/bin/busybox';
const marker = 'USERLAND IS HERE';
const patienceMs = 300_000;
const memoryMib = 256;

export const qemu: Row = {
  name: 'qemu',
  goal: { atMost: 0.1 },
  unit: '',
  how: 'launch ÷ QEMU TCG booting Debian’s cloud kernel to its first program',
  obstacle() {
    if (!existsSync(program)) return 'QEMU is not installed (apt install qemu-system-x86)';
    if (existsSync(busybox)) return undefined;
    return 'busybox is not installed (apt install busybox-static)';
  },
  async run({ rounds = 3, say }) {
    const kernel = bringKernel(say);
    const world = await openWorld();
    try {
      const initramfs = join(world.home, 'initramfs.gz');
      writeFileSync(initramfs, makeInitramfs());
      const timer = launchTimer(world);
      const result = await compare(rounds, timer, () => bootQemu(kernel, initramfs));
      say(`ms: ${result.ours.map(Math.round)} ÷ ${result.peer.map(Math.round)}`);
      return { value: result.ratio, samples: { oursMs: result.ours, qemuMs: result.peer } };
    } finally {
      await world.close();
    }
  },
};

function bootQemu(kernel: string, initramfs: string): Promise<number> {
  const began = performance.now();
  const child = spawn(program, [
    ...['-accel', 'tcg', '-m', String(memoryMib), '-nographic', '-no-reboot', '-nodefaults'],
    ...['-serial', 'stdio', '-kernel', kernel, '-initrd', initramfs],
    ...['-append', 'console=ttyS0 quiet panic=-1'],
  ], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    let tookMs: number | undefined;
    child.stdout!.on('data', (bytes) => {
      text = (text + String(bytes)).slice(-1 << 16);
      if (tookMs !== undefined || !text.includes(marker)) return;
      tookMs = performance.now() - began;
      child.kill('SIGKILL');
    });
    child.once('error', reject);
    child.once('close', () => {
      clearTimeout(timer);
      running.delete(child);
      if (tookMs === undefined) reject(new Error(`QEMU’s guest did not come up:\n${text}`));
      else resolve(tookMs);
    });
  });
}

const running = new Set<ReturnType<typeof spawn>>();

export function killQemu(): void {
  for (const child of running) child.kill('SIGKILL');
}

function makeInitramfs(): Uint8Array {
  const init = `#!/bin/busybox sh\necho ${marker}\nexec /bin/busybox sleep 1000\n`;
  return gzipSync(writeCpio([
    { kind: 'directory', path: 'dev', mode: 0o755 },
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'directory', path: 'bin', mode: 0o755 },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: readFileSync(busybox) },
    { kind: 'file', path: 'init', mode: 0o755, content: new TextEncoder().encode(init) },
  ]));
}

/** The path of a vmlinuz of Debian's cloud kernel, found again the next time. */
function bringKernel(say: (line: string) => void): string {
  const folder = join(nymphPaths(process.env).cache, 'bench');
  const kernel = join(folder, 'vmlinuz');
  if (existsSync(kernel)) return kernel;
  say('bringing Debian’s cloud kernel');
  const work = join(folder, 'work');
  rmSync(work, { recursive: true, force: true });
  for (const part of ['lists/partial', 'archives/partial']) {
    mkdirSync(join(work, part), { recursive: true });
  }
  writeFileSync(join(work, 'status'), '');
  const settings = [
    `Dir::State=${work}`, `Dir::State::lists=${work}/lists`, `Dir::State::status=${work}/status`,
    `Dir::Cache=${work}`, 'APT::Sandbox::User=', 'Acquire::Languages=none', 'Acquire::Retries=3',
  ].flatMap((setting) => ['-o', setting]);
  const apt = (tool: string, ...words: string[]): string =>
    execFileSync(tool, [...settings, '-q', ...words], { cwd: work, encoding: 'utf8' });
  apt('apt-get', 'update');
  const depends = apt('apt-cache', 'depends', 'linux-image-cloud-amd64');
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error('the mirror of this machine has no cloud kernel');
  apt('apt-get', 'download', name);
  const [file] = globSync('*.deb', { cwd: work });
  if (file === undefined) throw new Error(`${name} did not arrive`);
  execFileSync('dpkg-deb', ['-x', join(work, file), join(work, 'tree')]);
  const [found] = globSync('tree/boot/vmlinuz-*', { cwd: work });
  if (found === undefined) throw new Error(`${name} holds no kernel`);
  renameSync(join(work, found), kernel);
  rmSync(work, { recursive: true, force: true });
  return kernel;
}
