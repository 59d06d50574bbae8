/**
 * What a machine's process does for being saved: `suspend` writes the whole machine into a file and
 * ends, the guest not having moved since; `hold` has it stand still for as long as who asked keeps
 * the connection, during which `save` writes it and its disks can be copied.
 */
import { dirname } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { textOf, type Verb } from './control-door.ts';
import type { Saved } from '../devices/virtio/device.ts';
import type { Power } from './run.ts';

/** Of the machine whose saved state is this file: FOLDER/suspended/state. */
export const machineFolder = (path: string): string => dirname(dirname(path));

export class Saving {
  /** Set while the machine is on. */
  power?: Pick<Power, 'still' | 'save'>;
  private readonly end: () => Promise<void>;
  private readonly beside: (directory: string) => Saved;
  private held = false;

  /**
   * `end` ends the process, without letting the machine go on; `beside` says what is kept with its
   * state, in the machine's own folder.
   */
  constructor(end: () => Promise<void>, beside: (directory: string) => Saved) {
    this.end = end;
    this.beside = beside;
  }

  verbs(): ReadonlyMap<string, Verb> {
    return new Map<string, Verb>([
      ['suspend', (words) => this.suspend(textOf(words, 'path'))],
      ['hold', (_, gone) => this.hold(gone)],
      ['save', (words) => this.save(textOf(words, 'path'))],
    ]);
  }

  private async suspend(path: string): Promise<Record<string, unknown>> {
    const { still, save } = this.on();
    await still.hold();
    try {
      const bytes = await save(path, this.beside(machineFolder(path)));
      // The answer goes out first.
      setImmediate(() => void this.end());
      return { bytes };
    } catch (thrown) {
      still.release();
      throw thrown;
    }
  }

  private async hold(gone: AbortSignal): Promise<void> {
    const { still } = this.on();
    if (this.held) throw new Refusal('in-use', 'The machine is being saved already.');
    await still.hold();
    this.held = true;
    const goOn = () => {
      this.held = false;
      still.release();
    };
    if (gone.aborted) goOn();
    else gone.addEventListener('abort', goOn, { once: true });
  }

  private async save(path: string): Promise<Record<string, unknown>> {
    if (!this.held) throw new Refusal('wrong-state', 'The machine is not held, so it moves.');
    return { bytes: await this.on().save(path, this.beside(machineFolder(path))) };
  }

  private on(): Pick<Power, 'still' | 'save'> {
    if (this.power) return this.power;
    throw new Refusal('wrong-state', 'The machine is just being switched on or off.');
  }
}
