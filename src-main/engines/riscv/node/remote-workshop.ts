/** A hart's end of the workshop that is on a thread of its own (`workshop-worker.ts`). */
import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { Life, Made, Want, Workshop } from '../jit/workshop.ts';

/** Without an offset: the page is to be forgotten. */
export interface Asked extends Life {
  offset: number | null;
}

export class RemoteWorkshop implements Workshop {
  private readonly port: MessagePort;

  constructor(port: MessagePort) {
    this.port = port;
  }

  want(want: Want): void {
    this.ask(want);
  }

  forget({ frame, life }: Life): void {
    this.ask({ frame, life, offset: null });
  }

  take(): Made | undefined {
    return receiveMessageOnPort(this.port)?.message as Made | undefined;
  }

  close(): void {
    this.port.close();
  }

  private ask(asked: Asked): void {
    this.port.postMessage(asked);
  }
}
