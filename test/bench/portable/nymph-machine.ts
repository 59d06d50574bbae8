/**
 * One machine of the portable engine, with what its words name and its console on standard output:
 * `node nymph-machine.ts JSON`. It has the parts of one that the app starts, but no agent and no
 * server.
 */
import { randomFillSync } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { VirtioBlock } from '../../../src-main/engines/riscv/devices/virtio/block.ts';
import { VirtioNet } from '../../../src-main/engines/riscv/devices/virtio/net.ts';
import { VirtioRandom } from '../../../src-main/engines/riscv/devices/virtio/random.ts';
import { fileBlock } from '../../../src-main/engines/riscv/node/file-block.ts';
import { FrameSlots } from '../../../src-main/engines/riscv/node/frame-slots.ts';
import { run } from '../../../src-main/engines/riscv/node/run.ts';

export interface MachineWords {
  kernel: string;
  initrd: string;
  line: string;
  harts: number;
  memoryMib: number;
  disk?: string;
  /** A descriptor: a datagram socket of which each message is a frame. */
  cable?: number;
}

const wanted = JSON.parse(process.argv[2]!) as MachineWords;
const { disk, cable } = wanted;
const frames = cable === undefined ? undefined : new FrameSlots([cable]);
const mac = Uint8Array.of(2, 0, 0, 0, 0, process.pid & 0xff);

await run({
  from: {
    ramMib: wanted.memoryMib,
    harts: wanted.harts,
    kernel: readFileSync(wanted.kernel),
    initrd: readFileSync(wanted.initrd),
    bootArguments: wanted.line,
    seed: randomFillSync(new Uint8Array(32)),
  },
  console: { write: (bytes) => void writeSync(1, bytes), onInput: () => {} },
  devices: [
    (wiring) => new VirtioRandom(wiring, { fill: (into) => void randomFillSync(into) }),
    ...(disk === undefined ? [] : [fileBlock(disk, false)]).map((port) =>
      (wiring: ConstructorParameters<typeof VirtioBlock>[0]) =>
        new VirtioBlock(wiring, port, 'bench')),
    ...(frames === undefined ? [] : [
      (wiring: ConstructorParameters<typeof VirtioNet>[0]) =>
        new VirtioNet(wiring, frames.port(0, mac)),
    ]),
  ],
  onPower: ({ memory }) => frames?.open(memory),
  onWake: () => frames?.look(),
});
process.exit();
