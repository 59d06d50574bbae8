/**
 * The set-up, on Node 24: brings what is missing, step by step, then opens the app, or runs the
 * tests or the bench (`--then`). Each step is skipped when it is done, can be interrupted, and is
 * never half-done afterwards. Progress goes to stderr.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { prepareSteps } from '../../app/node/prepare.ts';
import { asRefusal } from '../../base/refusal.ts';
import { exitCodes } from '../../contract/errors.ts';
import { aptStep, runCommand } from './apt.ts';
import { mainStep, rendererStep, root } from './builds.ts';
import { electronProgram, electronStep } from './electron-runtime.ts';
import { groupsFor, packagesOf } from './packages.ts';
import { Printer } from './print.ts';
import { Interrupted, runSteps, type Step } from './steps.ts';
import { readWords, type Words } from './words.ts';

const printer = new Printer(process.stderr, () => performance.now());
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());

try {
  process.exitCode = await main(readWords(process.argv.slice(2)));
} catch (thrown) {
  if (thrown instanceof Interrupted) {
    printer.say('Interrupted; the next start goes on from here.');
    process.exit(exitCodes.cancelled);
  }
  const refusal = asRefusal(thrown);
  printer.say(refusal.message);
  if (refusal.code === 'internal' && thrown instanceof Error) printer.say(thrown.stack ?? '');
  process.exit(exitCodes[refusal.code]);
}
process.exit();

async function main(words: Words): Promise<number> {
  const display = !words.headless && hasDisplay();
  const electron = join(root, 'node_modules', 'electron');
  const { signal } = stop;
  if (display) await runSteps([electronStep(electron)], printer, signal);
  const program = display ? electronProgram(electron) : undefined;
  const tests = words.then !== undefined;
  const groups = groupsFor({ display, electron: program !== undefined, tests });
  const world = {
    run: runCommand,
    isRoot: process.getuid?.() === 0,
    isTty: process.stdin.isTTY === true,
    say: (sentence: string) => printer.say(sentence),
  };
  const steps: Step[] = [aptStep(packagesOf(groups), world), rendererStep()];
  if (program) steps.push(mainStep());
  await runSteps(steps, printer, signal);
  await runSteps(prepareSteps({ kernels: tests }), printer, signal);
  if (words.then) return runThen(words.then, words.rest);
  const { openApp } = await import('./open.ts');
  const { port, rest: bundles } = words;
  return openApp({ electron: program, display, port, bundles, printer, signal });
}

function hasDisplay(): boolean {
  if (process.platform !== 'linux') return true;
  return Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY);
}

/** Runs the tests or the bench to their end, and ends as they do. */
function runThen(what: 'test' | 'bench', rest: readonly string[]): Promise<number> {
  const file = join(root, what === 'test' ? 'test/run.ts' : 'test/bench/main.ts');
  const child = spawn(process.execPath, [file, ...rest], { cwd: root, stdio: 'inherit' });
  stop.signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
  return new Promise((resolve) => {
    child.once('error', () => resolve(1));
    child.once('exit', (code) => resolve(code ?? exitCodes.cancelled));
  });
}
