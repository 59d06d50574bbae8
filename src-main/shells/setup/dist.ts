/**
 * `npm run dist [-- electron-builder's own options]`: makes the window and the program, stages
 * the kernels and images of this machine's cache into dist/resources, then packs.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { builtDirectory } from '../../app/node/image-makers.ts';
import { nymphPaths } from '../../app/node/paths.ts';
import { mainStep, rendererStep, root } from './builds.ts';
import { madeStep } from './made.ts';
import { Printer } from './print.ts';
import { runSteps } from './steps.ts';

const printer = new Printer(process.stderr, () => performance.now());
const stop = new AbortController();
process.on('SIGINT', () => stop.abort());

await runSteps([rendererStep(), mainStep(), resourcesStep()], printer, stop.signal);
const builder = join(root, 'node_modules', 'electron-builder', 'cli.js');
const given = [builder, '--config', 'electron-builder.yml', ...process.argv.slice(2)];
const child = spawn(process.execPath, given, { cwd: root, stdio: 'inherit' });
child.once('exit', (code) => process.exit(code ?? 1));

/** Finished kernels and built images; what is missing is built on the user's machine instead. */
function resourcesStep() {
  const paths = nymphPaths(process.env);
  const parts = { kernels: join(paths.kernels, 'installed'), images: builtDirectory(paths) };
  return madeStep({
    title: 'Kernels and images',
    target: join(root, 'dist', 'resources'),
    fingerprint: () => `${process.pid}`,
    make: async (folder) => {
      mkdirSync(folder, { recursive: true });
      for (const [name, from] of Object.entries(parts)) {
        const have = existsSync(from) ? readdirSync(from) : [];
        if (have.length === 0) printer.say(`  There are no ${name} here yet; they are left out.`);
        else cpSync(from, join(folder, name), { recursive: true, dereference: true });
      }
    },
  });
}
