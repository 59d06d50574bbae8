/**
 * The line of the guest's agent: a port of virtio-serial, once it has that open; before, and for a
 * kernel without it, the console hvc0. Only one is heard: a port is root's, a terminal need not be.
 */
import { VirtioConsole } from '../devices/virtio/console.ts';
import { VirtioSerial } from '../devices/virtio/serial.ts';
import type { ConsolePort } from '../ports.ts';
import type { Make } from './plugs.ts';

type Listener = (bytes: Uint8Array) => void;

export class AgentLine {
  private readonly pipe: ConsolePort;
  private port?: VirtioSerial;
  private toPort: Listener = () => {};
  private toConsole: Listener = () => {};

  constructor(pipe: ConsolePort) {
    this.pipe = pipe;
    pipe.onInput((bytes) => (this.port?.isOpen ? this.toPort(bytes) : this.toConsole(bytes)));
  }

  portMaker(): Make {
    const end = this.end((listener) => (this.toPort = listener), () => true);
    return (wiring) => (this.port = new VirtioSerial(wiring, end));
  }

  consoleMaker(): Make {
    const end = this.end((listener) => (this.toConsole = listener), () => !this.port?.isOpen);
    return (wiring) => new VirtioConsole(wiring, end, 80, 24);
  }

  private end(onInput: (listener: Listener) => void, isHeard: () => boolean): ConsolePort {
    const { pipe } = this;
    return {
      onInput,
      write: (bytes) => {
        if (isHeard()) pipe.write(bytes);
      },
      get full() {
        return pipe.full === true;
      },
    };
  }
}
