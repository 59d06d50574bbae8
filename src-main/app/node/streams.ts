/**
 * Between a client's byte stream and what is inside a machine: a console, or a command run by the
 * guest's agent.
 */
import { Refusal } from '../../base/refusal.ts';
import type { Caller } from '../../rpc/server.ts';
import { assert } from '../../base/assert.ts';
import type { Driver } from './driver.ts';

/** First byte of each message of `machine.exec` and `machine.run`, from the machine. */
export const outputKinds = { stdout: 1, stderr: 2 } as const;

export async function attachConsole(
  driver: Driver,
  { console: index, mark }: { console: number; mark: boolean },
  caller: Caller,
): Promise<null> {
  const { stream, signal } = caller;
  assert(stream, 'a console is attached by a stream');
  const hub = consoleOf(driver, index);
  const follower = hub.follow(stream, mark ? () => stream.mark() : undefined);
  stream.onCredit = () => follower.pump();
  stream.onBytes = (bytes) => hub.input(bytes);
  try {
    await aborted(signal);
  } finally {
    follower.stop();
  }
  return null;
}

export async function sendConsoleLog(driver: Driver, index: number, caller: Caller): Promise<null> {
  assert(caller.stream, 'a console log is read by a stream');
  await caller.stream.sendAll(consoleOf(driver, index).scrollback.all());
  return null;
}

export async function execInGuest(
  driver: Driver,
  wanted: { argv: string[]; tty?: { rows: number; columns: number } },
  caller: Caller,
): Promise<{ code: number; signal?: number }> {
  const { stream, signal } = caller;
  assert(stream, 'a command is run by a stream');
  const guest = driver.guest;
  if (!guest?.hello) {
    throw new Refusal(
      'unavailable',
      `“${driver.name}” has no agent, so nothing can be run inside it.`,
    );
  }
  const send = (kind: number) => async (bytes: Uint8Array) => {
    const message = new Uint8Array(bytes.length + 1);
    message[0] = kind;
    message.set(bytes, 1);
    await stream.sendWhole(message);
  };
  const session = guest.exec(wanted, {
    stdout: send(outputKinds.stdout),
    stderr: send(outputKinds.stderr),
  });
  stream.onBytes = (bytes) => session.write(bytes);
  stream.onEnd = () => session.end();
  signal.addEventListener('abort', () => session.kill(), { once: true });
  const gone = driver.running!.exited.then(() => {
    throw new Refusal('unavailable', `“${driver.name}” ended while the command ran.`);
  });
  return Promise.race([session.exit, gone]);
}

function consoleOf(driver: Driver, index: number) {
  const hub = driver.consoles.hubs[index];
  if (!hub) throw new Refusal('not-found', `“${driver.name}” has no console ${index}.`);
  return hub;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
