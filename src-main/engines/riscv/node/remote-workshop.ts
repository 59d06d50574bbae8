/** A hart's end of the workshop that is on a thread of its own (`workshop-worker.ts`). */
import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { Life, Made, Want, Workshop } from '../jit/workshop.ts';

export type Asked = { want: Want } | { forget: Life };

export class RemoteWorkshop implements Workshop {
  private readonly port: MessagePort;

  constructor(port: MessagePort) {
    this.port = port;
  }

  want(want: Want): void {
    this.ask({ want });
  }

  forget(page: Life): void {
    this.ask({ forget: page });
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
