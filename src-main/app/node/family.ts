/**
 * Which machine is inside which: a machine whose spec names a `parent` runs as a process of that
 * one's guest. This is the only place that knows; it is made anew from the drivers at each call.
 *
 * Must hold: no machine is its own ancestor, so every walk up or down ends.
 */
import { Refusal } from '../../base/refusal.ts';
import type { MachineState } from '../../contract/machine.ts';
import type { Engine, Inside } from '../../machine/engine.ts';
import type { MachineSpec } from '../../machine/spec.ts';
import { clock } from './clock.ts';
import type { Driver } from './driver.ts';
import { laidDownMs } from './lying-inside.ts';
import { suspendedMs } from './saved-states.ts';
import { savingMachine } from './saving-machine.ts';

/** A guest that is up says hello at once; one whose server is new is asked first. */
const greetingTimeoutMs = 5000;
/** More than any engine has: whoever walks further is in a circle. */
const walkMax = 16;

export class Family {
  private readonly all: () => Driver[];

  constructor(all: () => Driver[]) {
    this.all = all;
  }

  parentOf(spec: Pick<MachineSpec, 'parent'> | undefined): Driver | undefined {
    const id = spec?.parent;
    return id === undefined ? undefined : this.all().find((driver) => driver.spec?.id === id);
  }

  childrenOf(driver: Driver): Driver[] {
    const id = driver.spec?.id;
    if (id === undefined) return [];
    return this.all().filter((other) => other !== driver && other.spec?.parent === id);
  }

  /** Children and theirs, each before its own parent, so that they can be stopped in this order. */
  descendantsOf(driver: Driver, depth = 0): Driver[] {
    if (depth > walkMax) return [];
    return this.childrenOf(driver).flatMap((child) => [
      ...this.descendantsOf(child, depth + 1),
      child,
    ]);
  }

  /** How many machines are around it: 0 for one on the host. */
  depthOf(driver: Driver): number {
    let depth = 0;
    for (let at = this.parentOf(driver.spec); at && depth <= walkMax; depth++) {
      at = this.parentOf(at.spec);
    }
    return depth;
  }

  /** The machine around it whose pause it stands still with; undefined when it does not. */
  stilledBy(driver: Driver): Driver | undefined {
    if (driver.state !== 'running') return undefined;
    let at = this.parentOf(driver.spec);
    for (let depth = 0; at && depth <= walkMax; depth++) {
      if (at.state === 'paused') return at;
      at = this.parentOf(at.spec);
    }
    return undefined;
  }

  /** The machine around it in whose saved state it is; undefined when it is in none. */
  sleepsWith(driver: Driver): Driver | undefined {
    const savedMs = laidDownMs(driver.directory);
    if (savedMs === undefined || driver.alive) return undefined;
    let at = this.parentOf(driver.spec);
    for (let depth = 0; at && depth <= walkMax; depth++) {
      if (suspendedMs(at.directory) === savedMs) return at;
      if (laidDownMs(at.directory) !== savedMs) return undefined;
      at = this.parentOf(at.spec);
    }
    return undefined;
  }

  /** Suspends it with all that runs inside; where that fails, all of it goes on. */
  async suspend(driver: Driver): Promise<void> {
    savingMachine(driver);
    const inside = this.descendantsOf(driver).filter((inner) => inner.alive);
    const moving = inside.find(({ state }) => state !== 'running' && state !== 'paused');
    if (moving) {
      throw new Refusal(
        'wrong-state',
        `“${moving.name}” inside “${driver.name}” is ${moving.state}; wait for it first.`,
      );
    }
    const savedMs = clock.nowMs();
    try {
      for (const inner of inside) await inner.lieDown(savedMs);
      await driver.suspend(savedMs);
      // Whoever looked at them before the state was there has found none.
      for (const inner of inside) inner.lookAtSaved();
    } catch (thrown) {
      await this.wakeInside(driver, savedMs);
      throw thrown;
    }
  }

  /** What was saved with it at that time goes on with it, parents before their children. */
  async wakeInside(driver: Driver, savedMs: number): Promise<void> {
    for (const inner of this.descendantsOf(driver).reverse()) {
      if (laidDownMs(inner.directory) === savedMs) await inner.getUp();
    }
  }

  /** @throws Refusal `wrong-state` that names the machine to resume in its place. */
  refuseAsleep(driver: Driver): void {
    const around = this.sleepsWith(driver);
    if (!around) return;
    throw new Refusal(
      'wrong-state',
      `“${driver.name}” is suspended with “${around.name}”, which is around it; resume that one.`,
    );
  }

