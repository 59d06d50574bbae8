/**
 * The machines, and the verbs on them. A verb asks the server and returns; what the window shows
 * changes when the server says so.
 */
import { SvelteSet } from 'svelte/reactivity';
import { methods, type Input, type MethodName } from '@contract/methods.ts';
import type { MachineState, MachineView } from '@contract/machine.ts';
import { refused, type Client } from '../client/connect.ts';
import { forest, type Nested } from './forest.ts';
import type { Link } from './link.svelte.ts';
import { Mirror } from './mirror.svelte.ts';
import { freeName } from './names.ts';
import type { Session } from './session.svelte.ts';

export type Verb =
  | 'start'
  | 'stop'
  | 'kill'
  | 'pause'
  | 'resume'
  | 'suspend'
  | 'reset'
  | 'reclaim';

/** What ends a machine, and with it those that run inside. */
export type EndingVerb = 'stop' | 'kill' | 'reset' | 'remove';

export type Changes = Input<'machine.update'>['changes'];

export function legal(verb: Verb, state: MachineState): boolean {
  return legalCall(`machine.${verb}`, state);
}

export function legalCall(method: MethodName, state: MachineState): boolean {
  const { when } = methods[method] as { when?: readonly MachineState[] };
  return !when || when.includes(state);
}

/** It has a process. */
export function isAlive(state: MachineState): boolean {
  return state !== 'off' && state !== 'crashed' && state !== 'suspended';
}

/** Only the portable engine can write its machines to disk, with what runs inside them. */
export function canSave({ engine, parent }: Pick<MachineView, 'engine' | 'parent'>): boolean {
  return engine === 'portable' && parent === undefined;
}

export type MachineNode = Nested<MachineView>;

export class Machines extends Mirror<MachineView> {
  /** Machines that did not shut down when asked: force is offered. */
  readonly stubborn = new SvelteSet<string>();
  /** Machines that were asked to start and have not said yet that they do. */
  readonly starting = new SvelteSet<string>();
  /** A verb that would end others as well, until its user has agreed. */
  asking = $state.raw<{ verb: EndingVerb; machine: MachineView } | undefined>();
  readonly roots: MachineNode[] = $derived(forest(this.list));
  private readonly link: Link;
  private readonly session: Session;

  constructor(link: Link, session: Session) {
    super(({ id }) => id, ({ name }) => name);
    this.link = link;
    this.session = session;
    link.onOpen((client) => this.follow(client));
  }

  find(idOrName: string): MachineView | undefined {
    return this.get(idOrName) ?? this.list.find(({ name }) => name === idOrName);
  }

  /** A name for a new machine that no machine has. */
  freeName(wish: string): string {
    return freeName(wish, new Set(this.list.map(({ name }) => name)));
  }

  async do(verb: Verb, id: string): Promise<void> {
    if (verb === 'reclaim') return this.reclaim(id);
    if (verb === 'start') return this.start(id);
    if (verb === 'stop' || verb === 'kill' || verb === 'reset') return this.end(verb, id);
    await this.link.attempt(`machine.${verb}`, { machine: id });
  }

  /** Machines inside, however deep, that run now. */
  runningInside({ children }: Pick<MachineView, 'children'>): MachineView[] {
    return this.inside({ children }).filter(({ state }) => isAlive(state));
  }

  /** Machines inside, however deep. */
  inside({ children }: Pick<MachineView, 'children'>, depth = 0): MachineView[] {
    if (depth > 16) return [];
    return children.flatMap((name) => {
      const child = this.find(name);
      return child ? [child, ...this.inside(child, depth + 1)] : [];
    });
  }

  /** Asks first when others run inside; they then end before it. */
  private async end(verb: 'stop' | 'kill' | 'reset', id: string): Promise<void> {
    const machine = this.get(id);
    if (machine && this.runningInside(machine).length > 0) this.asking = { verb, machine };
    else await this.endNow(verb, id);
  }

  async endNow(verb: 'stop' | 'kill' | 'reset', id: string, children = false): Promise<void> {
    if (verb === 'stop') return this.stop(id, children);
    this.stubborn.delete(id);
    await this.link.attempt(`machine.${verb}`, { machine: id, children });
  }

