/**
 * The one writer of one machine. Whatever is asked of it queues here and runs one after another;
 * what happens to it (userland, an exit) is turned into a state by `machine/state.ts` and
 * announced. Nobody else starts, stops or changes a machine.
 */
import { asRefusal, Refusal } from '../../base/refusal.ts';
import { assert } from '../../base/assert.ts';
import type { MachineState, SnapshotView } from '../../contract/machine.ts';
import type { MachineSpec, SpecInput } from '../../machine/spec.ts';
import { editSpec, parseSpec } from '../../machine/spec.ts';
import { isAlive, nextState, type MachineEvent } from '../../machine/state.ts';
import type { Engine, InGuest, LaunchPlan, RunningMachine } from '../../machine/engine.ts';
import { PacedInput } from '../../consoles/paced-input.ts';
import { explainExit } from '../exit-reason.ts';
import { attachedOf, pendingKeys, resumedSpec } from '../spec-words.ts';
import { Changes } from './changes.ts';
import { clock } from './clock.ts';
import { ConsoleArchive } from './console-archive.ts';
import { GuestLink } from './guest-link.ts';
import { finishExchange } from './exchange.ts';
import type { Family } from './family.ts';
import type { LanHouse } from './lan-house.ts';
import type { MachineStore } from './machine-store.ts';
import type { Planner } from './planner.ts';
import {
  discardSuspended, isSuspended, listSnapshots, prepareSuspended, readSuspended,
} from './saved-states.ts'; // prettier-ignore
import { laidDownMs, layDown, layOut, standUp } from './lying-inside.ts';
import { savingMachine } from './saving-machine.ts';
import { takeFree } from './memory-return.ts';
import { mountShares } from './share-mounts.ts';
import { tellInside, wake } from './wake.ts';

type Ending = { clean: boolean; reason?: string };
const logLinesMax = 500;
const lastLinesShown = 12;

export interface Surroundings {
  readonly store: MachineStore;
  readonly planner: Planner;
  readonly lans: LanHouse;
  readonly family: Family;
  engine(name: MachineSpec['engine']): Engine;
  announce(driver: Driver): void;
}

export class Driver {
  name: string;
  state: MachineState = 'off';
  sinceMs = clock.nowMs();
  reason?: string;
  lastLines?: string[];
  fault?: string;
  /** The last good spec; undefined only when the file was never readable. */
  spec?: MachineSpec;
  running?: RunningMachine;
  guest?: GuestLink;
  bootMs?: number;
  /** Its guest was there before: found running, or resumed. */
  goesOn = false;
  snapshots: readonly SnapshotView[] = [];
  /** Which kernel it runs, or would. */
  kernel = { id: '', choice: '' };
  readonly consoles: ConsoleArchive;
  readonly log: { atMs: number; text: string }[] = [];
  readonly around: Surroundings;
  private text = '';
  private readonly changes = new Changes();
  private tail: Promise<unknown> = Promise.resolve();
  private asked = false;
  private startedAtMs = 0;
  private startedSpec?: MachineSpec;
  private readonly windows = new Map<number, { rows: number; columns: number }>();
  /** What the agent said of a boot that failed. */
  private trouble?: string;

  constructor(name: string, around: Surroundings) {
    this.name = name;
    this.around = around;
    this.consoles = new ConsoleArchive(() => this.directory);
  }

  get directory(): string {
    return this.around.store.directory(this.name);
  }

  /** What of its settings the running kernel was not started with. */
  get pending(): string[] {
    const { spec, startedSpec: started } = this;
    return this.alive && spec && started ? pendingKeys(spec, started) : [];
  }

  get alive(): boolean {
    return isAlive(this.state);
  }

  /** Reads machine.yaml; a broken one leaves the last good spec in force. */
  async reload(): Promise<void> {
    this.lookAtSaved();
    try {
      const text = await this.around.store.readSpec(this.name);
      if (text === this.text && this.spec) return;
      this.text = text;
      this.spec = parseSpec(text);
      this.fault = undefined;
    } catch (thrown) {
      this.fault =
        (thrown as NodeJS.ErrnoException).code === 'ENOENT'
          ? 'Its machine.yaml is missing.'
          : asRefusal(thrown).message;
    }
    await this.consoles.open(this.spec?.consoles ?? 1);
    this.refreshKernel();
    await this.lookAtSnapshots();
  }

  /** Without a process it is suspended exactly while its saved state is there. */
  lookAtSaved(): void {
    if (this.alive) return;
    const saved = isSuspended(this.directory) || this.around.family.sleepsWith(this) !== undefined;
    this.apply({ type: saved ? 'saved-found' : 'discarded' });
  }

