/**
 * Opens the app: Electron where its runtime is, else Chromium as an app window on a server in
 * this process, else (no display, or asked for) that server alone with its address printed.
 * Machines outlive every one of them.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { nymphPaths } from '../../app/node/paths.ts';
import { findOrStart } from '../headless/server.ts';
import { windowUrl } from '../headless/tickets.ts';
import { findChromium, openChromium } from '../window/chromium.ts';
import { root } from './builds.ts';
import type { Printer } from './print.ts';

/** An Electron that ends this soon with an error never had a window. */
const stillbornMs = 10_000;

export interface Opening {
  readonly electron?: string;
  readonly display: boolean;
  readonly port?: number;
  readonly bundles: readonly string[];
  readonly printer: Printer;
  readonly signal: AbortSignal;
}

/** @returns the exit code, when the app has been closed. */
export async function openApp(opening: Opening): Promise<number> {
  const { electron, display, printer } = opening;
  if (electron && display) {
    const status = await openElectron(electron, opening);
    if (status !== undefined) return status;
    printer.say('Electron did not open a window here; Chromium will.');
  }
  return serve(opening);
}

/** @returns undefined when it ended before it can have shown a window. */
async function openElectron(program: string, opening: Opening): Promise<number | undefined> {
  const { signal, printer, bundles } = opening;
  const asRoot = process.getuid?.() === 0;
  if (asRoot) printer.say('Running as root: Electron’s own sandbox is off.');
  const given = [...(asRoot ? ['--no-sandbox'] : []), root, ...bundles];
  const began = performance.now();
  const child = spawn(program, given, { stdio: ['ignore', 'inherit', 'inherit'] });
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  const status = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(127));
    child.once('exit', (code) => resolve(code ?? 1));
  });
  signal.removeEventListener('abort', stop);
  if (signal.aborted) return 130;
  return status !== 0 && performance.now() - began < stillbornMs ? undefined : status;
}

async function serve(opening: Opening): Promise<number> {
  const { signal, printer, port } = opening;
  let quit = () => {};
  const ended = new Promise<void>((resolve) => (quit = resolve));
  const { own, other } = await findOrStart({ port, onQuit: quit });
  const url = own ? own.url : other.url;
  signal.addEventListener('abort', quit, { once: true });
  if (signal.aborted) quit();
  const window = opening.display ? await openWindow(url, printer) : undefined;
  if (!window) {
    // The address is what a script wants of this program, so it alone goes to stdout.
    process.stdout.write(`${url}\n`);
    if (other) {
      printer.say('A server was running already; this is its address.');
      return 0;
    }
    printer.say('Nymph is at that address. Ctrl-C ends the server; machines go on.');
  }
  await Promise.race([ended, ...(window ? [window.closed] : [])]);
  window?.close();
  await own?.close();
  return signal.aborted && window ? 130 : 0;
}

async function openWindow(url: string, printer: Printer) {
  const program = findChromium(process.env.PATH ?? '');
  if (!program) {
    printer.say('There is no Chromium for a window; open the address in a browser.');
    return undefined;
  }
  const isRoot = process.getuid?.() === 0;
  if (isRoot) printer.say('Running as root: the window’s own sandbox is off.');
  const profile = join(nymphPaths(process.env).state, 'chromium');
  const child = openChromium(program, { url: await windowUrl(url), profile, isRoot });
  const closed = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  return { closed, close: () => child.kill('SIGTERM') };
}