  private async start(id: string): Promise<void> {
    if (this.starting.has(id)) return;
    this.stubborn.delete(id);
    this.starting.add(id);
    const machine = this.get(id);
    const whole = (machine && this.sleepsWith(machine)?.id) ?? id;
    if (await this.prepared(id)) await this.link.attempt('machine.start', { machine: whole });
    this.starting.delete(id);
  }

  /** The outermost of the machines around one that is suspended: it is saved as a part of that. */
  sleepsWith({ state, parent }: MachineView): MachineView | undefined {
    if (state !== 'suspended') return undefined;
    let around = parent === undefined ? undefined : this.find(parent);
    for (let depth = 0; around?.parent !== undefined && depth < 16; depth++) {
      around = this.find(around.parent);
    }
    return around;
  }

  /** At once, but for the first minutes of a host whose kernel is still being built. */
  private async prepared(id: string): Promise<boolean> {
    const machine = this.get(id);
    if (!machine) return true;
    const job = await this.link.attempt('engine.prepare', { engine: machine.engine });
    if (!job) return job === null;
    this.link.toasts.show('note', `${job.title} is under way; ${machine.name} starts after it.`);
    const ended = await this.link.attempt('job.wait', { job: job.id });
    if (ended && ended.state !== 'done') {
      this.link.toasts.show('refusal', ended.error ?? `${job.title} was cancelled.`);
    }
    return ended?.state === 'done';
  }

  startAndShow(id: string): void {
    const machine = this.get(id);
    this.session.openMachine(id, 'console');
    if (machine && legal('start', machine.state)) void this.do('start', id);
    else if (machine?.state === 'paused') void this.do('resume', id);
  }

  /** Makes a machine from a snapshot, and shows it going on from there. */
  async clone({ id, name }: MachineView, snapshot: string): Promise<void> {
    const wanted = { machine: id, snapshot, name: this.freeName(name) };
    const made = await this.link.attempt('machine.clone', wanted);
    if (made) this.launch(made.id);
  }

  /** For a machine just made: shows its console and starts it. */
  launch(id: string): void {
    this.session.openMachine(id, 'console');
    void this.do('start', id);
  }

  async remove(id: string): Promise<void> {
    const machine = this.get(id);
    const all = machine ? [machine, ...this.inside(machine)] : [];
    const force = all.some(({ state }) => isAlive(state));
    await this.link.attempt('machine.remove', { machine: id, force, children: all.length > 1 });
  }

  /** Throws the refusal: the form shows it beside the field. */
  async update(id: string, changes: Changes): Promise<void> {
    await this.link.call('machine.update', { machine: id, changes });
  }

  private async stop(id: string, children: boolean): Promise<void> {
    try {
      await this.link.call('machine.stop', { machine: id, children });
    } catch (thrown) {
      const refusal = refused(thrown);
      if (refusal.code !== 'timeout') return this.link.refuse(refusal);
      this.stubborn.add(id);
      this.link.toasts.show('refusal', refusal.sentence, {
        label: 'Force off',
        run: () => void this.do('kill', id),
      });
    }
  }

  private async reclaim(id: string): Promise<void> {
    const result = await this.link.attempt('machine.reclaim', { machine: id });
    if (!result) return;
    const mib = Math.round(result.freedBytes / 2 ** 20);
    const text = mib > 0 ? `${mib} MiB went back to the host.` : 'There was nothing to give back.';
    this.link.toasts.show('good', text);
  }

  private follow(client: Client): void {
    client.on('snapshot', ({ machines }) => this.fill(machines));
    client.on('machine.changed', (machine) => this.take(machine));
    client.on('machine.removed', ({ id }) => {
      this.drop(id);
      const { route } = this.session;
      if (route.at === 'machine' && route.id === id) this.session.go({ at: 'home' });
    });
  }

  private take(machine: MachineView): void {
    if (!isAlive(machine.state)) this.stubborn.delete(machine.id);
    else this.starting.delete(machine.id);
    this.put(machine);
  }
}
