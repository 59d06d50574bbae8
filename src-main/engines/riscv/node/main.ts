/**
 * The thinnest door to a portable machine: a kernel from the command line, the console on stdio.
 *
 *   node src-main/engines/riscv/node/main.ts --kernel Image [--initrd x] [--append '…']
 *     [--firmware fw_dynamic.bin] [--memory 512M] [--cpus 1] [--disk raw.img]… [--sv48]
 *     [--jit THRESHOLD] [--verbose]
 *
 * Ctrl-A x ends it. Exit code: 0 powered off, 3 reset, 1 failed.
 */
import { readFileSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { parseArgs } from 'node:util';
import { Refusal } from '../../../base/refusal.ts';
import type { ConsolePort } from '../ports.ts';
import { VirtioBlock } from '../devices/virtio/block.ts';
import { VirtioRandom } from '../devices/virtio/random.ts';
import type { Wiring } from '../devices/virtio/device.ts';
import { diskPort, openDisk } from './disk-port.ts';
import { run } from './run.ts';
import type { RunOptions } from './run.ts';

const { values } = parseArgs({
  options: {
    kernel: { type: 'string' },
    initrd: { type: 'string' },
    firmware: { type: 'string' },
    append: { type: 'string', default: 'console=ttyS0 earlycon=sbi' },
    memory: { type: 'string', default: '512M' },
    cpus: { type: 'string', default: '1' },
    disk: { type: 'string', multiple: true, default: [] },
    sv48: { type: 'boolean', default: false },
    jit: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});

function memoryMib(text: string): number {
  const match = /^(\d+)([MG])?$/.exec(text);
  if (match === null) throw new Refusal('usage', 'Memory is written like 512M or 2G.');
  return Number(match[1]) * (match[2] === 'G' ? 1024 : 1);
}

function load(path: string): Uint8Array {
  const bytes = readFileSync(path);
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
}

function stdio(): ConsolePort {
  const { stdin, stdout } = process;
  if (stdin.isTTY) stdin.setRawMode(true);
  return {
    write: (bytes) => void stdout.write(bytes),
    onInput: (listener) => {
      let escape = false;
      stdin.on('data', (data: Buffer) => {
        if (stdin.isTTY) {
          if (escape && data[0] === 0x78) process.exit(130);
          escape = data.at(-1) === 1;
        }
        listener(data);
      });
    },
  };
}

async function main(): Promise<number> {
  if (values.kernel === undefined) throw new Refusal('usage', 'Give a kernel with --kernel.');
  const seed = randomFillSync(new Uint8Array(32));
  const disks = values.disk.map((path, n) => {
    return { slot: n + 1, name: `disk${n}`, disk: openDisk({ path }) };
  });
  const options: RunOptions = {
    from: {
      ramMib: memoryMib(values.memory),
      harts: Number(values.cpus),
      kernel: load(values.kernel),
      initrd: values.initrd === undefined ? null : readFileSync(values.initrd),
      firmware: values.firmware === undefined ? undefined : readFileSync(values.firmware),
      bootArguments: values.append,
      seed,
      sv48: values.sv48,
    },
    console: stdio(),
    devices: [
      (wiring) => new VirtioRandom(wiring, { fill: (into) => void randomFillSync(into) }),
      ...disks.map(({ name, disk }) =>
        (wiring: Wiring) => new VirtioBlock(wiring, diskPort(disk), name)),
    ],
    disks,
    threshold: values.jit === undefined ? undefined : Number(values.jit),
  };
  const ended = await run(options);
  if (values.verbose) {
    for (const hart of ended.harts) {
      const show = (_: string, v: unknown) => (typeof v === 'bigint' ? Number(v) : v);
      process.stderr.write(`${JSON.stringify(hart, show)}\n`);
    }
  }
  return ended.reason === 'poweroff' ? 0 : ended.reason === 'reset' ? 3 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    process.stderr.write(`${error instanceof Refusal ? error.message : error.stack}\n`);
    process.exit(1);
  },
);
