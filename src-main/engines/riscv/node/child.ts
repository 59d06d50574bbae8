/**
 * The process of a portable machine: `node child.ts RUN_DIRECTORY/`. It reads `machine.json` there,
 * holds the descriptors it inherited (`machine/descriptors.ts`) and runs until the guest powers
 * off or is suspended. A guest that restarts is started anew in the same process. A saved state
 * that it was told to go on from is used up: its file is gone before the guest moves.
 *
 * Exit code: 0 powered off or suspended; 1 the machine failed or its kernel panicked, told on the
 * console, and in the file `reason` where it was refused.
 */
import { randomFillSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Socket } from 'node:net';
import { syncDirectory } from '../../../base/node/files.ts';
import { Refusal } from '../../../base/refusal.ts';
import { VirtioConsole } from '../devices/virtio/console.ts';
import { NinePServer } from '../devices/nine-p/server.ts';
import { VirtioNineP } from '../devices/virtio/nine-p.ts';
import { VirtioRandom } from '../devices/virtio/random.ts';
import { jitReport } from '../jit/report.ts';
import { reasonFile, slots, vsockFile, type MachineFile } from '../machine-file.ts';
import type { ConsolePort } from '../ports.ts';
import { recordOf } from '../saved.ts';
import { AgentLine } from './agent-line.ts';
import { Balloon } from './balloon.ts';
import { controlPath, openControlDoor } from './control-door.ts';
import { FrameSlots } from './frame-slots.ts';
import { hostFolder } from './host-folder.ts';
import { readImage } from './image-file.ts';
import { Keyboard } from './keyboard.ts';
import { Plugs, type Make } from './plugs.ts';
import { run, type Boot, type Ended, type Power, type Resume } from './run.ts';
import { machineFolder, Saving } from './saving.ts';
import { SocketDoor } from './socket-door.ts';
import { openSnapshot } from './snapshot-read.ts';

/** What waits for a reader of a console before its line is busy. */
const pendingOutputBytesMax = 1 << 16;
/** Enough of the last words to see a panic in them. */
const tailBytes = 8192;

/** A console or the agent's line, over the two pipes that this process inherited. */
class PipeConsole implements ConsolePort {
  tail = '';
  private readonly output: Socket;
  private readonly input: Socket;
  private listener: (bytes: Uint8Array) => void = () => {};

  constructor(fds: { input: number; output: number }, onRoom: () => void) {
    this.input = new Socket({ fd: fds.input, readable: true, writable: false });
    this.output = new Socket({ fd: fds.output, readable: false, writable: true });
    this.input.on('data', (bytes) => this.listener(bytes));
    this.output.on('drain', onRoom);
    for (const socket of [this.input, this.output]) socket.on('error', () => {});
  }

  get full(): boolean {
    return this.output.writableLength > pendingOutputBytesMax;
  }

  get pending(): boolean {
    return this.output.writableLength > 0;
  }

  write(bytes: Uint8Array): void {
    this.output.write(bytes);
  }

  /** Console 0's last words are kept, for the reason of an end. */
  keepTail(bytes: Uint8Array): void {
    this.tail = (this.tail + Buffer.from(bytes).toString('latin1')).slice(-tailBytes);
  }

  onInput(listener: (bytes: Uint8Array) => void): void {
    this.listener = listener;
  }
}

async function main(): Promise<number> {
  const runDirectory = process.argv[2]!;
  const file = JSON.parse(readFileSync(join(runDirectory, 'machine.json'), 'utf8')) as MachineFile;
  let machine: Power | undefined;
  const onRoom = () => machine?.ring();
  const consoles = file.layout.consoles.map((fds) => new PipeConsole(fds, onRoom));
  const agent = new PipeConsole(file.layout.agent, onRoom);
  const line = new AgentLine(agent);
  const frames = new FrameSlots(file.layout.nics.map(({ near }) => near));
  const console0 = consoles[0]!;
  const first: ConsolePort = {
    get full() {
      return console0.full;
    },
    write: (bytes) => {
      console0.keepTail(bytes);
      console0.write(bytes);
    },
    onInput: (listener) => console0.onInput(listener),
  };
  try {
    const plugs = new Plugs(file, frames);
    const balloon = new Balloon();
    const keyboard = new Keyboard();
    const report = async () => ({ ...jitReport(mustBeOn(machine).memory.buffer, file.cpus) });
    const end = async () => {
      // The thread that waits for frames ends by itself only.
      await Promise.all([frames.close(), drained([...consoles, agent])]);
      process.exit(0);
    };
    const saving = new Saving(end, (directory) => plugs.inner(directory));
    const verbs = new Map([
      ...plugs.verbs(),
      ...balloon.verbs(),
      ...keyboard.verbs(),
      ...saving.verbs(),
      ['jit', report] as const,
    ]);
    openControlDoor(controlPath(runDirectory), verbs);
    const sockets = new SocketDoor(join(runDirectory, vsockFile));
    sockets.open();
    for (let { resume } = file; ; resume = undefined) {
      console0.tail = '';
      const { shares } = file;
      const parts = { frames, plugs, balloon, keyboard, sockets, saving, shares };
      const from = resume === undefined ? bootOf(file) : await savedOf(resume, plugs);
      const ended = await powerOn(from, { first, consoles, line, ...parts }, (power) => {
        machine = power;
      });
      const over = ended.reason === 'poweroff' || (ended.reason === 'reset' && keyboard.asked);
      if (over) return 0;
      if (ended.reason === 'failure' || /Kernel panic - not syncing/.test(console0.tail)) return 1;
    }
  } catch (thrown) {
    const refused = thrown instanceof Refusal;
    const said = refused ? thrown.message : String((thrown as Error).stack);
    if (refused) writeFileSync(join(runDirectory, reasonFile), said, { mode: 0o600 });
    first.write(Buffer.from(`\r\nNymph: ${said.replaceAll('\n', '\r\n')}\r\n`));
    return 1;
  } finally {
    await drained([...consoles, agent]);
  }
}

