#!/usr/bin/env node
/**
 * The `nymph` command as npm links it: runs under whatever Node the machine has and hands over to
 * the one that came with the dependencies, which runs TypeScript as it is.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url));
const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const modern = Number(process.versions.node.split('.')[0]) >= 24;

if (!modern && !existsSync(own)) {
  process.stderr.write('Nymph is not set up yet: run `npm start` in its folder once.\n');
  process.exit(1);
}
if (modern) {
  await import(main);
} else {
  const child = spawn(own, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
}
