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
import { diskPort, openDisk } from '../../../src-main/engines/riscv/node/disk-port.ts';
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
const { disk: path, cable } = wanted;
const disks = path === undefined ? [] : [{ slot: 1, name: 'bench', disk: openDisk({ path }) }];
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
    ...disks.map(({ name, disk }) =>
      (wiring: ConstructorParameters<typeof VirtioBlock>[0]) =>
        new VirtioBlock(wiring, diskPort(disk), name)),
    ...(frames === undefined ? [] : [
      (wiring: ConstructorParameters<typeof VirtioNet>[0]) =>
        new VirtioNet(wiring, frames.port(0, mac)),
    ]),
  ],
  disks,
  onPower: ({ memory }) => frames?.open(memory),
  onWake: () => frames?.look(),
});
process.exit();