  async lookAtSnapshots(): Promise<void> {
    this.snapshots = await listSnapshots(this.directory);
    this.tell();
  }

  /** Takes up a machine that an earlier server left running. */
  adopt(): Promise<void> {
    return this.queue(async () => {
      const { spec, directory } = this;
      if (!spec) return;
      // Nothing runs inside a machine that does not.
      const inside = await this.around.family.wayInto(spec).catch(() => undefined);
      if (spec.parent !== undefined && !inside) return;
      const runDirectory = this.around.planner.runDirectory(spec.id);
      const engine = this.around.engine(spec.engine);
      const lay = laidDownMs(directory) !== undefined;
      if (lay) await layOut(directory, runDirectory);
      const running = await engine.adopt({ runDirectory, directory, spec, inside });
      if (lay) await standUp(directory);
      if (!running) return this.lookAtSaved();
      this.note('Found running');
      this.startedSpec = spec;
      this.goesOn = true;
      this.take(running);
      this.apply({ type: 'adopted' });
      if (running.wasPaused) this.apply({ type: 'paused' });
      this.guest = this.linkGuest(running);
      await this.around.lans.join(this);
    });
  }

  start(): Promise<void> {
    return this.queue(async () => {
      this.mustBe(['off', 'crashed', 'suspended'], 'started');
      await finishExchange(this.directory);
      await this.reload();
      const saved = await readSuspended(this.directory);
      const spec = saved ? resumedSpec(saved.spec, this.goodSpec()) : this.goodSpec();
      this.startedAtMs = clock.elapsedMs();
      const { family, planner } = this.around;
      const inside = await family.wayInto(spec);
      const at = { name: this.name, directory: this.directory, resume: saved?.path };
      const { plan, kernel } = await planner.plan(at, spec, inside);
      await standUp(this.directory);
      this.kernel = kernel;
      this.bootMs = undefined;
      this.reason = this.lastLines = undefined;
      this.asked = false;
      this.trouble = undefined;
      this.startedSpec = spec;
      this.goesOn = saved !== undefined;
      this.apply({ type: 'started' });
      const verb = saved ? 'resumed' : 'started';
      for (const hub of this.consoles.hubs) hub.note(`${this.name} ${verb}`);
      await this.launch(plan);
      const { pid } = this.mustRun();
      this.note(`${saved ? 'Resumed' : 'Started'} with kernel ${kernel.id}, process ${pid}`);
      // Nobody on a LAN meets a clone that still has the name and the address of another.
      if (saved) await wake(this, saved);
      await this.around.lans.join(this);
      if (saved) await family.wakeInside(this, saved.savedMs);
    });
  }

  private async launch(plan: LaunchPlan): Promise<void> {
    try {
      const running = await this.around.engine(plan.spec.engine).launch(plan);
      this.take(running);
      this.guest = this.linkGuest(running);
    } catch (thrown) {
      this.ended({ clean: false, reason: asRefusal(thrown).message });
      throw thrown;
    }
  }

  /** Writes all of it to disk and ends its process; a start goes on from there. */
  suspend(savedMs: number): Promise<void> {
    return this.queue(async () => {
      this.mustBe(['running'], 'suspended');
      const machine = savingMachine(this);
      const { directory, name } = this;
      const path = await prepareSuspended(directory, name, savedMs, this.hardware());
      // It may have done so and not been able to say it.
      const failed = (thrown: unknown) => isSuspended(directory) || Promise.reject(thrown);
      await machine.suspend(path).catch(failed);
      await this.settled();
    });
  }

  /** Lets go of what is about to be saved as a part of the machine around it. */
  lieDown(savedMs: number): Promise<void> {
    return this.queue(async () => {
      this.mustBe(['running', 'paused'], 'suspended');
      await layDown(this.directory, this.around.planner.runDirectory(this.goodSpec().id), savedMs);
      this.mustRun().release();
      this.ended({ clean: true }, true);
    });
  }

  /** The machine around it goes on, and it in there. */
  async getUp(): Promise<void> {
    await this.adopt().catch((thrown: unknown) => this.note(asRefusal(thrown).message));
    const how = this.alive ? 'resumed' : 'did not go on with the machine around it';
    for (const hub of this.consoles.hubs) hub.note(`${this.name} ${how}`);
  }

  /** What the running machine is made of, whatever its next start would give it. */
  hardware(): MachineSpec {
    const spec = this.goodSpec();
    return { ...spec, ...this.startedSpec, nics: spec.nics, disks: attachedOf(spec) };
  }

