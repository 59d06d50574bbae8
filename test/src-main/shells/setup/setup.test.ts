/**
 * The set-up, step by step, without touching this machine: apt behind a recorded stand-in,
 * folders made in a scratch place, sources turned into what Electron runs.
 */
import { suite, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Refusal } from '../../../../src-main/base/refusal.ts';
import { aptStep, missingOf, type Run } from '../../../../src-main/shells/setup/apt.ts';
import {
  commonScript,
  oneDeeper,
  plainScript,
} from '../../../../src-main/shells/setup/builds.ts';
import {
  electronProgram,
  electronStep,
} from '../../../../src-main/shells/setup/electron-runtime.ts';
import { madeStep } from '../../../../src-main/shells/setup/made.ts';
import {
  debianPackages,
  groupsFor,
  packagesOf,
} from '../../../../src-main/shells/setup/packages.ts';
import { Printer } from '../../../../src-main/shells/setup/print.ts';
import { Interrupted, runSteps, type Step } from '../../../../src-main/shells/setup/steps.ts';
import { readWords } from '../../../../src-main/shells/setup/words.ts';

const never = new AbortController().signal;
const quiet = () => {};

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'nymph-setup-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function recorder(columns?: number) {
  let text = '';
  let now = 0;
  const output = { isTTY: columns !== undefined, columns, write: (more: string) => (text += more) };
  return { printer: new Printer(output, () => (now += 100_000)), said: () => text };
}