function mustBeOn(machine: Power | undefined): Power {
  if (machine) return machine;
  throw new Refusal('wrong-state', 'The machine is not switched on yet.');
}

type Parts = {
  first: ConsolePort;
  consoles: PipeConsole[];
  line: AgentLine;
  frames: FrameSlots;
  plugs: Plugs;
  balloon: Balloon;
  keyboard: Keyboard;
  sockets: SocketDoor;
  saving: Saving;
  shares: MachineFile['shares'];
};

function bootOf(file: MachineFile): Boot {
  return {
    ramMib: file.memoryMib,
    harts: file.cpus,
    kernel: readImage(file.kernel),
    firmware: file.firmware === undefined ? undefined : readFileSync(file.firmware),
    initrd: Buffer.concat(file.initramfs.map((path) => readFileSync(path))),
    bootArguments: file.bootArguments,
    seed: randomFillSync(new Uint8Array(32)),
  };
}

/** The guest's disks change from here on, so what was saved is of no use a second time. */
async function savedOf(path: string, plugs: Plugs): Promise<Resume> {
  const saved = await openSnapshot(path);
  plugs.reopenInner(recordOf(saved.state)['beside'] ?? {}, machineFolder(path));
  return {
    saved,
    taken: async () => {
      await saved.close();
      await rm(path);
      await syncDirectory(dirname(path));
    },
  };
}

async function powerOn(
  from: Boot | Resume,
  { first, consoles, line, frames, plugs, balloon, keyboard, sockets, saving, shares }: Parts,
  onPower: (machine: Power) => void,
): Promise<Ended> {
  const devices = new Array<Make | null>(slots.count).fill(null);
  devices[slots.random] = (wiring) =>
    new VirtioRandom(wiring, { fill: (into) => void randomFillSync(into) });
  devices[slots.port] = line.portMaker();
  devices[slots.agent] = line.consoleMaker();
  devices[slots.balloon] = balloon.maker();
  devices[slots.keyboard] = keyboard.maker();
  devices[slots.vsock] = sockets.maker();
  shares.forEach(({ tag, path, readOnly }, n) => {
    devices[slots.shares + n] = (wiring) =>
      new VirtioNineP(wiring, new NinePServer(hostFolder(path, readOnly)), tag);
  });
  consoles.slice(1).forEach((port, n) => {
    devices[slots.consoles + n] = (wiring) => new VirtioConsole(wiring, port, 80, 24);
  });
  for (const [slot, make] of plugs.makers()) devices[slot] = make;
  try {
    return await run({
      from,
      console: first,
      devices,
      disks: plugs.sharedDisks(),
      onPower: (power) => {
        onPower(power);
        frames.open(power.memory);
        plugs.power = power;
        saving.power = power;
      },
      onWake: () => frames.look(),
    });
  } finally {
    plugs.power = undefined;
    saving.power = undefined;
    await frames.close();
    // What the guest had under way lands before it starts again, or before the process ends.
    await plugs.settled();
  }
}

/** The last words reach the pipes, but a reader that is gone holds nobody up. */
async function drained(consoles: PipeConsole[]): Promise<void> {
  for (let waits = 0; waits < 20; waits++) {
    if (consoles.every((port) => !port.pending)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// Without a folder it is only loaded, so that Node keeps what it has made of it (warm.ts).
if (process.argv[2] !== undefined) {
  main().then(
    (code) => process.exit(code),
    (error: Error) => {
      process.stderr.write(`${error.stack ?? error.message}\n`);
      process.exit(1);
    },
  );
}
