/**
 * `nymph`: everything the window does, typed. Finds the command, checks its words, runs it against
 * the server and ends with the exit code of the contract: 0 ok, 1 failure, 2 usage, 3 not found,
 * 4 wrong state, 124 timeout, 130 interrupted; `exec` and `run` with that of the command.
 */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { asRefusal, Refusal } from '../../base/refusal.ts';
import { exitCodes } from '../../contract/errors.ts';
import type { Client } from '../../rpc/client.ts';
import { connectClient, connectRemote } from './connect.ts';
import { hostCommands } from './commands/host.ts';
import { imageCommands } from './commands/image.ts';
import { kernelCommands } from './commands/kernel.ts';
import { lifeCommands } from './commands/life.ts';
import { insideCommands } from './commands/inside.ts';
import { inspectCommands } from './commands/inspect.ts';
import { monitorCommands } from './commands/monitor.ts';
import { networkCommands } from './commands/network.ts';
import { savedCommands } from './commands/saved.ts';
import { shareCommands } from './commands/share.ts';
import { data, json, say } from './print.ts';

export type Words = {
  readonly positionals: string[];
  readonly values: Record<string, string | boolean | (string | boolean)[] | undefined>;
  /** What stood behind `--`. */
  readonly rest: string[];
};

export interface Command {
  readonly usage: string;
  readonly about: string;
  readonly options?: NonNullable<ParseArgsConfig['options']>;
  /** Fewest and most positional words after the command's own. */
  readonly words: readonly [number, number];
  /** Whether it takes a command behind `--`. */
  readonly rest?: true;
  /** Runs without a server. */
  readonly alone?: true;
  /** The exit code; 0 when nothing is returned. */
  run(client: Client, words: Words): Promise<number | void>;
}

export type Commands = Record<string, Command>;

const commands: Commands = {
  ...hostCommands,
  ...lifeCommands,
  ...savedCommands,
  ...insideCommands,
  ...inspectCommands,
  ...monitorCommands,
  ...imageCommands,
  ...networkCommands,
  ...shareCommands,
  ...kernelCommands,
};

function help(): void {
  data('nymph: virtual kernels on the desktop\n');
  for (const command of Object.values(commands)) {
    data(`  nymph ${command.usage}`);
    data(`      ${command.about}`);
  }
  data('\nnymph --host USER@HOST … asks the server of another host, over ssh; files are its.');
  data('Every command takes --json. Exit codes: 0 ok, 1 failure, 2 usage, 3 not found,');
  data('4 wrong state, 124 timeout, 130 interrupted; exec and run end as their command does.');
}

/** `image import x` is the command “image import”; `ls` is “ls”. */
function findCommand(argv: readonly string[]): { command: Command; rest: string[] } {
  const [first = '', second = ''] = argv;
  const two = `${first} ${second}`;
  if (Object.hasOwn(commands, two)) return { command: commands[two]!, rest: argv.slice(2) };
  if (Object.hasOwn(commands, first)) return { command: commands[first]!, rest: argv.slice(1) };
  const group = Object.keys(commands).filter((name) => name.startsWith(`${first} `));
  if (group.length > 0) {
    throw new Refusal('usage', `Say one of: nymph ${group.join(', nymph ')}.`);
  }
  throw new Refusal('usage', `There is no command “${first}”; see nymph help.`);
}

function readWords(command: Command, argv: string[]): Words {
  const split = argv.indexOf('--');
  const own = split < 0 ? argv : argv.slice(0, split);
  const rest = split < 0 ? [] : argv.slice(split + 1);
  let parsed;
  try {
    parsed = parseArgs({
      args: own,
      options: { json: { type: 'boolean' }, ...command.options },
      allowPositionals: true,
    });
  } catch (thrown) {
    const said = (thrown as Error).message.split('.')[0]!;
    throw new Refusal('usage', `${said}. Usage: nymph ${command.usage}`);
  }
  const [fewest, most] = command.words;
  const { positionals, values } = parsed;
  const wrong = positionals.length < fewest || positionals.length > most;
  if (wrong || rest.length > 0 !== (command.rest === true)) {
    throw new Refusal('usage', `Usage: nymph ${command.usage}`);
  }
  return { positionals, rest, values: values as Words['values'] };
}

async function main(given: string[]): Promise<number> {
  const host = given[0] === '--host' ? given[1] ?? '' : undefined;
  const argv = host === undefined ? given : given.slice(2);
  if (argv.length === 0 || ['help', '--help', '-h'].includes(argv[0]!)) {
    help();
    return argv.length === 0 ? exitCodes.usage : 0;
  }
  const wantsJson = argv.includes('--json');
  try {
    const { command, rest } = findCommand(argv);
    const words = readWords(command, rest);
    if (command.alone) return (await command.run(undefined as never, words)) ?? 0;
    const client = await (host === undefined ? connectClient() : connectRemote(host));
    try {
      return (await command.run(client, words)) ?? 0;
    } finally {
      client.close();
    }
  } catch (thrown) {
    const refusal = asRefusal(thrown);
    if (refusal.code === 'internal' && process.env['NYMPH_DEBUG'])
      say(String((thrown as Error).stack));
    if (wantsJson)
      json({ error: { code: refusal.code, message: refusal.message, at: refusal.at } });
    else say(refusal.message);
    return exitCodes[refusal.code];
  }
}

process.stdout.on('error', () => process.exit(0));
process.exit(await main(process.argv.slice(2)));
