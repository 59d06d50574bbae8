/**
 * `npm run dist [-- electron-builder's own options]`: makes the window, the program and whatever
 * of kernels and images is missing, stages what a package carries (stage.ts), then packs.
 * `npm run dist -- --dir` packs into a folder and stops there.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { prepareSteps } from '../../app/node/prepare.ts';
import { mainStep, rendererStep, root } from './builds.ts';
import { Printer } from './print.ts';
import { resourcesStep } from './stage.ts';
import { runSteps } from './steps.ts';

const printer = new Printer(process.stderr, () => performance.now());
const stop = new AbortController();
process.on('SIGINT', () => stop.abort());

await runSteps([rendererStep(), mainStep()], printer, stop.signal);
await runSteps(prepareSteps({ kernels: true }), printer, stop.signal);
await runSteps([resourcesStep()], printer, stop.signal);
const builder = join(root, 'node_modules', 'electron-builder', 'cli.js');
const given = [builder, '--config', 'electron-builder.yml', ...process.argv.slice(2)];
const child = spawn(process.execPath, given, { cwd: root, stdio: 'inherit' });
child.once('exit', (code) => process.exit(code ?? 1));
