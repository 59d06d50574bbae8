/**
 * The thread that carries all LANs. It sleeps in one blocking call until a machine sends or the
 * main thread writes the eventfd, so idle LANs cost nothing; it never returns to its JavaScript
 * event loop, and takes its requests from the port by hand.
 *
 * Started by `Lans` with `workerData`: the eventfd, the counters, a seed. A request that fails is
 * answered with its message and changes nothing; anything else that is thrown ends the thread,
 * and `Lans` starts a new one with the same LANs and ports.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { assert, unreachable } from '../../base/assert.ts';
import type { Control, Notice, Reply, Request } from '../control.ts';
import { Forwarder, Lan, type Port } from './forwarder.ts';
import { drainEventfd, Poll, readable } from './poll.ts';

export interface SwitchThreadData {
  eventfd: number;
  cells: SharedArrayBuffer;
  /** One number, not 0 once the thread shall end. */
  stop: SharedArrayBuffer;
  seed: number;
}

const wakeData = 0xffffffff;

function run(data: SwitchThreadData): void {
  const stop = new Int32Array(data.stop);
  const poll = new Poll();
  const forwarder = new Forwarder(poll, new Float64Array(data.cells));
  const controls = new Controls(forwarder, data.seed);
  poll.add(data.eventfd, readable, wakeData);
  while (Atomics.load(stop, 0) === 0) {
    const count = poll.wait(forwarder.expire(performance.now()));
    const nowMs = performance.now();
    let woken = false;
    for (let index = 0; index < count; index += 1) {
      const number = poll.dataAt(index);
      if (number === wakeData) woken = true;
      else forwarder.serve(number, poll.eventsAt(index), nowMs);
    }
    // Requests last: they may close ports that this round's events still name.
    if (woken) {
      drainEventfd(data.eventfd);
      controls.takeAll();
    }
  }
  poll.close();
}

class Controls {
  readonly #forwarder: Forwarder;
  readonly #seed: number;

  constructor(forwarder: Forwarder, seed: number) {
    this.#forwarder = forwarder;
    this.#seed = seed;
    forwarder.onClosed = (port) => say({ kind: 'closed', port: port.number });
  }

  takeAll(): void {
    assert(parentPort !== null, 'the switch runs in a worker thread');
    for (;;) {
      const message = receiveMessageOnPort(parentPort);
      if (message === undefined) return;
      const request = message.message as Request;
      try {
        say({ kind: 'done', id: request.id, result: this.#obey(request) });
      } catch (thrown) {
        const text = thrown instanceof Error ? thrown.message : String(thrown);
        say({ kind: 'failed', id: request.id, message: text });
      }
    }
  }

  #obey(control: Control): unknown {
    const forwarder = this.#forwarder;
    switch (control.kind) {
      case 'add-lan': {
        const number = control.config.lan;
        const lan = new Lan(control.config, this.#seed, {
          send: (port, frame, length) => forwarder.sendTo(port, frame, length),
          onLeases: (leases) =>
            say({ kind: 'leases', lan: number, leases, nowMs: performance.now() }),
        });
        forwarder.lans.set(number, lan);
        return undefined;
      }
      case 'remove-lan': {
        const lan = this.#lan(control.lan);
        for (const port of [...lan.ports]) forwarder.detach(port);
        forwarder.lans.delete(control.lan);
        return undefined;
      }
      case 'attach': {
        const { config } = control;
        const lan = this.#lan(config.lan);
        forwarder.attach(config, lan);
        if (config.heldAddress !== undefined) {
          lan.host.restore(config, config.heldAddress, performance.now());
        }
        return undefined;
      }
      case 'detach':
        return forwarder.detach(this.#port(control.port));
      case 'set-up':
        return forwarder.setUp(this.#port(control.port), control.up);
      case 'set-name':
        this.#port(control.port).config.machineName = control.machineName;
        return undefined;
      case 'set-services':
        return this.#lan(control.lan).host.setServices(control.services);
      case 'addresses':
        return this.#lan(control.lan).switch.addresses();
      default:
        return unreachable(control);
    }
  }

  #lan(number: number): Lan {
    const lan = this.#forwarder.lans.get(number);
    assert(lan !== undefined, 'the main thread names a LAN that is here');
    return lan;
  }

  #port(number: number): Port {
    const port = this.#forwarder.ports[number];
    assert(port !== undefined && port !== null, 'the main thread names a port that is here');
    return port;
  }
}

function say(message: Reply | Notice): void {
  parentPort?.postMessage(message);
}

run(workerData as SwitchThreadData);
