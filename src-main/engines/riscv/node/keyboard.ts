/**
 * The keyboard of a machine's process, for one purpose: a guest without an agent is asked to stop
 * by Ctrl-Alt-Del. Its init then stops or restarts in good order; after this, both are the end.
 */
import { Refusal } from '../../../base/refusal.ts';
import { VirtioKeyboard } from '../devices/virtio/input.ts';
import type { Verb } from './control-door.ts';
import type { Make } from './plugs.ts';

export class Keyboard {
  /** Set once the guest was asked. */
  asked = false;
  private device?: Pick<VirtioKeyboard, 'heard' | 'pressCtrlAltDel'>;

  maker(): Make {
    return (wiring) => {
      const device = new VirtioKeyboard(wiring);
      this.device = device;
      return device;
    };
  }

  verbs(): ReadonlyMap<string, Verb> {
    return new Map<string, Verb>([['ctrl-alt-del', async () => this.askToStop()]]);
  }

  /** @throws Refusal `unsupported` when no driver of the guest listens. */
  askToStop(): void {
    if (!this.device?.heard) {
      const sentence = 'Its guest has neither an agent nor a keyboard; force it off instead.';
      throw new Refusal('unsupported', sentence);
    }
    this.asked = true;
    this.device.pressCtrlAltDel();
  }
}
