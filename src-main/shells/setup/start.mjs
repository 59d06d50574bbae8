/**
 * `npm start`, `npm test`, `npm run bench`: runs on the machine's own Node (20 or newer) with
 * nothing installed. It brings the packages of the lockfile, Node 24 among them, and hands over
 * to main.ts on that Node.
 *
 * A stamp inside node_modules, written last, says which lockfile is installed; npm removes the
 * folder first, so an interrupted install leaves no stamp and is simply done again.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const modules = join(root, 'node_modules');
const stamp = join(modules, '.nymph-installed');
const onWindows = process.platform === 'win32';

const major = Number(process.versions.node.split('.')[0]);
if (major < 20) {
  process.stderr.write(`Nymph needs Node 20 or newer to start; this is ${process.version}.\n`);
  process.exit(1);
}

// A Ctrl-C reaches every process of the terminal; this one waits for the others to tidy up.
let ending = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    ending = true;
    if (signal === 'SIGTERM') running?.kill(signal);
  });
}
let running;

if (!installed()) await install();
const node = join(modules, '.bin', onWindows ? 'node.cmd' : 'node');
const main = join(root, 'src-main', 'shells', 'setup', 'main.ts');
// Blanking out types is Node's own and still announces itself as experimental.
const quiet = '--disable-warning=ExperimentalWarning';
const status = await run(node, [quiet, main, ...process.argv.slice(2)]);
process.exit(status);

/** The hash that the stamp holds when this lockfile is installed. */
function wanted() {
  return createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex');
}

function installed() {
  if (!existsSync(join(modules, '.bin'))) return false;
  const hash = wanted();
  if (existsSync(stamp)) return readFileSync(stamp, 'utf8') === hash;
  if (!sameAsLock()) return false;
  writeFileSync(stamp, hash);
  return true;
}

/** Whether npm itself has recorded an install of just this lockfile, such as `npm ci` by hand. */
function sameAsLock() {
  const record = join(modules, '.package-lock.json');
  if (!existsSync(record)) return false;
  const have = JSON.parse(readFileSync(record, 'utf8')).packages;
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(lock).every(([path, { version, optional, peer }]) => {
    if (path === '' || have[path]?.version === version) return true;
    // Packages for other systems are in the lockfile only.
    return have[path] === undefined && Boolean(optional || peer);
  });
}

async function install() {
  const began = Date.now();
  process.stderr.write('· npm packages, Node 24 among them\n');
  // `npm start` tells its children where npm itself is.
  const npm = process.env.npm_execpath;
  const words = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const code = npm
    ? await run(process.execPath, [npm, ...words])
    : await run(onWindows ? 'npm.cmd' : 'npm', words);
  if (code !== 0) {
    const why = ending ? 'Interrupted' : 'The npm packages could not be installed';
    process.stderr.write(`${why}; the next start does it again.\n`);
    process.exit(ending ? 130 : 1);
  }
  writeFileSync(stamp, wanted());
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  process.stderr.write(`✓ npm packages, Node 24 among them  ${seconds} s\n`);
}

function run(command, words) {
  return new Promise((resolve) => {
    running = spawn(command, words, {
      cwd: root,
      // npm's chatter is no data of ours.
      // Node keeps what it has parsed, and the types it has blanked out, for the next start.
      env: { NODE_COMPILE_CACHE: join(modules, '.cache', 'node'), ...process.env },
      stdio: words.includes('ci') ? ['inherit', 2, 2] : 'inherit',
      shell: onWindows,
    });
    running.once('error', (error) => {
      process.stderr.write(`${command} did not start: ${error.message}\n`);
      resolve(1);
    });
    running.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}
