/**
 * A server without a window: `nymph serve [--port N]`, and what the command line starts by itself
 * when none runs (`--quiet`). Prints the address with its token; ends on SIGINT or SIGTERM,
 * leaving the machines running.
 */
import { asRefusal } from '../../base/refusal.ts';
import { exitCodes } from '../../contract/errors.ts';
import { findOrStart } from './server.ts';

const { values } = await import('node:util').then(({ parseArgs }) =>
  parseArgs({ options: { port: { type: 'string' }, quiet: { type: 'boolean', default: false } } }),
);

try {
  const port = values.port === undefined ? undefined : Number(values.port);
  const { own, other } = await findOrStart({ port, onQuit: () => process.exit(0) });
  if (values.quiet) process.stdout.write('ready\n');
  if (other) {
    const said = `A Nymph server is running already as process ${other.pid}. It is at ${other.url}`;
    if (!values.quiet) process.stderr.write(`${said}\n`);
    process.exit(values.quiet ? 0 : exitCodes['in-use']);
  }
  if (!values.quiet) process.stdout.write(`Nymph is at ${own.url}\n`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void own.close().then(() => process.exit(0)));
  }
  process.on('SIGHUP', () => {});
} catch (thrown) {
  const refusal = asRefusal(thrown);
  process.stderr.write(`${refusal.message}\n`);
  process.exit(exitCodes[refusal.code]);
}
