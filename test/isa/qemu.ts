/**
 * QEMU as a judge from outside: runs an image of RAM (image.ts) and gives back what RAM holds when
 * it has powered off. Its RAM is a file, so nothing has to be printed. A second hart only sleeps:
 * with one, QEMU does atomics as a load and a store, and their faults are those of a load.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageOf, ramMib } from './image.ts';
import type { Without } from './items.ts';

const program = 'qemu-system-riscv64';
const timeoutMs = 120_000;

/** Extensions that not every release of QEMU has, by the names it gave them. */
const optional: [name: string, ...properties: string[]][] = [
  ['zfhmin', 'zfhmin', 'Zfhmin'],
  ['zicond', 'zicond'],
  ['zcb', 'zcb'],
  ['zicbom', 'zicbom'],
  ['svadu', 'svadu'],
];

export interface Judge {
  without: Without;
  run(image: Uint8Array): Uint8Array;
}

/** The QEMU of this host with all that it knows switched on; undefined when there is none. */
export function qemuJudge(): Judge | undefined {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  let cpu = 'rv64,zbc=off';
  const without = new Set<string>();
  // Before 8.0 it counts on into the upper half when the lower one is zero.
  if (Number(/version (\d+)/.exec(stdout)?.[1]) < 8) without.add('ctzw');
  for (const [name, ...properties] of optional) {
    const found = properties.find((property) => starts(`${cpu},${property}=on`));
    if (found === undefined) without.add(name);
    else cpu = `${cpu},${found}=on`;
  }
  return { without, run: (image) => runQemu(cpu, image) };
}

function starts(cpu: string): boolean {
  try {
    runQemu(cpu, imageOf([]));
    return true;
  } catch {
    return false;
  }
}

function runQemu(cpu: string, image: Uint8Array): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'judge-'));
  const path = join(folder, 'ram');
  const file = openSync(path, 'w+');
  try {
    writeSync(file, image, 0, image.length, 0);
    ftruncateSync(file, ramMib * 0x10_0000);
    const memory = `memory-backend-file,id=ram,size=${ramMib}M,mem-path=${path},share=on`;
    const ran = spawnSync(program, [
      '-M', 'virt,memory-backend=ram', '-object', memory, '-m', `${ramMib}M`, '-cpu', cpu,
      '-smp', '2', '-bios', 'none', '-display', 'none', '-serial', 'none', '-monitor', 'none',
      '-no-reboot',
    ], { timeout: timeoutMs, encoding: 'utf8' }); // prettier-ignore
    if (ran.status !== 0) throw new Error(`QEMU: ${ran.stderr || ran.signal || ran.status}`);
    const after = new Uint8Array(image.length);
    readSync(file, after, 0, after.length, 0);
    return after;
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true });
  }
}
