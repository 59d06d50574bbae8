/**
 * The window where there is no Electron: the machine's Chromium as an app window, without tabs or
 * address bar, with a profile of its own under the state directory so that it shares nothing with
 * the user's browsing and ends when the window is closed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const programs = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** Full path of the first Chromium on the search path. */
export function findChromium(searchPath: string): string | undefined {
  for (const program of programs) {
    for (const folder of searchPath.split(delimiter).filter(Boolean)) {
      const path = join(folder, program);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not in this folder.
      }
    }
  }
  return undefined;
}

export interface ChromiumWindow {
  /** Everybody on this host can read it: with a ticket in it, never with the token. */
  readonly url: string;
  /** Folder of the profile; made when it is not there. */
  readonly profile: string;
  /** Chromium refuses its sandbox to root, who then goes without. */
  readonly isRoot: boolean;
}

export function chromiumArguments({ url, profile, isRoot }: ChromiumWindow): string[] {
  return [
    `--app=${url}`,
    `--user-data-dir=${profile}`,
    '--class=nymph',
    '--window-size=1240,820',
    '--no-first-run',
    '--no-default-browser-check',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-quic',
    '--disable-extensions',
    '--disable-features=Translate,MediaRouter,OptimizationHints',
    '--password-store=basic',
    ...(isRoot ? ['--no-sandbox', '--test-type'] : []),
  ];
}

/** The process ends when the window is closed. */
export function openChromium(program: string, window: ChromiumWindow): ChildProcess {
  mkdirSync(window.profile, { recursive: true, mode: 0o700 });
  // Its own group: a Ctrl-C in the terminal is for us, and we close the window.
  return spawn(program, chromiumArguments(window), { stdio: 'ignore', detached: true });
}