  /** Settles when it runs, or refuses when it ended instead. */
  async untilRunning(timeoutMs: number): Promise<void> {
    const deadline = clock.elapsedMs() + timeoutMs;
    while (this.state === 'starting') {
      if (clock.elapsedMs() > deadline) {
        throw new Refusal('timeout', `“${this.name}” has not reached userland yet; it goes on.`);
      }
      await this.changes.next(deadline - clock.elapsedMs());
    }
    if (this.state === 'crashed') throw new Refusal('internal', this.reason ?? 'It crashed.');
  }

  /** Asks the guest to shut down and waits; a guest that does not is left running. */
  async stop(timeoutMs: number): Promise<void> {
    const running = await this.queue(async () => {
      if (this.state !== 'stopping') {
        this.mustBe(['starting', 'running'], 'stopped');
        this.apply({ type: 'stop-asked' });
        this.asked = true;
        const machine = this.mustRun();
        try {
          if (!this.guest?.powerOff()) await machine.askToStop();
        } catch (thrown) {
          this.asked = false;
          this.apply({ type: 'stop-refused' });
          throw thrown;
        }
      }
      return this.mustRun();
    });
    const timedOut = Symbol('timed out');
    const ended = await Promise.race([running.exited, clock.delay(timeoutMs).then(() => timedOut)]);
    if (ended !== timedOut) return this.settled();
    this.asked = false;
    this.apply({ type: 'stop-refused' });
    const seconds = Math.round(timeoutMs / 1000);
    throw new Refusal(
      'timeout',
      `“${this.name}” did not shut down within ${seconds} s; force it off, or wait and ask again.`,
    );
  }

  kill(): Promise<void> {
    return this.queue(async () => {
      this.mustBe(['starting', 'running', 'paused', 'stopping', 'suspended'], 'killed');
      await (this.state === 'suspended' ? this.discard() : this.end());
    });
  }

  /** One turn's part: pulls its plug. */
  async end(): Promise<void> {
    this.asked = true;
    const machine = this.mustRun();
    machine.kill();
    await machine.exited;
    await this.settled();
  }

  /** One turn's part: its folder holds what was kept at another moment. */
  async reverted(): Promise<void> {
    this.reason = this.lastLines = undefined;
    await this.reload();
    this.apply({ type: 'reverted', saved: isSuspended(this.directory) });
  }

  private async discard(): Promise<void> {
    await discardSuspended(this.directory);
    this.reason = undefined;
    this.note('Its saved state was discarded');
    this.lookAtSaved();
    for (const inner of this.around.family.descendantsOf(this)) inner.lookAtSaved();
  }

  async reset(): Promise<void> {
    await this.kill();
    await this.start();
  }

  pause(): Promise<void> {
    return this.queue(async () => {
      this.mustBe(['running'], 'paused');
      await this.mustRun().pause();
      this.apply({ type: 'paused' });
    });
  }

  resume(): Promise<void> {
    return this.queue(async () => {
      this.mustBe(['paused'], 'resumed');
      await this.mustRun().resume();
      this.apply({ type: 'resumed' });
    });
  }

  /** Gives free guest memory back to the host, if it is worth it; answers with how much it was. */
  returnMemory(worthBytes: number): Promise<number> {
    return this.queue(async () => {
      this.mustBe(['running'], 'asked for memory');
      const memory = await this.guest?.memory();
      if (!memory) throw this.noAgent('say what is free');
      return takeFree(this.mustRun(), memory, worthBytes);
    });
  }

  /** Changes machine.yaml; what a running machine cannot take on waits for its next start. */
  configure(changes: Partial<Record<keyof SpecInput, unknown>>): Promise<void> {
    return this.queue(() => this.edit(changes));
  }

  setText(text: string): Promise<void> {
    return this.queue(async () => {
      const parsed = parseSpec(text);
      if (this.spec && parsed.id !== this.spec.id) {
        throw new Refusal('bad-input', 'The id of a machine cannot change.');
      }
      await this.around.store.writeSpec(this.name, text);
      await this.reload();
    });
  }

  rename(newName: string): Promise<void> {
    return this.queue(async () => {
      this.mustBe(['off', 'crashed', 'suspended'], 'renamed');
      await this.consoles.flush();
      await this.around.store.rename(this.name, newName);
      this.name = newName;
      this.tell();
    });
  }

  /** Lets go of a running machine at the end of the server; it lives on. */
  async leave(): Promise<void> {
    await this.consoles.flush();
    this.guest?.close();
    this.running?.release();
  }

