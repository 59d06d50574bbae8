/**
 * A server without a window: `nymph serve [--port N]`, and what the command line starts by itself
 * when none runs (`--quiet`). Prints the address with its token; ends on SIGINT or SIGTERM,
 * leaving the machines running.
 */
import { asRefusal } from '../../base/refusal.ts';
import { exitCodes } from '../../contract/errors.ts';
import { findServer, startServer } from './server.ts';

const { values } = await import('node:util').then(({ parseArgs }) =>
  parseArgs({ options: { port: { type: 'string' }, quiet: { type: 'boolean', default: false } } }),
);

try {
  const port = values.port === undefined ? undefined : Number(values.port);
  const server = await startServer({ port, onQuit: () => process.exit(0) });
  if (values.quiet) process.stdout.write('ready\n');
  else process.stdout.write(`Nymph is at ${server.url}\n`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void server.close().then(() => process.exit(0)));
  }
  process.on('SIGHUP', () => {});
} catch (thrown) {
  const refusal = asRefusal(thrown);
  const running = refusal.code === 'in-use' ? await findServer() : undefined;
  if (running && values.quiet) process.stdout.write('ready\n');
  process.stderr.write(`${refusal.message}${running ? ` It is at ${running.url}` : ''}\n`);
  process.exit(running && values.quiet ? 0 : exitCodes[refusal.code]);
}
