/**
 * QEMU's emulator of riscv64 with its H extension, the newest that the machine's mirror has, with
 * the stack of ours: kernel, boot file system, Tiny Linux, agent, and inside it the same again by
 * KVM and our VMM. Its processor has every extension that ours has.
 *
 * It goes one level down: QEMU has the levels of the specification, and KVM offers H to no guest.
 */
import type { ChildProcess } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { buildBootRamdisk, builtTiny } from '../../../src-main/app/node/image-makers.ts';
import { nymphPaths } from '../../../src-main/app/node/paths.ts';
import { extensions } from '../../../src-main/engines/riscv/boot/tree.ts';
import { bootArguments } from '../../../src-main/engines/riscv/machine-file.ts';
import { bootSerial, diskSerial, innerBoot } from '../../../src-main/engines/riscv/nest.ts';
import { readImage } from '../../../src-main/engines/riscv/node/image-file.ts';
import { AgentClient, type Line } from '../../../src-main/guest/agent-client.ts';
import { nicSlots } from '../../../src-main/machine/descriptors.ts';
import type { LaunchPlan } from '../../../src-main/machine/engine.ts';
import { FrameLine } from '../../../src-main/machine/frame-line.ts';
import { FrameDecoder } from '../../../src-main/machine/frames.ts';
import { specSchema } from '../../../src-main/machine/spec.ts';
import { realTimers, streamLine } from '../../guest/agent-line.ts';
import type { Runs } from '../listener.ts';
import { riscvFiles } from '../portable/nymph.ts';
import { begin, type Command } from '../portable/peer.ts';
import { qemuTree, riscvQemu } from '../portable/tcg.ts';
import { machines, runsOf, workScript, type Stack } from './stack.ts';

const depthMax = 2;
const patienceMs = 180_000;
/** As much as a portable machine's line takes. */
const agentWindowBytes = 24 << 10;
/** The port of the second virtio device; the board has one before. */
const agentDevice = '/dev/vport1p1';
const cpu = ['rv64', ...extensions.map((name) => `${name}=true`)].join();

const outer = planOf(0);
const inner = planOf(1);

interface Files {
  kernel: string;
  ramdisk: string;
  /** The images of a machine's disks, in their order. */
  disks: readonly string[];
}

/** What a machine of ours would be made from. */
function planOf(place: 0 | 1): Pick<LaunchPlan, 'name' | 'spec' | 'disks'> {
  const { name, memoryMib } = machines[place];
  const id = String(place).padStart(8, '0');
  return {
    name,
    spec: specSchema.parse({ id, engine: 'portable', memory: `${memoryMib}M` }),
    disks: ['root', 'programs'].map((disk, index) => ({ id: disk, index, path: '' })),
  };
}

export async function tcgStack(programs: string, say: (line: string) => void): Promise<Stack> {
  const paths = nymphPaths();
  const files: Files = {
    kernel: (await riscvFiles(say)).kernel,
    ramdisk: await buildBootRamdisk(paths, 'riscv64'),
    disks: [(await builtTiny('tiny-riscv64', paths)).path, programs],
  };
  const qemu = await qemuTree(say);
  const folder = await mkdtemp(join(tmpdir(), 'nymph-bench-'));
  const boot = innerBoot('inner', inner, {
    kernel: readImage(files.kernel),
    initramfs: await readFile(files.ramdisk),
    seed: randomFillSync(new Uint8Array(32)),
  }, nicSlots, false);
  const bootDisk = join(folder, 'boot');
  await writeFile(bootDisk, boot.disk);
  return new TcgStack(command(qemu, files, bootDisk), boot.words, folder);
}

/** Besides its own disks it has from the beginning those of the machine inside, by serial. */
function command(qemu: string, { kernel, ramdisk, disks }: Files, bootDisk: string): Command {
  const { spec: { id } } = inner;
  const plugged = [
    ...disks.map((file, place) => ({ file, serial: `own-${place}` })),
    { file: bootDisk, serial: bootSerial(id) },
    ...disks.map((file, place) => ({ file, serial: diskSerial(id, place) })),
  ];
  const [program = '', ...board] = riscvQemu(qemu, cpu, outer.spec.cpus, machines[0].memoryMib);
  return {
    program,
    args: [
      ...board, '-kernel', kernel, '-initrd', ramdisk,
      ...['-append', bootArguments(outer, 'ttyS0', [agentDevice])],
      ...['-chardev', 'socket,id=agent,fd=3', '-device', 'virtio-serial-device'],
      ...['-device', 'virtserialport,chardev=agent'],
      ...plugged.flatMap(({ file, serial }, n) => [
        ...['-drive', `file=${file},format=raw,if=none,id=disk${n},snapshot=on`],
        ...['-device', `virtio-blk-device,drive=disk${n},serial=${serial}`],
      ]),
    ],
    fd: 'pipe',
  };
}

class TcgStack implements Stack {
  readonly depthMax = depthMax;
  private readonly command: Command;
  private readonly innerWords: readonly string[];
  private readonly folder: string;
  private readonly agents: AgentClient[] = [];
  private readonly ended = Promise.withResolvers<never>();
  private child?: ChildProcess;

  constructor(command: Command, innerWords: readonly string[], folder: string) {
    this.command = command;
    this.innerWords = innerWords;
    this.folder = folder;
  }

  get pid(): number {
    return this.child!.pid!;
  }

  async start(depth: number): Promise<number> {
    const began = performance.now();
    const line = depth === 1 ? this.switchOn() : this.lineInside();
    const agent = new AgentClient(line, {
      nonce: depth, timers: realTimers, windowBytes: agentWindowBytes,
    });
    this.agents.push(agent);
    await Promise.race([agent.ready(patienceMs), this.ended.promise]);
    return performance.now() - began;
  }

  private switchOn(): Line {
    const child = begin(this.command);
    this.child = child;
    let said = '';
    for (const output of [child.stdout!, child.stderr!]) {
      output.on('data', (bytes) => {
        said = (said + String(bytes)).slice(-4000);
      });
    }
    child.once('error', this.ended.reject);
    child.once('close', () => this.ended.reject(new Error(`QEMU has ended:\n${said}`)));
    this.ended.promise.catch(() => {});
    const socket = child.stdio[3] as Duplex;
    return streamLine(socket, socket);
  }

  /** As a machine inside another is started by ours; of all its lines only the agent's counts. */
  private lineInside(): Line {
    const channel = inner.spec.consoles;
    const line = new FrameLine(channel, (frame) => void session.write(frame));
    const decoder = new FrameDecoder((from, bytes) => {
      if (from === channel) void line.take(bytes);
    });
    const session = this.agents[0]!.exec({
      argv: this.innerWords, stdout: (bytes) => void decoder.take(bytes),
    });
    return {
      write: (bytes) => line.write(bytes),
      onBytes(listener) {
        line.onBytes = listener;
        return () => line.close();
      },
    };
  }

  run(depth: number, line: string): Promise<Runs> {
    return runsOf(`tcg ${depth}`, line, (hear) =>
      this.agents[depth - 1]!.exec({ argv: workScript('/dev/vdb', line), stdout: hear }).exit);
  }

  async close(): Promise<void> {
    for (const agent of this.agents) agent.close();
    if (this.child !== undefined) {
      const closed = this.ended.promise.catch(() => {});
      this.child.kill('SIGKILL');
      await closed;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}
