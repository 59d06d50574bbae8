/**
 * QEMU's emulator of riscv64, the newest that the machine's mirror has, with the kernel, RAM disk
 * and programs of ours and the devices that QEMU is best with on this board.
 */
import { join } from 'node:path';
import { kernelSuites } from '../../../src-main/kernels/apt-sources.ts';
import { loaded, unpacked } from '../debian.ts';
import { riscvFiles } from './nymph.ts';
import { memoryMib, words, type Peer } from './peer.ts';

let tree = '';
let files: Awaited<ReturnType<typeof riscvFiles>>;

/** QEMU for riscv64 and the BIOS of a PC, unpacked. */
export function qemuTree(say: (line: string) => void): Promise<string> {
  return unpacked('qemu', {
    architecture: 'amd64', packages: ['qemu-system-riscv', 'seabios'], suites: kernelSuites, say,
  });
}

/** The beginning of a command: the board, with its console on standard output. */
export function riscvQemu(qemu: string, cpu: string, harts: number, mib: number): string[] {
  return [
    ...loaded(qemu, 'usr/bin/qemu-system-riscv64'), '-L', join(qemu, 'usr/share/qemu'),
    ...['-nodefaults', '-nographic', '-no-reboot', '-serial', 'stdio'],
    ...['-M', 'virt', '-cpu', cpu, '-accel', 'tcg', '-m', String(mib), '-smp', String(harts)],
    ...['-global', 'virtio-mmio.force-legacy=false', '-device', 'virtio-rng-device'],
  ];
}

export const tcg: Peer = {
  name: 'tcg',
  architecture: 'riscv64',
  hartsMax: 2,
  cannot: {},
  obstacle: () => undefined,
  async prepare(say) {
    files = await riscvFiles(say);
    tree = await qemuTree(say);
  },
  command(job) {
    const [program = '', ...board] = riscvQemu(tree, 'rv64', job.harts, memoryMib);
    return {
      program,
      args: [
        ...board,
        ...['-kernel', files.kernel, '-initrd', files.initrd],
        ...['-append', words(job, { disk: '/dev/vda', card: 'eth0' })],
        ...(job.disk === undefined ? [] : [
          ...['-drive', `file=${job.disk},format=raw,if=none,id=disk,cache=writeback`],
          ...['-device', 'virtio-blk-device,drive=disk'],
        ]),
        ...(job.cable === undefined ? [] : [
          ...['-netdev', 'dgram,id=cable,local.type=fd,local.str=3'],
          ...['-device', `virtio-net-device,netdev=cable,mac=${macOf(job.cable.own)}`],
        ]),
      ],
      ...(job.cable === undefined ? {} : { fd: job.cable.fd }),
    };
  },
};

function macOf(address: string): string {
  return `02:00:00:00:00:0${address.at(-1)}`;
}
