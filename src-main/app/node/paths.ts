/**
 * Where Nymph keeps things, after the XDG base directory specification; `NYMPH_HOME` moves all of
 * it, for a second instance or a test. Run-time sockets stay short, because a unix socket's name
 * ends at 108 bytes, so they never go below `NYMPH_HOME` but into the user's run directory.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';

export interface Paths {
  readonly data: string;
  readonly machines: string;
  readonly trash: string;
  readonly images: string;
  readonly cache: string;
  readonly kernels: string;
  /** What Node has made of our sources. */
  readonly code: string;
  readonly uploads: string;
  /** Where files for the owner go that were given no place: the folder for downloads. */
  readonly exports: string;
  readonly state: string;
  readonly run: string;
  /** The unix socket of the one server of this home. */
  readonly socket: string;
}

export function nymphPaths(env: NodeJS.ProcessEnv = process.env, home?: string): Paths {
  const moved = home ?? env['NYMPH_HOME'];
  const base = (variable: string, fallback: string) =>
    join(env[variable] || join(homedir(), fallback), 'nymph');
  const root = moved ? resolve(moved) : undefined;
  const data = root ? join(root, 'data') : base('XDG_DATA_HOME', '.local/share');
  const cache = root ? join(root, 'cache') : base('XDG_CACHE_HOME', '.cache');
  const state = root ? join(root, 'state') : base('XDG_STATE_HOME', '.local/state');
  const run = runDirectory(env, root);
  return {
    data,
    machines: join(data, 'machines'),
    trash: join(data, 'trash'),
    images: join(data, 'images'),
    cache,
    // Kernels take minutes to build and depend on nothing of a home: one cache serves all homes.
    kernels: join(env['NYMPH_KERNELS'] || join(base('XDG_CACHE_HOME', '.cache'), 'kernels')),
    code: join(cache, 'code'),
    uploads: join(cache, 'uploads'),
    exports: root ? join(root, 'exports') : downloadsDirectory(env),
    state,
    run,
    socket: join(run, 'server.sock'),
  };
}

/** As xdg-user-dirs keeps it; the home folder where there is none. */
function downloadsDirectory(env: NodeJS.ProcessEnv): string {
  const home = homedir();
  const file = join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'user-dirs.dirs');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const said = /^XDG_DOWNLOAD_DIR="(?:\$HOME\/)?([^"$]+)"/m.exec(text)?.[1];
  const downloads = resolve(home, said ?? 'Downloads');
  return existsSync(downloads) ? downloads : home;
}

function runDirectory(env: NodeJS.ProcessEnv, root: string | undefined): string {
  const xdg = env['XDG_RUNTIME_DIR'];
  const usable = xdg && xdg.length < 40 && existsSync(xdg);
  const parent = usable ? join(xdg, 'nymph') : join('/tmp', `nymph-${userInfo().uid}`);
  const which = root ? createHash('sha256').update(root).digest('hex').slice(0, 8) : 'main';
  return join(parent, which);
}
