/** Commands that reach into a machine: its consoles, and programs run by its agent. */
import { Refusal } from '../../../base/refusal.ts';
import type { ByteStream } from '../../../rpc/client.ts';
import type { Commands } from '../main.ts';
import { json, say } from '../print.ts';
import { insideOf, machineOptions, prepareEngine, readMachineOptions } from './life.ts';

/** Ctrl-], as in virsh and telnet. */
const detachByte = 0x1d;

type ExitStatus = { code: number; signal?: number };

export const insideCommands: Commands = {
  console: {
    usage: 'console M [--console N] [--log]',
    about: 'Attach to a console, Ctrl-] detaches; --log prints what was kept and ends',
    options: { console: { type: 'string' }, log: { type: 'boolean' } },
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const wanted = { machine: positionals[0]!, console: Number(values['console'] ?? 0) };
      if (values['log']) {
        await client.open('console.log', wanted, writeOut).result;
        return;
      }
      const stream = client.open('console.attach', wanted, writeOut);
      const tellSize = () => {
        const { rows, columns } = process.stdout;
        if (rows && columns) {
          client.call('console.resize', { ...wanted, rows, columns }).catch(() => {});
        }
      };
      tellSize();
      process.stdout.on('resize', tellSize);
      say(`Attached to ${wanted.machine}; Ctrl-] detaches.`);
      await typeInto(stream);
    },
  },
  exec: {
    usage: 'exec M -- CMD...',
    about: 'Run a command in a running machine; its output, its exit code',
    words: [1, 1],
    rest: true,
    run: async (client, { positionals, rest }) => {
      const wanted = { machine: positionals[0]!, argv: rest };
      return follow(client.open('machine.exec', wanted, writeChannels));
    },
  },
  run: {
    usage:
      'run [--image I] [--engine E] [--memory S] [--cpus N] [--network L] [--in M] -- CMD...',
    about: 'Run a command in a throw-away machine; its output, its exit code',
    options: { ...machineOptions, network: { type: 'string' }, in: { type: 'string' } },
    words: [0, 0],
    rest: true,
    run: async (client, { rest, values }) => {
      const options = readMachineOptions(values);
      // A named image says itself which engine it is for.
      await prepareEngine(client, options.engine ?? (options.image ? undefined : 'native'));
      const network = values['network'];
      const wanted = {
        ...options,
        ...(network === undefined ? {} : { network: String(network) }),
        ...insideOf(values),
        argv: rest,
      };
      return follow(client.open('machine.run', wanted, writeChannels));
    },
  },
  reclaim: {
    usage: 'reclaim M',
    about: 'Give memory that the guest has freed back to the host',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const { freedBytes } = await client.call('machine.reclaim', { machine: positionals[0]! });
      if (values['json']) json({ freedBytes });
      else say(`${Math.round(freedBytes / 2 ** 20)} MiB went back to the host.`);
    },
  },
};

function write(out: NodeJS.WriteStream, bytes: Uint8Array): void | Promise<void> {
  if (!out.write(bytes)) return new Promise((resolve) => out.once('drain', resolve));
}

function writeOut(bytes: Uint8Array): void | Promise<void> {
  return write(process.stdout, bytes);
}

/** The first byte says whether it is standard output (1) or standard error (2). */
function writeChannels(bytes: Uint8Array): void | Promise<void> {
  return write(bytes[0] === 2 ? process.stderr : process.stdout, bytes.subarray(1));
}

/** Standard input to the command, its end to ours. */
async function follow(stream: ByteStream<ExitStatus>): Promise<number> {
  const interrupt = () => stream.cancel();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  if (process.stdin.isTTY) stream.end();
  else {
    process.stdin.on('data', (bytes: Buffer) => send(stream, bytes));
    process.stdin.on('end', () => stream.end());
    process.stdin.on('error', () => stream.end());
  }
  const { code, signal } = await stream.result;
  process.stdin.pause();
  return signal === undefined ? code : 128 + signal;
}

/** Reads no further until these bytes are on their way, so a big pipe is never kept here. */
function send(stream: ByteStream<unknown>, bytes: Buffer): void {
  process.stdin.pause();
  void stream.write(new Uint8Array(bytes)).then(() => process.stdin.resume());
}

async function typeInto(stream: ByteStream<null>): Promise<void> {
  const { stdin } = process;
  if (stdin.isTTY) stdin.setRawMode(true);
  try {
    await new Promise<void>((resolve, reject) => {
      stdin.on('data', (bytes: Buffer) => {
        const detach = stdin.isTTY ? bytes.indexOf(detachByte) : -1;
        if (detach < 0) return send(stream, bytes);
        if (detach > 0) send(stream, bytes.subarray(0, detach));
        resolve();
      });
      stdin.on('end', () => resolve());
      stream.result.then(
        () => resolve(),
        (refusal: Refusal) => reject(refusal),
      );
    });
    stream.cancel();
    stream.result.catch(() => {});
  } finally {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    process.stderr.write('\r\n');
  }
}
