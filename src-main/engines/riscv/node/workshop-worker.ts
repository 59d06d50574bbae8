/**
 * The thread that makes a machine's regions, so that its harts go on in the interpreter meanwhile.
 * All that a hart wants by the time that it is its turn goes into one module. The thread ends when
 * the harts have.
 */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { setFlagsFromString } from 'node:v8';
import { HartState, poke } from '../hart-state.ts';
import { RegionMaker } from '../jit/workshop.ts';
import type { Plans } from '../jit/workshop.ts';
import { usualLimits } from '../jit/region.ts';
import type { Asked } from './remote-workshop.ts';

export interface WorkshopStart {
  plans: Plans;
  /** Where each hart asks. */
  harts: readonly MessagePort[];
}

/** In one module: more make those wait that were first. */
const wantsMax = 32;

parentPort?.once('message', ({ plans, harts }: WorkshopStart) => {
  // What it makes it makes wholly; else each hart would compile a function when it first calls it.
  setFlagsFromString('--no-wasm-lazy-compilation');
  harts.forEach((port, hart) => {
    const state = new HartState(plans.memory.buffer, hart);
    const maker = new RegionMaker(plans, hart, usualLimits, () => performance.now());
    port.on('message', (first: Asked) => {
      let asked: Asked | undefined = first;
      for (let wants = 0; asked !== undefined; asked = nextOf(port)) {
        if ('forget' in asked) maker.forget(asked.forget);
        else {
          maker.want(asked.want);
          if (++wants >= wantsMax) break;
        }
      }
      const made = maker.take();
      if (made === undefined) return;
      port.postMessage(made);
      state.poke(poke.made);
    });
  });
});

const nextOf = (port: MessagePort) => receiveMessageOnPort(port)?.message as Asked | undefined;
