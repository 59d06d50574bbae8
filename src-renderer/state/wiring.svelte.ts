/**
 * The network canvas as a person edits it: cables plugged and pulled, machines and LANs moved.
 * Whatever is done here can be undone, from whichever page it was done.
 */
import type { MachineView } from '@contract/machine.ts';
import type { CanvasLayout } from '@contract/things.ts';
import { History } from './history.svelte.ts';
import type { Link } from './link.svelte.ts';

export type Move = {
  kind: 'machine' | 'lan';
  /** A machine's id, a LAN's name. */
  of: string;
  from: { x: number; y: number };
  to: { x: number; y: number };
};

export class Wiring {
  readonly history = new History();
  /** Where machines stand, by id; for every window the same. */
  places = $state.raw<CanvasLayout>({});
  private readonly link: Link;

  constructor(link: Link) {
    this.link = link;
    link.onOpen((client) => {
      client.on('layout.changed', ({ places }) => (this.places = places));
      client.on('snapshot', () => void this.look());
    });
  }

  connect(machine: MachineView, network: string): Promise<void> {
    return this.history.run({
      title: `connecting ${machine.name} to ${network}`,
      forward: () => this.plug(machine.id, network),
      back: () => this.pull(machine.id, network),
    });
  }

  disconnect(machine: MachineView, network: string): Promise<void> {
    return this.history.run({
      title: `disconnecting ${machine.name} from ${network}`,
      forward: () => this.pull(machine.id, network),
      back: () => this.plug(machine.id, network),
    });
  }

  move(moves: readonly Move[], title: string): Promise<void> {
    return this.history.run({
      title,
      forward: () => this.put(moves.map(({ to, ...rest }) => ({ ...rest, at: to }))),
      back: () => this.put(moves.map(({ from, ...rest }) => ({ ...rest, at: from }))),
    });
  }

  private async look(): Promise<void> {
    const places = await this.link.attempt('layout.get', {});
    if (places) this.places = places;
  }

  private async plug(machine: string, network: string): Promise<boolean> {
    return (await this.link.attempt('network.connect', { machine, network })) !== undefined;
  }

  private async pull(machine: string, network: string): Promise<boolean> {
    return (await this.link.attempt('network.disconnect', { machine, network })) !== undefined;
  }

  private async put(
    all: readonly { kind: Move['kind']; of: string; at: { x: number; y: number } }[],
  ): Promise<boolean> {
    const machines = all.filter(({ kind }) => kind === 'machine');
    const places = Object.fromEntries(machines.map(({ of, at }) => [of, at]));
    // At once, so that nothing jumps back until the server has told everybody.
    this.places = { ...this.places, ...places };
    const asked = all
      .filter(({ kind }) => kind === 'lan')
      .map(({ of, at }) => this.link.attempt('network.update', { network: of, position: at }));
    const answers: unknown[] = await Promise.all([
      ...asked,
      ...(machines.length ? [this.link.attempt('layout.set', { places })] : []),
    ]);
    return answers.every((answer) => answer !== undefined);
  }
}
