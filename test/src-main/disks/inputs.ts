/**
 * Real inputs for the tests of this room, made with the programs that people make images with:
 * `const room = await openRoom()` is a temporary folder, `room.run(...)` runs a program in it,
 * `makeSystemTree` a small Linux tree. Close the room at the end.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface Room {
  readonly path: string;
  file(name: string): string;
  run(program: string, ...args: string[]): Promise<string>;
  close(): Promise<void>;
}

export async function openRoom(): Promise<Room> {
  const path = await mkdtemp(join(tmpdir(), 'nymph-disks-'));
  const searchPath = `${process.env['PATH']}:/usr/sbin:/sbin`;
  return {
    path,
    file: (name) => join(path, name),
    async run(program, ...args) {
      const env = { ...process.env, PATH: searchPath, LC_ALL: 'C' };
      const { stdout } = await execute(program, args, { cwd: path, env, maxBuffer: 2 ** 26 });
      return stdout;
    },
    close: () => rm(path, { recursive: true, force: true }),
  };
}

/** The first bytes of a program for a processor: all that telling it apart needs. */
export function elfHead(machine: number): Uint8Array {
  const head = new Uint8Array(64);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  head[16] = 2;
  head[18] = machine & 255;
  head[19] = machine >> 8;
  return head;
}

export const osRelease = 'PRETTY_NAME="Test Linux 1 (tiny)"\nNAME="Test Linux"\nID=test\n';

/** A tree with merged /usr, as Debian has it; `machine` 62 is x86-64, 243 RISC-V. */
export async function makeSystemTree(path: string, machine = 62): Promise<void> {
  const put = async (name: string, data: Uint8Array | string): Promise<void> => {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), data, { mode: 0o755 });
  };
  await put('usr/lib/os-release', osRelease);
  await put('usr/lib/systemd/systemd', elfHead(machine));
  await put('usr/bin/bash', elfHead(machine));
  await mkdir(join(path, 'usr/sbin'), { recursive: true });
  await mkdir(join(path, 'etc'), { recursive: true });
  await symlink('usr/bin', join(path, 'bin'));
  await symlink('usr/sbin', join(path, 'sbin'));
  await symlink('usr/lib', join(path, 'lib'));
  await symlink('bash', join(path, 'usr/bin/sh'));
  await symlink('/lib/systemd/systemd', join(path, 'usr/sbin/init'));
  await symlink('../usr/lib/os-release', join(path, 'etc/os-release'));
}

/** Numbers that look random and are the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** Bytes that compress about as well as program code does. */
export function mixedBytes(length: number, seed = 1): Uint8Array {
  const next = seeded(seed);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const kind = next() % 4;
    const count = Math.min(length - at, 1 + (next() % 3000));
    if (kind === 0) bytes.fill(next() & 255, at, at + count);
    else if (kind === 1 && at > count) bytes.copyWithin(at, at - 1 - (next() % at), at);
    else for (let i = 0; i < count; i++) bytes[at + i] = next() & (kind === 2 ? 255 : 31);
    at += count;
  }
  return bytes;
}

export interface MbrEntry { type: number; start: number; sectors: number }

/** One sector with a partition table; four entries at most. */
export function mbrSector(entries: MbrEntry[]): Uint8Array {
  const sector = new Uint8Array(512);
  const view = new DataView(sector.buffer);
  entries.forEach(({ type, start, sectors }, i) => {
    sector[446 + i * 16 + 4] = type;
    view.setUint32(446 + i * 16 + 8, start, true);
    view.setUint32(446 + i * 16 + 12, sectors, true);
  });
  sector.set([0x55, 0xaa], 510);
  return sector;
}

/** 64 KiB: a Linux partition, and an extended one with two logical partitions in it. */
export function mbrDisk(): Uint8Array {
  const disk = new Uint8Array(65536);
  disk.set(mbrSector([
    { type: 0x83, start: 1, sectors: 4 },
    { type: 0x05, start: 5, sectors: 100 },
  ]));
  disk.set(mbrSector([
    { type: 0x83, start: 1, sectors: 8 },
    { type: 0x05, start: 15, sectors: 20 },
  ]), 5 * 512);
  disk.set(mbrSector([{ type: 0x82, start: 2, sectors: 8 }]), 20 * 512);
  return disk;
}

/** Equal bytes; unlike `deepEqual`, a difference of megabytes is told in one line. */
export function assertSame(found: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(found, 'there are no bytes');
  assert.equal(found.length, expected.length, 'length');
  let at = 0;
  while (at < expected.length && found[at] === expected[at]) at += 1;
  assert.equal(at, expected.length, `the bytes differ at ${at}`);
}