  /** Its state as a user sees it: what runs inside a paused machine is paused. */
  stateOf(driver: Driver): MachineState {
    return this.stilledBy(driver) ? 'paused' : driver.state;
  }

  /** Parents before their children. */
  outermostFirst(): Driver[] {
    return this.all().sort((a, b) => this.depthOf(a) - this.depthOf(b));
  }

  /** @throws Refusal why a machine of that engine cannot be made inside of `parent`. */
  refuseParent(parent: Driver, { name, depthMax }: Pick<Engine, 'name' | 'depthMax'>): void {
    if (this.depthOf(parent) < depthMax - 1) return;
    throw new Refusal(
      'unsupported',
      `Machines of the ${name} engine are nested at most ${depthMax} deep.`,
    );
  }

  /**
   * The way into the machine around it; undefined for a machine on the host.
   * @throws Refusal `wrong-state` unless that one runs and answers, `not-found` when it is gone.
   */
  async wayInto(spec: MachineSpec): Promise<Inside | undefined> {
    if (spec.parent === undefined) return undefined;
    const parent = this.parentOf(spec);
    if (!parent) {
      throw new Refusal('not-found', 'The machine around it is gone; recover that one first.');
    }
    const { running, guest } = parent;
    if (parent.state !== 'running' || !running || !guest) {
      throw new Refusal(
        'wrong-state',
        `It runs inside “${parent.name}”, which is ${parent.state}; start that one first.`,
      );
    }
    const root = running.insideRoot;
    if (!root) {
      throw new Refusal('unsupported', `“${parent.name}” cannot have machines inside it.`);
    }
    await guest.greeted(greetingTimeoutMs);
    return {
      name: parent.name,
      pid: running.pid,
      kernel: parent.kernel.id,
      memory: parent.spec!.memory,
      root,
      run: (argv, onOutput) => guest.run(argv, onOutput),
      plugDisk: (disk) => running.plugDisk(disk, (script) => guest.script(script)),
      unplugDisk: (disk) => running.unplugDisk(disk, (script) => guest.script(script)),
    };
  }

  /**
   * Ends what runs inside, innermost first: orderly with a time limit, at once without one. What
   * stands still with a paused machine cannot be reached, and ends with that one.
   */
  async stopInside(driver: Driver, timeoutMs?: number): Promise<void> {
    for (const inner of this.descendantsOf(driver).filter(({ alive }) => alive)) {
      if (this.stilledBy(inner)) continue;
      if (timeoutMs === undefined || inner.state === 'paused') await inner.kill();
      else await inner.stop(timeoutMs);
    }
  }

  /** @throws Refusal `wrong-state` that names the machine to resume in its place. */
  refuseStill(driver: Driver): void {
    const around = this.stilledBy(driver);
    if (!around) return;
    throw new Refusal(
      'wrong-state',
      `“${driver.name}” stands still with “${around.name}”, which is around it; resume that one.`,
    );
  }

  /** @throws Refusal `wrong-state` that names what runs inside. */
  refuseAlive(driver: Driver): void {
    const alive = this.descendantsOf(driver).filter((inner) => inner.alive);
    if (alive.length === 0) return;
    throw new Refusal(
      'wrong-state',
      alive.length === 1
        ? `${sayNames(alive)} runs inside “${driver.name}”; stop it first, or both together.`
        : `${sayNames(alive)} run inside “${driver.name}”; stop them first, or all together.`,
    );
  }

  /** @throws Refusal `wrong-state` that names what runs inside, or is suspended with it. */
  refuseInhabited(driver: Driver): void {
    this.refuseAlive(driver);
    for (const inner of this.descendantsOf(driver)) this.refuseAsleep(inner);
  }

  /** @throws Refusal `in-use` that names what lies inside, running or not. */
  refuseAny(driver: Driver): void {
    const inside = this.descendantsOf(driver);
    if (inside.length === 0) return;
    throw new Refusal(
      'in-use',
      inside.length === 1
        ? `${sayNames(inside)} is inside “${driver.name}”; remove it first, or both together.`
        : `${sayNames(inside)} are inside “${driver.name}”; remove them first, or all together.`,
    );
  }
}

function sayNames(drivers: readonly Driver[]): string {
  const names = drivers.slice(0, 3).map(({ name }) => `“${name}”`);
  const more = drivers.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(' and ');
}