  /** One turn's part: only for work in the queue. */
  async edit(changes: Partial<Record<keyof SpecInput, unknown>>): Promise<void> {
    const text = editSpec(await this.around.store.readSpec(this.name), changes);
    await this.around.store.writeSpec(this.name, text);
    await this.reload();
  }

  private take(running: RunningMachine): void {
    this.running = running;
    running.consoles.forEach((pipe, index) => {
      const hub = this.consoles.hubs[index];
      if (!hub) return;
      pipe.onBytes = (bytes) => hub.take(bytes);
      const paced = new PacedInput((bytes) => pipe.write(bytes), clock.delay);
      hub.input = (bytes) => paced.write(bytes);
    });
    void running.exited.then((report) => {
      if (this.running !== running) return;
      const ending = explainExit(report, this.asked, this.consoles.hubs[0]?.lastLines(60) ?? []);
      this.ended(ending.clean || !this.trouble ? ending : { clean: false, reason: this.trouble });
    });
  }

  private ended(ending: Ending, saved = isSuspended(this.directory)): void {
    this.guest?.close();
    this.guest = undefined;
    this.running = undefined;
    for (const hub of this.consoles.hubs) {
      hub.input = () => {};
      hub.note(ending.clean ? (saved ? 'suspended' : 'off') : (ending.reason ?? 'crashed'));
    }
    this.reason = ending.reason;
    if (!ending.clean) this.lastLines = this.consoles.hubs[0]?.lastLines(lastLinesShown);
    this.around.lans.forget(this);
    this.note(ending.clean ? (saved ? 'Suspended' : 'Off') : (ending.reason ?? 'Crashed'));
    this.apply({ type: 'exited', clean: ending.clean, saved });
  }

  private linkGuest(running: RunningMachine): GuestLink {
    const guest = new GuestLink(running, {
      onUserland: () => {
        if (this.running !== running) return;
        this.bootMs ??= running.ours ? Math.round(clock.elapsedMs() - this.startedAtMs) : undefined;
        if (!this.apply({ type: 'userland' })) this.tell();
        void tellInside(this);
        void mountShares(this.startedSpec, running, this.inGuest, (said) => this.note(said));
      },
      onChange: () => this.tell(),
      onTrouble: (sentence) => {
        this.trouble = sentence;
        this.note(sentence);
      },
    });
    for (const [console, { rows, columns }] of this.windows)
      guest.setWindow(console, rows, columns);
    return guest;
  }

  /** The size of a console's window, kept for a guest that is yet to start. */
  setWindow(console: number, rows: number, columns: number): void {
    this.windows.set(console, { rows, columns });
    this.guest?.setWindow(console, rows, columns);
  }

  private refreshKernel(): void {
    if (!this.spec || this.alive) return;
    try {
      this.kernel = this.around.planner.kernelFor(this.spec);
    } catch (thrown) {
      this.kernel = { id: '', choice: asRefusal(thrown).message };
    }
  }

  readonly inGuest: InGuest = (script) =>
    this.guest?.script(script) ?? Promise.reject(this.noAgent('be told'));

  private noAgent(use: string): Refusal {
    return new Refusal('unavailable', `“${this.name}” has no agent to ${use}.`);
  }

  /** @throws Refusal `bad-input` while its machine.yaml cannot be read. */
  goodSpec(): MachineSpec {
    if (this.fault) throw new Refusal('bad-input', this.fault);
    assert(this.spec, 'a machine without fault has a spec');
    return this.spec;
  }

  private mustRun(): RunningMachine {
    assert(this.running, 'a machine that is alive has a process');
    return this.running;
  }

  private mustBe(states: readonly MachineState[], verb: string): void {
    if (states.includes(this.state)) return;
    throw new Refusal('wrong-state', `“${this.name}” is ${this.state}, so it cannot be ${verb}.`);
  }

  private apply(event: MachineEvent): boolean {
    const next = nextState(this.state, event);
    if (!next) return false;
    this.state = next;
    this.sinceMs = clock.nowMs();
    this.tell();
    return true;
  }

  note(text: string): void {
    this.log.push({ atMs: clock.nowMs(), text });
    if (this.log.length > logLinesMax) this.log.shift();
  }

  private tell(): void {
    this.changes.tell();
    this.around.announce(this);
  }

  /** The exit has been seen and applied. */
  private async settled(): Promise<void> {
    while (this.running) await this.changes.next(1000);
  }

  /** Runs `work` after what was asked before, with a machine that may or may not run. */
  queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work);
    this.tail = result.catch(() => undefined);
    return result;
  }
}
