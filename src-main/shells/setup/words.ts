/**
 * What may be written after `npm start --`, `npm test --` and `npm run bench --`.
 */
import { parseArgs } from 'node:util';
import { Refusal } from '../../base/refusal.ts';

export interface Words {
  readonly headless: boolean;
  readonly port?: number;
  /** Prepares for, and then runs, the tests or the bench instead of opening the app. */
  readonly then?: 'test' | 'bench';
  /** Machine bundles to open, or what the tests or the bench are given. */
  readonly rest: readonly string[];
}

export const usage = 'Usage: npm start [-- --headless] [--port N] [FILE.nymph]';

/** @throws Refusal `usage` */
export function readWords(given: readonly string[]): Words {
  // What follows `--then test` belongs to the tests, options included.
  if (given[0] === '--then') {
    const then = given[1];
    if (then !== 'test' && then !== 'bench') throw new Refusal('usage', usage);
    return { headless: true, then, rest: given.slice(2) };
  }
  try {
    const { values, positionals } = parseArgs({
      args: [...given],
      allowPositionals: true,
      options: { headless: { type: 'boolean', default: false }, port: { type: 'string' } },
    });
    const port = values.port === undefined ? undefined : Number(values.port);
    if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
      throw new Refusal('usage', 'A port is a number from 1 to 65535.');
    }
    return { headless: values.headless, port, rest: positionals };
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    throw new Refusal('usage', usage);
  }
}