suite('steps', () => {
  const step = (title: string, more: Partial<Step>): Step => ({
    title,
    needed: async () => true,
    run: async () => {},
    ...more,
  });

  test('a step that is done prints nothing', async () => {
    const { printer, said } = recorder();
    await runSteps([step('A', { needed: async () => false })], printer, never);
    assert.equal(said(), '');
  });

  test('each step is one line with its time, in a log as on a terminal', async () => {
    const log = recorder();
    await runSteps([step('A', {})], log.printer, never);
    assert.equal(log.said(), '· A\n✓ A  100.0 s\n');
    const terminal = recorder(20);
    const run: Step['run'] = async (report) => report(0.5, 'x\x1b[31m'.repeat(40));
    await runSteps([step('A', { run })], terminal.printer, never);
    assert.match(terminal.said(), /^· A\r\x1b\[K· A {2}50 % {2}x \[31mx.{0,6}\r\x1b\[K✓ A/);
  });

  test('what fails is said, and the rest goes on unless it was essential', async () => {
    const run = async () => {
      throw new Refusal('denied', 'No.');
    };
    const { printer, said } = recorder();
    await runSteps([step('A', { run }), step('B', {})], printer, never);
    assert.match(said(), /✗ A .*\n {2}No\.\n· B\n✓ B/);
    await assert.rejects(runSteps([step('A', { run, essential: true })], printer, never), /No\./);
  });

  test('an interrupt ends the step and everything after it', async () => {
    const stop = new AbortController();
    const { printer, said } = recorder();
    const run: Step['run'] = async (_report, signal) => {
      stop.abort();
      signal.throwIfAborted();
    };
    const both = [step('A', { run }), step('B', {})];
    await assert.rejects(runSteps(both, printer, stop.signal), Interrupted);
    assert.match(said(), /interrupted/);
    assert.doesNotMatch(said(), /B/);
  });
});

suite('Debian packages', () => {
  test('each has a reason, and is named once in a group', () => {
    for (const { names, reason } of debianPackages) assert.ok(names[0] && reason.length > 5);
    const all = packagesOf(groupsFor({ display: true, electron: false, tests: true }));
    assert.equal(new Set(all.map(({ names }) => names[0])).size, all.length);
  });

  test('Chromium is for a display without Electron, and for the tests', () => {
    const has = (wish: Parameters<typeof groupsFor>[0]) =>
      packagesOf(groupsFor(wish)).some(({ names }) => names[0] === 'chromium');
    assert.ok(has({ display: true, electron: false, tests: false }));
    assert.ok(!has({ display: true, electron: true, tests: false }));
    assert.ok(!has({ display: false, electron: false, tests: false }));
    assert.ok(has({ display: false, electron: false, tests: true }));
  });

  const rows = debianPackages.filter(({ names }) => ['gcc', 'make', 'libnss3'].includes(names[0]));

  /** A machine that has gcc; it knows all packages after `known` calls of apt-get update. */
  function machine(options: { sudo?: boolean; failFirst?: boolean; unknown?: boolean }) {
    const calls: string[] = [];
    let updates = 0;
    let installs = 0;
    const run: Run = async (command, given) => {
      const line = [command, ...given].join(' ');
      calls.push(line);
      if (command === 'dpkg-query') return { status: 1, output: 'gcc installed\n' };
      if (command === 'sudo' && given[1] === 'true') {
        return { status: options.sudo ? 0 : 1, output: '' };
      }
      if (command === 'apt-cache') {
        const has = !options.unknown || updates > 0 ? '1.0' : '(none)';
        const policy = (name: string) => `${name}:\n  Installed: (none)\n  Candidate: ${has}\n`;
        return { status: 0, output: given.slice(1).map(policy).join('') };
      }
      if (line.endsWith(' update')) updates++;
      const fails = line.includes(' install ') && installs++ === 0 && options.failFirst;
      return { status: fails ? 100 : 0, output: fails ? 'E: Unable to fetch\n' : '' };
    };
    return { run, calls, of: (word: string) => calls.filter((line) => line.includes(word)) };
  }

  const world = (run: Run, isRoot: boolean) => ({ run, isRoot, isTty: false, say: quiet });

  test('one query tells what is missing', async () => {
    const { run, calls } = machine({});
    const missing = await missingOf(rows, run);
    assert.deepEqual(missing.map(({ names }) => names[0]), ['make', 'libnss3']);
    assert.equal(calls.length, 1);
  });

  test('nothing is asked of a system without dpkg', async () => {
    assert.deepEqual(await missingOf(rows, async () => ({ status: 127, output: '' })), []);
  });

  test('root installs just these, without reading the lists anew', async () => {
    const { run, of } = machine({});
    const step = aptStep(rows, world(run, true));
    assert.ok(await step.needed());
    await step.run(quiet, never);
    const [line] = of(' install ');
    assert.match(line!, /^env DEBIAN_FRONTEND=noninteractive apt-get .* make libnss3$/);
    assert.match(line!, /DPkg::Lock::Timeout=/);
    assert.equal(of(' update').length, 0);
  });

  test('the lists are read when a package is unknown, or the first try fails', async () => {
    const unknown = machine({ unknown: true });
    const step = aptStep(rows, world(unknown.run, true));
    await step.needed();
    await step.run(quiet, never);
    assert.equal(unknown.of(' update').length, 1);
    const stale = machine({ failFirst: true });
    const again = aptStep(rows, world(stale.run, true));
    await again.needed();
    await again.run(quiet, never);
    assert.equal(stale.of(' install ').length, 2);
    assert.equal(stale.of('--configure -a').length, 1);
  });

  test('a user goes through sudo, or is told the one line to type', async () => {
    const may = machine({ sudo: true });
    const step = aptStep(rows, world(may.run, false));
    await step.needed();
    await step.run(quiet, never);
    assert.match(may.of(' install ')[0]!, /^sudo -n env /);
    const mayNot = machine({ sudo: false });
    const refused = aptStep(rows, world(mayNot.run, false));
    await refused.needed();
    await assert.rejects(refused.run(quiet, never), /Type: sudo apt-get install -y make libnss3$/);
    assert.equal(mayNot.of(' install ').length, 0);
  });
});

suite('a folder made from sources', () => {
  const made = (target: string, print: string, make: (folder: string) => Promise<void>) =>
    madeStep({ title: 'X', target, fingerprint: () => print, make });

  test('is made once, and again when a source changes', async (t) => {
    const target = join(scratch(t), 'out');
    const write = (text: string) => async (folder: string) => {
      mkdirSync(folder);
      writeFileSync(join(folder, 'a'), text);
    };
    const first = made(target, '1', write('one'));
    assert.ok(await first.needed());
    await first.run(quiet, never);
    assert.equal(await made(target, '1', write('x')).needed(), false);
    const second = made(target, '2', write('two'));
    assert.ok(await second.needed());
    await second.run(quiet, never);
    assert.equal(readFileSync(join(target, 'a'), 'utf8'), 'two');
  });

  test('stays as it was when making it fails midway', async (t) => {
    const folder = scratch(t);
    const target = join(folder, 'out');
    const good = made(target, '1', async (at) => void mkdirSync(at));
    await good.needed();
    await good.run(quiet, never);
    const bad = made(target, '2', async (at) => {
      mkdirSync(at);
      throw new Error('midway');
    });
    await bad.needed();
    await assert.rejects(bad.run(quiet, never), /midway/);
    assert.equal(await made(target, '1', async () => {}).needed(), false);
    assert.deepEqual(existsSync(`${target}.making-${process.pid}`), false);
  });
});

suite('what Electron runs', () => {
  test('has no types, and names its neighbours as .js', () => {
    const text = [
      "import type { A } from './a.ts';",
      "import { b } from '../b.ts';",
      "const c: number = await import('./c.ts');",
      "new Worker(new URL('./d.ts', import.meta.url));",
      "const said = 'not ./e.ts';",
    ].join('\n');
    const script = plainScript(text);
    assert.doesNotMatch(script, /: number|type \{/);
    for (const name of ["'../b.js'", "'./c.js'", "'./d.js'", "'not ./e.ts'"]) {
      assert.ok(script.includes(name), name);
    }
  });

  test('finds what lies beside src-main from one folder deeper', () => {
    const script = "join(import.meta.dirname, '../../../package.json'); new URL('../../x.js', u);";
    assert.equal(oneDeeper(script, 3), script.replace('../../../p', '../../../../p'));
    assert.equal(oneDeeper(script, 4), script);
  });

  test('has a preload in CommonJS that asks for Electron alone', () => {
    const file = join(import.meta.dirname, '../../../../src-main/shells/electron/preload.ts');
    const script = commonScript(plainScript(readFileSync(file, 'utf8')));
    assert.match(script, /const \{[^}]+\} = require\('electron'\);/);
    assert.throws(() => commonScript("import { readFile } from 'node:fs';\n"));
  });
});

suite('Electron’s runtime', () => {
  const bounds = { silenceMs: 60_000, wholeMs: 60_000 };

  test('is whole when its program is there', (t) => {
    const folder = scratch(t);
    assert.equal(electronProgram(folder), undefined);
    writeFileSync(join(folder, 'path.txt'), 'electron');
    assert.equal(electronProgram(folder), undefined);
    mkdirSync(join(folder, 'dist'));
    writeFileSync(join(folder, 'dist', 'electron'), '');
    assert.equal(electronProgram(folder), join(folder, 'dist', 'electron'));
  });

  test('is tried once where it cannot be had, and leaves nothing half-fetched', async (t) => {
    const folder = scratch(t);
    const install = "require('fs').mkdirSync(__dirname + '/dist'); process.exit(1);";
    writeFileSync(join(folder, 'install.js'), install);
    const step = electronStep(folder, bounds);
    assert.ok(await step.needed());
    await assert.rejects(step.run(quiet, never), /Chromium/);
    assert.ok(!existsSync(join(folder, 'dist')));
    assert.equal(await electronStep(folder, bounds).needed(), false);
  });

  test('is given up when nothing arrives', async (t) => {
    const folder = scratch(t);
    writeFileSync(join(folder, 'install.js'), 'setInterval(() => {}, 1000);');
    const step = electronStep(folder, { silenceMs: 1, wholeMs: 60_000 });
    await assert.rejects(step.run(quiet, never), /Chromium/);
  });
});

suite('words', () => {
  test('npm start takes --headless, a port and bundles', () => {
    const words = readWords(['--headless', '--port', '8080', 'a.nymph']);
    assert.deepEqual(words, { headless: true, port: 8080, rest: ['a.nymph'] });
  });

  test('what follows --then belongs to the tests', () => {
    const words = readWords(['--then', 'test', 'unit', '--headless']);
    assert.deepEqual(words, { headless: true, then: 'test', rest: ['unit', '--headless'] });
  });

  test('anything else is told how to use it', () => {
    assert.throws(() => readWords(['--wings']), Refusal);
    assert.throws(() => readWords(['--port', 'many']), /1 to 65535/);
    assert.throws(() => readWords(['--then', 'fly']), Refusal);
  });
});
